/* read.h - a tree and the table become a struct gq_conf. */
#ifndef GQ_CONFIG_READ_H
#define GQ_CONFIG_READ_H

#include "config/schema.h"
#include "config/yaml.h"

struct gq_reading {
    struct gq_conf *conf;
    struct gq_problems *problems;
    bool no_memory;
};

/* Reads every key that the table has, takes the defaults of the others, and reports all that does not fit. A node with
 * a problem is marked bad. `root` is a mapping. */
void gq_read_tree(struct gq_reading *r, struct gq_yaml *root);
/* What depends on several keys at once: defaults taken from others, sizes that must fit, files that must differ. */
void gq_read_check(struct gq_reading *r, struct gq_yaml *root);

/* Adds a problem at a node and marks the node bad. */
void gq_read_refuse(struct gq_reading *r, struct gq_yaml *node, bool at_key, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* False, and a sentence in `why`, unless the path can serve as the row says. */
bool gq_path_check(const struct gq_schema_row *row, const char *path, struct gq_text *why);
/* Do both name one regular file, which need not exist yet? */
bool gq_path_same(const char *a, const char *b);

#endif
