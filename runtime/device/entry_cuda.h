/* entry_cuda.h - the CUDA end of kernel.cu: the persistent grid of one step.
 *
 * A warp claims a run of messages of one lane, brings their bytes into device memory if they come from the host, serves
 * them, and hands them on: to the next step, or to the host. Which messages are there is found out by one warp a lane
 * at a time, the scout: descriptors of the host lie across the bus, and polling by every warp would fill it.
 *
 *   R1 host publishes        -> A1 scout reads, system scope
 *   R4 scout raises `ready`  -> A4 claiming warp reads, device scope: with A1, the payload is complete for it too
 *   R5 step hands on         -> A5 scout of the next step reads, device scope
 *   R2 last step publishes   -> A2 host reads
 * (runtime/device/slot.h has the table's first half, docs/internals/memory-order.md all of it.)
 */
#ifndef GQ_DEVICE_ENTRY_CUDA_H
#define GQ_DEVICE_ENTRY_CUDA_H

#include <device/grid.h>

#define GQ_ALL 0xffffffffu
#define GQ_LOOKS 8u         /* words a scout's thread reads at a time when messages come fast */
#define GQ_RUN_BYTES 65536u /* payload that one warp takes at a time */

static __device__ void *gq_grid_state; /* the same for every thread of the grid */

static __device__ void *gq_entry_state(void) { return gq_grid_state; }

__device__ void gq_sync(void)
{
    if constexpr (gq_scope::kind == GQ_SCOPE_WARP)
        __syncwarp();
    else if constexpr (gq_scope::kind == GQ_SCOPE_BLOCK)
        __syncthreads();
}

/* --- words of device memory, at device scope
 * -------------------------------------------------------------------------- */

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

/* --- finding messages
 * --------------------------------------------------------------------------------------------------- */

static __device__ __forceinline__ uint32_t gq_lane_of_warp() { return threadIdx.x % 32; }

/* Is message seq there for this step? Keeps the host's word where claiming warps find it. */
static __device__ __forceinline__ bool gq_there(const gq_grid &g, const gq_grid_lane *l, uint64_t seq, uint64_t *word)
{
    if (g.step > 0) {
        const gq_out_desc *hop = l->hop + (uint64_t)(g.step - 1) * (l->view.mask + 1) + gq_slot_index(&l->view, seq);
        return (uint32_t)(gq_dev_acquire_u64(&hop->state) >> 32) == gq_slot_stamp(seq); /* A5 pairs R5 */
    }
    *word = gq_load_acquire_u64(&l->view.in_desc[gq_slot_index(&l->view, seq)]); /* A1 pairs R1 */
    return (uint32_t)(*word >> 32) == gq_slot_stamp(seq);
}

/* Ones of `mask` from bit 0 upwards. */
static __device__ __forceinline__ uint32_t gq_prefix(uint32_t mask) { return mask == GQ_ALL ? 32 : __ffs(~mask) - 1; }

/* By a converged warp that holds the scout's lock: how many messages stand ready from `from` on. */
static __device__ uint32_t gq_look(const gq_grid &g, gq_grid_lane *l, uint64_t from, uint32_t looks)
{
    uint64_t word[GQ_LOOKS];
    bool there[GQ_LOOKS];
    uint32_t found = 0;
#pragma unroll
    for (uint32_t k = 0; k < GQ_LOOKS; k++)
        there[k] = k < looks && gq_there(g, l, from + k * 32 + gq_lane_of_warp(), &word[k]);
    bool more = true;
#pragma unroll
    for (uint32_t k = 0; k < GQ_LOOKS; k++) {
        const uint32_t run = gq_prefix(__ballot_sync(GQ_ALL, there[k]));
        if (!more)
            continue;
        if (g.step == 0 && gq_lane_of_warp() < run)
            l->desc[gq_slot_index(&l->view, from + k * 32 + gq_lane_of_warp())] = word[k];
        found += run;
        more = run == 32;
    }
    return found;
}

/* Host says stop, or the deadline is over: all grids are told. By the scout, whose poll crosses the bus anyway. */
static __device__ void gq_watch(const gq_grid &g)
{
    if (gq_load_acquire_u32(&g.host->stop) || (g.limit_ns && gq_globaltimer() > gq_dev_relaxed_u64(&g.shared->end_ns)))
        gq_dev_store_u32(&g.shared->over, 1);
}

