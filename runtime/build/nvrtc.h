/* nvrtc.h - the wall around libnvrtc: a plugin's unit becomes a cubin. It runs in the builder process alone. */
#ifndef GQ_BUILD_NVRTC_H
#define GQ_BUILD_NVRTC_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include "base/error.h"
#include "base/text.h"

/* The library to open: $GPUQ_NVRTC, or the newest of those in the usual folders, or a name for the loader to find.
 * Names of files carry a path, so that the cache can tell one from another. */
void gq_nvrtc_find(char path[PATH_MAX]);
/* Is there one? GQ_ERR_UNAVAILABLE says what to install or set. */
gq_status gq_nvrtc_check(void);

/* Compiles `unit` for sm_<arch>, with the embedded headers and `folder` to include from. GQ_OK: NVRTC ran to its end;
 * *compiled says whether there is a cubin in `object`. The log reads as a C compiler's: file:line:column: error: ... */
gq_status gq_nvrtc_compile(const char *library, const struct gq_text *unit, const char *folder, uint32_t arch,
                           bool *compiled, struct gq_text *log, struct gq_text *object);

#endif
