/* actor.h - a thread that makes the calls of gpuqueue.h as bytes say, beside others: each message has a key in front,
 * so that whoever takes a result knows whose it is. */
#ifndef GQ_TESTS_FUZZ_ACTOR_H
#define GQ_TESTS_FUZZ_ACTOR_H

#include <gpuqueue.h>
#include <pthread.h>
#include "folder.h"
#include "input.h"
#include "stress/payload.h"

#define SLOT_BYTES 48u
#define IDS_MAX 16u    /* that one call asks for */
#define CALLS_MAX 400u /* of one thread */
#define KEYS_MAX 1024u /* messages of one input */

static uint32_t delivered[KEYS_MAX]; /* atomic: results that came, by key */
static uint32_t keys;                /* atomic: given out in this input */

static const char text_of_queue[] = "version: 1\ndrain: 2s\nqueue: { capacity: 8, slot_bytes: 48 }\n"
                                    "cpu: { threads: 2 }\nstages: [{ name: echo, plugin: 'builtin:echo' }]\n";

static GpuQueue *open_queue(void)
{
    setenv("GPUQ_BACKEND", "cpu", 1);
    folder_make();
    folder_write("queue.yaml", text_of_queue, sizeof text_of_queue - 1);
    GpuQueue *q = q_open(folder_path("queue.yaml"));
    if (!q)
        fprintf(stderr, "%s\n", q_last_error());
    gq_assert(q);
    return q;
}

static void expect(QueueStatus status, QueueStatus expected)
{
    if (status != expected)
        fprintf(stderr, "status %d, and %d was expected: %s\n", status, expected, q_last_error());
    gq_assert(status == expected);
}

struct actor {
    GpuQueue *q;
    struct input in;
    uint64_t sent; /* messages that this thread enqueued */
    bool may_end;  /* somebody else shuts the queue down */
};

/* One result, checked and counted: its key is in front. */
static void deliver(const uint8_t *bytes, size_t len)
{
    uint64_t key;
    gq_assert(len >= sizeof key && len <= SLOT_BYTES);
    memcpy(&key, bytes, sizeof key);
    gq_assert(key < KEYS_MAX && payload_is(bytes + sizeof key, (uint32_t)(len - sizeof key), key));
    const uint32_t before = __atomic_fetch_add(&delivered[key], 1, __ATOMIC_RELAXED);
    gq_assert(before == 0);
}

static bool has_ended(const struct actor *a, QueueStatus status) { return a->may_end && status == Q_ERR_SHUTDOWN; }

static void send_keyed(struct actor *a, struct input *in)
{
    uint8_t bytes[SLOT_BYTES];
    const uint32_t len = 8 + input_choice(in, SLOT_BYTES - 7);
    const uint64_t key = __atomic_fetch_add(&keys, 1, __ATOMIC_RELAXED);
    if (key >= KEYS_MAX)
        return;
    memcpy(bytes, &key, sizeof key);
    payload_fill(bytes + 8, len - 8, key);
    const QueueStatus status = q_enqueue(a->q, bytes, len, NULL, input_choice(in, 2));
    gq_assert(status == Q_OK || status == Q_ERR_FULL || status == Q_ERR_TIMEOUT || has_ended(a, status));
    a->sent += status == Q_OK;
}

static void take_reported(struct actor *a, uint32_t max)
{
    uint64_t ids[IDS_MAX];
    uint8_t bytes[SLOT_BYTES];
    size_t count = 0;
    q_poll_completions(a->q, ids, max, &count);
    for (size_t i = 0; i < count; i++) {
        size_t len = sizeof bytes;
        const QueueStatus status = q_try_dequeue_result(a->q, ids[i], bytes, &len);
        gq_assert(status == Q_OK || has_ended(a, status));
        if (status == Q_OK)
            deliver(bytes, len);
    }
}

static void take_in_place(struct actor *a, bool any, uint32_t max, uint32_t timeout_ms)
{
    QResult results[IDS_MAX];
    size_t count = 0;
    if (any)
        q_peek_any(a->q, results, max, &count, timeout_ms);
    else
        q_peek(a->q, results, max, &count, timeout_ms);
    if (a->may_end) /* who shuts a queue down frees what others peeked */
        return;
    for (size_t i = 0; i < count; i++)
        deliver(results[i].data, results[i].len);
    expect(q_release(a->q, results, count), Q_OK);
}

static void act(struct actor *a, struct input *in)
{
    QueueStats stats;
    const uint32_t call = input_choice(in, 8), more = input_byte(in);
    if (call < 4)
        send_keyed(a, in);
    else if (call == 4)
        take_reported(a, more % IDS_MAX);
    else if (call < 7)
        take_in_place(a, call == 5, more % IDS_MAX, more >> 7);
    else if (more & 1)
        q_stats(a->q, &stats);
    else
        q_wait_completions(a->q, more >> 7);
}

static void *act_on(void *actor)
{
    struct actor *a = actor;
    for (uint32_t i = 0; i < CALLS_MAX && !input_ended(&a->in); i++)
        act(a, &a->in);
    return NULL;
}

static void begin_keys(void)
{
    memset(delivered, 0, sizeof delivered);
    keys = 0;
}

#endif
