/* yaml.h - the wall around libyaml: a text becomes a small tree of nodes, each knowing its place and its path.
 *
 * A subset of YAML 1.1 without surprises: UTF-8, one document, no anchors, aliases or tags, no key twice, keys are
 * scalars. Scalars stay text; what `true` or `12` means is the reader's business. Pipeline files and golden files use
 * it.
 */
#ifndef GQ_CONFIG_YAML_H
#define GQ_CONFIG_YAML_H

#include <stdbool.h>
#include <stddef.h>
#include "base/error.h"
#include "base/text.h"
#include "config/problem.h"

#define GQ_YAML_BYTES_MAX (1u << 20)
#define GQ_YAML_DEPTH_MAX 16u
#define GQ_YAML_EVENTS_MAX 50000u

enum gq_yaml_kind { GQ_YAML_SCALAR, GQ_YAML_SEQUENCE, GQ_YAML_MAPPING };

struct gq_yaml {
    enum gq_yaml_kind kind;
    struct gq_mark mark;     /* where the value begins */
    struct gq_yaml *parent;  /* NULL: the root */
    size_t index;            /* among the parent's items */
    char *key;               /* its name in a mapping (no NUL byte in it), NULL elsewhere */
    struct gq_mark key_mark; /* of the key; of the value where there is none */
    bool bad;                /* already reported (an alias, a tag ...): checks pass over it */
    bool cut;                /* the text broke off inside this sequence or mapping: items are missing */

    char *text; /* scalar: NUL-terminated, and may hold NUL bytes ("\0" in double quotes) */
    size_t len;
    bool quoted; /* scalar: 'single', "double" or block style: certainly a string */

    struct gq_yaml **items; /* sequence, mapping */
    size_t count;
};

/* Reads `len` bytes. Everything wrong is added to `problems`; the status is GQ_OK when nothing was, else GQ_ERR_CONFIG,
 * or GQ_ERR_NO_MEMORY. *root is what could be read, also on failure; NULL when that is nothing, as for an empty text.
 */
gq_status gq_yaml_read(const char *text, size_t len, struct gq_problems *problems, struct gq_yaml **root);
void gq_yaml_destroy(struct gq_yaml *root);

/* The value of a key of a mapping, NULL if it has none. */
const struct gq_yaml *gq_yaml_get(const struct gq_yaml *mapping, const char *key);
/* An empty value, `~` or `null`, unquoted. */
bool gq_yaml_is_null(const struct gq_yaml *node);
const char *gq_yaml_kind_name(enum gq_yaml_kind kind); /* "a scalar", "a list", "a mapping" */
/* Appends the node's path, "stages[0].params.key"; nothing for the root. */
void gq_yaml_path(const struct gq_yaml *node, struct gq_text *out);
/* Adds a problem at the node's value or, with `at_key`, at its key. */
void gq_yaml_problem(struct gq_problems *problems, const struct gq_yaml *node, bool at_key, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Appends a string as a YAML scalar that reads back as the same string: plain where that is safe, else in double
 * quotes. */
void gq_yaml_write(struct gq_text *out, const char *text);

#endif
