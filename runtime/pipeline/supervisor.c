#include "pipeline/supervisor.h"
#include "base/assert.h"
#include "base/channel.h"
#include "base/clock.h"
#include "pipeline/fall_back.h"
#include "pipeline/trial.h"
#include "ring/page.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FRUITLESS_MAX 5u          /* epochs in a row that end no message */
#define FRUITLESS_NS 60000000000u /* within so long */
#define STARTS_MAX 5u             /* of one epoch's worker */
#define SHORT_NS 1000000000u      /* an epoch that ends within it may have met what the last one left */

/* --- watching -------------------------------------------------------------------------------------------------------
 */

static uint64_t waiting_messages(const struct gq_pipeline *p)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < gq_queue_lanes(p->queue); i++)
        sum += gq_lane_unfinished(p->queue->lane[i]);
    return sum;
}

static const char *of_foul(enum gq_foul foul) { return foul == GQ_FOUL_STALE ? GQ_BUDGET_STALE : GQ_BUDGET_SCRAWLED; }

static void look(void *arg)
{
    struct gq_supervisor *s = arg;
    struct gq_pipeline *p = s->p;
    const struct gq_worker_page *page;
    if (!__atomic_load_n(&s->armed, __ATOMIC_ACQUIRE) || s->hung || s->silent || s->foul)
        return;
    page = p->remote->link.worker;
    s->budget.is_cut = gq_channel_is_cut(p->remote->process.channel);
    s->hung = gq_budget_look(&s->budget, page, p->conf, &s->hung_block);
    if (p->remote->away) /* one that starts is waited for as long as for any answer, if it is inside of no message */
        s->budget.moved_ns = 0;
    if (gq_budget_is_silent(&s->budget, page, gq_supervisor_silent_ms(s))) {
        s->budget.moved_ns = 0;
        s->silent = waiting_messages(p) > 0;
    }
    /* Lanes show what another worker said until they are renewed. */
    s->foul = p->remote->away ? GQ_FOUL_NONE : __atomic_load_n(&p->remote->link.foul, __ATOMIC_ACQUIRE);
    if (s->hung || s->silent || s->foul)
        gq_remote_end_watched(p->remote, s->hung ? GQ_BUDGET_HUNG : s->silent ? GQ_BUDGET_SILENT : of_foul(s->foul));
}

/* --- what is said ---------------------------------------------------------------------------------------------------
 */

static void note(const struct gq_supervisor *s, struct gq_text *text)
{
    if (s->p->note && text->len && !text->failed)
        s->p->note(s->p->note_context, gq_text_str(text));
    gq_text_finish(text);
}

/* Why the epoch ended, in place of "was killed by SIGKILL" where that was us. */
static void tell_end(struct gq_supervisor *s, const struct gq_suspect *suspect, uint32_t count, struct gq_text *out)
{
    struct gq_pipeline *p = s->p;
    const uint64_t limit_ms = count && !s->left ? gq_budget_limit_ms(p->conf, suspect->stage) : 0;
    if (s->hung && limit_ms) { /* a crumb's word */
        if (count > 1)
            gq_text_printf(out, "one of %u messages from ", count);
        gq_text_printf(out, "message %" PRIu64 " %sdid not end within the %" PRIu64 " ms of stage '%s'", suspect->id,
                       count > 1 ? "on " : "", limit_ms, gq_conf_stage_name(p->conf, suspect->stage));
    } else if (s->hung)
        gq_text_puts(out, "a message ended, but after its stage's timeout, so that the worker was ended already");
    else if (s->silent)
        gq_text_puts(out, GQ_BUDGET_SILENT);
    else if (s->foul)
        gq_text_puts(out, of_foul(s->foul));
    else
        gq_text_puts(out, p->remote->why);
}

/* --- suspects -------------------------------------------------------------------------------------------------------
 */

static gq_status keep_ending(struct gq_supervisor *s, const struct gq_lane_ending *ending)
{
    struct gq_lane_ending *more = realloc(s->endings, (s->ending_count + 1) * sizeof *more);
    if (!more) {
        free(ending->data);
        return gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for the result of a message");
    }
    s->endings = more;
    s->endings[s->ending_count++] = *ending;
    return GQ_OK;
}

static void forget_endings(struct gq_supervisor *s)
{
    for (uint32_t i = 0; i < s->ending_count; i++)
        free(s->endings[i].data);
    free(s->endings);
    s->endings = NULL;
    s->ending_count = 0;
}

