#include "pipeline/trial.h"
#include "base/assert.h"
#include "base/channel.h"
#include "base/clock.h"
#include <stdlib.h>
#include <unistd.h>

#define SOON 2000u /* looks for the end one after another, before sleeping between them */
#define LOOK_US 50u
#define CUT_LOOKS 64u /* between two at the channel, which take a system call */
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
        gq_retire(&trial->p->supervisor.retired, trial->remote);
    trial->remote = NULL;
}

/* A worker whose time is over, on a device where another waits, goes on until that is about to serve. */
static bool goes_on(const struct gq_trial *trial) { return trial->p->supervisor.reserve.count > 0; }

static void end_hung(struct gq_trial *trial)
{
    if (!goes_on(trial)) {
        gq_trial_end(trial);
        return;
    }
    gq_retire_late(&trial->p->supervisor.retired, trial->remote);
    trial->remote = NULL;
}

/* It may stand still inside of a message before it has answered that it starts, or has been given another. */
static const char *look_at_starting(void *arg)
{
    struct gq_trial *trial = arg;
    const bool hung = gq_budget_look(&trial->budget, trial->remote->link.worker, trial->p->conf, &trial->hung);
    trial->budget.moved_ns = 0; /* while it has nothing to do */
    if (gq_remote_expected(trial->p->remote))
        return "the worker was stopped";
    return hung ? GQ_BUDGET_HUNG : NULL;
}

static gq_status start(struct gq_trial *trial, const struct gq_epoch_code *code)
{
    struct gq_pipeline *p = trial->p;
    struct gq_process ready = gq_reserve_take(&p->supervisor.reserve);
    gq_budget_reset(&trial->budget);
    trial->windows = 0;
    gq_status status = gq_remote_create(p->conf, p->backend, 1, p->versions, NULL, &ready, &trial->remote);
    gq_process_end(&ready, 0); /* if it was not taken */
    if (status == GQ_OK) {
        trial->onlooker = (struct gq_remote_onlooker){trial, look_at_starting};
        trial->remote->onlooker = &trial->onlooker;
    }
    gq_reserve_start_late(&p->supervisor.reserve);
    return status == GQ_OK ? gq_epoch_load(p, trial->remote, code) : status;
}

/* A thread may meet the message, and end the worker, before the control thread can answer. */
static gq_status unless_dead(const struct gq_trial *trial, gq_status status)
{
    return gq_link_dead(&trial->remote->link) ? GQ_OK : status;
}

/* The windows of one trial. Messages are in the order of their ids, so those of a lane are neighbours. */
struct batch {
    struct gq_trial_message *message;
    uint32_t count;
    struct window {
        struct gq_lane_window lane;
        uint32_t next, end; /* of `message`: those before `next` have ended */
    } * window;
    uint32_t windows;
};

/* Have all ended? A worker that serves one message at a time ends those of a lane in order. */
static bool look_at_ends(struct batch *b)
{
    bool all = true;
    for (uint32_t i = 0; i < b->windows; i++) {
        struct window *w = &b->window[i];
        for (; w->next < w->end; w->next++) {
            struct gq_trial_message *m = &b->message[w->next];
            m->ended = gq_lane_window_ending(&w->lane, gq_id_seq(m->suspect.id), &m->ending);
            if (!m->ended)
                break;
        }
        all &= w->next == w->end;
    }
    return all;
}

/* Until all messages or their worker have ended. */
static enum gq_verdict watch(struct gq_trial *trial, struct batch *b)
{
    struct gq_pipeline *p = trial->p;
    const struct gq_worker_page *page = trial->remote->link.worker;
    const int channel = trial->remote->process.channel;
    for (uint32_t look = 0;; look++) {
        const bool dead = gq_link_dead(&trial->remote->link);
        if (look_at_ends(b))
            return GQ_VERDICT_ENDED;
        if (gq_remote_expected(p->remote)) { /* and it may have been ended for that */
            gq_error_set(GQ_ERR_SHUTDOWN, "the worker was stopped");
            return GQ_VERDICT_NONE;
        }
        if (dead)
            return GQ_VERDICT_FAULTED;
        if (look % CUT_LOOKS == 0)
            trial->budget.is_cut = gq_channel_is_cut(channel);
        if (gq_budget_look(&trial->budget, page, p->conf, &trial->hung)) {
            if (!goes_on(trial))
                gq_remote_kill(trial->remote, GQ_BUDGET_HUNG);
            return look_at_ends(b) ? GQ_VERDICT_ENDED : GQ_VERDICT_FAULTED; /* what it may still write, nobody reads */
        }
        if (gq_budget_is_silent(&trial->budget, page, gq_supervisor_silent_ms(&p->supervisor)))
            gq_remote_kill(trial->remote, GQ_BUDGET_SILENT);
        if (look < SOON)
            gq_cpu_relax();
        else
            usleep(LOOK_US);
    }
}

/* Notes which messages the worker was inside of when it ended: with a pipeline of several steps on a device, one of
 * each. False: of none. Somebody may kill it at any time. */
static bool note_met(const struct gq_trial *trial, struct batch *b)
{
    struct gq_trial_message *last = NULL;
    uint32_t met = 0;
    const struct gq_worker_page *page = trial->remote->link.worker;
    const uint32_t room = gq_suspects_room(page);
    struct gq_suspect *list = malloc(room * sizeof *list);
    const uint32_t count = list ? gq_suspects_find(page, trial->p->queue, trial->hung, list, room) : 0;
    for (uint32_t i = 0, m = 0; i < count; i++) {
        while (m < b->count && b->message[m].suspect.id < list[i].id)
            m++;
        if (m == b->count || b->message[m].suspect.id != list[i].id || b->message[m].ended)
            continue;
        b->message[m].suspect = list[i]; /* with the stage, which nobody may have known before */
        b->message[m].suspect.caused = false;
        b->message[m].met = true;
        last = &b->message[m];
        met++;
    }
    free(list);
    /* One that was over its time may have ended just now, and its team be inside of another. */
    const bool left = trial->hung != GQ_BLOCK_NONE && !gq_budget_is_still(&trial->budget, page, trial->hung);
    if (met == 1 && !left) /* nobody else can have ended it */
        last->suspect.caused = true;
    return met > 0;
}

