/* gpuq cache: what lies in the cache of compiled plugins, and emptying it. */
#include "commands.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "build/cache.h"
#include "config/problem.h"

static int usage(void)
{
    fputs("usage: gpuq cache ls|clear\n", stderr);
    return gq_status_exit_code(GQ_ERR_INVALID_ARG);
}

struct sums {
    uint64_t entries, bytes;
};

static bool show(const struct gq_cache_item *item, void *context)
{
    struct sums *sums = context;
    char when[32] = "";
    struct tm local;
    if (localtime_r(&item->written, &local))
        strftime(when, sizeof when, "%Y-%m-%d %H:%M", &local);
    struct gq_text plugin = {0}; /* a file's name may hold anything */
    gq_problem_show(&plugin, item->plugin, strlen(item->plugin));
    printf("%.12s  %7.1f KiB  %s  %s\n", item->key, (double)item->bytes / 1024, when, gq_text_str(&plugin));
    gq_text_finish(&plugin);
    sums->entries++;
    sums->bytes += item->bytes;
    return true;
}

static gq_status list(const char *folder)
{
    struct sums sums = {0};
    gq_status status = gq_cache_list(folder, show, &sums);
    if (status == GQ_OK)
        fprintf(stderr, "%" PRIu64 " compiled plugin%s, %.1f MiB in %s\n", sums.entries, sums.entries == 1 ? "" : "s",
                (double)sums.bytes / (1 << 20), folder);
    return status;
}

static gq_status clear(const char *folder)
{
    uint32_t entries;
    uint64_t bytes;
    gq_status status = gq_cache_clear(folder, &entries, &bytes);
    if (status == GQ_OK)
        fprintf(stderr, "removed %" PRIu32 " compiled plugin%s, %.1f MiB, from %s\n", entries, entries == 1 ? "" : "s",
                (double)bytes / (1 << 20), folder);
    return status;
}

int cmd_cache(int argc, char **argv)
{
    bool ls = argc == 2 && strcmp(argv[1], "ls") == 0;
    if (!ls && (argc != 2 || strcmp(argv[1], "clear") != 0))
        return usage();
    struct gq_text folder = {0};
    gq_status status = GQ_OK;
    gq_cache_locate(NULL, &folder);
    if (folder.len == 0)
        fputs("there is no cache: GPUQ_CACHE is off, or there is no home to keep one in\n", stderr);
    else
        status = ls ? list(folder.data) : clear(folder.data);
    if (status != GQ_OK)
        fprintf(stderr, "gpuq cache: %s\n", gq_error_text());
    gq_text_finish(&folder);
    return gq_status_exit_code(status);
}
