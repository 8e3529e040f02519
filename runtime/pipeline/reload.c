/* The pipeline file, read again: what differs is built and rehearsed as a whole before the first stage is switched. */
#include "pipeline/change.h"
#include "pipeline/swap.h"
#include "base/clock.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct reload {
    struct gq_pipeline *p;
    struct gq_conf *conf; /* as the file is now */
    struct gq_change *change[GQ_STAGES_MAX];
    gq_swap_result *result[GQ_STAGES_MAX];
    uint32_t stage_of[GQ_STAGES_MAX];
    uint32_t count;
};

/* --- what may not change ---------------------------------------------------------------------------------------------
 */

static bool same_stages(const struct gq_conf *a, const struct gq_conf *b)
{
    if (a->stage_count != b->stage_count)
        return false;
    for (size_t i = 0; i < a->stage_count; i++)
        if (strcmp(a->stages[i].name, b->stages[i].name) != 0 || a->stages[i].blocks != b->stages[i].blocks ||
            a->stages[i].timeout_ms != b->stages[i].timeout_ms)
            return false;
    return true;
}

static bool same_settings(const struct gq_conf *a, const struct gq_conf *b)
{
    return a->swap.rehearse == b->swap.rehearse && a->swap.keep_versions == b->swap.keep_versions;
}

/* Messages in flight have been laid out for the source, the queue and the row of stages that there are. */
static gq_status check_fixed(const struct gq_pipeline *p, const struct gq_conf *conf)
{
    struct gq_text sections = {0};
    bool differs = gq_conf_differ(p->conf, conf, &sections);
    if (!same_stages(p->conf, conf)) {
        gq_text_printf(&sections, "%sstages (how many, their names, blocks and timeouts)", differs ? ", " : "");
        differs = true;
    }
    gq_status status = GQ_OK;
    if (differs)
        status =
            gq_error_set(GQ_ERR_CONFIG, "%s: changed, and cannot change while messages flow: %s; restart to change it",
                         conf->file, gq_text_str(&sections));
    gq_text_finish(&sections);
    return status;
}

static gq_status read_file(struct reload *r, gq_swap_result *result)
{
    struct gq_text errors = {0};
    size_t count;
    gq_status status = gq_conf_load(r->p->conf->file, &errors, &count, &r->conf);
    if (status != GQ_OK) {
        while (errors.len && errors.data[errors.len - 1] == '\n')
            errors.data[--errors.len] = '\0';
        gq_error_set(status, "%s", gq_text_str(&errors));
        snprintf(result->log, sizeof result->log, "%s", gq_text_str(&errors));
    }
    gq_text_finish(&errors);
    return status == GQ_OK ? check_fixed(r->p, r->conf) : status;
}

/* --- every stage, then the switches ----------------------------------------------------------------------------------
 */

/* A stage that somebody swapped to another file keeps that one until the pipeline file says something new. */
static bool is_wanted(const struct reload *r, uint32_t stage)
{
    const struct gq_conf *before = r->p->accepted ? r->p->accepted : r->p->conf;
    const struct gq_conf_stage *a = &before->stages[stage], *b = &r->conf->stages[stage];
    return strcmp(a->plugin, b->plugin) != 0 ||
           !gq_conf_params_same(a->params, a->param_count, b->params, b->param_count) ||
           strcmp(r->p->versions->stage[stage].live->plugin, b->plugin) == 0;
}

static gq_status prepare_stage(struct reload *r, uint32_t stage)
{
    struct gq_change *change = calloc(1, sizeof *change);
    gq_swap_result *result = calloc(1, sizeof *result);
    if (!change || !result) {
        free(change);
        free(result);
        return gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for a change");
    }
    const uint32_t n = r->count++;
    r->change[n] = change;
    r->result[n] = result;
    r->stage_of[n] = stage;
    gq_status status = gq_change_init(change, r->p, stage, r->conf->stages[stage].plugin, result);
    change->conf = &r->conf->stages[stage];
    change->conf_file = r->conf->file;
    change->rehearse = r->conf->swap.rehearse != 0;
    return status == GQ_OK ? gq_change_prepare(change) : status;
}

