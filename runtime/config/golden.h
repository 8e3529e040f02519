/* golden.h - golden vectors: what a plugin must make of given messages, read from NAME.golden.yaml beside NAME.cu.
 *
 * The file is a list; each item is one vector:
 *
 *   - name: what this shows       required, no two the same
 *     in: "text"                  the message: text, or in_hex: "00 ff", `repeat` times in a row (default 1);
 *     index: 7                    for a source plugin instead the index given to generate_message()
 *     out: "text"                 the result: text, or out_hex, out_repeat times; or dropped: true; or failed: CODE;
 *                                 or overflow: true, when the plugin must report more bytes than its buffer holds
 *     params: { key: value }      parameters of the plugin, as in a pipeline file
 *     slot_bytes: 64              room for the result; without it enough for every vector of the file
 */
#ifndef GQ_CONFIG_GOLDEN_H
#define GQ_CONFIG_GOLDEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/error.h"
#include "base/text.h"
#include "config/conf.h"
#include "config/problem.h"

#define GQ_GOLDEN_INDEX_MAX 0x7fffffffffffffffull /* as source.plugin.first of a pipeline */

enum gq_golden_ending { GQ_GOLDEN_OUT, GQ_GOLDEN_DROPPED, GQ_GOLDEN_FAILED, GQ_GOLDEN_OVERFLOW };

struct gq_golden_bytes {
    uint8_t *data; /* NULL when len is 0 */
    size_t len;
};

/* As written: the pipeline file's reader gives it a type. */
struct gq_golden_param {
    char *name;
    char *text;
    bool quoted; /* certainly a string */
    struct gq_mark mark;
};

struct gq_golden_vector {
    char *name;
    struct gq_mark mark;
    struct gq_golden_bytes in;                    /* of a stage */
    uint64_t index;                               /* of a source */
#define GQ_GOLDEN_INDEX_MAX 0x7fffffffffffffffull /* as source.plugin.first of a pipeline */

    enum gq_golden_ending ending;
    struct gq_golden_bytes out; /* GQ_GOLDEN_OUT */
    uint32_t code;              /* GQ_GOLDEN_FAILED */
    struct gq_golden_param *params;
    size_t param_count;
    uint32_t slot_bytes; /* 0: not given */
};

struct gq_golden {
    bool source; /* vectors of a source plugin: indices and not messages */
    struct gq_golden_vector *vectors;
    size_t count; /* at least one */
};

/* The name of the golden file that belongs to a plugin; allocated, NULL when memory ran out. */
char *gq_golden_path(const char *plugin_path);

/* Reads a golden file, or `text` as if it were one. On failure every error found is appended to `errors`, one
 * `file:line:column: error: ...` a line, `*error_count` is how many, and the status is GQ_ERR_PLUGIN (GQ_ERR_IO when
 * the file cannot be read). `*out` is NULL on failure; gq_golden_destroy() takes NULL. */
gq_status gq_golden_load(const char *path, struct gq_text *errors, size_t *error_count, struct gq_golden **out);
gq_status gq_golden_parse(const char *path, const char *text, size_t len, struct gq_text *errors, size_t *error_count,
                          struct gq_golden **out);
void gq_golden_destroy(struct gq_golden *golden);

/* Do both ask for the same parameters? */
bool gq_golden_same_params(const struct gq_golden_vector *a, const struct gq_golden_vector *b);
/* A vector's parameters as a pipeline file would have them; gq_conf_params_destroy() frees them. */
gq_status gq_golden_params(const struct gq_golden_vector *vector, struct gq_conf_param **out, size_t *count);
/* Room that every vector of the file fits into which does not ask for another. */
uint32_t gq_golden_room(const struct gq_golden *golden);

#endif
