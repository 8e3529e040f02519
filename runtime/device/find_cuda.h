/* find_cuda.h - how the warps of a grid find messages: one scout a lane polls across the bus, all others claim in
 * device memory. Part of entry_cuda.h, which has the table of edges.
 */
#ifndef GQ_DEVICE_FIND_CUDA_H
#define GQ_DEVICE_FIND_CUDA_H

#include <device/grid.h>

#define GQ_ALL 0xffffffffu
#define GQ_LOOKS 16u     /* words a scout's thread reads at a time when messages come fast */
#define GQ_PATIENCE 64u  /* looks in vain before another warp may be the scout */
#define GQ_ROUNDS 65536u /* looks of one scout */
#define GQ_CHUNK 128u    /* messages that one claim takes at most */

/* --- words of device memory, at device scope ---------------------------------------------------------------------- */

static __device__ __forceinline__ uint64_t gq_dev_acquire_u64(const uint64_t *p)
{
    uint64_t v;
    asm volatile("ld.acquire.gpu.global.u64 %0, [%1];" : "=l"(v) : "l"(p) : "memory");
    return v;
}
static __device__ __forceinline__ void gq_dev_release_u64(uint64_t *p, uint64_t v)
{
    asm volatile("st.release.gpu.global.u64 [%0], %1;" ::"l"(p), "l"(v) : "memory");
}
static __device__ __forceinline__ uint32_t gq_dev_relaxed_u32(const uint32_t *p)
{
    uint32_t v;
    asm volatile("ld.relaxed.gpu.global.u32 %0, [%1];" : "=r"(v) : "l"(p) : "memory");
    return v;
}
static __device__ __forceinline__ uint64_t gq_dev_relaxed_u64(const uint64_t *p)
{
    uint64_t v;
    asm volatile("ld.relaxed.gpu.global.u64 %0, [%1];" : "=l"(v) : "l"(p) : "memory");
    return v;
}
static __device__ __forceinline__ void gq_dev_store_u32(uint32_t *p, uint32_t v)
{
    asm volatile("st.relaxed.gpu.global.u32 [%0], %1;" ::"l"(p), "r"(v) : "memory");
}
static __device__ __forceinline__ void gq_dev_release_u32(uint32_t *p, uint32_t v)
{
    asm volatile("st.release.gpu.global.u32 [%0], %1;" ::"l"(p), "r"(v) : "memory");
}
static __device__ __forceinline__ void gq_dev_release_pair(uint64_t *p, uint64_t first, uint64_t second)
{
    asm volatile("{ .reg .b128 pair; mov.b128 pair, {%1, %2}; st.release.gpu.global.b128 [%0], pair; }" ::"l"(p),
                 "l"(first), "l"(second)
                 : "memory");
}

static __device__ __forceinline__ uint64_t gq_globaltimer()
{
    uint64_t t;
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(t));
    return t;
}

/* --- finding messages --------------------------------------------------------------------------------------------- */

static __device__ __forceinline__ uint32_t gq_lane_of_warp() { return threadIdx.x % 32; }

/* Where the words of this step are: the host's descriptors, or the states that the step before left. */
struct gq_words {
    const uint8_t *base;
    uint32_t apart; /* bytes */
};

static __device__ __forceinline__ gq_words gq_words_of(const gq_grid &g, const gq_grid_lane *l)
{
    const gq_out_desc *hop = l->hop + (uint64_t)(g.step - 1) * (l->view.mask + 1);
    return g.step == 0 ? gq_words{(const uint8_t *)l->view.in_desc, 8} : gq_words{(const uint8_t *)&hop->state, 16};
}

/* Ones of `mask` from bit 0 upwards. */
static __device__ __forceinline__ uint32_t gq_prefix(uint32_t mask) { return mask == GQ_ALL ? 32 : __ffs(~mask) - 1; }

/* By a converged warp that holds the scout's lock: how many messages stand ready from `from` on. Reads are relaxed, so
 * that all of them cross the bus at once; one fence behind them makes them acquire. Thread t keeps the word of message
 * from + t. */
