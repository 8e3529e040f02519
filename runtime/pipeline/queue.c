#include "pipeline/queue.h"
#include "base/assert.h"
#include "base/clock.h"
#include "pipeline/version.h"
#include "ring/page.h"
#include <sched.h>
#include <time.h>
#include <stdlib.h>

#define COUNTED_LANES 8u
#define COUNTED_CAPACITY 4096u /* fewer messages in flight in a lane do not keep a device busy */
#define SLEEP_NS 20000000u     /* a lost kick costs at most this */

gq_status gq_queue_create(struct gq_remote *remote, bool timed, struct gq_queue **out)
{
    struct gq_queue *queue = calloc(1, sizeof *queue);
    *out = queue;
    if (!queue)
        return gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for a queue");
    queue->remote = remote;
    queue->capacity = remote->conf->capacity;
    queue->slot_bytes = remote->conf->slot_bytes;
    queue->timed = timed;
    pthread_mutex_init(&queue->lock, NULL);
    return GQ_OK;
}

void gq_queue_destroy(struct gq_queue *queue)
{
    if (!queue)
        return;
    for (uint32_t i = 0; i < queue->lane_count; i++)
        gq_lane_destroy(queue->lane[i]);
    pthread_mutex_destroy(&queue->lock);
    free(queue);
}

/* --- lanes and owners --------------------------------------------------------------------------------------------- */

static gq_status add(struct gq_queue *queue, struct gq_lane_opts *opts, struct gq_lane **out)
{
    uint32_t index = queue->lane_count;
    if (index == GQ_LANES_MAX)
        return gq_error_set(GQ_ERR_FULL, "%u threads own a lane already, and a queue has no more: let one of them end",
                            GQ_LANES_MAX);
    opts->lane = index;
    opts->capacity = opts->capacity ? opts->capacity : queue->capacity;
    opts->slot_bytes = queue->slot_bytes;
    opts->timed = queue->timed;
    opts->first_seq = queue->journal ? queue->journal->lane[index].first : 0;
    opts->keeper = queue->keeper;
    opts->tell = queue->remote->versions ? gq_versions_tally : NULL;
    opts->tell_arg = queue->remote->versions;
    gq_status status = gq_lane_create(opts, &queue->remote->link, out);
    if (status == GQ_OK)
        status = gq_remote_add_lane(queue->remote, *out);
    if (status != GQ_OK) {
        gq_lane_destroy(*out);
        *out = NULL;
        return status;
    }
    queue->lane[index] = *out;
    queue->owned[index] = true;
    /* Either who tells all lanes sees this one, or this thread sees what they were told. */
    __atomic_store_n(&queue->lane_count, index + 1, __ATOMIC_SEQ_CST);
    const uint64_t due = __atomic_load_n(&queue->due, __ATOMIC_SEQ_CST);
    gq_lane_expect(*out, (uint32_t)(due >> 32), (uint32_t)due);
    return GQ_OK;
}

void gq_queue_expect(struct gq_queue *queue, uint32_t stage, uint32_t generation)
{
    __atomic_store_n(&queue->due, (uint64_t)stage << 32 | generation, __ATOMIC_SEQ_CST);
    const uint32_t lanes = __atomic_load_n(&queue->lane_count, __ATOMIC_SEQ_CST);
    for (uint32_t i = 0; i < lanes; i++)
        gq_lane_expect(queue->lane[i], stage, generation);
}

void gq_queue_distrust(struct gq_queue *queue)
{
    for (uint32_t i = 0; i < gq_queue_lanes(queue); i++)
        if (!queue->lane[i]->counted)
            gq_lane_distrust(queue->lane[i]);
}

/* A lane without an owner, NULL if there is none. */
static struct gq_lane *adopt(struct gq_queue *queue, bool idle_only)
{
    for (uint32_t i = 0; i < queue->lane_count; i++) {
        if (queue->owned[i] || queue->lane[i]->generated || (idle_only && !gq_lane_idle(queue->lane[i])))
            continue;
        queue->owned[i] = true;
        return queue->lane[i];
    }
    return NULL;
}

/* Lanes that are empty come first. One that still holds results of the thread before comes last: the next owner would
 * find it full, and those results among its own. */
gq_status gq_queue_own_lane(struct gq_queue *queue, struct gq_lane **out)
{
    gq_status status = GQ_OK;
    struct gq_lane_opts opts = {0};
    pthread_mutex_lock(&queue->lock);
    *out = adopt(queue, true);
    if (!*out && queue->lane_count == GQ_LANES_MAX)
        *out = adopt(queue, false);
    if (!*out)
        status = add(queue, &opts, out);
    pthread_mutex_unlock(&queue->lock);
    return status;
}

