/* plugin_text.h - one plugin as a whole pipeline, in memory: so that commands compile and run it the way a pipeline
 * does, parameters and all. */
#ifndef GPUQ_PLUGIN_TEXT_H
#define GPUQ_PLUGIN_TEXT_H

#include <stddef.h>
#include <stdint.h>
#include "base/error.h"
#include "base/text.h"
#include "config/golden.h"
#include "device/image.h"

#define PLUGIN_TEXT_NAME "command line" /* what the text is called, and in the working folder */

struct plugin_text {
    const char *file; /* the plugin, as the user wrote it */
    enum gq_image_kind kind;
    const struct gq_golden_param *params;
    size_t param_count;
    uint32_t slot_bytes, capacity;
    uint64_t first, count; /* of a source */
};

gq_status plugin_text_write(const struct plugin_text *plugin, struct gq_text *out);

/* A source is a file that defines generate_message and not process_message; anything else is tried as a stage, and the
 * compiler's step says what it lacks. */
gq_status plugin_text_kind(const char *file, enum gq_image_kind *out);

#endif
