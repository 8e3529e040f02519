/* plugin_show.h - messages and how they ended, for people and as JSON. */
#ifndef GPUQ_PLUGIN_SHOW_H
#define GPUQ_PLUGIN_SHOW_H

#include "base/text.h"
#include "config/golden.h"
#include "plugin_probe.h"

/* Appends "abc\n" in quotes when most of the bytes are text, else hex digits; of long messages the part around byte
 * `around`. */
void plugin_show_bytes(struct gq_text *out, const struct gq_golden_bytes *bytes, size_t around);
/* Appends the ending in words: `3 bytes, "abc"`, `dropped`, `failed with code 3`, `too long for its buffer`. */
void plugin_show_result(struct gq_text *out, const struct probe_result *result, size_t around);
/* Appends {"ending": "out", "hex": "616263"}. */
void plugin_show_json(struct gq_text *out, const struct probe_result *result);

struct probe_result plugin_show_expected(const struct gq_golden_vector *vector); /* borrows the vector's bytes */
bool plugin_show_same(const struct probe_result *a, const struct probe_result *b);
/* The first byte in which they differ; the length of the shorter one if there is none. */
size_t plugin_show_difference(const struct gq_golden_bytes *a, const struct gq_golden_bytes *b);

#endif