static bool any_ended(const struct batch *b)
{
    bool any = false;
    for (uint32_t i = 0; i < b->count; i++)
        any |= b->message[i].ended;
    return any;
}

static gq_status open_window(struct gq_trial *trial, struct batch *b, uint32_t first, uint32_t count)
{
    const struct gq_lane *lane = gq_queue_lane_of(trial->p->queue, b->message[first].suspect.id);
    struct window *w = &b->window[b->windows];
    struct gq_lane_range range;
    uint64_t *seqs = malloc(count * sizeof *seqs);
    gq_assert(lane);
    if (!seqs)
        return gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for a trial of %u messages", count);
    for (uint32_t i = 0; i < count; i++)
        seqs[i] = gq_id_seq(b->message[first + i].suspect.id);
    gq_status status = gq_lane_window_open(&w->lane, lane, seqs, count, &range);
    free(seqs);
    if (status != GQ_OK)
        return status;
    w->next = first;
    w->end = first + count;
    b->windows++;
    return unless_dead(trial, gq_remote_add_window(trial->remote, lane, &w->lane, &range));
}

/* How many messages from `first` on are of its lane. */
static uint32_t of_one_lane(const struct gq_trial_message *messages, uint32_t first, uint32_t count)
{
    uint32_t n = 1;
    while (first + n < count && gq_id_lane(messages[first + n].suspect.id) == gq_id_lane(messages[first].suspect.id))
        n++;
    return n;
}

static gq_status open_windows(struct gq_trial *trial, struct batch *b)
{
    gq_status status = GQ_OK;
    for (uint32_t i = 0, n; i < b->count && status == GQ_OK && !gq_link_dead(&trial->remote->link); i += n) {
        n = of_one_lane(b->message, i, b->count);
        status = open_window(trial, b, i, n);
        trial->windows++;
    }
    return b->windows ? status : gq_error_status();
}

static uint32_t lanes_of(const struct gq_trial_message *messages, uint32_t count)
{
    uint32_t lanes = 0;
    for (uint32_t i = 0; i < count; i += of_one_lane(messages, i, count))
        lanes++;
    return lanes;
}

/* GQ_VERDICT_NONE: the worker could not be started, or ended beside the messages. */
static enum gq_verdict try_once(struct gq_trial *trial, const struct gq_epoch_code *code, struct batch *b,
                                uint32_t *fault)
{
    enum gq_verdict verdict = GQ_VERDICT_NONE;
    const bool new = !trial->remote;
    trial->hung = GQ_BLOCK_NONE;
    gq_status status = new ? start(trial, code) : GQ_OK;
    if (status == GQ_OK)
        status = open_windows(trial, b);
    gq_retire_late_now(&trial->p->supervisor.retired);
    if (status == GQ_OK && new) /* a device that has stopped gives nobody a lane */
        status = unless_dead(trial, gq_remote_run(trial->remote));
    if (status == GQ_OK) {
        gq_link_ring_worker(&trial->remote->link);
        verdict = watch(trial, b);
    }
    if (verdict == GQ_VERDICT_FAULTED) {
        const bool lives = trial->hung != GQ_BLOCK_NONE; /* and may be ending at this moment */
        *fault = gq_fault_code(trial->remote->link.worker, lives, lives ? 0 : trial->remote->wait_status);
        if (lives)
            gq_error_set(GQ_ERR_DEVICE, GQ_BUDGET_HUNG);
        else
            gq_remote_check(trial->remote);
        verdict = note_met(trial, b) || any_ended(b) ? GQ_VERDICT_FAULTED : GQ_VERDICT_NONE;
    }
    if (verdict == GQ_VERDICT_FAULTED && trial->hung != GQ_BLOCK_NONE)
        end_hung(trial);
    else if (verdict != GQ_VERDICT_ENDED)
        gq_trial_end(trial);
    while (b->windows)
        gq_lane_window_close(&b->window[--b->windows].lane);
    return verdict;
}

/* What had an end when the worker ended beside the others is tried once more with them. */
static void forget(struct gq_trial_message *messages, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        free(messages[i].ending.data);
        messages[i].ending.data = NULL;
        messages[i].ended = messages[i].met = false;
    }
}

enum gq_verdict gq_trial_run(struct gq_trial *trial, const struct gq_epoch_code *code,
                             struct gq_trial_message *messages, uint32_t count, uint32_t *fault)
{
    enum gq_verdict verdict = GQ_VERDICT_NONE;
    const uint64_t deadline = gq_clock_deadline(GQ_SCARCE_MS);
    const uint32_t lanes = lanes_of(messages, count);
    struct batch b = {.message = messages, .count = count, .window = calloc(lanes, sizeof *b.window)};
    if (!b.window) {
        gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for a trial of %u messages", count);
        return verdict;
    }
    if (trial->windows + lanes > GQ_LANES_MAX)
        gq_trial_end(trial);
    for (uint32_t starts = 0; starts < STARTS_MAX && !gq_remote_expected(trial->p->remote);) {
        forget(messages, count);
        verdict = try_once(trial, code, &b, fault);
        if (verdict != GQ_VERDICT_NONE)
            break;
        starts += !gq_epoch_may_ask_again(deadline);
    }
    free(b.window);
    return verdict;
}
