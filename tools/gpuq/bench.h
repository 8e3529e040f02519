/* bench.h - the cases of gpuq bench and what they report. Competitors run in the same run, turn and turn about. */
#ifndef GPUQ_BENCH_H
#define GPUQ_BENCH_H

#include <gpuqueue/runtime.h>
#include <stdbool.h>
#include <stdint.h>
#include "base/error.h"
#include "bench_times.h"

/* One measured thing. Rates in messages a second, times in nanoseconds; 0: not measured, which JSON calls null. */
struct bench_row {
    char test[48]; /* "echo 64 B": rows of one test are shown together, ours first */
    char what[64]; /* "gpuqueue, 7 producers" */
    bool competitor;
    uint32_t bytes; /* a message's, where bytes a second say something */
    double rate_per_s;
    uint64_t p50_ns, p99_ns, p999_ns;
    char note[96];     /* "batch 4096" */
    char skipped[160]; /* why nothing was measured; "": it was */
};

#define BENCH_ROWS_MAX 160u

struct bench {
    double seconds;      /* for each measurement */
    const char *backend; /* NULL: as the environment says */
    bool cuda;           /* what that came to */
    char ran_on[160];    /* backend and why */
    uint32_t threads, processors;
    const char *cache_folder; /* of the pipelines that are opened; NULL: the user's */
    struct bench_row rows[BENCH_ROWS_MAX];
    unsigned row_count;
};

void bench_add(struct bench *b, struct bench_row row);
void bench_add_skipped(struct bench *b, const char *test, const char *what, bool competitor, const char *why);
/* The three percentiles of `times`. */
void bench_row_times(struct bench_row *row, const struct bench_times *times);

/* bench_report.c */
void bench_sort(struct bench *b); /* tests in the order of their first rows, in each ours first */
void bench_print_table(const struct bench *b);
void bench_print_json(const struct bench *b);

/* The best of three turns: what the machine can do when nobody else uses it. */
#define BENCH_TURNS 3

/* The cases, in the order of the table. */
#define BENCH_CASES(X)                                                                                     \
    X(echo, "64 B messages through an empty plugin, in batches, by one producing thread")                  \
    X(latency, "one message at a time, there and back: 64 B and 1 KiB")                                    \
    X(sizes, "echo of 64 B to 4 KiB by one to seven producing threads")                                    \
    X(oneway, "4 KiB messages in, 8 B results out, by one to seven producing threads")                     \
    X(paced, "64 B messages at a given rate: the latency from the moment at which each was due")           \
    X(stages, "four empty plugins one after another against one: the rate, and what a hop takes")          \
    X(source, "64 B messages made by a source plugin where they are processed, through echo, to nowhere")  \
    X(swap, "swaps of a stage's code under load: the gap in service, and the time until new code is live") \
    X(sha256, "1 KiB messages through plugins/sha256.cu by one to seven producing threads")                \
    X(bus, "what the bus gives without any queue: the copy engine, and kernels that touch the host's memory")

#define BENCH_DECLARE(name, text) gq_status bench_##name(struct bench *b);
BENCH_CASES(BENCH_DECLARE)
#undef BENCH_DECLARE

/* bench_open.c: a running pipeline from YAML; its `version` and `name` are added. */
gq_status bench_open(struct bench *b, gq_pipeline **out, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Stops and closes it, or NULL; returns `status`, with the sentence that was there. */
gq_status bench_close(gq_pipeline *p, gq_status status);
/* Which backend the cases will run on: b->cuda and b->ran_on. */
gq_status bench_choose(struct bench *b);
/* A plugin of the benchmark's own, written to a file in a folder of its own, which goes with all that is in it. */
struct bench_plugin {
    char folder[64], path[96];
};
gq_status bench_plugin_write(struct bench_plugin *plugin, const char *text);
void bench_plugin_remove(struct bench_plugin *plugin);

/* How many producers a case tries: those that have no processor to themselves, beside one for the rest, are skipped. */
#define BENCH_PRODUCERS_MAX 7u
extern const uint32_t bench_producers[4]; /* 1, 2, 4, 7 */
/* "" or why `producers` threads cannot run here. */
const char *bench_too_many(const struct bench *b, uint32_t producers);
uint32_t bench_most_producers(const struct bench *b);

/* bench_ring.c: two threads, two bare single-producer rings, the same two copies a message: the rate. */
double bench_bare_ring(double seconds, uint32_t bytes, uint32_t capacity, uint32_t batch);
/* Round trips through two pipes and a forked child. */
gq_status bench_pipe_round_trips(double seconds, uint32_t bytes, struct bench_row *row);
/* bench_loop.c: the same compiled function in a plain loop on `threads` threads: the rate. */
gq_status bench_plain_loop(const char *plugin_text, double seconds, uint32_t bytes, uint32_t threads, double *rate);
/* bench_rivals.c: rows of the case from gpuq-rivals, which runs other ways of using the GPU in a process of its own; or
 * one row that says why there are none. */
void bench_rivals(struct bench *b, const char *name, const char *test);

#endif
