/* The q_* entry points: argument checks, and nothing else. */
#include <gpuqueue.h>
#include "api/api.h"
#include "base/clock.h"
#include "base/error.h"
#include "pipeline/handle.h"
#include "pipeline/pipeline.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PUBLISH_MAX 256u  /* messages published at a time */
#define WAIT_SLICE_MS 20u /* how long a wait may miss a q_shutdown by another thread */

_Static_assert((int)Q_ERR_NOT_FOUND == (int)GQ_ERR_NOT_FOUND && (int)Q_ERR_FULL == (int)GQ_ERR_FULL,
               "one list of codes");

QueueStatus gq_to_queue_status(gq_status status)
{
    if (status >= GQ_ERR_NOT_FOUND)
        return (QueueStatus)status;
    return status == GQ_ERR_CONFIG || status == GQ_ERR_DATA ? Q_ERR_INVALID_ARG : Q_ERR_CUDA;
}

const char *q_last_error(void) { return gq_error_text(); }

/* --- lifecycle ---------------------------------------------------------------------------------------------------- */

static GpuQueue *run(const gq_open_opts *opts)
{
    struct gq_pipeline *p = NULL;
    gq_status status = gq_pipeline_open(opts, &p);
    if (status == GQ_OK && (p->conf->source.kind != GQ_SOURCE_API || p->conf->sink.kind != GQ_SINK_API))
        status = gq_error_set(
            GQ_ERR_CONFIG,
            "%s: q_open needs `source: { api: {} }` and `sink: { api: {} }`; use gq_open and gq_queue for others",
            opts->path);
    if (status == GQ_OK)
        status = gq_pipeline_prepare(p);
    if (status == GQ_OK)
        status = gq_pipeline_start(p);
    if (status != GQ_OK) {
        char text[GQ_ERROR_TEXT_MAX];
        snprintf(text, sizeof text, "%s", gq_error_text());
        gq_pipeline_close(p);
        gq_error_set(status, "%s", text);
        return NULL;
    }
    p->handle->owns_pipeline = true;
    gq_error_clear();
    return p->handle;
}

/* --- q_init ------------------------------------------------------------------------------------------------------- */

/* What the caller of q_init set, for each key of the pipeline that is made of it. */
static const struct {
    const char *key, *set_by;
} sources[] = {{"queue.journal", "GPUQ_JOURNAL"},
               {"stages[0].plugin", "GPUQ_PLUGIN"},
               {"queue", "cfg"}, /* capacity and slot_bytes together */
               {"queue.capacity", "cfg.capacity"},
               {"queue.slot_bytes", "cfg.slot_bytes"}};

/* What stands behind "q_init:LINE:COLUMN: error: KEY", and who set that; NULL: the line is no error of a key. */
static const char *read_error(const char *line, const char **set_by)
{
    int end = 0;
    if (sscanf(line, "q_init:%*u:%*u: error: %n", &end) != 0 || end == 0)
        return NULL;
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
        const size_t len = strlen(sources[i].key);
        *set_by = sources[i].set_by;
        if (strncmp(line + end, sources[i].key, len) == 0 && line[end + (int)len] == ':')
            return line + end + len;
    }
    return NULL;
}

/* A place in a text that q_init wrote itself helps nobody: each line names what the caller set. */
static void name_what_was_set(void)
{
    char said[GQ_ERROR_TEXT_MAX];
    const gq_status status = gq_error_status();
    struct gq_text text = {0};
    snprintf(said, sizeof said, "%s", gq_error_text());
    for (const char *line = said; *line;) {
        const size_t len = strcspn(line, "\n") + (strchr(line, '\n') != NULL);
        const char *set_by = NULL, *rest = read_error(line, &set_by);
        if (rest)
            gq_text_printf(&text, "q_init: %s%.*s", set_by, (int)(line + len - rest), rest);
        else
            gq_text_add(&text, line, len);
        line += len;
    }
    if (!text.failed)
        gq_error_set(status, "%s", gq_text_str(&text));
    gq_text_finish(&text);
}

/* A word that is none is refused also where no journal is kept: it was meant for one. */
static gq_status read_durability(const char **out)
{
    const char *set = getenv("GPUQ_DURABILITY");
    *out = set && *set ? set : "fdatasync";
    if (strcmp(*out, "fdatasync") == 0 || strcmp(*out, "memory") == 0)
        return GQ_OK;
    return gq_error_set(GQ_ERR_CONFIG, "q_init: GPUQ_DURABILITY: expected fdatasync or memory, got '%s'", *out);
}

