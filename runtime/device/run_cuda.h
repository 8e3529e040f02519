/* run_cuda.h - each team tells what run of messages it is inside of, for whoever looks for one that never ends. Part of
 * entry_cuda.h, which has the table of edges.
 */
#ifndef GQ_DEVICE_RUN_CUDA_H
#define GQ_DEVICE_RUN_CUDA_H

#include <device/find_cuda.h>

#define GQ_RUN_NONE 0xffffffffu

/* A team's place among the runs, from its first run to its end. */
struct gq_run_place {
    uint32_t at;     /* GQ_RUN_NONE: it has none yet */
    uint32_t inside; /* 1: what it says there is of the last run */
};
static __shared__ gq_run_place gq_run_places[32];

static __device__ __forceinline__ gq_run_place &gq_run_here()
{
    return gq_run_places[gq_scope::kind == GQ_SCOPE_BLOCK ? 0 : threadIdx.x / 32];
}

/* By one thread. There are more places than teams that a device can hold, so one is free. */
static __device__ uint32_t gq_take_run(const gq_grid &g)
{
    uint32_t at = (g.step * gridDim.x + blockIdx.x) * (blockDim.x / 32) + threadIdx.x / 32; /* dense, mostly free */
    while (atomicCAS(&g.shared->run_taken[at %= GQ_RUNS_MAX], 0, 1) != 0)
        at++;
    __threadfence(); /* A9 pairs R9 */
    return at;
}

/* By one thread, before the plugin meets the run. */
static __device__ __forceinline__ void gq_tell_run(const gq_grid &g, uint64_t seq, uint32_t count)
{
    gq_run_place &place = gq_run_here();
    if (place.at == GQ_RUN_NONE)
        place.at = gq_take_run(g);
    place.inside = 1;
    const uint64_t id = gq_slot_id(gq_sight_here().view.lane, seq);
    gq_store_unit(&g.run[place.at], id, GQ_RUN_DATA(g.stage, count, g.generation)); /* R10 pairs A10 */
}

/* By one thread, when there is no next run yet. */
static __device__ __forceinline__ void gq_forget_run(const gq_grid &g)
{
    gq_run_place &place = gq_run_here();
    if (place.inside)
        gq_store_unit(&g.run[place.at], 0, 0); /* R10 pairs A10 */
    place.inside = 0;
}

/* By one thread, as its team leaves: whoever takes the place writes to it after this. */
static __device__ __forceinline__ void gq_leave_run(const gq_grid &g)
{
    gq_forget_run(g);
    if (gq_run_here().at != GQ_RUN_NONE)
        gq_dev_release_u32(&g.shared->run_taken[gq_run_here().at], 0); /* R9 pairs A9 */
}

#endif
