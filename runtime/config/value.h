/* value.h - the text of one scalar becomes a number, a name or a parameter; and back. */
#ifndef GQ_CONFIG_VALUE_H
#define GQ_CONFIG_VALUE_H

#include <stdbool.h>
#include <stdint.h>
#include "config/schema.h"

#define GQ_TEXT_BYTES_MAX 4095u /* of a text parameter and of a path */
#define GQ_NAME_BYTES_MAX 64u

/* Each returns false when the text is not such a value, with half a sentence in `why` if there is more to say than what
 * was expected. */
bool gq_value_number(const struct gq_schema_row *row, const char *text, uint64_t *out, struct gq_text *why);
bool gq_value_rate(const struct gq_schema_row *row, const char *text, double *out);
/* "0.5%", with at most four digits after the dot, in parts of a million. */
bool gq_value_percent(const char *text, uint64_t *ppm);
bool gq_value_word(const struct gq_schema_word *words, const char *text, unsigned *out);
bool gq_value_is_name(const char *text);
bool gq_value_is_identifier(const char *text);
/* A number with '.' or an exponent, finite; the same in every locale. */
bool gq_value_real(const char *text, double *out);
/* An unquoted scalar: type and value, except that a string's text stays the caller's (param->string is not set). */
bool gq_value_param(const char *text, struct gq_conf_param *param, struct gq_text *why);

/* As a file would say it. */
void gq_value_print_number(const struct gq_schema_row *row, uint64_t number, struct gq_text *out);
void gq_value_print_bytes(uint64_t bytes, struct gq_text *out);
void gq_value_print_real(double real, struct gq_text *out);
void gq_value_print_percent(uint64_t ppm, struct gq_text *out);
void gq_value_print_rate(double per_second, struct gq_text *out);
/* The longest part of `text` that is a name, with '_' for what may not stand in one; allocated, NULL: out of memory. */
char *gq_value_make_name(const char *text);

#endif
