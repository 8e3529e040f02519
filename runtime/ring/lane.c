#include "ring/lane.h"
#include "base/assert.h"
#include "base/clock.h"
#include "ring/counted.h"
#include <limits.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { LIVE, SEEN, HELD, TAKEN, MUTE };

static uint64_t load(const uint64_t *p) { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }

/* --- what is there -------------------------------------------------------------------------------------------------
 */

static uint8_t state_of(const struct gq_lane *lane, uint64_t seq)
{
    if (lane->marks == 0)
        return seq < lane->seen ? HELD : LIVE;
    return lane->state[gq_slot_index(&lane->view, seq)];
}

static void count_taken(struct gq_lane *lane, uint64_t count)
{
    __atomic_store_n(&lane->taken, lane->taken + count, __ATOMIC_RELEASE);
}

static void mark(struct gq_lane *lane, uint64_t seq, uint8_t state)
{
    uint8_t *at = &lane->state[gq_slot_index(&lane->view, seq)];
    if (state == TAKEN && *at != MUTE)
        count_taken(lane, 1);
    lane->marks += (uint32_t)(state != LIVE) - (uint32_t)(*at != LIVE);
    *at = state;
}

static void set_state(struct gq_lane *lane, uint64_t seq, uint8_t state)
{
    gq_assert(seq >= lane->released);
    if (lane->marks == 0)
        for (uint64_t held = lane->released; held < lane->seen; held++)
            mark(lane, held, HELD);
    mark(lane, seq, state);
}

static void set_seen(struct gq_lane *lane, uint64_t seen)
{
    __atomic_store_n(&lane->seen, seen, __ATOMIC_RELAXED); /* gq_lane_has_results() looks without the lock */
}