template <uint32_t Looks>
static __device__ uint32_t gq_look(const gq_grid &g, const gq_grid_lane *l, uint64_t from, uint64_t (&word)[GQ_LOOKS])
{
    const gq_words at = gq_words_of(g, l);
    const uint64_t seq = from + gq_lane_of_warp();
    /* No branch between the loads: one that had to be decided first would wait for the load before it. */
#pragma unroll
    for (uint32_t k = 0; k < Looks; k++)
        word[k] = gq_load_relaxed_u64((const uint64_t *)(at.base + gq_slot_index(&l->view, seq + k * 32) *
                                                                       at.apart)); /* A1 pairs R1, A5 pairs R5 */
    uint32_t found = 0;
    bool more = true;
#pragma unroll
    for (uint32_t k = 0; k < Looks; k++) {
        const bool there = (uint32_t)(word[k] >> 32) == gq_slot_stamp(seq + k * 32);
        const uint32_t run = gq_prefix(__ballot_sync(GQ_ALL, there));
        found += more ? run : 0;
        more = more && run == 32;
    }
    if (found)
        asm volatile("fence.acq_rel.sys;" ::: "memory");
    return found;
}

/* The host's words where the warps that claim these messages find them: lengths, without crossing the bus again. */
static __device__ void gq_keep_words(gq_grid_lane *l, uint64_t from, uint32_t found, const uint64_t (&word)[GQ_LOOKS])
{
#pragma unroll
    for (uint32_t k = 0; k < GQ_LOOKS; k++)
        if (k * 32 + gq_lane_of_warp() < found)
            l->desc[gq_slot_index(&l->view, from + k * 32 + gq_lane_of_warp())] = word[k];
}

/* Host says stop, or the limit is over: all grids are told. By the scout, whose poll crosses the bus anyway. */
static __device__ void gq_watch(const gq_grid &g, uint32_t stop)
{
    if (stop || (g.limit_ns && gq_globaltimer() > gq_dev_relaxed_u64(&g.shared->end_ns)))
        gq_dev_store_u32(&g.shared->over, 1);
}

struct gq_claim {
    gq_grid_lane *lane;
    uint64_t first;
    uint32_t count; /* 0: nothing was there, or another warp was faster */
    bool known;     /* thread t has the word of message first + t */
    uint64_t word;
};

static __device__ __forceinline__ uint32_t gq_bounded(const gq_grid_lane *l, uint64_t first, uint64_t count,
                                                      uint32_t want)
{
    const uint64_t to_wrap = l->view.mask + 1 - gq_slot_index(&l->view, first);
    count = count < want ? count : want;
    return (uint32_t)(count < to_wrap ? count : to_wrap);
}

/* One look. Messages of a source plugin are there by number; all others by their words. */
static __device__ uint32_t gq_look_once(const gq_grid &g, gq_grid_lane *l, uint64_t from, bool wide,
                                        uint64_t (&word)[GQ_LOOKS])
{
    const uint32_t stop = gq_lane_of_warp() == 0 ? gq_load_relaxed_u32(&g.host->stop) : 0;
    uint32_t found;
    if (g.step == 0 && l->generated) {
        const uint64_t limit = gq_slot_limit(&l->view); /* A3 pairs R3 */
        found = limit > from ? (uint32_t)min((unsigned long long)(limit - from), 1ull << 30) : 0;
    } else {
        found = wide ? gq_look<GQ_LOOKS>(g, l, from, word) : gq_look<1>(g, l, from, word);
    }
    if (gq_lane_of_warp() == 0)
        gq_watch(g, stop);
    return found;
}

/* A warp that is the scout of a lane, and what it alone knows. */
struct gq_watch_state {
    gq_grid_lane *lane; /* NULL: this warp is nobody's scout */
    uint64_t from;      /* first message not looked at */
    bool clear;         /* it claimed all below `from` itself: `next` and `ready` lag behind until they are written */
    bool wide;          /* messages come by many */
    bool slow;          /* its last run took long: others must not wait for the next one */
    uint32_t empty, rounds;
};

/* By a converged warp: becomes the lane's scout if it has none. */
static __device__ bool gq_take_watch(const gq_grid &g, gq_grid_lane *l, gq_watch_state *w)
{
    gq_grid_cursor *c = &l->cursor[g.step];
    uint32_t locked = 0;
    if (gq_lane_of_warp() == 0 && gq_dev_relaxed_u32(&c->scout) == 0)
        locked = atomicCAS(&c->scout, 0, 1) == 0;
    if (!__shfl_sync(GQ_ALL, locked, 0))
        return false;
    __threadfence();
    w->lane = l;
    w->from = gq_dev_relaxed_u64(&c->ready);
    w->clear = w->wide = false;
    w->empty = w->rounds = 0;
    return true;
}

