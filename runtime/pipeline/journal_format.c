#include "pipeline/journal_format.h"
#include <string.h>
#include "base/assert.h"

#define FILE_MAGIC "GQJRNL\n"        /* its NUL counts */
#define RECORD_MAGIC 0x524a5147u     /* "GQJR" */
#define RANGE_BYTES 20u              /* u32 lane, u64 first, u64 count */
#define BODY_MAX ((16u << 20) + 64u) /* the largest message, and what is said of it */

void gq_journal_put_header(struct gq_text *out, uint64_t stamp)
{
    gq_frame_put_header(out, FILE_MAGIC, GQ_JOURNAL_VERSION, stamp);
}

static size_t begin(struct gq_text *out, uint64_t mark, uint64_t safe, enum gq_journal_kind kind)
{
    const size_t begun = gq_frame_begin(out);
    gq_frame_put_le(out, mark, 8);
    gq_frame_put_le(out, safe, 8);
    gq_frame_put_le(out, kind, 4);
    return begun;
}

void gq_journal_put(struct gq_text *out, uint64_t stamp, uint64_t at, const struct gq_journal_record *r)
{
    gq_assert(r->kind > 0 && r->kind < GQ_JOURNAL_KIND_END && r->kind != GQ_JOURNAL_TAKEN);
    const size_t begun = begin(out, stamp + at, r->safe, r->kind);
    if (r->kind == GQ_JOURNAL_BEGIN) {
        gq_frame_put_le(out, r->capacity, 4);
        gq_frame_put_le(out, r->slot_bytes, 4);
    } else if (r->kind != GQ_JOURNAL_SEAL) {
        gq_frame_put_le(out, r->lane, 4);
        gq_frame_put_le(out, r->first, 8);
    }
    if (r->kind == GQ_JOURNAL_LANE)
        gq_frame_put_le(out, r->next, 8);
    if (r->kind == GQ_JOURNAL_MESSAGE)
        gq_text_add(out, r->bytes, r->len);
    gq_frame_end(out, begun, RECORD_MAGIC);
}

void gq_journal_put_taken(struct gq_text *out, uint64_t stamp, uint64_t at, uint64_t safe,
                          const struct gq_journal_range *ranges, uint32_t count)
{
    const size_t begun = begin(out, stamp + at, safe, GQ_JOURNAL_TAKEN);
    for (uint32_t i = 0; i < count; i++) {
        gq_frame_put_le(out, ranges[i].lane, 4);
        gq_frame_put_le(out, ranges[i].first, 8);
        gq_frame_put_le(out, ranges[i].count, 8);
    }
    gq_frame_end(out, begun, RECORD_MAGIC);
}

gq_status gq_journal_get_header(const uint8_t bytes[GQ_FRAME_HEADER_BYTES], uint64_t *stamp)
{
    return gq_frame_read_header(bytes, FILE_MAGIC, GQ_JOURNAL_VERSION, "journal", stamp);
}

static bool get_body(struct gq_frame_cursor *c, struct gq_journal_record *r)
{
    if (r->kind == GQ_JOURNAL_BEGIN) {
        r->capacity = (uint32_t)gq_frame_take_le(c, 4);
        r->slot_bytes = (uint32_t)gq_frame_take_le(c, 4);
    } else if (r->kind == GQ_JOURNAL_LANE || r->kind == GQ_JOURNAL_MESSAGE) {
        r->lane = (uint32_t)gq_frame_take_le(c, 4);
        r->first = gq_frame_take_le(c, 8);
    }
    if (r->kind == GQ_JOURNAL_LANE)
        r->next = gq_frame_take_le(c, 8);
    if (r->kind == GQ_JOURNAL_MESSAGE || r->kind == GQ_JOURNAL_TAKEN) {
        r->len = (uint32_t)c->left;
        r->bytes = gq_frame_take(c, c->left);
    }
    return c->good && c->left == 0 && r->kind > 0 && r->kind < GQ_JOURNAL_KIND_END &&
           (r->kind != GQ_JOURNAL_TAKEN || r->len % RANGE_BYTES == 0);
}

/* The mark is looked at before the checksum: whoever looks for a record at every byte pays for few sums. */
bool gq_journal_get(const uint8_t *file, uint64_t size, uint64_t stamp, uint64_t at, struct gq_journal_record *r,
                    uint64_t *end)
{
    uint32_t len;
    uint64_t sum;
    if (at > size || size - at < GQ_FRAME_BYTES || !gq_frame_read(file + at, RECORD_MAGIC, &len, &sum) ||
        len > BODY_MAX || len > size - at - GQ_FRAME_BYTES)
        return false;
    struct gq_frame_cursor c = {file + at + GQ_FRAME_BYTES, len, true};
    const uint8_t *body = c.at;
    *r = (struct gq_journal_record){0};
    if (gq_frame_take_le(&c, 8) != stamp + at)
        return false;
    r->safe = gq_frame_take_le(&c, 8);
    r->kind = (enum gq_journal_kind)gq_frame_take_le(&c, 4);
    *end = at + GQ_FRAME_BYTES + len;
    return c.good && gq_frame_checksum(body, len) == sum && get_body(&c, r);
}

bool gq_journal_get_range(struct gq_journal_record *taken, struct gq_journal_range *range)
{
    struct gq_frame_cursor c = {taken->bytes, taken->len, true};
    range->lane = (uint32_t)gq_frame_take_le(&c, 4);
    range->first = gq_frame_take_le(&c, 8);
    range->count = gq_frame_take_le(&c, 8);
    taken->bytes = c.at;
    taken->len = (uint32_t)c.left;
    return c.good;
}
