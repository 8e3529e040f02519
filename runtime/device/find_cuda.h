/* find_cuda.h - how the warps of a grid find messages: one scout a lane polls across the bus, all others claim in
 * device memory. Part of entry_cuda.h, which has the table of edges.
 */
#ifndef GQ_DEVICE_FIND_CUDA_H
#define GQ_DEVICE_FIND_CUDA_H

#include <device/grid.h>
#include <device/words_cuda.h>

/* What is rarely run must take no registers of what always runs: it is a call, where the compiler is free in how many
 * it takes. Where it is bound, it does as well inlined, and every function makes an image slower to load. */
#if defined(GQ_LINKED)
#define GQ_RARE static __device__ __forceinline__
#else
#define GQ_RARE extern "C" __device__ __noinline__ /* a name that is the same in every build */
#endif

/* 1: a source plugin makes the messages. Who serves a host's pays for nothing that is about packs. */
#if !defined(GQ_PACKS)
#define GQ_PACKS 0
#endif

/* Are results only counted? Those alone that a source plugin's messages have: who counts is a fifth of the code. */
static __device__ __forceinline__ bool gq_counts(const gq_grid &g) { return GQ_PACKS && g.counted; }

#define GQ_ALL 0xffffffffu
#define GQ_LOOKS 16u      /* words a scout's thread reads at a time when messages come fast */
#define GQ_PLENTY 1024u   /* messages ready, from which on a claim takes a block */
#define GQ_PATIENCE 64u   /* looks in vain before another warp may be the scout */
#define GQ_TIME_LOOKS 64u /* looks of a scout between two at the clock */
#define GQ_NAP_NS 20000u  /* of a scout between looks, where queue.poll is sleep and nothing has come for long */
#define GQ_ROUNDS 65536u  /* looks of one scout */
#define GQ_BRIEF 256u     /* looks of one where other lanes, or what it found, may have nobody else */

/* --- finding messages --------------------------------------------------------------------------------------------- */

static __device__ __forceinline__ uint32_t gq_lane_of_warp() { return threadIdx.x % 32; }

/* Behind another's fault a device may go on with warps of a launch that left long ago, in the place of this one: then
 * the parameters are this launch's, and what the warps keep is not. A launch and its generation, as a block found them
 * when it began. */
static __shared__ struct {
    uint32_t launch, generation;
} gq_born;

/* What a team (a warp; in block scope the block) must know of the lane that it looks at or works on. It is kept in
 * shared memory, for loads from memory return in the order in which they were issued: an address that had to be read
 * first would wait for the look before it, across the bus. */
struct gq_sight {
    gq_grid_lane *lane; /* NULL: none yet */
    gq_lane_view view;
    const uint8_t *words; /* of this step: the host's descriptors, or the states that the step before left */
    const uint8_t *lines; /* express lines that this step reads; NULL: it has none */
    uint8_t *answers;     /* express lines that it writes */
    uint8_t *in, *out;    /* rings of slots that it reads and writes */
    const gq_out_desc *hop_in;
    gq_out_desc *hop_out;
    const gq_unit *packs_in; /* NULL: there are none */
    gq_unit *packs_out;
    uint64_t *desc;
    uint64_t first_index, index_step;
    uint32_t apart; /* bytes from one word to the next */
    uint32_t block_shift;
    uint32_t made;     /* a source plugin makes the lane's messages */
    uint32_t from_bus; /* this step reads the host's messages */
    uint64_t known;    /* of messages below it, some had ended before */
    const uint32_t *ended;
};

static __shared__ gq_sight gq_sights[32];

static __device__ __forceinline__ gq_sight &gq_sight_here()
{
    return gq_sights[gq_scope::kind == GQ_SCOPE_BLOCK ? 0 : threadIdx.x / 32];
}

