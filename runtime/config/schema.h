/* schema.h - the one table of pipeline files. Its rows read, check, explain and document every key. */
#ifndef GQ_CONFIG_SCHEMA_H
#define GQ_CONFIG_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "config/conf.h"

enum gq_schema_type {
    /* with rows below them */
    GQ_SCHEMA_MAP,    /* keys */
    GQ_SCHEMA_CHOICE, /* exactly one of the keys below; the field is its number */
    GQ_SCHEMA_LIST, /* of stages: min to max of them; rows below start with "stages[]" and fill struct gq_conf_stage */
    /* values */
    GQ_SCHEMA_PARAMS,   /* names and values of the user's own */
    GQ_SCHEMA_NAME,     /* letters, digits, _ - . */
    GQ_SCHEMA_PLUGIN,   /* a path: a file to be compiled */
    GQ_SCHEMA_INPUT,    /* a path: must exist */
    GQ_SCHEMA_OUTPUT,   /* a path: its folder must exist */
    GQ_SCHEMA_SOCKET,   /* a path: its folder must exist; or the word GQ_SOCKET_OFF, which is then the field's text */
    GQ_SCHEMA_WORD,     /* one of `words` */
    GQ_SCHEMA_COUNT,    /* a whole number, or one of `words` */
    GQ_SCHEMA_POWER,    /* a whole number that is a power of two */
    GQ_SCHEMA_SIZE,     /* bytes */
    GQ_SCHEMA_DURATION, /* the field is in ms */
    GQ_SCHEMA_RATE      /* a second; the field is a double */
};

#define GQ_PINS_FILE "plugins.sha256" /* of trust: pinned, beside the pipeline file */
#define GQ_SOCKET_OFF "off"           /* a socket called so is written ./off */

struct gq_schema_word {
    const char *word; /* NULL ends the list */
    unsigned value;
};

struct gq_schema_row {
    const char *path; /* "source.file.path"; a row stands below the row whose path is its own up to the last dot */
    enum gq_schema_type type;
    bool required;
    const char *fallback;  /* as a file would say it; NULL: none, or `otherwise` */
    const char *otherwise; /* a default that depends on the rest, in words */
    uint64_t min, max;
    const struct gq_schema_word *words;
    size_t offset;    /* of the field, in struct gq_conf or, below stages[], in struct gq_conf_stage */
    size_t width;     /* of the field; 0: not kept */
    size_t beside;    /* of a second field: a path's mark, the number of params; 0: none */
    const char *make; /* the command that prints such a file, for whoever has none yet; NULL: no one command does */
    const char *example;
    const char *sentence;
};

extern const struct gq_schema_row gq_schema_rows[];
extern const size_t gq_schema_count;

/* The rows directly below `parent` (NULL: the file's own keys), in order: start with NULL, ends with NULL. */
const struct gq_schema_row *gq_schema_next(const struct gq_schema_row *parent, const struct gq_schema_row *previous);
/* The row below `parent` whose key it is, NULL if there is none. */
const struct gq_schema_row *gq_schema_find(const struct gq_schema_row *parent, const char *key);
/* The last part of a row's path. */
const char *gq_schema_key(const struct gq_schema_row *row);
bool gq_schema_is_path(const struct gq_schema_row *row);
/* The number of a CHOICE's key among its rows, and back. */
unsigned gq_schema_choice(const struct gq_schema_row *row, const struct gq_schema_row *chosen);
const struct gq_schema_row *gq_schema_chosen(const struct gq_schema_row *row, unsigned number);

/* Appends what a value of this row looks like: "a whole number from 0 to 255", "lines, raw or fixed". */
void gq_schema_expected(const struct gq_schema_row *row, struct gq_text *out);
/* Appends the keys below a row: "file, stdin or api". */
void gq_schema_keys(const struct gq_schema_row *row, struct gq_text *out);

/* The name among the children of `row` that is nearest to what was written, NULL if none is near. */
const char *gq_schema_nearest_key(const struct gq_schema_row *row, const char *written);
const char *gq_schema_nearest_word(const struct gq_schema_row *row, const char *written);
/* Appends the paths of all rows with this very key: "source.file.path and sink.file.path". False: none. */
bool gq_schema_elsewhere(const char *key, struct gq_text *out);

#endif
