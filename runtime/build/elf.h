/* elf.h - what a shared object says of itself, read from its bytes: nothing of it runs. */
#ifndef GQ_BUILD_ELF_H
#define GQ_BUILD_ELF_H

#include <stddef.h>
#include "base/error.h"
#include "device/image.h"

/* The gq_cpu_image that a shared object for this machine exports, with `run` NULL. GQ_ERR_PLUGIN if it has none, or one
 * of another ABI. The bytes may be anything. */
gq_status gq_elf_cpu_image(const void *bytes, size_t len, struct gq_cpu_image *out);

#endif
