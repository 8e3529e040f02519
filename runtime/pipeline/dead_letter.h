/* dead_letter.h - the file that holds messages no retry could save.
 *
 * A sequence of records, little-endian, appended with one write each:
 *   u32 magic "GQD1", u32 body bytes, u64 checksum: the first 8 bytes of SHA-256 of the body
 *   body: u64 id, u64 unix time in ns, u32 attempts, u16 status, u16 code, u32 stage, then five pieces, each u32 length
 * and bytes: stage name, plugin path, image digest, reason, message A torn tail shows as a record whose checksum does
 * not match.
 */
#ifndef GQ_PIPELINE_DEAD_LETTER_H
#define GQ_PIPELINE_DEAD_LETTER_H

#include <stdint.h>
#include "base/error.h"
#include "base/text.h"

struct gq_dead_letter {
    uint64_t id, unix_ns;
    uint32_t attempts, stage;
    uint16_t status, code; /* GQ_RESULT_*, gq_fail() */
    const char *stage_name, *plugin, *digest, *reason;
    const void *message;
    uint32_t message_len;
};

struct gq_dead_file {
    const char *path; /* not owned */
    int fd;           /* -1 until the first record */
    uint64_t written; /* atomic: one writer */
};

/* Appends one record; the file is made with the first. An error means that the message is not kept: the caller stops.
 */
gq_status gq_dead_put(struct gq_dead_file *file, const struct gq_dead_letter *letter);
/* What was put is durable. */
gq_status gq_dead_sync(struct gq_dead_file *file);
gq_status gq_dead_close(struct gq_dead_file *file);

#endif
