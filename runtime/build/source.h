/* source.h - a plugin's file, read once: CUDA source, PTX, or a cubin. */
#ifndef GQ_BUILD_SOURCE_H
#define GQ_BUILD_SOURCE_H

#include "base/error.h"
#include "base/text.h"
#include "build/build.h"

/* GQ_ERR_PLUGIN, in one sentence, for a file that cannot be read, is no regular file, is too large, or holds something
 * else: a fat binary, a shared object, bytes. */
gq_status gq_source_read(const char *path, struct gq_text *out, enum gq_origin *origin);

/* A byte order mark is harmless, and no column. */
void gq_source_skip_mark(struct gq_text *text);

#endif
