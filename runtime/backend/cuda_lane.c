#include "backend/cuda.h"
#include "base/assert.h"
#include "ring/lane.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Beside grids. *held is what is to be unregistered, when nothing runs, also where it fails. */
static gq_status map_beside(struct gq_cuda *c, void *p, size_t bytes, bool read_only, void **held, gq_cu_ptr *out)
{
    unsigned flags = GQ_CU_HOST_DEVICEMAP | GQ_CU_HOST_PORTABLE | (read_only ? GQ_CU_HOST_READ_ONLY : 0u);
    gq_status status = GQ_CU(c, host_register(p, bytes, flags));
    *held = status == GQ_OK ? p : NULL;
    if (status == GQ_OK)
        status = GQ_CU(c, host_pointer(out, p, 0));
    return status == GQ_OK ? GQ_OK : gq_error_prefix(status, "giving the device %zu bytes of shared memory: ", bytes);
}

gq_status gq_cuda_map(struct gq_cuda *c, void *p, size_t bytes, bool read_only, gq_cu_ptr *out)
{
    void *held;
    const gq_status status = map_beside(c, p, bytes, read_only, &held, out);
    if (status != GQ_OK && held)
        c->cu->host_unregister(held);
    return status;
}

/* What a lane needs in device memory, in order: descriptors, two rings of slots, descriptors, express lines and units
 * of packs between steps, and bits. */
struct parts {
    size_t desc, slot, hop, express, packs, ended;
};

static struct parts parts_of(const struct gq_cuda *c, const struct gq_lane_view *v)
{
    size_t capacity = (size_t)v->mask + 1, hops = c->steps - 1 + v->in_head->counted;
    return (struct parts){
        .desc = capacity * sizeof(uint64_t),
        .slot = capacity * v->stride,
        .hop = hops * capacity * sizeof(struct gq_out_desc),
        .express = (c->steps - 1) * (size_t)GQ_EXPRESS_LINES * v->express_stride,
        .packs = v->in_head->generated ? hops * (capacity / GQ_PACK) * sizeof(struct gq_unit) : 0,
        .ended = (capacity / 32 + 1) * sizeof(uint32_t),
    };
}

/* A copy that is waited for later: until then `from` stays. */
static gq_status put(struct gq_cuda *c, gq_cu_ptr to, const void *from, size_t bytes)
{
    c->copies = true;
    return GQ_CU(c, copy_to_device(to, from, bytes, c->copy));
}

/* What copies to a lane read. */
struct gq_cuda_sources {
    struct gq_grid_lane lane;
    uint64_t *words; /* NULL: none came before */
    uint32_t *ended;
};

static void free_sources(struct gq_cuda_lane *l)
{
    if (l->sources) {
        free(l->sources->words);
        free(l->sources->ended);
    }
    free(l->sources);
    l->sources = NULL;
}

gq_status gq_cuda_copied(struct gq_cuda *c)
{
    gq_status status = c->copies ? GQ_CU(c, stream_wait(c->copy)) : GQ_OK;
    if (!c->copies || status != GQ_OK)
        return status;
    for (uint32_t i = 0; i < c->lanes_held; i++)
        free_sources(&c->lane[i]);
    c->copies = false;
    return GQ_OK;
}

gq_status gq_cuda_copy_in(struct gq_cuda *c, gq_cu_ptr to, const void *from, size_t bytes)
{
    gq_status status = put(c, to, from, bytes);
    return status == GQ_OK ? gq_cuda_copied(c) : status;
}

/* Zeroes by the copy engine. A memset is a kernel: beside grids that fill every SM it would wait for ever. */
static gq_status put_zeros(struct gq_cuda *c, gq_cu_ptr to, size_t bytes)
{
    static const uint8_t zeros[65536];
    gq_status status = GQ_OK;
    for (size_t at = 0; at < bytes && status == GQ_OK; at += sizeof zeros) {
        size_t part = bytes - at < sizeof zeros ? bytes - at : sizeof zeros;
        status = put(c, to + at, zeros, part);
    }
    return status;
}

gq_status gq_cuda_zero(struct gq_cuda *c, gq_cu_ptr to, size_t bytes)
{
    gq_status status = put_zeros(c, to, bytes);
    return status == GQ_OK ? gq_cuda_copied(c) : status;
}

static gq_status allocate(struct gq_cuda *c, const struct parts *p, gq_cu_ptr *out)
{
    const size_t unstamped = p->desc + 2 * p->slot, bytes = unstamped + p->hop + p->express + p->packs + p->ended;
    size_t free_bytes = 0, total = 0;
    gq_status status = GQ_CU(c, mem_alloc(out, bytes));
    if (status == GQ_ERR_NO_MEMORY && c->cu->mem_info(&free_bytes, &total) == GQ_CU_OK && bytes > free_bytes)
        return gq_error_set(GQ_ERR_NO_MEMORY,
                            "a lane needs %zu bytes of device memory, %zu of %zu are free: lower queue.capacity or "
                            "queue.slot_bytes",
                            bytes, free_bytes, total);
    /* Stamps between steps must not look valid; everything else is written before it is read. */
    return status == GQ_OK ? put_zeros(c, *out + unstamped, bytes - unstamped) : status;
}

