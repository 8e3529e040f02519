/* The threads between connectors and lanes. A message is released, and its slot free, when the sink has it. */
#include "pipeline/pipeline.h"
#include "base/assert.h"
#include "base/clock.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "pipeline/handle.h"
#include "ring/counted.h"

#define BATCH 256u

/* --- source ----------------------------------------------------------------------------------------------------------
 */

struct filling {
    struct gq_lane *lane;
    uint64_t first; /* claimed slots */
    uint32_t claimed, used;
    uint32_t len[BATCH];
    uint64_t bytes;
};

static void commit(struct gq_pipeline *p, struct filling *f)
{
    uint64_t now = gq_clock_ns();
    for (uint32_t i = 0; i < f->used; i++)
        f->bytes += f->len[i];
    gq_lane_publish(f->lane, f->len, f->used, now);
    if (f->used)
        gq_link_ring_worker(f->lane->link);
    __atomic_store_n(&p->bytes_in, f->bytes, __ATOMIC_RELAXED);
    f->first += f->used;
    f->claimed -= f->used;
    f->used = 0;
}

static bool over(const struct gq_pipeline *p)
{
    return gq_link_dead(&p->remote->link) || gq_link_closing(&p->remote->link);
}

/* A slot to fill, after committing what is filled when there is none; false when the worker is gone. */
static bool have_slot(struct gq_pipeline *p, struct filling *f)
{
    if (f->used < f->claimed && f->used < BATCH)
        return true;
    commit(p, f);
    while (f->claimed == 0 && !over(p)) {
        uint64_t first;
        f->claimed = gq_lane_claim(f->lane, BATCH, gq_clock_deadline(100), &first);
        if (f->claimed)
            f->first = first;
        if (__atomic_load_n(&p->interrupted, __ATOMIC_ACQUIRE) && f->claimed == 0)
            return false;
    }
    return f->claimed != 0;
}

static void pump(struct gq_pipeline *p, struct filling *f)
{
    const struct gq_source_ops *ops = p->source->ops;
    bool may_wait = false;
    /* A source looks for an interrupt when it reads; what lies in its buffer may be work for hours. */
    while (!__atomic_load_n(&p->interrupted, __ATOMIC_ACQUIRE) && have_slot(p, f)) {
        uint8_t *slot = gq_lane_slot(f->lane, f->first + f->used);
        switch (ops->next(p->source, slot, p->conf->slot_bytes, &f->len[f->used], may_wait)) {
        case GQ_NEXT_MESSAGE:
            gq_delivery_read(&p->delivery, f->first + f->used);
            f->used++;
            may_wait = false;
            break;
        case GQ_NEXT_WAIT: /* what there is should not wait for what may come */
            gq_assert(!may_wait);
            commit(p, f);
            may_wait = true;
            break;
        case GQ_NEXT_ERROR:
            gq_pipeline_fail(p, gq_error_status());
            return;
        case GQ_NEXT_END:
            return;
        }
    }
}

void *gq_pump_source(void *pipeline)
{
    struct gq_pipeline *p = pipeline;
    struct filling f = {0};
    if (gq_queue_own_lane(p->queue, &f.lane) == GQ_OK) {
        pump(p, &f);
        commit(p, &f);
    } else {
        gq_pipeline_fail(p, gq_error_status());
    }
    __atomic_store_n(&p->source_ended, 1, __ATOMIC_RELEASE);
    gq_link_kick(&p->remote->link);
    return NULL;
}

/* --- sink ------------------------------------------------------------------------------------------------------------
 */

/* Whose fault it was. */
struct culprit {
    const char *stage;
    struct gq_version_name code;
};

