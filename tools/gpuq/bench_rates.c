/* The cases that measure a rate: messages in batches, by one producer or by several, through the public API. */
#include "bench_load.h"
#include "bench_message.h"
#include "bench_plugins.h"
#include <stdio.h>
#include <string.h>

#define CAPACITY 4096u

static gq_status open_queue(struct bench *b, const char *plugin, uint32_t bytes, gq_pipeline **out)
{
    return bench_open(b, out, "queue: { capacity: %u, slot_bytes: %u }\nstages: [{ plugin: \"%s\" }]\n", CAPACITY,
                      bytes, plugin);
}

static double best(double a, double b) { return a > b ? a : b; }

/* --- one producer beside a bare ring ------------------------------------------------------------------------------ */

#define BATCHES "echo 64 B, batches"

static gq_status echo_turns(struct bench *b, struct bench_load *l, double *bare)
{
    struct bench_row ours = {.test = BATCHES, .what = "gpuqueue, 1 producer", .bytes = 64};
    uint8_t message[64];
    bench_message_fill(message, sizeof message, 0, 0);
    l->copied = message; /* as the bare ring's producer does */
    bench_load_drive(l, 0.1);
    *l->times = (struct bench_times){0};
    for (int turn = 0; turn < BENCH_TURNS; turn++) {
        ours.rate_per_s = best(ours.rate_per_s, bench_load_drive(l, b->seconds));
        *bare = best(*bare, bench_bare_ring(b->seconds, 64, CAPACITY, BENCH_BATCH));
        gq_status status = bench_load_drain(l); /* a message must not seem to take as long as the competitor's turn */
        if (status != GQ_OK)
            return status;
    }
    bench_row_times(&ours, l->times);
    bench_add(b, ours);
    return GQ_OK;
}

gq_status bench_echo(struct bench *b)
{
    gq_pipeline *p;
    struct bench_load l = {0};
    double bare = 0;
    gq_status status = open_queue(b, "builtin:echo", 64, &p);
    if (status != GQ_OK)
        return status;
    status = bench_load_init(&l, gq_queue(p), 64, CAPACITY, BENCH_ECHO, true);
    if (status == GQ_OK)
        status = echo_turns(b, &l, &bare);
    bench_load_finish(&l);
    bench_close(p, status);
    if (status != GQ_OK)
        return status;
    bench_add(b, (struct bench_row){.test = BATCHES,
                                    .what = "bare C11 ring, two threads",
                                    .competitor = true,
                                    .bytes = 64,
                                    .rate_per_s = bare});
    bench_rivals(b, "echo", BATCHES);
    return GQ_OK;
}

/* --- sizes and producers ------------------------------------------------------------------------------------------ */

static gq_status each_count(struct bench *b, const char *plugin, enum bench_reply reply, uint32_t bytes,
                            const char *test)
{
    gq_pipeline *p;
    gq_status status = open_queue(b, plugin, bytes, &p);
    if (status != GQ_OK)
        return status;
    struct bench_spec spec = {.bytes = bytes, .capacity = CAPACITY, .reply = reply};
    status = bench_each_count(b, gq_queue(p), spec, test, bytes);
    return bench_close(p, status);
}

#define ECHO_64 "echo 64 B"

static double best_graph(const struct bench *b)
{
    double rate = 0;
    for (unsigned i = 0; i < b->row_count; i++)
        if (strcmp(b->rows[i].test, ECHO_64) == 0 && strncmp(b->rows[i].what, "CUDA graph", 10) == 0)
            rate = best(rate, b->rows[i].rate_per_s);
    return rate;
}

/* What takes the place of graphs must carry nearly their load, and answer sooner: here is when it does. */
static gq_status pace_of_graphs(struct bench *b)
{
    struct bench_row row = {.test = ECHO_64};
    double rate = best_graph(b) * 0.9;
    uint32_t producers = bench_most_producers(b);
    if (rate <= 0)
        return GQ_OK; /* there are none beside the CPU backend */
    snprintf(row.what, sizeof row.what, "gpuqueue, 0.9 of the graph's rate, %u producers", producers);
    gq_status status = bench_pace(b, producers, rate, &row);
    if (status == GQ_OK)
        bench_add(b, row);
    return status;
}

gq_status bench_sizes(struct bench *b)
{
    static const struct {
        uint32_t bytes;
        const char *test;
    } sizes[] = {{64, ECHO_64}, {256, "echo 256 B"}, {1024, "echo 1 KiB"}, {4096, "echo 4 KiB"}};
    gq_status status = GQ_OK;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes && status == GQ_OK; i++)
        status = each_count(b, "builtin:echo", BENCH_ECHO, sizes[i].bytes, sizes[i].test);
    if (status != GQ_OK)
        return status;
    bench_rivals(b, "sizes", ECHO_64);
    return pace_of_graphs(b);
}

