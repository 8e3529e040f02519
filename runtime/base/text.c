#include "base/text.h"
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool reserve(struct gq_text *t, size_t more)
{
    if (t->failed)
        return false;
    if (t->len + more + 1 <= t->cap)
        return true;
    size_t cap = t->cap ? t->cap : 64;
    while (cap < t->len + more + 1)
        cap *= 2;
    char *data = realloc(t->data, cap);
    if (!data) {
        t->failed = true;
        return false;
    }
    t->data = data;
    t->cap = cap;
    return true;
}

void gq_text_add(struct gq_text *t, const void *bytes, size_t len)
{
    if (!reserve(t, len))
        return;
    if (len)
        memcpy(t->data + t->len, bytes, len);
    t->len += len;
    t->data[t->len] = '\0';
}

void gq_text_puts(struct gq_text *t, const char *s) { gq_text_add(t, s, strlen(s)); }

void gq_text_vprintf(struct gq_text *t, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    if (len >= 0 && reserve(t, (size_t)len)) {
        vsnprintf(t->data + t->len, (size_t)len + 1, format, again);
        t->len += (size_t)len;
    }
    va_end(again);
}

void gq_text_printf(struct gq_text *t, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    gq_text_vprintf(t, format, args);
    va_end(args);
}

/* Length of the UTF-8 sequence at s (RFC 3629: shortest form, no surrogates), 0 if there is none. */
static size_t utf8_length(const unsigned char *s, size_t left)
{
    if (s[0] < 0x80)
        return 1;
    size_t n = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    if (s[0] < 0xc2 || s[0] > 0xf4 || n > left)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    bool overlong = (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xf0 && s[1] < 0x90);
    bool beyond = (s[0] == 0xed && s[1] >= 0xa0) || (s[0] == 0xf4 && s[1] >= 0x90);
    return overlong || beyond ? 0 : n;
}

size_t gq_text_control(const char *s, size_t left)
{
    const unsigned char c = (unsigned char)s[0];
    if (c < 0x20 || c == 0x7f)
        return 1;
    return c == 0xc2 && left > 1 && ((unsigned char)s[1] & 0xe0) == 0x80 ? 2 : 0;
}

void gq_text_json(struct gq_text *t, const char *text, size_t len)
{
    const unsigned char *s = (const unsigned char *)text;
    gq_text_puts(t, "\"");
    for (size_t i = 0; i < len;) {
        size_t n = utf8_length(s + i, len - i);
        if (n == 0)
            gq_text_puts(t, "\\ufffd");
        else if (s[i] == '"' || s[i] == '\\')
            gq_text_printf(t, "\\%c", s[i]);
        else if (gq_text_control(text + i, len - i)) /* what JSON allows of them, a terminal obeys */
            gq_text_printf(t, "\\u%04x", s[i + n - 1]);
        else
            gq_text_add(t, s + i, n);
        i += n ? n : 1;
    }
    gq_text_puts(t, "\"");
}

void gq_text_clear(struct gq_text *t)
{
    t->len = 0;
    t->failed = false;
    if (t->data)
        t->data[0] = '\0';
}

void gq_text_finish(struct gq_text *t)
{
    free(t->data);
    *t = (struct gq_text){0};
}

const char *gq_text_str(const struct gq_text *t) { return t->data ? t->data : ""; }
