#include "bench_times.h"

/* Values below 128 have a bucket each; above, the top eight bits choose it. */
static unsigned bucket_of(uint64_t ns)
{
    if (ns < BENCH_TIMES_FINE)
        return (unsigned)ns;
    unsigned top = 63u - (unsigned)__builtin_clzll(ns);
    return (top - 6) * BENCH_TIMES_FINE + (unsigned)((ns >> (top - 7)) & (BENCH_TIMES_FINE - 1));
}

static uint64_t upper_end(unsigned bucket)
{
    if (bucket < BENCH_TIMES_FINE)
        return bucket;
    unsigned shift = bucket / BENCH_TIMES_FINE - 1;
    return (((uint64_t)(BENCH_TIMES_FINE + bucket % BENCH_TIMES_FINE) + 1) << shift) - 1;
}

void bench_times_add(struct bench_times *t, uint64_t ns, uint64_t times)
{
    t->count[bucket_of(ns)] += times;
    t->total += times;
    if (ns > t->max)
        t->max = ns;
}

void bench_times_merge(struct bench_times *into, const struct bench_times *from)
{
    for (unsigned i = 0; i < BENCH_TIMES_BUCKETS; i++)
        into->count[i] += from->count[i];
    into->total += from->total;
    if (from->max > into->max)
        into->max = from->max;
}

uint64_t bench_times_quantile(const struct bench_times *t, double q)
{
    if (t->total == 0)
        return 0;
    uint64_t rank = (uint64_t)(q * (double)(t->total - 1)), seen = 0;
    for (unsigned i = 0; i < BENCH_TIMES_BUCKETS; i++) {
        seen += t->count[i];
        if (seen > rank)
            return upper_end(i) < t->max ? upper_end(i) : t->max;
    }
    return t->max;
}
