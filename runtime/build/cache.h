/* cache.h - compiled plugins, kept between runs and shared by processes: one file an entry, named by the digest of what
 * is known before compiling (source, parameters, options, compiler, processor, template, ABI). The entry lists the
 * headers that the compiler read, with their digests; when one has changed, the entry does not count. A damaged entry
 * does not count either. */
#ifndef GQ_BUILD_CACHE_H
#define GQ_BUILD_CACHE_H

#include <stdint.h>
#include <time.h>
#include "base/digest.h"
#include "base/error.h"
#include "build/entry.h"

/* Where the cache is: `chosen`, else $GPUQ_CACHE, else $XDG_CACHE_HOME/gpuqueue, else ~/.cache/gpuqueue. `folder` stays
 * empty when there is to be none: GPUQ_CACHE=off, or no home. */
void gq_cache_locate(const char *chosen, struct gq_text *folder);
/* Makes the folder. GQ_ERR_UNAVAILABLE if others may write it, since what lies there is run. */
gq_status gq_cache_prepare(const char *folder);

/* Begins a key: this release, its headers and its template, the compiler or library `program`, and what it compiles
 * for. */
void gq_cache_key_start(struct gq_digest *digest, const char *program, uint32_t arch);

/* The entry of `key`, if it is whole and every header is as it was. `bytes` holds it. */
bool gq_cache_get(const char *folder, const char *key, struct gq_text *bytes, struct gq_entry *out);
gq_status gq_cache_put(const char *folder, const char *key, const struct gq_entry *entry);

/* Were the files named in `headers` (paths, a NUL after each) all written before `start`? If not, what was compiled
 * since then may not be what lies there now; `stamps` takes the times of those that were not. */
bool gq_cache_headers_settled(const char *headers, size_t len, const struct timespec *start, struct gq_text *stamps);

/* Digests of such files, 32 bytes each. False if one cannot be read. */
bool gq_cache_digest_headers(const char *headers, size_t len, struct gq_text *digests, uint32_t *count);

struct gq_cache_item {
    const char *key, *plugin; /* plugin: "(damaged)" if the entry does not hold together */
    uint64_t bytes;
    time_t written;
};
/* Calls `each` for every entry; stops when it returns false. */
gq_status gq_cache_list(const char *folder, bool (*each)(const struct gq_cache_item *item, void *context),
                        void *context);
/* Removes every entry, and what interrupted writers left. */
gq_status gq_cache_clear(const char *folder, uint32_t *entries, uint64_t *bytes);

#endif
