#include "ring/counted.h"
#include "base/clock.h"

uint64_t gq_counted_step(const struct gq_lane *lane) { return lane->counted && lane->view.mask >= 4095 ? 1024 : 1; }

uint64_t gq_counted_end(const struct gq_lane *lane)
{
    uint64_t stamp, data, end = __atomic_load_n(&lane->submitted, __ATOMIC_ACQUIRE);
    gq_load_unit(&lane->view.out_head->count[0], &stamp, &data); /* A8 pairs R8 */
    return stamp < end ? stamp : end;
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

bool gq_counted_take(struct gq_lane *lane, struct gq_counted *out)
{
    uint64_t counts[GQ_COUNTS], end;
    if (!read_counts(lane, &end, counts))
        return false;
    uint64_t *was = lane->counts, first = __atomic_load_n(&lane->released, __ATOMIC_ACQUIRE);
    *out = (struct gq_counted){first,
                               end,
                               counts[GQ_COUNT_OK] - was[GQ_COUNT_OK],
                               counts[GQ_COUNT_DROPPED] - was[GQ_COUNT_DROPPED],
                               counts[GQ_COUNT_FAILED] - was[GQ_COUNT_FAILED],
                               counts[GQ_COUNT_BYTES] - was[GQ_COUNT_BYTES]};
    if (end <= first || end > __atomic_load_n(&lane->submitted, __ATOMIC_ACQUIRE) ||
        out->ok + out->dropped + out->failed != end - first)
        return false;
    pthread_mutex_lock(&lane->lock);
    for (uint32_t i = 0; i < GQ_COUNTS; i++)
        was[i] = counts[i];
    __atomic_store_n(&lane->seen, end, __ATOMIC_RELAXED);
    __atomic_store_n(&lane->dropped, lane->dropped + out->dropped, __ATOMIC_RELAXED);
    __atomic_store_n(&lane->failed, lane->failed + out->failed, __ATOMIC_RELAXED);
    /* The time of the first message may be gone: its slot was granted again. */
    const uint64_t step = gq_counted_step(lane), sent = (first + step - 1) & ~(step - 1);
    if (lane->latency && sent < end)
        gq_histogram_add(lane->latency, gq_clock_ns() - lane->sent_ns[gq_slot_index(&lane->view, sent)], end - first);
    pthread_mutex_unlock(&lane->lock);
    return true;
}

void gq_counted_release(struct gq_lane *lane, const struct gq_counted *c)
{
    gq_lane_release_run(lane, c->first, (uint32_t)(c->end - c->first));
}

bool gq_counted_failed(const struct gq_lane *lane, uint64_t seq, struct gq_lane_result *r)
{
    *r = (struct gq_lane_result){.seq = seq};
    return gq_slot_ready(&lane->view, seq, &r->len, &r->meta) && gq_meta_status(r->meta) != GQ_RESULT_OK &&
           gq_meta_status(r->meta) != GQ_RESULT_DROPPED;
}
