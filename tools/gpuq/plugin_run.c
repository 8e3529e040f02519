/* gpuq plugin run: one message, once or many times. */
#include <errno.h>
#include <fcntl.h>
#include <gpuqueue/layout.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/file.h"
#include "plugin_probe.h"
#include "config/golden_result.h"
#include "plugin_verbs.h"

#define ROOM_LEAST 1024u

static gq_status read_until_end(int fd, const char *name, struct gq_text *out)
{
    char piece[65536];
    for (;;) {
        ssize_t got = read(fd, piece, sizeof piece);
        if (got == 0)
            return out->failed ? gq_error_set(GQ_ERR_NO_MEMORY, "memory ran out for the message") : GQ_OK;
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return gq_error_errno(GQ_ERR_IO, errno, "reading %s failed", name);
        gq_text_add(out, piece, (size_t)got);
        if (out->len > GQ_SLOT_BYTES_MAX)
            return gq_error_set(GQ_ERR_DATA, "%s has more bytes than a message may have, %u", name, GQ_SLOT_BYTES_MAX);
    }
}

static gq_status read_message(const struct plugin_args *args, struct gq_text *out)
{
    if (strcmp(args->in, "-") == 0)
        return read_until_end(STDIN_FILENO, "standard input", out);
    int fd = open(args->in, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return gq_error_errno(GQ_ERR_IO, errno, "cannot read %s", args->in);
    gq_status status = read_until_end(fd, args->in, out);
    close(fd);
    return status;
}

static gq_status check_options(const struct plugin_args *args, enum gq_image_kind kind)
{
    if (kind == GQ_IMAGE_SOURCE && args->in)
        return gq_error_set(GQ_ERR_INVALID_ARG, "%s is a source and takes no message: write --index N", args->file);
    if (kind == GQ_IMAGE_STAGE && args->index_given)
        return gq_error_set(GQ_ERR_INVALID_ARG, "--index is for sources, and %s is none", args->file);
    if (kind == GQ_IMAGE_STAGE && !args->in)
        return gq_error_set(GQ_ERR_INVALID_ARG, "which message? write --in FILE, or --in - for standard input");
    if (kind == GQ_IMAGE_SOURCE && args->repeat - 1 > GQ_GOLDEN_INDEX_MAX - args->index)
        return gq_error_set(GQ_ERR_INVALID_ARG, "--index and --repeat go beyond the last index, %llu",
                            GQ_GOLDEN_INDEX_MAX);
    return GQ_OK;
}

static uint32_t room_for(const struct plugin_args *args, size_t len)
{
    if (args->slot_bytes)
        return args->slot_bytes;
    return len > ROOM_LEAST ? (uint32_t)len : ROOM_LEAST;
}

static void print_bytes(const struct gq_golden_bytes *out)
{
    fwrite(out->data, 1, out->len, stdout);
    if (isatty(STDOUT_FILENO) && (out->len == 0 || out->data[out->len - 1] != '\n'))
        putchar('\n');
}

static int print_result(const struct gq_golden_result *result)
{
    if (result->ending == GQ_GOLDEN_OUT) {
        if (result->out.len)
            print_bytes(&result->out);
        return 0;
    }
    struct gq_text words = {0};
    gq_golden_show_result(&words, result, 0);
    fprintf(stderr, "gpuq plugin run: %s\n", gq_text_str(&words));
    gq_text_finish(&words);
    return result->ending == GQ_GOLDEN_DROPPED ? 0 : gq_status_exit_code(GQ_ERR_DEVICE);
}

static void print_mean(const struct plugin_args *args, const struct probe *probe, double mean_ns)
{
    const char *unit = mean_ns < 1e3 ? "ns" : mean_ns < 1e6 ? "us" : "ms";
    const double shown = mean_ns < 1e3 ? mean_ns : mean_ns < 1e6 ? mean_ns / 1e3 : mean_ns / 1e6;
    fflush(stdout);
    fprintf(stderr, "%llu run%s, mean %.3g %s (%s, one thread, queue included)\n", (unsigned long long)args->repeat,
            args->repeat == 1 ? "" : "s", shown, unit, gq_backend(probe->pipeline));
}

/* The first message's result is the one shown; the rest only takes its time. */
static gq_status probe_all(const struct plugin_args *args, struct probe *probe, const struct gq_text *message,
                           int *code)
{
    struct gq_golden_result result = {0};
    double mean_ns = 0;
    const bool source = !args->in;
    gq_status status =
        source ? probe_take(probe, &result) : probe_feed(probe, gq_text_str(message), message->len, &result);
    if (status == GQ_OK)
        *code = print_result(&result);
    gq_golden_result_finish(&result);
    const uint64_t times = source ? args->repeat - 1 : args->repeat;
    if (status == GQ_OK && args->repeat_given && times > 0) {
        status = probe_repeat(probe, gq_text_str(message), message->len, times, &mean_ns);
        if (status == GQ_OK)
            print_mean(args, probe, mean_ns);
    }
    return status;
}

static gq_status run_message(const struct plugin_args *args, enum gq_image_kind kind, const struct gq_text *message,
                             int *code)
{
    struct probe probe;
    struct probe_opts opts = {.backend = args->backend, .no_cache = args->no_cache, .timeout_s = args->timeout_s};
    opts.text = (struct plugin_text){.file = args->file,
                                     .kind = kind,
                                     .params = args->params,
                                     .param_count = args->param_count,
                                     .slot_bytes = room_for(args, message->len),
                                     .first = args->index,
                                     .count = args->repeat};
    gq_status status = probe_open(&opts, &probe);
    if (status != GQ_OK)
        return status;
    status = probe_all(args, &probe, message, code);
    if (status != GQ_OK)
        *code = plugin_complain(args, status);
    const gq_status late = probe_close(&probe);
    if (status == GQ_OK && late != GQ_OK)
        *code = plugin_complain(args, late);
    return GQ_OK;
}

int plugin_run(const struct plugin_args *args)
{
    enum gq_image_kind kind;
    struct gq_text message = {0};
    int code = 0;
    gq_status status = plugin_text_kind(args->file, &kind);
    if (status == GQ_OK)
        status = check_options(args, kind);
    if (status == GQ_OK && kind == GQ_IMAGE_STAGE)
        status = read_message(args, &message);
    if (status == GQ_OK)
        status = run_message(args, kind, &message, &code);
    gq_text_finish(&message);
    return status == GQ_OK ? code : plugin_complain(args, status);
}
