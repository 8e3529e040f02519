/* entry.h - one compiled plugin as the bytes of one cache file. */
#ifndef GQ_BUILD_ENTRY_H
#define GQ_BUILD_ENTRY_H

#include <stdbool.h>
#include "base/digest.h"
#include "base/text.h"
#include "device/image.h"

#define GQ_ENTRY_HEADERS_MAX 4096u

/* A view into the bytes of an entry, or what to make one of. */
struct gq_entry {
    const char *plugin; /* path as written, for listings */
    struct gq_cpu_image info;
    char digest[GQ_DIGEST_HEX]; /* the image's: key and headers */
    const char *log;
    const void *object;
    size_t object_len;
    const char *headers; /* paths, a NUL after each */
    size_t headers_len;
    const uint8_t *header_digests; /* 32 bytes for each */
    uint32_t header_count;
};

void gq_entry_pack(const struct gq_entry *entry, struct gq_text *out);
/* False if the bytes are not exactly what gq_entry_pack() made: cut, changed, of another release. */
bool gq_entry_unpack(const void *bytes, size_t len, struct gq_entry *out);

#endif
