/* entry_lane.h - an end of kernel.cu for compiling only: one kernel that takes a message out of a lane, serves it with
 * the plugin's scope, and puts the result back. It touches every part of the template that a device entry relies on. */
#include <device/slot.h>

__device__ static uint64_t state_memory[(gq_state_declared::bytes + 15) / 8 + 1];

static __device__ void *gq_entry_state(void) { return state_memory; }

__device__ void gq_sync(void)
{
    if constexpr (gq_scope::kind == GQ_SCOPE_WARP)
        __syncwarp();
    if constexpr (gq_scope::kind == GQ_SCOPE_BLOCK)
        __syncthreads();
}

extern "C" __global__ void serve(gq_lane_view lane, uint64_t first, uint32_t retries)
{
    __shared__ uint32_t lens[1024 / gq_scope::threads];
    const uint32_t group = threadIdx.x / gq_scope::threads;
    const uint64_t seq = first + group;
    uint32_t in_len;
    if (!gq_slot_acquire(&lane, seq, &in_len))
        return;
    const gq_message message = {gq_slot_in(&lane, seq), in_len, gq_slot_id(lane.lane, seq), gq_slot_out(&lane, seq),
                                lane.slot_bytes};
    const gq_outcome outcome = gq_serve(lane.slot_bytes, retries, [&] {
        if (gq_rank() == 0)
            lens[group] = 0;
        gq_sync();
        gq_call(message, &lens[group]);
        gq_sync();
        return lens[group];
    });
    if (gq_rank() == 0)
        gq_slot_finish(&lane, seq, outcome.len, gq_meta(1, 0, outcome.status, outcome.code));
}
