/* vars.h - ${NAME} and ${NAME:default} inside scalars, from the environment. $${ stands for ${ itself. */
#ifndef GQ_CONFIG_VARS_H
#define GQ_CONFIG_VARS_H

#include <stdbool.h>
#include "base/text.h"

/* Appends `text` with its variables put in. *expanded: there was one. False when one is wrong or has no value, with the
 * reason in `why`. What a variable holds is not looked at again. */
bool gq_vars_expand(const char *text, struct gq_text *out, bool *expanded, struct gq_text *why);
/* Appends text that expands to `text`. */
void gq_vars_escape(const char *text, struct gq_text *out);

#endif
