/* elf.h - what an image says of itself, read from its bytes: nothing of it runs. */
#ifndef GQ_BUILD_ELF_H
#define GQ_BUILD_ELF_H

#include <stddef.h>
#include "base/error.h"
#include "device/image.h"

/* The gq_cpu_image that a shared object for this machine exports, with `run` NULL. GQ_ERR_PLUGIN if it has none, or one
 * of another ABI. The bytes may be anything. */
gq_status gq_elf_cpu_image(const void *bytes, size_t len, struct gq_cpu_image *out);

#define GQ_CUDA_IMAGE_SYMBOL "gq_cuda_image"

/* The same of a cubin: the words that entry_cuda.h exports. */
gq_status gq_elf_cuda_image(const void *bytes, size_t len, struct gq_cpu_image *out);

#define GQ_CUDA_RESERVED_BYTES 1024u /* of shared memory, by the driver, in each block */

#define GQ_CUDA_STACK_UNKNOWN UINT32_MAX /* a function calls itself, or one that is known at run time alone */

/* What a thread of a cubin's grid takes, and a block of them. */
struct gq_cuda_usage {
    uint32_t registers;    /* a thread */
    uint32_t stack_bytes;  /* a thread: arrays that found no registers, spills, and what calls save */
    uint32_t shared_bytes; /* a block, without what the driver reserves */
};
gq_status gq_elf_cuda_usage(const void *bytes, size_t len, struct gq_cuda_usage *out);

#endif