/* By a converged warp: from here on it sees lane `l`. */
static __device__ void gq_see(const gq_grid &g, gq_grid_lane *l)
{
    gq_sight &s = gq_sight_here();
    if (s.lane == l)
        return;
    __syncwarp(); /* nobody reads the old one any more */
    if (gq_lane_of_warp() == 0) {
        const uint64_t capacity = (uint64_t)l->view.mask + 1,
                       lines = (uint64_t)GQ_EXPRESS_LINES * l->view.express_stride;
        s.view = l->view;
        s.block_shift = l->block_shift;
        s.made = l->generated;
        s.from_bus = g.step == 0 && !l->generated;
        s.hop_in = g.step ? l->hop + (g.step - 1) * capacity : nullptr;
        s.hop_out = l->hop + g.step * capacity;
        if constexpr (GQ_PACKS) {
            s.packs_in = l->packs && g.step ? l->packs + (g.step - 1) * (capacity / GQ_PACK) : nullptr;
            s.packs_out =
                l->packs && (g.step + 1 < g.steps || g.counted) ? l->packs + g.step * (capacity / GQ_PACK) : nullptr;
        }
        s.words = g.step ? (const uint8_t *)&s.hop_in->state : (const uint8_t *)l->view.in_desc;
        s.apart = g.step ? sizeof(gq_out_desc) : sizeof(gq_in_desc);
        s.lines = g.step ? l->express + (g.step - 1) * lines : l->view.in_express;
        if (!g.express || l->generated)
            s.lines = nullptr;
        s.answers = g.step + 1 == g.steps ? l->view.out_express : l->express + g.step * lines;
        s.in = l->slot[g.step & 1];
        s.out = l->slot[(g.step + 1) & 1];
        s.desc = l->desc;
        s.first_index = l->first_index;
        s.index_step = l->index_step;
        s.known = l->known;
        s.ended = l->ended;
        s.lane = l;
    }
    __syncwarp();
}

/* Had message seq ended before this worker came? */
static __device__ __forceinline__ bool gq_had_ended(const gq_sight &s, uint64_t seq)
{
    if (seq >= s.known)
        return false;
    const uint32_t at = (uint32_t)gq_slot_index(&s.view, seq);
    return s.ended[at / 32] >> at % 32 & 1;
}

/* A warp that is the scout of a lane, and what it alone knows. */
struct gq_watch_state {
    gq_grid_lane *lane; /* NULL: this warp is nobody's scout */
    uint64_t from;      /* first message not looked at */
    bool clear;         /* it claimed all below `from` itself: `next` and `ready` lag behind until they are written */
    uint32_t wide;      /* how many messages come at a time: 0 few, 3 very many */
    bool quiet;         /* nothing has come for a millisecond */
    bool busy;          /* the last look found more than an express lane carries */
    bool big;           /* express messages come that need more than one round of loads */
    bool slow;          /* its last run took long: others must not wait for the next one */
    uint64_t waited;    /* a look has waited for the express line of message `waited - 1` already */
    uint32_t leave;     /* its grid's order, as the last look saw it; GQ_GRID_NOW if the host says stop */
    uint32_t looks;     /* since it kept an express message, which it then answered */
    uint32_t beat;      /* looks that it took to see that message */
    uint32_t delay;     /* cycles from such an answer to the first look */
    uint32_t empty, rounds;
    uint8_t *in; /* shared memory for an express message */
};

/* Ones of `mask` from bit 0 upwards. */
static __device__ __forceinline__ uint32_t gq_prefix(uint32_t mask) { return mask == GQ_ALL ? 32 : __ffs(~mask) - 1; }

/* The host's words where the warps that claim these messages find them: lengths, without crossing the bus again. */
static __device__ __forceinline__ void gq_keep_word(uint64_t seq, uint64_t word)
{
    const gq_sight &s = gq_sight_here();
    s.desc[gq_slot_index(&s.view, seq)] = word;
}

static __device__ __forceinline__ const uint32_t *gq_order(const gq_grid &g) { return &g.shared->order[g.step].leave; }

