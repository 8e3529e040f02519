/* frame.h - files of checked records, all little-endian.
 *
 *   header  8 bytes of magic, u32 version, u32 bytes of the header, u64 stamp, u64 checksum of the 24 bytes before
 *   record  u32 magic, u32 bytes of the body, u32 the same number inverted, u64 checksum of the body; the body
 *
 * A checksum is the first 8 bytes of SHA-256. The inverted length tells a record that a crash cut short, which is the
 * last thing in its file, from one whose length was damaged.
 */
#ifndef GQ_BASE_FRAME_H
#define GQ_BASE_FRAME_H

#include <stdint.h>
#include "base/error.h"
#include "base/text.h"

#define GQ_FRAME_HEADER_BYTES 32u
#define GQ_FRAME_BYTES 20u /* of a record, before its body */

uint64_t gq_frame_checksum(const void *bytes, size_t len);

/* --- writing ------------------------------------------------------------------------------------------------------ */

void gq_frame_put_le(struct gq_text *t, uint64_t value, size_t bytes);
void gq_frame_put_header(struct gq_text *out, const char magic[8], uint32_t version, uint64_t stamp);
/* The body is what is added between the two; `begun` is what gq_frame_begin() returned. */
size_t gq_frame_begin(struct gq_text *out);
void gq_frame_end(struct gq_text *out, size_t begun, uint32_t magic);

/* --- reading ------------------------------------------------------------------------------------------------------ */

/* What is left of a body. `good` is false once more was asked for than there is. */
struct gq_frame_cursor {
    const uint8_t *at;
    size_t left;
    bool good;
};

const uint8_t *gq_frame_take(struct gq_frame_cursor *c, size_t len); /* NULL: there is not so much */
uint64_t gq_frame_take_le(struct gq_frame_cursor *c, size_t bytes);

/* GQ_ERR_DATA with the end of a sentence that begins with the file's name: no such file, or a version unknown here.
 * `what` is "file of dead letters". */
gq_status gq_frame_read_header(const uint8_t bytes[GQ_FRAME_HEADER_BYTES], const char magic[8], uint32_t version,
                               const char *what, uint64_t *stamp);
/* False: these bytes begin no such record. */
bool gq_frame_read(const uint8_t bytes[GQ_FRAME_BYTES], uint32_t magic, uint32_t *body_bytes, uint64_t *sum);

#endif