gq_status bench_oneway(struct bench *b)
{
    struct bench_plugin sum;
    gq_status status = bench_plugin_write(&sum, bench_sum_cu);
    if (status != GQ_OK)
        return status;
    status = each_count(b, sum.path, BENCH_SUM, 4096, "one way in, 4 KiB");
    bench_plugin_remove(&sum);
    if (status == GQ_OK)
        bench_rivals(b, "oneway", "one way in, 4 KiB");
    return status;
}

/* --- a plugin with work to do ------------------------------------------------------------------------------------- */

#define SHA256 "sha256 1 KiB"

gq_status bench_sha256(struct bench *b)
{
    struct bench_row plain = {.test = SHA256, .competitor = true, .bytes = 1024};
    double rate = 0;
    gq_status status = each_count(b, "builtin:sha256", BENCH_SHA256, 1024, SHA256);
    for (int turn = 0; turn < BENCH_TURNS && status == GQ_OK; turn++) {
        status = bench_plain_loop("builtin:sha256", b->seconds, 1024, b->threads, &rate);
        plain.rate_per_s = best(plain.rate_per_s, rate);
    }
    if (status != GQ_OK)
        return status;
    snprintf(plain.what, sizeof plain.what, "same function, plain loop, %u thread%s", b->threads,
             b->threads == 1 ? "" : "s");
    bench_add(b, plain);
    bench_rivals(b, "sha256", SHA256);
    return GQ_OK;
}

/* --- made where they are processed -------------------------------------------------------------------------------- */

#define SOURCE "source plugin to null, 64 B"
#define SOURCE_DEADLINE_MS 20000u

/* Results that the sink took, and when. */
static gq_status sample(gq_pipeline *p, uint64_t *out, double *seconds)
{
    gq_stats s = {.size = sizeof s};
    gq_status status = gq_get_stats(p, &s);
    *out = s.messages_out;
    *seconds = s.seconds;
    return status != GQ_OK || s.failed == 0
               ? status
               : gq_error_set(GQ_ERR_INTERNAL, "bench: the source plugin's messages failed");
}

/* Between two looks at the counters, the first a moment after the start. */
static gq_status steady_rate(gq_pipeline *p, double seconds, struct bench_row *row)
{
    uint64_t before = 0, after = 0;
    double from = 0, to = 0;
    gq_wait(p, 200); /* it does not end: a timeout is what is wanted */
    gq_status status = sample(p, &before, &from);
    if (status == GQ_OK && (status = gq_wait(p, (uint32_t)(seconds * 1000))) == GQ_OK)
        status = gq_error_set(GQ_ERR_INTERNAL, "bench: the source plugin has come to an end");
    else if (status == GQ_ERR_TIMEOUT)
        status = sample(p, &after, &to);
    if (status == GQ_OK)
        row->rate_per_s = (double)(after - before) / (to - from);
    return status;
}

static gq_status source_with(struct bench *b, const char *plugin, uint32_t capacity)
{
    gq_pipeline *p;
    struct bench_row row = {.test = SOURCE, .bytes = 64};
    snprintf(row.what, sizeof row.what, "gpuqueue, capacity %u", capacity);
    gq_status status = bench_open(b, &p,
                                  "source: { plugin: { path: \"%s\", count: 1000000000000000 } }\n"
                                  "queue: { capacity: %u, slot_bytes: 64 }\n"
                                  "stages: [{ plugin: \"builtin:echo\" }]\nsink: { null: {} }\n",
                                  plugin, capacity);
    if (status != GQ_OK)
        return status;
    status = steady_rate(p, b->seconds, &row);
    gq_stats s = {.size = sizeof s};
    if (status == GQ_OK && (status = gq_get_stats(p, &s)) == GQ_OK) {
        row.p50_ns = s.p50_ns, row.p99_ns = s.p99_ns;
        bench_add(b, row);
    }
    gq_interrupt(p);
    if (status == GQ_OK)
        status = gq_wait(p, SOURCE_DEADLINE_MS);
    return bench_close(p, status);
}

gq_status bench_source(struct bench *b)
{
    struct bench_plugin fill;
    gq_status status = bench_plugin_write(&fill, bench_fill_cu);
    if (status != GQ_OK)
        return status;
    status = source_with(b, fill.path, 65536);
    if (status == GQ_OK)
        status = source_with(b, fill.path, 1048576);
    bench_plugin_remove(&fill);
    return status;
}

/* --- the bus ------------------------------------------------------------------------------------------------------ */

gq_status bench_bus(struct bench *b)
{
    bench_rivals(b, "bus", "bus");
    return GQ_OK;
}