/* Where a scout sees the host's stop word: steps behind the first stay off the bus, and read their order twice. */
static __device__ __forceinline__ const uint32_t *gq_stop_word(const gq_grid &g)
{
    return g.step ? gq_order(g) : &g.host->stop;
}

static __device__ __forceinline__ uint32_t gq_heed(const gq_grid &g, uint32_t order, uint32_t stop)
{
    return g.step == 0 && stop ? GQ_GRID_NOW : order;
}

/* Behind a look's relaxed loads: what they saw was written by the host, or by a warp of the step before. */
static __device__ __forceinline__ void gq_fence_look(const gq_grid &g)
{
    if (g.step == 0)
        gq_fence_sys();
    else
        gq_fence_gpu();
}

/* By a converged warp that holds the lock of a scout behind the first step: how many messages stand ready from `from`
 * on, of those that came before this worker. Apart from other looks, which are many. The first step's scouts look at no
 * such message. */
GQ_RARE uint32_t gq_look_old(const gq_sight *s, uint64_t from)
{
    const uint64_t seq = from + gq_lane_of_warp();
    const uint64_t word =
        gq_load_relaxed_u64((const uint64_t *)(s->words + (seq & s->view.mask) * s->apart)); /* A5 pairs R5 */
    const bool stamped = (uint32_t)(word >> 32) == gq_slot_stamp(seq);
    const bool there = seq < s->known && (stamped || gq_had_ended(*s, seq));
    const uint32_t found = gq_prefix(__ballot_sync(GQ_ALL, there));
    gq_fence_gpu();
    return found;
}

/* Where packs of this step's messages are, and are told; NULL: there are none. */
static __device__ __forceinline__ const gq_unit *gq_packs_in(const gq_sight &s)
{
    return GQ_PACKS ? s.packs_in : nullptr;
}

static __device__ __forceinline__ gq_unit *gq_packs_out(const gq_sight &s) { return GQ_PACKS ? s.packs_out : nullptr; }

/* By a converged warp that holds the scout's lock: how many messages stand ready from `from` on in packs. */
GQ_RARE uint32_t gq_look_packs(const gq_sight *s, uint64_t from)
{
    const uint64_t seq = from + gq_lane_of_warp() * GQ_PACK;
    if (from % GQ_PACK)
        return 0;
    const uint64_t stamp =
        gq_load_relaxed_u64(&s->packs_in[gq_pack_index(s->view.mask, seq)].stamp); /* A10 pairs R10 */
    const uint32_t found = gq_prefix(__ballot_sync(GQ_ALL, stamp == gq_pack_stamp(seq)));
    if (found)
        gq_fence_gpu();
    return found * GQ_PACK;
}

/* By a converged warp that holds the scout's lock: how many messages stand ready from `from` on. Reads are relaxed, so
 * that all of them cross the bus at once; one fence behind them makes them acquire. Thread t's *word is that of message
 * from + t; the others are kept where they are needed. */
template <uint32_t Looks> static __device__ uint32_t gq_look(const gq_grid &g, gq_watch_state *w, uint64_t *first)
{
    const gq_sight &s = gq_sight_here();
    const uint8_t *words = s.words;
    const uint32_t apart = s.apart, mask = s.view.mask;
    const uint64_t seq = w->from + gq_lane_of_warp();
    uint64_t word[Looks];
    const uint32_t order = gq_dev_relaxed_u32(gq_order(g)); /* it is near, and so before what crosses the bus */
    /* No branch between the loads: one that had to be decided first would wait for the load before it. */
#pragma unroll
    for (uint32_t k = 0; k < Looks; k++)
        word[k] = gq_load_relaxed_u64(
            (const uint64_t *)(words + ((seq + k * 32) & mask) * apart)); /* A1 pairs R1, A5 pairs R5 */
    w->leave = gq_heed(g, order, gq_load_relaxed_u32(gq_stop_word(g)));
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
        gq_fence_look(g);
#pragma unroll
    for (uint32_t k = 1; k < Looks; k++)
        if (k * 32 + gq_lane_of_warp() < found && s.from_bus)
            gq_keep_word(seq + k * 32, word[k]);
    *first = word[0];
    return found;
}