/* The number of the stage is the worker's word, and a plugin may have written over it. */
static void find_culprit(const struct gq_pipeline *p, uint64_t meta, struct culprit *c)
{
    const uint32_t stage = gq_meta_stage(meta);
    *c = (struct culprit){.stage = gq_conf_stage_name(p->conf, stage), .code.plugin = "?"};
    if (stage < p->conf->stage_count) {
        gq_versions_name(p->versions, stage, gq_meta_generation(meta), &c->code);
    } else if (stage == GQ_CRUMB_SOURCE && p->conf->source.kind == GQ_SOURCE_PLUGIN) {
        snprintf(c->code.plugin, sizeof c->code.plugin, "%s", p->conf->source.path);
        memcpy(c->code.digest, p->source_image.digest, sizeof c->code.digest);
    }
}

static uint64_t position_of(const struct gq_pipeline *p, const struct gq_lane *lane, uint64_t seq)
{
    if (lane->generated)
        return lane->view.in_head->first_index + seq * lane->view.in_head->index_step;
    return p->source ? p->delivery.resumed + seq + 1 : 0;
}

static void set_times(const struct gq_lane *lane, uint64_t seq, struct gq_dead_letter *letter)
{
    letter->dead_ns = gq_clock_unix_ns();
    if (lane->sent_ns)
        letter->first_ns = letter->dead_ns - (gq_clock_ns() - lane->sent_ns[gq_slot_index(&lane->view, seq)]);
}

static gq_status bury(struct gq_pipeline *p, const struct gq_lane *lane, const struct gq_lane_result *r)
{
    char reason[160];
    struct culprit culprit;
    const struct gq_dead_end end = {gq_meta_status(r->meta), gq_meta_code(r->meta), r->len, p->conf->retries};
    find_culprit(p, r->meta, &culprit);
    uint32_t len = (uint32_t)lane->view.in_desc[gq_slot_index(&lane->view, r->seq)];
    struct gq_dead_letter letter = {
        .id = gq_slot_id(lane->view.lane, r->seq),
        .position = position_of(p, lane, r->seq),
        .stage = gq_meta_stage(r->meta),
        .version = culprit.code.number,
        .bodiless = lane->generated,
        .life = p->delivery.life,
        .stage_name = culprit.stage,
        .plugin = culprit.code.plugin,
        .digest = culprit.code.digest,
        /* A generated message has no bytes on this side; its id says which index makes it again. */
        .message = lane->generated ? NULL : gq_slot_in(&lane->view, r->seq),
        .message_len = lane->generated ? 0 : len,
    };
    gq_dead_tell(&letter, &end, reason, sizeof reason);
    set_times(lane, r->seq, &letter);
    return gq_dead_put(&p->dead_file, &letter);
}

static gq_status deliver(struct gq_pipeline *p, const struct gq_lane *lane, const struct gq_lane_result *results,
                         uint32_t count)
{
    gq_assert(count > 0);
    gq_status status = GQ_OK;
    uint64_t out = 0, bytes = 0;
    for (uint32_t i = 0; i < count && status == GQ_OK; i++) {
        if (gq_meta_status(results[i].meta) != GQ_RESULT_OK) {
            status = bury(p, lane, &results[i]);
            continue;
        }
        status = p->sink->ops->put(p->sink, results[i].data, results[i].len);
        out++;
        bytes += results[i].len;
    }
    if (status == GQ_OK)
        status = p->sink->ops->flush(p->sink);
    if (status == GQ_OK) {
        __atomic_store_n(&p->messages_out, p->messages_out + out, __ATOMIC_RELAXED);
        __atomic_store_n(&p->bytes_out, p->bytes_out + bytes, __ATOMIC_RELAXED);
        status = gq_delivery_written(&p->delivery, results[count - 1].seq, bytes);
    }
    return status;
}

/* Sources with a thread watch the descriptor themselves. An api source ends when the last thread that may still be
 * enqueueing has left its call: what was accepted must be seen before the sink looks whether it is done. */
void gq_pump_heed_interrupt(struct gq_pipeline *p)
{
    if (!__atomic_load_n(&p->interrupted, __ATOMIC_SEQ_CST) || __atomic_load_n(&p->source_ended, __ATOMIC_ACQUIRE))
        return;
    if (p->conf->source.kind == GQ_SOURCE_PLUGIN)
        gq_queue_end_generation(p->queue);
    else if (p->conf->source.kind != GQ_SOURCE_API || gq_handle_busy(p->handle))
        return;
    __atomic_store_n(&p->source_ended, 1, __ATOMIC_RELEASE);
}

