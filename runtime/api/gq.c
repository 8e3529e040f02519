/* The gq_* entry points: argument checks, and nothing else. */
#include <gpuqueue/layout.h>
#include <gpuqueue/runtime.h>
#include "api/api.h"
#include "base/error.h"
#include "pipeline/handle.h"
#include "pipeline/pipeline.h"
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

gq_status gq_read_struct(const void *given, size_t least, void *known, size_t known_size, const char *what)
{
    const unsigned char *bytes = given;
    size_t size = 0;
    if (given)
        memcpy(&size, given, sizeof size);
    memset(known, 0, known_size);
    if (size < least)
        return gq_error_set(GQ_ERR_INVALID_ARG, "%s is NULL or its size is not set", what);
    for (size_t i = known_size; i < size; i++)
        if (bytes[i] != 0)
            return gq_error_set(GQ_ERR_INVALID_ARG, "%s has a field at byte %zu that this release (%s) does not know",
                                what, i, GQ_VERSION);
    memcpy(known, given, size < known_size ? size : known_size);
    return GQ_OK;
}

gq_status gq_open(const gq_open_opts *opts, gq_pipeline **out)
{
    gq_open_opts known;
    if (!out)
        return gq_error_set(GQ_ERR_INVALID_ARG, "gq_open: out is NULL");
    *out = NULL;
    gq_status status = gq_read_struct(opts, offsetof(gq_open_opts, backend), &known, sizeof known, "gq_open: opts");
    if (status == GQ_OK && !known.path && !known.text)
        status = gq_error_set(GQ_ERR_INVALID_ARG, "gq_open: neither path nor text is given");
    if (status == GQ_OK && known.cpu_threads > GQ_BLOCKS_MAX)
        status = gq_error_set(GQ_ERR_INVALID_ARG, "gq_open: opts.cpu_threads is %u; a worker has at most %u",
                              known.cpu_threads, GQ_BLOCKS_MAX);
    return status == GQ_OK ? gq_pipeline_open(&known, out) : status;
}

static bool inherited(const gq_pipeline *p) { return p->pid != getpid(); }

gq_status gq_check_pipeline(const struct gq_pipeline *p, const char *call)
{
    if (!p)
        return gq_error_set(GQ_ERR_INVALID_ARG, "%s: the pipeline is NULL", call);
    if (inherited(p))
        return gq_error_set(GQ_ERR_INVALID_ARG,
                            "%s: the pipeline belongs to process %d, which this one was forked from", call,
                            (int)p->pid);
    return GQ_OK;
}

gq_status gq_prepare(gq_pipeline *p)
{
    gq_status status = gq_check_pipeline(p, "gq_prepare");
    return status == GQ_OK ? gq_pipeline_prepare(p) : status;
}

gq_status gq_start(gq_pipeline *p)
{
    gq_status status = gq_check_pipeline(p, "gq_start");
    return status == GQ_OK ? gq_pipeline_start(p) : status;
}

gq_status gq_wait(gq_pipeline *p, uint32_t timeout_ms)
{
    gq_status status = gq_check_pipeline(p, "gq_wait");
    return status == GQ_OK ? gq_pipeline_wait(p, timeout_ms) : status;
}

void gq_interrupt(gq_pipeline *p)
{
    if (p && !inherited(p))
        gq_pipeline_interrupt(p);
}

gq_status gq_stop(gq_pipeline *p, uint32_t drain_ms)
{
    gq_status status = gq_check_pipeline(p, "gq_stop");
    return status == GQ_OK ? gq_pipeline_stop(p, drain_ms) : status;
}

void gq_close(gq_pipeline *p)
{
    if (p && !inherited(p))
        gq_pipeline_close(p);
}

GpuQueue *gq_queue(gq_pipeline *p)
{
    const bool given =
        p && p->phase == GQ_PHASE_STARTED && p->handle && (p->handle->can_enqueue || p->handle->can_take);
    return given ? p->handle : NULL;
}

gq_status gq_get_stats(const gq_pipeline *p, gq_stats *out)
{
    gq_stats all = {.size = sizeof all};
    gq_status status = gq_check_pipeline(p, "gq_get_stats"); /* a child's copy of a lock may be held for ever */
    if (status != GQ_OK)
        return status;
    if (!out || out->size < sizeof(size_t))
        return gq_error_set(GQ_ERR_INVALID_ARG, "gq_get_stats: out is NULL, or out->size is not set");
    gq_pipeline_stats(p, &all);
    size_t size = out->size < sizeof all ? out->size : sizeof all;
    size_t said = out->size;
    memcpy(out, &all, size);
    out->size = said;
    return GQ_OK;
}

const char *gq_backend(const gq_pipeline *p) { return p ? gq_backend_name(p->backend) : ""; }

const char *gq_backend_reason(const gq_pipeline *p) { return p ? p->backend_reason : ""; }

const char *gq_last_error(void) { return gq_error_text(); }

const char *gq_version(void) { return GQ_VERSION; }
