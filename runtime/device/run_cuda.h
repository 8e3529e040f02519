/* run_cuda.h - the team of a trial tells what run of messages it is inside of, for a fault to leave behind. Part of
 * entry_cuda.h, which has the table of edges.
 *
 * Teams of other grids say nothing: what they hold shows in cursors and descriptors (backend/cuda_run.c), and telling
 * it costs more than a message.
 */
#ifndef GQ_DEVICE_RUN_CUDA_H
#define GQ_DEVICE_RUN_CUDA_H

#include <device/find_cuda.h>

static __shared__ uint32_t gq_run_told; /* 1: a run that has not been forgotten */

/* By all threads of the team, before any meets the run. */
static __device__ void gq_tell_run(const gq_grid &g, uint64_t seq, uint32_t count)
{
    if (!g.run)
        return;
    const uint64_t id = gq_slot_id(gq_sight_here().view.lane, seq);
    if (threadIdx.x == 0) {                                                           /* a trial has one team a step */
        gq_store_unit(&g.run[g.step], id, GQ_RUN_DATA(g.stage, count, g.generation)); /* R9 pairs A9 */
        gq_run_told = 1;
    }
    if constexpr (gq_scope::kind == GQ_SCOPE_BLOCK)
        __syncthreads();
    else
        __syncwarp();
}

/* By the team's first warp, where g.run is not NULL, when there is no next run yet: a store of the last one that nobody
 * waited for may still fault. */
static __device__ void gq_forget_run(const gq_grid &g)
{
    if (threadIdx.x == 0 && gq_run_told) {
        gq_store_unit(&g.run[g.step], 0, 0); /* R9 pairs A9 */
        gq_run_told = 0;
    }
}

#endif
