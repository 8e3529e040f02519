#include "ring/counted.h"
#include "base/clock.h"

#define TORN_MAX (1u << 20) /* looks in a row at words that do not belong together: a write takes a few */

uint64_t gq_counted_step(const struct gq_lane *lane) { return lane->counted && lane->view.mask >= 4095 ? 1024 : 1; }

uint64_t gq_counted_end(const struct gq_lane *lane)
{
    uint64_t stamp, data, end = __atomic_load_n(&lane->submitted, __ATOMIC_ACQUIRE);
    const uint64_t first = __atomic_load_n(&lane->released, __ATOMIC_ACQUIRE);
    gq_load_unit(&lane->view.out_head->count[0], &stamp, &data); /* A8 pairs R8 */
    return stamp < first ? first : stamp < end ? stamp : end;
}

/* All four words, if they belong together. */
static bool read_counts(const struct gq_lane *lane, uint64_t *end, uint64_t counts[GQ_COUNTS])
{
    for (uint32_t i = 0; i < GQ_COUNTS; i++) {
        uint64_t stamp;
        gq_load_unit(&lane->view.out_head->count[i], &stamp, &counts[i]); /* A8 pairs R8 */
        if (i > 0 && stamp != *end)
            return false;
        *end = stamp;
    }
    return true;
}

gq_status gq_counted_distrust(const struct gq_lane *lane)
{
    return gq_error_set(
        GQ_ERR_DEVICE,
        "what the device counted in lane %u does not add up: a plugin may have written over memory that "
        "is not its own",
        lane->view.lane);
}

/* Messages below `submitted` alone may have ended, each in one way, and no result is longer than its slot. */
static bool adds_up(const struct gq_lane *lane, const struct gq_counted *c)
{
    const uint64_t ended = c->end - c->first;
    return c->end > c->first && c->end <= __atomic_load_n(&lane->submitted, __ATOMIC_ACQUIRE) && c->ok <= ended &&
           c->dropped <= ended - c->ok && c->failed == ended - c->ok - c->dropped &&
           c->bytes <= c->ok * lane->view.slot_bytes;
}

static gq_status take_locked(struct gq_lane *lane, struct gq_counted *out)
{
    uint64_t counts[GQ_COUNTS], end;
    if (!read_counts(lane, &end, counts))
        return ++lane->torn < TORN_MAX ? GQ_ERR_NOT_READY : gq_counted_distrust(lane);
    lane->torn = 0;
    uint64_t *was = lane->counts, first = __atomic_load_n(&lane->released, __ATOMIC_ACQUIRE);
    *out = (struct gq_counted){first,
                               end,
                               counts[GQ_COUNT_OK] - was[GQ_COUNT_OK],
                               counts[GQ_COUNT_DROPPED] - was[GQ_COUNT_DROPPED],
                               counts[GQ_COUNT_FAILED] - was[GQ_COUNT_FAILED],
                               counts[GQ_COUNT_BYTES] - was[GQ_COUNT_BYTES]};
    if (end == first)
        return GQ_ERR_NOT_READY;
    if (!adds_up(lane, out))
        return gq_counted_distrust(lane);
    for (uint32_t i = 0; i < GQ_COUNTS; i++)
        was[i] = counts[i];
    __atomic_store_n(&lane->seen, end, __ATOMIC_RELAXED);
    __atomic_store_n(&lane->dropped, lane->dropped + out->dropped, __ATOMIC_RELAXED);
    __atomic_store_n(&lane->failed, lane->failed + out->failed, __ATOMIC_RELAXED);
    /* The oldest of them whose time was kept. */
    const uint32_t generation = __atomic_load_n(&lane->link->generation, __ATOMIC_RELAXED);
    const struct gq_lane_tally *tally = gq_lane_tally(lane, generation, out->ok + out->failed, out->failed);
    const uint64_t step = gq_counted_step(lane), sent = (first + step - 1) & ~(step - 1);
    if (tally->latency && sent < end)
        gq_histogram_add(tally->latency, gq_clock_ns() - lane->sent_ns[gq_slot_index(&lane->view, sent)], end - first);
    return GQ_OK;
}

/* Counts are read under the lock too: another worker that takes over goes on from those that were taken. */
gq_status gq_counted_take(struct gq_lane *lane, struct gq_counted *out)
{
    pthread_mutex_lock(&lane->lock);
    const gq_status status = take_locked(lane, out);
    pthread_mutex_unlock(&lane->lock);
    return status;
}

bool gq_counted_good(const struct gq_lane *lane, uint32_t generation)
{
    uint64_t counts[GQ_COUNTS], end;
    if (__atomic_load_n(&lane->link->generation, __ATOMIC_RELAXED) < generation)
        return false;
    return read_counts(lane, &end, counts) && end > lane->seen && counts[GQ_COUNT_OK] > lane->counts[GQ_COUNT_OK];
}

void gq_counted_release(struct gq_lane *lane, const struct gq_counted *c)
{
    gq_lane_release_run(lane, c->first, (uint32_t)(c->end - c->first));
}

bool gq_counted_failed(const struct gq_lane *lane, uint64_t seq, struct gq_lane_result *r)
{
    uint64_t stamp, unused;
    *r = (struct gq_lane_result){.seq = seq};
    if (!gq_slot_ready(&lane->view, seq, &r->len, &r->meta))
        return false; /* before its slot is touched: those of a counted lane have no memory until a message fails */
    gq_load_unit(gq_slot_out(&lane->view, seq), &stamp, &unused); /* A6 pairs R6 */
    return stamp == seq + 1 && gq_meta_status(r->meta) != GQ_RESULT_OK && gq_meta_status(r->meta) != GQ_RESULT_DROPPED;
}