void gq_queue_disown_lane(struct gq_queue *queue, struct gq_lane *lane)
{
    pthread_mutex_lock(&queue->lock);
    gq_assert(queue->owned[lane->view.lane]);
    /* Claims that were never committed go with their owner. */
    gq_lane_unclaim(lane, lane->submitted);
    queue->owned[lane->view.lane] = false;
    pthread_mutex_unlock(&queue->lock);
}

gq_status gq_queue_add_generated(struct gq_queue *queue, uint64_t first_index, uint64_t count)
{
    struct gq_lane_opts opts = {.generated = true, .first_index = first_index, .index_step = 1, .count = count};
    struct gq_lane *lane;
    pthread_mutex_lock(&queue->lock);
    gq_status status = add(queue, &opts, &lane);
    pthread_mutex_unlock(&queue->lock);
    return status;
}

gq_status gq_queue_add_counted(struct gq_queue *queue, uint64_t first_index, uint64_t count)
{
    uint32_t lanes = 1;
    while (lanes < COUNTED_LANES && queue->capacity / lanes > COUNTED_CAPACITY)
        lanes *= 2;
    gq_status status = GQ_OK;
    pthread_mutex_lock(&queue->lock);
    for (uint32_t i = 0; i < lanes && status == GQ_OK; i++) {
        struct gq_lane *lane;
        struct gq_lane_opts opts = {.generated = true,
                                    .counted = true,
                                    .capacity = queue->capacity / lanes,
                                    .first_index = first_index + i,
                                    .index_step = lanes,
                                    .count = count / lanes + (i < count % lanes)};
        status = add(queue, &opts, &lane);
    }
    pthread_mutex_unlock(&queue->lock);
    return status;
}

void gq_queue_end_generation(struct gq_queue *queue)
{
    for (uint32_t i = 0; i < gq_queue_lanes(queue); i++)
        if (queue->lane[i]->generated)
            gq_lane_end_generation(queue->lane[i]);
}

void gq_queue_withdraw_generation(struct gq_queue *queue)
{
    for (uint32_t i = 0; i < gq_queue_lanes(queue); i++)
        if (queue->lane[i]->generated)
            gq_lane_withdraw_generation(queue->lane[i]);
}

struct gq_lane *gq_queue_lane_of(const struct gq_queue *queue, uint64_t id)
{
    uint32_t index = gq_id_lane(id);
    return index < gq_queue_lanes(queue) ? queue->lane[index] : NULL;
}

/* --- what an earlier process left ----------------------------------------------------------------------------------
 */

static gq_status publish_again(struct gq_queue *queue, struct gq_lane *lane, uint64_t *recovered)
{
    uint64_t seq;
    uint32_t len;
    bool taken;
    const uint32_t got = gq_lane_claim(lane, 1, 0, &seq);
    gq_assert(got == 1);
    gq_status status = gq_journal_read(queue->journal, lane->view.lane, seq, gq_lane_slot(lane, seq), &len, &taken);
    if (status != GQ_OK)
        return status;
    if (taken)
        gq_lane_mute_next(lane);
    *recovered += !taken;
    gq_lane_publish(lane, &len, 1, 0);
    return GQ_OK;
}

static gq_status recover_lane(struct gq_queue *queue, uint64_t *recovered)
{
    struct gq_lane_opts opts = {0};
    struct gq_lane *lane;
    const struct gq_journal_lane *left = &queue->journal->lane[queue->lane_count];
    gq_status status = add(queue, &opts, &lane);
    for (uint64_t seq = left->first; seq < left->next && status == GQ_OK; seq++)
        status = publish_again(queue, lane, recovered);
    if (status == GQ_OK)
        queue->owned[lane->view.lane] = false;
    return status;
}

gq_status gq_queue_recover(struct gq_queue *queue, struct gq_journal *journal, const struct gq_lane_keeper *keeper,
                           uint64_t *recovered)
{
    gq_status status = GQ_OK;
    gq_assert(queue->lane_count == 0);
    *recovered = 0;
    queue->journal = journal;
    queue->keeper = keeper;
    pthread_mutex_lock(&queue->lock);
    for (uint32_t lanes = gq_journal_lanes(journal); queue->lane_count < lanes && status == GQ_OK;)
        status = recover_lane(queue, recovered);
    pthread_mutex_unlock(&queue->lock);
    return status;
}

/* --- results ------------------------------------------------------------------------------------------------------ */

