/* library.h - where a library of the CUDA toolkit is. */
#ifndef GQ_BUILD_LIBRARY_H
#define GQ_BUILD_LIBRARY_H

#include <limits.h>
#include "base/error.h"

/* $<variable>; else `first` or `second`, in the folders of $LD_LIBRARY_PATH and the usual ones; else where the loader
 * finds one of them. It carries a path, so that the cache can tell one file from another; `first`, and a name in the
 * variable, stay as they are if there is none. */
void gq_library_find(const char *variable, const char *first, const char *second, char path[PATH_MAX]);
/* Can it be opened? The loader's words if not. */
gq_status gq_library_check(const char *path);

#endif
