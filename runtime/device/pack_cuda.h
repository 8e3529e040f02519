/* pack_cuda.h - how a run of 32 messages is handed on in one unit, and read from it. Part of entry_cuda.h, which has
 * the table of edges; what a pack is: grid.h.
 */
#ifndef GQ_DEVICE_PACK_CUDA_H
#define GQ_DEVICE_PACK_CUDA_H

#include <device/find_cuda.h>

/* Do runs of this grid end where packs do? Then most runs are packs. */
static __device__ __forceinline__ bool gq_packs(const gq_grid &g) { return GQ_IMAGE_KIND ? GQ_PACKS : gq_counts(g); }

/* How many messages a run from `first` on may have. */
static __device__ __forceinline__ uint32_t gq_run_of(bool packs, uint64_t first, uint32_t want)
{
    return packs && want == GQ_PACK ? GQ_PACK - (uint32_t)first % GQ_PACK : want;
}

/* By a converged warp whose thread t keeps message t: hands a run on as a pack, if it is one and nothing is to be said
 * of any single message. */
static __device__ __forceinline__ bool gq_hand_on_pack(const gq_grid &g, uint64_t first, uint32_t count, uint32_t len,
                                                       uint64_t meta)
{
    const gq_sight &s = gq_sight_here();
    if (!gq_packs_out(s) || !gq_pack_fits(s.view.mask, first, count, s.known))
        return false;
    const bool ok = gq_meta_status(meta) == GQ_RESULT_OK;
    uint64_t data;
    if (g.step + 1 == g.steps) {
        if (!__all_sync(GQ_ALL, ok || gq_meta_status(meta) == GQ_RESULT_DROPPED))
            return false;
        uint32_t bytes = ok ? len : 0;
        for (int d = 16; d > 0; d /= 2)
            bytes += __shfl_xor_sync(GQ_ALL, bytes, d);
        data = (uint64_t)__popc(__ballot_sync(GQ_ALL, !ok)) << 32 | bytes;
    } else {
        data = (uint64_t)gq_meta_generation(meta) << 32 | len;
        const uint64_t firsts = __shfl_sync(GQ_ALL, data, 0);
        if (!__all_sync(GQ_ALL, ok && data == firsts))
            return false;
    }
    __syncwarp(); /* every thread's bytes before one thread tells */
    if (gq_lane_of_warp() == 0)
        gq_dev_release_pair(&s.packs_out[gq_pack_index(s.view.mask, first)].stamp, gq_pack_stamp(first),
                            data); /* R10 pairs A10 */
    __syncwarp();
    return true;
}

/* Did the step before tell of message seq in a pack? If so its length and meta. What a scout found is there (A10 pairs
 * R10, then A4). */
static __device__ __forceinline__ bool gq_pack_has(const gq_sight &s, uint64_t seq, uint32_t *len, uint64_t *meta)
{
    uint64_t stamp, data;
    gq_load_unit(&s.packs_in[gq_pack_index(s.view.mask, seq)], &stamp, &data); /* A10 pairs R10 */
    *len = (uint32_t)data;
    *meta = gq_meta((uint32_t)(data >> 32), 0, GQ_RESULT_OK, 0);
    return stamp == gq_pack_stamp(seq);
}

#endif
