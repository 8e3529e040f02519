/* dead_letter_format.h - the bytes of a file of dead letters: header and records of base/frame.h.
 *
 *   header  magic "GQDEADS\n"; the stamp is the unix time in ns when the file was made
 *   letter  magic "GQDL"; the body:
 *           u64 id, u64 position, u64 first_ns, u64 dead_ns, u32 attempts, u32 stage, u32 version, u16 class, u16 code,
 *           u32 flags (bit 0: bodiless; the others: the life), then five pieces, each u32 length and bytes: stage name,
 *           plugin, digest, reason, which end with a NUL that counts, and the message
 *
 * The checksum of a body is also the letter's name.
 */
#ifndef GQ_PIPELINE_DEAD_LETTER_FORMAT_H
#define GQ_PIPELINE_DEAD_LETTER_FORMAT_H

#include "base/frame.h"
#include "pipeline/dead_letter.h"

#define GQ_DEAD_VERSION 1u
#define GQ_DEAD_HEADER_BYTES GQ_FRAME_HEADER_BYTES
#define GQ_DEAD_FRAME_BYTES GQ_FRAME_BYTES
#define GQ_DEAD_BODY_MAX ((16u << 20) + 65536u) /* the largest message, and what is said of it */

void gq_dead_write_header(struct gq_text *out, uint64_t unix_ns);
/* GQ_ERR_DATA with the end of a sentence that begins with the file's name: no such file, or a version unknown here. */
gq_status gq_dead_read_header(const uint8_t bytes[GQ_DEAD_HEADER_BYTES]);

gq_status gq_dead_write_letter(struct gq_text *out, const struct gq_dead_letter *letter);
/* False: these bytes begin no letter. */
bool gq_dead_read_frame(const uint8_t bytes[GQ_DEAD_FRAME_BYTES], uint32_t *body_bytes, uint64_t *name);
/* False: not what was written. The letter points into the body. */
bool gq_dead_read_body(const uint8_t *body, uint32_t len, uint64_t name, struct gq_dead_letter *out);

#endif