/* A JSON string is a YAML string. */
static void put_string(struct gq_text *yaml, const char *s) { gq_text_json(yaml, s, strlen(s)); }

GpuQueue *q_init(const QueueConfig *cfg)
{
    const char *plugin = getenv("GPUQ_PLUGIN"), *journal = getenv("GPUQ_JOURNAL");
    const char *durability;
    if (!cfg) {
        gq_error_set(GQ_ERR_INVALID_ARG, "q_init: cfg is NULL");
        return NULL;
    }
    if (read_durability(&durability) != GQ_OK)
        return NULL;
    struct gq_text yaml = {0};
    gq_text_printf(&yaml, "version: 1\nname: queue\nqueue: { capacity: %" PRIu32 ", slot_bytes: %" PRIu32,
                   cfg->capacity, cfg->slot_bytes);
    if (journal && *journal) {
        gq_text_puts(&yaml, ", journal: ");
        put_string(&yaml, journal);
        gq_text_puts(&yaml, ", durability: ");
        put_string(&yaml, durability);
    }
    gq_text_puts(&yaml, " }\nstages:\n  - { name: plugin, plugin: ");
    put_string(&yaml, plugin && *plugin ? plugin : "builtin:echo");
    gq_text_puts(&yaml, " }\n");
    gq_open_opts opts = {.size = sizeof opts, .path = "q_init", .text = gq_text_str(&yaml)};
    GpuQueue *q = NULL;
    if (yaml.failed)
        gq_error_set(GQ_ERR_NO_MEMORY, "q_init: out of memory");
    else
        q = run(&opts);
    if (!q)
        name_what_was_set();
    gq_text_finish(&yaml);
    return q;
}

GpuQueue *q_open(const char *pipeline_file)
{
    if (!pipeline_file) {
        gq_error_set(GQ_ERR_INVALID_ARG, "q_open: the path is NULL");
        return NULL;
    }
    gq_open_opts opts = {.size = sizeof opts, .path = pipeline_file};
    return run(&opts);
}

void q_shutdown(GpuQueue *q)
{
    if (!q || gq_handle_check(q) != GQ_OK) /* no record of the thread: where memory is out a queue can still be ended */
        return;
    bool owner = q->owns_pipeline && !__atomic_exchange_n(&q->shutting, 1, __ATOMIC_ACQ_REL);
    if (!owner) {
        if (!q->owns_pipeline)
            gq_error_set(GQ_ERR_INVALID_ARG,
                         "q_shutdown: this queue belongs to a gq_pipeline: use gq_stop and gq_close");
        return;
    }
    struct gq_pipeline *p = q->pipeline;
    gq_error_clear();
    gq_pipeline_stop(p, 0); /* leaves its sentence when it gave up */
    gq_pipeline_close(p);
}

/* --- enqueue ------------------------------------------------------------------------------------------------------ */

static gq_status no_room(const struct gq_user *user, struct gq_lane *lane, uint32_t timeout_ms)
{
    gq_status alive = gq_remote_check(user->handle->queue->remote);
    if (alive != GQ_OK)
        return alive;
    if (__atomic_load_n(&user->handle->closed, __ATOMIC_ACQUIRE))
        return gq_error_set(GQ_ERR_SHUTDOWN, "the queue was shut down");
    uint32_t capacity = lane->view.mask + 1;
    gq_lane_refuse(lane);
    if (timeout_ms == 0)
        return gq_error_note_number(GQ_ERR_FULL, "this thread's lane is full (", capacity,
                                    " messages): take results, or wait");
    return gq_error_set(GQ_ERR_TIMEOUT, "this thread's lane stayed full (%" PRIu32 " messages) for %" PRIu32 " ms",
                        capacity, timeout_ms);
}

