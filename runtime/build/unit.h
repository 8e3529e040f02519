/* unit.h - the one translation unit that a plugin becomes. */
#ifndef GQ_BUILD_UNIT_H
#define GQ_BUILD_UNIT_H

#include "build/params.h"

/* How diagnostics name the embedded headers. */
#define GQ_UNIT_OURS "<gpuqueue>/"
/* What follows the plugin's own text, and ends the unit. */
#define GQ_UNIT_TAIL "\n#line 1 \"" GQ_UNIT_OURS "unit\"\n#include <device/kernel.cu>\n"

/* Parameters, then the plugin's text at its own file and lines, then the template. */
gq_status gq_unit_write(const struct gq_build_request *request, const struct gq_scan *scan, const char *entry_header,
                        struct gq_text *out);

#endif
