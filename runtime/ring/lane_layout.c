/* Where the parts of a lane lie in its two files. */
#include "ring/lane.h"
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

static size_t page_up(size_t bytes) { return (bytes + GQ_HEAD_BYTES - 1) & ~(size_t)(GQ_HEAD_BYTES - 1); }

static size_t in_payload_at(uint32_t capacity) { return page_up(GQ_HEAD_BYTES + (size_t)capacity * sizeof(uint64_t)); }

static size_t out_payload_at(uint32_t capacity)
{
    return page_up(GQ_HEAD_BYTES + (size_t)capacity * sizeof(struct gq_out_desc));
}

static size_t in_express_at(uint32_t capacity, uint32_t slot_bytes)
{
    return page_up(in_payload_at(capacity) + (size_t)capacity * gq_slot_stride(slot_bytes));
}

static size_t out_express_at(uint32_t capacity, uint32_t slot_bytes)
{
    return page_up(out_payload_at(capacity) + (size_t)capacity * gq_slot_stride(slot_bytes));
}

static size_t express_bytes(uint32_t slot_bytes)
{
    return page_up((size_t)GQ_EXPRESS_LINES * gq_express_stride(slot_bytes));
}

size_t gq_lane_in_bytes(uint32_t capacity, uint32_t slot_bytes)
{
    return in_express_at(capacity, slot_bytes) + express_bytes(slot_bytes);
}

size_t gq_lane_out_bytes(uint32_t capacity, uint32_t slot_bytes)
{
    return out_express_at(capacity, slot_bytes) + express_bytes(slot_bytes);
}

void gq_lane_view_fill(struct gq_lane_view *view, uint8_t *in, uint8_t *out, uint32_t capacity, uint32_t slot_bytes)
{
    *view = (struct gq_lane_view){
        .in_head = (struct gq_in_head *)in,
        .in_desc = (uint64_t *)(in + GQ_HEAD_BYTES),
        .in_payload = in + in_payload_at(capacity),
        .out_head = (struct gq_out_head *)out,
        .out_desc = (struct gq_out_desc *)(out + GQ_HEAD_BYTES),
        .out_payload = out + out_payload_at(capacity),
        .in_express = in + in_express_at(capacity, slot_bytes),
        .out_express = out + out_express_at(capacity, slot_bytes),
        .mask = capacity - 1,
        .stride = gq_slot_stride(slot_bytes),
        .slot_bytes = slot_bytes,
        .express_stride = gq_express_stride(slot_bytes),
    };
}

void *gq_lane_make_file(const char *name, size_t bytes, int protection, int seals, int *fd)
{
    *fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (*fd < 0 || ftruncate(*fd, (off_t)bytes) != 0)
        return NULL;
    void *p = mmap(NULL, bytes, protection, MAP_SHARED, *fd, 0);
    if (p == MAP_FAILED)
        return NULL;
    if (fcntl(*fd, F_ADD_SEALS, seals | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) == 0)
        return p;
    munmap(p, bytes);
    return NULL;
}
