/* text.h - a growing string. {0} is an empty one; gq_text_finish() frees. After running out of memory it stays as it
 * was and `failed` is set, so a long series of appends needs one check at the end. */
#ifndef GQ_BASE_TEXT_H
#define GQ_BASE_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

struct gq_text {
    char *data; /* NUL-terminated once anything was added; NULL before */
    size_t len, cap;
    bool failed;
};

void gq_text_add(struct gq_text *t, const void *bytes, size_t len);
void gq_text_puts(struct gq_text *t, const char *s);
void gq_text_printf(struct gq_text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
void gq_text_vprintf(struct gq_text *t, const char *format, va_list args) __attribute__((format(printf, 2, 0)));
void gq_text_json(struct gq_text *t, const char *s,
                  size_t len); /* a quoted JSON string; invalid UTF-8 becomes U+FFFD */
/* How many bytes the control character takes that begins at s: 2 for U+0080 to U+009F, which a terminal obeys as it
 * does an escape; 0: there is none. `left` > 0. */
size_t gq_text_control(const char *s, size_t left);
void gq_text_clear(struct gq_text *t);
void gq_text_finish(struct gq_text *t);
const char *gq_text_str(const struct gq_text *t); /* "" when empty */

#endif
