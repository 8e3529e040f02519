/* A queue at full rate for minutes: several producers, messages of every size, one by one and by many, some dropped and
 * some failed by the plugin, and now and then nothing to do. Every message and byte is checked, and each lane's order;
 * memory of host, worker and device may not grow once everything has been touched.
 *
 *   soak [SECONDS [SEED]]     600 seconds without; prints its seed and a line a sample
 *
 * $GPUQ_BACKEND names the backend, cpu without it; $GPUQ_TEST_TREE is where the source tree lies, if it was moved.
 */
#include <gpuqueue/runtime.h>
#include "base/clock.h"
#include "memory.h"
#include "payload.h"
#include "require.h"
#include <inttypes.h>
#include <pthread.h>

#define SLOT_BYTES 1024u
#define CAPACITY 1024u
#define PRODUCERS_MAX 7u
#define BATCH 64u
#define HOST_GROWTH 8.0   /* MiB that host and worker may grow by after the warm-up: allocator noise */
#define DEVICE_GROWTH 2.0 /* one allocation granule of the driver */
#define STALL_S 20u

struct soak {
    GpuQueue *q;
    uint64_t seed, start_ns, length_ns;
};

struct producer {
    const struct soak *s;
    uint32_t number;
    uint64_t dice;
    uint64_t sent, next; /* messages enqueued; the first whose fate is not known */
    uint64_t checked;    /* atomic: results looked at */
    uint64_t bytes;      /* atomic: of those */
};

/* --- what message `seq` of a producer holds, and what becomes of it ----------------------------------------------- */

static uint64_t key_of(const struct producer *p, uint64_t seq)
{
    return payload_mix(p->s->seed ^ ((uint64_t)p->number << 56) ^ (seq << 11));
}

/* Half of them fit into a line of 64 bytes; the others have any size. */
static uint32_t length_of(uint64_t key)
{
    uint32_t roll = (uint32_t)(payload_mix(key ^ 1) >> 32);
    return roll & 1 ? (roll >> 1) % 65 : (roll >> 1) % (SLOT_BYTES + 1);
}

static uint8_t first_byte(uint64_t key)
{
    uint8_t byte = 0;
    payload_fill(&byte, 1, key);
    return byte;
}

static bool is_dropped(uint64_t key) { return length_of(key) && first_byte(key) == 0xd0; }
static bool is_failed(uint64_t key) { return length_of(key) && first_byte(key) == 0xf0; }

/* --- one producer ------------------------------------------------------------------------------------------------- */

static bool full(const struct producer *p) { return p->sent - p->next >= CAPACITY; }

static void send_one(struct producer *p)
{
    uint8_t bytes[SLOT_BYTES];
    uint64_t key = key_of(p, p->sent);
    uint32_t len = length_of(key);
    payload_fill(bytes, len, key);
    QueueStatus status = q_enqueue(p->s->q, bytes, len, NULL, 0);
    REQUIRE(status == Q_OK || status == Q_ERR_FULL, "enqueue gave %d", status);
    p->sent += status == Q_OK;
}

static void send_many(struct producer *p)
{
    QClaim claims[BATCH];
    size_t got = 0, want = payload_dice(&p->dice) % BATCH + 1;
    QueueStatus status = q_claim(p->s->q, claims, want, &got, 0);
    REQUIRE(status == Q_OK || status == Q_ERR_FULL, "claim gave %d", status);
    for (size_t i = 0; i < got; i++) {
        uint64_t key = key_of(p, p->sent + i);
        claims[i].len = length_of(key);
        payload_fill(claims[i].data, claims[i].len, key);
    }
    REQUIRE(q_commit(p->s->q, claims, got) == Q_OK, "commit of %zu", got);
    p->sent += got;
}

/* Messages from `next` on that the plugin drops have no result: nothing more is to come of them. */
static void pass_dropped(struct producer *p)
{
    while (p->next < p->sent && is_dropped(key_of(p, p->next)))
        p->next++;
}