static gq_status convict(struct gq_supervisor *s, const struct gq_suspect *suspect, uint32_t fault, uint32_t generation)
{
    struct gq_text text = {0};
    char how[64];
    gq_fault_describe(fault, how, sizeof how);
    gq_text_printf(&text, "message %" PRIu64 " is given up: in stage '%s' it %s each of %u times, alone too",
                   suspect->id, gq_conf_stage_name(s->p->conf, suspect->stage), how, gq_deaths_of(s->p->conf->retries));
    note(s, &text);
    s->given_up++;
    const struct gq_lane_ending ending = {.id = suspect->id,
                                          .meta = gq_meta(generation, suspect->stage, GQ_RESULT_FAULTED, fault)};
    return keep_ending(s, &ending);
}

/* What the last attempt to start a worker said; GQ_OK: it was called off. */
static gq_status no_worker(void)
{
    const gq_status status = gq_error_status();
    return status == GQ_OK ? GQ_OK : gq_error_prefix(status, "no other worker could take over: ");
}

/* Alone until it ends, or has ended its worker as often as a message may fail. The death that made it a suspect is one
 * of those if it was its own; a message that only was there owes nothing for it. */
static gq_status try_one(struct gq_supervisor *s, struct gq_trial *trial, const struct gq_suspect *suspect)
{
    const struct gq_epoch_code code = gq_epoch_live(s->p);
    const uint32_t trials = gq_deaths_of(s->p->conf->retries) - suspect->caused;
    struct gq_trial_message message = {.suspect = *suspect};
    enum gq_verdict verdict = GQ_VERDICT_FAULTED;
    uint32_t fault = 0;
    gq_trial_end(trial); /* a worker that has served another suspect may bear its marks */
    for (uint32_t i = 0; i < trials && verdict == GQ_VERDICT_FAULTED; i++)
        verdict = gq_trial_run(trial, &code, &message, 1, &fault);
    if (verdict == GQ_VERDICT_ENDED)
        return keep_ending(s, &message.ending);
    struct gq_text said = {0};
    if (verdict == GQ_VERDICT_NONE)
        return no_worker();
    const enum gq_fall fall = gq_fall_back(trial, &message.suspect, &said); /* by now its stage is known */
    note(s, &said);
    if (fall == GQ_FALL_NONE)
        return convict(s, &message.suspect, fault, code.generation);
    s->unsure += fall == GQ_FALL_UNSURE;
    return GQ_OK; /* the next epoch serves it, or meets it again */
}

/* Keeps the ends that there are, tries alone what the worker ended inside of, and returns how many are left. */
static uint32_t sort_out(struct gq_supervisor *s, struct gq_trial *trial, struct gq_trial_message *messages,
                         uint32_t count, gq_status *status)
{
    uint32_t left = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct gq_trial_message *m = &messages[i];
        if (m->ended && *status == GQ_OK)
            *status = keep_ending(s, &m->ending);
        else if (m->ended)
            free(m->ending.data);
        else if (m->met && *status == GQ_OK)
            *status = try_one(s, trial, &m->suspect);
        else
            messages[left++] = (struct gq_trial_message){.suspect = m->suspect};
    }
    return left;
}

/* Where a worker takes long to start, the next epoch may serve the suspects behind the one that was to blame: of few
 * that are, it meets no other. It has met one when the last epoch was short. Other code that waits to be live, which
 * the next epoch begins with, may end none of its workers; and while nobody can say whether it is the code, trying more
 * of them says no more. */
static bool is_enough(const struct gq_supervisor *s, uint32_t given_up, uint32_t unsure, uint64_t now)
{
    if (s->given_up == given_up)
        return s->unsure != unsure;
    return gq_remote_is_changing(s->p->remote) || (s->reserve.wanted && now - s->began_ns > SHORT_NS);
}

/* All that is suspected goes through one worker, one after another: where it ends, it is inside of what is to blame. */
static gq_status try_all(struct gq_supervisor *s, struct gq_trial *trial, struct gq_trial_message *messages,
                         uint32_t count)
{
    const uint64_t now = gq_clock_ns();
    const uint32_t given_up = s->given_up, unsure = s->unsure;
    gq_status status = GQ_OK;
    while (count > 1 && status == GQ_OK) {
        const struct gq_epoch_code code = gq_epoch_live(s->p);
        uint32_t fault;
        if (gq_trial_run(trial, &code, messages, count, &fault) == GQ_VERDICT_NONE)
            status = no_worker();
        count = sort_out(s, trial, messages, count, &status);
        if (is_enough(s, given_up, unsure, now))
            return status;
    }
    return count == 1 && status == GQ_OK ? try_one(s, trial, &messages[0].suspect) : status;
}

