#include "pipeline/trial.h"
#include "base/assert.h"
#include "base/clock.h"
#include <unistd.h>

#define SOON 2000u /* looks for the end one after another, before sleeping between them */
#define LOOK_US 50u
#define SCARCE_NAP_US 20000u
#define STARTS_MAX 5u /* of a worker that ends beside the message: somebody kills them */

struct gq_epoch_code gq_epoch_live(struct gq_pipeline *p)
{
    struct gq_epoch_code code = {.generation = 1};
    pthread_mutex_lock(&p->versions->lock);
    for (uint32_t i = 0; i < p->versions->stage_count; i++) {
        code.stage[i] = p->versions->stage[i].live;
        gq_assert(code.stage[i]);
        if (code.stage[i]->generation > code.generation)
            code.generation = code.stage[i]->generation;
    }
    code.newest = p->versions->generation;
    pthread_mutex_unlock(&p->versions->lock);
    return code;
}

gq_status gq_epoch_load(struct gq_pipeline *p, struct gq_remote *remote, const struct gq_epoch_code *code)
{
    gq_status status = GQ_OK;
    if (p->source_image.fd >= 0)
        status = gq_remote_load(remote, &p->source_image, "source", 1, code->generation, p->conf->source.blocks);
    for (uint32_t i = 0; i < p->versions->stage_count && status == GQ_OK; i++)
        status = gq_remote_load(remote, &code->stage[i]->image, p->conf->stages[i].name, code->stage[i]->number,
                                code->generation, p->conf->stages[i].blocks);
    return status == GQ_OK ? gq_remote_fit(remote) : status;
}

bool gq_epoch_may_ask_again(uint64_t deadline_ns)
{
    if (gq_error_status() == GQ_ERR_DEVICE || gq_clock_past(deadline_ns))
        return false;
    usleep(SCARCE_NAP_US);
    return true;
}

void gq_trial_end(struct gq_trial *trial)
{
    if (trial->remote)
        gq_remote_stop(trial->remote, 0);
    gq_remote_destroy(trial->remote);
    trial->remote = NULL;
}

static gq_status start(struct gq_trial *trial, const struct gq_epoch_code *code)
{
    struct gq_process none = {.channel = -1};
    struct gq_pipeline *p = trial->p;
    gq_budget_reset(&trial->budget);
    trial->windows = 0;
    gq_status status = gq_remote_create(p->conf, p->backend, 1, p->versions, NULL, &none, &trial->remote);
    if (status == GQ_OK)
        status = gq_epoch_load(p, trial->remote, code);
    return status == GQ_OK ? gq_remote_run(trial->remote) : status;
}

/* Until the message or its worker has ended. */
static enum gq_verdict watch(struct gq_trial *trial, const struct gq_lane_window *window, uint64_t seq,
                             struct gq_lane_ending *ending, bool *hung)
{
    struct gq_pipeline *p = trial->p;
    uint32_t block;
    for (uint32_t look = 0;; look++) {
        const bool dead = gq_link_dead(&trial->remote->link);
        if (gq_lane_window_ending(window, seq, ending))
            return GQ_VERDICT_ENDED;
        if (dead)
            return GQ_VERDICT_FAULTED;
        if (gq_remote_expected(p->remote)) {
            gq_error_set(GQ_ERR_SHUTDOWN, "the worker was stopped");
            return GQ_VERDICT_NONE;
        }
        if (!*hung && gq_budget_look(&trial->budget, trial->remote->link.worker, p->conf, &block)) {
            *hung = true;
            gq_remote_kill(trial->remote, GQ_BUDGET_HUNG);
        }
        if (gq_budget_is_silent(&trial->budget, trial->remote->link.worker, gq_supervisor_silent_ms(&p->supervisor)))
            gq_remote_kill(trial->remote, GQ_BUDGET_SILENT);
        if (look < SOON)
            gq_cpu_relax();
        else
            usleep(LOOK_US);
    }
}

/* Was the worker inside the message when it ended? Somebody may kill it at any time. */
static bool died_of(const struct gq_trial *trial, uint64_t id)
{
    struct gq_suspect suspect;
    return gq_suspects_find(trial->remote->link.worker, trial->p->queue, GQ_BLOCK_NONE, &suspect, 1) == 1 &&
           suspect.id == id;
}

/* GQ_VERDICT_NONE: the worker could not be started, or ended beside the message. */
static enum gq_verdict try_once(struct gq_trial *trial, const struct gq_epoch_code *code, uint64_t id,
                                struct gq_lane_ending *ending, uint32_t *fault)
{
    const struct gq_lane *lane = gq_queue_lane_of(trial->p->queue, id);
    struct gq_lane_window window = {.out_fd = -1};
    struct gq_lane_range range;
    bool hung = false;
    enum gq_verdict verdict = GQ_VERDICT_NONE;
    gq_assert(lane);
    gq_status status = trial->remote ? GQ_OK : start(trial, code);
    if (status == GQ_OK)
        status = gq_lane_window_open(&window, lane, &(uint64_t){gq_id_seq(id)}, 1, &range);
    if (status == GQ_OK)
        status = gq_remote_add_window(trial->remote, lane, &window, &range);
    /* A thread may have met the message before the control thread could answer. */
    if (status == GQ_OK || (window.out_fd >= 0 && gq_link_dead(&trial->remote->link))) {
        gq_link_ring_worker(&trial->remote->link);
        verdict = watch(trial, &window, gq_id_seq(id), ending, &hung);
        trial->windows++;
    }
    if (verdict == GQ_VERDICT_FAULTED) {
        *fault = gq_fault_code(trial->remote->link.worker, hung, trial->remote->wait_status);
        gq_remote_check(trial->remote);
        verdict = died_of(trial, id) ? GQ_VERDICT_FAULTED : GQ_VERDICT_NONE;
    }
    if (verdict != GQ_VERDICT_ENDED)
        gq_trial_end(trial);
    gq_lane_window_close(&window);
    return verdict;
}

enum gq_verdict gq_trial_run(struct gq_trial *trial, const struct gq_epoch_code *code, uint64_t id,
                             struct gq_lane_ending *ending, uint32_t *fault)
{
    enum gq_verdict verdict = GQ_VERDICT_NONE;
    const uint64_t deadline = gq_clock_deadline(GQ_SCARCE_MS);
    if (trial->windows == GQ_LANES_MAX)
        gq_trial_end(trial);
    for (uint32_t starts = 0; starts < STARTS_MAX && !gq_remote_expected(trial->p->remote);) {
        verdict = try_once(trial, code, id, ending, fault);
        if (verdict != GQ_VERDICT_NONE)
            break;
        starts += !gq_epoch_may_ask_again(deadline);
    }
    return verdict;
}
