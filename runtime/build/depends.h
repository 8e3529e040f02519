/* depends.h - the list of files that a compiler read (-MD), out of the Makefile rule that it writes. */
#ifndef GQ_BUILD_DEPENDS_H
#define GQ_BUILD_DEPENDS_H

#include "base/text.h"

/* Appends each prerequisite of the first rule, as an absolute path with a NUL after it, except those below `leave_out`.
 */
void gq_depends_parse(const char *rule, const char *leave_out, struct gq_text *out);

#endif
