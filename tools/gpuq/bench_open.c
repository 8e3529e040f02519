/* Queues for the cases, through the public API alone. */
#include "base/text.h"
#include "bench.h"
#include <errno.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const uint32_t bench_producers[4] = {1, 2, 4, BENCH_PRODUCERS_MAX};

const char *bench_too_many(const struct bench *b, uint32_t producers)
{
    static _Thread_local char why[96];
    if (producers == 1 || producers < b->processors)
        return "";
    snprintf(why, sizeof why, "it takes more than %u processors, and there are %u", producers, b->processors);
    return why;
}

uint32_t bench_most_producers(const struct bench *b)
{
    uint32_t most = 1;
    for (size_t i = 0; i < sizeof bench_producers / sizeof *bench_producers; i++)
        if (!bench_too_many(b, bench_producers[i])[0])
            most = bench_producers[i];
    return most;
}

gq_status bench_close(gq_pipeline *p, gq_status status)
{
    struct gq_text why = {0};
    gq_text_puts(&why, gq_last_error());
    if (p)
        gq_stop(p, status == GQ_OK ? 0 : 1); /* after an error, what is missing will not come */
    gq_close(p);
    if (status != GQ_OK)
        gq_error_set(status, "%s", gq_text_str(&why));
    gq_text_finish(&why);
    return status;
}

static gq_status open_text(const struct bench *b, const char *text, gq_pipeline **out)
{
    gq_open_opts opts = {.size = sizeof opts,
                         .text = text,
                         .path = "bench",
                         .cpu_threads = b->threads,
                         .backend = b->backend,
                         .cache_folder = b->cache_folder};
    return gq_open(&opts, out);
}

gq_status bench_open(struct bench *b, gq_pipeline **out, const char *format, ...)
{
    struct gq_text text = {0};
    va_list args;
    *out = NULL;
    gq_text_puts(&text, "version: 1\nname: bench\n");
    va_start(args, format);
    gq_text_vprintf(&text, format, args);
    va_end(args);
    gq_status status =
        text.failed ? gq_error_set(GQ_ERR_NO_MEMORY, "bench: out of memory") : open_text(b, gq_text_str(&text), out);
    gq_text_finish(&text);
    if (status == GQ_OK)
        status = gq_prepare(*out);
    if (status == GQ_OK)
        status = gq_start(*out);
    if (status == GQ_OK)
        return GQ_OK;
    bench_close(*out, status);
    *out = NULL;
    return status;
}

gq_status bench_choose(struct bench *b)
{
    gq_pipeline *p = NULL;
    gq_status status = open_text(b, "version: 1\nname: bench\nstages: [{ plugin: \"builtin:echo\" }]\n", &p);
    if (status != GQ_OK)
        return bench_close(p, status);
    b->cuda = strcmp(gq_backend(p), "cuda") == 0;
    snprintf(b->ran_on, sizeof b->ran_on, "%s (%s)", gq_backend(p), gq_backend_reason(p));
    gq_close(p);
    return GQ_OK;
}

/* --- plugins of our own ------------------------------------------------------------------------------------------- */

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *at)
{
    (void)info;
    (void)kind;
    (void)at;
    return remove(path);
}

gq_status bench_plugin_write(struct bench_plugin *plugin, const char *text)
{
    snprintf(plugin->folder, sizeof plugin->folder, "/tmp/gpuq-bench-XXXXXX");
    if (!mkdtemp(plugin->folder))
        return gq_error_errno(GQ_ERR_IO, errno, "%s", plugin->folder);
    snprintf(plugin->path, sizeof plugin->path, "%s/plugin.cu", plugin->folder);
    FILE *file = fopen(plugin->path, "w");
    int failed = !file || fputs(text, file) < 0;
    failed |= file && fclose(file) != 0;
    if (!failed)
        return GQ_OK;
    gq_status status = gq_error_errno(GQ_ERR_IO, errno, "%s", plugin->path);
    bench_plugin_remove(plugin);
    return status;
}

void bench_plugin_remove(struct bench_plugin *plugin) { nftw(plugin->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS); }
