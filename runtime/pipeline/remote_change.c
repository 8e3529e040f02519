/* Changes of the worker's code, and whose turn it is when one worker takes another's place. */
#include "base/assert.h"
#include "pipeline/remote_ask.h"
#include <stdio.h>

static gq_status ask_change(struct gq_remote *remote, enum gq_packet_type type, const struct gq_remote_change *change,
                            const struct gq_image *image, struct gq_swap_times *times)
{
    struct gq_packet reply, packet = {.type = (uint32_t)type};
    packet.stage.stage = change->stage;
    packet.stage.version = change->version;
    packet.stage.generation = change->generation;
    packet.stage.blocks = change->blocks;
    packet.stage.share = change->share;
    packet.stage.fresh = change->fresh;
    snprintf(packet.stage.name, sizeof packet.stage.name, "%s", change->stage_name);
    gq_status status = gq_remote_ask(remote, &packet, image ? &image->fd : NULL, image ? 1 : 0, &reply);
    *times = status == GQ_OK ? reply.swap : (struct gq_swap_times){0};
    /* The worker's word is not trusted to be a step; one that ended in between was not asked to do more than load. */
    times->step = status == GQ_OK ? GQ_STEP_DONE : GQ_STEP_LOAD;
    if (status != GQ_OK && reply.type == GQ_PACKET_REPLY && reply.step >= GQ_STEP_INSPECT && reply.step < GQ_STEP_DONE)
        times->step = (gq_swap_step)reply.step;
    return status;
}

static void want_turn(struct gq_remote *remote)
{
    pthread_mutex_lock(&remote->lock);
    gq_assert(remote->turn == GQ_TURN_NONE); /* one change at a time */
    remote->turn = GQ_TURN_WANTED;
    remote->changer = pthread_self();
    remote->turn_failed = false;
    pthread_mutex_unlock(&remote->lock);
}

static bool has_failed(struct gq_remote *remote)
{
    pthread_mutex_lock(&remote->lock);
    const bool failed = remote->turn_failed;
    pthread_mutex_unlock(&remote->lock);
    return failed;
}

/* Returns whether a worker ended over it. */
static bool end_turn(struct gq_remote *remote)
{
    pthread_mutex_lock(&remote->lock);
    const bool failed = remote->turn_failed;
    remote->turn = GQ_TURN_NONE;
    pthread_cond_broadcast(&remote->renewed);
    pthread_mutex_unlock(&remote->lock);
    return failed;
}

void gq_remote_give_turn(struct gq_remote *remote)
{
    pthread_mutex_lock(&remote->lock);
    if (remote->turn == GQ_TURN_WANTED) {
        remote->turn = GQ_TURN_GIVEN;
        pthread_cond_broadcast(&remote->renewed);
    }
    while (remote->turn == GQ_TURN_GIVEN)
        pthread_cond_wait(&remote->renewed, &remote->lock);
    pthread_mutex_unlock(&remote->lock);
}

typedef gq_status gq_attempt(struct gq_remote *remote, const struct gq_image *image,
                             const struct gq_remote_change *change, struct gq_swap_times *times);

bool gq_remote_is_changing(struct gq_remote *remote)
{
    pthread_mutex_lock(&remote->lock);
    const bool is = remote->turn != GQ_TURN_NONE;
    pthread_mutex_unlock(&remote->lock);
    return is;
}

bool gq_remote_change_waits(struct gq_remote *remote)
{
    pthread_mutex_lock(&remote->lock);
    const bool waits = remote->turn == GQ_TURN_WANTED && remote->changer_waits;
    pthread_mutex_unlock(&remote->lock);
    return waits;
}

/* Code that ends its workers is what people want to change most. A worker that ended over a message in place of an
 * answer says nothing about the change, so the next one is asked before it serves: what that ends of is the change, and
 * no other is asked. But not where memory was to be taken over, of which the worker may have ended: the next one has
 * none. */
static gq_status ask_twice(struct gq_remote *remote, gq_attempt *attempt, const struct gq_image *image,
                           const struct gq_remote_change *change, struct gq_swap_times *times)
{
    want_turn(remote);
    uint32_t deaths = gq_remote_deaths(remote);
    gq_status status = attempt(remote, image, change, times);
    if (status == GQ_ERR_DEVICE && !change->migrates && !has_failed(remote) && gq_remote_was_replaced(remote, deaths)) {
        deaths = gq_remote_deaths(remote);
        status = attempt(remote, image, change, times);
    }
    remote->change_deaths = deaths;
    return end_turn(remote) ? gq_remote_explain_death(remote, status, deaths) : status;
}

static gq_status swap_once(struct gq_remote *remote, const struct gq_image *image,
                           const struct gq_remote_change *change, struct gq_swap_times *times)
{
    return ask_change(remote, GQ_PACKET_SWAP, change, image, times);
}

gq_status gq_remote_swap(struct gq_remote *remote, const struct gq_image *image, const struct gq_remote_change *change,
                         struct gq_swap_times *times)
{
    return ask_twice(remote, swap_once, image, change, times);
}

gq_status gq_remote_canary(struct gq_remote *remote, const struct gq_image *image,
                           const struct gq_remote_change *change, struct gq_swap_times *times)
{
    return ask_change(remote, GQ_PACKET_CANARY, change, image, times);
}

/* A worker that took over has the live versions only. */
static gq_status use_once(struct gq_remote *remote, const struct gq_image *image, const struct gq_remote_change *change,
                          struct gq_swap_times *times)
{
    gq_status status = ask_change(remote, GQ_PACKET_USE, change, NULL, times);
    return status == GQ_ERR_NOT_FOUND ? swap_once(remote, image, change, times) : status;
}

gq_status gq_remote_use(struct gq_remote *remote, const struct gq_image *image, const struct gq_remote_change *change,
                        struct gq_swap_times *times)
{
    return ask_twice(remote, use_once, image, change, times);
}

gq_status gq_remote_discard(struct gq_remote *remote, uint32_t stage, uint32_t version)
{
    struct gq_packet reply, packet = {.type = GQ_PACKET_DISCARD};
    packet.stage.stage = stage;
    packet.stage.version = version;
    const uint32_t deaths = gq_remote_deaths(remote);
    gq_status status = gq_remote_ask(remote, &packet, NULL, 0, &reply);
    const bool gone = status == GQ_ERR_NOT_FOUND || (status == GQ_ERR_DEVICE && gq_remote_was_replaced(remote, deaths));
    return gone ? GQ_OK : status;
}

void gq_remote_replace(struct gq_remote *remote, const char *why)
{
    const uint32_t deaths = gq_remote_deaths(remote);
    gq_remote_await_worker(remote); /* one that is yet to serve is not killed */
    gq_remote_kill(remote, why);
    (void)gq_remote_explain_death(remote, GQ_OK, deaths);
    (void)gq_remote_was_replaced(remote, deaths);
}
