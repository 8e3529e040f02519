/* source.h - a plugin's file, read once. */
#ifndef GQ_BUILD_SOURCE_H
#define GQ_BUILD_SOURCE_H

#include "base/error.h"
#include "base/text.h"

/* Reads CUDA source. GQ_ERR_PLUGIN, in one sentence, for a file that cannot be read, is no regular file, is too large,
 * or holds something else: PTX, a cubin, a fat binary, a shared object, bytes. */
gq_status gq_source_read(const char *path, struct gq_text *out);

/* A byte order mark is harmless, and no column. */
void gq_source_skip_mark(struct gq_text *text);

#endif
