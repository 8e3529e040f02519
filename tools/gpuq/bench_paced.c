/* Load at a given rate: the latency of each message from the moment at which it was due. */
#include "base/clock.h"
#include "bench_load.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CAPACITY 4096u

#define SETTLE_NS 100000000u

/* Burst k of a producer is due at start + k * gap, sent or not: its latency counts from there. A pace that waited for
 * the queue would measure nothing while the queue stands still. */
struct pace {
    struct bench_load load;
    pthread_t thread;
    double gap_ns;
    uint64_t start_ns, end_ns;
    gq_status status;
    char why[256];
};

static uint64_t due_ns(const struct pace *p, uint64_t burst)
{
    return p->start_ns + (uint64_t)((double)burst * p->gap_ns);
}

static void count_burst(struct pace *p, uint64_t burst, uint64_t replies)
{
    uint64_t due = due_ns(p, burst);
    if (due >= p->start_ns + SETTLE_NS)
        bench_times_add(p->load.times, p->load.seen_ns > due ? p->load.seen_ns - due : 0, replies);
}

static void take_paced(struct pace *p, uint32_t timeout_ms)
{
    uint64_t from = p->load.taken;
    bench_load_take(&p->load, timeout_ms);
    while (from < p->load.taken) {
        uint64_t next = (from / BENCH_BURST + 1) * BENCH_BURST;
        if (next > p->load.taken)
            next = p->load.taken;
        count_burst(p, from / BENCH_BURST, next - from);
        from = next;
    }
}

static void *pace_main(void *arg)
{
    struct pace *p = arg;
    uint64_t now;
    while ((now = gq_clock_ns()) < p->start_ns)
        gq_cpu_relax();
    for (; now < p->end_ns; now = gq_clock_ns()) {
        bench_load_send_due(&p->load, p->start_ns, p->gap_ns, now);
        take_paced(p, 0);
    }
    for (uint64_t deadline = gq_clock_deadline(10000); p->load.taken < p->load.sent && !gq_clock_past(deadline);)
        take_paced(p, 1);
    p->status = bench_load_drain(&p->load);
    snprintf(p->why, sizeof p->why, "%s", p->status == GQ_OK ? "" : gq_error_text());
    return NULL;
}

static gq_status start_pace(struct pace *p, GpuQueue *q, double rate, uint64_t start_ns, double seconds)
{
    gq_status status = bench_load_init(&p->load, q, 64, CAPACITY, BENCH_ECHO, true);
    if (status != GQ_OK)
        return status;
    free(p->load.due_ns); /* times are counted here */
    p->load.due_ns = NULL;
    p->gap_ns = BENCH_BURST * 1e9 / rate;
    p->start_ns = start_ns;
    p->end_ns = start_ns + SETTLE_NS + (uint64_t)(seconds * 1e9);
    if (pthread_create(&p->thread, NULL, pace_main, p) != 0)
        return gq_error_set(GQ_ERR_NO_MEMORY, "bench: no thread could be started");
    return GQ_OK;
}

static gq_status end_pace(struct pace *p, gq_status status, struct bench_times *all, uint64_t *sent)
{
    pthread_join(p->thread, NULL);
    *sent += p->load.sent;
    bench_times_merge(all, p->load.times);
    return status == GQ_OK && p->status != GQ_OK ? gq_error_set(p->status, "%s", p->why) : status;
}

static void say_pace(struct bench_row *row, double rate, uint64_t sent, double seconds)
{
    row->rate_per_s = (double)sent / (seconds + SETTLE_NS / 1e9);
    if (row->rate_per_s < 0.99 * rate)
        snprintf(row->note, sizeof row->note, "could not keep up with %.0f messages/s", rate);
}

static gq_status run_paced(GpuQueue *q, uint32_t count, double rate, double seconds, struct bench_row *row)
{
    struct pace *p = calloc(count, sizeof *p);
    struct bench_times *all = calloc(1, sizeof *all);
    gq_status status = p && all ? GQ_OK : gq_error_set(GQ_ERR_NO_MEMORY, "bench: out of memory");
    uint64_t start = gq_clock_ns() + 20000000u, sent = 0;
    uint32_t started = 0;
    while (status == GQ_OK && started < count) {
        status = start_pace(&p[started], q, rate / count, start, seconds);
        started += status == GQ_OK;
    }
    for (uint32_t i = 0; i < started; i++)
        status = end_pace(&p[i], status, all, &sent);
    for (uint32_t i = 0; p && i < count; i++)
        bench_load_finish(&p[i].load);
    if (status == GQ_OK) {
        bench_row_times(row, all);
        say_pace(row, rate, sent, seconds);
    }
    free(all);
    free(p);
    return status;
}

gq_status bench_pace(struct bench *b, uint32_t producers, double rate, struct bench_row *row)
{
    gq_pipeline *p;
    gq_status status = bench_open(
        b, &p, "queue: { capacity: %u, slot_bytes: 64 }\nstages: [{ plugin: \"builtin:echo\" }]\n", CAPACITY);
    if (status != GQ_OK)
        return status;
    row->bytes = 64;
    status = run_paced(gq_queue(p), producers, rate, b->seconds, row);
    return bench_close(p, status);
}

static gq_status paced_at(struct bench *b, double rate, bool device)
{
    uint32_t count = rate > BENCH_PACE_A_PRODUCER ? (uint32_t)(rate / BENCH_PACE_A_PRODUCER) : 1;
    struct bench_row row = {0};
    gq_status status = GQ_OK;
    snprintf(row.test, sizeof row.test, "paced 64 B, %.0f M/s", rate / 1e6);
    bench_name(&row, "gpuqueue", count);
    snprintf(row.skipped, sizeof row.skipped, "%s",
             device && !b->cuda ? "a pace for a GPU, and the backend is cpu" : bench_too_many(b, count));
    if (!row.skipped[0])
        status = bench_pace(b, count, rate, &row);
    if (status == GQ_OK)
        bench_add(b, row);
    return status;
}

gq_status bench_paced(struct bench *b)
{
    gq_status status = paced_at(b, 1e6, false);
    if (status == GQ_OK)
        status = paced_at(b, 20e6, true);
    return status == GQ_OK ? paced_at(b, 50e6, true) : status;
}
