#include "pipeline/fall_back.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* A good result of the live version that was handed out, or waits for that. */
static bool has_served(struct gq_pipeline *p, const struct gq_code *code)
{
    bool waits = false;
    pthread_mutex_lock(&p->versions->lock);
    const uint32_t generation = code->generation;
    pthread_mutex_unlock(&p->versions->lock);
    for (uint32_t i = 0; i < gq_queue_lanes(p->queue); i++) {
        gq_lane_tell(p->queue->lane[i]);
        waits |= gq_lane_has_good(p->queue->lane[i], generation);
    }
    pthread_mutex_lock(&p->versions->lock);
    const bool served = code->results > code->failed;
    pthread_mutex_unlock(&p->versions->lock);
    return served || waits;
}

/* The version that was live before, if its image is kept. */
static struct gq_code *version_before(struct gq_pipeline *p, uint32_t stage)
{
    struct gq_code *code = gq_versions_find(p->versions, stage, gq_versions_before(p->versions, stage));
    return code && code->image.fd >= 0 ? code : NULL;
}

static enum gq_verdict try_with(struct gq_trial *trial, const struct gq_suspect *suspect, const struct gq_code *other,
                                bool *well)
{
    struct gq_epoch_code code = gq_epoch_live(trial->p);
    struct gq_trial_message message = {.suspect = *suspect};
    uint32_t fault;
    code.stage[suspect->stage] = other;
    gq_trial_end(trial);
    const enum gq_verdict verdict = gq_trial_run(trial, &code, &message, 1, &fault);
    free(message.ending.data); /* it is served once more, by the next epoch */
    gq_trial_end(trial);
    *well = verdict == GQ_VERDICT_ENDED && gq_meta_status(message.ending.meta) == GQ_RESULT_OK;
    return verdict;
}

/* While a change waits for its turn: the message can wait for that, which may be the repair, unless other code cannot
 * serve it either. Where the code is changed all the time, each version is new when it meets it. */
static enum gq_fall doubt(struct gq_trial *trial, const struct gq_suspect *suspect)
{
    const struct gq_code *other = gq_versions_served(trial->p->versions, suspect->stage);
    bool well;
    if (!other)
        other = version_before(trial->p, suspect->stage);
    if (!other || try_with(trial, suspect, other, &well) == GQ_VERDICT_NONE)
        return GQ_FALL_UNSURE;
    return well ? GQ_FALL_UNSURE : GQ_FALL_NONE;
}

static void make_live(struct gq_pipeline *p, uint32_t stage, struct gq_code *code)
{
    uint64_t until[GQ_LANES_MAX];
    const uint32_t lanes = gq_queue_lanes(p->queue);
    for (uint32_t i = 0; i < lanes; i++)
        until[i] = __atomic_load_n(&p->queue->lane[i]->submitted, __ATOMIC_ACQUIRE);
    const uint32_t generation = gq_versions_begin(p->versions, stage, code);
    __atomic_store_n(&p->remote->link.generation, generation, __ATOMIC_RELAXED);
    gq_versions_fell_back(p->versions, stage, code, until, lanes);
}

static void note_unfit(struct gq_pipeline *p, const struct gq_suspect *suspect, struct gq_code *bad)
{
    char after[96];
    snprintf(after, sizeof after, "it had served no message and ended the worker with message %" PRIu64, suspect->id);
    gq_versions_note_unfit(p->versions, suspect->stage, bad, after);
}

static void go_back(struct gq_pipeline *p, const struct gq_suspect *suspect, struct gq_code *to, struct gq_text *said)
{
    const struct gq_stage_code *s = &p->versions->stage[suspect->stage];
    struct gq_code *bad = s->live;
    make_live(p, suspect->stage, to);
    note_unfit(p, suspect, bad);
    gq_text_printf(said,
                   "stage '%s' is rolled back to version %u (%s): version %u (%s) has served no message, and ends the "
                   "worker with message %" PRIu64 ", which version %u serves",
                   s->name, to->number, to->plugin, bad->number, bad->plugin, suspect->id, to->number);
}

/* The version before may be new, too, and as bad: it is followed by one that is known to be good. */
static enum gq_fall try_others(struct gq_trial *trial, const struct gq_suspect *suspect, struct gq_text *said)
{
    struct gq_pipeline *p = trial->p;
    if (has_served(p, p->versions->stage[suspect->stage].live))
        return GQ_FALL_NONE;
    struct gq_code *before = version_before(p, suspect->stage),
                   *served = gq_versions_served(p->versions, suspect->stage);
    struct gq_code *const others[] = {before, served == before ? NULL : served};
    for (uint32_t i = 0; i < 2; i++) {
        bool well;
        if (!others[i])
            continue;
        if (try_with(trial, suspect, others[i], &well) == GQ_VERDICT_NONE)
            return GQ_FALL_UNSURE;
        if (well) {
            go_back(p, suspect, others[i], said);
            return GQ_FALL_BACK;
        }
    }
    return GQ_FALL_NONE;
}

/* Who holds the lock may be waiting for the worker that is being made, so nobody waits for it. */
enum gq_fall gq_fall_back(struct gq_trial *trial, const struct gq_suspect *suspect, struct gq_text *said)
{
    struct gq_pipeline *p = trial->p;
    if (suspect->stage >= p->versions->stage_count)
        return GQ_FALL_NONE;
    if (pthread_mutex_trylock(&p->change_lock) != 0) {
        const struct gq_epoch_code code = gq_epoch_live(p);
        if (has_served(p, code.stage[suspect->stage]))
            return GQ_FALL_NONE;
        return gq_remote_change_waits(p->remote) ? doubt(trial, suspect) : GQ_FALL_UNSURE;
    }
    const enum gq_fall fall = p->settled ? GQ_FALL_NONE : try_others(trial, suspect, said);
    pthread_mutex_unlock(&p->change_lock);
    return fall;
}
