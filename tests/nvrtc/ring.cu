// Every function of the ring protocol, called by a kernel, so that the compiler makes code of all of it.
#include "device/slot.h"

__device__ static uint32_t work(const gq_lane_view *v, uint64_t seq, uint32_t len)
{
    const uint8_t *in = gq_slot_in(v, seq);
    uint8_t *out = gq_slot_out(v, seq);
    for (uint32_t i = 0; i < len; i++)
        out[i] = in[i];
    return len;
}

extern "C" __global__ void ring_worker(gq_lane_view v, uint64_t seq)
{
    uint32_t len;
    if (seq >= gq_slot_limit(&v) || !gq_slot_acquire(&v, seq, &len))
        return;
    uint32_t code = gq_id_lane(gq_slot_id(v.lane, seq)) + (uint32_t)gq_id_seq(gq_slot_id(v.lane, seq));
    gq_slot_finish(&v, seq, work(&v, seq, len), gq_meta(1, 2, GQ_RESULT_OK, code));
}

extern "C" __global__ void ring_host(gq_lane_view v, uint64_t seq, uint64_t *sum)
{
    uint32_t len;
    uint64_t meta;
    gq_slot_submit(&v, seq, gq_slot_stride(v.slot_bytes));
    gq_slot_grant(&v, seq + 1);
    if (gq_slot_ready(&v, seq, &len, &meta))
        *sum = len + gq_meta_generation(meta) + gq_meta_stage(meta) + gq_meta_status(meta) + gq_meta_code(meta);
}
