/* kernels.cu - the device's side of each litmus row, through the accessors that the product uses. One warp a block; every
 * loop ends when the row's time is over.
 *
 * They stand behind the whole template, as a plugin's unit has it: that is where a scout's words are read and raised. */
#include "litmus/plant.h"
#include <gpuqueue/plugin.h>
__device__ void process_message(const MsgView &, ResultView *out) { *out->out_len = 0; }
#define GQ_IMAGE_KIND 0
#define GQ_ENTRY "device/entry_cuda.h"
#include "device/kernel.cu"
#include "litmus/litmus.h"

#if PLANT == PLANT_SHARE_RELAXED
#define gq_dev_release_u64 plant_store_relaxed_gpu
#elif PLANT == PLANT_SHARE_CTA
#define gq_dev_release_u64 plant_store_release_cta
#elif PLANT == PLANT_SHARE_ACQUIRE_RELAXED
#define gq_dev_acquire_u64 plant_load_relaxed_gpu
#elif PLANT == PLANT_SHARE_ACQUIRE_CTA
#define gq_dev_acquire_u64 plant_load_acquire_cta
#elif PLANT == PLANT_HOP_RELAXED
#define gq_dev_release_pair plant_pair_relaxed_gpu
#elif PLANT == PLANT_HOP_CTA
#define gq_dev_release_pair plant_pair_release_cta
#endif

static __device__ __forceinline__ uint64_t load_payload(const uint64_t *p)
{
#if PLANT == PLANT_PAYLOAD_NC || PLANT == PLANT_SHARE_NC
    return plant_load_nc(p);
#else
    return *p;
#endif
}

static __device__ void wait_ns(uint64_t ns)
{
    for (const uint64_t end = gq_globaltimer() + ns; gq_globaltimer() < end;)
        continue;
}

struct tally {
    uint64_t end, messages, wrong;
};

static __device__ tally begin(const litmus &l) { return tally{gq_globaltimer() + l.limit_ns, 0, 0}; }
static __device__ bool is_over(const tally &c) { return gq_globaltimer() > c.end; }

static __device__ void report(const litmus &l, const tally &c)
{
    atomicAdd((unsigned long long *)&l.count->wrong, (unsigned long long)c.wrong);
    if (gq_lane_of_warp() == 0)
        atomicAdd((unsigned long long *)&l.count->messages, (unsigned long long)c.messages);
}

/* --- ring: a message in, its result out ----------------------------------------------------------------------------- */

static __device__ void give_result(const gq_lane_view *v, uint64_t seq)
{
    const uint32_t t = gq_lane_of_warp();
    uint64_t *out = (uint64_t *)gq_slot_out(v, seq);
    const uint64_t meta = gq_meta(1, 0, GQ_RESULT_OK, 0);
#if PLANT == PLANT_FINISH_EARLY
    if (t == 0)
        gq_slot_finish(v, seq, LITMUS_SLOT_BYTES, meta);
    wait_ns(LITMUS_DELAY_NS);
    out[t] = litmus_word(v->lane, seq, t);
    __syncwarp();
#else
    out[t] = litmus_word(v->lane, seq, t);
    __syncwarp();
    if (t == 0)
        gq_slot_finish(v, seq, LITMUS_SLOT_BYTES, meta);
#endif
}

extern "C" __global__ void ring(litmus l)
{
    tally c = begin(l);
    const gq_lane_view *v = &l.lane[blockIdx.x];
    const uint32_t t = gq_lane_of_warp();
    while (blockIdx.x < LITMUS_LANES && !__any_sync(GQ_ALL, is_over(c))) {
        uint32_t len = 0;
        const int there = t == 0 ? gq_slot_acquire(v, c.messages, &len) : 0;
        if (!__shfl_sync(GQ_ALL, there, 0))
            continue;
        __syncwarp();
        const uint64_t word = load_payload((const uint64_t *)gq_slot_in(v, c.messages) + t);
        c.wrong += word != litmus_word(v->lane, c.messages, t);
        give_result(v, c.messages++);
    }
    report(l, c);
}

/* --- look: the same messages, found as a scout finds them ------------------------------------------------------------ */

