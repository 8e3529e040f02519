/* golden_value.h - the values of a golden file. Each reader reports what is wrong at the value's place. Memory that ran
 * out is gq_problems.failed. */
#ifndef GQ_CONFIG_GOLDEN_VALUE_H
#define GQ_CONFIG_GOLDEN_VALUE_H

#include "config/golden.h"
#include "config/yaml.h"

void gq_golden_read_text(const struct gq_yaml *node, struct gq_problems *problems, struct gq_golden_bytes *out);
void gq_golden_read_hex(const struct gq_yaml *node, struct gq_problems *problems, struct gq_golden_bytes *out);
bool gq_golden_read_number(const struct gq_yaml *node, struct gq_problems *problems, uint64_t min, uint64_t max,
                           uint64_t *out);
/* The value must be `true`: a key that says how the message ends is left out when it does not end so. */
void gq_golden_read_true(const struct gq_yaml *node, struct gq_problems *problems);
void gq_golden_read_params(const struct gq_yaml *node, struct gq_problems *problems, struct gq_golden_vector *vector);
/* `bytes`, `times` in a row. */
void gq_golden_repeat(struct gq_golden_bytes *bytes, uint64_t times, const struct gq_yaml *node,
                      struct gq_problems *problems);

#endif
