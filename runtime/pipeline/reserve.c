#include "pipeline/reserve.h"
#include "pipeline/remote.h"
#include "pipeline/reply.h"
#include "ring/packets.h"

#define READY_MS 10000u /* a start of its own would hardly be faster */

static const struct gq_process none = {.channel = -1};

void gq_reserve_init(struct gq_reserve *reserve, const struct gq_conf *conf, enum gq_backend_kind backend)
{
    *reserve = (struct gq_reserve){
        .wanted = backend == GQ_BACKEND_CUDA && conf->spare, .device = conf->device, .process = none};
}

void gq_reserve_start(struct gq_reserve *reserve)
{
    struct gq_packet packet = {.type = GQ_PACKET_WARM};
    packet.setup.device = reserve->device;
    if (!reserve->wanted || reserve->process.pid > 0)
        return;
    if (gq_remote_start_process("reserve", &packet, &reserve->process) != GQ_OK)
        gq_reserve_end(reserve);
}

void gq_reserve_await(struct gq_reserve *reserve)
{
    struct gq_packet reply;
    bool astray;
    if (reserve->process.pid == 0 || reserve->ready)
        return;
    reserve->ready = gq_reply_receive(reserve->process.channel, GQ_PACKET_WARM, READY_MS, &reply, &astray) == GQ_OK;
    if (!reserve->ready)
        gq_reserve_end(reserve);
}

struct gq_process gq_reserve_take(struct gq_reserve *reserve)
{
    gq_reserve_await(reserve);
    const struct gq_process ready = reserve->process;
    reserve->process = none;
    reserve->ready = false;
    return ready;
}

void gq_reserve_end(struct gq_reserve *reserve)
{
    gq_process_end(&reserve->process, 0);
    reserve->process = none;
    reserve->ready = false;
}