/* Host says stop, or the limit is over: all grids are told. By a scout, whose look crosses the bus anyway. */
static __device__ void gq_watch(const gq_grid &g, bool stop, uint32_t round)
{
    const bool late =
        g.limit_ns && round % GQ_TIME_LOOKS == 0 && gq_globaltimer() > gq_dev_relaxed_u64(&g.shared->end_ns);
    if ((stop || late) && gq_lane_of_warp() < g.steps)
        gq_dev_store_u32(&g.shared->order[gq_lane_of_warp()].leave, GQ_GRID_NOW);
}

/* Messages of the lane that the team sees. */
struct gq_claim {
    uint64_t first;
    uint32_t count; /* 0: nothing was there, or another warp was faster */
    bool known;     /* thread t has the word of message first + t */
    bool express;   /* one message, from an express line: `len` bytes lie in the express area of shared memory */
    uint32_t len;
    uint64_t word; /* express: meta */
};

static __device__ __forceinline__ gq_claim gq_no_claim() { return gq_claim{0, 0, false, false, 0, 0}; }

static __device__ __forceinline__ uint32_t gq_bounded(uint64_t first, uint64_t count, uint32_t want)
{
    const uint64_t mask = gq_sight_here().view.mask, to_wrap = mask + 1 - (first & mask);
    count = count < want ? count : want;
    return (uint32_t)(count < to_wrap ? count : to_wrap);
}

/* Messages of a source plugin are there by number. */
static __device__ uint32_t gq_look_up(const gq_grid &g, gq_watch_state *w)
{
    const uint32_t order = gq_dev_relaxed_u32(gq_order(g));
    const uint64_t limit = gq_slot_limit(&gq_sight_here().view); /* A3 pairs R3 */
    w->leave = gq_heed(g, order, gq_load_relaxed_u32(gq_stop_word(g)));
    return limit > w->from ? (uint32_t)min((unsigned long long)(limit - w->from), 1ull << 30) : 0;
}

/* --- express lines ------------------------------------------------------------------------------------------------ */

#define GQ_TURNS 8u        /* looks in a row */
#define GQ_DELAY_MORE 100u /* cycles */
#define GQ_DELAY_LESS 4u
#define GQ_DELAY_MAX 3300u   /* about a trip across the bus */
#define GQ_EXPRESS_ALONE 4u  /* more messages than this at a time had better be served together */
#define GQ_EXPRESS_ROUNDS 5u /* loads of a thread for the longest line: 2 + 1024 / 8 units over 32 threads */

/* Whether the line of message `from` is complete, as far as the units in `data` go: thread t has units t, 32 + t, ...
 * If so its payload is put into the scout's area. */
template <uint32_t Rounds>
static __device__ bool gq_unpack_express(const gq_grid &g, gq_watch_state *w, const uint64_t (&stamp)[Rounds],
                                         const uint64_t (&data)[Rounds], gq_claim *claim)
{
    const uint32_t t = gq_lane_of_warp();
    const uint64_t want = w->from + 1;
    const uint32_t head = __ballot_sync(GQ_ALL, stamp[0] == want);
    if ((head & 3u) != 3u)
        return false;
    const uint64_t meta = __shfl_sync(GQ_ALL, data[0], 0);
    const uint32_t told = (uint32_t)__shfl_sync(GQ_ALL, data[0], 1), most = gq_express_bytes(g.out_cap);
    const bool bytes = gq_meta_status(meta) == GQ_RESULT_OK; /* else `told` is what a step before reported */
    const uint32_t len = bytes && told > most ? most : told, units = gq_express_units(bytes ? len : 0);
    w->big = units > 32;
    if (units > Rounds * 32)
        return false;
    bool whole = true;
#pragma unroll
    for (uint32_t k = 0; k < Rounds; k++)
        whole = whole && (k * 32 + t >= units || stamp[k] == want);
    if (!__all_sync(GQ_ALL, whole))
        return false;
#pragma unroll
    for (uint32_t k = 0; k < Rounds; k++)
        if (k * 32 + t >= GQ_EXPRESS_HEAD && k * 32 + t < units)
            *(uint64_t *)(w->in + (k * 32 + t - GQ_EXPRESS_HEAD) * 8) = data[k];
    __syncwarp();
    *claim = gq_claim{w->from, 1, false, true, len, meta};
    return true;
}

