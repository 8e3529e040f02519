#include "base/frame.h"
#include <string.h>
#include "base/assert.h"
#include "base/digest.h"

uint64_t gq_frame_checksum(const void *bytes, size_t len)
{
    uint8_t digest[32];
    uint64_t sum = 0;
    gq_digest_bytes(bytes, len, digest);
    for (size_t i = 0; i < 8; i++)
        sum |= (uint64_t)digest[i] << (8 * i);
    return sum;
}

/* --- writing ------------------------------------------------------------------------------------------------------ */

static void to_le(unsigned char *le, uint64_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        le[i] = (unsigned char)(value >> (8 * i));
}

void gq_frame_put_le(struct gq_text *t, uint64_t value, size_t bytes)
{
    unsigned char le[8];
    to_le(le, value, bytes);
    gq_text_add(t, le, bytes);
}

void gq_frame_put_header(struct gq_text *out, const char magic[8], uint32_t version, uint64_t stamp)
{
    const size_t begun = out->len;
    gq_text_add(out, magic, 8);
    gq_frame_put_le(out, version, 4);
    gq_frame_put_le(out, GQ_FRAME_HEADER_BYTES, 4);
    gq_frame_put_le(out, stamp, 8);
    if (!out->failed)
        gq_frame_put_le(out, gq_frame_checksum(out->data + begun, out->len - begun), 8);
}

size_t gq_frame_begin(struct gq_text *out)
{
    static const char room[GQ_FRAME_BYTES];
    const size_t begun = out->len;
    gq_text_add(out, room, sizeof room);
    return begun;
}

void gq_frame_end(struct gq_text *out, size_t begun, uint32_t magic)
{
    if (out->failed)
        return;
    gq_assert(out->len >= begun + GQ_FRAME_BYTES);
    const size_t len = out->len - begun - GQ_FRAME_BYTES;
    unsigned char *frame = (unsigned char *)out->data + begun;
    to_le(frame, magic, 4);
    to_le(frame + 4, len, 4);
    to_le(frame + 8, ~(uint32_t)len, 4);
    to_le(frame + 12, gq_frame_checksum(frame + GQ_FRAME_BYTES, len), 8);
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

const uint8_t *gq_frame_take(struct gq_frame_cursor *c, size_t len)
{
    const uint8_t *at = c->at;
    c->good = c->good && len <= c->left;
    if (!c->good)
        return NULL;
    c->at += len;
    c->left -= len;
    return at;
}

uint64_t gq_frame_take_le(struct gq_frame_cursor *c, size_t bytes)
{
    const uint8_t *at = gq_frame_take(c, bytes);
    uint64_t value = 0;
    for (size_t i = 0; at && i < bytes; i++)
        value |= (uint64_t)at[i] << (8 * i);
    return value;
}

gq_status gq_frame_read_header(const uint8_t bytes[GQ_FRAME_HEADER_BYTES], const char magic[8], uint32_t version,
                               const char *what, uint64_t *stamp)
{
    struct gq_frame_cursor c = {bytes, GQ_FRAME_HEADER_BYTES, true};
    const uint8_t *written = gq_frame_take(&c, 8);
    const uint32_t of = (uint32_t)gq_frame_take_le(&c, 4), len = (uint32_t)gq_frame_take_le(&c, 4);
    *stamp = gq_frame_take_le(&c, 8);
    if (memcmp(written, magic, 8) != 0)
        return gq_error_set(GQ_ERR_DATA, "is no %s: name another", what);
    if (of != version)
        return gq_error_set(GQ_ERR_DATA,
                            "is a %s of version %u, and this release reads version %u: use the gpuq that wrote it",
                            what, of, version);
    if (len != GQ_FRAME_HEADER_BYTES || gq_frame_take_le(&c, 8) != gq_frame_checksum(bytes, GQ_FRAME_HEADER_BYTES - 8))
        return gq_error_set(GQ_ERR_DATA,
                            "is a %s with a damaged header: put a copy in its place, or move it out of the way", what);
    return GQ_OK;
}

bool gq_frame_read(const uint8_t bytes[GQ_FRAME_BYTES], uint32_t magic, uint32_t *body_bytes, uint64_t *sum)
{
    struct gq_frame_cursor c = {bytes, GQ_FRAME_BYTES, true};
    const bool known = gq_frame_take_le(&c, 4) == magic;
    *body_bytes = (uint32_t)gq_frame_take_le(&c, 4);
    const bool whole = (uint32_t)gq_frame_take_le(&c, 4) == ~*body_bytes;
    *sum = gq_frame_take_le(&c, 8);
    return known && whole;
}
