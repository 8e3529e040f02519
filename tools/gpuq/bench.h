/* bench.h - the cases of gpuq bench and what they report. Competitors run in the same process run, turn and turn about.
 */
#ifndef GPUQ_BENCH_H
#define GPUQ_BENCH_H

#include <stdbool.h>
#include <stdint.h>
#include "base/error.h"
#include "base/text.h"

/* One measured thing. Rates in messages a second, times in nanoseconds; 0: not measured. */
struct bench_row {
    char test[40];    /* "echo 64 B, batches" */
    const char *what; /* "gpuqueue" */
    bool competitor;
    uint32_t bytes; /* a message's, where bytes a second say something */
    double rate_per_s;
    uint64_t p50_ns, p99_ns;
};

struct bench {
    double seconds;      /* for each measurement */
    const char *backend; /* NULL: as the environment says */
    char ran_on[160];    /* backend and why, once a queue was opened */
    uint32_t threads, processors;
    struct bench_row rows[96];
    unsigned row_count;
};

void bench_add(struct bench *b, struct bench_row row);
/* The best of three turns: what the machine can do when nobody else uses it. */
#define BENCH_TURNS 3

/* The cases, in the order of the table. */
#define BENCH_CASES(X)                                                                           \
    X(echo, "64 B messages through an empty plugin, in batches, one producing thread")           \
    X(latency, "one 64 B message at a time, there and back")                                     \
    X(sizes, "echo at several sizes, by one to seven producing threads as the processors allow") \
    X(sha256, "1 KiB messages through plugins/sha256.cu on all worker threads")

#define BENCH_DECLARE(name, text) gq_status bench_##name(struct bench *b);
BENCH_CASES(BENCH_DECLARE)
#undef BENCH_DECLARE

/* bench_ring.c: two threads, two bare single-producer rings, the same two copies a message: the rate. */
double bench_bare_ring(double seconds, uint32_t bytes, uint32_t capacity, uint32_t batch);
/* Round trips through two pipes and a forked child. */
gq_status bench_pipe_round_trips(double seconds, uint32_t bytes, uint64_t *p50_ns, uint64_t *p99_ns, double *rate);
/* bench_loop.c: the same compiled function in a plain loop on `threads` threads: the rate. */
gq_status bench_plain_loop(const char *plugin_text, double seconds, uint32_t bytes, uint32_t threads, double *rate);

#endif
