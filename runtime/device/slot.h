/* slot.h - the ring protocol: how a message enters a slot, and how its result leaves it. Used by host, CPU and device.
 *
 *   R1 host publishes an ingress descriptor   ->  A1 worker reads it: the payload is complete
 *   R2 worker publishes an egress descriptor  ->  A2 host reads it: the result is complete, and the worker is done with
 *                                                 both payloads of the slot, so the host may reuse them after A2
 *   R3 host raises `limit` of a generated lane -> A3 worker reads it: the egress slots below it are free
 *
 *   R6 writer of an express line, each unit    -> A6 reader of that unit: stamp and data are of one write
 *
 *   R8 worker tells counts of a counted lane   -> A8 host reads them: the worker is done with the slots of all that
 *                                                 are counted, and the descriptors of those that failed are there
 *
 * R6 and A6 are no release and acquire: a unit is one 16-byte access, and nothing but the unit travels with it.
 *
 * Reuse of a slot needs no edge of its own: the host writes message seq + capacity only after it has taken (A2) and
 * released the result of seq, and the worker writes the egress slot of seq + capacity only after A1 (or A3) for it.
 */
#ifndef GQ_DEVICE_SLOT_H
#define GQ_DEVICE_SLOT_H

#include "device/port.h"
#include <gpuqueue/layout.h>

/* One side's view of a lane: where the parts of its two files are mapped. Plain addresses, in either address space. */
struct gq_lane_view {
    struct gq_in_head *in_head;
    uint64_t *in_desc; /* gq_in_desc words */
    uint8_t *in_payload;
    struct gq_out_head *out_head;
    struct gq_out_desc *out_desc;
    uint8_t *out_payload;
    uint8_t *in_express; /* GQ_EXPRESS_LINES lines */
    uint8_t *out_express;
    uint32_t mask; /* capacity - 1 */
    uint32_t stride;
    uint32_t slot_bytes;
    uint32_t lane;
    uint32_t express_stride; /* bytes from one express line to the next */
    uint32_t reserved0;
};

GQ_FN uint32_t gq_slot_stamp(uint64_t seq) { return (uint32_t)(seq + 1); }

GQ_FN uint32_t gq_slot_stride(uint32_t slot_bytes)
{
    return (slot_bytes + GQ_STRIDE_ALIGN - 1) & ~(GQ_STRIDE_ALIGN - 1);
}

/* Payload bytes that an express line of a lane carries. */
GQ_FN uint32_t gq_express_bytes(uint32_t slot_bytes)
{
    return slot_bytes < GQ_EXPRESS_BYTES_MAX ? slot_bytes : GQ_EXPRESS_BYTES_MAX;
}
/* Units of a line with `len` bytes of payload. */
GQ_FN uint32_t gq_express_units(uint32_t len) { return GQ_EXPRESS_HEAD + (len + 7) / 8; }

GQ_FN uint32_t gq_express_stride(uint32_t slot_bytes)
{
    const uint32_t bytes = gq_express_units(gq_express_bytes(slot_bytes)) * (uint32_t)sizeof(struct gq_unit);
    return (bytes + GQ_LINE_BYTES - 1) & ~(GQ_LINE_BYTES - 1);
}

GQ_FN struct gq_unit *gq_express_line(const struct gq_lane_view *v, uint8_t *lines, uint64_t seq)
{
    return (struct gq_unit *)(lines + (seq % GQ_EXPRESS_LINES) * v->express_stride);
}

GQ_FN uint64_t gq_slot_index(const struct gq_lane_view *v, uint64_t seq) { return seq & v->mask; }

GQ_FN uint8_t *gq_slot_in(const struct gq_lane_view *v, uint64_t seq)
{
    return v->in_payload + gq_slot_index(v, seq) * v->stride;
}

GQ_FN uint8_t *gq_slot_out(const struct gq_lane_view *v, uint64_t seq)
{
    return v->out_payload + gq_slot_index(v, seq) * v->stride;
}

