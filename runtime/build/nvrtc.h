/* nvrtc.h - the wall around libnvrtc: a plugin's unit becomes a cubin. It runs in the builder process alone. */
#ifndef GQ_BUILD_NVRTC_H
#define GQ_BUILD_NVRTC_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include "base/error.h"
#include "base/text.h"

/* The library to open: $GPUQ_NVRTC, or the newest that library.h finds. */
void gq_nvrtc_find(char path[PATH_MAX]);
/* Is there one? GQ_ERR_UNAVAILABLE says what to install or set. */
gq_status gq_nvrtc_check(void);

struct gq_nvrtc_unit {
    const char *library, *folder; /* `folder` is where #include "..." looks, beside the embedded headers */
    const struct gq_text *text;
    uint32_t arch;      /* 90: for sm_90 */
    uint32_t registers; /* that a thread may take at most; it then spills without a warning; 0: as many as it likes */
    bool relocatable;   /* to be linked with others */
};
/* GQ_OK: NVRTC ran to its end; *compiled says whether there is a cubin in `object`. The log reads as a C compiler's:
 * file:line:column: error: ... */
gq_status gq_nvrtc_compile(const struct gq_nvrtc_unit *unit, bool *compiled, struct gq_text *log,
                           struct gq_text *object);

#endif