/* By a converged warp. Raises the lane's `ready` if there is more; true if it did. False too when another warp looks.
 */
static __device__ bool gq_scout(const gq_grid &g, gq_grid_lane *l)
{
    gq_grid_cursor *c = &l->cursor[g.step];
    uint32_t locked = 0;
    if (gq_lane_of_warp() == 0 && gq_dev_relaxed_u32(&c->scout) == 0)
        locked = atomicCAS(&c->scout, 0, 1) == 0;
    if (!__shfl_sync(GQ_ALL, locked, 0))
        return false;
    __threadfence();
    const uint64_t from = gq_dev_relaxed_u64(&c->ready);
    uint32_t found;
    if (g.step == 0 && l->generated) {
        const uint64_t limit = gq_slot_limit(&l->view); /* A3 pairs R3 */
        found = limit > from ? (uint32_t)min((unsigned long long)(limit - from), 1ull << 30) : 0;
    } else {
        const uint32_t looks = gq_dev_relaxed_u32(&c->wide) ? GQ_LOOKS : 1;
        found = gq_look(g, l, from, looks);
        if (gq_lane_of_warp() == 0)
            gq_dev_store_u32(&c->wide, found == looks * 32 || found >= 64);
    }
    if (gq_lane_of_warp() == 0)
        gq_watch(g);
    __syncwarp(); /* every thread's descriptors before one thread publishes them */
    if (gq_lane_of_warp() == 0) {
        if (found)
            gq_dev_release_u64(&c->ready, from + found); /* R4 pairs A4 */
        gq_dev_release_u32(&c->scout, 0);
    }
    return found != 0;
}

/* --- claiming
 * ----------------------------------------------------------------------------------------------------------- */

struct gq_claim {
    gq_grid_lane *lane;
    uint64_t first;
    uint32_t count; /* 0: nothing was there, or another warp was faster */
};

