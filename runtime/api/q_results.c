/* The q_* entry points that take results, and those that work in place. */
#include <gpuqueue.h>
#include "api/api.h"
#include "base/clock.h"
#include "base/error.h"
#include "pipeline/handle.h"
#include "pipeline/pipeline.h"
#include "pipeline/suspects.h"
#include <inttypes.h>

#define TAKE_MAX 256u
#define ROW_MIN 32u       /* results in a row that are worth a lock of their own */
#define WAIT_SLICE_MS 20u /* how long a wait may miss a q_shutdown by another thread */

/* Enters for a call that takes results. */
static struct gq_user *enter_take(GpuQueue *q, gq_status *status)
{
    struct gq_user *user = gq_handle_enter(q, status);
    if (!user || user->handle->can_take)
        return user;
    gq_handle_leave(user);
    *status = gq_error_set(GQ_ERR_INVALID_ARG,
                           "this pipeline has a sink of its own: only `sink: { api: {} }` hands out results");
    return NULL;
}

/* --- one result by id --------------------------------------------------------------------------------------------- */

static gq_status explain_fault(uint64_t id, const char *stage, uint32_t code)
{
    char how[64];
    gq_fault_describe(code, how, sizeof how);
    return gq_error_set(GQ_ERR_DEVICE, "message %" PRIu64 " %s each time it was tried, in stage '%s'", id, how, stage);
}

/* Of a worker that lives, no result is lost unless its words were written over. */
static gq_status explain_loss(const struct gq_user *user, uint64_t id)
{
    const gq_status status = gq_remote_check(user->handle->queue->remote);
    return status != GQ_OK ? status
                           : gq_error_set(GQ_ERR_DEVICE,
                                          "the result of message %" PRIu64 " was there, and is gone: a plugin may have "
                                          "written over memory that is not its own",
                                          id);
}

static gq_status explain(const struct gq_user *user, gq_status status, uint64_t id, size_t len, uint64_t meta)
{
    const char *name = gq_conf_stage_name(user->handle->pipeline->conf, gq_meta_stage(meta));
    switch (status) {
    case GQ_ERR_NOT_READY:
        return gq_error_note_number(status, "message ", id, " is still being processed");
    case GQ_ERR_INVALID_ARG:
        return gq_error_set(
            status, "the result of message %" PRIu64 " is %zu bytes, the buffer is smaller; the result stays", id, len);
    case GQ_ERR_NOT_FOUND:
        if (meta)
            return gq_error_set(status, "message %" PRIu64 " was dropped by stage '%s'", id, name);
        return gq_error_set(status, "message %" PRIu64 " was never issued, or its result was taken", id);
    case GQ_ERR_DEVICE:
        if (!meta)
            return explain_loss(user, id);
        if (gq_meta_status(meta) == GQ_RESULT_OVERFLOW)
            return gq_error_set(status, "message %" PRIu64 ": stage '%s' reported a result longer than slot_bytes", id,
                                name);
        if (gq_meta_status(meta) == GQ_RESULT_FAULTED)
            return explain_fault(id, name, gq_meta_code(meta));
        return gq_error_set(status, "message %" PRIu64 " failed in stage '%s' with code %u", id, name,
                            gq_meta_code(meta));
    default:
        return status;
    }
}

static gq_status fetch(struct gq_user *user, uint64_t id, void *buffer, size_t *len)
{
    uint64_t meta = 0;
    struct gq_lane *lane = gq_queue_lane_of(user->handle->queue, id);
    if (!len || (!buffer && *len))
        return gq_error_set(GQ_ERR_INVALID_ARG, "q_try_dequeue_result: out_buf or inout_len is NULL");
    gq_status status = lane ? gq_lane_fetch(lane, gq_id_seq(id), buffer, len, &meta) : GQ_ERR_NOT_FOUND;
    if (lane && lane->keeper && (status == GQ_OK || (status == GQ_ERR_DEVICE && meta)))
        user->owed = id; /* the lane holds it until the application comes back: only then is it safe with it */
    return status == GQ_OK ? GQ_OK : explain(user, status, id, *len, meta);
}

QueueStatus q_try_dequeue_result(GpuQueue *q, uint64_t msg_id, void *out_buf, size_t *inout_len)
{
    gq_status status = GQ_OK;
    struct gq_user *user = enter_take(q, &status);
    if (!user)
        return gq_to_queue_status(status);
    status = fetch(user, msg_id, out_buf, inout_len);
    gq_handle_leave(user);
    return gq_to_queue_status(status);
}

/* --- what finished ------------------------------------------------------------------------------------------------ */

static gq_status poll(struct gq_user *user, uint64_t *ids, size_t max, size_t *count)
{
    struct gq_lane_result results[TAKE_MAX];
    struct gq_queue *queue = user->handle->queue;
    struct gq_lane *lane;
    uint32_t n = 1;
    while (*count < max && n) {
        uint32_t want = max - *count < TAKE_MAX ? (uint32_t)(max - *count) : TAKE_MAX;
        n = gq_queue_take(queue, false, results, want, &lane);
        for (uint32_t i = 0; i < n; i++)
            ids[(*count)++] = gq_slot_id(lane->view.lane, results[i].seq);
    }
    return *count ? GQ_OK : gq_remote_check(queue->remote);
}

