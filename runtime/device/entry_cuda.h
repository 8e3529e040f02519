/* entry_cuda.h - the CUDA end of kernel.cu: the persistent grid of one step.
 *
 * A warp claims a run of messages of one lane, brings their bytes into device memory if they come from the host, serves
 * them, and hands them on: to the next step, or to the host. Which messages are there is found out by one warp a lane
 * at a time, the scout: descriptors of the host lie across the bus, and polling by every warp would fill it.
 *
 *   R1 host publishes        -> A1 scout reads, system scope
 *   R4 scout raises `ready`  -> A4 claiming warp reads, device scope: with A1, the payload is complete for it too
 *   R5 step hands on         -> A5 scout of the next step reads, device scope
 *   R10 the same of a pack   -> A10 the same
 *   R2 last step publishes   -> A2 host reads
 * (runtime/device/slot.h has the table's first half, docs/internals/memory-order.md all of it.)
 */
#ifndef GQ_DEVICE_ENTRY_CUDA_H
#define GQ_DEVICE_ENTRY_CUDA_H

#include <device/claim_cuda.h>
#include <device/count_cuda.h>
#include <device/run_cuda.h>
#if !defined(GQ_LINKED) /* else the plugin's unit says it */
#include <device/image_cuda.h>
#endif

#define GQ_SLOW_CYCLES 30000 /* a run that takes longer (some 15 us) is not done by a scout */
#define GQ_SHORT_NAP_NS 4000u
#define GQ_NAPS 5u

static __shared__ void *gq_grid_state; /* a variable of the module would make it slower to load */

static __device__ void *gq_entry_state(void) { return gq_grid_state; }

__device__ void gq_sync(void)
{
    if constexpr (gq_scope::kind == GQ_SCOPE_WARP)
        __syncwarp();
    else if constexpr (gq_scope::kind == GQ_SCOPE_BLOCK)
        __syncthreads();
}

/* --- bytes -------------------------------------------------------------------------------------------------------- */

struct gq_from_bus {
    static __device__ __forceinline__ uint4 load(const uint8_t *p, uint32_t) { return gq_load_once(p); }
};

/* The first `bytes` bytes of an aligned word: the others are not read. */
static __device__ __forceinline__ uint64_t gq_some_bytes(const uint8_t *p, uint32_t bytes)
{
    uint64_t word = 0;
    uint32_t at = 0;
    if (bytes >= 8)
        return *(const uint64_t *)p;
    if (bytes & 4) {
        word = *(const uint32_t *)p;
        at = 4;
    }
    if (bytes & 2) {
        word |= (uint64_t) * (const uint16_t *)(p + at) << (at * 8);
        at += 2;
    }
    return bytes & 1 ? word | (uint64_t)p[at] << (at * 8) : word;
}

/* From a slot in device memory or shared memory: behind a result's last byte nobody has written. */
struct gq_from_device {
    static __device__ __forceinline__ uint4 load(const uint8_t *p, uint32_t bytes)
    {
        if (bytes >= 16)
            return *(const uint4 *)p;
        const uint64_t low = gq_some_bytes(p, bytes), high = bytes > 8 ? gq_some_bytes(p + 8, bytes - 8) : 0;
        return make_uint4((uint32_t)low, (uint32_t)(low >> 32), (uint32_t)high, (uint32_t)(high >> 32));
    }
};

/* Copies, for each message i of a run, the first len[i] bytes of its slot, in words of 16 bytes, coalesced, four in
 * flight a thread. Slots are `stride` apart on both sides; the tail of a slot's last word is copied along. `team`
 * threads work together, of which this is number `me`; len_of(i) is asked for messages of the run alone. */
template <typename From, typename LenOf>
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
            const uint32_t len = i < total ? len_of(message) : 0;
            use[k] = word * 16 < len;
            at[k] = ((uint64_t)message * slot_words + word) * 16;
            if (use[k])
                v[k] = From::load(from + at[k], len - word * 16);
        }
#pragma unroll
        for (uint32_t k = 0; k < 4; k++)
            if (use[k])
                *(uint4 *)(to + at[k]) = v[k];
    }
}

/* --- one run: in, through the plugin, out ------------------------------------------------------------------------- */

/* What a thread knows of one message of the run. */
struct gq_item {
    uint32_t len; /* before: of the input; after: of the result */
    uint64_t meta;
};

