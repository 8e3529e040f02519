/* gpuq run: one pipeline, from its file to a summary. */
#include "commands.h"
#include "console.h"
#include "refuse.h"
#include "run_control.h"
#include "base/file.h"
#include "base/text.h"
#include "pipeline/pipeline.h"
#include <gpuqueue/runtime.h>
#include <getopt.h>
#include <stdbool.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PROGRESS_MS 500u

struct run_opts {
    gq_open_opts open;
    bool json;
    bool quiet;
    bool watch;
};

/* --- signals ------------------------------------------------------------------------------------------------------ */

static gq_pipeline *running; /* what a signal interrupts */
static volatile sig_atomic_t signals;

static void on_signal(int number)
{
    if (++signals > 1)
        _exit(128 + number); /* asked twice: at once, and the worker sees our end */
    gq_interrupt(running);
}

static void install_signals(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN); /* a reader that went away is an error of the sink, with a sentence */
}

/* --- reporting ---------------------------------------------------------------------------------------------------- */

/* "12.3 M" for counts, in thousands. */
static const char *human(double value, char text[32])
{
    static const char *const unit[] = {"", " k", " M", " G", " T"};
    size_t u = 0;
    while (value >= 999.5 && u + 1 < sizeof unit / sizeof *unit) {
        value /= 1000;
        u++;
    }
    snprintf(text, 32, u == 0 && value == (double)(uint64_t)value ? "%.0f%s" : "%.3g%s", value, unit[u]);
    return text;
}

static const char *duration(uint64_t ns, char text[32])
{
    if (ns < 10000)
        snprintf(text, 32, "%" PRIu64 " ns", ns);
    else if (ns < 10000000)
        snprintf(text, 32, "%.1f us", (double)ns / 1e3);
    else
        snprintf(text, 32, "%.1f ms", (double)ns / 1e6);
    return text;
}

static void progress(const gq_pipeline *p)
{
    gq_stats s = {.size = sizeof s};
    char in[32], rate[32];
    struct gq_text line = {0};
    gq_get_stats(p, &s);
    gq_text_printf(&line, "  %s messages in, %s/s, %" PRIu64 " in flight, %" PRIu64 " failed%s",
                   human((double)s.messages_in, in),
                   human(s.seconds > 0 ? (double)s.messages_out / s.seconds : 0, rate), s.in_flight, s.failed,
                   signals ? ", draining" : "");
    gpuq_console_progress(gq_text_str(&line));
    gq_text_finish(&line);
}

/* A word as a shell takes it. */
static void add_word(struct gq_text *out, const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./+,:@%=";
    if (word[strspn(word, plain)] == '\0') {
        gq_text_puts(out, word);
        return;
    }
    gq_text_puts(out, "'");
    for (; *word; word++)
        gq_text_add(out, *word == '\'' ? "'\\''" : word, *word == '\'' ? 4 : 1);
    gq_text_puts(out, "'");
}

static void say_next(const char *file)
{
    struct gq_text word = {0};
    add_word(&word, file);
    fprintf(stderr,
            "next      edit a plugin and run this again; `gpuq new NAME` starts your own; `gpuq explain %s` shows "
            "every setting\n",
            gq_text_str(&word));
    gq_text_finish(&word);
}

static void summary_text(const gq_pipeline *p, const char *file, const gq_stats *s, gq_status status)
{
    char rate[32], bytes[32], p50[32], p99[32];
    double seconds = s->seconds > 0 ? s->seconds : 1e-9;
    fprintf(stderr, "backend   %s (%s)\n", gq_backend(p), gq_backend_reason(p));
    if (s->resumed)
        fprintf(stderr, "resumed   behind %" PRIu64 " messages, which earlier runs were done with\n", s->resumed);
    fprintf(stderr, "messages  %" PRIu64 " in, %" PRIu64 " out, %" PRIu64 " failed", s->messages_in, s->messages_out,
            s->failed);
    if (s->dropped)
        fprintf(stderr, ", %" PRIu64 " dropped", s->dropped);
    if (s->dead)
        fprintf(stderr, "; %" PRIu64 " in the dead letters", s->dead);
    if (s->in_flight)
        fprintf(stderr, "; %" PRIu64 " not finished", s->in_flight);
    fprintf(stderr, "\nrate      %s messages/s", human((double)s->messages_in / seconds, rate));
    if (s->bytes_in) {
        human((double)s->bytes_in / seconds, bytes);
        fprintf(stderr, ", %s%sB/s in", bytes, strchr(bytes, ' ') ? "" : " ");
    }
    fprintf(stderr, ", %.3f s\n", s->seconds);
    if (s->max_ns)
        fprintf(stderr, "latency   p50 %s, p99 %s\n", duration(s->p50_ns, p50), duration(s->p99_ns, p99));
    if (status == GQ_OK)
        say_next(file);
}