QueueStatus q_poll_completions(GpuQueue *q, uint64_t *out_msg_ids, size_t max_count, size_t *out_count)
{
    gq_status status = GQ_OK;
    size_t count = 0;
    struct gq_user *user = enter_take(q, &status);
    if (user && (!out_count || (!out_msg_ids && max_count)))
        status = gq_error_set(GQ_ERR_INVALID_ARG, "q_poll_completions: out_msg_ids or out_count is NULL");
    else if (user)
        status = poll(user, out_msg_ids, max_count, &count);
    if (user)
        gq_handle_leave(user);
    if (out_count)
        *out_count = count;
    return gq_to_queue_status(status);
}

static gq_status nothing(const struct gq_user *user, uint32_t timeout_ms)
{
    gq_status alive = gq_remote_check(user->handle->queue->remote);
    if (alive != GQ_OK)
        return alive;
    if (__atomic_load_n(&user->handle->closed, __ATOMIC_ACQUIRE))
        return gq_error_set(GQ_ERR_SHUTDOWN, "the queue was shut down");
    if (timeout_ms == 0)
        return gq_error_note(GQ_ERR_NOT_READY, "no result is ready");
    return gq_error_set(GQ_ERR_TIMEOUT, "no result became ready within %" PRIu32 " ms", timeout_ms);
}

/* What a thread may wait for. */
enum wait { RESULT_OF_OWN_LANE, RESULT_OF_ANY_LANE, RESULT_OR_ALL_HANDED_OUT };

static bool wait_once(struct gq_user *user, enum wait what, uint64_t deadline)
{
    struct gq_queue *queue = user->handle->queue;
    if (what == RESULT_OF_OWN_LANE)
        return gq_queue_wait_lane(user->lane, deadline);
    return what == RESULT_OF_ANY_LANE ? gq_queue_wait(queue, deadline) : gq_queue_wait_spent(queue, deadline);
}

/* Waits in slices, so that another thread's q_shutdown is noticed. */
static bool wait_some(struct gq_user *user, enum wait what, uint64_t deadline)
{
    struct gq_queue *queue = user->handle->queue;
    for (;;) {
        uint64_t slice = gq_clock_deadline(WAIT_SLICE_MS);
        slice = slice < deadline ? slice : deadline;
        if (wait_once(user, what, slice))
            return true;
        if (gq_clock_past(deadline) || gq_link_dead(&queue->remote->link) ||
            __atomic_load_n(&user->handle->closed, __ATOMIC_ACQUIRE))
            return false;
    }
}

QueueStatus q_wait_completions(GpuQueue *q, uint32_t timeout_ms)
{
    gq_status status = GQ_OK;
    struct gq_user *user = enter_take(q, &status);
    if (!user)
        return gq_to_queue_status(status);
    if (!wait_some(user, RESULT_OR_ALL_HANDED_OUT, gq_clock_deadline(timeout_ms)))
        status = nothing(user, timeout_ms);
    gq_handle_leave(user);
    return gq_to_queue_status(status);
}

static gq_status stats(struct gq_user *user, QueueStats *out)
{
    struct gq_lane_counts c;
    if (!out)
        return gq_error_set(GQ_ERR_INVALID_ARG, "q_stats: out is NULL");
    gq_queue_get_counts(user->handle->queue, &c, NULL);
    *out = (QueueStats){
        .enq_count = c.submitted,
        .deq_count = c.taken,
        .dropped_full = c.refused_full,
        .retries = gq_queue_retries(user->handle->queue),
        .queue_depth = c.submitted - c.taken,
    };
    return GQ_OK;
}

QueueStatus q_recovered(GpuQueue *q, uint64_t *out_count)
{
    gq_status status = GQ_OK;
    struct gq_user *user = gq_handle_enter(q, &status);
    if (!user)
        return gq_to_queue_status(status);
    if (out_count)
        *out_count = user->handle->pipeline->recovered;
    else
        status = gq_error_set(GQ_ERR_INVALID_ARG, "q_recovered: out_count is NULL");
    gq_handle_leave(user);
    return gq_to_queue_status(status);
}

QueueStatus q_stats(GpuQueue *q, QueueStats *out)
{
    gq_status status = GQ_OK;
    struct gq_user *user = gq_handle_enter(q, &status);
    if (!user)
        return gq_to_queue_status(status);
    status = stats(user, out);
    gq_handle_leave(user);
    return gq_to_queue_status(status);
}

/* --- results in place --------------------------------------------------------------------------------------------- */

static inline void show(uint32_t lane, const struct gq_lane_result *r, QResult *out)
{
    bool ok = gq_meta_status(r->meta) == GQ_RESULT_OK;
    *out = (QResult){
        .data = r->data,
        .msg_id = gq_slot_id(lane, r->seq),
        .len = ok ? r->len : 0,
        .generation = gq_meta_generation(r->meta),
        .status = (uint16_t)gq_meta_status(r->meta),
        .code = (uint16_t)gq_meta_code(r->meta),
        .stage = (uint16_t)gq_meta_stage(r->meta),
    };
}

