#include "pipeline/swap.h"
#include "base/assert.h"
#include "base/thread.h"
#include "pipeline/change.h"
#include <stdio.h>
#include <string.h>

/* --- one at a time ---------------------------------------------------------------------------------------------------
 */

gq_status gq_pipeline_begin_change(struct gq_pipeline *p, const char *call)
{
    pthread_mutex_lock(&p->change_lock);
    if (__atomic_load_n(&p->phase, __ATOMIC_ACQUIRE) == GQ_PHASE_STARTED && !p->settled && p->versions->stage[0].live)
        return GQ_OK;
    pthread_mutex_unlock(&p->change_lock);
    return gq_error_set(GQ_ERR_INVALID_ARG, "%s comes between gq_start and gq_stop", call);
}

gq_status gq_pipeline_begin_build(struct gq_pipeline *p, const char *call)
{
    gq_status status = gq_pipeline_begin_change(p, call);
    if (status != GQ_OK || !__atomic_load_n(&p->interrupted, __ATOMIC_ACQUIRE))
        return status;
    gq_pipeline_end_change(p);
    return gq_error_set(GQ_ERR_SHUTDOWN, "%s: the pipeline is being stopped, and takes no new code", call);
}

void gq_pipeline_end_change(struct gq_pipeline *p) { pthread_mutex_unlock(&p->change_lock); }

void gq_pipeline_end_changes(struct gq_pipeline *p)
{
    pthread_mutex_lock(&p->change_lock);
    p->settled = true;
    const bool warming = p->warming;
    p->warming = false;
    pthread_mutex_unlock(&p->change_lock);
    if (warming)
        pthread_join(p->warmer, NULL);
    gq_spare_end(&p->spare);
    gq_builder_destroy(p->builder);
    p->builder = NULL;
}

static void *warm(void *pipeline)
{
    struct gq_pipeline *p = pipeline;
    if (gq_pipeline_begin_build(p, "warming the spare") != GQ_OK)
        return NULL;
    (void)gq_spare_warm(&p->spare, &p->versions->stage[0].live->image); /* who needs it tries again, and tells */
    gq_pipeline_end_change(p);
    return NULL;
}

void gq_pipeline_warm_spare(struct gq_pipeline *p)
{
    if (gq_pipeline_begin_change(p, "warming the spare") != GQ_OK)
        return;
    if (!p->warming && p->rehearses)
        p->warming = gq_thread_start(&p->warmer, warm, p, "the spare worker") == GQ_OK;
    gq_pipeline_end_change(p);
}

/* --- stages and versions ---------------------------------------------------------------------------------------------
 */

static gq_status find_stage(const struct gq_pipeline *p, const char *name, uint32_t *out)
{
    struct gq_text names = {0};
    for (*out = 0; *out < p->versions->stage_count; ++*out) {
        if (strcmp(p->versions->stage[*out].name, name) == 0) {
            gq_text_finish(&names);
            return GQ_OK;
        }
        gq_text_printf(&names, "%s%s", *out ? ", " : "", p->versions->stage[*out].name);
    }
    gq_error_set(GQ_ERR_INVALID_ARG, "the pipeline has no stage '%s'; it has %s", name, gq_text_str(&names));
    gq_text_finish(&names);
    return GQ_ERR_INVALID_ARG;
}

/* What may be used: versions that are loaded. */
static gq_status refuse_version(const struct gq_stage_code *s, uint32_t number)
{
    struct gq_text loaded = {0};
    for (uint32_t i = 0; i < s->count; i++)
        if (gq_code_state(s->code[i]) != GQ_VERSION_FAILED && gq_code_state(s->code[i]) != GQ_VERSION_DISCARDED)
            gq_text_printf(&loaded, "%s%u", loaded.len ? ", " : "", s->code[i]->number);
    gq_error_set(GQ_ERR_NOT_FOUND, "stage '%s' has no version %u; loaded are %s", s->name, number,
                 gq_text_str(&loaded));
    gq_text_finish(&loaded);
    return GQ_ERR_NOT_FOUND;
}

/* One that is loaded, live or not. */
static gq_status find_version(struct gq_pipeline *p, uint32_t stage, uint32_t number, struct gq_code **out)
{
    const char *name = p->versions->stage[stage].name;
    struct gq_code *code = gq_versions_find(p->versions, stage, number);
    *out = code;
    if (!code)
        return refuse_version(&p->versions->stage[stage], number);
    const gq_version_state state = gq_code_state(code);
    if (state == GQ_VERSION_FAILED || state == GQ_VERSION_DISCARDED)
        return gq_error_set(GQ_ERR_NOT_FOUND, "version %u of stage '%s' is %s: swap its plugin in again", number, name,
                            gq_version_state_name(state));
    return GQ_OK;
}

/* --- swap, rollback, use, discard ------------------------------------------------------------------------------------
 */