/* Waits in slices, so that another thread's q_shutdown is noticed. */
static uint32_t wait_claim(struct gq_user *user, struct gq_lane *lane, uint32_t want, uint32_t timeout_ms,
                           uint64_t *first)
{
    uint32_t got = gq_lane_claim(lane, want, 0, first);
    if (got || timeout_ms == 0)
        return got;
    uint64_t deadline = gq_clock_deadline(timeout_ms);
    while (!got && !gq_clock_past(deadline) && !gq_link_dead(lane->link) &&
           !__atomic_load_n(&user->handle->closed, __ATOMIC_ACQUIRE)) {
        uint64_t slice = gq_clock_deadline(WAIT_SLICE_MS);
        got = gq_lane_claim(lane, want, slice < deadline ? slice : deadline, first);
    }
    return got;
}

/* None of a worker that is gone for good: the room that its messages left is theirs in the journal, which the next
 * queue runs. One that took the place of a message there, as the worker went, made damage of the file. */
static uint32_t claim(struct gq_user *user, struct gq_lane *lane, uint32_t want, uint32_t timeout_ms, uint64_t *first)
{
    const uint64_t held = lane->claimed;
    const uint32_t got = gq_link_dead(lane->link) ? 0 : wait_claim(user, lane, want, timeout_ms, first);
    if (got == 0 || !gq_link_dead(lane->link))
        return got;
    gq_lane_unclaim(lane, held);
    return 0;
}

static gq_status too_long(const struct gq_lane *lane, size_t len)
{
    return gq_error_set(GQ_ERR_INVALID_ARG, "the message is %zu bytes, slot_bytes is %" PRIu32, len,
                        lane->view.slot_bytes);
}

static gq_status check_item(const struct gq_lane *lane, const void *data, size_t len)
{
    if (len > lane->view.slot_bytes)
        return too_long(lane, len);
    return !data && len ? gq_error_set(GQ_ERR_INVALID_ARG, "data is NULL and len is %zu", len) : GQ_OK;
}

/* The time, for lanes that keep latencies: those whose results go to a sink of the pipeline. */
static uint64_t sent_ns(const struct gq_lane *lane) { return lane->sent_ns ? gq_clock_ns() : 0; }

/* Publishes messages that lie in their slots, once whoever keeps them has them; else their claims go back. */
static gq_status publish(struct gq_lane *lane, const uint32_t *len, uint32_t count)
{
    const struct gq_lane_keeper *keeper = lane->keeper;
    if (keeper && count) {
        gq_status status = keeper->accept(keeper->arg, lane, lane->submitted, len, count);
        if (status != GQ_OK)
            return status;
    }
    gq_lane_publish(lane, len, count, sent_ns(lane));
    return GQ_OK;
}

static gq_status enqueue_one(struct gq_user *user, const void *data, size_t len, uint64_t *id, uint32_t timeout_ms)
{
    struct gq_lane *lane;
    uint64_t seq;
    gq_status status = gq_handle_lane(user, &lane);
    if (status == GQ_OK)
        status = check_item(lane, data, len);
    if (status != GQ_OK)
        return status;
    if (lane->claimed != lane->submitted)
        return gq_error_set(GQ_ERR_INVALID_ARG, "this thread holds claims: q_commit them before q_enqueue");
    if (!claim(user, lane, 1, timeout_ms, &seq))
        return no_room(user, lane, timeout_ms);
    if (len)
        memcpy(gq_lane_slot(lane, seq), data, len);
    uint32_t len32 = (uint32_t)len;
    status = publish(lane, &len32, 1);
    if (status != GQ_OK) {
        gq_lane_unclaim(lane, seq);
        return status;
    }
    gq_link_ring_worker(lane->link);
    if (id)
        *id = gq_slot_id(lane->view.lane, seq);
    return GQ_OK;
}

QueueStatus q_enqueue(GpuQueue *q, const void *data, size_t len, uint64_t *out_msg_id, uint32_t timeout_ms)
{
    gq_status status = GQ_OK;
    struct gq_user *user = gq_handle_enter(q, &status);
    if (!user)
        return gq_to_queue_status(status);
    status = enqueue_one(user, data, len, out_msg_id, timeout_ms);
    gq_handle_leave(user);
    return gq_to_queue_status(status);
}

QueueStatus q_enqueue_async(GpuQueue *q, const void *data, size_t len, uint64_t *out_msg_id)
{
    return q_enqueue(q, data, len, out_msg_id, 0);
}

