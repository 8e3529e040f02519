/* gpuq plugins, swap, rollback, use, discard, reload, stats: one request to a running pipeline, and its answer. */
#include "commands.h"
#include "canary_args.h"
#include "canary_progress.h"
#include "control_show.h"
#include "refuse.h"
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "base/clock.h"
#include "config/conf.h"
#include "control/address.h"

#define CONNECT_MS 5000u

struct command {
    const char *name;
    unsigned takes;
    uint32_t answer_ms; /* how long its answer may take */
};

struct options {
    bool json;
    const char *socket, *rehearse, *stage, *file, *version;
    struct canary_args canary;
};

/* --- the command line --------------------------------------------------------------------------------------------- */

static gq_status misused(const struct command *command, const char *what, const char *word)
{
    return gq_error_set(GQ_ERR_INVALID_ARG, "%s%s; try `gpuq help %s`", what, word, command->name);
}

/* Stage, then file or version. */
static gq_status take_words(const struct command *command, char **words, int count, struct options *o)
{
    int at = 0;
    if ((command->takes & GQ_TAKES_STAGE) && at < count)
        o->stage = words[at++];
    if ((command->takes & GQ_TAKES_VERSION) && at < count)
        o->version = words[at++];
    if ((command->takes & GQ_TAKES_FILE) && at < count)
        o->file = words[at++];
    if ((command->takes & GQ_TAKES_STAGE) && !o->stage)
        return misused(command, "which stage? `gpuq plugins` lists them", "");
    if ((command->takes & GQ_TAKES_VERSION) && !o->version)
        return misused(command, "which version? `gpuq plugins` lists those of stage ", o->stage);
    return at == count ? GQ_OK : misused(command, "one word too many: ", words[at]);
}

static gq_status parse(const struct command *command, int argc, char **argv, struct options *o)
{
    static const struct option options[] = {{"json", no_argument, NULL, 'j'},
                                            {"socket", required_argument, NULL, 's'},
                                            {"rehearse", required_argument, NULL, 'r'},
                                            GQ_CANARY_FIELDS(CANARY_OPTION_ROW){0}};
    gq_status status = GQ_OK;
    int c, option = 0;
    *o = (struct options){0};
    optind = 1;
    opterr = 0;
    while ((c = getopt_long(argc, argv, "j", options, &option)) != -1) {
        if (c == 'j')
            o->json = true;
        else if (status != GQ_OK)
            continue; /* what is refused is refused in JSON wherever --json stands */
        else if (c == 's')
            o->socket = optarg;
        else if (c == 'r' && (command->takes & GQ_TAKES_REHEARSE))
            o->rehearse = optarg;
        else if (c >= CANARY_OPTION && (command->takes & GQ_TAKES_CANARY))
            status = canary_args_take(&o->canary, c, optarg);
        else if (c == '?')
            status = gpuq_refuse_option(command->name, argv);
        else
            status = misused(command, "it does not take --", options[option].name);
    }
    if (status == GQ_OK)
        status = canary_args_check(&o->canary);
    return status == GQ_OK ? take_words(command, argv + optind, argc - optind, o) : status;
}

/* --- the request -------------------------------------------------------------------------------------------------- */

/* The pipeline has a working directory of its own. */
static gq_status add_file(const char *file, struct gq_text *request)
{
    char folder[PATH_MAX];
    struct gq_text path = {0};
    bool whole = file[0] == '/' || file[0] == '\0' || gq_builtin_name(file); /* an empty one is refused as it is */
    if (!whole && !getcwd(folder, sizeof folder))
        return gq_error_set(GQ_ERR_IO, "the working directory is gone; give an absolute path");
    if (!whole)
        gq_text_printf(&path, "%s/", folder);
    gq_text_puts(&path, file);
    gq_status status = path.failed ? gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for the path of %s", file) : GQ_OK;
    gq_record_string(request, "file", gq_text_str(&path));
    gq_text_finish(&path);
    return status;
}

static gq_status write_request(const struct command *command, const struct options *o, struct gq_text *request)
{
    gq_status status = GQ_OK;
    gq_text_puts(request, command->name);
    if (o->stage)
        gq_record_string(request, "stage", o->stage);
    if (o->version)
        gq_record_string(request, "version", o->version);
    if (o->rehearse)
        gq_record_string(request, "rehearse", o->rehearse);
    canary_args_write(&o->canary, request);
    if (o->file)
        status = add_file(o->file, request);
    gq_text_puts(request, "\n");
    if (status == GQ_OK && request->failed)
        status = gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for a request");
    return status;
}

/* Somebody looks on, and it may take long. */
static bool shows_progress(const struct options *o)
{
    return o->canary.number[GPUQ_CANARY_canary_ppm] && !o->json && isatty(STDERR_FILENO);
}

static gq_status ask(const struct command *command, const struct options *o, const struct gq_text *request,
                     struct gq_answer *answer)
{
    struct gq_text path = {0};
    struct canary_progress progress = {0};
    int fd = -1;
    gq_status status = o->socket ? gq_address_connect(o->socket, CONNECT_MS, &fd) : gq_address_find(&path, &fd);
    if (status == GQ_OK && shows_progress(o))
        canary_progress_start(&progress, o->socket ? o->socket : gq_text_str(&path), o->stage);
    if (status == GQ_OK)
        status = gq_ask(fd, request, command->answer_ms, answer);
    canary_progress_stop(&progress);
    if (fd >= 0)
        close(fd);
    gq_text_finish(&path);
    return status;
}

/* --- the answer --------------------------------------------------------------------------------------------------- */

static bool is(const struct command *command, const char *name) { return strcmp(command->name, name) == 0; }

static void show(const struct command *command, const struct gq_answer *answer)
{
    if (gq_answer_status(answer) != GQ_OK)
        control_show_refusal(command->name, answer);
    else if (is(command, "plugins"))
        control_show_versions(answer);
    else if (is(command, "stats"))
        control_show_stats(answer);
    else
        control_show_change(command->name, answer);
}

static void show_json(const struct command *command, const struct gq_answer *answer)
{
    struct gq_text json = {0};
    gq_answer_json(answer, is(command, "plugins") ? "versions" : NULL, &json);
    fputs(gq_text_str(&json), stdout);
    gq_text_finish(&json);
}

/* Nobody answered: this thread's error. */
static int fail(const struct command *command, bool json, gq_status status)
{
    if (json)
        gpuq_report_json(stdout, "{", status);
    return gpuq_report(command->name, status);
}

static int run(const struct command *command, int argc, char **argv)
{
    struct options o;
    struct gq_text request = {0};
    struct gq_answer answer = {0};
    gq_status status = parse(command, argc, argv, &o);
    if (status == GQ_OK)
        status = write_request(command, &o, &request);
    if (status == GQ_OK)
        status = ask(command, &o, &request, &answer);
    int code = status == GQ_OK ? gq_status_exit_code(gq_answer_status(&answer)) : fail(command, o.json, status);
    if (status == GQ_OK)
        (o.json ? show_json : show)(command, &answer);
    gq_text_finish(&request);
    gq_answer_finish(&answer);
    return code;
}

#define CONTROL_COMMAND(name, arguments, sentence, takes, waits)                                            \
    int cmd_##name(int argc, char **argv)                                                                   \
    {                                                                                                       \
        const struct command command = {#name, takes, waits == GQ_LOOKS_ON ? GQ_ANSWER_MS : GQ_MS_FOREVER}; \
        return run(&command, argc, argv);                                                                   \
    }
GQ_CONTROL_COMMANDS(CONTROL_COMMAND)
#undef CONTROL_COMMAND