/* Length and fate of message i as it came to this step. */
static __device__ gq_item gq_arrived(const gq_grid &g, const gq_claim &c, uint32_t i)
{
    const gq_sight &s = gq_sight_here();
    const uint64_t at = gq_slot_index(&s.view, c.first + i);
    if (c.express)
        return gq_item{c.len, c.word};
    if (g.old && gq_had_ended(s, c.first + i))
        return gq_item{0, gq_meta(0, 0, GQ_RESULT_PASSED, 0)};
    if (g.step > 0) {
        uint64_t meta;
        uint32_t len;
        if (gq_packs_in(s) && gq_pack_has(s, c.first + i, &len, &meta))
            return gq_item{len, meta};
        const gq_out_desc *hop = s.hop_in + at;
        return gq_item{(uint32_t)gq_dev_relaxed_u64(&hop->state), gq_dev_relaxed_u64(&hop->meta)};
    }
    const uint32_t len = s.made ? 0 : (uint32_t)(c.known ? c.word : gq_dev_relaxed_u64(&s.desc[at]));
    return gq_item{len < g.out_cap ? len : g.out_cap, gq_meta(0, 0, GQ_RESULT_OK, 0)};
}

/* The same as this step takes it up: its generation is the newest code that it has met, with this one's, which serves
 * those that are still good. Of this warp, not of the parameters alone: see gq_born. */
static __device__ gq_item gq_item_of(const gq_grid &g, const gq_claim &c, uint32_t i)
{
    const uint32_t born = gq_born.generation, own = born < g.generation ? born : g.generation;
    gq_item item = gq_arrived(g, c, i);
    if (gq_meta_status(item.meta) == GQ_RESULT_OK && gq_meta_generation(item.meta) < own)
        item.meta = gq_meta(own, 0, GQ_RESULT_OK, 0);
    return item;
}

/* Where the slots of a run lie while this step works on them; slots are `stride` apart, as everywhere. */
struct gq_place {
    uint8_t *in, *out;
};

static __device__ gq_message gq_message_of(const gq_grid &g, const gq_claim &c, const gq_place &p, uint32_t i,
                                           uint32_t len)
{
    const uint64_t seq = c.first + i, at = (uint64_t)i * gq_sight_here().view.stride;
    const uint64_t id = GQ_IMAGE_KIND ? gq_sight_here().first_index + seq * gq_sight_here().index_step
                                      : gq_slot_id(gq_sight_here().view.lane, seq);
    return gq_message{p.in + at, len, id, p.out + at, g.out_cap};
}

/* What became of a message. One of the threads that know it counts its attempts. */
static __device__ void gq_settle(const gq_grid &g, gq_item *item, const gq_outcome &o, bool counts = true)
{
    *item = gq_item{o.len, gq_meta(gq_meta_generation(item->meta), g.stage, o.status, o.code)};
    if (o.tries && counts) {
        const uint64_t sum = gq_dev_add_u64(&g.shared->retries, o.tries) + o.tries;
        gq_store_relaxed_u64(&g.worker->crumb[0].retries, sum); /* a statistic: nothing is ordered by it */
    }
}

/* Results of this step go to the host, bytes and all. */
static __device__ __forceinline__ bool gq_to_host(const gq_grid &g) { return g.step + 1 == g.steps && !gq_counts(g); }

/* Message i of the run leaves this step. */
static __device__ void gq_hand_on(const gq_grid &g, const gq_claim &c, uint32_t i, const gq_item &item)
{
    const uint64_t seq = c.first + i;
    if (g.old && gq_meta_status(item.meta) == GQ_RESULT_PASSED)
        return;
    if (gq_to_host(g)) {
        gq_slot_finish(&gq_sight_here().view, seq, item.len, item.meta); /* R2 pairs A2 */
        return;
    }
    gq_out_desc *hop = gq_sight_here().hop_out + gq_slot_index(&gq_sight_here().view, seq);
    gq_dev_release_pair(&hop->meta, item.meta, ((uint64_t)gq_slot_stamp(seq) << 32) | item.len); /* R5 pairs A5 */
}

static __device__ __forceinline__ bool gq_from_host(const gq_claim &c)
{
    return gq_sight_here().from_bus && !c.express;
}

static __device__ __forceinline__ uint32_t gq_bytes_out(const gq_item &item)
{
    return gq_meta_status(item.meta) == GQ_RESULT_OK ? item.len : 0;
}

