#include "pipeline/reserve.h"
#include "base/assert.h"
#include "base/channel.h"
#include "base/clock.h"
#include "pipeline/remote.h"
#include "pipeline/reply.h"
#include "ring/packets.h"
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define READY_MS 10000u /* a start of its own would hardly be faster */
#define FEW 2u          /* when a message is given up: the next epoch's, and one more */

void gq_reserve_init(struct gq_reserve *reserve, const struct gq_conf *conf, enum gq_backend_kind backend)
{
    *reserve = (struct gq_reserve){.wanted = backend == GQ_BACKEND_CUDA && conf->spare, .device = conf->device};
}

void gq_reserve_grow(struct gq_reserve *reserve) { reserve->wanted = reserve->wanted ? GQ_RESERVE_MOST : 0; }

static void start_up_to(struct gq_reserve *reserve, uint32_t wanted)
{
    struct gq_packet packet = {.type = GQ_PACKET_WARM};
    packet.setup.device = reserve->device;
    while (reserve->count < wanted) {
        struct gq_reserved *new = &reserve->waits[reserve->count];
        *new = (struct gq_reserved){.process = {.channel = -1}, .deadline_ns = gq_clock_deadline(READY_MS)};
        if (gq_remote_start_process("reserve", &packet, &new->process) != GQ_OK) {
            gq_process_end(&new->process, 0);
            return;
        }
        reserve->count++;
    }
}

void gq_reserve_start(struct gq_reserve *reserve) { start_up_to(reserve, reserve->wanted); }

void gq_reserve_start_late(struct gq_reserve *reserve)
{
    start_up_to(reserve, reserve->wanted < FEW ? reserve->wanted : FEW);
}

/* Its place is the next one's. */
static struct gq_process remove_at(struct gq_reserve *reserve, uint32_t at)
{
    gq_assert(at < reserve->count);
    const struct gq_process removed = reserve->waits[at].process;
    reserve->count--;
    memmove(&reserve->waits[at], &reserve->waits[at + 1], (reserve->count - at) * sizeof reserve->waits[0]);
    return removed;
}

/* Nobody waits for its end: a device may hold a process for seconds. */
static void end_at(struct gq_reserve *reserve, uint32_t at)
{
    const struct gq_process removed = remove_at(reserve, at);
    close(removed.channel);
    gq_dying_take(&reserve->dying, removed.pid);
}

/* False: it has ended, or does not come, and is gone. */
static bool await_one(struct gq_reserve *reserve, uint32_t at)
{
    struct gq_packet reply;
    bool astray;
    struct gq_reserved *one = &reserve->waits[at];
    const uint32_t left_ms = (uint32_t)gq_clock_poll_ms(one->deadline_ns);
    if (!one->ready)
        one->ready = gq_reply_receive(one->process.channel, GQ_PACKET_WARM, left_ms, &reply, &astray) == GQ_OK;
    if (one->ready && !gq_channel_is_cut(one->process.channel))
        return true;
    end_at(reserve, at);
    return false;
}

void gq_reserve_await(struct gq_reserve *reserve)
{
    for (uint32_t at = 0; at < reserve->count;)
        at += await_one(reserve, at);
}

/* The oldest that is ready, or has ended; `count`: there is none. */
static uint32_t first_with_word(const struct gq_reserve *reserve)
{
    uint32_t at = 0;
    while (at < reserve->count && !reserve->waits[at].ready && !gq_channel_has_word(reserve->waits[at].process.channel))
        at++;
    return at;
}

/* Until one of them has a word, or the first is late. */
static void await_any(const struct gq_reserve *reserve)
{
    struct pollfd fds[GQ_RESERVE_MOST];
    for (uint32_t i = 0; i < reserve->count; i++)
        fds[i] = (struct pollfd){.fd = reserve->waits[i].process.channel, .events = POLLIN};
    (void)poll(fds, reserve->count, gq_clock_poll_ms(reserve->waits[0].deadline_ns));
}

/* Not the oldest in any case: one that meets a fault as it takes the device may be held up for seconds. One that is
 * late is ended when there is nobody else to wait for. */
struct gq_process gq_reserve_take(struct gq_reserve *reserve)
{
    while (reserve->count > 0) {
        const uint32_t at = first_with_word(reserve);
        if (at < reserve->count) {
            if (await_one(reserve, at))
                return remove_at(reserve, at);
        } else if (gq_clock_past(reserve->waits[0].deadline_ns))
            end_at(reserve, 0);
        else
            await_any(reserve);
    }
    return (struct gq_process){.channel = -1};
}

void gq_reserve_end(struct gq_reserve *reserve)
{
    for (uint32_t i = 0; i < reserve->count; i++)
        kill(reserve->waits[i].process.pid, SIGKILL); /* a device lets go of all of them in the time of one */
    while (reserve->count > 0) {
        struct gq_process process = remove_at(reserve, reserve->count - 1);
        gq_process_end(&process, 0);
    }
    gq_dying_finish(&reserve->dying);
}

void gq_reserve_forget(const struct gq_reserve *reserve)
{
    for (uint32_t i = 0; i < reserve->count; i++)
        close(reserve->waits[i].process.channel);
}