/* `opts` count for a canary. */
static gq_status run_change(struct gq_change *change, const gq_swap_opts *opts, gq_status status)
{
    if (status == GQ_OK && gq_change_is_none(change))
        change->result->step = GQ_STEP_DONE;
    else if (status == GQ_OK)
        status = change->share ? gq_change_canary(change, opts) : gq_change_switch(change);
    gq_change_finish(change);
    return status;
}

/* Before anything is built: can a canary be watched here at all? */
static gq_status check_canary(const struct gq_pipeline *p, const gq_swap_opts *opts)
{
    if (opts->canary_ppm == 0 || !p->counted)
        return GQ_OK;
    return gq_error_set(GQ_ERR_INVALID_ARG,
                        "a canary's results are told from the live version's by their generation, and what a source "
                        "plugin makes for the sink null is only counted: use another sink, or swap without a canary");
}

gq_status gq_pipeline_swap(struct gq_pipeline *p, const char *stage, const gq_swap_opts *opts, gq_swap_result *result)
{
    uint32_t index;
    struct gq_change change;
    gq_status status = gq_pipeline_begin_build(p, "gq_swap");
    if (status != GQ_OK)
        return status;
    status = find_stage(p, stage, &index);
    if (status == GQ_OK)
        status = check_canary(p, opts);
    if (status == GQ_OK) {
        status = gq_change_init(&change, p, index, opts->plugin, result);
        change.share = opts->canary_ppm;
        if (opts->rehearse)
            change.rehearse = opts->rehearse == 1;
        status = run_change(&change, opts, status == GQ_OK ? gq_change_prepare(&change) : status);
    }
    gq_pipeline_end_change(p);
    return status;
}

static gq_status use(struct gq_pipeline *p, uint32_t stage, uint32_t version, gq_swap_result *result)
{
    struct gq_change change;
    struct gq_code *code;
    gq_status status = find_version(p, stage, version, &code);
    if (status != GQ_OK) {
        result->live = p->versions->stage[stage].live->number;
        return status;
    }
    status = gq_change_init(&change, p, stage, code->plugin, result);
    return run_change(&change, NULL, status == GQ_OK ? gq_change_prepare_use(&change, code) : status);
}

gq_status gq_pipeline_use(struct gq_pipeline *p, const char *stage, uint32_t version, gq_swap_result *result)
{
    uint32_t index;
    gq_status status = gq_pipeline_begin_change(p, "gq_use");
    if (status != GQ_OK)
        return status;
    status = find_stage(p, stage, &index);
    if (status == GQ_OK)
        status = use(p, index, version, result);
    gq_pipeline_end_change(p);
    return status;
}

/* The canary that was called off is not live: that is what was wanted, and all that was. Live is the version beside it,
 * or one that somebody swapped in since. */
static gq_status answer_call_off(struct gq_pipeline *p, uint32_t stage, gq_swap_result *result)
{
    struct gq_stage_code *s = &p->versions->stage[stage];
    const struct gq_code *live = s->live;
    s->rolled_back.told = true; /* if it had ended by itself meanwhile */
    *result = (gq_swap_result){.size = sizeof *result,
                               .step = GQ_STEP_DONE,
                               .version = live->number,
                               .live = live->number,
                               .generation = live->generation};
    snprintf(result->digest, sizeof result->digest, "%.*s", (int)sizeof result->digest - 1, live->image.digest);
    return GQ_OK;
}

/* What whoever asks for a rollback wants to be rid of may have been rolled back a moment before: it is said, once where
 * there is a version to go to, and nothing else is taken away meanwhile. */
static gq_status refuse_twice(struct gq_stage_code *s, uint32_t before)
{
    char more[80] = "no other version was live before it";
    s->rolled_back.told = true;
    if (before)
        snprintf(more, sizeof more, "ask once more to go to version %u, which was live before it", before);
    return gq_error_set(GQ_ERR_NOT_FOUND,
                        "version %u of stage '%s' was rolled back already, after %s; version %u is live, and %s",
                        s->rolled_back.version, s->name, s->rolled_back.after, s->live->number, more);
}

static gq_status roll_back(struct gq_pipeline *p, uint32_t stage, gq_swap_result *result)
{
    struct gq_stage_code *s = &p->versions->stage[stage];
    const uint32_t before = gq_versions_before(p->versions, stage);
    result->live = s->live->number;
    if (s->rolled_back.version && (!before || !s->rolled_back.told))
        return refuse_twice(s, before);
    if (before == 0)
        return gq_error_set(GQ_ERR_NOT_FOUND, "stage '%s' still runs the code that it started with", s->name);
    return use(p, stage, before, result);
}

gq_status gq_pipeline_rollback(struct gq_pipeline *p, const char *stage, gq_swap_result *result)
{
    uint32_t index, canary = 0;
    const bool called_off = gq_canary_call_off(p, stage, &canary);
    gq_status status = gq_pipeline_begin_change(p, "gq_rollback");
    if (status != GQ_OK)
        return status;
    status = find_stage(p, stage, &index);
    if (status == GQ_OK && called_off && p->versions->stage[index].live->number != canary)
        status = answer_call_off(p, index, result);
    else if (status == GQ_OK)
        status = roll_back(p, index, result);
    gq_pipeline_end_change(p);
    return status;
}