static gq_status try_suspects(struct gq_supervisor *s, const struct gq_suspect *suspects, uint32_t count)
{
    struct gq_trial *trial = calloc(1, sizeof *trial);
    struct gq_trial_message *messages = calloc(count ? count : 1, sizeof *messages);
    gq_status status = trial && messages ? GQ_OK : gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for a trial");
    if (status == GQ_OK) {
        trial->p = s->p;
        for (uint32_t i = 0; i < count; i++)
            messages[i].suspect = suspects[i];
        status = try_all(s, trial, messages, count);
        gq_trial_end(trial);
    }
    free(messages);
    free(trial);
    return status;
}

/* --- the next epoch -------------------------------------------------------------------------------------------------
 */

/* A device that faulted goes on for a while, and may bring back what it had saved of launches long gone: these write
 * over results that nobody has taken. Who faulted without our noticing yet cannot be told from who did not. */
static void distrust(const struct gq_supervisor *s)
{
    if (s->p->backend == GQ_BACKEND_CUDA)
        gq_queue_distrust(s->p->queue);
}

static gq_status give_lanes(struct gq_supervisor *s)
{
    struct gq_remote *remote = s->p->remote;
    gq_status status = GQ_OK;
    uint32_t *given = &remote->lanes_given; /* others may be added meanwhile */
    for (*given = 0; *given < __atomic_load_n(&remote->lane_count, __ATOMIC_ACQUIRE) && status == GQ_OK; ++*given) {
        struct gq_lane_range range;
        struct gq_lane *lane = remote->lane[*given];
        status = gq_lane_renew(lane, s->endings, s->ending_count, &range);
        if (status == GQ_OK)
            status = gq_remote_take_over(remote, lane, &range);
    }
    return status;
}

/* Messages that have ended, of all that were accepted until now. A worker may say what it likes of its own work; of
 * this it can say no more than there are messages. */
static uint64_t ended_messages(const struct gq_pipeline *p)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < gq_queue_lanes(p->queue); i++) {
        struct gq_lane *lane = p->queue->lane[i];
        const uint64_t end = __atomic_load_n(&lane->submitted, __ATOMIC_ACQUIRE);
        sum += end - gq_lane_unfinished_below(lane, end);
    }
    return sum;
}

/* Have more messages ended than ever before? Those that are made again are not more. */
static bool note_ended(struct gq_supervisor *s)
{
    const uint64_t ended = ended_messages(s->p);
    const bool any = ended > s->ended;
    s->ended = any ? ended : s->ended;
    return any;
}

/* `counted`: by a worker before this one, which could not take over. */
static gq_status begin_epoch(struct gq_supervisor *s, bool *counted)
{
    const struct gq_epoch_code code = gq_epoch_live(s->p);
    gq_budget_reset(&s->budget);
    gq_status status = gq_remote_begin(s->p->remote, gq_reserve_take(&s->reserve));
    if (status == GQ_OK)
        status = gq_epoch_load(s->p, s->p->remote, &code);
    if (status != GQ_OK)
        return status;
    if (!*counted)
        gq_remote_count_restart(s->p->remote); /* before the results of trials, which the lanes show at once */
    *counted = true;
    distrust(s); /* also what a worker before this one has done since, which could not take over */
    status = give_lanes(s);
    if (status != GQ_OK)
        return status;
    note_ended(s); /* endings of trials are no progress of the next epoch */
    __atomic_store_n(&s->p->remote->link.foul, GQ_FOUL_NONE,
                     __ATOMIC_RELEASE); /* what it was about is in no lane any more */
    /* What was finished before may be older than what is handed out after it: see link.h. */
    __atomic_store_n(&s->p->remote->link.canary, code.newest, __ATOMIC_RELAXED);
    gq_retire_late_now(&s->retired); /* a change in its turn may need the memory of who is late */
    gq_remote_give_turn(s->p->remote);
    return gq_remote_succeed(s->p->remote);
}

static gq_status take_over(struct gq_supervisor *s)
{
    gq_status status = GQ_ERR_DEVICE;
    bool counted = false;
    const uint64_t deadline = gq_clock_deadline(GQ_SCARCE_MS);
    for (uint32_t starts = 0; starts < STARTS_MAX && !gq_remote_expected(s->p->remote);) {
        status = begin_epoch(s, &counted);
        if (status == GQ_OK)
            break;
        gq_retire_late_now(&s->retired); /* it may have what this one was refused */
        starts += !gq_epoch_may_ask_again(deadline);
    }
    s->began_ns = gq_clock_ns();
    return status == GQ_OK ? GQ_OK : gq_error_prefix(status, "no other worker could take over: ");
}

/* Does it make sense to go on? A suspect ends one way or the other, so only deaths without any do not. `any`: messages
 * have ended in the epoch, and not for the second time. */