/* Who sends a message when it has the answer to the one before keeps a rhythm. A look that just misses the message sees
 * it a trip across the bus later, so the looks are moved: the first one after an answer starts `delay` cycles later,
 * and the delay shrinks, slowly, until a message is seen one look later than the one before; then it grows by a larger
 * step. For whoever keeps no rhythm the looks come when they come, as before. */
static __device__ __forceinline__ void gq_await_rhythm(const gq_watch_state *w)
{
    for (const long long start = clock64(); w->looks == 0 && clock64() - start < (long long)w->delay;)
        ;
}

static __device__ __forceinline__ void gq_tune_rhythm(gq_watch_state *w)
{
    if (w->looks == w->beat + 1)
        w->delay += GQ_DELAY_MORE;
    else if (w->looks == w->beat)
        w->delay = w->delay > GQ_DELAY_LESS ? w->delay - GQ_DELAY_LESS : w->beat > 1 ? GQ_DELAY_MAX : 0;
    if (w->delay > GQ_DELAY_MAX)
        w->delay = 0;
    w->beat = w->looks;
    w->looks = 0;
}

/* Looks at the words of up to 32 messages and at the express line of the first, all loads at once, `turns` times at
 * most. Returns how many messages stand ready by their words; claim->count is 1 if the first came by express. */
template <uint32_t Rounds>
static __device__ uint32_t gq_look_express(const gq_grid &g, gq_watch_state *w, uint64_t *word, gq_claim *claim)
{
    const gq_sight &s = gq_sight_here();
    const uint64_t seq = w->from + gq_lane_of_warp();
    const uint32_t line_apart = s.view.express_stride, last = line_apart / (uint32_t)sizeof(gq_unit) - 1;
    const gq_unit *line = (const gq_unit *)(s.lines + (w->from % GQ_EXPRESS_LINES) * line_apart);
    const uint64_t *at = (const uint64_t *)(s.words + (seq & s.view.mask) * s.apart);
    if (g.step == 0)
        gq_await_rhythm(w);
    for (uint32_t turns = GQ_TURNS;; turns--) {
        uint64_t stamp[Rounds], data[Rounds];
        const uint32_t order = gq_dev_relaxed_u32(gq_order(g));
#pragma unroll
        for (uint32_t k = 0; k < Rounds; k++)
            gq_load_unit(&line[min(gq_lane_of_warp() + k * 32, last)], &stamp[k], &data[k]); /* A6 pairs R6 */
        *word = gq_load_relaxed_u64(at);
        w->leave = gq_heed(g, order, gq_load_relaxed_u32(gq_stop_word(g)));
        w->looks++;
        const bool there = (uint32_t)(*word >> 32) == gq_slot_stamp(seq);
        const uint32_t found = gq_prefix(__ballot_sync(GQ_ALL, there));
        if (found <= GQ_EXPRESS_ALONE && gq_unpack_express<Rounds>(g, w, stamp, data, claim)) {
            gq_tune_rhythm(w);
            return 1;
        }
        if (found)
            gq_fence_look(g);
        if (found || turns == 1 || w->leave >= g.launch)
            return found;
    }
}

