/* bench_times.h - latencies, 128 buckets to each power of two: a percentile is within 0.8 %. */
#ifndef GPUQ_BENCH_TIMES_H
#define GPUQ_BENCH_TIMES_H

#include <stdint.h>

#define BENCH_TIMES_FINE 128u
#define BENCH_TIMES_BUCKETS (58u * BENCH_TIMES_FINE)

struct bench_times {
    uint64_t total, max;
    uint64_t count[BENCH_TIMES_BUCKETS];
};

void bench_times_add(struct bench_times *t, uint64_t ns, uint64_t times);
void bench_times_merge(struct bench_times *into, const struct bench_times *from);
/* The upper end of the bucket in which quantile q (0 to 1) lies; 0 when nothing was added. */
uint64_t bench_times_quantile(const struct bench_times *t, double q);

#endif
