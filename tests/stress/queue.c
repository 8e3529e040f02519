/* The queue API under load, with a real worker: producers and consumers that mix every way to put messages in and to
 * take results out, with random sizes and random patience.
 *
 *   queue [MESSAGES [SEED]]     prints its seed; exits 0 when every message came back once, in order, byte for byte
 */
#include <gpuqueue.h>
#include <gpuqueue/runtime.h>
#include "base/clock.h"
#include "payload.h"
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define SLOT_BYTES 200u
#define THREADS_MAX 4u
#define BATCH 128u

struct variant {
    const char *name;
    uint32_t producers, consumers, stages, worker_threads,
        capacity; /* no consumers: producers take their own results */
};

static const struct variant variants[] = {
    {"one producer, one consumer, three worker threads", 1, 1, 1, 3, 64},
    {"three producers that take their own results", 3, 0, 1, 2, 256},
    {"four producers, three consumers, two stages", 4, 3, 2, 2, 1024},
    {"two producers, two consumers, smallest queue", 2, 2, 1, 2, 2},
};

static uint64_t failures; /* atomic */

#define REQUIRE(condition, ...)                                             \
    do {                                                                    \
        if (!(condition)) {                                                 \
            __atomic_fetch_add(&failures, 1, __ATOMIC_RELAXED);             \
            fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #condition); \
            fprintf(stderr, __VA_ARGS__);                                   \
            fprintf(stderr, " (%s)\n", q_last_error());                     \
            if (failures > 20)                                              \
                exit(1);                                                    \
        }                                                                   \
    } while (0)

struct shared {
    const struct variant *v;
    GpuQueue *q;
    uint64_t seed, count;       /* of each producer */
    uint64_t taken;             /* atomic: by all */
    uint8_t *seen[THREADS_MAX]; /* a byte a message of each lane, atomic */
};

struct actor {
    struct shared *s;
    uint64_t dice;
    uint64_t next;                  /* producer: seq of its next message */
    uint32_t lane;                  /* producer: known with its first id */
    uint64_t expected[THREADS_MAX]; /* consumer: no seq below is expected of this lane */
};

/* --- what a message holds follows from its id --------------------------------------------------------------------- */

static uint64_t lane_of(uint64_t id) { return id >> 56; }
static uint64_t seq_of(uint64_t id) { return (id & 0x00ffffffffffffffu) - 1; }
static uint64_t roll(struct actor *a, uint64_t sides) { return payload_dice(&a->dice) % sides; }

/* The lane is not known before the first id is, so contents depend on the number in the lane alone. */
static uint64_t key_of(const struct shared *s, uint64_t seq) { return payload_mix(s->seed ^ (seq << 8)); }

static uint32_t length_of(const struct shared *s, uint64_t seq)
{
    return (uint32_t)(payload_mix(s->seed + 1000 * seq) % (SLOT_BYTES + 1));
}

static uint32_t patience(struct actor *a)
{
    static const uint32_t ms[] = {0, 0, 1, 5, 1000, Q_FOREVER};
    /* One who takes his own results waits in vain for others to do it. */
    return ms[roll(a, a->s->v->consumers ? sizeof ms / sizeof *ms : 3)];
}

static bool no_room(QueueStatus status, uint32_t timeout_ms)
{
    return status == (timeout_ms ? Q_ERR_TIMEOUT : Q_ERR_FULL);
}

/* --- producing ---------------------------------------------------------------------------------------------------- */

static void issued(struct actor *a, uint64_t id, uint64_t index)
{
    if (a->next + index == 0)
        a->lane = (uint32_t)lane_of(id);
    REQUIRE(lane_of(id) == a->lane && seq_of(id) == a->next + index, "id %" PRIx64 ", expected %" PRIu64, id,
            a->next + index);
}

static uint64_t put_one(struct actor *a)
{
    uint8_t bytes[SLOT_BYTES];
    uint64_t id = 0;
    uint32_t len = length_of(a->s, a->next), timeout_ms = patience(a);
    bool async = roll(a, 2);
    payload_fill(bytes, len, key_of(a->s, a->next));
    QueueStatus status =
        async ? q_enqueue_async(a->s->q, bytes, len, &id) : q_enqueue(a->s->q, bytes, len, &id, timeout_ms);
    if (status != Q_OK) {
        REQUIRE(no_room(status, async ? 0 : timeout_ms), "enqueue gave %d", status);
        return 0;
    }
    issued(a, id, 0);
    if (roll(a, 50) == 0)
        REQUIRE(q_wait_enqueue(a->s->q, id, 1000) == Q_OK, "q_wait_enqueue of %" PRIx64, id);
    return 1;
}