static void *moved(gq_cu_ptr base, const void *part, const void *from)
{
    return (void *)(uintptr_t)(base + (size_t)((const uint8_t *)part - (const uint8_t *)from));
}

/* The same parts at the addresses at which the device sees them. */
static struct gq_lane_view device_view(const struct gq_lane_view *v, gq_cu_ptr in, gq_cu_ptr out)
{
    struct gq_lane_view d = *v;
    d.in_head = moved(in, v->in_head, v->in_head);
    d.in_desc = moved(in, v->in_desc, v->in_head);
    d.in_payload = moved(in, v->in_payload, v->in_head);
    d.out_head = moved(out, v->out_head, v->out_head);
    d.out_desc = moved(out, v->out_desc, v->out_head);
    d.out_payload = moved(out, v->out_payload, v->out_head);
    d.in_express = moved(in, v->in_express, v->in_head);
    d.out_express = moved(out, v->out_express, v->out_head);
    return d;
}

gq_status gq_cuda_show_lanes(struct gq_cuda *c, uint32_t count)
{
    return GQ_CU(c, write_value32(c->copy, c->shared + offsetof(struct gq_grid_shared, lane_count), count, 0));
}

static gq_status publish(struct gq_cuda *c, const struct gq_grid_lane *lane)
{
    gq_cu_ptr at = c->lanes + (size_t)c->lane_count * sizeof *lane;
    gq_status status = put(c, at, lane, sizeof *lane);
    /* A value written by the stream is fenced behind the copies; a copy would not be. */
    if (status == GQ_OK)
        status = gq_cuda_show_lanes(c, c->lane_count + 1);
    return status == GQ_OK && c->running ? gq_cuda_copied(c) : status;
}

/* --- lanes that another worker began --------------------------------------------------------------------------------
 */

/* Descriptors between steps begin like those of an egress. */
static gq_status start_hops(struct gq_cuda *c, const struct gq_lane_view *v, const struct gq_grid_lane *lane)
{
    static const struct gq_out_desc nobodys = {.state = GQ_NOBODYS_STATE};
    const uint32_t hops = c->steps - 1 + v->in_head->counted;
    gq_status status = GQ_OK;
    for (uint32_t i = 0; i < hops && status == GQ_OK; i++) {
        const struct gq_out_desc *last = lane->hop + (uint64_t)i * (v->mask + 1) + v->mask;
        status = put(c, (gq_cu_ptr)(uintptr_t)last, &nobodys, sizeof nobodys);
    }
    return status;
}

/* No scout looks for messages that came before this worker did: their words are brought to where scouts put them. */
static gq_status bring_words(struct gq_cuda *c, const struct gq_lane_view *v, struct gq_cuda_sources *s, uint64_t first)
{
    const struct gq_grid_lane *lane = &s->lane;
    const uint64_t count = lane->known - first, capacity = (uint64_t)v->mask + 1;
    if (lane->known < first || count > capacity)
        return gq_error_set(GQ_ERR_INTERNAL, "a range of %" PRIu64 " messages in a lane of %" PRIu64, count, capacity);
    uint32_t len;
    uint64_t meta;
    s->words = calloc(capacity, sizeof *s->words);
    s->ended = calloc(capacity / 32 + 1, sizeof *s->ended);
    if (!s->words || !s->ended)
        return gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for a lane's words");
    for (uint64_t seq = first; seq < lane->known; seq++) {
        const uint64_t at = gq_slot_index(v, seq);
        if (gq_slot_ready(v, seq, &len, &meta)) {
            s->ended[at / 32] |= 1u << at % 32;
        } else if (!v->in_head->generated) {
            if (!gq_slot_acquire(v, seq, &len)) /* A1 pairs R1 */
                return gq_error_set(GQ_ERR_INTERNAL, "message %" PRIu64 " of a lane's range is not there", seq);
            s->words[at] = len;
        }
    }
    gq_status status = put(c, (gq_cu_ptr)(uintptr_t)lane->desc, s->words, capacity * sizeof *s->words);
    if (status == GQ_OK)
        status = put(c, (gq_cu_ptr)(uintptr_t)lane->ended, s->ended, (capacity / 32 + 1) * sizeof *s->ended);
    return status;
}

