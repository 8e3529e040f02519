/* The cases that run a queue, through the public API alone. */
#include "bench.h"
#include "base/clock.h"
#include "base/histogram.h"
#include <gpuqueue/runtime.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CAPACITY 4096u
#define BATCH 256u

/* A running pipeline with source and sink `api` and one stage. */
static gq_status open_queue(struct bench *b, const char *plugin, uint32_t slot_bytes, gq_pipeline **out)
{
    char text[256];
    snprintf(text, sizeof text,
             "version: 1\nname: bench\nqueue: { capacity: %u, slot_bytes: %u }\nstages: [{ plugin: %s }]\n", CAPACITY,
             slot_bytes, plugin);
    gq_open_opts opts = {
        .size = sizeof opts, .text = text, .path = "bench", .cpu_threads = b->threads, .backend = b->backend};
    gq_status status = gq_open(&opts, out);
    if (status == GQ_OK)
        status = gq_prepare(*out);
    if (status == GQ_OK)
        status = gq_start(*out);
    if (status == GQ_OK) {
        snprintf(b->ran_on, sizeof b->ran_on, "%s (%s)", gq_backend(*out), gq_backend_reason(*out));
        return GQ_OK;
    }
    struct gq_text why = {0};
    gq_text_puts(&why, gq_last_error());
    gq_close(*out);
    *out = NULL;
    gq_error_set(status, "%s", gq_text_str(&why));
    gq_text_finish(&why);
    return status;
}

/* --- batches ------------------------------------------------------------------------------------------------------ */

struct load {
    GpuQueue *q;
    uint32_t bytes;
    bool echo; /* the result is the message: each is compared */
    uint64_t sent, taken, wrong;
};

static void send_batch(struct load *l, const uint8_t *message)
{
    QClaim claims[BATCH];
    size_t n;
    if (q_claim(l->q, claims, BATCH, &n, 0) != Q_OK)
        return;
    for (size_t i = 0; i < n; i++, l->sent++) {
        memcpy(claims[i].data, message, l->bytes);
        memcpy(claims[i].data, &l->sent, sizeof l->sent);
        claims[i].len = l->bytes;
    }
    q_commit(l->q, claims, n);
}

static void take_batch(struct load *l, uint32_t timeout_ms)
{
    QResult results[BATCH];
    uint8_t got[4096];
    size_t n;
    if (q_peek(l->q, results, BATCH, &n, timeout_ms) != Q_OK)
        return;
    for (size_t i = 0; i < n; i++, l->taken++) {
        memcpy(got, results[i].data, results[i].len);
        if (results[i].status != Q_RESULT_OK || (l->echo && memcmp(got, &l->taken, sizeof l->taken) != 0))
            l->wrong++;
    }
    q_release(l->q, results, n);
}

/* Keeps the lane full for `seconds`; the rate of results. */
static double drive(struct load *l, double seconds)
{
    static uint8_t message[4096];
    uint64_t before = l->taken, start = gq_clock_ns(), end = start + (uint64_t)(seconds * 1e9), now = start;
    for (; now < end; now = gq_clock_ns()) {
        send_batch(l, message);
        take_batch(l, l->sent - l->taken > CAPACITY - BATCH ? 1 : 0);
    }
    return (double)(l->taken - before) * 1e9 / (double)(now - start);
}

static gq_status drain(struct load *l)
{
    uint64_t deadline = gq_clock_deadline(10000);
    while (l->taken < l->sent && !gq_clock_past(deadline))
        take_batch(l, 10);
    if (l->wrong || l->taken != l->sent)
        return gq_error_set(GQ_ERR_INTERNAL,
                            "bench: %" PRIu64 " of %" PRIu64 " results were wrong, %" PRIu64 " are missing", l->wrong,
                            l->taken, l->sent - l->taken);
    return GQ_OK;
}

static double best(double a, double b) { return a > b ? a : b; }

gq_status bench_echo(struct bench *b)
{
    gq_pipeline *p;
    double ours = 0, bare = 0;
    gq_status status = open_queue(b, "builtin:echo", 64, &p);
    if (status != GQ_OK)
        return status;
    struct load l = {.q = gq_queue(p), .bytes = 64, .echo = true};
    drive(&l, 0.1);
    for (int turn = 0; turn < BENCH_TURNS; turn++) {
        ours = best(ours, drive(&l, b->seconds));
        bare = best(bare, bench_bare_ring(b->seconds, 64, CAPACITY, BATCH));
    }
    status = drain(&l);
    gq_stop(p, 0);
    gq_close(p);
    bench_add(b, (struct bench_row){.test = "echo 64 B, batches", .what = "gpuqueue", .rate_per_s = ours});
    bench_add(b, (struct bench_row){.test = "echo 64 B, batches",
                                    .what = "bare C11 ring, two threads",
                                    .competitor = true,
                                    .rate_per_s = bare});
    return status;
}

