/* calls.h - one thread of an application that uses a queue in every way, until the queue is dead or shut down. */
#ifndef TESTS_FAULT_CALLS_H
#define TESTS_FAULT_CALLS_H

#include "support.h"

#define CALLS_BATCH 8u

struct caller {
    GpuQueue *q;
    uint64_t dice;
    uint64_t last_id; /* of a message of this thread */
    QueueStatus end;  /* what ended it */
    char sentence[512];
};

static inline uint64_t call_roll(struct caller *c, uint64_t sides) { return payload_dice(&c->dice) % sides; }

static inline uint32_t call_patience(struct caller *c)
{
    static const uint32_t ms[] = {0, 1, 20, Q_FOREVER};
    return ms[call_roll(c, 4)];
}

static inline QueueStatus call_batch(struct caller *c)
{
    EnqueueItem items[CALLS_BATCH];
    size_t done;
    for (size_t i = 0; i < CALLS_BATCH; i++)
        items[i] = (EnqueueItem){"abcdefgh", i};
    return q_enqueue_batch(c->q, items, CALLS_BATCH, NULL, &done, call_patience(c));
}

static inline QueueStatus call_in_place(struct caller *c)
{
    QClaim claims[CALLS_BATCH];
    size_t got = 0;
    QueueStatus status = q_claim(c->q, claims, call_roll(c, CALLS_BATCH) + 1, &got, call_patience(c));
    for (size_t i = 0; i < got; i++)
        claims[i].len = 0; /* its memory may go at any time here: another thread may shut the queue down */
    return status == Q_OK ? q_commit(c->q, claims, got) : status;
}

static inline QueueStatus call_peek(struct caller *c, bool own)
{
    QResult results[CALLS_BATCH];
    size_t count = 0;
    QueueStatus status = own ? q_peek(c->q, results, CALLS_BATCH, &count, call_patience(c))
                             : q_peek_any(c->q, results, CALLS_BATCH, &count, call_patience(c));
    return status == Q_OK ? q_release(c->q, results, count) : status;
}

static inline QueueStatus call_poll(struct caller *c)
{
    uint64_t ids[CALLS_BATCH];
    char bytes[64];
    size_t count = 0;
    QueueStatus status = q_poll_completions(c->q, ids, CALLS_BATCH, &count);
    for (size_t i = 0; i < count && status == Q_OK; i++) {
        size_t len = sizeof bytes;
        status = q_try_dequeue_result(c->q, ids[i], bytes, &len);
    }
    return status;
}

static inline QueueStatus call_dequeue(struct caller *c)
{
    char bytes[64];
    size_t len = sizeof bytes;
    return q_try_dequeue_result(c->q, c->last_id, bytes, &len);
}

static inline QueueStatus call_something(struct caller *c)
{
    QueueStats stats;
    switch (call_roll(c, 11)) {
    case 0:
    case 1:
        return q_enqueue(c->q, "hello", 5, &c->last_id, call_patience(c));
    case 2:
        return q_enqueue_async(c->q, "hello", 5, &c->last_id);
    case 3:
        return call_batch(c);
    case 4:
        return call_in_place(c);
    case 5:
        return call_peek(c, true);
    case 6:
        return call_peek(c, false);
    case 7:
        return call_poll(c);
    case 8:
        return call_dequeue(c);
    case 9:
        return q_wait_completions(c->q, call_patience(c));
    default:
        return call_roll(c, 2) ? q_stats(c->q, &stats) : q_wait_enqueue(c->q, c->last_id, call_patience(c));
    }
}

/* A pthread start routine: calls until one says that the queue is dead or shut down. */
static inline void *call_until_the_end(void *arg)
{
    struct caller *c = arg;
    do {
        c->end = call_something(c);
        REQUIRE(fault_allowed(c->end), "status %d", c->end);
    } while (c->end != Q_ERR_CUDA && c->end != Q_ERR_SHUTDOWN);
    snprintf(c->sentence, sizeof c->sentence, "%s", q_last_error());
    return NULL;
}

#endif
