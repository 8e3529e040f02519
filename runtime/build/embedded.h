/* embedded.h - the headers that plugins are compiled with, held in the library, so that an installed one needs no
 * source tree. */
#ifndef GQ_BUILD_EMBEDDED_H
#define GQ_BUILD_EMBEDDED_H

#include <stddef.h>

struct gq_embedded {
    const char *name; /* as an #include names it: "gpuqueue/plugin.h" */
    const unsigned char *bytes;
    size_t len;
};

extern const struct gq_embedded gq_embedded[];
extern const size_t gq_embedded_count;

#endif
