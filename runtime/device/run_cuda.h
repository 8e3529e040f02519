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

/* By the team's first warp. A call, for it is rare, and its code had better not stand among what is not; the name is
 * the same in every build. */
extern "C" __device__ __noinline__ void gq_put_run(struct gq_unit *at, uint64_t id, uint64_t data)
{
    if (threadIdx.x == 0) {          /* a trial has one team a step */
        gq_store_unit(at, id, data); /* R9 pairs A9 */
        gq_run_told = id != 0;
    }
    __syncwarp();
}

/* Before any thread of the team meets a message of the run. */
static __device__ __forceinline__ void gq_tell_run(const gq_grid &g, uint64_t seq, uint32_t count)
{
    gq_put_run(&g.run[g.step], gq_slot_id(gq_sight_here().view.lane, seq), GQ_RUN_DATA(g.stage, count, g.generation));
}

/* When there is no next run yet: a store of the last one that nobody waited for may still fault. */
static __device__ __forceinline__ void gq_forget_run(const gq_grid &g)
{
    if (gq_run_told)
        gq_put_run(&g.run[g.step], 0, 0);
}

#endif
