/* nvrtc_log.h - what NVRTC says, in the words of a C compiler. */
#ifndef GQ_BUILD_NVRTC_LOG_H
#define GQ_BUILD_NVRTC_LOG_H

#include "base/text.h"

/* `path(12): error: text` becomes `path:12:COLUMN: error: text`, the embedded headers get GQ_UNIT_OURS before their
 * names (unit.h), and a function that ptxas misses is an undefined symbol. The source and caret lines go:
 * gq_log_clean() shows them again, from the text that was compiled. */
void gq_nvrtc_log_add(struct gq_text *out, const char *raw);

#endif
