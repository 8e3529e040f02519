#include "pipeline/rehearse.h"
#include "base/file.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct rehearsing {
    const struct gq_rehearsal *r;
    char *path; /* of the golden file */
    struct gq_golden *golden;
    const struct gq_golden_vector *before; /* the one that ran last */
    struct gq_image other;                 /* built with the parameters of `before`; fd -1: they are the stage's */
    uint32_t passed;
};

/* --- which code ------------------------------------------------------------------------------------------------------
 */

static gq_status place(const struct rehearsing *n, const struct gq_golden_vector *v, gq_status status)
{
    return gq_error_prefix(status, "%s:%u: golden vector '%s': ", n->path, v->mark.line, v->name);
}

static gq_status load(const struct rehearsing *n, const struct gq_image *image)
{
    return gq_spare_load(n->r->spare, n->r->stage_name, image, n->r->budget_ms);
}

static gq_status build_other(struct rehearsing *n, struct gq_build_request *request)
{
    gq_image_finish(&n->other);
    gq_status status = gq_build(n->r->builder, request, &n->other);
    if (status == GQ_OK && strcmp(n->other.digest, n->r->image->digest) == 0)
        gq_image_finish(&n->other); /* written otherwise, and the same code */
    return status;
}

/* The image with a vector's parameters, which is the new code itself if they are the stage's. */
static gq_status choose_image(struct rehearsing *n, const struct gq_golden_vector *v)
{
    struct gq_conf_param *params;
    struct gq_build_request request = *n->r->request;
    gq_status status = gq_golden_params(v, &params, &request.param_count);
    if (status != GQ_OK)
        return status;
    request.params = params;
    request.conf_file = n->path;
    if (gq_conf_params_same(params, request.param_count, n->r->request->params, n->r->request->param_count))
        gq_image_finish(&n->other);
    else
        status = build_other(n, &request);
    gq_conf_params_destroy(params, request.param_count);
    return status;
}

/* Vectors in a row that ask for the same share their state, as they do in `gpuq plugin test`. The first of them finds
 * the new code loaded, and fresh. */
static gq_status prepare(struct rehearsing *n, const struct gq_golden_vector *v)
{
    if (n->before && gq_golden_same_params(n->before, v))
        return GQ_OK;
    gq_status status = choose_image(n, v);
    if (status == GQ_OK && (n->before || n->other.fd >= 0))
        status = load(n, n->other.fd >= 0 ? &n->other : n->r->image);
    n->before = v;
    return status;
}

/* --- vectors ---------------------------------------------------------------------------------------------------------
 */

static bool fits(const struct rehearsing *n, const struct gq_golden_vector *v)
{
    const uint32_t slot_bytes = n->r->spare->conf.slot_bytes;
    if (v->in.len > slot_bytes || v->out.len > slot_bytes)
        return false;
    if (v->slot_bytes)
        return v->slot_bytes == slot_bytes;
    return v->ending != GQ_GOLDEN_OVERFLOW || slot_bytes <= gq_golden_room(n->golden);
}

static gq_status compare(const struct rehearsing *n, const struct gq_golden_vector *v,
                         const struct gq_golden_result *got, struct gq_text *log)
{
    const struct gq_golden_result expected = gq_golden_expected(v);
    if (gq_golden_same(&expected, got))
        return GQ_OK;
    gq_text_printf(log, "%s:%u: golden vector '%s' differs\n", n->path, v->mark.line, v->name);
    gq_golden_show_difference(log, "  ", &expected, got);
    return gq_error_set(GQ_ERR_PLUGIN, "%s:%u: golden vector '%s' differs from what %s made of it", n->path,
                        v->mark.line, v->name, n->r->request->path);
}

