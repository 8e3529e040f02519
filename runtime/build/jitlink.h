/* jitlink.h - the wall around libnvJitLink: relocatable cubins and PTX become one cubin. It needs no GPU, and runs in
 * the builder process alone. */
#ifndef GQ_BUILD_JITLINK_H
#define GQ_BUILD_JITLINK_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include "base/error.h"
#include "base/text.h"

/* The library to open: $GPUQ_NVJITLINK, or the newest that library.h finds. */
void gq_jitlink_find(char path[PATH_MAX]);
/* Is there one? GQ_ERR_UNAVAILABLE says what to install or set. */
gq_status gq_jitlink_check(void);

struct gq_jitlink {
    const char *library;
    const char *name; /* of the plugin, for the log */
    const struct gq_text *template_cubin, *plugin;
    bool plugin_is_ptx;
    uint32_t arch;
    uint32_t suffix; /* 'a' for sm_90a, 'f' for sm_100f; 0: none */
};
/* GQ_OK: the linker ran to its end; *linked says whether there is a cubin in `object`. The log reads as a C compiler's
 * and linker's: NAME:line:column: error: ..., undefined symbol: helper(...) */
gq_status gq_jitlink_link(const struct gq_jitlink *link, bool *linked, struct gq_text *log, struct gq_text *object);

#endif