/* An express message leaves in a line too, if its result fits. By a converged warp; `from` holds the result. */
static __device__ bool gq_answer(const gq_grid &g, const gq_claim &c, const gq_item &item, const uint8_t *from)
{
    const gq_sight &s = gq_sight_here();
    const uint32_t bytes = gq_bytes_out(item);
    if (!c.express || bytes > gq_express_bytes(g.out_cap))
        return false;
    gq_unit *line = gq_express_line(&s.view, s.answers, c.first);
    for (uint32_t i = gq_lane_of_warp(); i < gq_express_units(bytes); i += 32) {
        const uint64_t data = i == 0 ? item.meta
                              : i == 1
                                  ? item.len
                                  : gq_some_bytes(from + (i - GQ_EXPRESS_HEAD) * 8, bytes - (i - GQ_EXPRESS_HEAD) * 8);
        gq_store_unit(&line[i], c.first + 1, data); /* R6 pairs A6 */
    }
    return true;
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

/* A team's share of the block's memory: of a warp, or of the block in block scope. */
struct gq_desk {
    uint32_t *out_len; /* one word */
    uint32_t *lens;    /* 32 words */
    uint8_t *area;     /* two runs of slots, where slots are small enough (g.staged); NULL otherwise */
    uint8_t *in, *out; /* one express message and its result, g.express bytes each; NULL: there are none */
};

static __device__ gq_desk gq_desk_of(const gq_grid &g, uint8_t *areas, uint32_t team, uint32_t *out_len, uint32_t *lens)
{
    const uint32_t share = g.staged ? 64 * g.staged : 2 * g.express;
    uint8_t *mine = areas + (uint64_t)team * share;
    return gq_desk{out_len, lens, g.staged ? mine : nullptr, g.express ? mine : nullptr,
                   g.express ? mine + share / 2 : nullptr};
}

/* Small messages never touch device memory on their way from and to the host: they are worked on in shared memory. */
static __device__ gq_place gq_place_of(const gq_grid &g, const gq_claim &c, const gq_desk &desk)
{
    const gq_sight &s = gq_sight_here();
    const uint64_t at = gq_slot_index(&s.view, c.first) * s.view.stride;
    gq_place p = {s.in + at, s.out + at};
    if (c.express) {
        p.in = desk.in;
        if (g.out_cap <= g.express)
            p.out = desk.out;
        return p;
    }
    if (desk.area && gq_from_host(c))
        p.in = desk.area;
    if (desk.area && g.step + 1 == g.steps)
        p.out = desk.area + 32 * s.view.stride;
    return p;
}

static __device__ void gq_bring(const gq_claim &c, const gq_place &p, const gq_desk &desk, uint32_t len)
{
    const uint32_t longest = gq_share_lengths(desk.lens, len), *lens = desk.lens;
    const uint8_t *host = gq_slot_in(&gq_sight_here().view, c.first);
    gq_copy_run<gq_from_bus>(p.in, host, gq_sight_here().view.stride, c.count, longest, gq_lane_of_warp(), 32,
                             [lens](uint32_t i) { return lens[i]; });
    __syncwarp();
}

static __device__ void gq_take_away(const gq_claim &c, const gq_place &p, const gq_desk &desk, uint32_t len)
{
    const uint32_t longest = gq_share_lengths(desk.lens, len), *lens = desk.lens;
    uint8_t *host = gq_slot_out(&gq_sight_here().view, c.first);
    gq_copy_run<gq_from_device>(host, p.out, gq_sight_here().view.stride, c.count, longest, gq_lane_of_warp(), 32,
                                [lens](uint32_t i) { return lens[i]; });
    __syncwarp(); /* every thread's bytes before any thread publishes */
}

/* Thread scope: thread t serves message t. */
static __device__ void gq_serve_threads(const gq_grid &g, const gq_claim &c, const gq_place &p, gq_item *item)
{
    const uint32_t t = gq_lane_of_warp();
    if (t < c.count && gq_meta_status(item->meta) == GQ_RESULT_OK) {
        const gq_message m = gq_message_of(g, c, p, t, item->len);
        const gq_outcome o = gq_serve(m.cap, g.retries, [&m] {
            uint32_t raw = 0;
            gq_call(m, &raw);
            return raw;
        });
        gq_settle(g, item, o);
    }
    __syncwarp();
}

/* Warp scope: the warp serves one message after another; thread i keeps what became of message i. */
static __device__ void gq_serve_warp(const gq_grid &g, const gq_claim &c, const gq_place &p, uint32_t *out_len,
                                     gq_item *item)
{
    for (uint32_t i = 0; i < c.count; i++) {
        if (__shfl_sync(GQ_ALL, gq_meta_status(item->meta), i) != GQ_RESULT_OK)
            continue;
        const gq_message m = gq_message_of(g, c, p, i, __shfl_sync(GQ_ALL, item->len, i));
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
        if (gq_lane_of_warp() == i)
            gq_settle(g, item, o);
    }
    __syncwarp();
}

/* Thread and warp scope: by one converged warp, a run of up to 32 messages; thread t keeps message t. */
static __device__ void gq_run_warp(const gq_grid &g, const gq_claim &c, const gq_desk &desk)
{
    const bool mine = gq_lane_of_warp() < c.count;
    if (g.run)
        gq_tell_run(g, c.first, c.count);
    const gq_place place = gq_place_of(g, c, desk);
    gq_item item = {0, gq_meta(0, 0, GQ_RESULT_DROPPED, 0)};
    if (mine)
        item = gq_item_of(g, c, gq_lane_of_warp());
    if (gq_from_host(c))
        gq_bring(c, place, desk, mine ? item.len : 0);
    if constexpr (gq_scope::kind == GQ_SCOPE_THREAD)
        gq_serve_threads(g, c, place, &item);
    else
        gq_serve_warp(g, c, place, desk.out_len, &item);
    if (c.express) {
        item = gq_item{__shfl_sync(GQ_ALL, item.len, 0), __shfl_sync(GQ_ALL, item.meta, 0)};
        if (gq_answer(g, c, item, place.out))
            return;
    }
    if (gq_to_host(g))
        gq_take_away(c, place, desk, mine ? gq_bytes_out(item) : 0);
    else if (gq_scope::kind == GQ_SCOPE_THREAD && gq_hand_on_pack(g, c.first, c.count, item.len, item.meta))
        return;
    if (mine)
        gq_hand_on(g, c, gq_lane_of_warp(), item);
    __syncwarp();
}

/* Block scope: all threads of the block call the plugin once an attempt. */
static __device__ gq_outcome gq_serve_block(const gq_grid &g, const gq_message &m, uint32_t *out_len)
{
    return gq_serve(m.cap, g.retries, [&m, out_len] {
        if (threadIdx.x == 0)
            *out_len = 0;
        __syncthreads();
        gq_call(m, out_len);
        __syncthreads();
        const uint32_t raw = *(volatile uint32_t *)out_len;
        __syncthreads();
        return raw;
    });
}

/* Block scope: by all threads of the block, one message. */
static __device__ void gq_run_block(const gq_grid &g, const gq_claim &c, const gq_desk &desk)
{
    const gq_place place = gq_place_of(g, c, desk);
    const uint32_t stride = gq_sight_here().view.stride;
    gq_item item = gq_item_of(g, c, 0);
    const uint32_t len = item.len;
    if (gq_from_host(c)) {
        gq_copy_run<gq_from_bus>(place.in, gq_slot_in(&gq_sight_here().view, c.first), stride, 1, len, threadIdx.x,
                                 blockDim.x, [len](uint32_t) { return len; });
        __syncthreads();
    }
    if (gq_meta_status(item.meta) == GQ_RESULT_OK)
        gq_settle(g, &item, gq_serve_block(g, gq_message_of(g, c, place, 0, len), desk.out_len), threadIdx.x == 0);
    if (c.express) {
        const bool fits = gq_bytes_out(item) <= gq_express_bytes(g.out_cap);
        if (fits && threadIdx.x < 32)
            gq_answer(g, c, item, place.out);
        __syncthreads();
        if (fits)
            return;
    }
    if (gq_to_host(g)) {
        const uint32_t bytes = gq_bytes_out(item);
        gq_copy_run<gq_from_device>(gq_slot_out(&gq_sight_here().view, c.first), place.out, stride, 1, bytes,
                                    threadIdx.x, blockDim.x, [bytes](uint32_t) { return bytes; });
    }
    __syncthreads();
    if (threadIdx.x == 0)
        gq_hand_on(g, c, 0, item);
    __syncthreads();
}

/* --- the loop ----------------------------------------------------------------------------------------------------- */

/* The first warps of the grid stay awake; the others sleep longer and longer while there is nothing to do. */
static __device__ __forceinline__ void gq_rest(const gq_grid &g, uint32_t warp, uint32_t idle)
{
    if (idle < 16)
        return;
    const bool awake = g.poll == GQ_GRID_SPIN || (g.poll == GQ_GRID_ADAPTIVE && warp < 256);
    /* In naps: a grid has left when the last of its warps has. */
    for (uint32_t naps = awake || idle < 64 ? 1 : GQ_NAPS; naps > 0 && gq_dev_relaxed_u32(gq_order(g)) < g.launch;
         naps--)
        __nanosleep(awake ? 100 : idle < 64 ? 1000 : GQ_SHORT_NAP_NS);
}

/* A run for this warp: claims what is ready, or looks for more. */
static __device__ gq_claim gq_find(const gq_grid &g, gq_watch_state *w, uint32_t *turn, uint32_t want)
{
    gq_claim claim = gq_no_claim();
    if (!w->lane) {
        const uint32_t lanes = gq_dev_relaxed_u32(&g.shared->lane_count);
        if (lanes == 0) { /* nobody polls the bus yet: the first warp looks for the stop word */
            if (blockIdx.x == 0 && threadIdx.x < 32)
                gq_watch(g, gq_load_relaxed_u32(&g.host->stop) != 0, 0);
            return claim;
        }
        gq_grid_lane *l = &g.lane[*turn % lanes];
        if (!gq_serves(g.lanes, l)) {
            *turn += 1;
            return claim;
        }
        /* In a trial at most one message, which is what is told. */
        claim = gq_claim_run(g, l, *turn / lanes % GQ_SHARES, want, w->slow || g.run);
        if (claim.count)
            return claim;
        if (g.run)
            gq_forget_run(g);
        *turn += 1;
        /* In turns: the only team of a grid could always be the scout. */
        if (gq_counts(g) && g.step + 1 == g.steps && *turn / lanes % 2) {
            gq_count(g, l);
            return claim;
        }
        if (!gq_take_watch(g, l, w))
            return claim;
    }
    return gq_keep_watch(g, w, want);
}

static __device__ uint32_t gq_want(const gq_grid &g) { return g.single ? 1 : gq_run_most(gq_scope::kind, g.out_cap); }

static __device__ __forceinline__ gq_claim gq_find_rest(const gq_grid &g, uint32_t turn, uint32_t want)
{
    const uint32_t lanes = gq_dev_relaxed_u32(&g.shared->lane_count);
    const gq_rest_of rest = gq_claim_rest(g.lane, lanes, g.step, turn, want, g.lanes);
    gq_claim claim = gq_no_claim();
    claim.first = rest.first;
    claim.count = rest.count;
    if (claim.count)
        gq_see(g, &g.lane[rest.lane]);
    return claim;
}

/* The next part of a claim that a team serves at once: it does not wrap around the ring. */
static __device__ __forceinline__ gq_claim gq_next_part(gq_claim *c, uint32_t want, bool packs)
{
    gq_claim part = *c;
    part.count = gq_bounded(c->first, c->count, gq_run_of(packs, c->first, want));
    c->first += part.count;
    c->count -= part.count;
    c->known = false;
    return part;
}

/* The order, if it is to this grid; else 0. A scout gives up its watch when its look has shown it an order. */
static __device__ __forceinline__ uint32_t gq_leaving(const gq_grid &g, const gq_watch_state &w)
{
    const uint32_t order = w.lane ? 0 : gq_dev_relaxed_u32(gq_order(g));
    if (order < g.launch)
        return 0;
    return gq_born.launch == g.launch ? order : GQ_GRID_NOW; /* strays claim nothing */
}

/* A run for this warp. When there is none and `order` is to leave, it leaves. */
static __device__ __forceinline__ gq_claim gq_take_turn(const gq_grid &g, gq_watch_state *w, uint32_t *turn,
                                                        uint32_t want, uint32_t order)
{
    if (order == 0)
        return gq_find(g, w, turn, want);
    return order == GQ_GRID_NOW ? gq_no_claim() : gq_find_rest(g, *turn, want);
}

static __device__ void gq_loop_warps(const gq_grid &g, const gq_desk &desk)
{
    const uint32_t warp = (blockIdx.x * blockDim.x + threadIdx.x) / 32, want = gq_want(g);
    gq_watch_state watch = {};
    watch.in = desk.in;
    watch.slow = true; /* until a run has shown otherwise */
    uint32_t turn = warp;
    for (uint32_t idle = 0;; idle++) {
        const uint32_t order = gq_leaving(g, watch);
        gq_claim c = gq_take_turn(g, &watch, &turn, want, order);
        if (order && c.count == 0)
            return;
        if (c.count == 0 && !watch.lane)
            gq_rest(g, warp, idle);
        while (c.count) {
            const long long start = clock64();
            gq_run_warp(g, gq_next_part(&c, want, gq_packs(g)), desk);
            watch.slow = clock64() - start > GQ_SLOW_CYCLES;
            idle = 0;
        }
    }
}

static __device__ void gq_loop_blocks(const gq_grid &g, const gq_desk &desk)
{
    __shared__ gq_claim claim;
    __shared__ uint32_t leave, watching;
    gq_watch_state watch = {}; /* of the block's first warp */
    watch.in = desk.in;
    watch.slow = true;
    uint32_t turn = blockIdx.x;
    for (uint32_t idle = 0;; idle++) {
        if (threadIdx.x < 32) {
            const uint32_t order = gq_leaving(g, watch);
            const gq_claim c = gq_take_turn(g, &watch, &turn, 1, order);
            if (g.run && c.count)
                gq_tell_run(g, c.first, c.count);
            if (threadIdx.x == 0) {
                claim = c;
                leave = order && c.count == 0;
                watching = watch.lane != nullptr;
            }
        }
        __syncthreads();
        gq_claim mine = claim;
        const uint32_t last = leave, awake = watching;
        __syncthreads();
        if (last)
            return;
        if (mine.count == 0 && !awake)
            gq_rest(g, blockIdx.x, idle);
        while (mine.count) {
            const long long start = clock64();
            gq_run_block(g, gq_next_part(&mine, 1, false), desk);
            watch.slow = clock64() - start > GQ_SLOW_CYCLES;
            idle = 0;
        }
    }
}

/* Memory of another version of the stage becomes this one's, if it has any: by one thread, and nothing else runs. */
static __device__ void gq_take_over(const gq_grid &g)
{
#if defined(GQ_LINKED)
    if (threadIdx.x == 0 && g.state)
        gq_seam_call((const uint8_t *)g.old_state, g.old_bytes, g.old_version, (uint8_t *)g.state, GQ_SEAM_MIGRATE,
                     nullptr);
#else
    if constexpr (gq_migration::value)
        if (threadIdx.x == 0 && g.state)
            gq_migrate(g.old_state, g.old_bytes, g.old_version, g.state);
#endif
}

/* blockDim.x is a multiple of 32; in block scope the plugin's thread count. */
extern __shared__ uint4 gq_areas[]; /* what gq_desk_of() deals out */

extern "C" __global__ void gq_grid_main(const gq_grid g)
{
    __shared__ uint32_t out_len[32];  /* one a warp */
    __shared__ uint32_t lens[32][32]; /* a warp's run: lengths on their way in, then out */
    __shared__ uint32_t refused;
    if (g.old_state) {
        gq_take_over(g);
        return;
    }
    if (threadIdx.x < 32)
        gq_sights[threadIdx.x].lane = nullptr;
    if (threadIdx.x == 0) {
        gq_grid_state = g.state;
        gq_born.launch = g.launch;
        gq_born.generation = g.generation;
        gq_run_told = 0;
        refused = gq_dev_relaxed_u32(&g.shared->order[g.step].refused) == g.launch;
        if (g.limit_ns)
            gq_dev_cas_u64(&g.shared->end_ns, 0, gq_globaltimer() + g.limit_ns);
    }
    __syncthreads();
    uint8_t *areas = (uint8_t *)gq_areas;
    const uint32_t warp = threadIdx.x / 32;
    if (!refused) {
        if constexpr (gq_scope::kind == GQ_SCOPE_BLOCK)
            gq_loop_blocks(g, gq_desk_of(g, areas, 0, &out_len[0], lens[0]));
        else
            gq_loop_warps(g, gq_desk_of(g, areas, warp, &out_len[warp], lens[warp]));
    }
    __syncthreads();
    if (threadIdx.x == 0)
        atomicAdd(&g.shared->order[g.step].left, 1u);
}

#endif