/* Where grids, and who counts, begin. What is no business of this worker lies behind a scout that never looks. */
static void set_cursors(const struct gq_cuda *c, const struct gq_lane_view *v, const struct gq_lane_range *range,
                        struct gq_grid_lane *lane)
{
    for (uint32_t i = 0; i < c->steps; i++) {
        lane->cursor[i].ready = i == 0 ? lane->known : range->first;
        for (uint32_t n = 0; n < GQ_SHARES; n++)
            lane->cursor[i].share[n].next = gq_share_first(lane->block_shift, n, range->first);
    }
    lane->cursor[0].scout = range->end != UINT64_MAX;
    struct gq_grid_cursor *counting = &lane->cursor[c->steps];
    for (uint32_t n = 0; v->in_head->counted && n < GQ_COUNTS; n++)
        gq_load_unit(&v->out_head->count[n], &counting->ready, &counting->share[n].next); /* A8 pairs R8 */
    if (v->in_head->counted && counting->ready < range->first) /* nothing was counted before what this worker serves */
        counting->ready = range->first;
}

/* Grids that were launched before are told nothing. */
bool gq_cuda_meets_old(const struct gq_cuda *c) { return c->old || c->setup.journal || c->setup.single; }

gq_status gq_cuda_add_lane(struct gq_cuda *c, const struct gq_lane_view *view, const struct gq_lane_range *range)
{
    struct parts parts = parts_of(c, view);
    /* What a lane that fails has taken so far is kept to the end, with its record: giving it back waits for grids. */
    struct gq_cuda_lane *l = &c->lane[c->lanes_held++];
    uint32_t capacity = view->mask + 1;
    gq_cu_ptr in = 0, out = 0;
    *l = (struct gq_cuda_lane){0};
    gq_status status = allocate(c, &parts, &l->slots);
    if (status == GQ_OK)
        status = map_beside(c, view->in_head, gq_lane_in_bytes(capacity, view->slot_bytes), true, &l->in, &in);
    if (status == GQ_OK)
        status = map_beside(c, view->out_head, gq_lane_out_bytes(capacity, view->slot_bytes), false, &l->out, &out);
    if (status != GQ_OK) {
        c->lanes_held -= !l->slots && !l->in && !l->out;
        return status;
    }
    const gq_cu_ptr express = l->slots + parts.desc + 2 * parts.slot + parts.hop, packs = express + parts.express;
    l->sources = calloc(1, sizeof *l->sources);
    if (!l->sources)
        return gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for a lane's record");
    struct gq_grid_lane *lane = &l->sources->lane;
    *lane = (struct gq_grid_lane){
        .view = device_view(view, in, out),
        .desc = (uint64_t *)(uintptr_t)l->slots,
        .slot = {(uint8_t *)(uintptr_t)(l->slots + parts.desc),
                 (uint8_t *)(uintptr_t)(l->slots + parts.desc + parts.slot)},
        .hop = (struct gq_out_desc *)(uintptr_t)(l->slots + parts.desc + 2 * parts.slot),
        .express = (uint8_t *)(uintptr_t)express,
        .packs = parts.packs ? (struct gq_unit *)(uintptr_t)packs : NULL,
        .first_index = view->in_head->first_index,
        .index_step = view->in_head->index_step,
        .generated = view->in_head->generated,
        .block_shift = gq_block_shift(view->stride),
        .ended = (uint32_t *)(uintptr_t)(packs + parts.packs),
        .known = range->end != UINT64_MAX      ? range->end
                 : range->mixed > range->first ? range->mixed
                                               : range->first,
    };
    set_cursors(c, view, range, lane);
    if (lane->known > range->first)
        status = bring_words(c, view, l->sources, range->first);
    if (status == GQ_OK && range->first > 0)
        status = start_hops(c, view, lane);
    if (status != GQ_OK)
        return status;
    c->counted |= view->in_head->counted;
    gq_assert(!c->running || lane->known == range->first || gq_cuda_meets_old(c));
    c->seen[c->lane_count] = (struct gq_cuda_seen){
        .view = *view,
        .hop = (gq_cu_ptr)(uintptr_t)lane->hop,
        .express = (gq_cu_ptr)(uintptr_t)lane->express,
        .packs = (gq_cu_ptr)(uintptr_t)lane->packs,
        .head = {.seq = range->first},
    };
    c->old |= lane->known > range->first;
    status = publish(c, lane);
    if (status == GQ_OK)
        __atomic_store_n(&c->lane_count, c->lane_count + 1, __ATOMIC_RELEASE);
    return status;
}

void gq_cuda_free_lanes(struct gq_cuda *c)
{
    for (uint32_t i = 0; i < c->lanes_held; i++) {
        free_sources(&c->lane[i]);
        if (c->lane[i].in)
            c->cu->host_unregister(c->lane[i].in);
        if (c->lane[i].out)
            c->cu->host_unregister(c->lane[i].out);
        if (c->lane[i].slots)
            c->cu->mem_free(c->lane[i].slots);
    }
}
