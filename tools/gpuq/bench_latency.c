/* The cases that measure a time: round trips one at a time, and what a hop between stages takes. */
#include "base/clock.h"
#include "bench_load.h"
#include "bench_message.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define CAPACITY 4096u

static gq_status out_of_memory(void) { return gq_error_set(GQ_ERR_NO_MEMORY, "bench: out of memory"); }

/* --- one at a time ------------------------------------------------------------------------------------------------ */

/* From q_enqueue() to the result in the caller's buffer; what it holds is compared when the clock was read. */
static QueueStatus round_trip(GpuQueue *q, const uint8_t *message, uint32_t bytes, uint8_t *got, size_t *len)
{
    uint64_t id;
    QueueStatus status = q_enqueue(q, message, bytes, &id, 1000);
    uint64_t deadline = status == Q_OK ? gq_clock_deadline(10000) : 0;
    for (uint32_t turn = 1; status == Q_OK; turn++) {
        *len = bytes;
        QueueStatus taken = q_try_dequeue_result(q, id, got, len);
        if (taken != Q_ERR_NOT_READY)
            return taken;
        if (turn % 1024 == 0 && gq_clock_past(deadline))
            status = Q_ERR_TIMEOUT;
    }
    return status;
}

static gq_status round_trips(GpuQueue *q, double seconds, uint32_t bytes, struct bench_times *times)
{
    static _Alignas(64) uint8_t message[BENCH_MESSAGE_MAX], got[BENCH_MESSAGE_MAX];
    uint64_t end = gq_clock_ns() + (uint64_t)(seconds * 1e9);
    bench_message_fill(message, bytes, 0, 0);
    for (uint64_t n = 0, now = 0; now < end; n++) {
        size_t len = 0;
        bench_message_number(message, bytes, n);
        uint64_t start = gq_clock_ns();
        QueueStatus status = round_trip(q, message, bytes, got, &len);
        now = gq_clock_ns();
        if (status != Q_OK)
            return gq_error_set((gq_status)status, "bench: round trip %" PRIu64 ": %s", n, gq_last_error());
        if (len != bytes || !bench_message_whole(got, bytes, 0, n))
            return gq_error_set(GQ_ERR_INTERNAL, "bench: the reply of round trip %" PRIu64 " was wrong", n);
        bench_times_add(times, now - start, 1);
    }
    return GQ_OK;
}

/* Round trips through `stages` echo stages. */
static gq_status measure_trips(struct bench *b, uint32_t bytes, bool four, struct bench_row *row)
{
    gq_pipeline *p;
    struct bench_times *times = calloc(1, sizeof *times);
    gq_status status = times ? GQ_OK : out_of_memory();
    if (status == GQ_OK)
        status =
            bench_open(b, &p, "queue: { capacity: %u, slot_bytes: %u }\nstages: [{ plugin: \"builtin:echo\" }%s]\n",
                       CAPACITY, bytes,
                       four ? ", { name: second, plugin: \"builtin:echo\" }, { name: third, plugin: "
                              "\"builtin:echo\" }, { name: fourth, plugin: \"builtin:echo\" }"
                            : "");
    if (status == GQ_OK)
        status = bench_close(p, round_trips(gq_queue(p), b->seconds, bytes, times));
    if (status == GQ_OK) {
        row->rate_per_s = (double)times->total / b->seconds;
        bench_row_times(row, times);
    }
    free(times);
    return status;
}

/* The machine's own jitter: a turn of `ns` nanoseconds of nothing but reading the clock. What its percentiles lie above
 * its median, no program on this machine can avoid. */
static gq_status spin_row(struct bench *b, const char *test, uint64_t ns)
{
    struct bench_row row = {.competitor = true, .what = "the clock alone, for as long as our p50"};
    struct bench_times *times = calloc(1, sizeof *times);
    uint64_t now = gq_clock_ns(), end = now + (uint64_t)(b->seconds * 1e9);
    if (!times)
        return out_of_memory();
    while (now < end) {
        uint64_t start = now;
        while (now - start < ns)
            now = gq_clock_ns();
        bench_times_add(times, now - start, 1);
    }
    snprintf(row.test, sizeof row.test, "%s", test);
    bench_row_times(&row, times);
    bench_add(b, row);
    free(times);
    return GQ_OK;
}

static gq_status trips_of(struct bench *b, uint32_t bytes, const char *test)
{
    struct bench_row ours = {.what = "gpuqueue"};
    struct bench_row pipes = {.what = "two pipes, two processes", .competitor = true};
    snprintf(ours.test, sizeof ours.test, "%s", test);
    snprintf(pipes.test, sizeof pipes.test, "%s", test);
    gq_status status = measure_trips(b, bytes, false, &ours);
    if (status != GQ_OK)
        return status;
    bench_add(b, ours);
    status = spin_row(b, test, ours.p50_ns);
    if (status == GQ_OK)
        status = bench_pipe_round_trips(b->seconds, bytes, &pipes);
    if (status == GQ_OK)
        bench_add(b, pipes);
    return status;
}

gq_status bench_latency(struct bench *b)
{
    gq_status status = trips_of(b, 64, "round trip 64 B");
    if (status == GQ_OK)
        status = trips_of(b, 1024, "round trip 1 KiB");
    if (status == GQ_OK)
        bench_rivals(b, "latency", "round trip 64 B");
    return status;
}

/* --- stages ------------------------------------------------------------------------------------------------------- */

#define FOUR "four echo stages, 64 B"
#define HOPS 3

static gq_status rate_of_stages(struct bench *b, bool four, struct bench_row *row)
{
    gq_pipeline *p;
    struct bench_spec spec = {.count = bench_most_producers(b), .bytes = 64, .capacity = CAPACITY, .reply = BENCH_ECHO};
    gq_status status = bench_open(
        b, &p, "queue: { capacity: %u, slot_bytes: 64 }\nstages: [{ plugin: \"builtin:echo\" }%s]\n", CAPACITY,
        four ? ", { name: second, plugin: \"builtin:echo\" }, { name: third, plugin: \"builtin:echo\" }, "
               "{ name: fourth, plugin: \"builtin:echo\" }"
             : "");
    if (status != GQ_OK)
        return status;
    snprintf(row->test, sizeof row->test, FOUR);
    row->bytes = 64;
    status = bench_run_producers(gq_queue(p), &spec, b->seconds, row);
    return bench_close(p, status);
}

static gq_status rates_of_stages(struct bench *b)
{
    struct bench_row four = {0}, one = {.competitor = true};
    gq_status status = rate_of_stages(b, true, &four);
    if (status == GQ_OK)
        status = rate_of_stages(b, false, &one);
    if (status != GQ_OK)
        return status;
    bench_name(&four, "gpuqueue", bench_most_producers(b));
    bench_name(&one, "one stage", bench_most_producers(b));
    bench_add(b, four);
    bench_add(b, one);
    return GQ_OK;
}

gq_status bench_stages(struct bench *b)
{
    struct bench_row four = {.test = "round trip 64 B, four stages", .what = "gpuqueue"};
    struct bench_row one = {.test = "round trip 64 B, four stages", .what = "one stage", .competitor = true};
    gq_status status = rates_of_stages(b);
    if (status == GQ_OK)
        status = measure_trips(b, 64, false, &one);
    if (status == GQ_OK)
        status = measure_trips(b, 64, true, &four);
    if (status != GQ_OK)
        return status;
    snprintf(four.note, sizeof four.note, "a hop: %.0f ns", ((double)four.p50_ns - (double)one.p50_ns) / HOPS);
    bench_add(b, four);
    bench_add(b, one);
    return GQ_OK;
}
