#include "config/vars.h"
#include <stdlib.h>
#include <string.h>
#include "config/problem.h"
#include "config/value.h"
#include "config/yaml_text.h"

static bool is_text(const char *s)
{
    uint32_t c;
    for (size_t left = strlen(s), n; left > 0; s += n, left -= n)
        if ((n = gq_utf8_decode(s, left, &c)) == 0)
            return false;
    return true;
}

/* One variable: `body` is what stands between the braces. */
static bool put_variable(char *body, struct gq_text *out, struct gq_text *why)
{
    char *fallback = strchr(body, ':');
    if (fallback)
        *fallback++ = '\0';
    if (!gq_value_is_identifier(body)) {
        gq_text_puts(why,
                     "'${...}' needs the name of a variable: write ${NAME} or ${NAME:default}, or $${ for ${ itself");
        return false;
    }
    const char *value = getenv(body);
    if (!value && !fallback) {
        gq_text_printf(why, "%s is not set and has no default: set it, or write ${%s:default}", body, body);
        return false;
    }
    if (value && !is_text(value)) {
        gq_text_printf(why, "the value of %s in the environment is not UTF-8", body);
        return false;
    }
    gq_text_puts(out, value ? value : fallback);
    return true;
}

static bool take_variable(const char **at, struct gq_text *out, struct gq_text *why)
{
    const char *end = strchr(*at, '}');
    if (!end) {
        gq_text_puts(why, "'${' has no closing '}': write $${ for ${ itself");
        return false;
    }
    char *body = strndup(*at + 2, (size_t)(end - *at) - 2);
    bool good = body && put_variable(body, out, why);
    out->failed = out->failed || !body;
    free(body);
    *at = end + 1;
    return good;
}

bool gq_vars_expand(const char *text, struct gq_text *out, bool *expanded, struct gq_text *why)
{
    *expanded = false;
    gq_text_puts(out, "");
    while (*text) {
        size_t plain = strcspn(text, "$");
        gq_text_add(out, text, plain);
        text += plain;
        if (strncmp(text, "$${", 3) == 0) {
            gq_text_puts(out, "${");
            text += 3;
        } else if (strncmp(text, "${", 2) == 0) {
            *expanded = true;
            if (!take_variable(&text, out, why))
                return false;
        } else if (*text) {
            gq_text_add(out, text++, 1);
        }
    }
    return true;
}

void gq_vars_escape(const char *text, struct gq_text *out)
{
    for (; *text; text++) {
        if (strncmp(text, "${", 2) == 0)
            gq_text_puts(out, "$");
        gq_text_add(out, text, 1);
    }
}