static bool is_fruitless(struct gq_supervisor *s, uint32_t suspects, bool any)
{
    const uint64_t now = gq_clock_ns();
    if (!suspects && !any && gq_remote_is_changing(s->p->remote))
        return false; /* no more than two of a change: it is refused then */
    if (suspects || any || now - s->fruitless_since_ns > FRUITLESS_NS) {
        s->fruitless = 0;
        s->fruitless_since_ns = now;
    }
    return ++s->fruitless >= FRUITLESS_MAX;
}

/* Does any stage have memory, which is gone? */
static bool has_state(struct gq_pipeline *p)
{
    bool any = false;
    pthread_mutex_lock(&p->versions->lock);
    for (uint32_t i = 0; i < p->versions->stage_count; i++)
        any |= p->versions->stage[i].state_bytes > 0;
    pthread_mutex_unlock(&p->versions->lock);
    return any;
}

static gq_status renew_after(struct gq_supervisor *s, const struct gq_suspect *suspects, uint32_t count, bool any)
{
    struct gq_text text = {0};
    const bool enough = is_fruitless(s, count, any);
    tell_end(s, suspects, count, &text);
    if (enough) {
        gq_status status = gq_error_set(GQ_ERR_DEVICE, "%u workers in a row ended without ending a message: %s",
                                        FRUITLESS_MAX, gq_text_str(&text));
        gq_text_finish(&text);
        return status;
    }
    if (count > 1)
        gq_text_printf(&text, "; %u messages that may be to blame are tried one by one", count);
    gq_text_puts(&text, "; another worker takes over");
    gq_text_puts(&text, has_state(s->p) ? ", and gq_state is zero again" : "");
    note(s, &text);
    s->hung = s->silent = false;
    s->foul = GQ_FOUL_NONE;
    if (count)
        gq_reserve_grow(&s->reserve);
    gq_status status = try_suspects(s, suspects, count);
    if (status == GQ_OK)
        status = take_over(s);
    forget_endings(s);
    gq_retire_late_now(&s->retired);
    if (status == GQ_OK)
        gq_reserve_start(&s->reserve);
    return status;
}

static gq_status renew(void *arg)
{
    struct gq_supervisor *s = arg;
    if (!__atomic_load_n(&s->armed, __ATOMIC_ACQUIRE))
        return GQ_ERR_NOT_READY;
    const struct gq_remote *remote = s->p->remote;
    const struct gq_worker_page *page = remote->link.worker;
    const bool anybody = gq_fault_code(page, s->hung, remote->wait_status) > GQ_FAULT_CUDA;
    const uint32_t room = anybody ? gq_suspects_all_room(s->p->queue) : gq_suspects_room(page);
    struct gq_suspect *suspects = malloc(room * sizeof *suspects);
    if (!suspects)
        return gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for %u messages that the worker was inside of", room);
    const uint32_t block = s->hung ? s->hung_block : GQ_BLOCK_NONE;
    const bool any = note_ended(s);
    distrust(s); /* first: whoever is run again may end the next worker, and so is suspected too */
    const uint32_t count = anybody ? gq_suspects_all(s->p->queue, suspects, room)
                                   : gq_suspects_find(page, s->p->queue, block, suspects, room);
    s->left = s->hung && !gq_budget_is_still(&s->budget, page, block);
    for (uint32_t i = 0; i < count && s->left; i++)
        suspects[i].caused = false;
    const gq_status status = renew_after(s, suspects, count, any);
    free(suspects);
    return status;
}

void gq_supervisor_init(struct gq_supervisor *s, struct gq_pipeline *p)
{
    const uint32_t look_ms = gq_budget_look_ms(p->conf, p->backend);
    *s = (struct gq_supervisor){.p = p, .silent_ms = GQ_BUDGET_SILENT_MS};
    gq_reserve_init(&s->reserve, p->conf, p->backend);
    s->keeper = (struct gq_remote_keeper){.arg = s, .look_ms = look_ms, .look = look, .renew = renew};
    gq_reserve_start(&s->reserve);
}

uint32_t gq_supervisor_silent_ms(const struct gq_supervisor *s)
{
    return __atomic_load_n(&s->silent_ms, __ATOMIC_RELAXED);
}

void gq_supervisor_arm(struct gq_supervisor *s)
{
    gq_reserve_await(&s->reserve); /* before a death may be seen, whose thread has it from then on */
    s->began_ns = gq_clock_ns();
    __atomic_store_n(&s->armed, 1, __ATOMIC_RELEASE);
}

void gq_supervisor_finish(struct gq_supervisor *s)
{
    if (s->p)
        gq_reserve_end(&s->reserve);
    gq_retired_finish(&s->retired);
}
