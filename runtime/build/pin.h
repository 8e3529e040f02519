/* pin.h - plugins by their SHA-256: a file of pins says which bytes may be compiled.
 *
 * The file is as sha256sum writes it: 64 hex digits, two blanks, a path, relative to the file's own folder; '#' begins
 * a comment. `gpuq plugin pin` prints the lines. It is read anew for each build, so that a pin can be added to a
 * running pipeline. */
#ifndef GQ_BUILD_PIN_H
#define GQ_BUILD_PIN_H

#include "base/error.h"
#include "base/scratch.h"
#include "base/text.h"
#include "build/scan.h"

/* Every file that was read for this plugin has a pin, its bytes as they were read are those of the pin, neither it nor
 * its folder, nor the file of pins, can be written by others, and a compiler reads no other. GQ_ERR_PLUGIN says which
 * is not so. */
gq_status gq_pins_check(const char *pins, const struct gq_scan *scan);

/* Writes the headers that were read into `scratch`, which is emptied first, as they lie below the plugin's. */
gq_status gq_pins_copy_headers(const struct gq_scan *scan, const char *plugin_folder, const struct gq_scratch *scratch);

/* Appends a line for the plugin and one for each header of the user's that it includes, on a GPU or on the CPU. */
gq_status gq_pins_print(const char *path, struct gq_text *out);

#endif