extern "C" __global__ void look(litmus l)
{
    tally c = begin(l);
    const gq_lane_view *v = &l.lane[blockIdx.x];
    const uint32_t t = gq_lane_of_warp();
    while (blockIdx.x < LITMUS_LANES && !__any_sync(GQ_ALL, is_over(c))) {
        const uint64_t mine = c.messages + t, word = gq_load_relaxed_u64(&v->in_desc[gq_slot_index(v, mine)]);
        uint32_t found = gq_prefix(__ballot_sync(GQ_ALL, (uint32_t)(word >> 32) == gq_slot_stamp(mine)));
#if PLANT != PLANT_LOOK_NO_FENCE
        if (found)
            asm volatile("fence.acq_rel.sys;" ::: "memory");
#endif
        __syncwarp();
        for (; found; found--) {
            c.wrong += *((const uint64_t *)gq_slot_in(v, c.messages) + t) != litmus_word(v->lane, c.messages, t);
            give_result(v, c.messages++);
        }
    }
    report(l, c);
}

/* --- share: even blocks raise a number over what odd blocks then read ----------------------------------------------- */

/* By a producing warp: is there a free slot for `want` messages from seq on? */
static __device__ bool has_room(const litmus_pair *p, uint64_t seq, uint32_t want)
{
    const uint64_t taken = gq_lane_of_warp() == 0 ? gq_load_acquire_u64(&p->taken) : 0;
    const bool room = seq + want - __shfl_sync(GQ_ALL, taken, 0) <= LITMUS_CAPACITY;
    __syncwarp();
    return room;
}

/* By a consuming warp, which has checked all below seq. At system scope, that no planted fault of another edge hides here. */
static __device__ void give_back(litmus_pair *p, uint64_t seq)
{
    __syncwarp();
    if (gq_lane_of_warp() == 0)
        gq_store_release_u64(&p->taken, seq);
}

static __device__ void write_message(litmus_pair *p, uint32_t lane, uint64_t seq)
{
    const uint32_t t = gq_lane_of_warp();
    p->payload[seq % LITMUS_CAPACITY][t] = litmus_word(lane, seq, t);
    if (t == 0)
        p->word[seq % LITMUS_CAPACITY] = litmus_word(lane, seq, LITMUS_WORDS);
}

static __device__ void raise_ready(litmus_pair *p, uint64_t ready)
{
    __syncwarp();
    if (gq_lane_of_warp() == 0)
        gq_dev_release_u64(&p->ready, ready);
}

static __device__ void share_produce(litmus_pair *p, uint32_t lane, tally *c)
{
    while (!__any_sync(GQ_ALL, is_over(*c))) {
        if (!has_room(p, c->messages, 1))
            continue;
#if PLANT == PLANT_SHARE_EARLY
        raise_ready(p, c->messages + 1);
        wait_ns(LITMUS_DELAY_NS);
        write_message(p, lane, c->messages++);
#else
        write_message(p, lane, c->messages++);
        raise_ready(p, c->messages);
#endif
    }
}

static __device__ void check_message(const litmus_pair *p, uint32_t lane, uint64_t seq, tally *c)
{
    const uint32_t t = gq_lane_of_warp();
    const uint64_t word = gq_dev_relaxed_u64(&p->word[seq % LITMUS_CAPACITY]);
    c->wrong += load_payload(&p->payload[seq % LITMUS_CAPACITY][t]) != litmus_word(lane, seq, t);
    c->wrong += t == 0 && word != litmus_word(lane, seq, LITMUS_WORDS);
}

static __device__ void share_consume(litmus_pair *p, uint32_t lane, tally *c)
{
    while (!__any_sync(GQ_ALL, is_over(*c))) {
        uint64_t ready = gq_lane_of_warp() == 0 ? gq_dev_acquire_u64(&p->ready) : 0;
        ready = __shfl_sync(GQ_ALL, ready, 0);
        __syncwarp();
        for (; c->messages < ready; c->messages++)
            check_message(p, lane, c->messages, c);
        give_back(p, c->messages);
    }
}

extern "C" __global__ void share(litmus l)
{
    tally c = begin(l);
    const uint32_t lane = blockIdx.x / 2;
    if (blockIdx.x % 2 == 0)
        share_produce(&l.pair[lane], lane, &c);
    else
        share_consume(&l.pair[lane], lane, &c);
    c.messages = blockIdx.x % 2 ? c.messages : 0;
    report(l, c);
}

/* --- hop: each thread of a warp publishes its message; one look of the other warp finds several ---------------------- */