uint32_t gq_queue_take(struct gq_queue *queue, bool hold, struct gq_lane_result *results, uint32_t max,
                       struct gq_lane **lane)
{
    uint32_t count = gq_queue_lanes(queue), start = __atomic_load_n(&queue->turn, __ATOMIC_RELAXED);
    for (uint32_t i = 0; i < count; i++) {
        *lane = queue->lane[(start + i) % count];
        uint32_t n = gq_lane_has_results(*lane) ? gq_lane_take(*lane, hold, results, max) : 0;
        if (n == 0)
            continue;
        __atomic_store_n(&queue->turn, (start + i + 1) % count, __ATOMIC_RELAXED);
        return n;
    }
    return 0;
}

static bool any_results(void *arg)
{
    const struct gq_queue *queue = arg;
    uint32_t count = gq_queue_lanes(queue);
    for (uint32_t i = 0; i < count; i++)
        if (gq_lane_has_results(queue->lane[i]))
            return true;
    return false;
}

static bool results_or_spent(void *arg)
{
    const struct gq_queue *queue = arg;
    uint32_t count = gq_queue_lanes(queue), spent = 0;
    for (uint32_t i = 0; i < count; i++)
        spent += gq_lane_spent(queue->lane[i]);
    return spent == count || any_results(arg);
}

static bool lane_results(void *arg) { return gq_lane_has_results(arg); }

/* Spins, gives way, sleeps: in that order, because a result is usually near; the pipeline's queue.poll says how long.
 */
static bool wait_for(struct gq_link *link, bool (*ready)(void *arg), void *arg, uint64_t deadline_ns)
{
    uint64_t start = 0;
    uint32_t yields = 0;
    for (uint32_t round = 0; !ready(arg); round++) {
        if (gq_link_dead(link) || gq_link_closing(link))
            return ready(arg);
        if (round < link->wait.looks) {
            gq_cpu_relax();
            continue;
        }
        uint64_t now = gq_clock_ns();
        if (now >= deadline_ns)
            return false;
        if (start == 0)
            start = now;
        if (now - start < link->wait.spin_ns)
            gq_cpu_relax();
        else if (yields++ < link->wait.yields)
            sched_yield();
        else
            gq_link_wait_results(link, deadline_ns - now < SLEEP_NS ? deadline_ns - now : SLEEP_NS, ready, arg);
    }
    return true;
}

bool gq_queue_wait(struct gq_queue *queue, uint64_t deadline_ns)
{
    return wait_for(&queue->remote->link, any_results, queue, deadline_ns);
}

bool gq_queue_wait_spent(struct gq_queue *queue, uint64_t deadline_ns)
{
    return wait_for(&queue->remote->link, results_or_spent, queue, deadline_ns);
}

bool gq_queue_wait_lane(struct gq_lane *lane, uint64_t deadline_ns)
{
    return wait_for(lane->link, lane_results, lane, deadline_ns);
}

bool gq_queue_idle(const struct gq_queue *queue)
{
    uint32_t count = gq_queue_lanes(queue);
    for (uint32_t i = 0; i < count; i++)
        if (!gq_lane_idle(queue->lane[i]))
            return false;
    return true;
}

static uint64_t unfinished(struct gq_queue *queue)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < gq_queue_lanes(queue); i++)
        sum += gq_lane_unfinished(queue->lane[i]);
    return sum;
}

uint64_t gq_queue_drain(struct gq_queue *queue, uint64_t deadline_ns)
{
    uint64_t left;
    while ((left = unfinished(queue)) != 0 && !gq_link_dead(&queue->remote->link) && !gq_clock_past(deadline_ns)) {
        struct timespec nap = {.tv_nsec = 200000};
        nanosleep(&nap, NULL);
    }
    return left;
}

/* --- counters ----------------------------------------------------------------------------------------------------- */

void gq_queue_get_counts(struct gq_queue *queue, struct gq_lane_counts *out, struct gq_histogram *latency)
{
    *out = (struct gq_lane_counts){0};
    for (uint32_t i = 0; i < gq_queue_lanes(queue); i++) {
        struct gq_lane_counts c;
        gq_lane_get_counts(queue->lane[i], &c);
        out->submitted += c.submitted;
        out->taken += c.taken;
        out->dropped += c.dropped;
        out->failed += c.failed;
        out->lost += c.lost;
        out->refused_full += c.refused_full;
        if (latency)
            gq_lane_merge_latency(queue->lane[i], latency);
    }
}

uint64_t gq_queue_retries(const struct gq_queue *queue)
{
    return __atomic_load_n(&queue->remote->retries, __ATOMIC_RELAXED) + gq_page_retries(queue->remote->link.worker);
}
