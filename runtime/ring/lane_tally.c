/* What a lane handed out, counted. */
#include "base/clock.h"
#include "ring/lane.h"

static void tell(struct gq_lane *lane)
{
    struct gq_lane_tally *t = &lane->tally;
    if (t->results && lane->tell)
        lane->tell(lane->tell_arg, t);
    if (t->results && t->latency)
        *t->latency = (struct gq_histogram){0};
    t->results = t->failed = 0;
}

void gq_lane_tally(struct gq_lane *lane, uint32_t generation, uint64_t results, uint64_t failed)
{
    if (lane->tally.generation != generation) {
        tell(lane);
        lane->tally.generation = generation;
    }
    lane->tally.results += results;
    lane->tally.failed += failed;
}

void gq_lane_tell(struct gq_lane *lane)
{
    pthread_mutex_lock(&lane->lock);
    tell(lane);
    pthread_mutex_unlock(&lane->lock);
}

static void add_latencies(struct gq_lane *lane, const struct gq_lane_result *results, uint32_t count)
{
    const uint64_t now = gq_clock_ns();
    for (uint32_t i = 0; i < count; i++)
        gq_histogram_add(lane->tally.latency, now - lane->sent_ns[gq_slot_index(&lane->view, results[i].seq)], 1);
}

/* Within a lane generations never fall: two results of one generation have nothing else between them. */
void gq_lane_tally_results(struct gq_lane *lane, const struct gq_lane_result *results, uint32_t count, uint32_t failed)
{
    for (uint32_t n; count; results += n, count -= n) {
        const uint32_t generation = gq_meta_generation(results[0].meta);
        n = gq_meta_generation(results[count - 1].meta) == generation ? count : 1;
        gq_lane_tally(lane, generation, n, failed);
        failed = 0;
        if (lane->tally.latency)
            add_latencies(lane, results, n);
    }
}

void gq_lane_get_counts(struct gq_lane *lane, struct gq_lane_counts *out)
{
    out->released = __atomic_load_n(&lane->released, __ATOMIC_ACQUIRE);
    out->submitted = __atomic_load_n(&lane->submitted, __ATOMIC_ACQUIRE);
    out->dropped = __atomic_load_n(&lane->dropped, __ATOMIC_RELAXED);
    out->failed = __atomic_load_n(&lane->failed, __ATOMIC_RELAXED);
    out->lost = __atomic_load_n(&lane->lost, __ATOMIC_RELAXED);
    out->refused_full = __atomic_load_n(&lane->refused_full, __ATOMIC_RELAXED);
}