/* Teams of this grid: warps, or blocks in block scope. */
static __device__ __forceinline__ uint32_t gq_teams()
{
    return gq_scope::kind == GQ_SCOPE_BLOCK ? gridDim.x : gridDim.x * (blockDim.x / 32);
}

/* A scout whose watch is brief: where all teams may be scouts, nobody would claim what they find. */
static __device__ __forceinline__ bool gq_is_brief(const gq_watch_state *w)
{
    return w->rounds >= GQ_ROUNDS - GQ_BRIEF;
}

static __device__ __forceinline__ bool gq_has_enough(const gq_grid &g, const gq_watch_state *w)
{
    const bool hurried = gq_is_brief(w) && g.poll != GQ_GRID_SLEEP;
    return w->empty > (hurried ? GQ_PATIENCE / 8 : GQ_PATIENCE) || w->rounds > GQ_ROUNDS || w->leave >= g.launch;
}

/* By a converged warp: becomes the lane's scout if it has none. */
static __device__ bool gq_take_watch(const gq_grid &g, gq_grid_lane *l, gq_watch_state *w)
{
    gq_grid_cursor *c = &l->cursor[g.step];
    uint32_t locked = 0;
    if (gq_lane_of_warp() == 0 && gq_dev_relaxed_u32(&c->scout) == 0)
        locked = atomicCAS(&c->scout, 0, 1) == 0;
    if (!__shfl_sync(GQ_ALL, locked, 0))
        return false;
    __threadfence(); /* A7 pairs R7 */
    gq_see(g, l);
    w->lane = l;
    w->from = gq_dev_relaxed_u64(&c->ready);
    w->clear = w->big = w->busy = false;
    w->quiet = gq_dev_relaxed_u32(&c->quiet);
    w->wide = 0;
    w->looks = 1; /* it has answered nobody */
    w->beat = w->delay = 0;
    w->waited = 0;
    w->leave = 0;
    w->empty = 0;
    w->rounds = gq_teams() <= gq_dev_relaxed_u32(&g.shared->lane_count) ? GQ_ROUNDS - GQ_BRIEF : 0;
    return true;
}

/* Everything below `ready` may be claimed by any warp. What the scout claimed itself stays its own. */
static __device__ void gq_publish(const gq_grid &g, gq_watch_state *w, uint64_t ready)
{
    gq_grid_cursor *c = &w->lane->cursor[g.step];
    __syncwarp();   /* every thread's words before one thread publishes them */
    if (w->clear) { /* before R4: who sees the new `ready` sees it */
        if (gq_lane_of_warp() < GQ_SHARES)
            gq_store_relaxed_u64(&c->share[gq_lane_of_warp()].next,
                                 gq_share_first(gq_sight_here().block_shift, gq_lane_of_warp(), w->from));
        __syncwarp();
    }
    if (gq_lane_of_warp() == 0)
        gq_dev_release_u64(&c->ready, ready); /* R4 pairs A4 */
    w->clear = false;
    w->from = ready;
}

static __device__ void gq_leave_watch(const gq_grid &g, gq_watch_state *w)
{
    gq_publish(g, w, w->from);
    if (gq_lane_of_warp() == 0)
        gq_dev_store_u32(&w->lane->cursor[g.step].quiet, w->empty > GQ_PATIENCE);
    if (gq_lane_of_warp() == 0)
        gq_dev_release_u32(&w->lane->cursor[g.step].scout, 0); /* R7 pairs A7 */
    w->lane = nullptr;
}

/* Nothing is left to claim, so nobody else can move any `next` until `ready` is raised. */
static __device__ bool gq_is_clear(const gq_grid &g, const gq_watch_state *w)
{
    if (w->clear)
        return true;
    const uint32_t n = gq_lane_of_warp() % GQ_SHARES;
    return __all_sync(GQ_ALL, gq_dev_relaxed_u64(&w->lane->cursor[g.step].share[n].next) >= w->from);
}

