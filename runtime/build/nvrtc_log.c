#include "build/nvrtc_log.h"
#include "build/embedded.h"
#include "build/unit.h"
#include <stdbool.h>
#include <string.h>

#define NOTES_MAX 16 /* lines between a diagnostic and its caret */

struct line {
    const char *s;
    size_t len;
};

/* The line at *at, which moves behind it; false at the end. */
static bool next_line(const char **at, struct line *out)
{
    out->s = *at;
    out->len = strcspn(*at, "\n");
    *at += out->len + ((*at)[out->len] == '\n');
    return out->len > 0 || **at != '\0';
}

static bool begins(const struct line *l, const char *what) { return strncmp(l->s, what, strlen(what)) == 0; }
static bool has(const struct line *l, const char *what) { return memmem(l->s, l->len, what, strlen(what)) != NULL; }

/* Where the "(12): " of a diagnostic opens, NULL without one. */
static const char *find_place(const struct line *l)
{
    for (const char *s = l->s; s < l->s + l->len; s++)
        if (*s == '(' && strspn(s + 1, "0123456789") > 0 && strncmp(s + 1 + strspn(s + 1, "0123456789"), "): ", 3) == 0)
            return s;
    return NULL;
}

/* The column that a line of blanks and a caret points at: the source is shown two blanks in. 0: no such line. */
static unsigned caret_column(const struct line *l)
{
    size_t blanks = strspn(l->s, " \t");
    return blanks >= 2 && blanks + 1 == l->len && l->s[blanks] == '^' ? (unsigned)blanks - 1 : 0;
}

/* The caret line of the diagnostic that ends at `at`: its column, and how many lines stand before it. */
static unsigned find_caret(const char *at, unsigned *before)
{
    struct line l;
    unsigned column = 0;
    for (*before = 0; *before < NOTES_MAX && next_line(&at, &l) && !find_place(&l); ++*before)
        if ((column = caret_column(&l)) > 0)
            return column;
    return 0;
}

static bool is_noise(const struct line *l)
{
    return has(l, "detected in the compilation of") || begins(l, "Compilation terminated") ||
           begins(l, "Remark: The warnings can be suppressed");
}

static bool is_embedded(const char *name, size_t len)
{
    for (size_t i = 0; i < gq_embedded_count; i++)
        if (strlen(gq_embedded[i].name) == len && memcmp(gq_embedded[i].name, name, len) == 0)
            return true;
    return false;
}

static void add_place(struct gq_text *out, const struct line *l, const char *open, unsigned column)
{
    size_t name = (size_t)(open - l->s), digits = strspn(open + 1, "0123456789");
    const char *rest = open + digits + 2;
    if (is_embedded(l->s, name))
        gq_text_puts(out, GQ_UNIT_OURS);
    gq_text_printf(out, "%.*s:%.*s:%u%.*s\n", (int)name, l->s, (int)digits, open + 1, column ? column : 1,
                   (int)(l->s + l->len - rest), rest);
}

/* What stands behind `words`; NULL without them. */
static const char *behind(const struct line *l, const char *words)
{
    const char *at = memmem(l->s, l->len, words, strlen(words));
    return at ? at + strlen(words) : NULL;
}

/* ptxas fatal   : Unresolved extern function '_Z6helperj'
 * error   : Undefined reference to '_Z6helperj' in 'plugins/echo.cubin' */
static bool add_unresolved(struct gq_text *out, const struct line *l)
{
    const char *s = behind(l, "Unresolved extern function '"), *end = l->s + l->len;
    size_t len = 0;
    if (!s)
        s = behind(l, "Undefined reference to '");
    if (!s)
        return false;
    if (strncmp(s, "_Z", 2) == 0)
        for (s += 2; s < end && *s >= '0' && *s <= '9' && len < 10000; s++)
            len = len * 10 + (size_t)(*s - '0');
    if (len == 0 || len > (size_t)(end - s)) /* extern "C", or a name in a namespace, as it is */
        len = strcspn(s, "'\n");
    gq_text_printf(out, "undefined symbol: %.*s(...)\n", (int)len, s);
    return true;
}

/* unit(4): error: function "process_message" was referenced but not defined: declared by the unit's head, which nobody
 * needs to see; its line and caret go with it. */
static bool add_not_defined(struct gq_text *out, const struct line *l, const char **raw)
{
    struct line skipped;
    unsigned before = 0;
    const char *name = behind(l, "error: function \"");
    bool ours = name && (strncmp(name, "process_message\"", 16) == 0 || strncmp(name, "generate_message\"", 17) == 0);
    if (!ours || !has(l, "was referenced but not defined"))
        return false;
    gq_text_printf(out, "undefined symbol: %.*s(...)\n", (int)strcspn(name, "\""), name);
    if (find_caret(*raw, &before))
        for (unsigned i = 0; i <= before; i++)
            next_line(raw, &skipped);
    return true;
}

void gq_nvrtc_log_add(struct gq_text *out, const char *raw)
{
    struct line l;
    while (next_line(&raw, &l)) {
        const char *open = find_place(&l);
        if (is_noise(&l) || add_unresolved(out, &l) || add_not_defined(out, &l, &raw))
            continue;
        if (!open) {
            gq_text_add(out, l.s, l.len);
            gq_text_puts(out, "\n");
            continue;
        }
        unsigned before = 0, column = find_caret(raw, &before);
        add_place(out, &l, open, column);
        for (unsigned i = 0; column && i <= before && next_line(&raw, &l); i++)
            if (i + 1 < before) {
                gq_text_add(out, l.s, l.len);
                gq_text_puts(out, "\n");
            }
    }
}

/* --- nvJitLink ---------------------------------------------------------------------------------------------------- */

/* ptxas application ptx input, line 31; error   : Unknown modifier '.qqq'
 * ptxas fatal   : Ptx assembly aborted due to errors */
static bool add_ptxas(struct gq_text *out, const char *name, const struct line *l)
{
    const char *place = behind(l, "ptx input, line "), *colon = behind(l, " : ");
    if (!begins(l, "ptxas ") || !colon || has(l, "Ptx assembly aborted"))
        return begins(l, "ptxas ") && colon;
    bool warns = has(l, "warning");
    gq_text_puts(out, name);
    if (place)
        gq_text_printf(out, ":%.*s:1", (int)strspn(place, "0123456789"), place);
    gq_text_printf(out, ": %s: %.*s\n", warns ? "warning" : "error", (int)(l->s + l->len - colon), colon);
    return true;
}

/* ERROR 9: finish, ERROR NVJITLINK_ERROR_PTX_COMPILE: ...: what failed is said in another line. */
static bool is_code(const struct line *l) { return begins(l, "ERROR ") && !has(l, "bad input"); }

void gq_jitlink_log_add(struct gq_text *out, const char *name, const char *raw)
{
    struct line l;
    while (next_line(&raw, &l)) {
        if (l.len == 0 || is_code(&l) || add_unresolved(out, &l) || add_ptxas(out, name, &l))
            continue;
        const char *text = behind(&l, " : ");
        text = text ? text : l.s;
        gq_text_printf(out, "%s: %s: %.*s\n", name, begins(&l, "warning") ? "warning" : "error",
                       (int)(l.s + l.len - text), text);
    }
}
