#include "pipeline/spare.h"
#include "base/assert.h"
#include "base/clock.h"
#include <string.h>

#define CAPACITY 8u
#define LANE_BYTES_MAX (32u << 20)
#define PATIENCE_MS 30000u /* for a worker that starts: a driver may take seconds */

void gq_spare_init(struct gq_spare *spare, const struct gq_conf *conf, enum gq_backend_kind backend)
{
    *spare = (struct gq_spare){.conf = *conf, .stage = {.name = conf->stages[0].name}, .backend = backend};
    spare->conf.stages = NULL; /* it moves with the struct: set when it is used */
    spare->conf.stage_count = 1;
    spare->conf.retries = 0;
    spare->conf.poll = GQ_POLL_ADAPTIVE;
    spare->conf.capacity = CAPACITY;
    while (spare->conf.capacity > GQ_CAPACITY_MIN && spare->conf.capacity * (uint64_t)conf->slot_bytes > LANE_BYTES_MAX)
        spare->conf.capacity /= 2;
}

void gq_spare_end(struct gq_spare *spare)
{
    if (spare->remote)
        gq_remote_stop(spare->remote, 0);
    gq_queue_destroy(spare->queue);
    gq_remote_destroy(spare->remote);
    spare->remote = NULL;
    spare->queue = NULL;
    spare->lane = NULL;
    spare->runs = false;
}

/* The worker's first code never meets a message: it makes the worker ready to be given another. */
static gq_status start_worker(struct gq_spare *spare, const struct gq_image *image)
{
    struct gq_process none = {.channel = -1};
    spare->conf.stages = &spare->stage;
    gq_status status = gq_remote_create(&spare->conf, spare->backend, 1, NULL, NULL, &none, &spare->remote);
    if (status == GQ_OK)
        status = gq_remote_load(spare->remote, image, spare->stage.name, 1, 1, 1);
    if (status == GQ_OK)
        status = gq_remote_fit(spare->remote);
    if (status == GQ_OK)
        status = gq_queue_create(spare->remote, false, &spare->queue);
    if (status == GQ_OK)
        status = gq_queue_own_lane(spare->queue, &spare->lane);
    if (status == GQ_OK)
        status = gq_remote_run(spare->remote);
    return status == GQ_OK ? gq_remote_pause(spare->remote) : status;
}

/* One that somebody killed a moment ago is not known to be dead, and one that stands still never is: it is asked. */
static bool answers(struct gq_spare *spare)
{
    if (!spare->remote || gq_link_dead(&spare->remote->link))
        return false;
    spare->remote->answer_ms = (uint32_t)spare->conf.swap.budget_ms;
    const gq_status status = gq_remote_pause(spare->remote); /* it is paused: there is nothing but to say so */
    spare->remote->answer_ms = PATIENCE_MS;
    return status == GQ_OK;
}

gq_status gq_spare_warm(struct gq_spare *spare, const struct gq_image *image)
{
    if (answers(spare))
        return GQ_OK;
    gq_spare_end(spare);
    spare->version = 1;
    gq_status status = start_worker(spare, image);
    if (status != GQ_OK) {
        gq_error_prefix(status, "starting the spare worker: ");
        gq_spare_end(spare);
    }
    return status;
}

static gq_status run(struct gq_spare *spare)
{
    gq_status status = spare->runs ? GQ_OK : gq_remote_run(spare->remote);
    spare->runs = status == GQ_OK;
    return status;
}

gq_status gq_spare_load(struct gq_spare *spare, const char *stage_name, const struct gq_image *image,
                        uint64_t budget_ms)
{
    struct gq_swap_times times;
    const struct gq_remote_change change = {.stage_name = stage_name,
                                            .version = spare->version + 1,
                                            .generation = spare->version + 1,
                                            .blocks = 1,
                                            .fresh = true};
    gq_assert(spare->remote);
    spare->stage.name = (char *)(uintptr_t)stage_name;
    spare->remote->answer_ms = (uint32_t)budget_ms;
    gq_status status = gq_remote_swap(spare->remote, image, &change, &times);
    if (status == GQ_OK)
        status = gq_remote_discard(spare->remote, 0, spare->version++);
    if (status == GQ_OK)
        status = run(spare);
    spare->remote->answer_ms = PATIENCE_MS;
    return status;
}

static gq_status keep(const struct gq_lane_result *r, struct gq_golden_result *out)
{
    *out = (struct gq_golden_result){.ending = GQ_GOLDEN_OVERFLOW, .code = gq_meta_code(r->meta)};
    if (gq_meta_status(r->meta) == GQ_RESULT_FAILED)
        out->ending = GQ_GOLDEN_FAILED;
    return gq_meta_status(r->meta) == GQ_RESULT_OK ? gq_golden_result_keep(out, r->data, r->len) : GQ_OK;
}

/* The only message in the lane: a dropped one has no result, but is counted. */
static gq_status take(struct gq_spare *spare, uint64_t deadline_ns, struct gq_golden_result *out)
{
    const uint64_t dropped = spare->lane->dropped;
    struct gq_lane_result r;
    gq_queue_wait_lane(spare->lane, deadline_ns);
    const uint32_t n = gq_lane_take(spare->lane, true, &r, 1);
    gq_status status = gq_remote_check(spare->remote);
    if (n == 1) {
        status = keep(&r, out);
        gq_lane_release(spare->lane, &r.seq, 1);
    } else if (status == GQ_OK && spare->lane->dropped > dropped) {
        *out = (struct gq_golden_result){.ending = GQ_GOLDEN_DROPPED};
    } else if (status == GQ_OK) {
        status = GQ_ERR_TIMEOUT;
    }
    return status;
}

gq_status gq_spare_feed(struct gq_spare *spare, const struct gq_golden_bytes *message, uint64_t budget_ms,
                        struct gq_golden_result *result)
{
    const uint64_t deadline = gq_clock_deadline((uint32_t)budget_ms);
    const uint32_t len = (uint32_t)message->len;
    uint64_t seq;
    gq_assert(message->len <= spare->conf.slot_bytes);
    *result = (struct gq_golden_result){0};
    if (gq_lane_claim(spare->lane, 1, deadline, &seq) == 0)
        return gq_remote_check(spare->remote) == GQ_OK ? GQ_ERR_TIMEOUT : GQ_ERR_DEVICE;
    if (len)
        memcpy(gq_lane_slot(spare->lane, seq), message->data, len);
    gq_lane_publish(spare->lane, &len, 1, 0);
    gq_link_ring_worker(spare->lane->link);
    return take(spare, deadline, result);
}

gq_status gq_spare_rest(struct gq_spare *spare)
{
    if (!spare->remote || !spare->runs)
        return GQ_OK;
    spare->runs = false;
    return gq_remote_pause(spare->remote);
}