static uint64_t put_batch(struct actor *a, uint64_t most)
{
    static _Thread_local uint8_t bytes[BATCH][SLOT_BYTES];
    EnqueueItem items[BATCH];
    uint64_t ids[BATCH];
    size_t done = 0, want = roll(a, most < BATCH ? most : BATCH) + 1;
    uint32_t timeout_ms = patience(a);
    for (size_t i = 0; i < want; i++) {
        items[i] = (EnqueueItem){bytes[i], length_of(a->s, a->next + i)};
        payload_fill(bytes[i], (uint32_t)items[i].len, key_of(a->s, a->next + i));
    }
    QueueStatus status = q_enqueue_batch(a->s->q, items, want, ids, &done, timeout_ms);
    REQUIRE(status == Q_OK ? done == want : no_room(status, timeout_ms) && done < want, "batch gave %d, %zu of %zu",
            status, done, want);
    for (size_t i = 0; i < done; i++)
        issued(a, ids[i], i);
    return done;
}

static void fill_claims(struct actor *a, QClaim *claims, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        issued(a, claims[i].msg_id, i);
        claims[i].len = length_of(a->s, a->next + i);
        payload_fill(claims[i].data, claims[i].len, key_of(a->s, a->next + i));
    }
}

/* Claims, and commits in two parts. */
static uint64_t put_in_place(struct actor *a, uint64_t most)
{
    QClaim claims[BATCH];
    size_t got = 0, want = roll(a, most < BATCH ? most : BATCH) + 1;
    uint32_t timeout_ms = patience(a);
    QueueStatus status = q_claim(a->s->q, claims, want, &got, timeout_ms);
    REQUIRE(status == Q_OK ? got > 0 && got <= want : no_room(status, timeout_ms) && got == 0, "claim gave %d, %zu",
            status, got);
    fill_claims(a, claims, got);
    size_t first = got ? roll(a, got + 1) : 0;
    REQUIRE(q_commit(a->s->q, claims, first) == Q_OK, "commit of %zu", first);
    REQUIRE(q_commit(a->s->q, claims + first, got - first) == Q_OK, "commit of %zu", got - first);
    return got;
}

static void produce(struct actor *a)
{
    uint64_t left = a->s->count - a->next;
    switch (roll(a, 4)) {
    case 0:
        a->next += put_one(a);
        break;
    case 1:
        a->next += put_in_place(a, left);
        break;
    default:
        a->next += put_batch(a, left);
    }
}

/* --- consuming ---------------------------------------------------------------------------------------------------- */

static void check(struct actor *a, uint64_t id, const void *data, uint64_t len)
{
    struct shared *s = a->s;
    uint64_t lane = lane_of(id), seq = seq_of(id);
    REQUIRE(lane < s->v->producers && seq < s->count, "id %" PRIx64 " was never issued", id);
    if (lane >= s->v->producers || seq >= s->count)
        exit(1);
    bool alone = s->v->consumers < 2;
    REQUIRE(alone ? seq == a->expected[lane] : seq >= a->expected[lane], "%" PRIu64 " came, %" PRIu64 " was next", seq,
            a->expected[lane]);
    a->expected[lane] = seq + 1;
    REQUIRE(__atomic_exchange_n(&s->seen[lane][seq], 1, __ATOMIC_RELAXED) == 0, "message %" PRIx64 " came twice", id);
    REQUIRE(len == length_of(s, seq) && payload_is(data, (uint32_t)len, key_of(s, seq)), "message %" PRIx64 " is torn",
            id);
    __atomic_fetch_add(&s->taken, 1, __ATOMIC_RELAXED);
}

static void release(struct actor *a, QResult *results, size_t count)
{
    for (size_t i = count; i > 1; i--) { /* in any order */
        size_t k = roll(a, i);
        QResult swap = results[k];
        results[k] = results[i - 1];
        results[i - 1] = swap;
    }
    size_t first = count ? roll(a, count + 1) : 0;
    REQUIRE(q_release(a->s->q, results, first) == Q_OK, "release of %zu", first);
    REQUIRE(q_release(a->s->q, results + first, count - first) == Q_OK, "release of %zu", count - first);
}

static void take_in_place(struct actor *a, bool own)
{
    QResult results[BATCH];
    size_t count = 0, want = roll(a, BATCH) + 1;
    uint32_t timeout_ms = (uint32_t)roll(a, 3);
    QueueStatus status = own ? q_peek(a->s->q, results, want, &count, timeout_ms)
                             : q_peek_any(a->s->q, results, want, &count, timeout_ms);
    REQUIRE(status == Q_OK ? count > 0 && count <= want
                           : status == (timeout_ms ? Q_ERR_TIMEOUT : Q_ERR_NOT_READY) && count == 0,
            "peek gave %d, %zu", status, count);
    for (size_t i = 0; i < count; i++) {
        REQUIRE(results[i].status == Q_RESULT_OK && results[i].generation == 1, "message %" PRIx64 " failed",
                results[i].msg_id);
        check(a, results[i].msg_id, results[i].data, results[i].len);
    }
    release(a, results, count);
}

