/* histogram.h - latencies in log-linear buckets (HDR style): 16 to each power of two, so a quantile is within 6.25 %.
 * One writer; readers may look at any time and see counts that are at most a moment old. */
#ifndef GQ_BASE_HISTOGRAM_H
#define GQ_BASE_HISTOGRAM_H

#include <stdint.h>

#define GQ_HISTOGRAM_BUCKETS (61 * 16)

struct gq_histogram {
    uint64_t count[GQ_HISTOGRAM_BUCKETS];
    uint64_t total, max;
};

void gq_histogram_add(struct gq_histogram *h, uint64_t value, uint64_t times);
void gq_histogram_merge(struct gq_histogram *into, const struct gq_histogram *from);
/* Takes away what it held earlier; `max` stays. */
void gq_histogram_subtract(struct gq_histogram *h, const struct gq_histogram *earlier);
/* How many were more than that, those left out that share a bucket with it. */
uint64_t gq_histogram_above(const struct gq_histogram *h, uint64_t value);
/* The upper end of the bucket in which quantile q (0 to 1) lies; 0 for an empty histogram. */
uint64_t gq_histogram_quantile(const struct gq_histogram *h, double q);
/* As if each value were the upper end of its bucket, so at most 6.25 % too high; 0 for an empty histogram. */
uint64_t gq_histogram_mean(const struct gq_histogram *h);

#endif