static gq_status prepare_all(struct reload *r)
{
    gq_status status = GQ_OK;
    for (uint32_t i = 0; i < r->conf->stage_count && status == GQ_OK; i++)
        if (is_wanted(r, i))
            status = prepare_stage(r, i);
    return status;
}

/* The code before is loaded still; whether it takes its place again is for the worker to say. */
static void go_back(struct reload *r, uint32_t count)
{
    char sentence[GQ_ERROR_TEXT_MAX];
    const gq_status status = gq_error_status();
    snprintf(sentence, sizeof sentence, "%s", gq_error_text());
    while (count-- > 0) {
        struct gq_change *change = r->change[count], back = *change;
        gq_swap_result unread = {0};
        if (!change->was)
            continue;
        back.result = &unread;
        if (gq_change_prepare_use(&back, (struct gq_code *)(uintptr_t)change->was) != GQ_OK ||
            gq_change_switch(&back) != GQ_OK) {
            gq_error_set(status, "%s; and stage '%s' stays with version %u: %s", sentence, change->conf->name,
                         change->code->number, gq_error_text());
            return;
        }
    }
    gq_error_set(status, "%s", sentence);
}

static gq_status switch_all(struct reload *r, uint32_t *changed, uint32_t *last)
{
    for (uint32_t i = 0; i < r->count; i++) {
        struct gq_change *change = r->change[i];
        if (gq_change_is_none(change))
            continue;
        *last = i;
        gq_status status = gq_change_switch(change);
        if (status != GQ_OK) {
            go_back(r, i);
            *changed = 0;
            return status;
        }
        ++*changed;
    }
    return GQ_OK;
}

/* The file as it is now is what later swaps take their parameters from. True: and their settings, which differ. */
static bool accept(struct reload *r)
{
    struct gq_conf *before = r->p->accepted;
    const bool settings = !same_settings(before ? before : r->p->conf, r->conf);
    r->p->accepted = r->conf;
    __atomic_store_n(&r->p->rehearses, r->conf->swap.rehearse != 0, __ATOMIC_RELAXED);
    r->conf = before;
    return settings;
}

static void finish(struct reload *r, uint32_t last, gq_swap_result *result)
{
    for (uint32_t i = 0; i < r->count; i++) {
        gq_change_finish(r->change[i]);
        if (i == last)
            *result = *r->result[i];
        free(r->change[i]);
        free(r->result[i]);
    }
    gq_conf_destroy(r->conf);
}

static gq_status reload(struct gq_pipeline *p, uint32_t *changed, gq_swap_result *result)
{
    struct reload r = {.p = p};
    uint32_t last;
    gq_status status = read_file(&r, result);
    if (status == GQ_OK)
        status = prepare_all(&r);
    last = r.count ? r.count - 1 : 0; /* the one that was refused */
    if (status == GQ_OK)
        status = switch_all(&r, changed, &last);
    if (status == GQ_OK && *changed == 0)
        result->step = GQ_STEP_DONE;
    const bool none = status == GQ_OK && *changed == 0;
    const bool settings = status == GQ_OK && accept(&r);
    finish(&r, none ? UINT32_MAX : last, result);
    result->settings = settings;
    return status;
}

gq_status gq_pipeline_reload(struct gq_pipeline *p, uint32_t *changed, gq_swap_result *result)
{
    *changed = 0;
    gq_status status = gq_pipeline_begin_build(p, "gq_reload");
    if (status != GQ_OK)
        return status;
    if (p->from_text)
        status = gq_error_set(GQ_ERR_INVALID_ARG, "the pipeline '%s' was given as text: there is no file to read again",
                              p->conf->file);
    else
        status = reload(p, changed, result);
    gq_pipeline_end_change(p);
    return status;
}