static void check(struct producer *p, const QResult *r)
{
    pass_dropped(p);
    uint64_t key = key_of(p, p->next), seq = (r->msg_id & 0x00ffffffffffffffu) - 1;
    REQUIRE(seq == p->next, "producer %u: message %" PRIu64 " came, %" PRIu64 " was next", p->number, seq, p->next);
    if (is_failed(key)) {
        REQUIRE(r->status == Q_RESULT_FAILED && r->code == 240, "message %" PRIu64 " did not fail", seq);
    } else {
        REQUIRE(r->status == Q_RESULT_OK, "message %" PRIu64 " ended with %u", seq, r->status);
        REQUIRE(r->len == length_of(key), "message %" PRIu64 " has %u bytes", seq, r->len);
        REQUIRE(payload_is(r->data, r->len, key), "message %" PRIu64 " has wrong bytes", seq);
    }
    __atomic_fetch_add(&p->bytes, r->len, __ATOMIC_RELAXED);
    p->next++;
}

static bool take(struct producer *p, uint32_t timeout_ms)
{
    QResult results[BATCH];
    size_t count = 0;
    QueueStatus status = q_peek(p->s->q, results, BATCH, &count, timeout_ms);
    REQUIRE(status == Q_OK || status == Q_ERR_NOT_READY || status == Q_ERR_TIMEOUT, "peek gave %d", status);
    for (size_t i = 0; i < count; i++)
        check(p, &results[i]);
    REQUIRE(q_release(p->s->q, results, count) == Q_OK, "release of %zu", count);
    __atomic_fetch_add(&p->checked, count, __ATOMIC_RELAXED);
    pass_dropped(p);
    return count > 0;
}

static void take_all(struct producer *p)
{
    for (uint32_t vain = 0; p->next < p->sent;) {
        vain = take(p, 1000) ? 0 : vain + 1;
        REQUIRE(vain < STALL_S, "producer %u waited %u s for message %" PRIu64, p->number, vain, p->next);
    }
}

/* The last tenth of each ten seconds, or of each third of a shorter run, has little to do: everybody falls asleep. */
static bool quiet(const struct soak *s)
{
    uint64_t cycle = s->length_ns / 3 < 10000000000u ? s->length_ns / 3 : 10000000000u;
    return (gq_clock_ns() - s->start_ns) % cycle > cycle / 10 * 9;
}

static void work(struct producer *p)
{
    if (payload_dice(&p->dice) % 8 == 0)
        send_one(p);
    else
        send_many(p);
    if (full(p))
        take(p, 1000);
    else
        take(p, 0);
}

static void rest(struct producer *p)
{
    send_one(p);
    take_all(p);
    usleep((useconds_t)(payload_dice(&p->dice) % 20000));
}

static void *produce(void *arg)
{
    struct producer *p = arg;
    while (gq_clock_ns() - p->s->start_ns < p->s->length_ns) {
        if (quiet(p->s))
            rest(p);
        else
            work(p);
    }
    take_all(p);
    return NULL;
}

/* --- the run ------------------------------------------------------------------------------------------------------ */

static gq_pipeline *open_pipeline(void)
{
    char text[8192];
    gq_pipeline *p = NULL;
    const char *backend = getenv("GPUQ_BACKEND"), *tree = getenv("GPUQ_TEST_TREE");
    snprintf(text, sizeof text,
             "version: 1\nqueue: { capacity: %u, slot_bytes: %u }\non_error: { retries: 1 }\nstages:\n"
             "- { name: fate, plugin: '%s/tests/stress/soak.cu' }\n- { name: echo, plugin: 'builtin:echo' }\n",
             CAPACITY, SLOT_BYTES, tree ? tree : GPUQ_TEST_TREE);
    gq_open_opts opts = {.size = sizeof opts, .path = "soak", .text = text, .backend = backend ? backend : "cpu"};
    if (gq_open(&opts, &p) != GQ_OK || gq_prepare(p) != GQ_OK || gq_start(p) != GQ_OK) {
        fprintf(stderr, "%s\n", gq_last_error());
        exit(1);
    }
    printf("backend %s: %s\n", gq_backend(p), gq_backend_reason(p));
    return p;
}

static uint64_t sum_of(const struct producer *producers, uint32_t count, size_t offset)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < count; i++)
        sum += __atomic_load_n((const uint64_t *)((const char *)&producers[i] + offset), __ATOMIC_RELAXED);
    return sum;
}