static void take_by_id(struct actor *a, uint64_t id)
{
    uint8_t bytes[SLOT_BYTES];
    size_t len = roll(a, 4) ? sizeof bytes : roll(a, 20);
    QueueStatus status = q_try_dequeue_result(a->s->q, id, bytes, &len);
    if (status == Q_ERR_INVALID_ARG) { /* too small: it stays, and says its size */
        REQUIRE(len == length_of(a->s, seq_of(id)), "message %" PRIx64 " says %zu bytes", id, len);
        status = q_try_dequeue_result(a->s->q, id, bytes, &len);
    }
    REQUIRE(status == Q_OK, "result of %" PRIx64 " gave %d", id, status);
    check(a, id, bytes, len);
    if (roll(a, 100) == 0)
        REQUIRE(q_try_dequeue_result(a->s->q, id, bytes, &len) == Q_ERR_NOT_FOUND,
                "message %" PRIx64 " was taken twice", id);
}

static void take_polled(struct actor *a)
{
    uint64_t ids[BATCH];
    size_t count = 0;
    if (roll(a, 4) == 0)
        q_wait_completions(a->s->q, 1);
    REQUIRE(q_poll_completions(a->s->q, ids, roll(a, BATCH) + 1, &count) == Q_OK, "poll");
    for (size_t i = 0; i < count; i++)
        take_by_id(a, ids[i]);
}

static void *produce_all(void *arg)
{
    struct actor *a = arg;
    bool own = a->s->v->consumers == 0;
    while (a->next < a->s->count) {
        produce(a);
        if (own)
            take_in_place(a, true);
    }
    while (own && a->expected[a->lane] < a->s->count)
        take_in_place(a, true);
    return NULL;
}

static void *consume_all(void *arg)
{
    struct actor *a = arg;
    while (__atomic_load_n(&a->s->taken, __ATOMIC_RELAXED) < a->s->count * a->s->v->producers) {
        if (roll(a, 2))
            take_in_place(a, false);
        else
            take_polled(a);
    }
    return NULL;
}

/* --- one variant -------------------------------------------------------------------------------------------------- */

static gq_pipeline *open_pipeline(const struct variant *v)
{
    char text[512];
    gq_pipeline *p = NULL;
    snprintf(text, sizeof text,
             "version: 1\nqueue: { capacity: %u, slot_bytes: %u }\ncpu: { threads: %u }\nstages:\n%s%s", v->capacity,
             SLOT_BYTES, v->worker_threads, "- { name: one, plugin: 'builtin:echo' }\n",
             v->stages > 1 ? "- { name: two, plugin: 'builtin:echo' }\n" : "");
    const char *backend = getenv("GPUQ_BACKEND"); /* NULL: the same on every machine */
    gq_open_opts opts = {.size = sizeof opts, .path = "stress", .text = text, .backend = backend ? backend : "cpu"};
    if (gq_open(&opts, &p) != GQ_OK || gq_prepare(p) != GQ_OK || gq_start(p) != GQ_OK) {
        fprintf(stderr, "%s\n", gq_last_error());
        exit(1);
    }
    return p;
}

static void run_actors(struct shared *s, struct actor *actors)
{
    pthread_t thread[2 * THREADS_MAX];
    uint32_t count = s->v->producers + s->v->consumers;
    for (uint32_t i = 0; i < count; i++) {
        actors[i] = (struct actor){.s = s, .dice = payload_mix(s->seed + 31 * i) | 1};
        pthread_create(&thread[i], NULL, i < s->v->producers ? produce_all : consume_all, &actors[i]);
    }
    for (uint32_t i = 0; i < count; i++)
        pthread_join(thread[i], NULL);
}

static void check_end(const struct shared *s)
{
    QueueStats stats = {0};
    uint64_t all = s->count * s->v->producers;
    REQUIRE(q_stats(s->q, &stats) == Q_OK, "stats");
    REQUIRE(stats.enq_count == all && stats.deq_count == all && stats.queue_depth == 0,
            "%" PRIu64 " in, %" PRIu64 " out of %" PRIu64, stats.enq_count, stats.deq_count, all);
    REQUIRE(s->taken == all, "%" PRIu64 " taken of %" PRIu64, s->taken, all);
}

static void run_variant(const struct variant *v, uint64_t messages, uint64_t seed)
{
    struct actor actors[2 * THREADS_MAX];
    gq_pipeline *p = open_pipeline(v);
    struct shared s = {.v = v, .q = gq_queue(p), .seed = payload_mix(seed), .count = messages / v->producers};
    uint64_t start = gq_clock_ns();
    for (uint32_t i = 0; i < v->producers; i++)
        s.seen[i] = calloc(s.count, 1);
    run_actors(&s, actors);
    check_end(&s);
    REQUIRE(gq_stop(p, 0) == GQ_OK, "stop");
    gq_close(p);
    for (uint32_t i = 0; i < v->producers; i++)
        free(s.seen[i]);
    printf("%-52s %9" PRIu64 " messages  %6.2f s\n", v->name, s.count * v->producers,
           (double)(gq_clock_ns() - start) * 1e-9);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    uint64_t messages = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : gq_clock_ns();
    size_t count = sizeof variants / sizeof *variants;
    printf("seed %" PRIu64 "\n", seed);
    /* The smallest queue hands over two messages at a time: a tenth of the messages is as hard for it. */
    for (size_t i = 0; i < count; i++)
        run_variant(&variants[i], variants[i].capacity == 2 ? messages / 10 : messages * 3 / 10, seed + i);
    return failures ? 1 : 0;
}
