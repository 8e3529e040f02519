/* handle.h - what a GpuQueue pointer points at, and which threads are inside a call on it.
 *
 * A handle is never freed, only closed: calls that come later find it closed. Each thread that uses it has a record
 * with a `busy` word; gq_handle_close() waits until all of them are clear, so nobody is left inside what it lets go.
 */
#ifndef GQ_PIPELINE_HANDLE_H
#define GQ_PIPELINE_HANDLE_H

#include <gpuqueue.h>
#include <pthread.h>
#include <stdbool.h>
#include "pipeline/queue.h"

struct gq_pipeline;

struct gq_user {
    struct GpuQueue *handle;
    struct gq_lane *lane; /* NULL until the thread's first message */
    uint32_t busy;        /* atomic: the thread is inside a call */
    uint64_t owed; /* with a journal: id of the result that it took last, which is done with when it comes back; 0: none
                    */
    struct gq_user *next_of_thread, *next_of_handle;
};

struct GpuQueue {
    uint32_t magic, closed; /* atomic */
    pthread_mutex_t lock;   /* users */
    struct gq_user *users;
    struct gq_pipeline *pipeline;
    struct gq_queue *queue;
    uint32_t shutting;  /* atomic: a q_shutdown has begun */
    bool owns_pipeline; /* opened by q_init or q_open: q_shutdown closes it */
    bool can_enqueue;   /* source api */
    bool can_take;      /* sink api */
    struct GpuQueue *next_of_all;
};

gq_status gq_handle_create(struct gq_pipeline *p, struct GpuQueue **out);
/* Refuses calls from here on and waits until no thread is inside one. Takes NULL and closed ones. */
void gq_handle_close(struct GpuQueue *handle);

/* Is any thread inside a call? */
bool gq_handle_busy(struct GpuQueue *handle);

/* GQ_ERR_SHUTDOWN for a handle that was closed, GQ_ERR_INVALID_ARG for what is none. Takes no memory. */
gq_status gq_handle_check(const struct GpuQueue *handle);

/* Every q_* call but q_shutdown is between these. enter: this thread's record, NULL when the handle is NULL, not one,
 * or closed, with the sentence and *status set. */
struct gq_user *gq_handle_enter(struct GpuQueue *handle, gq_status *status);
static inline void gq_handle_leave(struct gq_user *user) { __atomic_store_n(&user->busy, 0, __ATOMIC_RELEASE); }

/* Inside a call: the thread has done with the result that it took last. */
void gq_handle_settle(struct gq_user *user);

/* GQ_ERR_SHUTDOWN once the pipeline was interrupted. For a thread inside a call: either this sees the interrupt, or who
 * interrupted sees the thread in gq_handle_busy(), so no message slips in behind the end of the source. */
gq_status gq_handle_takes_messages(const struct gq_user *user);
/* The calling thread's lane, made at first need, while the handle takes messages. */
gq_status gq_handle_lane(struct gq_user *user, struct gq_lane **out);

#endif
