/* gpuqueue.h - the queue API: messages in, results out. C11 and C++17; link with -lgpuqueue.
 *
 * A queue runs the stages of one pipeline in a worker process. A message is up to slot_bytes bytes; it gets an id,
 * passes the stages in order, and yields one result of up to slot_bytes bytes, or is dropped by a plugin, or fails.
 *
 * Threads   Any thread may call any function at any time, q_shutdown included. Each thread that enqueues gets a lane
 *           of its own, up to 256 threads at a time; the next gets Q_ERR_FULL until one of them ends. A lane's messages
 *           are started in the order in which they were enqueued, and their results become available in that order.
 *           Nothing is promised between lanes.
 *
 * Capacity  Each lane holds `capacity` messages, from enqueue until the result is taken. A thread that enqueues and
 *           never takes results (or lets nobody take them) finds its lane full.
 *
 * Ids       The lane in the top byte, below it numbers that grow by 1. An id is never given twice by one queue.
 *
 * Fork      A child that does not exec finds its parent's queues shut down; the parent's run on.
 *
 * Errors    Every function that fails leaves one sentence for q_last_error(), per thread.
 *
 * Results   Taken once: by q_try_dequeue_result(), or by q_peek()/q_release(). A dropped message frees its slot by
 *           itself; asking for it gives Q_ERR_NOT_FOUND. A failed one yields a result without bytes: Q_ERR_CUDA, once.
 *
 * Journal   With `queue.journal` in the pipeline file (or $GPUQ_JOURNAL, q_init) what is accepted survives a crash of
 * the application: the next queue with that journal runs every message whose result was not taken, and the ids stay. A
 * result is taken for good by q_release(), or, after q_try_dequeue_result(), by the same thread's next call on the
 * queue, its end, or q_shutdown(); one that was handed out and not yet taken for good may come again. A journal without
 * room makes Q_ERR_FULL of an enqueue, and one that broke Q_ERR_CUDA, for good.
 *
 * Types, codes and functions up to q_stats() are those of the project's first specification; names and values are
 * fixed.
 */
#ifndef GPUQUEUE_H
#define GPUQUEUE_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__) && !defined(GQ_API)
#define GQ_API __attribute__((visibility("default")))
#elif !defined(GQ_API)
#define GQ_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* --- types ---------------------------------------------------------------------------------------------------------
 */

/* A lane has room for `capacity` messages and as many results: together 8 GiB at most. */
typedef struct QueueConfig {
    uint32_t capacity;   /* slots of each lane, a power of two from 2 to 2^24 */
    uint32_t slot_bytes; /* largest message and largest result, 1 byte to 16 MiB */
} QueueConfig;

/* A queue. The handle stays valid for calls after q_shutdown(): they return Q_ERR_SHUTDOWN. */
typedef struct GpuQueue GpuQueue;

typedef struct QueueStats {
    uint64_t enq_count;    /* messages accepted */
    uint64_t deq_count;    /* results taken; dropped messages count as taken */
    uint64_t dropped_full; /* enqueues refused because the lane was full */
    uint64_t retries;      /* further attempts of messages that failed in a plugin */
    uint64_t queue_depth;  /* accepted and not yet taken, at about this time */
} QueueStats;

typedef enum QueueStatus {
    Q_OK = 0,
    Q_ERR_INVALID_ARG = -1,
    Q_ERR_FULL = -2,
    Q_ERR_TIMEOUT = -3,
    Q_ERR_CUDA = -4, /* the worker or its device failed, or this message failed in a plugin */
    Q_ERR_SHUTDOWN = -5,
    Q_ERR_NOT_READY = -6, /* message still processing */
    Q_ERR_NOT_FOUND = -7  /* id never issued, already taken, or dropped by a plugin */
} QueueStatus;

typedef struct EnqueueItem {
    const void *data; /* may be NULL when len is 0 */
    size_t len;
} EnqueueItem;

/* Wait for ever. */
#define Q_FOREVER UINT32_MAX

/* --- lifecycle ------------------------------------------------------------------------------------------------------
 */

/* Opens a queue with one stage and starts it: the plugin named by $GPUQ_PLUGIN (a .cu file), by default `builtin:echo`,
 * on the backend named by $GPUQ_BACKEND (auto, cuda, cpu), by default auto. $GPUQ_JOURNAL names its journal, if it is
 * to have one, and $GPUQ_DURABILITY (fdatasync, memory), by default fdatasync, how safe that is. NULL on failure. */
GQ_API GpuQueue *q_init(const QueueConfig *cfg);

/* Opens a queue on a pipeline file whose source and sink are `api: {}` and starts it. NULL on failure. */
GQ_API GpuQueue *q_open(const char *pipeline_file);

/* Refuses new messages, waits for those in flight (10 s, or the pipeline file's `drain`), stops the worker and frees
 * what the queue holds; results that nobody took are gone. If the wait runs out it gives up and q_last_error() says how
 * many messages were not finished; else q_last_error() is "". Takes NULL. A second call does nothing. With a journal,
 * the next queue gives what nobody took. */
GQ_API void q_shutdown(GpuQueue *q);

/* The calling thread's last error, "" if none. Valid until the thread's next call into gpuqueue. */
GQ_API const char *q_last_error(void);

/* --- enqueue --------------------------------------------------------------------------------------------------------
 */

/* Copies `len` bytes into the calling thread's lane and sets *out_msg_id (may be NULL). len 0 is a message.
 * Q_ERR_INVALID_ARG: len > slot_bytes. Lane full: Q_ERR_FULL with timeout_ms 0, else waits and gives Q_ERR_TIMEOUT. */
GQ_API QueueStatus q_enqueue(GpuQueue *q, const void *data, size_t len, uint64_t *out_msg_id, uint32_t timeout_ms);

