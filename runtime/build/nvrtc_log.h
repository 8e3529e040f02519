/* nvrtc_log.h - what NVRTC and nvJitLink say, in the words of a C compiler and linker. */
#ifndef GQ_BUILD_NVRTC_LOG_H
#define GQ_BUILD_NVRTC_LOG_H

#include "base/text.h"

/* `path(12): error: text` becomes `path:12:COLUMN: error: text`, the embedded headers get GQ_UNIT_OURS before their
 * names (unit.h), and a function that ptxas misses is an undefined symbol. The source and caret lines go:
 * gq_log_clean() shows them again, from the text that was compiled. */
void gq_nvrtc_log_add(struct gq_text *out, const char *raw);
/* The same of nvJitLink, whose lines about the plugin's PTX name no file: `name` is it. */
void gq_jitlink_log_add(struct gq_text *out, const char *name, const char *raw);

#endif
