/* The entry points of gpuqueue/swap.h: argument checks, and nothing else. */
#include <gpuqueue/swap.h>
#include "api/api.h"
#include "pipeline/pipeline.h"
#include "pipeline/swap.h"
#include <stdlib.h>
#include <string.h>

#define RESULT_LEAST offsetof(gq_swap_result, version)

/* A result as this release knows it, for as long as a call lasts. It is large, and the caller's stack may be small. */
static gq_status make_result(const gq_swap_result *given, gq_swap_result **out)
{
    *out = NULL;
    if (given && given->size < RESULT_LEAST)
        return gq_error_set(GQ_ERR_INVALID_ARG, "the result's size is not set");
    *out = calloc(1, sizeof **out);
    return *out ? GQ_OK : gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for a result");
}

static void give_result(gq_swap_result *made, gq_swap_result *given)
{
    if (made && given) {
        const size_t size = given->size;
        memcpy(given, made, size < sizeof *made ? size : sizeof *made);
        given->size = size;
    }
    free(made);
}

static gq_status check_change(const gq_pipeline *p, const char *call, const char *stage, const gq_swap_result *given,
                              gq_swap_result **made)
{
    *made = NULL;
    gq_status status = gq_check_pipeline(p, call);
    if (status == GQ_OK && !stage)
        status = gq_error_set(GQ_ERR_INVALID_ARG, "%s: the stage is NULL", call);
    if (status == GQ_OK && (status = make_result(given, made)) == GQ_ERR_INVALID_ARG)
        gq_error_prefix(status, "%s: ", call);
    return status;
}

#define SHARE_MAX 500000u
#define MILLION 1000000u
#define DAY_MS 86400000u

static gq_status check_canary(const gq_swap_opts *opts)
{
    if (opts->canary_ppm > SHARE_MAX)
        return gq_error_set(GQ_ERR_INVALID_ARG, "gq_swap: opts.canary_ppm is %u; a canary has at most %u of a million",
                            opts->canary_ppm, SHARE_MAX);
    if (opts->canary_ms > DAY_MS)
        return gq_error_set(GQ_ERR_INVALID_ARG, "gq_swap: opts.canary_ms is %u; a canary is watched for at most a day",
                            opts->canary_ms);
    if (opts->canary_failures > MILLION)
        return gq_error_set(GQ_ERR_INVALID_ARG, "gq_swap: opts.canary_failures is %u; of a million, no more can fail",
                            opts->canary_failures);
    if (opts->canary_ppm == 0 &&
        (opts->canary_ms || opts->canary_messages || opts->canary_failures || opts->canary_p99))
        return gq_error_set(GQ_ERR_INVALID_ARG, "gq_swap: opts.canary_ppm is 0, so there is no canary, and the other "
                                                "fields of one are set");
    return GQ_OK;
}

static gq_status read_opts(const gq_swap_opts *opts, gq_swap_opts *known)
{
    *known = (gq_swap_opts){.size = sizeof *known};
    if (!opts)
        return GQ_OK;
    gq_status status = gq_read_struct(opts, sizeof opts->size, known, sizeof *known, "gq_swap: opts");
    if (status == GQ_OK && known->rehearse > 2)
        status = gq_error_set(GQ_ERR_INVALID_ARG, "gq_swap: opts.rehearse is %u; 0, 1 and 2 have a meaning",
                              known->rehearse);
    return status == GQ_OK ? check_canary(known) : status;
}

gq_status gq_swap(gq_pipeline *p, const char *stage, const gq_swap_opts *opts, gq_swap_result *result)
{
    gq_swap_opts known;
    gq_swap_result *made;
    gq_status status = check_change(p, "gq_swap", stage, result, &made);
    if (status == GQ_OK)
        status = read_opts(opts, &known);
    if (status == GQ_OK)
        status = gq_pipeline_swap(p, stage, &known, made);
    give_result(made, result);
    return status;
}

gq_status gq_rollback(gq_pipeline *p, const char *stage, gq_swap_result *result)
{
    gq_swap_result *made;
    gq_status status = check_change(p, "gq_rollback", stage, result, &made);
    if (status == GQ_OK)
        status = gq_pipeline_rollback(p, stage, made);
    give_result(made, result);
    return status;
}

gq_status gq_use(gq_pipeline *p, const char *stage, uint32_t version, gq_swap_result *result)
{
    gq_swap_result *made;
    gq_status status = check_change(p, "gq_use", stage, result, &made);
    if (status == GQ_OK)
        status = gq_pipeline_use(p, stage, version, made);
    give_result(made, result);
    return status;
}

gq_status gq_discard(gq_pipeline *p, const char *stage, uint32_t version)
{
    gq_status status = gq_check_pipeline(p, "gq_discard");
    if (status == GQ_OK && !stage)
        status = gq_error_set(GQ_ERR_INVALID_ARG, "gq_discard: the stage is NULL");
    return status == GQ_OK ? gq_pipeline_discard(p, stage, version) : status;
}

gq_status gq_reload(gq_pipeline *p, uint32_t *changed, gq_swap_result *result)
{
    gq_swap_result *made;
    uint32_t count = 0;
    gq_status status = check_change(p, "gq_reload", "", result, &made);
    if (status == GQ_OK)
        status = gq_pipeline_reload(p, &count, made);
    if (changed)
        *changed = count;
    give_result(made, result);
    return status;
}

gq_status gq_versions(gq_pipeline *p, gq_version_info *out, size_t max, size_t *count)
{
    gq_status status = gq_check_pipeline(p, "gq_versions");
    if (status == GQ_OK && (!count || (!out && max)))
        status = gq_error_set(GQ_ERR_INVALID_ARG, "gq_versions: out or count is NULL");
    if (status == GQ_OK)
        gq_pipeline_versions(p, out, max, count);
    return status;
}