static void set_released(struct gq_lane *lane, uint64_t seq)
{
    if (seq == lane->released)
        return;
    __atomic_store_n(&lane->released, seq, __ATOMIC_SEQ_CST);
    if (lane->generated) {
        gq_lane_grant(lane);
        gq_link_ring_worker(lane->link);
    }
    if (__atomic_load_n(&lane->room_waiters, __ATOMIC_SEQ_CST) != 0) {
        __atomic_fetch_add(&lane->room_bell, 1, __ATOMIC_RELEASE);
        syscall(SYS_futex, &lane->room_bell, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
    }
}

static void tell_keeper(const struct gq_lane *lane, uint64_t first, uint64_t count)
{
    if (lane->keeper && count)
        lane->keeper->done(lane->keeper->arg, lane->view.lane, first, count);
}

void gq_lane_expect(struct gq_lane *lane, uint32_t stage, uint32_t generation)
{
    pthread_mutex_lock(&lane->lock);
    /* What is claimed may have gone by express, and be answered, before it counts as submitted. Sources claim none. */
    const uint64_t from = lane->generated ? lane->submitted : __atomic_load_n(&lane->claimed, __ATOMIC_RELAXED);
    gq_dues_add(&lane->dues, (struct gq_due){from, stage, generation});
    pthread_mutex_unlock(&lane->lock);
}

/* The host alone gives messages up, and nobody would find out again without another death. */
static bool is_given_up(uint64_t meta) { return gq_meta_status(meta) == GQ_RESULT_FAULTED; }

static bool refuse(const struct gq_lane *lane, enum gq_foul foul)
{
    __atomic_store_n(&lane->link->foul, foul, __ATOMIC_RELEASE);
    return false;
}

static bool is_due(const struct gq_lane *lane, uint64_t seq, uint64_t meta)
{
    return is_given_up(meta) || gq_is_due(&lane->dues, seq, meta) || refuse(lane, GQ_FOUL_STALE);
}

static bool has_no_bytes(uint32_t status)
{
    return status == GQ_RESULT_DROPPED || status == GQ_RESULT_FAILED || status == GQ_RESULT_FAULTED;
}

/* Are these a worker's words? Those of a trial's worker were kept, and nobody would end it for them. */
static bool is_a_workers(const struct gq_lane *lane, const struct gq_lane_result *r)
{
    const uint32_t status = gq_meta_status(r->meta);
    const bool fits = r->len <= lane->view.slot_bytes;
    if ((status == GQ_RESULT_OK && fits) || (status == GQ_RESULT_OVERFLOW && !fits) || has_no_bytes(status))
        return true;
    return gq_lane_was_put(lane, r->seq) || refuse(lane, GQ_FOUL_SCRAWLED);
}

static bool has_result(struct gq_lane *lane, uint64_t seq, struct gq_lane_result *r)
{
    r->seq = seq;
    r->data = gq_slot_out(&lane->view, seq);
    if (gq_slot_ready(&lane->view, seq, &r->len, &r->meta))
        return true;
    if (!lane->express || !gq_express_ready(lane->express, &lane->view, seq, &r->len, &r->meta))
        return false;
    r->data = gq_express_data(lane->express, seq);
    return true;
}

/* With the lock: an express answer is copied out. */
bool gq_lane_answered(struct gq_lane *lane, uint64_t seq, struct gq_lane_result *r)
{
    return has_result(lane, seq, r) && is_a_workers(lane, r) && is_due(lane, seq, r->meta);
}

static bool is_open(const struct gq_lane *lane, uint64_t seq)
{
    const uint8_t state = state_of(lane, seq);
    return state == LIVE || state == MUTE;
}

bool gq_lane_is_held(const struct gq_lane *lane, uint64_t seq)
{
    const uint8_t state = state_of(lane, seq);
    return state == HELD || state == TAKEN;
}

bool gq_lane_ready(struct gq_lane *lane, uint64_t seq, struct gq_lane_result *r)
{
    return gq_lane_answered(lane, seq, r) &&
           (!lane->distrusted || gq_lane_is_held(lane, seq) || gq_lane_was_put(lane, seq));
}

void gq_lane_distrust(struct gq_lane *lane)
{
    gq_assert(!lane->counted);
    pthread_mutex_lock(&lane->lock);
    __atomic_store_n(&lane->distrusted, 1, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&lane->lock);
}

/* What became of a message that is still open, or SEEN. The words that tell are the worker's, which may write others
 * there at any time: they are read once, and this is what they said. */
enum fate { UNFINISHED, FINISHED, DROPPED, LOST };

static bool has_vanished(enum fate fate) { return fate == DROPPED || fate == LOST; }

static enum fate look(struct gq_lane *lane, uint64_t seq, struct gq_lane_result *r)
{
    if (gq_lane_ready(lane, seq, r)) {
        /* The worker's words are not trusted: a length beyond the slot must not become a read beyond it. */
        bool ok = gq_meta_status(r->meta) == GQ_RESULT_OK && r->len <= lane->view.slot_bytes;
        if (!ok && !has_no_bytes(gq_meta_status(r->meta)))
            r->meta = (r->meta & ~(uint64_t)0xff0000) | (uint64_t)GQ_RESULT_OVERFLOW << 16;
        const bool nobodys = gq_meta_status(r->meta) == GQ_RESULT_DROPPED || state_of(lane, seq) == MUTE;
        return nobodys ? DROPPED : FINISHED;
    }
    return gq_link_dead(lane->link) && !gq_lane_ready(lane, seq, r) ? LOST : UNFINISHED;
}

/* One that was SEEN before is counted as a result, and is none. */
static void count_vanished(struct gq_lane *lane, uint64_t seq, enum fate fate)
{
    const uint8_t state = state_of(lane, seq);
    uint64_t *counter = state == MUTE ? &lane->unmuted : fate == DROPPED ? &lane->dropped : &lane->lost;
    if (state == LIVE || state == MUTE)
        __atomic_store_n(counter, *counter + 1, __ATOMIC_RELAXED);
    set_state(lane, seq, TAKEN);
    if (fate == DROPPED && state != MUTE) /* one that is lost may be run again by another process */
        tell_keeper(lane, seq, 1);
}

/* One whose result is nobody's is over when it has ended. */
static bool is_over(struct gq_lane *lane, uint64_t seq)
{
    struct gq_lane_result r;
    if (state_of(lane, seq) == MUTE && gq_lane_ready(lane, seq, &r))
        count_vanished(lane, seq, DROPPED);
    return state_of(lane, seq) == TAKEN;
}

/* Moves `released` over everything done at the front. */
static void advance(struct gq_lane *lane)
{
    uint64_t seq = lane->released, end = load(&lane->submitted);
    while (lane->marks && seq < end && is_over(lane, seq))
        mark(lane, seq++, LIVE);
    set_released(lane, seq);
}

static void count_finished(struct gq_lane *lane, const struct gq_lane_result *r)
{
    const bool failed = gq_meta_status(r->meta) != GQ_RESULT_OK;
    if (failed)
        __atomic_store_n(&lane->failed, lane->failed + 1, __ATOMIC_RELAXED);
    gq_lane_tally_results(lane, r, 1, failed);
}

/* Results that are there, good, and need no byte of state: what a lane mostly hands out. Stops at any other. */
static uint32_t take_run(struct gq_lane *lane, struct gq_lane_result *results, uint32_t max, uint64_t end)
{
    const struct gq_lane_view view = lane->view;
    const uint32_t due = gq_due_of_run(&lane->dues, lane->seen, &end);
    const uint64_t first = lane->seen, most = end - first < max ? end - first : max;
    uint32_t n = 0;
    for (struct gq_lane_result *r = results; n < most; r++, n++) {
        uint32_t len;
        uint64_t meta, seq = first + n;
        if (!gq_slot_ready(&view, seq, &len, &meta) || gq_meta_status(meta) != GQ_RESULT_OK || len > view.slot_bytes ||
            gq_meta_generation(meta) < due)
            break;
        *r = (struct gq_lane_result){.seq = seq, .data = gq_slot_out(&view, seq), .meta = meta, .len = len};
        if (lane->fetch_ahead)
            __builtin_prefetch(r->data);
    }
    set_seen(lane, first + n);
    gq_lane_tally_results(lane, results, n, 0);
    return n;
}

/* Any other message: false if it has not finished; else it is passed, and *n grows if it has a result. */
static bool take_one(struct gq_lane *lane, bool hold, struct gq_lane_result *r, uint32_t *n)
{
    const uint64_t seq = lane->seen;
    if (is_open(lane, seq)) {
        const enum fate fate = look(lane, seq, r);
        if (fate == UNFINISHED)
            return false;
        if (has_vanished(fate))
            count_vanished(lane, seq, fate);
        else if (!hold || lane->marks)
            set_state(lane, seq, hold ? HELD : SEEN);
        if (fate == FINISHED) {
            count_finished(lane, r);
            (*n)++;
        }
    }
    set_seen(lane, seq + 1);
    return true;
}

static uint32_t take_locked(struct gq_lane *lane, bool hold, struct gq_lane_result *results, uint32_t max)
{
    const uint64_t end = load(&lane->submitted);
    uint32_t n = 0;
    if (lane->seen < lane->released)
        set_seen(lane, lane->released);
    while (n < max && lane->seen < end) {
        if (hold && lane->marks == 0 && !lane->distrusted)
            n += take_run(lane, &results[n], max - n, end);
        if (n == max || lane->seen == end || !take_one(lane, hold, &results[n], &n))
            break;
    }
    return n;
}

uint32_t gq_lane_take(struct gq_lane *lane, bool hold, struct gq_lane_result *results, uint32_t max)
{
    pthread_mutex_lock(&lane->lock);
    const uint32_t n = take_locked(lane, hold, results, max);
    advance(lane);
    pthread_mutex_unlock(&lane->lock);
    return n;
}

void gq_lane_reap(struct gq_lane *lane)
{
    uint64_t end = load(&lane->submitted);
    for (uint64_t seq = lane->released; seq < end; seq++) {
        struct gq_lane_result r;
        if (state_of(lane, seq) == TAKEN)
            continue;
        const enum fate fate = is_open(lane, seq) ? look(lane, seq, &r) : FINISHED;
        if (!has_vanished(fate))
            break;
        count_vanished(lane, seq, fate);
    }
    advance(lane);
}

/* May message seq have an end? Without the lock: a hint, but a no is true of a message that is not released, unless the
 * lane is distrusted: then of one that was not taken. */
static bool may_be_over(const struct gq_lane *lane, uint64_t seq)
{
    uint32_t len;
    uint64_t meta;
    if (gq_link_dead(lane->link))
        return true;
    if (lane->counted)
        return gq_counted_end(lane) > seq;
    const bool answered = gq_slot_ready(&lane->view, seq, &len, &meta);
    if (__atomic_load_n(&lane->distrusted, __ATOMIC_ACQUIRE))
        return seq < __atomic_load_n(&lane->seen, __ATOMIC_RELAXED) || (answered && gq_lane_was_put(lane, seq));
    return answered || (lane->express && gq_express_hint(lane->express, &lane->view, seq));
}

bool gq_lane_has_results(const struct gq_lane *lane)
{
    uint64_t seq = __atomic_load_n(&lane->seen, __ATOMIC_RELAXED), released = load(&lane->released);
    if (seq < released)
        seq = released;
    return seq < load(&lane->submitted) && may_be_over(lane, seq);
}

static uint64_t end_of(const struct gq_lane *lane)
{
    return lane->generated ? load(&lane->generate_count) : load(&lane->submitted);
}

bool gq_lane_spent(const struct gq_lane *lane)
{
    return __atomic_load_n(&lane->seen, __ATOMIC_RELAXED) >= end_of(lane) || gq_lane_idle(lane);
}

bool gq_lane_idle(const struct gq_lane *lane) { return load(&lane->released) >= end_of(lane); }

/* Releases in order, without a byte of state: returns how many of seqs[]. */
static uint32_t release_front(struct gq_lane *lane, const uint64_t *seqs, uint32_t count)
{
    const uint64_t first = lane->released, seen = lane->seen;
    uint32_t n = 0;
    while (n < count && seqs[n] == first + n && first + n < seen)
        n++;
    tell_keeper(lane, first, n);
    set_released(lane, first + n);
    count_taken(lane, n);
    return n;
}

static gq_status release_one(struct gq_lane *lane, uint64_t seq)
{
    if (seq < lane->released || seq >= load(&lane->submitted) || state_of(lane, seq) != HELD)
        return GQ_ERR_NOT_FOUND;
    set_state(lane, seq, TAKEN);
    tell_keeper(lane, seq, 1);
    return GQ_OK;
}

gq_status gq_lane_release(struct gq_lane *lane, const uint64_t *seqs, uint32_t count)
{
    gq_status status = GQ_OK;
    pthread_mutex_lock(&lane->lock);
    for (uint32_t i = lane->marks ? 0 : release_front(lane, seqs, count); i < count && status == GQ_OK; i++)
        status = release_one(lane, seqs[i]);
    advance(lane);
    pthread_mutex_unlock(&lane->lock);
    return status;
}

gq_status gq_lane_release_run(struct gq_lane *lane, uint64_t first, uint64_t count)
{
    gq_status status = GQ_OK;
    pthread_mutex_lock(&lane->lock);
    const bool front = lane->marks == 0 && first == lane->released && first < lane->seen;
    const uint64_t held = front ? lane->seen - first : 0, n = held < count ? held : count;
    tell_keeper(lane, first, n);
    if (n)
        set_released(lane, first + n);
    count_taken(lane, n);
    for (uint64_t i = n; i < count && status == GQ_OK; i++)
        status = release_one(lane, first + i);
    advance(lane);
    pthread_mutex_unlock(&lane->lock);
    return status;
}

void gq_lane_mute_next(struct gq_lane *lane)
{
    pthread_mutex_lock(&lane->lock);
    set_state(lane, lane->submitted, MUTE);
    lane->muted++;
    pthread_mutex_unlock(&lane->lock);
}

/* Takes a message that nobody may ask for again. With a keeper that is so when the caller says it, by a release. */
static void take(struct gq_lane *lane, uint64_t seq)
{
    set_state(lane, seq, lane->keeper ? HELD : TAKEN);
    advance(lane);
}

static gq_status fetch_finished(struct gq_lane *lane, const struct gq_lane_result *r, void *buffer, size_t *len)
{
    bool ok = gq_meta_status(r->meta) == GQ_RESULT_OK;
    size_t room = *len;
    *len = ok ? r->len : 0;
    if (ok && r->len > room)
        return GQ_ERR_INVALID_ARG;
    if (ok && r->len)
        memcpy(buffer, r->data, r->len);
    if (state_of(lane, r->seq) == LIVE)
        count_finished(lane, r);
    take(lane, r->seq);
    return ok ? GQ_OK : GQ_ERR_DEVICE;
}

/* May a message that a poll has told of, and that has no result, have one once more? */
static bool is_made_again(const struct gq_lane *lane, uint64_t seq) { return lane->distrusted || seq < lane->renewed; }

static gq_status fetch_locked(struct gq_lane *lane, uint64_t seq, void *buffer, size_t *len, uint64_t *meta)
{
    struct gq_lane_result r;
    if (seq >= load(&lane->submitted) || seq < lane->released)
        return GQ_ERR_NOT_FOUND;
    uint8_t state = state_of(lane, seq);
    if (state == TAKEN || state == HELD || state == MUTE)
        return GQ_ERR_NOT_FOUND;
    const enum fate fate = look(lane, seq, &r);
    if (fate == UNFINISHED && (state == LIVE || is_made_again(lane, seq)))
        return GQ_ERR_NOT_READY;
    if (fate == FINISHED) {
        *meta = r.meta;
        return fetch_finished(lane, &r, buffer, len);
    }
    *meta = fate == DROPPED ? r.meta : 0;
    count_vanished(lane, seq, fate);
    advance(lane);
    return fate == DROPPED ? GQ_ERR_NOT_FOUND : GQ_ERR_DEVICE;
}

gq_status gq_lane_fetch(struct gq_lane *lane, uint64_t seq, void *buffer, size_t *len, uint64_t *meta)
{
    *meta = 0;
    /* Who polls finds nothing most of the time, and takes no lock for it. The slot is looked at before `released`: if
     * it was the message's then, it was so when it was looked at. */
    if (!may_be_over(lane, seq) && seq >= load(&lane->released) && seq < load(&lane->submitted) &&
        __atomic_load_n(&lane->unmuted, __ATOMIC_RELAXED) == lane->muted &&
        !__atomic_load_n(&lane->distrusted, __ATOMIC_ACQUIRE))
        return GQ_ERR_NOT_READY;
    pthread_mutex_lock(&lane->lock);
    gq_status status = fetch_locked(lane, seq, buffer, len, meta);
    pthread_mutex_unlock(&lane->lock);
    return status;
}

/* Looked at before `released`: a slot that another message has by now was released first. */
uint64_t gq_lane_unfinished_below(struct gq_lane *lane, uint64_t end)
{
    uint64_t unfinished = 0, seq = load(&lane->released), submitted = load(&lane->submitted);
    if (seq > end || gq_link_dead(lane->link))
        return 0;
    for (end = end < submitted ? end : submitted; seq < end; seq++)
        if (!may_be_over(lane, seq) && load(&lane->released) <= seq)
            unfinished++;
    return unfinished;
}

static bool is_owed(struct gq_lane *lane, uint64_t seq)
{
    struct gq_lane_result r;
    const bool wanted = is_open(lane, seq) || (state_of(lane, seq) == SEEN && is_made_again(lane, seq));
    return wanted && !gq_lane_ready(lane, seq, &r);
}

uint64_t gq_lane_unfinished(struct gq_lane *lane)
{
    uint64_t unfinished = 0;
    pthread_mutex_lock(&lane->lock);
    uint64_t end = load(&lane->submitted);
    for (uint64_t seq = lane->counted ? gq_counted_end(lane) : lane->released; seq < end; seq++)
        if (lane->counted || is_owed(lane, seq))
            unfinished++;
    pthread_mutex_unlock(&lane->lock);
    return unfinished;
}

void gq_lane_end_generation(struct gq_lane *lane)
{
    gq_assert(lane->generated);
    pthread_mutex_lock(&lane->lock);
    __atomic_store_n(&lane->generate_count, lane->submitted, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&lane->lock);
}

void gq_lane_withdraw_generation(struct gq_lane *lane)
{
    gq_assert(lane->generated && lane->released == lane->first_seq);
    __atomic_store_n(&lane->generate_count, lane->first_seq, __ATOMIC_RELEASE);
    gq_lane_grant(lane);
    gq_assert(lane->submitted == lane->first_seq);
}
