/* entry_cuda.h - the CUDA end of kernel.cu: one persistent grid that serves lanes until the host says stop.
 *
 * Threads of a team serve a message together: one thread, a warp, or a block, as the plugin's scope says. A warp (a
 * block, in block scope) looks at the descriptors behind a lane's `next`, claims a run of them by compare-and-swap,
 * serves them and publishes each. A descriptor that was seen valid stays so until its message is finished, so a claim
 * that succeeds needs no second look.
 */
#ifndef GQ_DEVICE_ENTRY_CUDA_H
#define GQ_DEVICE_ENTRY_CUDA_H

#include <device/grid.h>

static __device__ void *gq_grid_state; /* the same for every thread of the grid */

static __device__ void *gq_entry_state(void) { return gq_grid_state; }

__device__ void gq_sync(const char *, int)
{
    if constexpr (gq_scope::kind == GQ_SCOPE_WARP)
        __syncwarp();
    else if constexpr (gq_scope::kind == GQ_SCOPE_BLOCK)
        __syncthreads();
}

static __device__ __forceinline__ uint64_t gq_globaltimer()
{
    uint64_t t;
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(t));
    return t;
}

static __device__ bool gq_grid_over(const gq_grid &g)
{
    if (gq_load_acquire_u32(&g.host->stop))
        return true;
    return g.deadline_ns && gq_globaltimer() > g.deadline_ns;
}

/* --- claiming
 * --------------------------------------------------------------------------------------------------------- */

struct gq_claim {
    gq_grid_lane *lane;
    uint64_t first;
    uint32_t count; /* 0: nothing was there, or another warp was faster */
};

/* By a converged warp: a run of at most `want` messages. Thread t keeps the length of message first + t in *len. */
static __device__ gq_claim gq_claim_run(gq_grid_lane *lane, uint32_t want, uint32_t *len)
{
    const uint32_t t = threadIdx.x % 32;
    const uint64_t next = __shfl_sync(0xffffffffu, gq_load_relaxed_u64(&lane->next), 0);
    bool there;
    if (lane->generated) {
        there = next + t < gq_slot_limit(&lane->view);
        *len = 0;
    } else {
        there = gq_slot_acquire(&lane->view, next + t, len);
    }
    const uint32_t valid = __ballot_sync(0xffffffffu, there && t < want);
    const uint32_t count = __popc(valid & ~(valid + 1)); /* ones from bit 0 upwards */
    gq_claim claim = {lane, next, 0};
    if (count == 0)
        return claim;
    unsigned long long won = 0;
    if (t == 0)
        won = atomicCAS((unsigned long long *)&lane->next, (unsigned long long)next,
                        (unsigned long long)(next + count)) == next;
    claim.count = __shfl_sync(0xffffffffu, won, 0) ? count : 0;
    __syncwarp(); /* each thread acquired one descriptor; in warp scope all of them read every payload */
    return claim;
}

/* --- serving
 * ---------------------------------------------------------------------------------------------------------- */

static __device__ gq_message gq_message_of(const gq_grid &g, const gq_claim &c, uint32_t i, uint32_t len)
{
    const gq_lane_view *v = &c.lane->view;
    const uint64_t seq = c.first + i;
    const uint64_t id = GQ_IMAGE_KIND ? c.lane->first_index + seq : gq_slot_id(v->lane, seq);
    return gq_message{gq_slot_in(v, seq), len, id, gq_slot_out(v, seq), g.out_cap};
}

static __device__ void gq_grid_finish(const gq_grid &g, const gq_claim &c, uint32_t i, const gq_outcome &o)
{
    gq_slot_finish(&c.lane->view, c.first + i, o.len, gq_meta(g.generation, g.stage, o.status, o.code));
}

/* Thread scope: thread t of the warp serves message t of the run. */
static __device__ void gq_serve_threads(const gq_grid &g, const gq_claim &c, uint32_t len)
{
    const uint32_t t = threadIdx.x % 32;
    if (t < c.count) {
        const gq_message m = gq_message_of(g, c, t, len);
        const gq_outcome o = gq_serve(m.cap, g.retries, [&m] {
            uint32_t out_len = 0;
            gq_call(m, &out_len);
            return out_len;
        });
        gq_grid_finish(g, c, t, o);
    }
    __syncwarp();
}

