#include "base/histogram.h"

/* Values below 16 have a bucket each; above, the top five bits choose it. */
static unsigned bucket_of(uint64_t v)
{
    if (v < 16)
        return (unsigned)v;
    unsigned top = 63u - (unsigned)__builtin_clzll(v);
    return (top - 3) * 16 + (unsigned)((v >> (top - 4)) & 15);
}

static uint64_t upper_end(unsigned bucket)
{
    if (bucket < 16)
        return bucket;
    unsigned shift = bucket / 16 - 1;
    return (((uint64_t)(16 + bucket % 16) + 1) << shift) - 1;
}

void gq_histogram_add(struct gq_histogram *h, uint64_t value, uint64_t times)
{
    h->count[bucket_of(value)] += times;
    h->total += times;
    if (value > h->max)
        h->max = value;
}

void gq_histogram_merge(struct gq_histogram *into, const struct gq_histogram *from)
{
    for (unsigned i = 0; i < GQ_HISTOGRAM_BUCKETS; i++)
        into->count[i] += from->count[i];
    into->total += from->total;
    if (from->max > into->max)
        into->max = from->max;
}

void gq_histogram_subtract(struct gq_histogram *h, const struct gq_histogram *earlier)
{
    for (unsigned i = 0; i < GQ_HISTOGRAM_BUCKETS; i++)
        h->count[i] -= earlier->count[i];
    h->total -= earlier->total;
}

uint64_t gq_histogram_above(const struct gq_histogram *h, uint64_t value)
{
    uint64_t above = 0;
    for (unsigned i = bucket_of(value) + 1; i < GQ_HISTOGRAM_BUCKETS; i++)
        above += h->count[i];
    return above;
}

uint64_t gq_histogram_quantile(const struct gq_histogram *h, double q)
{
    if (h->total == 0)
        return 0;
    uint64_t rank = (uint64_t)(q * (double)(h->total - 1)), seen = 0;
    for (unsigned i = 0; i < GQ_HISTOGRAM_BUCKETS; i++) {
        seen += h->count[i];
        if (seen > rank)
            return upper_end(i) < h->max ? upper_end(i) : h->max;
    }
    return h->max;
}

uint64_t gq_histogram_mean(const struct gq_histogram *h)
{
    double sum = 0.0;
    for (unsigned i = 0; i < GQ_HISTOGRAM_BUCKETS; i++)
        sum += (double)h->count[i] * (double)upper_end(i);
    return h->total ? (uint64_t)(sum / (double)h->total) : 0;
}
