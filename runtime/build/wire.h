/* wire.h - the packets between the host side (build.c) and the builder process (builder.c). */
#ifndef GQ_BUILD_WIRE_H
#define GQ_BUILD_WIRE_H

#include <limits.h>
#include <stdint.h>
#include "base/error.h"

#define GQ_WIRE_VERSION 2u
#define GQ_UNIT_BYTES_MAX (4u << 20) /* source, parameters, template */
#define GQ_OBJECT_BYTES_MAX (128u << 20)
#define GQ_RAW_LOG_BYTES_MAX (256u << 10)
#define GQ_DEPENDS_BYTES_MAX (1u << 20)

/* Descriptor: the unit's text. */
struct gq_wire_request {
    uint32_t version;
    uint32_t timeout_ms;
    uint32_t arch; /* 0: `compiler` is a C++ compiler; else it is NVRTC's library, and the target sm_<arch> */
    uint32_t reserved0;
    char compiler[PATH_MAX];
    char folder[PATH_MAX]; /* the plugin's */
};

/* Descriptors: the compiler's log, the files it read (absolute paths, a NUL after each), and, with `compiled`, the
 * image. */
struct gq_wire_reply {
    uint32_t version;
    int32_t status; /* GQ_OK: the compiler ran to its end, with or without success */
    uint32_t compiled;
    char error[GQ_ERROR_TEXT_MAX];
};

#endif