/* The id of message seq of a lane: the lane in the top byte, below it numbers from 1. */
GQ_FN uint64_t gq_slot_id(uint32_t lane, uint64_t seq) { return ((uint64_t)lane << 56) | (seq + 1); }
GQ_FN uint32_t gq_id_lane(uint64_t id) { return (uint32_t)(id >> 56); }
GQ_FN uint64_t gq_id_seq(uint64_t id) { return (id & 0x00ffffffffffffffull) - 1; }

/* Host: publish message seq, whose payload lies in gq_slot_in(). */
GQ_FN void gq_slot_submit(const struct gq_lane_view *v, uint64_t seq, uint32_t len)
{
    uint64_t word = ((uint64_t)gq_slot_stamp(seq) << 32) | len;
    gq_store_release_u64(&v->in_desc[gq_slot_index(v, seq)], word); /* R1 pairs A1 */
}

/* Worker: is message seq there? If so its length is in *len. */
GQ_FN int gq_slot_acquire(const struct gq_lane_view *v, uint64_t seq, uint32_t *len)
{
    uint64_t word = gq_load_acquire_u64(&v->in_desc[gq_slot_index(v, seq)]); /* A1 pairs R1 */
    *len = (uint32_t)word;
    return (uint32_t)(word >> 32) == gq_slot_stamp(seq);
}

/* Worker, generated lanes: messages below this number may be made. */
GQ_FN uint64_t gq_slot_limit(const struct gq_lane_view *v)
{
    return gq_load_acquire_u64(&v->in_head->limit); /* A3 pairs R3 */
}

/* Host, generated lanes: the egress slots of messages below `limit` are free. */
GQ_FN void gq_slot_grant(const struct gq_lane_view *v, uint64_t limit)
{
    gq_store_release_u64(&v->in_head->limit, limit); /* R3 pairs A3 */
}

GQ_FN uint64_t gq_meta(uint32_t generation, uint32_t stage, uint32_t status, uint32_t code)
{
    return ((uint64_t)generation << 32) | (uint64_t)((stage & 0xffu) << 24 | (status & 0xffu) << 16 | (code & 0xffffu));
}
GQ_FN uint32_t gq_meta_generation(uint64_t meta) { return (uint32_t)(meta >> 32); }
GQ_FN uint32_t gq_meta_stage(uint64_t meta) { return (uint32_t)(meta >> 24) & 0xffu; }
GQ_FN uint32_t gq_meta_status(uint64_t meta) { return (uint32_t)(meta >> 16) & 0xffu; }
GQ_FN uint32_t gq_meta_code(uint64_t meta) { return (uint32_t)meta & 0xffffu; }

/* Worker: publish the result of seq, whose bytes lie in gq_slot_out(). The message is the host's again. */
GQ_FN void gq_slot_finish(const struct gq_lane_view *v, uint64_t seq, uint32_t len, uint64_t meta)
{
    struct gq_out_desc *d = &v->out_desc[gq_slot_index(v, seq)];
    gq_store_release_pair(&d->meta, meta, ((uint64_t)gq_slot_stamp(seq) << 32) | len); /* R2 pairs A2 */
}

/* Host: is the result of seq there? If so, its length and meta. */
GQ_FN int gq_slot_ready(const struct gq_lane_view *v, uint64_t seq, uint32_t *len, uint64_t *meta)
{
    const struct gq_out_desc *d = &v->out_desc[gq_slot_index(v, seq)];
    uint64_t state = gq_load_acquire_u64(&d->state); /* A2 pairs R2 */
    if ((uint32_t)(state >> 32) != gq_slot_stamp(seq))
        return 0;
    *len = (uint32_t)state;
    *meta = gq_load_relaxed_u64(&d->meta); /* ordered by A2, which precedes it */
    return 1;
}

#endif
