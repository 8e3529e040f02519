/* wire.h - the packets between the host side (build.c) and the builder process (builder.c). */
#ifndef GQ_BUILD_WIRE_H
#define GQ_BUILD_WIRE_H

#include <limits.h>
#include <stdint.h>
#include "base/error.h"

#define GQ_WIRE_VERSION 4u
#define GQ_UNIT_BYTES_MAX (4u << 20) /* source, parameters, template */
#define GQ_OBJECT_BYTES_MAX (128u << 20)
#define GQ_RAW_LOG_BYTES_MAX (256u << 10)
#define GQ_DEPENDS_BYTES_MAX (1u << 20)

enum gq_wire_work {
    GQ_WIRE_CXX,    /* a unit, by a C++ compiler, to a shared object */
    GQ_WIRE_WHOLE,  /* a unit, by NVRTC, to a cubin */
    GQ_WIRE_APART,  /* a unit, by NVRTC, to a relocatable cubin */
    GQ_WIRE_CUBINS, /* the template and a relocatable cubin, by nvJitLink, to a cubin */
    GQ_WIRE_PTX     /* the same with PTX */
};

/* Descriptors: the unit's text; or the template's cubin, and the plugin's machine code. */
struct gq_wire_request {
    uint32_t version;
    uint32_t timeout_ms;
    uint32_t work;          /* enum gq_wire_work */
    uint32_t arch, suffix;  /* the target is sm_<arch><suffix> */
    uint32_t registers;     /* a thread's, at most; 0: any number */
    uint32_t pinned;        /* nothing of the user's is read but from `folder` */
    char program[PATH_MAX]; /* the C++ compiler, or the library */
    char folder[PATH_MAX];  /* the plugin's; of machine code its path, for the log */
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