/* Warp scope: the warp serves the messages of its run one after another. */
static __device__ void gq_serve_warp(const gq_grid &g, const gq_claim &c, uint32_t len, uint32_t *out_len)
{
    for (uint32_t i = 0; i < c.count; i++) {
        const gq_message m = gq_message_of(g, c, i, __shfl_sync(0xffffffffu, len, i));
        const gq_outcome o = gq_serve(m.cap, g.retries, [&m, out_len] {
            if (threadIdx.x % 32 == 0)
                *out_len = 0;
            __syncwarp();
            gq_call(m, out_len);
            __syncwarp(); /* every thread's bytes, and the length, before one thread publishes */
            const uint32_t raw = *out_len;
            __syncwarp();
            return raw;
        });
        if (threadIdx.x % 32 == 0)
            gq_grid_finish(g, c, i, o);
        __syncwarp();
    }
}

/* Block scope: all threads of the block, one message. */
static __device__ void gq_serve_block(const gq_grid &g, const gq_claim &c, uint32_t len, uint32_t *out_len)
{
    const gq_message m = gq_message_of(g, c, 0, len);
    const gq_outcome o = gq_serve(m.cap, g.retries, [&m, out_len] {
        if (threadIdx.x == 0)
            *out_len = 0;
        __syncthreads();
        gq_call(m, out_len);
        __syncthreads();
        const uint32_t raw = *out_len;
        __syncthreads();
        return raw;
    });
    if (threadIdx.x == 0)
        gq_grid_finish(g, c, 0, o);
    __syncthreads();
}

/* --- the loop
 * --------------------------------------------------------------------------------------------------------- */

/* Idle warps ask less and less often, down to every few microseconds: polling crosses the bus. */
static __device__ __forceinline__ uint32_t gq_back_off(uint32_t idle)
{
    __nanosleep(idle < 8 ? 0 : idle < 64 ? 200 : 2000);
    return idle + 1;
}

static __device__ void gq_loop_warps(const gq_grid &g, uint32_t *out_len)
{
    const uint32_t warp = (blockIdx.x * blockDim.x + threadIdx.x) / 32;
    const uint32_t want = gq_scope::kind == GQ_SCOPE_THREAD ? 32 : 4;
    for (uint32_t turn = warp, idle = 0;; turn++) {
        uint32_t len;
        const gq_claim c = gq_claim_run(&g.lane[turn % g.lane_count], want, &len);
        if (c.count == 0) {
            if (idle % 32 == 31 && __any_sync(0xffffffffu, gq_grid_over(g)))
                return;
            idle = gq_back_off(idle);
            continue;
        }
        idle = 0;
        if constexpr (gq_scope::kind == GQ_SCOPE_THREAD)
            gq_serve_threads(g, c, len);
        else
            gq_serve_warp(g, c, len, out_len);
    }
}

static __device__ void gq_loop_block(const gq_grid &g, uint32_t *out_len)
{
    __shared__ gq_claim claim;
    __shared__ uint32_t claim_len;
    __shared__ bool over;
    for (uint32_t turn = blockIdx.x, idle = 0;; turn++) {
        if (threadIdx.x < 32) {
            uint32_t len;
            const gq_claim c = gq_claim_run(&g.lane[turn % g.lane_count], 1, &len);
            if (threadIdx.x == 0) {
                claim = c;
                claim_len = len;
                over = c.count == 0 && idle % 32 == 31 && gq_grid_over(g);
            }
        }
        __syncthreads();
        if (over)
            return;
        if (claim.count) {
            gq_serve_block(g, claim, claim_len, out_len);
            idle = 0;
        } else {
            idle = gq_back_off(idle);
        }
        __syncthreads();
    }
}

/* Any number of blocks; blockDim.x is a multiple of 32, or the plugin's thread count in block scope. */
extern "C" __global__ void gq_grid_main(const gq_grid g)
{
    __shared__ uint32_t out_len[32]; /* one a warp */
    if (threadIdx.x == 0)
        gq_grid_state = g.state;
    __syncthreads();
    if constexpr (gq_scope::kind == GQ_SCOPE_BLOCK)
        gq_loop_block(g, &out_len[0]);
    else
        gq_loop_warps(g, &out_len[threadIdx.x / 32]);
}

#endif