/* One look of the kind that fits. `claim` is of one message if it came by express. */
static __device__ uint32_t gq_look_around(const gq_grid &g, gq_watch_state *w, uint64_t *word, gq_claim *claim)
{
    const gq_sight &s = gq_sight_here();
    if (g.step == 0 && s.made)
        return gq_look_up(g, w);
    if (g.old && g.step > 0 && w->from < s.known) {
        w->leave = gq_dev_relaxed_u32(gq_order(g));
        return gq_look_old(&s, w->from);
    }
    if (g.step > 0 && gq_packs_in(s)) {
        const uint32_t found = gq_look_packs(&s, w->from);
        if (found) {
            w->leave = gq_dev_relaxed_u32(gq_order(g));
            return found;
        }
    }
    if (w->wide)
        return w->wide == 1   ? gq_look<GQ_LOOKS / 4>(g, w, word)
               : w->wide == 2 ? gq_look<GQ_LOOKS / 2>(g, w, word)
                              : gq_look<GQ_LOOKS>(g, w, word);
    /* A lane with many messages in flight sends none by express, and looks at lines in vain fill the bus. */
    if (!s.lines || !w->clear || w->busy)
        return gq_look<1>(g, w, word);
    const uint32_t found =
        w->big ? gq_look_express<GQ_EXPRESS_ROUNDS>(g, w, word, claim) : gq_look_express<1>(g, w, word, claim);
    if (g.step > 0 || found != 1 || claim->count || w->waited == w->from + 1)
        return found;
    /* Its word was there and its line was not: the host writes the line first, so the next look will see both. */
    w->waited = w->from + 1;
    w->empty = 0;
    return 0;
}

/* By the scout: the `count` messages behind those it looked at are its own, without a word to anybody. */
static __device__ void gq_keep(const gq_grid &g, gq_watch_state *w, uint32_t count)
{
    w->clear = true;
    w->from += count;
    if (w->slow)
        gq_leave_watch(g, w);
}

/* By the scout: one look. A few messages it claims itself: they save their way through device memory. Many it leaves to
 * the warps that claim, and goes on looking. */
static __device__ gq_claim gq_keep_watch(const gq_grid &g, gq_watch_state *w, uint32_t want)
{
    const bool words = gq_sight_here().from_bus;
    gq_claim claim = gq_no_claim();
    uint64_t word = 0;
    if (!w->wide)
        w->clear = gq_is_clear(g, w);
    if (g.poll == GQ_GRID_SLEEP && w->quiet)
        __nanosleep(GQ_NAP_NS);
    const uint32_t found = gq_look_around(g, w, &word, &claim);
    w->quiet = w->quiet && found == 0;
    gq_watch(g, w->leave == GQ_GRID_NOW, w->rounds);
    if (found && found < 32)
        w->clear = gq_is_clear(g, w);
    w->empty = found ? 0 : w->empty + 1;
    w->busy = found > GQ_EXPRESS_ALONE;
    /* What is read in vain fills the bus, too: a look is as wide as what the last one found. */
    w->wide = found < 32 ? 0 : found < GQ_LOOKS * 8 ? 1 : found < GQ_LOOKS * 16 ? 2 : 3;
    w->rounds++;
    if (gq_has_enough(g, w)) {
        gq_leave_watch(g, w);
        return gq_no_claim();
    }
    if (found == 0)
        return gq_no_claim();
    if (claim.count) {
        gq_keep(g, w, 1);
        return claim;
    }
    if (found < 32 && found <= want && w->clear) {
        claim = gq_claim{w->from, gq_bounded(w->from, found, want), words, false, 0, word};
        gq_keep(g, w, claim.count);
        return claim;
    }
    if (words && gq_lane_of_warp() < found)
        gq_keep_word(w->from + gq_lane_of_warp(), word);
    gq_publish(g, w, w->from + found);
    if (gq_is_brief(w))
        gq_leave_watch(g, w);
    return gq_no_claim();
}

#endif
