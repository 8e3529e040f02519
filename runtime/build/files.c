/* Which files a build depends on, for those who watch them. */
#include <stdlib.h>
#include <string.h>
#include "build/build.h"
#include "build/scan.h"

static void add(struct gq_text *out, size_t from, const char *path)
{
    size_t len = strlen(path) + 1;
    for (size_t at = from; at < out->len; at += strlen(out->data + at) + 1)
        if (strcmp(out->data + at, path) == 0)
            return;
    gq_text_add(out, path, len);
}

static void add_scan(const char *path, enum gq_scan_target target, size_t from, struct gq_text *out)
{
    struct gq_scan *scan = calloc(1, sizeof *scan);
    /* What a scan refuses, it has read all the same. */
    if (!scan || gq_scan_plugin(path, target, scan) == GQ_ERR_NO_MEMORY)
        out->failed = true;
    if (!scan)
        return;
    for (size_t i = 0; i < scan->file_count; i++)
        add(out, from, scan->file[i].path);
    for (size_t at = 0; at < scan->missing.len; at += strlen(scan->missing.data + at) + 1)
        add(out, from, scan->missing.data + at);
    gq_scan_finish(scan);
    free(scan);
}

void gq_plugin_files(const char *path, uint32_t arch, struct gq_text *out)
{
    size_t from = out->len;
    if (gq_builtin_name(path))
        return;
    add(out, from, path);
    add_scan(path, arch ? GQ_SCAN_CUDA : GQ_SCAN_CPU, from, out);
    if (!arch) /* which also looks beside the plugin for what is included in <> */
        add_scan(path, GQ_SCAN_CUDA, from, out);
}