static __device__ void hop_publish(litmus_pair *p, uint64_t seq)
{
    __syncwarp();
    const uint64_t mine = seq + gq_lane_of_warp(), state = ((uint64_t)gq_slot_stamp(mine) << 32) | LITMUS_SLOT_BYTES;
    gq_dev_release_pair(&p->hop[mine % LITMUS_CAPACITY].meta, mine, state);
}

static __device__ void hop_produce(litmus_pair *p, uint32_t lane, tally *c)
{
    while (!__any_sync(GQ_ALL, is_over(*c))) {
        if (!has_room(p, c->messages, 32))
            continue;
#if PLANT == PLANT_HOP_EARLY
        hop_publish(p, c->messages);
        wait_ns(LITMUS_DELAY_NS);
#endif
        for (uint32_t m = 0; m < 32; m++)
            p->payload[(c->messages + m) % LITMUS_CAPACITY][gq_lane_of_warp()] =
                litmus_word(lane, c->messages + m, gq_lane_of_warp());
#if PLANT != PLANT_HOP_EARLY
        hop_publish(p, c->messages);
#endif
        c->messages += 32;
    }
}

/* How many messages stand there from seq on, as a scout finds it out. */
static __device__ uint32_t hop_look(const litmus_pair *p, uint64_t seq)
{
    const uint64_t mine = seq + gq_lane_of_warp();
    const uint64_t state = gq_load_relaxed_u64(&p->hop[mine % LITMUS_CAPACITY].state);
    const uint32_t found = gq_prefix(__ballot_sync(GQ_ALL, (uint32_t)(state >> 32) == gq_slot_stamp(mine)));
#if PLANT != PLANT_HOP_NO_FENCE
    if (found)
        asm volatile("fence.acq_rel.sys;" ::: "memory");
#endif
    __syncwarp();
    return found;
}

static __device__ void hop_consume(litmus_pair *p, uint32_t lane, tally *c)
{
    const uint32_t t = gq_lane_of_warp();
    while (!__any_sync(GQ_ALL, is_over(*c))) {
        const uint32_t found = hop_look(p, c->messages);
        for (uint32_t m = 0; m < found; m++, c->messages++) {
            const uint32_t at = (uint32_t)(c->messages % LITMUS_CAPACITY);
            c->wrong += load_payload(&p->payload[at][t]) != litmus_word(lane, c->messages, t);
            c->wrong += t == 0 && gq_dev_relaxed_u64(&p->hop[at].meta) != c->messages;
        }
        if (found)
            give_back(p, c->messages);
    }
}

extern "C" __global__ void hop(litmus l)
{
    tally c = begin(l);
    const uint32_t lane = blockIdx.x / 2;
    if (blockIdx.x % 2 == 0)
        hop_produce(&l.pair[lane], lane, &c);
    else
        hop_consume(&l.pair[lane], lane, &c);
    c.messages = blockIdx.x % 2 ? c.messages : 0;
    report(l, c);
}

/* --- unit: lines whose stamps are in the data ------------------------------------------------------------------------ */

static __device__ void load_unit(const gq_unit *unit, uint64_t *stamp, uint64_t *data)
{
#if PLANT == PLANT_UNIT_SPLIT_LOAD
    *data = gq_load_relaxed_u64(&unit->data);
    *stamp = gq_load_relaxed_u64(&unit->stamp);
#else
    gq_load_unit(unit, stamp, data);
#endif
}

static __device__ void store_unit(gq_unit *unit, uint64_t stamp, uint64_t data)
{
#if PLANT == PLANT_UNIT_SPLIT_DEVICE
    gq_store_relaxed_u64(&unit->stamp, stamp);
    wait_ns(LITMUS_DELAY_NS);
    gq_store_relaxed_u64(&unit->data, data);
#else
    gq_store_unit(unit, stamp, data);
#endif
}

extern "C" __global__ void unit(litmus l)
{
    tally c = begin(l);
    const uint32_t t = gq_lane_of_warp(), lane = blockIdx.x;
    while (lane < LITMUS_LANES && !__any_sync(GQ_ALL, is_over(c))) {
        uint64_t stamp, data;
        load_unit(&l.to_device[lane][t], &stamp, &data);
        const bool mine = stamp == c.messages + 1;
        c.wrong += mine && data != litmus_word(lane, c.messages, t);
        if (!__all_sync(GQ_ALL, mine))
            continue;
        store_unit(&l.to_host[lane][t], c.messages + 1, litmus_word(lane, c.messages, t));
        c.messages++;
    }
    report(l, c);
}
