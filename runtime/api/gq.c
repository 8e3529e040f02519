/* The gq_* entry points: argument checks, and nothing else. */
#include <gpuqueue/runtime.h>
#include "base/error.h"
#include "pipeline/pipeline.h"
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

/* A struct of an older or newer caller: shorter ones are filled up with zeroes; of longer ones the part we do not know
 * must be zero, or the caller asks for something that this library cannot do. */
static gq_status read_opts(const gq_open_opts *opts, gq_open_opts *out)
{
    *out = (gq_open_opts){0};
    if (!opts || opts->size < offsetof(gq_open_opts, backend))
        return gq_error_set(GQ_ERR_INVALID_ARG, "gq_open: opts is NULL or its size is not set");
    const unsigned char *bytes = (const unsigned char *)opts;
    for (size_t i = sizeof *out; i < opts->size; i++)
        if (bytes[i] != 0)
            return gq_error_set(GQ_ERR_INVALID_ARG,
                                "gq_open: opts has a field at byte %zu that this release (%s) does not know", i,
                                GQ_VERSION);
    memcpy(out, opts, opts->size < sizeof *out ? opts->size : sizeof *out);
    return GQ_OK;
}

gq_status gq_open(const gq_open_opts *opts, gq_pipeline **out)
{
    gq_open_opts known;
    if (!out)
        return gq_error_set(GQ_ERR_INVALID_ARG, "gq_open: out is NULL");
    *out = NULL;
    gq_status status = read_opts(opts, &known);
    if (status == GQ_OK && !known.path && !known.text)
        status = gq_error_set(GQ_ERR_INVALID_ARG, "gq_open: neither path nor text is given");
    return status == GQ_OK ? gq_pipeline_open(&known, out) : status;
}

/* A forked child has none of the pipeline's threads, and would stop its parent's worker. */
static bool inherited(const gq_pipeline *p) { return p->pid != getpid(); }

/* May this process make the call on this pipeline? */
static gq_status check(const gq_pipeline *p, const char *call)
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
    gq_status status = check(p, "gq_prepare");
    return status == GQ_OK ? gq_pipeline_prepare(p) : status;
}

gq_status gq_start(gq_pipeline *p)
{
    gq_status status = check(p, "gq_start");
    return status == GQ_OK ? gq_pipeline_start(p) : status;
}

gq_status gq_wait(gq_pipeline *p, uint32_t timeout_ms)
{
    gq_status status = check(p, "gq_wait");
    return status == GQ_OK ? gq_pipeline_wait(p, timeout_ms) : status;
}

void gq_interrupt(gq_pipeline *p)
{
    if (p && !inherited(p))
        gq_pipeline_interrupt(p);
}

gq_status gq_stop(gq_pipeline *p, uint32_t drain_ms)
{
    gq_status status = check(p, "gq_stop");
    return status == GQ_OK ? gq_pipeline_stop(p, drain_ms) : status;
}

void gq_close(gq_pipeline *p)
{
    if (p && !inherited(p))
        gq_pipeline_close(p);
}

GpuQueue *gq_queue(gq_pipeline *p) { return p && p->phase == GQ_PHASE_STARTED ? p->handle : NULL; }

gq_status gq_get_stats(const gq_pipeline *p, gq_stats *out)
{
    gq_stats all = {.size = sizeof all};
    if (!p || !out || out->size < sizeof(size_t))
        return gq_error_set(GQ_ERR_INVALID_ARG, "gq_get_stats: the pipeline or out is NULL, or out->size is not set");
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