static bool finished(struct gq_pipeline *p)
{
    gq_pump_heed_interrupt(p);
    if (!__atomic_load_n(&p->source_ended, __ATOMIC_ACQUIRE))
        return p->conf->source.kind == GQ_SOURCE_PLUGIN && gq_queue_idle(p->queue);
    return gq_queue_idle(p->queue);
}

static gq_status sink_loop(struct gq_pipeline *p)
{
    struct gq_lane_result results[BATCH];
    uint64_t seqs[BATCH];
    while (!finished(p)) {
        struct gq_lane *lane;
        uint32_t n = gq_queue_take(p->queue, true, results, BATCH, &lane);
        if (n == 0) {
            gq_status status = gq_delivery_commit(&p->delivery);
            bool any = gq_queue_wait(p->queue, gq_clock_deadline(50));
            if (status != GQ_OK || (!any && gq_link_dead(&p->remote->link)))
                return status != GQ_OK ? status : gq_remote_check(p->remote);
            continue;
        }
        if (p->delivery.checkpoint && __atomic_load_n(&lane->lost, __ATOMIC_RELAXED) > 0)
            return gq_remote_check(p->remote); /* what came behind a lost message is the next run's, with it */
        gq_status status = deliver(p, lane, results, n);
        if (status != GQ_OK)
            return status;
        for (uint32_t i = 0; i < n; i++)
            seqs[i] = results[i].seq;
        status = gq_lane_release(lane, seqs, n);
        gq_assert(status == GQ_OK);
    }
    gq_status status = gq_delivery_commit(&p->delivery);
    return status == GQ_OK ? gq_remote_check(p->remote) : status;
}

/* Counted lanes: what has ended in one of them, if anything has. */
static gq_status count_lane(struct gq_pipeline *p, struct gq_lane *lane, bool *any)
{
    struct gq_counted c;
    gq_status status = gq_counted_take(lane, &c);
    if (status == GQ_ERR_NOT_READY)
        return GQ_OK;
    *any = true;
    if (status != GQ_OK)
        return status;
    struct gq_lane_result r;
    uint64_t left = c.failed;
    for (uint64_t seq = c.first; seq < c.end && left > 0 && status == GQ_OK; seq++)
        if (gq_counted_failed(lane, seq, &r)) {
            status = bury(p, lane, &r);
            left--;
        }
    if (status != GQ_OK || left > 0)
        return status != GQ_OK ? status : gq_counted_distrust(lane);
    __atomic_store_n(&p->messages_out, p->messages_out + c.ok, __ATOMIC_RELAXED);
    __atomic_store_n(&p->bytes_out, p->bytes_out + c.bytes, __ATOMIC_RELAXED);
    gq_counted_release(lane, &c);
    return GQ_OK;
}

static gq_status count_loop(struct gq_pipeline *p)
{
    while (!finished(p)) {
        bool any = false;
        gq_status status = GQ_OK;
        for (uint32_t i = 0; i < gq_queue_lanes(p->queue) && status == GQ_OK; i++)
            status = count_lane(p, p->queue->lane[i], &any);
        if (status != GQ_OK || (!any && gq_link_dead(&p->remote->link)))
            return status != GQ_OK ? status : gq_remote_check(p->remote);
        if (!any)
            gq_queue_wait(p->queue, gq_clock_deadline(50));
    }
    return gq_remote_check(p->remote);
}

void *gq_pump_sink(void *pipeline)
{
    struct gq_pipeline *p = pipeline;
    gq_status status = p->counted ? count_loop(p) : sink_loop(p);
    if (status != GQ_OK) {
        gq_pipeline_fail(p, status);
        gq_pipeline_interrupt(p);
    }
    __atomic_store_n(&p->sink_ended, 1, __ATOMIC_RELEASE);
    return NULL;
}