QueueStatus q_wait_enqueue(GpuQueue *q, uint64_t msg_id, uint32_t timeout_ms)
{
    gq_status status = GQ_OK;
    (void)timeout_ms; /* a message is accepted when its id is given: there is nothing left to wait for */
    struct gq_user *user = gq_handle_enter(q, &status);
    if (!user)
        return gq_to_queue_status(status);
    const struct gq_lane *lane = gq_queue_lane_of(user->handle->queue, msg_id);
    if (!lane || gq_id_seq(msg_id) >= __atomic_load_n(&lane->submitted, __ATOMIC_ACQUIRE))
        status = gq_error_set(GQ_ERR_NOT_FOUND, "message %" PRIu64 " was never issued", msg_id);
    gq_handle_leave(user);
    return gq_to_queue_status(status);
}

/* Fills claimed slots with the items behind `done`; stops at one that is not acceptable. */
static gq_status fill(struct gq_lane *lane, const EnqueueItem *items, uint64_t *ids, uint64_t first, uint32_t claimed,
                      size_t *done)
{
    gq_status status = GQ_OK;
    uint32_t used = 0, len[PUBLISH_MAX];
    for (; used < claimed; used++) {
        const EnqueueItem *item = &items[*done + used];
        status = check_item(lane, item->data, item->len);
        if (status != GQ_OK)
            break;
        if (item->len)
            memcpy(gq_lane_slot(lane, first + used), item->data, item->len);
        if (ids)
            ids[*done + used] = gq_slot_id(lane->view.lane, first + used);
        len[used] = (uint32_t)item->len;
    }
    const gq_status kept = publish(lane, len, used);
    /* Slots behind a bad item go back, and those of messages that were not kept. */
    gq_lane_unclaim(lane, lane->submitted);
    if (kept != GQ_OK)
        return kept;
    *done += used;
    gq_link_ring_worker(lane->link);
    return status;
}

static gq_status enqueue_batch(struct gq_user *user, const EnqueueItem *items, size_t count, uint64_t *ids,
                               size_t *done, uint32_t timeout_ms)
{
    struct gq_lane *lane;
    gq_status status = gq_handle_lane(user, &lane);
    uint64_t deadline = timeout_ms ? gq_clock_deadline(timeout_ms) : 0;
    if (status == GQ_OK && lane->claimed != lane->submitted)
        return gq_error_set(GQ_ERR_INVALID_ARG, "this thread holds claims: q_commit them before q_enqueue_batch");
    while (status == GQ_OK && *done < count) {
        uint64_t first, now = timeout_ms && timeout_ms != Q_FOREVER ? gq_clock_ns() : 0;
        uint32_t left = timeout_ms == Q_FOREVER ? Q_FOREVER
                        : now >= deadline       ? 0
                                                : (uint32_t)((deadline - now + 999999) / 1000000);
        uint32_t want = count - *done < PUBLISH_MAX ? (uint32_t)(count - *done) : PUBLISH_MAX;
        uint32_t got = claim(user, lane, want, left, &first);
        status = got ? fill(lane, items, ids, first, got, done) : no_room(user, lane, timeout_ms);
    }
    return status;
}

QueueStatus q_enqueue_batch(GpuQueue *q, const EnqueueItem *items, size_t count, uint64_t *out_msg_ids,
                            size_t *out_enqueued, uint32_t timeout_ms)
{
    gq_status status = GQ_OK;
    size_t done = 0;
    struct gq_user *user = gq_handle_enter(q, &status);
    if (user && !items && count)
        status = gq_error_set(GQ_ERR_INVALID_ARG, "q_enqueue_batch: items is NULL");
    if (user && status == GQ_OK)
        status = enqueue_batch(user, items, count, out_msg_ids, &done, timeout_ms);
    if (user)
        gq_handle_leave(user);
    if (out_enqueued)
        *out_enqueued = done;
    return gq_to_queue_status(status);
}

/* --- in place ----------------------------------------------------------------------------------------------------- */

static void show_claims(const struct gq_lane *lane, uint64_t first, uint32_t count, QClaim *claims)
{
    const struct gq_lane_view view = lane->view;
    for (uint32_t i = 0; i < count; i++) {
        claims[i] = (QClaim){gq_slot_in(&view, first + i), view.slot_bytes, 0, gq_slot_id(view.lane, first + i)};
        if (lane->fetch_ahead)
            __builtin_prefetch(claims[i].data, 1);
    }
}

