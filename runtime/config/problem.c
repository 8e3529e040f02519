#include "config/problem.h"
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define SHOWN_MAX 60

void gq_problem_add(struct gq_problems *p, struct gq_mark mark, const char *path, const char *format, ...)
{
    p->count++;
    if (p->kept == GQ_PROBLEMS_MAX)
        return;
    struct gq_text message = {0};
    va_list args;
    va_start(args, format);
    gq_text_vprintf(&message, format, args);
    va_end(args);
    char *where = strdup(path ? path : "");
    if (message.failed || !message.data || !where) {
        gq_text_finish(&message);
        free(where);
        p->failed = true;
        return;
    }
    p->list[p->kept++] = (struct gq_problem){.mark = mark, .path = where, .message = message.data};
}

static bool before(struct gq_mark a, struct gq_mark b)
{
    return a.line != b.line ? a.line < b.line : a.column < b.column;
}

/* Insertion: stable, and the list is short and nearly sorted. */
void gq_problems_sort(struct gq_problems *p)
{
    for (size_t i = 1; i < p->kept; i++) {
        struct gq_problem one = p->list[i];
        size_t at = i;
        for (; at > 0 && before(one.mark, p->list[at - 1].mark); at--)
            p->list[at] = p->list[at - 1];
        p->list[at] = one;
    }
}

static void print_one(const struct gq_problem *one, const char *file, struct gq_text *out)
{
    gq_text_puts(out, file);
    if (one->mark.line)
        gq_text_printf(out, ":%u:%u", one->mark.line, one->mark.column);
    gq_text_printf(out, "%serror: %s%s%s\n", *file ? ": " : "", one->path, *one->path ? ": " : "", one->message);
}

void gq_problems_print(const struct gq_problems *p, const char *file, struct gq_text *out)
{
    for (size_t i = 0; i < p->kept; i++)
        print_one(&p->list[i], file, out);
    if (p->count > p->kept && p->kept == GQ_PROBLEMS_MAX)
        gq_text_printf(out, "%s: error: and %zu more errors\n", file, p->count - p->kept);
}

void gq_problems_finish(struct gq_problems *p)
{
    for (size_t i = 0; i < p->kept; i++) {
        free(p->list[i].path);
        free(p->list[i].message);
    }
    *p = (struct gq_problems){0};
}

static size_t show_one(struct gq_text *out, const unsigned char *s, size_t left)
{
    const size_t control = gq_text_control((const char *)s, left);
    if (s[0] == '\n')
        gq_text_puts(out, "\\n");
    else if (control)
        gq_text_printf(out, "\\x%02x", s[control - 1]);
    else
        gq_text_add(out, s, 1);
    return control ? control : 1;
}

void gq_problem_show(struct gq_text *out, const char *text, size_t len)
{
    const unsigned char *s = (const unsigned char *)text;
    size_t end = len;
    if (len > SHOWN_MAX)
        for (end = SHOWN_MAX; end > 0 && (s[end] & 0xc0) == 0x80;)
            end--;
    for (size_t i = 0; i < end;)
        i += show_one(out, s + i, end - i);
    if (end < len)
        gq_text_puts(out, "...");
}