static void show_all(const struct gq_lane *lane, const struct gq_lane_result *taken, uint32_t count, QResult *out)
{
    for (uint32_t i = 0; i < count; i++)
        show(lane->view.lane, &taken[i], &out[i]);
}

static uint32_t take_some(struct gq_user *user, bool own, struct gq_lane_result *r, uint32_t max, struct gq_lane **lane)
{
    *lane = user->lane;
    if (!own)
        return gq_queue_take(user->handle->queue, true, r, max, lane);
    return user->lane ? gq_lane_take(user->lane, true, r, max) : 0;
}

static gq_status peek(struct gq_user *user, bool own, QResult *results, size_t max, size_t *count, uint32_t timeout_ms)
{
    struct gq_lane_result taken[TAKE_MAX];
    struct gq_lane *lane;
    uint64_t deadline = 0;
    for (;;) {
        uint32_t n = 1;
        while (*count < max && n) {
            n = take_some(user, own, taken, max - *count < TAKE_MAX ? (uint32_t)(max - *count) : TAKE_MAX, &lane);
            show_all(lane, taken, n, &results[*count]);
            *count += n;
        }
        if (*count || max == 0)
            return GQ_OK;
        /* What seemed to be there may be nobody's until another worker has made it again. */
        const bool late =
            deadline && (gq_clock_past(deadline) || __atomic_load_n(&user->handle->closed, __ATOMIC_ACQUIRE));
        if (timeout_ms && !deadline)
            deadline = gq_clock_deadline(timeout_ms);
        if (!timeout_ms || late || (own && !user->lane) ||
            !wait_some(user, own ? RESULT_OF_OWN_LANE : RESULT_OF_ANY_LANE, deadline))
            return nothing(user, timeout_ms);
    }
}

static QueueStatus peek_call(GpuQueue *q, bool own, QResult *results, size_t max, size_t *out_count,
                             uint32_t timeout_ms)
{
    gq_status status = GQ_OK;
    size_t count = 0;
    struct gq_user *user = enter_take(q, &status);
    if (user && (!out_count || (!results && max)))
        status = gq_error_set(GQ_ERR_INVALID_ARG, "q_peek: results or out_count is NULL");
    else if (user)
        status = peek(user, own, results, max, &count, timeout_ms);
    if (user)
        gq_handle_leave(user);
    if (out_count)
        *out_count = count;
    return gq_to_queue_status(status);
}

QueueStatus q_peek(GpuQueue *q, QResult *results, size_t max, size_t *out_count, uint32_t timeout_ms)
{
    return peek_call(q, true, results, max, out_count, timeout_ms);
}

QueueStatus q_peek_any(GpuQueue *q, QResult *results, size_t max, size_t *out_count, uint32_t timeout_ms)
{
    return peek_call(q, false, results, max, out_count, timeout_ms);
}

/* How many results are of messages in a row: ids of one lane that grow by 1. */
static size_t row_of(const QResult *results, size_t count)
{
    size_t n = 1;
    while (n < count && results[n].msg_id == results[0].msg_id + n)
        n++;
    return n;
}

/* The results of one lane at the front: how many they are, at most TAKE_MAX, and which. */
static uint32_t gather(const QResult *results, size_t count, uint64_t *seqs)
{
    const uint32_t lane = gq_id_lane(results[0].msg_id);
    uint32_t n = 0;
    for (; n < count && n < TAKE_MAX && gq_id_lane(results[n].msg_id) == lane; n++)
        seqs[n] = gq_id_seq(results[n].msg_id);
    return n;
}

/* Rows go back at once, whatever their length; others of one lane together. */
static gq_status release(struct gq_user *user, const QResult *results, size_t count)
{
    uint64_t seqs[TAKE_MAX];
    for (size_t i = 0, n; i < count; i += n) {
        const uint64_t first = results[i].msg_id;
        struct gq_lane *lane = gq_queue_lane_of(user->handle->queue, first);
        const size_t row = row_of(&results[i], count - i);
        const bool whole = row >= ROW_MIN || row == count - i;
        n = whole ? row : gather(&results[i], count - i, seqs);
        if (!lane || (whole ? gq_lane_release_run(lane, gq_id_seq(first), row)
                            : gq_lane_release(lane, seqs, (uint32_t)n)) != GQ_OK)
            return gq_error_set(GQ_ERR_NOT_FOUND,
                                "q_release: a result among messages %" PRIu64 " ... was not peeked, or is released",
                                first);
    }
    return GQ_OK;
}

QueueStatus q_release(GpuQueue *q, const QResult *results, size_t count)
{
    gq_status status = GQ_OK;
    struct gq_user *user = enter_take(q, &status);
    if (!user)
        return gq_to_queue_status(status);
    status = !results && count ? gq_error_set(GQ_ERR_INVALID_ARG, "q_release: results is NULL")
                               : release(user, results, count);
    if (user->handle->queue->journal)
        gq_journal_flush(user->handle->queue->journal);
    gq_handle_leave(user);
    return gq_to_queue_status(status);
}