static gq_status claim_in_place(struct gq_user *user, QClaim *claims, size_t count, size_t *claimed,
                                uint32_t timeout_ms)
{
    struct gq_lane *lane;
    uint64_t first = 0;
    gq_status status = gq_handle_lane(user, &lane);
    if (status != GQ_OK || count == 0)
        return status;
    uint32_t want = count < lane->view.mask + 1 ? (uint32_t)count : lane->view.mask + 1;
    uint32_t got = claim(user, lane, want, timeout_ms, &first);
    show_claims(lane, first, got, claims);
    *claimed = got;
    return got ? GQ_OK : no_room(user, lane, timeout_ms);
}

QueueStatus q_claim(GpuQueue *q, QClaim *claims, size_t count, size_t *out_claimed, uint32_t timeout_ms)
{
    gq_status status = GQ_OK;
    size_t claimed = 0;
    struct gq_user *user = gq_handle_enter(q, &status);
    if (user && (!out_claimed || (!claims && count)))
        status = gq_error_set(GQ_ERR_INVALID_ARG, "q_claim: claims or out_claimed is NULL");
    else if (user)
        status = claim_in_place(user, claims, count, &claimed, timeout_ms);
    if (user)
        gq_handle_leave(user);
    if (out_claimed)
        *out_claimed = claimed;
    return gq_to_queue_status(status);
}

static gq_status explain_claim(const struct gq_lane *lane, const QClaim *claim, size_t i)
{
    if (claim->len > lane->view.slot_bytes)
        return too_long(lane, claim->len);
    return gq_error_set(GQ_ERR_INVALID_ARG,
                        "q_commit: claim %zu is message %" PRIu64 ", the oldest not committed is %" PRIu64, i,
                        claim->msg_id, gq_slot_id(lane->view.lane, lane->submitted + i));
}

/* All are looked at before the first is published; len[] gets the lengths of the first PUBLISH_MAX. */
static gq_status check_claims(const struct gq_lane *lane, const QClaim *claims, size_t count, uint32_t *len)
{
    const uint64_t id = gq_slot_id(lane->view.lane, lane->submitted);
    const uint32_t most = lane->view.slot_bytes;
    for (size_t i = 0; i < count; i++) {
        if (claims[i].len > most || claims[i].msg_id != id + i)
            return explain_claim(lane, &claims[i], i);
        if (i < PUBLISH_MAX)
            len[i] = claims[i].len;
    }
    return GQ_OK;
}

/* All of them or none: with a journal, those behind a group that is not kept stay held. */
static gq_status publish_claims(struct gq_lane *lane, const QClaim *claims, size_t count, uint32_t *len)
{
    uint32_t n = count < PUBLISH_MAX ? (uint32_t)count : PUBLISH_MAX;
    for (size_t done = n;; done += n) {
        gq_status status = publish(lane, len, n);
        if (status != GQ_OK)
            return status;
        n = count - done < PUBLISH_MAX ? (uint32_t)(count - done) : PUBLISH_MAX;
        if (n == 0)
            return GQ_OK;
        for (uint32_t i = 0; i < n; i++)
            len[i] = claims[done + i].len;
    }
}

static gq_status commit(struct gq_user *user, const QClaim *claims, size_t count)
{
    struct gq_lane *lane = user->lane;
    gq_status status = gq_handle_takes_messages(user);
    if (status != GQ_OK)
        return status;
    if (count && (!lane || count > lane->claimed - lane->submitted))
        return gq_error_set(GQ_ERR_INVALID_ARG, "q_commit: %zu claims, this thread holds %" PRIu64, count,
                            lane ? lane->claimed - lane->submitted : 0);
    if (count == 0)
        return GQ_OK;
    uint32_t len[PUBLISH_MAX];
    status = check_claims(lane, claims, count, len);
    if (status != GQ_OK)
        return status;
    status = publish_claims(lane, claims, count, len);
    gq_link_ring_worker(lane->link);
    return status;
}

QueueStatus q_commit(GpuQueue *q, const QClaim *claims, size_t count)
{
    gq_status status = GQ_OK;
    struct gq_user *user = gq_handle_enter(q, &status);
    if (!user)
        return gq_to_queue_status(status);
    status =
        !claims && count ? gq_error_set(GQ_ERR_INVALID_ARG, "q_commit: claims is NULL") : commit(user, claims, count);
    gq_handle_leave(user);
    return gq_to_queue_status(status);
}
