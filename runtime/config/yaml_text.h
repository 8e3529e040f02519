/* yaml_text.h - the characters of a text, before and beside libyaml. */
#ifndef GQ_CONFIG_YAML_TEXT_H
#define GQ_CONFIG_YAML_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "config/problem.h"

/* Decodes one character (RFC 3629) and returns how many bytes it took; 0 when there is none. */
size_t gq_utf8_decode(const char *text, size_t left, uint32_t *character);
/* May the character stand unescaped in YAML? */
bool gq_yaml_printable(uint32_t character);
/* Is every byte of the text part of such a character? The first that is not is added to `problems`. */
bool gq_yaml_check_bytes(const char *text, size_t len, struct gq_problems *problems);
/* The byte at a place, NUL beyond the end. */
char gq_yaml_byte_at(const char *text, size_t len, struct gq_mark mark);

/* Appends what libyaml's sentence means to somebody who wrote the file. `at` is the byte at the error's place;
 * `context` is where the construct began. */
void gq_yaml_explain(struct gq_text *out, const char *problem, char at, struct gq_mark context);

#endif
