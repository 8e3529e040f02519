/* digest.h - SHA-256 (libcrypto behind it) over labelled parts. Each part's name and length go in before its bytes, so
 * that two different lists of parts never give one digest. */
#ifndef GQ_BASE_DIGEST_H
#define GQ_BASE_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#define GQ_DIGEST_HEX 65 /* 64 hex digits and NUL */

/* Lies where its owner lies: whoever has one cannot run out of memory for it. */
struct gq_digest {
    _Alignas(8) unsigned char state[128];
};

void gq_digest_start(struct gq_digest *d);
void gq_digest_part(struct gq_digest *d, const char *name, const void *bytes, size_t len);
void gq_digest_finish(struct gq_digest *d, char hex[GQ_DIGEST_HEX]);
void gq_digest_bytes(const void *bytes, size_t len, uint8_t digest[32]); /* plain SHA-256 of one piece */

#endif
