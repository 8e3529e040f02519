/* claim_cuda.h - how warps of a grid share out the messages that its scouts found, and what is left to do when the grid
 * is to leave. Part of entry_cuda.h, which has the table of edges.
 */
#ifndef GQ_DEVICE_CLAIM_CUDA_H
#define GQ_DEVICE_CLAIM_CUDA_H

#include <device/pack_cuda.h>

/* Behind the last message that was claimed, by a converged warp that has `next` of every share: those of a share are
 * claimed in order, so where it stands at the start of a block, it has claimed the one GQ_SHARES before. */
static __device__ uint64_t gq_claimed_end(uint32_t block_shift, uint64_t next)
{
    const uint64_t block = 1ull << block_shift, back = (GQ_SHARES - 1) * block;
    uint64_t end = next & (block - 1) ? next : next > back ? next - back : 0;
    for (uint32_t d = GQ_SHARES / 2; d > 0; d /= 2)
        end = max((unsigned long long)end, (unsigned long long)__shfl_xor_sync(GQ_ALL, end, d));
    return end;
}

/* By a converged warp: messages of one share of a lane, a run of `want` or, where much is ready, the rest of a block.
 * All shares are looked at, from share `n` on; each by a thread of its own. Claims get into each other's way: one
 * compare-and-swap succeeds in about the time of two trips to the L2, however many try. Where messages take long
 * (`slow`), others had better share them: then at most `want`, which ends with a pack if `packs`. With `rest` only
 * messages before one that is claimed: when no warp finds such a one any more, what is claimed has no gaps. */
static __device__ __forceinline__ gq_claim gq_claim_of(gq_grid_cursor *c, uint32_t block_shift, uint32_t n,
                                                       uint32_t want, bool packs, bool slow, bool rest)
{
    gq_claim claim = gq_no_claim();
    uint64_t *at = &c->share[(n + gq_lane_of_warp()) % GQ_SHARES].next;
    const uint64_t next = gq_dev_relaxed_u64(at);
    uint64_t ready = gq_dev_acquire_u64(&c->ready); /* A4 pairs R4 */
    if (rest)
        ready = min((unsigned long long)ready, (unsigned long long)gq_claimed_end(block_shift, next));
    const uint32_t some = __ballot_sync(GQ_ALL, ready > next);
    if (some == 0)
        return claim;
    const uint32_t chosen = __ffs(some) - 1; /* the first GQ_SHARES threads see all there is */
    if (gq_lane_of_warp() == chosen) {
        const uint64_t block = 1ull << block_shift;
        const uint64_t there = ready - next, of_block = block - (next & (block - 1));
        const uint64_t most = slow || there < GQ_PLENTY ? gq_run_of(packs, next, want) : of_block;
        const uint64_t count =
            min(min((unsigned long long)there, (unsigned long long)of_block), (unsigned long long)most);
        if (gq_dev_cas_u64(at, next, gq_share_after(block_shift, next + count)) == next) {
            claim.first = next;
            claim.count = (uint32_t)count;
        }
    }
    claim.first = __shfl_sync(GQ_ALL, claim.first, chosen);
    claim.count = __shfl_sync(GQ_ALL, claim.count, chosen);
    __syncwarp(); /* what one thread acquired holds for the warp */
    return claim;
}

static __device__ gq_claim gq_claim_run(const gq_grid &g, gq_grid_lane *l, uint32_t n, uint32_t want, bool slow)
{
    const gq_claim claim = gq_claim_of(&l->cursor[g.step], l->block_shift, n, want, gq_packs(g), slow, false);
    if (claim.count)
        gq_see(g, l);
    return claim;
}

/* What one has to do before the grid may leave. */
struct gq_rest_of {
    uint64_t first;
    uint32_t count; /* 0: nothing */
    uint32_t lane;
};

/* Does a grid that serves `lanes` serve this one? */
static __device__ __forceinline__ bool gq_serves(uint32_t lanes, const gq_grid_lane *l)
{
    return lanes == GQ_GRID_ALL_LANES || (lanes == GQ_GRID_CANARY_LANES) == (gq_dev_relaxed_u32(&l->canary) != 0);
}

/* Once in a grid's life. A claim that another warp was faster with leaves a gap that is that warp's, so one look at
 * every lane is enough. */
GQ_RARE gq_rest_of gq_claim_rest(gq_grid_lane *lane, uint32_t lanes, uint32_t step, uint32_t turn, uint32_t want,
                                 uint32_t served)
{
    gq_rest_of rest = {0, 0, 0};
    for (uint32_t i = 0; i < lanes && rest.count == 0; i++) {
        gq_grid_lane *l = &lane[(turn + i) % lanes];
        if (!gq_serves(served, l))
            continue;
        const gq_claim c = gq_claim_of(&l->cursor[step], l->block_shift, turn % GQ_SHARES, want, false, true, true);
        rest = gq_rest_of{c.first, c.count, (turn + i) % lanes};
    }
    return rest;
}

#endif
