/* count_cuda.h - counted lanes: one warp a lane reads how messages ended, as the last step left it in device memory,
 * and tells the host in numbers. Part of entry_cuda.h.
 */
#ifndef GQ_DEVICE_COUNT_CUDA_H
#define GQ_DEVICE_COUNT_CUDA_H

#include <device/find_cuda.h>

#define GQ_COUNT_LOOKS 8u   /* descriptors that a thread reads at a time */
#define GQ_COUNT_ROUNDS 8u  /* looks between two at the grid's order to leave */
#define GQ_COUNT_MANY 2048u /* messages, after which the host is told though there are more */
#define GQ_COUNT_HOLD 4u    /* looks in vain before the host is told of a part of a pack */

/* How the messages of a counted lane ended. */
struct gq_tally {
    uint32_t ok, dropped, failed;
    uint64_t bytes;
};

static __device__ gq_tally gq_add_up(gq_tally t)
{
    for (int d = 16; d > 0; d /= 2) {
        t.ok += __shfl_xor_sync(GQ_ALL, t.ok, d);
        t.dropped += __shfl_xor_sync(GQ_ALL, t.dropped, d);
        t.failed += __shfl_xor_sync(GQ_ALL, t.failed, d);
        t.bytes += __shfl_xor_sync(GQ_ALL, t.bytes, d);
    }
    return t;
}

/* One message, as the last step left it. One that failed gets a descriptor that the host sees: only those have one
 * here, and a stamp of 32 bits may be there from long before. */
static __device__ __forceinline__ void gq_count_one(gq_tally *t, uint64_t seq, uint64_t meta, uint64_t state)
{
    const gq_sight &s = gq_sight_here();
    const uint32_t status = gq_meta_status(meta);
    t->ok += status == GQ_RESULT_OK;
    t->dropped += status == GQ_RESULT_DROPPED;
    t->bytes += status == GQ_RESULT_OK ? (uint32_t)state : 0;
    if (status == GQ_RESULT_OK || status == GQ_RESULT_DROPPED)
        return;
    t->failed++;
    gq_store_unit(gq_slot_out(&s.view, seq), seq + 1, 0); /* R6 pairs A6 */
    gq_slot_finish(&s.view, seq, (uint32_t)state, meta);  /* R2 pairs A2 */
}

/* By a converged warp: the same as gq_count_some() where messages came before this worker did. Those that had ended had
 * failed, and the host knows how. */
static __device__ uint32_t gq_count_old(uint64_t from, gq_tally *sum)
{
    const gq_sight &s = gq_sight_here();
    const uint64_t seq = from + gq_lane_of_warp();
    const bool had_ended = gq_had_ended(s, seq);
    uint64_t meta, state;
    gq_load_unit(&s.hop_out[seq & s.view.mask], &meta, &state); /* A5 pairs R5 */
    const bool there = had_ended || (uint32_t)(state >> 32) == gq_slot_stamp(seq);
    const uint32_t found = gq_prefix(__ballot_sync(GQ_ALL, there));
    gq_tally t = {};
    if (gq_lane_of_warp() < found && had_ended)
        t.failed++;
    else if (gq_lane_of_warp() < found)
        gq_count_one(&t, seq, meta, state);
    __syncwarp();
    *sum = gq_add_up(t);
    return found;
}

/* By a converged warp: what has ended in packs from message `from` on, 32 of them; returns how many messages. */
static __device__ uint32_t gq_count_packs(uint64_t from, gq_tally *sum)
{
    const gq_sight &s = gq_sight_here();
    const uint64_t seq = from + gq_lane_of_warp() * GQ_PACK;
    if (!gq_packs_out(s) || from % GQ_PACK)
        return 0;
    uint64_t stamp, data;
    gq_load_unit(&s.packs_out[gq_pack_index(s.view.mask, seq)], &stamp, &data); /* A10 pairs R10 */
    const uint32_t found = gq_prefix(__ballot_sync(GQ_ALL, stamp == gq_pack_stamp(seq)));
    if (found == 0)
        return 0;
    gq_tally t = {};
    if (gq_lane_of_warp() < found) {
        t.dropped = (uint32_t)(data >> 32);
        t.ok = GQ_PACK - t.dropped;
        t.bytes = (uint32_t)data;
    }
    *sum = gq_add_up(t);
    return found * GQ_PACK;
}