/* The status that the command ends with: what was asked for in JSON is not left out in silence. */
static gq_status summary_json(const gq_pipeline *p, const gq_stats *s, gq_status status)
{
    struct gq_text t = {0};
    const char *error = status == GQ_OK ? "" : gq_last_error();
    gq_text_puts(&t, "{\"backend\": ");
    gq_text_json(&t, gq_backend(p), strlen(gq_backend(p)));
    gq_text_puts(&t, ", \"reason\": ");
    gq_text_json(&t, gq_backend_reason(p), strlen(gq_backend_reason(p)));
    gq_text_printf(
        &t,
        ", \"messages_in\": %" PRIu64 ", \"messages_out\": %" PRIu64 ", \"failed\": %" PRIu64 ", \"dropped\": %" PRIu64
        ", \"dead\": %" PRIu64 ", \"in_flight\": %" PRIu64 ", \"bytes_in\": %" PRIu64 ", \"bytes_out\": %" PRIu64,
        s->messages_in, s->messages_out, s->failed, s->dropped, s->dead, s->in_flight, s->bytes_in, s->bytes_out);
    gq_text_printf(&t,
                   ", \"resumed\": %" PRIu64 ", \"seconds\": %.6f, \"p50_ns\": %" PRIu64 ", \"p99_ns\": %" PRIu64
                   ", \"max_ns\": %" PRIu64 ", \"status\": ",
                   s->resumed, s->seconds, s->p50_ns, s->p99_ns, s->max_ns);
    gq_text_json(&t, gq_status_name(status), strlen(gq_status_name(status)));
    gq_text_printf(&t, ", \"exit_code\": %d, \"error\": ", gq_status_exit_code(status));
    gq_text_json(&t, error, strlen(error));
    gq_text_puts(&t, "}\n");
    gq_status told = t.failed ? GQ_ERR_NO_MEMORY : GQ_OK;
    if (t.failed)
        fprintf(stderr, "gpuq run: out of memory for the summary%s%s\n", *error ? "; the run failed: " : "", error);
    else if ((told = gq_file_write_all(STDERR_FILENO, t.data, t.len)) !=
             GQ_OK) /* what reads neither has the exit code */
        gpuq_report("run", gq_error_prefix(told, "the summary was not written: "));
    gq_text_finish(&t);
    return status == GQ_OK ? told : status;
}

/* Where --json was asked for it is all that stands on standard error, as of a summary. */
static int complain(const struct run_opts *opts, gq_status status)
{
    return opts->json ? gpuq_report_json(stderr, "{", status) : gpuq_report("run", status);
}

static void tell_note(void *context, const char *sentence)
{
    (void)context;
    fprintf(stderr, "gpuq run: note: %s\n", sentence);
}

/* --- running ------------------------------------------------------------------------------------------------------ */

/* Until the run ends or is asked to: gq_stop() then drains within the file's bound. */
static void wait_with_progress(gq_pipeline *p, bool show)
{
    while (!signals && gq_wait(p, PROGRESS_MS) == GQ_ERR_TIMEOUT)
        if (show)
            progress(p);
    if (show && signals) /* the drain is one wait: this line stands until it is over */
        progress(p);
}

