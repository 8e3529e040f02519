/* dl.h - the wall around dlfcn.h. */
#ifndef GQ_BASE_DL_H
#define GQ_BASE_DL_H

#include <stddef.h>
#include <stdint.h>
#include "base/error.h"

/* Opens a shared object for this process alone (RTLD_NOW | RTLD_LOCAL). On failure the sentence carries dlerror(). */
gq_status gq_dl_open(const char *path, void **out);
/* Opens the shared object whose bytes `fd` holds; each memfd is a file of its own, so no two opens share variables. */
gq_status gq_dl_open_fd(int fd, void **out);
gq_status gq_dl_symbol(void *object, const char *name, void **out);

/* Sets the function pointer `slot` to the symbol `name` (a string) of `object`, unless `status`, a variable, holds an
 * error already; it then holds how that went. For tables of functions. */
#define GQ_DL_FUNCTION(status, object, name, slot)                 \
    if ((status) == GQ_OK) {                                       \
        void *found_ = NULL;                                       \
        (status) = gq_dl_symbol((object), (name), &found_);        \
        __extension__(slot) = (__typeof__(slot))(uintptr_t)found_; \
    }

void gq_dl_close(void *object);
/* The file that the loader takes for a name without a folder; false if it takes none. It is loaded for the question. */
int gq_dl_find(const char *name, char *path, size_t size);
/* The NVIDIA driver's library: $GPUQ_LIBCUDA, or libcuda.so.1 for the loader to find. */
const char *gq_dl_driver_name(void);
/* Its library of what devices are and go through: $GPUQ_LIBNVML, or libnvidia-ml.so.1 for the loader to find. */
const char *gq_dl_nvml_name(void);
/* The file that holds the code of this library; false if the system cannot say. */
int gq_dl_self(char *path, size_t size);

#endif
