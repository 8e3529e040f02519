/* What a lane handed out, counted. */
#include "base/clock.h"
#include "ring/lane.h"

static void tell(struct gq_lane *lane, struct gq_lane_tally *t)
{
    if (t->results && lane->tell)
        lane->tell(lane->tell_arg, t);
    if (t->results && t->latency)
        *t->latency = (struct gq_histogram){0};
    t->results = t->failed = 0;
}

/* The tally of a generation; the older one makes room. */
static struct gq_lane_tally *find(struct gq_lane *lane, uint32_t generation)
{
    struct gq_lane_tally *t = lane->tally;
    if (t[0].generation == generation || t[1].generation == generation)
        return t[0].generation == generation ? &t[0] : &t[1];
    struct gq_lane_tally *older = t[0].generation < t[1].generation ? &t[0] : &t[1];
    tell(lane, older);
    older->generation = generation;
    return older;
}

struct gq_lane_tally *gq_lane_tally(struct gq_lane *lane, uint32_t generation, uint64_t results, uint64_t failed)
{
    struct gq_lane_tally *t = find(lane, generation);
    t->results += results;
    t->failed += failed;
    return t;
}

void gq_lane_tell(struct gq_lane *lane)
{
    pthread_mutex_lock(&lane->lock);
    tell(lane, &lane->tally[0]);
    tell(lane, &lane->tally[1]);
    pthread_mutex_unlock(&lane->lock);
}

void gq_lane_merge_latency(struct gq_lane *lane, struct gq_histogram *into)
{
    pthread_mutex_lock(&lane->lock);
    for (int i = 0; i < 2; i++)
        if (lane->tally[i].latency)
            gq_histogram_merge(into, lane->tally[i].latency);
    pthread_mutex_unlock(&lane->lock);
}

static void add_latencies(const struct gq_lane *lane, struct gq_histogram *latency,
                          const struct gq_lane_result *results, uint32_t count)
{
    const uint64_t now = gq_clock_ns();
    for (uint32_t i = 0; i < count; i++)
        gq_histogram_add(latency, now - lane->sent_ns[gq_slot_index(&lane->view, results[i].seq)], 1);
}

/* How many of the results, from the first on, are of its generation. Generations never fall within a lane, so two
 * results of one have nothing else between them, but for those of a canary and of the version beside it. */
static uint32_t count_alike(const struct gq_lane *lane, const struct gq_lane_result *results, uint32_t count)
{
    const uint32_t generation = gq_meta_generation(results[0].meta);
    const uint32_t canary = lane->link ? __atomic_load_n(&lane->link->canary, __ATOMIC_RELAXED) : 0;
    uint32_t n = 1;
    if (generation > canary && gq_meta_generation(results[count - 1].meta) == generation)
        return count;
    while (n < count && gq_meta_generation(results[n].meta) == generation)
        n++;
    return n;
}

void gq_lane_tally_results(struct gq_lane *lane, const struct gq_lane_result *results, uint32_t count, uint32_t failed)
{
    for (uint32_t n; count; results += n, count -= n) {
        n = count_alike(lane, results, count);
        struct gq_lane_tally *t = gq_lane_tally(lane, gq_meta_generation(results[0].meta), n, failed);
        failed = 0;
        if (t->latency)
            add_latencies(lane, t->latency, results, n);
    }
}

void gq_lane_get_counts(struct gq_lane *lane, struct gq_lane_counts *out)
{
    out->taken = __atomic_load_n(&lane->taken, __ATOMIC_ACQUIRE); /* before what it is part of */
    out->submitted = __atomic_load_n(&lane->submitted, __ATOMIC_ACQUIRE) - lane->first_seq - lane->muted;
    out->dropped = __atomic_load_n(&lane->dropped, __ATOMIC_RELAXED);
    out->failed = __atomic_load_n(&lane->failed, __ATOMIC_RELAXED);
    out->lost = __atomic_load_n(&lane->lost, __ATOMIC_RELAXED);
    out->refused_full = __atomic_load_n(&lane->refused_full, __ATOMIC_RELAXED);
}
