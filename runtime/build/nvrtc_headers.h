/* nvrtc_headers.h - the standard headers that are given to NVRTC, which has none. */
#ifndef GQ_BUILD_NVRTC_HEADERS_H
#define GQ_BUILD_NVRTC_HEADERS_H

#include <stddef.h>

struct gq_nvrtc_header {
    const char *name, *text;
};

extern const struct gq_nvrtc_header gq_nvrtc_headers[]; /* the last has no name */

#endif