static gq_status run_vector(struct rehearsing *n, const struct gq_golden_vector *v, struct gq_text *log)
{
    struct gq_golden_result got = {0};
    gq_status status = prepare(n, v);
    if (status == GQ_OK)
        status = gq_spare_feed(n->r->spare, &v->in, n->r->budget_ms, &got);
    if (status == GQ_ERR_TIMEOUT)
        gq_error_set(status, "it did not end within %llu ms (swap.budget): does the plugin loop for ever?",
                     (unsigned long long)n->r->budget_ms);
    status = status == GQ_OK ? compare(n, v, &got, log) : place(n, v, status);
    gq_golden_result_finish(&got);
    return status;
}

static gq_status run_vectors(struct rehearsing *n, struct gq_text *log)
{
    size_t left_out = 0;
    gq_status status = GQ_OK;
    for (size_t i = 0; i < n->golden->count && status == GQ_OK; i++) {
        const struct gq_golden_vector *v = &n->golden->vectors[i];
        if (!fits(n, v)) {
            left_out++;
            continue;
        }
        status = run_vector(n, v, log);
        n->passed += status == GQ_OK;
    }
    if (status == GQ_OK && left_out)
        gq_text_printf(log,
                       "%s: %zu of %zu vectors need a slot of another size than queue.slot_bytes and were not run\n",
                       n->path, left_out, n->golden->count);
    return status;
}

static gq_status read_golden(struct rehearsing *n)
{
    struct gq_text errors = {0};
    size_t count = 0;
    bool there;
    gq_status status = gq_file_look(n->path, &there);
    if (status == GQ_OK && there)
        status = gq_golden_load(n->path, &errors, &count, &n->golden);
    if (count && status == GQ_ERR_PLUGIN)
        gq_error_set(status, "%s", gq_text_str(&errors));
    gq_text_finish(&errors);
    if (status == GQ_ERR_IO) /* vectors that are there and cannot be run are not vectors that passed */
        status = gq_error_prefix(GQ_ERR_PLUGIN,
                                 "the golden vectors of %s cannot be read; mend or remove them: ", n->r->request->path);
    if (status == GQ_OK && n->golden && n->golden->source)
        status = gq_error_set(GQ_ERR_PLUGIN, "%s has indices, for a source plugin, and %s is a stage", n->path,
                              n->r->request->path);
    return status;
}

static gq_status run_all(struct rehearsing *n, struct gq_text *log)
{
    const char *plugin = n->r->request->path;
    const bool builtin = gq_builtin_name(plugin) != NULL;
    gq_status status = GQ_OK;
    if (!builtin && !(n->path = gq_golden_path(plugin)))
        status = gq_error_set(GQ_ERR_NO_MEMORY, "memory ran out for a path");
    if (status == GQ_OK && n->path)
        status = read_golden(n);
    if (status == GQ_OK)
        status = load(n, n->r->image);
    if (status == GQ_OK && n->golden)
        status = run_vectors(n, log);
    return status;
}

/* Whatever the new code did to its worker, and whichever call met it, is the plugin's fault. */
static gq_status blame(gq_status status)
{
    return status == GQ_ERR_DEVICE || status == GQ_ERR_TIMEOUT || status == GQ_ERR_CONFIG ? GQ_ERR_PLUGIN : status;
}

/* The spare rests, or, when it is inside code that does not end, or broke, it ends. */
static gq_status settle(struct gq_spare *spare, gq_status status)
{
    char sentence[GQ_ERROR_TEXT_MAX];
    if (status == GQ_OK && (status = gq_spare_rest(spare)) == GQ_OK)
        return GQ_OK;
    snprintf(sentence, sizeof sentence, "%s", gq_error_text());
    if (status == GQ_ERR_TIMEOUT || status == GQ_ERR_DEVICE || gq_spare_rest(spare) != GQ_OK)
        gq_spare_end(spare);
    return gq_error_set(blame(status), "%s", sentence);
}

gq_status gq_rehearse(const struct gq_rehearsal *r, uint32_t *passed, struct gq_text *log)
{
    struct rehearsing n = {.r = r, .other = {.fd = -1}};
    gq_status status = settle(r->spare, run_all(&n, log));
    *passed = n.passed;
    gq_image_finish(&n.other);
    gq_golden_destroy(n.golden);
    free(n.path);
    return status;
}