/* The same without waiting: Q_ERR_FULL at once when the lane is full. The bytes are copied before it returns. */
GQ_API QueueStatus q_enqueue_async(GpuQueue *q, const void *data, size_t len, uint64_t *out_msg_id);

/* Waits until the message `msg_id` has been accepted by the queue: its bytes are no longer needed and it will be
 * processed. Q_ERR_NOT_FOUND for an id never issued. */
GQ_API QueueStatus q_wait_enqueue(GpuQueue *q, uint64_t msg_id, uint32_t timeout_ms);

/* Enqueues items[0 .. count-1] in order. *out_enqueued (may be NULL) says how many were accepted, whatever the status;
 * the rest can be tried again. out_msg_ids (may be NULL) has room for `count` ids. An item that is too long ends the
 * batch before it with Q_ERR_INVALID_ARG. */
GQ_API QueueStatus q_enqueue_batch(GpuQueue *q, const EnqueueItem *items, size_t count, uint64_t *out_msg_ids,
                                   size_t *out_enqueued, uint32_t timeout_ms);

/* --- results --------------------------------------------------------------------------------------------------------
 */

/* Takes the result of one message. *inout_len is the size of out_buf on entry and the result's size on return.
 * Q_ERR_NOT_READY: not finished. Q_ERR_INVALID_ARG: the buffer is too small; the result stays, *inout_len is its size.
 * Q_ERR_CUDA: the message failed in a plugin (it is taken), or the worker is gone (it never will be ready). */
GQ_API QueueStatus q_try_dequeue_result(GpuQueue *q, uint64_t msg_id, void *out_buf, size_t *inout_len);

/* Ids of messages that finished, each reported once, in order within a lane, up to max_count. Does not wait. Dropped
 * messages are not reported; failed ones are. A worker that is gone gives Q_ERR_CUDA once nothing is left to report.
 * When a GPU's worker ends, results that were reported and not taken are made again, and are not reported again: until
 * then q_try_dequeue_result() says Q_ERR_NOT_READY. */
GQ_API QueueStatus q_poll_completions(GpuQueue *q, uint64_t *out_msg_ids, size_t max_count, size_t *out_count);

/* Waits until q_poll_completions(), q_peek_any() or a result wait has something, or everything accepted is finished. */
GQ_API QueueStatus q_wait_completions(GpuQueue *q, uint32_t timeout_ms);

/* A snapshot of the counters. */
GQ_API QueueStatus q_stats(GpuQueue *q, QueueStats *out);

/* How many messages the journal gave back when the queue was opened: accepted before, and their results not taken. They
 * are among those of q_stats(). 0 without a journal. */
GQ_API QueueStatus q_recovered(GpuQueue *q, uint64_t *out_count);

/* --- in place: for those who want every nanosecond -------------------------------------------------------------------
 */

/* A slot to fill. `data` is writable until the claim is committed or the queue is shut down, by any thread. */
typedef struct QClaim {
    void *data;      /* 16-byte aligned */
    uint32_t cap;    /* slot_bytes */
    uint32_t len;    /* set by the caller before q_commit */
    uint64_t msg_id; /* the id the message will have */
} QClaim;

/* Claims up to `count` slots of the calling thread's lane, in order. *out_claimed is how many, at least one with Q_OK.
 * Claiming again before committing continues behind the claims already held. */
GQ_API QueueStatus q_claim(GpuQueue *q, QClaim *claims, size_t count, size_t *out_claimed, uint32_t timeout_ms);

/* Publishes the first `count` claims held, oldest first; `claims` are those that q_claim gave, in that order. By the
 * thread that claimed. A len above cap is Q_ERR_INVALID_ARG and publishes none. Claims not committed stay held; of more
 * than 256 that a journal has no room for, the first may have been published. */
GQ_API QueueStatus q_commit(GpuQueue *q, const QClaim *claims, size_t count);

/* How a message ended, in QResult.status. */
typedef enum QResultStatus {
    Q_RESULT_OK = 0,
    Q_RESULT_FAILED = 2,   /* gq_fail(): `code` says why, after every retry */
    Q_RESULT_OVERFLOW = 3, /* the plugin reported more bytes than slot_bytes */
    Q_RESULT_FAULTED = 4   /* its worker crashed or hung with it each time it was tried, alone too */
} QResultStatus;

/* A result in place: `data` is valid until it is released or the queue is shut down, by any thread. */
typedef struct QResult {
    const void *data;
    uint64_t msg_id;
    uint32_t len;
    uint32_t generation; /* of the code that made it; 1 is the first */
    uint16_t status;     /* QResultStatus */
    uint16_t code;       /* of gq_fail(); faulted: the signal, 0: it hung, 256 + exit code, 512 + driver's error */
    uint16_t stage;      /* the stage that failed it, or the last */
    uint16_t reserved0;
} QResult;

/* Up to `max` finished results of the calling thread's lane, oldest first; not those reported, peeked or taken before.
 * They belong to the caller until released. Q_ERR_NOT_READY with timeout_ms 0 and none there, else Q_ERR_TIMEOUT; at
 * once for a thread that never enqueued. */
GQ_API QueueStatus q_peek(GpuQueue *q, QResult *results, size_t max, size_t *out_count, uint32_t timeout_ms);
/* The same over all lanes: for threads that only take results. */
GQ_API QueueStatus q_peek_any(GpuQueue *q, QResult *results, size_t max, size_t *out_count, uint32_t timeout_ms);
/* Gives slots back. By any thread, in any order. */
GQ_API QueueStatus q_release(GpuQueue *q, const QResult *results, size_t count);

#ifdef __cplusplus
}
#endif

#endif
