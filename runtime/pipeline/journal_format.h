/* journal_format.h - the bytes of a journal: header and records of base/frame.h.
 *
 *   header  magic "GQJRNL\n", NUL; the stamp is a number that no other file has
 *   record  magic "GQJR"; the body: u64 mark, u64 safe, u32 kind, and
 *     BEGIN    u32 capacity of a lane, u32 slot_bytes; the first record
 *     LANE     u32 lane, u64 first message that may be asked for, u64 number of the next one
 *     MESSAGE  u32 lane, u64 number, its bytes
 *     TAKEN    any number of ranges: u32 lane, u64 first, u64 count
 *     SEAL     nothing: what is before it was durable before the file had its name
 *
 * The mark is the header's stamp plus the record's own place in the file, so that no message that looks like a record
 * is taken for one. `safe` is how many bytes of the file were safe when the record was made, in the sense of the
 * journal's durability: a hole before that is damage, and one behind it may be what a crash left.
 */
#ifndef GQ_PIPELINE_JOURNAL_FORMAT_H
#define GQ_PIPELINE_JOURNAL_FORMAT_H

#include "base/frame.h"

#define GQ_JOURNAL_VERSION 1u

enum gq_journal_kind {
    GQ_JOURNAL_BEGIN = 1,
    GQ_JOURNAL_LANE,
    GQ_JOURNAL_MESSAGE,
    GQ_JOURNAL_TAKEN,
    GQ_JOURNAL_SEAL,
    GQ_JOURNAL_KIND_END
};

struct gq_journal_range {
    uint32_t lane;
    uint64_t first, count;
};

struct gq_journal_record {
    enum gq_journal_kind kind;
    uint64_t safe;
    uint32_t capacity, slot_bytes; /* BEGIN */
    uint32_t lane;                 /* LANE, MESSAGE */
    uint64_t first, next;          /* LANE; MESSAGE: its number is `first` */
    const uint8_t *bytes;          /* MESSAGE; TAKEN: the ranges, gq_journal_get_range() */
    uint32_t len;
};

void gq_journal_put_header(struct gq_text *out, uint64_t stamp);
/* The record will lie at byte `at` of the file. */
void gq_journal_put(struct gq_text *out, uint64_t stamp, uint64_t at, const struct gq_journal_record *r);
void gq_journal_put_taken(struct gq_text *out, uint64_t stamp, uint64_t at, uint64_t safe,
                          const struct gq_journal_range *ranges, uint32_t count);

/* GQ_ERR_DATA with the end of a sentence that begins with the file's name. */
gq_status gq_journal_get_header(const uint8_t bytes[GQ_FRAME_HEADER_BYTES], uint64_t *stamp);
/* The record at byte `at` of a file of `size` bytes; `*end` is where it ends. False: there is no whole one. */
bool gq_journal_get(const uint8_t *file, uint64_t size, uint64_t stamp, uint64_t at, struct gq_journal_record *r,
                    uint64_t *end);
/* Ranges one after another; false: there are no more. */
bool gq_journal_get_range(struct gq_journal_record *taken, struct gq_journal_range *range);

#endif
