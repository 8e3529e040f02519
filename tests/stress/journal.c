/* What a journal costs: threads enqueue small messages one by one, or in batches, and take the results back, with each
 * durability in turn. Every message has to come back; the rates are printed, and how many times slower each is than no
 * journal.
 *
 *   journal [SECONDS]     of each of the 12 rows
 */
#include <gpuqueue/runtime.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>
#include "base/clock.h"
#include "require.h"

#define THREADS 8u
#define BATCH 64u
#define BYTES 64u

static const char *const durabilities[] = {"none", "memory", "fdatasync"};
static char path[64];

struct thread {
    GpuQueue *q;
    uint64_t until_ns, sent, taken;
    uint32_t batch;
    pthread_t handle;
};

static void take(struct thread *t)
{
    QResult results[BATCH];
    size_t count = 0;
    REQUIRE(q_peek(t->q, results, BATCH, &count, 20000) == Q_OK, "q_peek");
    for (size_t i = 0; i < count; i++)
        REQUIRE(results[i].len == BYTES, "a result of %u bytes", results[i].len);
    REQUIRE(q_release(t->q, results, count) == Q_OK, "q_release");
    t->taken += count;
}

static void *run(void *arg)
{
    static const char bytes[BYTES];
    struct thread *t = arg;
    EnqueueItem items[BATCH];
    size_t done;
    for (uint32_t i = 0; i < BATCH; i++)
        items[i] = (EnqueueItem){bytes, BYTES};
    do {
        REQUIRE(q_enqueue_batch(t->q, items, t->batch, NULL, &done, 20000) == Q_OK, "q_enqueue_batch");
        t->sent += done;
        while (t->sent - t->taken >= 2 * BATCH)
            take(t);
    } while (gq_clock_ns() < t->until_ns);
    while (t->taken < t->sent)
        take(t);
    return NULL;
}

static gq_pipeline *open_pipeline(uint32_t durability)
{
    char text[512], journal[128] = "";
    gq_pipeline *p = NULL;
    if (durability)
        snprintf(journal, sizeof journal, ", journal: %s, durability: %s", path, durabilities[durability]);
    snprintf(
        text, sizeof text,
        "version: 1\nbackend: cpu\nqueue: { capacity: 1024, slot_bytes: %u%s }\nstages: [{ plugin: 'builtin:echo' }]\n",
        BYTES, journal);
    const gq_open_opts opts = {.size = sizeof opts, .path = "journal.yaml", .text = text};
    REQUIRE(gq_open(&opts, &p) == GQ_OK && gq_prepare(p) == GQ_OK && gq_start(p) == GQ_OK, "the pipeline");
    return p;
}

static double rate(uint32_t durability, uint32_t threads, uint32_t batch, double seconds)
{
    struct thread thread[THREADS];
    uint64_t sent = 0;
    gq_pipeline *p = open_pipeline(durability);
    const uint64_t start = gq_clock_ns();
    for (uint32_t i = 0; i < threads; i++) {
        thread[i] = (struct thread){.q = gq_queue(p), .until_ns = start + (uint64_t)(seconds * 1e9), .batch = batch};
        REQUIRE(pthread_create(&thread[i].handle, NULL, run, &thread[i]) == 0, "a thread");
    }
    for (uint32_t i = 0; i < threads; i++) {
        pthread_join(thread[i].handle, NULL);
        REQUIRE(thread[i].sent == thread[i].taken && thread[i].sent > 0, "%" PRIu64 " messages", thread[i].sent);
        sent += thread[i].sent;
    }
    const double took = (double)(gq_clock_ns() - start) * 1e-9;
    REQUIRE(gq_stop(p, 0) == GQ_OK, "gq_stop");
    gq_close(p);
    return (double)sent / took;
}

int main(int argc, char **argv)
{
    const double seconds = argc > 1 ? strtod(argv[1], NULL) : 1;
    const uint32_t threads[] = {1, THREADS}, batches[] = {1, BATCH};
    snprintf(path, sizeof path, "/tmp/gpuq-stress-%d.journal", (int)getpid());
    printf("%-10s %8s %6s %12s %8s\n", "durability", "threads", "batch", "messages/s", "ratio");
    for (uint32_t t = 0; t < 2; t++)
        for (uint32_t b = 0; b < 2; b++) {
            double plain = 0;
            for (uint32_t d = 0; d < 3; d++) {
                const double r = rate(d, threads[t], batches[b], seconds);
                plain = d == 0 ? r : plain;
                printf("%-10s %8u %6u %12.0f %8.1f\n", durabilities[d], threads[t], batches[b], r, plain / r);
                fflush(stdout);
            }
        }
    unlink(path);
    return 0;
}