static int run(gq_pipeline *p, const struct run_opts *opts)
{
    gq_stats stats = {.size = sizeof stats};
    struct run_control control;
    gq_status status = gq_prepare(p);
    bool show = isatty(STDERR_FILENO) && !opts->json && !opts->quiet;
    running = p;
    install_signals();
    if (status == GQ_OK)
        status = gq_start(p);
    if (status == GQ_OK)
        status = run_control_start(&control, p, opts->watch, p->conf->control_socket != NULL);
    if (status != GQ_OK)
        return complain(opts, status);
    const uint64_t torn = __atomic_load_n(&p->dead_file.torn_bytes, __ATOMIC_RELAXED);
    if (torn)
        fprintf(stderr,
                "gpuq run: %s: a crash had left %" PRIu64 " bytes of an unfinished letter, which were cut off\n",
                p->dead_file.path, torn);
    wait_with_progress(p, show);
    gq_interrupt(p); /* a canary that is watched still has nothing more to prove itself with */
    run_control_stop(&control);
    status = gq_stop(p, 0); /* also says why a pipeline failed before */
    if (show)
        gpuq_console_clear();
    gq_get_stats(p, &stats);
    if (opts->json)
        status = summary_json(p, &stats, status);
    if (status != GQ_OK && !opts->json)
        gpuq_report("run", status);
    if (!opts->json && !opts->quiet)
        summary_text(p, opts->open.path, &stats, status);
    return gq_status_exit_code(status);
}

static gq_status take_threads(const char *text, uint32_t *out)
{
    if (gpuq_read_threads(text, out))
        return GQ_OK;
    return gq_error_set(GQ_ERR_INVALID_ARG, "--threads %s: a number from 1 to 1024 was expected", text);
}

static gq_status take_option(int option, char **argv, struct run_opts *opts)
{
    switch (option) {
    case 'b':
        opts->open.backend = optarg;
        return GQ_OK;
    case 't':
        return take_threads(optarg, &opts->open.cpu_threads);
    case 'n':
        opts->open.no_cache = 1;
        return GQ_OK;
    case 'q':
        opts->quiet = true;
        return GQ_OK;
    case 'w':
        opts->watch = true;
        return GQ_OK;
    default:
        return gpuq_refuse_option("run", argv);
    }
}

/* --json counts behind an option that is refused, too: it says how. */
static gq_status parse(int argc, char **argv, struct run_opts *opts)
{
    static const struct option options[] = {{"backend", required_argument, NULL, 'b'},
                                            {"threads", required_argument, NULL, 't'},
                                            {"no-cache", no_argument, NULL, 'n'},
                                            {"json", no_argument, NULL, 'j'},
                                            {"quiet", no_argument, NULL, 'q'},
                                            {"watch", no_argument, NULL, 'w'},
                                            {0}};
    gq_status status = GQ_OK;
    *opts = (struct run_opts){.open = {.size = sizeof opts->open, .note = tell_note}};
    optind = 1;
    opterr = 0;
    for (int c; (c = getopt_long(argc, argv, "b:t:njqw", options, NULL)) != -1;) {
        if (c == 'j')
            opts->json = true;
        else if (status == GQ_OK)
            status = take_option(c, argv, opts);
    }
    if (status != GQ_OK)
        return status;
    if (argc - optind != 1)
        return gq_error_set(GQ_ERR_INVALID_ARG, "one pipeline file was expected; try `gpuq help run`");
    if (opts->json && opts->quiet)
        return gq_error_set(GQ_ERR_INVALID_ARG,
                            "--json and --quiet: a summary as JSON or none was expected; leave one out");
    opts->open.path = argv[optind];
    return GQ_OK;
}

/* Where messages come from a program, or results go to one, there is nothing to run without it. */
static gq_status refuse_for_programs(const gq_pipeline *p, const char *path)
{
    bool source = p->conf->source.kind == GQ_SOURCE_API, sink = p->conf->sink.kind == GQ_SINK_API;
    if (!source && !sink)
        return GQ_OK;
    return gq_error_set(GQ_ERR_INVALID_ARG,
                        "%s: %s `api`, which is for a program that opens the file with q_open() or gq_open(); name "
                        "another to run it here",
                        path,
                        source && sink ? "source and sink are"
                        : source       ? "source is"
                                       : "sink is");
}

int cmd_run(int argc, char **argv)
{
    struct run_opts opts;
    gq_pipeline *p = NULL;
    gq_status status = parse(argc, argv, &opts);
    if (status == GQ_OK)
        status = gq_open(&opts.open, &p);
    if (status == GQ_OK)
        status = refuse_for_programs(p, opts.open.path);
    const int code = status == GQ_OK ? run(p, &opts) : complain(&opts, status);
    running = NULL;
    gq_close(p);
    return code;
}