/* By a converged warp: a run of at most `want` messages that does not wrap around the ring. */
static __device__ gq_claim gq_claim_run(const gq_grid &g, gq_grid_lane *l, uint32_t want)
{
    gq_grid_cursor *c = &l->cursor[g.step];
    gq_claim claim = {l, 0, 0};
    if (gq_lane_of_warp() == 0) {
        const uint64_t next = gq_dev_relaxed_u64(&c->next), ready = gq_dev_acquire_u64(&c->ready); /* A4 pairs R4 */
        const uint64_t to_wrap = l->view.mask + 1 - gq_slot_index(&l->view, next);
        uint64_t count = ready > next ? ready - next : 0;
        count = count < want ? count : want;
        count = count < to_wrap ? count : to_wrap;
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

/* --- bytes
 * ----------------------------------------------------------------------------------------------------------------- */

static __device__ __forceinline__ uint4 gq_load16(const uint8_t *p)
{
    uint4 v;
    asm volatile("ld.global.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                 : "l"(p));
    return v;
}

/* Copies, for each message i of a run, the first len[i] bytes of its slot, in words of 16 bytes, coalesced, four in
 * flight a thread. Slots are `stride` apart on both sides; the tail of a slot's last word is copied along. `team`
 * threads work together, of which this is number `me`; len_of(i) is asked for messages of the run alone. */
template <typename LenOf>
static __device__ void gq_copy_run(uint8_t *to, const uint8_t *from, uint32_t stride, uint32_t count, uint32_t longest,
                                   uint32_t me, uint32_t team, LenOf len_of)
{
    const uint32_t words = (longest + 15) / 16, total = words * count, slot_words = stride / 16;
    for (uint32_t base = me; base < total; base += 4 * team) {
        uint4 v[4];
        uint64_t at[4];
        bool use[4];
#pragma unroll
        for (uint32_t k = 0; k < 4; k++) {
            const uint32_t i = base + k * team, message = i / words, word = i - message * words;
            use[k] = i < total && word * 16 < len_of(message);
            at[k] = ((uint64_t)message * slot_words + word) * 16;
            if (use[k])
                v[k] = gq_load16(from + at[k]);
        }
#pragma unroll
        for (uint32_t k = 0; k < 4; k++)
            if (use[k])
                *(uint4 *)(to + at[k]) = v[k];
    }
}

/* --- one run: in, through the plugin, out
 * ------------------------------------------------------------------------------------ */

/* What a thread knows of one message of the run. */
struct gq_item {
    uint32_t len, status, code, stage; /* before: of the input; after: of the result */
};

static __device__ __forceinline__ uint64_t gq_at(const gq_claim &c, uint32_t i)
{
    return gq_slot_index(&c.lane->view, c.first + i) * c.lane->view.stride;
}

/* Length and fate of message i as this step receives it. */
static __device__ gq_item gq_item_of(const gq_grid &g, const gq_claim &c, uint32_t i)
{
    const gq_lane_view *v = &c.lane->view;
    const uint64_t at = gq_slot_index(v, c.first + i);
    if (g.step > 0) {
        const gq_out_desc *hop = c.lane->hop + (uint64_t)(g.step - 1) * (v->mask + 1) + at;
        const uint64_t meta = gq_dev_relaxed_u64(&hop->meta);
        return gq_item{(uint32_t)gq_dev_relaxed_u64(&hop->state), gq_meta_status(meta), gq_meta_code(meta),
                       gq_meta_stage(meta)};
    }
    const uint32_t len = c.lane->generated ? 0 : (uint32_t)gq_dev_relaxed_u64(&c.lane->desc[at]);
    return gq_item{len < v->slot_bytes ? len : v->slot_bytes, GQ_RESULT_OK, 0, g.stage};
}

static __device__ gq_message gq_message_of(const gq_grid &g, const gq_claim &c, uint32_t i, uint32_t len)
{
    const uint64_t seq = c.first + i;
    const uint64_t id = GQ_IMAGE_KIND ? c.lane->first_index + seq : gq_slot_id(c.lane->view.lane, seq);
    return gq_message{c.lane->slot[g.step & 1] + gq_at(c, i), len, id, c.lane->slot[(g.step + 1) & 1] + gq_at(c, i),
                      g.out_cap};
}

static __device__ void gq_settle(const gq_grid &g, gq_item *item, const gq_outcome &o)
{
    *item = gq_item{o.len, o.status, o.code, g.stage};
    if (o.tries) {
        const uint64_t sum = atomicAdd((unsigned long long *)&g.shared->retries, (unsigned long long)o.tries) + o.tries;
        gq_store_relaxed_u64(&g.worker->crumb[0].retries, sum); /* a statistic: nothing is ordered by it */
    }
}

/* Message i of the run leaves this step. */
static __device__ void gq_hand_on(const gq_grid &g, const gq_claim &c, uint32_t i, const gq_item &item)
{
    const uint64_t seq = c.first + i, meta = gq_meta(g.generation, item.stage, item.status, item.code);
    if (g.step + 1 == g.steps) {
        gq_slot_finish(&c.lane->view, seq, item.len, meta); /* R2 pairs A2 */
        return;
    }
    gq_out_desc *hop = c.lane->hop + (uint64_t)g.step * (c.lane->view.mask + 1) + gq_slot_index(&c.lane->view, seq);
    gq_dev_release_pair(&hop->meta, meta, ((uint64_t)gq_slot_stamp(seq) << 32) | item.len); /* R5 pairs A5 */
}

static __device__ __forceinline__ bool gq_from_host(const gq_grid &g, const gq_claim &c)
{
    return g.step == 0 && !c.lane->generated;
}

static __device__ __forceinline__ uint32_t gq_bytes_out(const gq_item &item)
{
    return item.status == GQ_RESULT_OK ? item.len : 0;
}

/* Each thread's length where the warp can look it up; returns the longest. */
static __device__ __forceinline__ uint32_t gq_share_lengths(uint32_t *lens, uint32_t len)
{
    lens[gq_lane_of_warp()] = len;
    __syncwarp();
    uint32_t longest = len;
    for (int d = 16; d > 0; d /= 2) {
        const uint32_t other = __shfl_xor_sync(GQ_ALL, longest, d);
        longest = other > longest ? other : longest;
    }
    return longest;
}

/* Thread and warp scope: by one converged warp, a run of up to 32 messages; thread t keeps message t. */
static __device__ void gq_run_warp(const gq_grid &g, const gq_claim &c, uint32_t *out_len, uint32_t *lens)
{
    const uint32_t t = gq_lane_of_warp();
    gq_item item = {0, GQ_RESULT_DROPPED, 0, 0};
    if (t < c.count)
        item = gq_item_of(g, c, t);
    if (gq_from_host(g, c)) {
        const uint32_t longest = gq_share_lengths(lens, t < c.count ? item.len : 0);
        uint8_t *slots = c.lane->slot[0] + gq_at(c, 0);
        const uint8_t *host = c.lane->view.in_payload + gq_at(c, 0);
        gq_copy_run(slots, host, c.lane->view.stride, c.count, longest, t, 32, [lens](uint32_t i) { return lens[i]; });
        __syncwarp();
    }
    if constexpr (gq_scope::kind == GQ_SCOPE_THREAD) {
        if (t < c.count && item.status == GQ_RESULT_OK) {
            const gq_message m = gq_message_of(g, c, t, item.len);
            const gq_outcome o = gq_serve(m.cap, g.retries, [&m] {
                uint32_t raw = 0;
                gq_call(m, &raw);
                return raw;
            });
            gq_settle(g, &item, o);
        }
    } else {
        for (uint32_t i = 0; i < c.count; i++) {
            if (__shfl_sync(GQ_ALL, item.status, i) != GQ_RESULT_OK)
                continue;
            const gq_message m = gq_message_of(g, c, i, __shfl_sync(GQ_ALL, item.len, i));
            const gq_outcome o = gq_serve(m.cap, g.retries, [&m, out_len] {
                if (gq_lane_of_warp() == 0)
                    *out_len = 0;
                __syncwarp();
                gq_call(m, out_len);
                __syncwarp();
                const uint32_t raw = *(volatile uint32_t *)out_len;
                __syncwarp();
                return raw;
            });
            if (t == i)
                gq_settle(g, &item, o);
        }
    }
    __syncwarp();
    if (g.step + 1 == g.steps) {
        const uint32_t longest = gq_share_lengths(lens, t < c.count ? gq_bytes_out(item) : 0);
        const uint8_t *slots = c.lane->slot[(g.step + 1) & 1] + gq_at(c, 0);
        uint8_t *host = c.lane->view.out_payload + gq_at(c, 0);
        gq_copy_run(host, slots, c.lane->view.stride, c.count, longest, t, 32, [lens](uint32_t i) { return lens[i]; });
        __syncwarp(); /* every thread's bytes before any thread publishes */
    }
    if (t < c.count)
        gq_hand_on(g, c, t, item);
    __syncwarp();
}

/* Block scope: by all threads of the block, one message. */
static __device__ void gq_run_block(const gq_grid &g, const gq_claim &c, uint32_t *out_len)
{
    gq_item item = gq_item_of(g, c, 0);
    const gq_message m = gq_message_of(g, c, 0, item.len);
    if (gq_from_host(g, c)) {
        const uint32_t len = item.len;
        gq_copy_run(const_cast<uint8_t *>(m.in), c.lane->view.in_payload + gq_at(c, 0), c.lane->view.stride, 1, len,
                    threadIdx.x, blockDim.x, [&](uint32_t) { return len; });
        __syncthreads();
    }
    if (item.status == GQ_RESULT_OK) {
        const gq_outcome o = gq_serve(m.cap, g.retries, [&m, out_len] {
            if (threadIdx.x == 0)
                *out_len = 0;
            __syncthreads();
            gq_call(m, out_len);
            __syncthreads();
            const uint32_t raw = *(volatile uint32_t *)out_len;
            __syncthreads();
            return raw;
        });
        if (threadIdx.x == 0)
            gq_settle(g, &item, o);
        else
            item = gq_item{o.len, o.status, o.code, g.stage};
    }
    if (g.step + 1 == g.steps) {
        const uint32_t bytes = gq_bytes_out(item);
        gq_copy_run(c.lane->view.out_payload + gq_at(c, 0), m.out, c.lane->view.stride, 1, bytes, threadIdx.x,
                    blockDim.x, [&](uint32_t) { return bytes; });
    }
    __syncthreads();
    if (threadIdx.x == 0)
        gq_hand_on(g, c, 0, item);
    __syncthreads();
}

/* --- the loop
 * -------------------------------------------------------------------------------------------------------------- */

/* The first warps of the grid stay awake; the others sleep longer and longer while there is nothing to do. */
static __device__ __forceinline__ void gq_rest(uint32_t warp, uint32_t idle)
{
    if (idle < 16)
        return;
    __nanosleep(warp < 32 ? 100 : idle < 64 ? 1000 : 20000);
}

/* A run for this warp: claims what is ready, or scouts for more. */
static __device__ gq_claim gq_find(const gq_grid &g, uint32_t *turn, uint32_t want)
{
    const uint32_t lanes = gq_dev_relaxed_u32(&g.shared->lane_count);
    gq_claim claim = {nullptr, 0, 0};
    if (lanes == 0) { /* nobody polls the bus yet: the first warp looks for the stop word */
        if (blockIdx.x == 0 && threadIdx.x == 0)
            gq_watch(g);
        return claim;
    }
    gq_grid_lane *l = &g.lane[*turn % lanes];
    claim = gq_claim_run(g, l, want);
    if (claim.count == 0 && gq_scout(g, l))
        claim = gq_claim_run(g, l, want);
    if (claim.count == 0)
        *turn += 1;
    return claim;
}

static __device__ uint32_t gq_want(const gq_grid &g)
{
    const uint32_t fit = GQ_RUN_BYTES / (g.out_cap < 16 ? 16 : g.out_cap);
    const uint32_t most = gq_scope::kind == GQ_SCOPE_THREAD ? 32 : 4;
    return fit < 1 ? 1 : fit < most ? fit : most;
}

static __device__ void gq_loop_warps(const gq_grid &g, uint32_t *out_len, uint32_t *lens)
{
    const uint32_t warp = (blockIdx.x * blockDim.x + threadIdx.x) / 32, want = gq_want(g);
    uint32_t turn = warp;
    for (uint32_t idle = 0; !gq_dev_relaxed_u32(&g.shared->over); idle++) {
        const gq_claim c = gq_find(g, &turn, want);
        if (c.count) {
            gq_run_warp(g, c, out_len, lens);
            idle = 0;
        } else {
            gq_rest(warp, idle);
        }
    }
}

static __device__ void gq_loop_blocks(const gq_grid &g, uint32_t *out_len)
{
    __shared__ gq_claim claim;
    __shared__ uint32_t over;
    uint32_t turn = blockIdx.x;
    for (uint32_t idle = 0;; idle++) {
        if (threadIdx.x < 32) {
            const gq_claim c = gq_find(g, &turn, 1);
            if (threadIdx.x == 0) {
                claim = c;
                over = gq_dev_relaxed_u32(&g.shared->over);
            }
        }
        __syncthreads();
        const gq_claim mine = claim;
        const uint32_t leave = over;
        __syncthreads();
        if (mine.count) {
            gq_run_block(g, mine, out_len);
            idle = 0;
        } else if (leave) {
            return;
        } else {
            gq_rest(blockIdx.x, idle);
        }
    }
}

/* blockDim.x is a multiple of 32; in block scope the plugin's thread count. */
extern "C" __global__ void gq_grid_main(const gq_grid g)
{
    __shared__ uint32_t out_len[32];  /* one a warp */
    __shared__ uint32_t lens[32][32]; /* a warp's run: lengths on their way in, then out */
    if (threadIdx.x == 0) {
        gq_grid_state = g.state;
        if (g.limit_ns)
            atomicCAS((unsigned long long *)&g.shared->end_ns, 0ull,
                      (unsigned long long)(gq_globaltimer() + g.limit_ns));
    }
    __syncthreads();
    if constexpr (gq_scope::kind == GQ_SCOPE_BLOCK)
        gq_loop_blocks(g, &out_len[0]);
    else
        gq_loop_warps(g, &out_len[threadIdx.x / 32], lens[threadIdx.x / 32]);
}

/* What the image is, for who loads it: the words of struct gq_cpu_image before `run`, in order. */
extern "C" __device__ __constant__ const uint32_t gq_cuda_image[9] = {0x494d4751u,
                                                                      GQ_PLUGIN_ABI,
                                                                      GQ_IMAGE_KIND,
                                                                      gq_scope::kind,
                                                                      gq_scope::threads,
                                                                      gq_state_declared::bytes,
                                                                      gq_state_declared::version,
                                                                      sizeof(MsgView),
                                                                      sizeof(ResultView)};

#endif