static gq_status discard(struct gq_pipeline *p, uint32_t stage, uint32_t version)
{
    struct gq_code *code;
    gq_status status = find_version(p, stage, version, &code);
    if (status != GQ_OK)
        return status;
    gq_versions_settle(p->versions, gq_change_held, p);
    const bool was_warm = gq_code_state(code) == GQ_VERSION_WARM;
    if (was_warm && (status = gq_remote_discard(p->remote, stage, version)) != GQ_OK)
        return status;
    return gq_versions_give_up(p->versions, stage, code, GQ_VERSION_DISCARDED, was_warm ? 0 : gq_change_held(p, code));
}

gq_status gq_pipeline_discard(struct gq_pipeline *p, const char *stage, uint32_t version)
{
    uint32_t index;
    gq_status status = gq_pipeline_begin_change(p, "gq_discard");
    if (status != GQ_OK)
        return status;
    status = find_stage(p, stage, &index);
    if (status == GQ_OK)
        status = discard(p, index, version);
    gq_pipeline_end_change(p);
    return status;
}

/* --- the list --------------------------------------------------------------------------------------------------------
 */

static void copy_path(char *out, size_t size, const char *path)
{
    const size_t len = strlen(path);
    if (len < size)
        memcpy(out, path, len + 1);
    else
        snprintf(out, size, "...%s", path + len - (size - 4));
}

static void fill_info(const struct gq_stage_code *s, const struct gq_code *code, gq_version_info *out)
{
    *out = (gq_version_info){.version = code->number,
                             .state = code->state,
                             .loaded_at_ns = code->loaded_at_ns,
                             .generation = code->generation,
                             .rehearsed = code->rehearsed,
                             .messages = code->results,
                             .failed = code->failed,
                             .p99_ns = code->latency ? gq_histogram_quantile(code->latency, 0.99) : code->p99_ns};
    snprintf(out->stage, sizeof out->stage, "%s", s->name);
    snprintf(out->digest, sizeof out->digest, "%.*s", (int)sizeof out->digest - 1, code->image.digest);
    copy_path(out->plugin, sizeof out->plugin, code->plugin);
}

/* How many of each stage there is room for: the newest, and of the stage with the most the fewest. */
static void share_out(const struct gq_versions *v, size_t max, uint32_t wanted[GQ_STAGES_MAX])
{
    size_t total = 0;
    for (uint32_t s = 0; s < v->stage_count; s++)
        total += wanted[s] = v->stage[s].count;
    for (; total > max; total--) {
        uint32_t most = 0;
        for (uint32_t s = 1; s < v->stage_count; s++)
            if (wanted[s] > wanted[most])
                most = s;
        wanted[most]--;
    }
}

/* Messages that are not with a version before it. */
static uint64_t held_by_live(struct gq_pipeline *p, const struct gq_stage_code *s)
{
    uint64_t all = 0, earlier = 0;
    for (uint32_t i = 0; i < gq_queue_lanes(p->queue); i++)
        all += gq_lane_unfinished_below(p->queue->lane[i], UINT64_MAX);
    for (uint32_t i = 0; i < s->count; i++) {
        const uint64_t held = s->code[i]->state == GQ_VERSION_DRAINING ? gq_change_held(p, s->code[i]) : 0;
        earlier = held > earlier ? held : earlier;
    }
    return all > earlier ? all - earlier : 0;
}

static void fill_stage(struct gq_pipeline *p, bool ran, const struct gq_stage_code *s, uint32_t wanted,
                       gq_version_info *out)
{
    for (uint32_t i = 0; i < wanted; i++) {
        const struct gq_code *code = s->code[s->count - wanted + i];
        fill_info(s, code, &out[i]);
        if (ran && code->state == GQ_VERSION_DRAINING)
            out[i].in_flight = gq_change_held(p, code);
        if (ran && code->state == GQ_VERSION_LIVE)
            out[i].in_flight = held_by_live(p, s);
    }
}

void gq_pipeline_versions(struct gq_pipeline *p, gq_version_info *out, size_t max, size_t *count)
{
    uint32_t wanted[GQ_STAGES_MAX];
    const enum gq_phase phase = __atomic_load_n(&p->phase, __ATOMIC_ACQUIRE);
    *count = 0;
    if (phase == GQ_PHASE_OPEN)
        return;
    const bool ran = phase != GQ_PHASE_PREPARED && p->queue;
    if (ran) {
        for (uint32_t i = 0; i < gq_queue_lanes(p->queue); i++)
            gq_lane_tell(p->queue->lane[i]);
        gq_versions_settle(p->versions, gq_change_held, p);
    }
    pthread_mutex_lock(&p->versions->lock);
    share_out(p->versions, max, wanted);
    for (uint32_t s = 0; s < p->versions->stage_count; s++) {
        fill_stage(p, ran, &p->versions->stage[s], wanted[s], out + *count);
        *count += wanted[s];
    }
    pthread_mutex_unlock(&p->versions->lock);
}
