#include "build/caret.h"
#include <string.h>

#define SHOWN_MAX 400 /* bytes of a line that are shown */

static const char *find_line(const char *text, const char *end, unsigned line)
{
    while (line > 1 && text) {
        text = memchr(text, '\n', (size_t)(end - text));
        text = text ? text + 1 : NULL;
        line--;
    }
    return text && text < end ? text : NULL;
}

/* The line as a terminal may show it: control characters become '?', a tab one blank. */
static void add_shown(struct gq_text *out, const char *s, size_t len)
{
    for (size_t i = 0, control; i < len; i += control ? control : 1) {
        control = gq_text_control(s + i, len - i);
        gq_text_add(out, s[i] == '\t' ? " " : control ? "?" : s + i, 1);
    }
}

/* Blanks up to the column; continuation bytes of UTF-8 take no room. */
static void add_indent(struct gq_text *out, const char *s, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (((unsigned char)s[i] & 0xc0) != 0x80)
            gq_text_puts(out, " ");
}

void gq_caret_add(struct gq_text *out, const char *text, size_t len, unsigned line, unsigned column)
{
    const char *s = line ? find_line(text, text + len, line) : NULL;
    if (!s)
        return;
    const char *newline = memchr(s, '\n', (size_t)(text + len - s));
    size_t n = (size_t)((newline ? newline : text + len) - s);
    if (n > 0 && s[n - 1] == '\r')
        n--;
    gq_text_printf(out, "%5u | ", line);
    add_shown(out, s, n < SHOWN_MAX ? n : SHOWN_MAX);
    gq_text_puts(out, "\n");
    if (column == 0 || column > n + 1 || column > SHOWN_MAX)
        return;
    gq_text_puts(out, "      | ");
    add_indent(out, s, column - 1);
    gq_text_puts(out, "^\n");
}
