/* record.h - one line of the control protocol, and of the audit log: a word, then fields.
 *
 *   swap stage="score" file="/srv/plugins/score.cu" rehearse="off"
 *
 * A value is a JSON string, or bare: letters, digits and ._/:+- only. What we write has strings always quoted, and
 * numbers, true and false never, so that a record turns into a JSON object without knowing its fields. A string's
 * control characters are escaped: a line is a line, whatever a file is called. */
#ifndef GQ_CONTROL_RECORD_H
#define GQ_CONTROL_RECORD_H

#include <stdint.h>
#include "base/error.h"
#include "base/text.h"

#define GQ_RECORD_FIELDS_MAX 32

struct gq_field {
    const char *name, *value; /* in the bytes that were parsed */
    bool quoted;
};

struct gq_record {
    const char *word;
    struct gq_field field[GQ_RECORD_FIELDS_MAX];
    size_t count;
};

/* Parses a line of `len` bytes, without its newline and with a NUL behind it, in place. GQ_ERR_INVALID_ARG says where
 * it is wrong. */
gq_status gq_record_parse(char *line, size_t len, struct gq_record *out);
/* The value of a field; NULL if there is none of that name. */
const char *gq_record_value(const struct gq_record *record, const char *name);
/* Its fields as members of a JSON object: "name": value, ... */
void gq_record_members(const struct gq_record *record, struct gq_text *out);

/* Writing: the word, the fields, and a newline by the caller. */
void gq_record_string(struct gq_text *out, const char *name, const char *value);
void gq_record_number(struct gq_text *out, const char *name, uint64_t value);
void gq_record_real(struct gq_text *out, const char *name, double value); /* not below zero; six digits after the dot */
void gq_record_bool(struct gq_text *out, const char *name, bool value);

#endif
