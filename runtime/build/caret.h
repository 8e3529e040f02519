/* caret.h - a source line under a message, and a caret under the column. */
#ifndef GQ_BUILD_CARET_H
#define GQ_BUILD_CARET_H

#include "base/text.h"

/* Appends
 *         6 |     out->out[0] = foo;
 *           |                   ^
 * Nothing, if the text has no such place. */
void gq_caret_add(struct gq_text *out, const char *text, size_t len, unsigned line, unsigned column);

#endif
