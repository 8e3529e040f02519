/* golden_result.h - how a message ended, compared with what a golden vector expects; for people and as JSON. */
#ifndef GQ_CONFIG_GOLDEN_RESULT_H
#define GQ_CONFIG_GOLDEN_RESULT_H

#include "base/text.h"
#include "config/golden.h"

/* How one message ended, and its bytes; golden vectors say the same of what they expect. */
struct gq_golden_result {
    enum gq_golden_ending ending;
    uint32_t code;
    struct gq_golden_bytes out;
};

/* A copy of a result's bytes. */
gq_status gq_golden_result_keep(struct gq_golden_result *result, const uint8_t *data, size_t len);
void gq_golden_result_finish(struct gq_golden_result *result);

struct gq_golden_result gq_golden_expected(const struct gq_golden_vector *vector); /* borrows the vector's bytes */
bool gq_golden_same(const struct gq_golden_result *a, const struct gq_golden_result *b);
/* The first byte in which they differ; the length of the shorter one if there is none. */
size_t gq_golden_differ_at(const struct gq_golden_bytes *a, const struct gq_golden_bytes *b);

/* Appends "abc\n" in quotes when most of the bytes are text, else hex digits; of long messages the part around byte
 * `around`. */
void gq_golden_show_bytes(struct gq_text *out, const struct gq_golden_bytes *bytes, size_t around);
/* Appends the ending in words: `3 bytes, "abc"`, `dropped`, `failed with code 3`, `overflow: ...`. */
void gq_golden_show_result(struct gq_text *out, const struct gq_golden_result *result, size_t around);
/* Appends what was expected, what came and where they part: lines that begin with `indent`. */
void gq_golden_show_difference(struct gq_text *out, const char *indent, const struct gq_golden_result *expected,
                               const struct gq_golden_result *got);
/* Appends {"ending": "out", "hex": "616263"}. */
void gq_golden_result_json(struct gq_text *out, const struct gq_golden_result *result);

#endif