gq_status bench_sha256(struct bench *b)
{
    gq_pipeline *p;
    double ours = 0, plain = 0, rate = 0;
    gq_status status = open_queue(b, "builtin:sha256", 1024, &p);
    if (status != GQ_OK)
        return status;
    struct load l = {.q = gq_queue(p), .bytes = 1024};
    drive(&l, 0.1);
    for (int turn = 0; turn < BENCH_TURNS && status == GQ_OK; turn++) {
        ours = best(ours, drive(&l, b->seconds));
        status = bench_plain_loop("builtin:sha256", b->seconds, 1024, b->threads, &rate);
        plain = best(plain, rate);
    }
    if (status == GQ_OK)
        status = drain(&l);
    gq_stop(p, 0);
    gq_close(p);
    bench_add(b, (struct bench_row){.test = "sha256 1 KiB", .what = "gpuqueue", .rate_per_s = ours});
    bench_add(
        b, (struct bench_row){
               .test = "sha256 1 KiB", .what = "same function, plain loop", .competitor = true, .rate_per_s = plain});
    return status;
}

/* --- sizes and producers ------------------------------------------------------------------------------------------ */

#define PRODUCERS_MAX 7u

struct producer {
    struct load load;
    pthread_t thread;
    double seconds, rate;
    gq_status status;
};

static void *produce(void *arg)
{
    struct producer *p = arg;
    p->rate = drive(&p->load, p->seconds);
    p->status = drain(&p->load);
    return NULL;
}

/* All producers at once, each checking its own results: the sum of their rates. */
static gq_status run_producers(GpuQueue *q, uint32_t count, uint32_t bytes, double seconds, double *rate)
{
    struct producer p[PRODUCERS_MAX];
    gq_status status = GQ_OK;
    uint32_t started = 0;
    *rate = 0;
    for (; started < count; started++) {
        p[started] = (struct producer){.load = {.q = q, .bytes = bytes, .echo = true}, .seconds = seconds};
        if (pthread_create(&p[started].thread, NULL, produce, &p[started]) != 0)
            break;
    }
    for (uint32_t i = 0; i < started; i++) {
        pthread_join(p[i].thread, NULL);
        *rate += p[i].rate;
        status = p[i].status == GQ_OK ? status : p[i].status;
    }
    return started == count ? status : gq_error_set(GQ_ERR_NO_MEMORY, "bench: no thread could be started");
}

static gq_status bench_size(struct bench *b, uint32_t bytes)
{
    static const uint32_t producers[] = {1, 2, 4, PRODUCERS_MAX};
    gq_pipeline *p;
    gq_status status = open_queue(b, "builtin:echo", bytes, &p);
    if (status != GQ_OK)
        return status;
    for (size_t i = 0; i < sizeof producers / sizeof *producers && status == GQ_OK; i++) {
        struct bench_row row = {.what = "gpuqueue"};
        if (i > 0 && producers[i] >= b->processors)
            break;
        status = run_producers(gq_queue(p), producers[i], bytes, b->seconds, &row.rate_per_s);
        snprintf(row.test, sizeof row.test, "echo %u B, %u producers", bytes, producers[i]);
        row.bytes = bytes;
        bench_add(b, row);
    }
    gq_stop(p, 0);
    gq_close(p);
    return status;
}

gq_status bench_sizes(struct bench *b)
{
    static const uint32_t sizes[] = {64, 256, 1024, 4096};
    gq_status status = GQ_OK;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes && status == GQ_OK; i++)
        status = bench_size(b, sizes[i]);
    return status;
}

/* --- round trips -------------------------------------------------------------------------------------------------- */

static QueueStatus round_trip(GpuQueue *q, const uint8_t *message, uint8_t *got)
{
    uint64_t id;
    size_t len = 64;
    QueueStatus status = q_enqueue(q, message, 64, &id, 1000);
    if (status != Q_OK)
        return status;
    while ((status = q_try_dequeue_result(q, id, got, &len)) == Q_ERR_NOT_READY)
        len = 64;
    return status;
}

static gq_status round_trips(GpuQueue *q, double seconds, struct gq_histogram *h)
{
    uint8_t message[64] = {0}, got[64];
    uint64_t end = gq_clock_ns() + (uint64_t)(seconds * 1e9);
    for (uint64_t now = gq_clock_ns(); now < end;) {
        uint64_t start = now;
        QueueStatus status = round_trip(q, message, got);
        if (status != Q_OK)
            return (gq_status)status;
        now = gq_clock_ns();
        gq_histogram_add(h, now - start, 1);
    }
    return GQ_OK;
}

gq_status bench_latency(struct bench *b)
{
    gq_pipeline *p;
    struct bench_row pipes = {.test = "round trip 64 B", .what = "two pipes, two processes", .competitor = true};
    gq_status status = open_queue(b, "builtin:echo", 64, &p);
    if (status != GQ_OK)
        return status;
    struct gq_histogram *h = calloc(1, sizeof *h);
    status = h ? round_trips(gq_queue(p), b->seconds, h) : gq_error_set(GQ_ERR_NO_MEMORY, "out of memory");
    gq_stop(p, 0);
    gq_close(p);
    if (status == GQ_OK) {
        bench_add(b, (struct bench_row){.test = "round trip 64 B",
                                        .what = "gpuqueue",
                                        .rate_per_s = (double)h->total / b->seconds,
                                        .p50_ns = gq_histogram_quantile(h, 0.5),
                                        .p99_ns = gq_histogram_quantile(h, 0.99)});
        status = bench_pipe_round_trips(b->seconds, 64, &pipes.p50_ns, &pipes.p99_ns, &pipes.rate_per_s);
        bench_add(b, pipes);
    }
    free(h);
    return status;
}