/* Everything below `ready` may be claimed by any warp. What the scout claimed itself stays its own. */
static __device__ void gq_publish(const gq_grid &g, gq_watch_state *w, uint64_t ready)
{
    gq_grid_cursor *c = &w->lane->cursor[g.step];
    __syncwarp(); /* every thread's words before one thread publishes them */
    if (gq_lane_of_warp() == 0) {
        if (w->clear)
            gq_store_relaxed_u64(&c->next, w->from); /* before R4: who sees the new `ready` sees it */
        gq_dev_release_u64(&c->ready, ready);        /* R4 pairs A4 */
    }
    w->clear = false;
    w->from = ready;
}

static __device__ void gq_leave_watch(const gq_grid &g, gq_watch_state *w)
{
    gq_publish(g, w, w->from);
    if (gq_lane_of_warp() == 0)
        gq_dev_release_u32(&w->lane->cursor[g.step].scout, 0);
    w->lane = nullptr;
}

/* By the scout: one look. A few messages it claims itself, without a word to anybody: they save their way through
 * device memory. Many it leaves to the warps that claim, and goes on looking. */
static __device__ gq_claim gq_keep_watch(const gq_grid &g, gq_watch_state *w, uint32_t want)
{
    const bool words = g.step == 0 && !w->lane->generated;
    gq_claim claim = {w->lane, w->from, 0, words, 0};
    uint64_t word[GQ_LOOKS];
    const uint32_t found = gq_look_once(g, w->lane, w->from, w->wide, word);
    w->empty = found ? 0 : w->empty + 1;
    w->wide = found >= 32;
    if (w->empty > GQ_PATIENCE || ++w->rounds > GQ_ROUNDS) {
        gq_leave_watch(g, w);
        return claim;
    }
    if (found == 0)
        return claim;
    /* Where nothing is left to claim, nobody else can move `next` until `ready` is raised. */
    if (found < 32 && found <= want && (w->clear || gq_dev_relaxed_u64(&w->lane->cursor[g.step].next) == w->from)) {
        claim.count = gq_bounded(w->lane, w->from, found, want);
        claim.word = word[0];
        w->clear = true;
        w->from += claim.count;
        if (w->slow)
            gq_leave_watch(g, w);
        return claim;
    }
    if (words)
        gq_keep_words(w->lane, w->from, found, word);
    gq_publish(g, w, w->from + found);
    return claim;
}

/* --- claiming ----------------------------------------------------------------------------------------------------- */

/* By a converged warp: a quarter of what is ready, `want` messages at least if there are as many. Warps that claim get
 * into each other's way: one compare-and-swap succeeds in about the time of two trips to the L2, however many try, so
 * few claims must carry many messages. Where messages take long (`slow`), others had better share them: then at most
 * `want`. */
static __device__ gq_claim gq_claim_run(const gq_grid &g, gq_grid_lane *l, uint32_t want, bool slow)
{
    gq_grid_cursor *c = &l->cursor[g.step];
    gq_claim claim = {l, 0, 0, false, 0};
    if (gq_lane_of_warp() == 0) {
        const uint64_t next = gq_dev_relaxed_u64(&c->next), ready = gq_dev_acquire_u64(&c->ready); /* A4 pairs R4 */
        const uint64_t there = ready > next ? ready - next : 0;
        const uint64_t part = slow ? 0 : there / 4 < GQ_CHUNK ? there / 4 : GQ_CHUNK;
        const uint64_t most = part > want ? part : want, count = there < most ? there : most;
        if (count && atomicCAS((unsigned long long *)&c->next, next, next + count) == next) {
            claim.first = next;
            claim.count = (uint32_t)count;
        }
    }
    claim.first = __shfl_sync(GQ_ALL, claim.first, 0);
    claim.count = __shfl_sync(GQ_ALL, claim.count, 0);
    __syncwarp(); /* what one thread acquired holds for the warp */
    return claim;
}

#endif