static void print_sample(const struct soak *s, const struct producer *producers, uint32_t count, struct memory_sample m)
{
    double seconds = (double)(gq_clock_ns() - s->start_ns) * 1e-9;
    uint64_t messages = sum_of(producers, count, offsetof(struct producer, checked));
    double bytes = (double)sum_of(producers, count, offsetof(struct producer, bytes));
    printf("%6.1f s  %12" PRIu64
           " messages  %7.3f M/s  %6.2f GB/s  host %7.1f MiB  worker %7.1f MiB  device %8.1f MiB\n",
           seconds, messages, (double)messages / seconds * 1e-6, bytes / seconds * 1e-9, m.host, m.worker, m.device);
    fflush(stdout);
}

static bool grew(const char *what, double from, double to, double allowed)
{
    bool more = !SANITIZED && to - from > allowed; /* a sanitizer's own memory is no fact about ours */
    if (more)
        fprintf(stderr, "memory of the %s grew from %.1f to %.1f MiB, by more than %.0f MiB\n", what, from, to,
                allowed);
    return more;
}

/* Samples until the end; true when nothing grew after the first fifth. */
static bool watch(const struct soak *s, const struct producer *producers, uint32_t count, const struct gq_cu_api *cu)
{
    struct memory_sample base = {0}, now;
    bool good = true;
    uint64_t step = s->length_ns / 10 < 10000000000u ? s->length_ns / 10 : 10000000000u;
    for (uint64_t at = 2 * step; at <= s->length_ns; at += step) {
        while (gq_clock_ns() - s->start_ns < at)
            usleep(1000);
        now = memory_now(cu);
        print_sample(s, producers, count, now);
        if (at == 2 * step)
            base = now;
        good = good && !grew("host process", base.host, now.host, HOST_GROWTH) &&
               !grew("worker", base.worker, now.worker, HOST_GROWTH) &&
               !grew("device", base.device, now.device, DEVICE_GROWTH);
    }
    return good;
}

static void check_end(const struct soak *s, const struct producer *producers, uint32_t count)
{
    QueueStats stats = {0};
    uint64_t sent = sum_of(producers, count, offsetof(struct producer, sent));
    REQUIRE(q_stats(s->q, &stats) == Q_OK, "stats");
    REQUIRE(stats.enq_count == sent && stats.deq_count == sent && stats.queue_depth == 0,
            "%" PRIu64 " sent, %" PRIu64 " in, %" PRIu64 " out", sent, stats.enq_count, stats.deq_count);
    REQUIRE(stats.retries > 0, "nothing was retried");
    printf("%" PRIu64 " messages, every one accounted for, every byte compared\n", sent);
}

/* One thread a processor, without the one that watches and those of a CPU backend. */
static uint32_t producers_here(bool on_cpu)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN) / (on_cpu ? 2 : 1);
    return processors < 2 ? 2 : processors > (long)PRODUCERS_MAX ? PRODUCERS_MAX : (uint32_t)processors;
}

int main(int argc, char **argv)
{
    uint64_t seconds = argc > 1 ? strtoull(argv[1], NULL, 10) : 600;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : gq_clock_ns();
    static struct producer producers[PRODUCERS_MAX];
    pthread_t thread[PRODUCERS_MAX];
    const struct gq_cu_api *cu = NULL;
    printf("seed %" PRIu64 "\n", seed);
    gq_pipeline *pipeline = open_pipeline();
    bool on_cpu = strcmp(gq_backend(pipeline), "cpu") == 0;
    REQUIRE(on_cpu || memory_open_device(&cu), "the device's memory: %s", gq_error_text());
    uint32_t count = producers_here(on_cpu);
    struct soak s = {gq_queue(pipeline), payload_mix(seed), gq_clock_ns(), (seconds ? seconds : 1) * 1000000000u};
    for (uint32_t i = 0; i < count; i++) {
        producers[i] = (struct producer){.s = &s, .number = i, .dice = payload_mix(seed + 31 * i) | 1};
        pthread_create(&thread[i], NULL, produce, &producers[i]);
    }
    bool good = watch(&s, producers, count, cu);
    for (uint32_t i = 0; i < count; i++)
        pthread_join(thread[i], NULL);
    check_end(&s, producers, count);
    REQUIRE(gq_stop(pipeline, 0) == GQ_OK, "stop: %s", gq_last_error());
    gq_close(pipeline);
    return good ? 0 : 1;
}