/* By a converged warp: what has ended from message `from` on; returns how many. */
static __device__ uint32_t gq_count_some(uint64_t from, gq_tally *sum)
{
    const gq_sight &s = gq_sight_here();
    const uint64_t seq = from + gq_lane_of_warp();
    const gq_out_desc *desc = s.hop_out;
    uint64_t meta[GQ_COUNT_LOOKS], state[GQ_COUNT_LOOKS];
#pragma unroll
    for (uint32_t k = 0; k < GQ_COUNT_LOOKS; k++)
        gq_load_unit(&desc[(seq + k * 32) & s.view.mask], &meta[k], &state[k]); /* A5 pairs R5 */
    uint32_t found = 0;
    bool more = true;
#pragma unroll
    for (uint32_t k = 0; k < GQ_COUNT_LOOKS; k++) {
        const bool there = (uint32_t)(state[k] >> 32) == gq_slot_stamp(seq + k * 32);
        const uint32_t run = gq_prefix(__ballot_sync(GQ_ALL, there));
        found += more ? run : 0;
        more = more && run == 32;
    }
    const uint64_t whole = (from + found) & ~(uint64_t)(GQ_PACK - 1); /* packs behind it may have units */
    if (gq_packs_out(s) && whole > from)
        found = (uint32_t)(whole - from);
    if (found == 0)
        return 0;
    gq_tally t = {};
#pragma unroll
    for (uint32_t k = 0; k < GQ_COUNT_LOOKS; k++)
        if (k * 32 + gq_lane_of_warp() < found)
            gq_count_one(&t, seq + k * 32, meta[k], state[k]);
    *sum = gq_add_up(t);
    return found;
}

/* By a converged warp: the host reads how the messages before `from` ended; thread t has the total number t. */
static __device__ void gq_tell_counts(uint64_t from, uint64_t total)
{
    gq_fence_sys(); /* every thread's, then */
    __syncwarp();
    if (gq_lane_of_warp() < GQ_COUNTS)
        gq_store_unit(&gq_sight_here().view.out_head->count[gq_lane_of_warp()], from, total); /* R8 pairs A8 */
}

/* A part of a pack is told later than others: the host would grant as many messages anew, and their packs would be made
 * in two parts again. */
static __device__ __forceinline__ bool gq_is_to_wait(uint64_t from, uint32_t empty)
{
    return gq_packs_out(gq_sight_here()) && from % GQ_PACK && empty < GQ_COUNT_HOLD;
}

/* By the converged warp that holds the lock of `c`: tells the host how the messages of the lane that it sees ended, as
 * long as some do. */
GQ_RARE void gq_count_on(gq_grid_cursor *c, const uint32_t *order, uint32_t launch, uint32_t old)
{
    const uint32_t t = gq_lane_of_warp(), mine = t % GQ_COUNTS;
    uint64_t from = gq_dev_relaxed_u64(&c->ready), total = gq_dev_relaxed_u64(&c->share[mine].next), told = from;
    for (uint32_t empty = 0, round = 0; empty < GQ_PATIENCE; empty++, round++) {
        if (round % GQ_COUNT_ROUNDS == 0 && gq_dev_relaxed_u32(order) >= launch)
            break;
        gq_tally sum = {};
        const bool is_old = old && from < gq_sight_here().known;
        uint32_t found = is_old ? gq_count_old(from, &sum) : gq_count_packs(from, &sum);
        if (found == 0 && !is_old)
            found = gq_count_some(from, &sum);
        from += found;
        total += mine == GQ_COUNT_OK        ? sum.ok
                 : mine == GQ_COUNT_DROPPED ? sum.dropped
                 : mine == GQ_COUNT_FAILED  ? sum.failed
                                            : sum.bytes;
        empty = found ? 0 : empty;
        if (from == told || (found && from - told < GQ_COUNT_MANY) || gq_is_to_wait(from, empty))
            continue;
        gq_tell_counts(from, total);
        told = from;
    }
    if (from != told) /* told to leave between two looks */
        gq_tell_counts(from, total);
    if (t < GQ_COUNTS)
        gq_store_relaxed_u64(&c->share[t].next, total);
    if (t == 0)
        gq_store_relaxed_u64(&c->ready, from);
    __syncwarp();
}

/* By a converged warp: counts what came out of a counted lane, if nobody does. */
static __device__ void gq_count(const gq_grid &g, gq_grid_lane *l)
{
    gq_grid_cursor *c = &l->cursor[g.steps];
    uint32_t locked = 0;
    if (gq_lane_of_warp() == 0 && gq_dev_relaxed_u32(&c->scout) == 0)
        locked = atomicCAS(&c->scout, 0, 1) == 0;
    if (!__shfl_sync(GQ_ALL, locked, 0))
        return;
    __threadfence(); /* A7 pairs R7 */
    gq_see(g, l);
    gq_count_on(c, gq_order(g), g.launch, g.old);
    if (gq_lane_of_warp() == 0)
        gq_dev_release_u32(&c->scout, 0); /* R7 pairs A7 */
}

#endif
