/* log.h - what a compiler said, as the user should read it: at the user's file, line and column, with a caret, and
 * without the lines that speak of our template. */
#ifndef GQ_BUILD_LOG_H
#define GQ_BUILD_LOG_H

#include "build/scan.h"

#define GQ_LOG_BYTES_MAX 16384

/* `raw` names the embedded headers by GQ_UNIT_OURS (unit.h). At most GQ_LOG_BYTES_MAX are appended to `out`. */
void gq_log_clean(const char *raw, const char *path, enum gq_image_kind kind, const struct gq_scan *scan,
                  struct gq_text *out);

#endif
