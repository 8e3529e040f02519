/* unit.h - the one translation unit that a plugin becomes. */
#ifndef GQ_BUILD_UNIT_H
#define GQ_BUILD_UNIT_H

#include "build/params.h"

/* How diagnostics name the embedded headers. */
#define GQ_UNIT_OURS "<gpuqueue>/"
/* What follows the plugin's own text, and ends the unit: a header of ours. */
#define GQ_UNIT_TAIL "\n#line 1 \"" GQ_UNIT_OURS "unit\"\n"

/* How a plugin meets the template (device/kernel.cu). */
enum gq_unit_kind {
    GQ_UNIT_CPU,   /* both in one unit, for a CPU */
    GQ_UNIT_WHOLE, /* both in one unit, for a GPU */
    GQ_UNIT_APART  /* the plugin's unit alone, to be linked with the template */
};

/* Parameters, then the plugin's text at its own file and lines, then the template or what takes its place. */
gq_status gq_unit_write(const struct gq_build_request *request, const struct gq_scan *scan, enum gq_unit_kind kind,
                        struct gq_text *out);

/* The template without a plugin, for plugins of this kind, scope and state. `machine` NULL: for a plugin's unit that
 * was compiled apart; else for PTX or a cubin, which is called as it was declared. */
void gq_unit_write_template(const struct gq_cpu_image *info, const struct gq_machine *machine, bool packs,
                            struct gq_text *out);

#endif
