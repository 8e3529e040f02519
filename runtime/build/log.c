#include "build/log.h"
#include "build/caret.h"
#include "build/unit.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One line of the compiler's, and what it says if it has the form FILE:LINE:COLUMN: TEXT. */
struct line {
    const char *s;
    size_t len;
    size_t file_len;
    unsigned number, column;
    const char *text; /* NULL: no such form */
};

#define CHAIN_MAX 8 /* lines of an include chain that are shown */

struct cleaning {
    const char *path;
    enum gq_image_kind kind;
    const struct gq_scan *scan;
    struct gq_text *out;
    size_t start;                 /* of what this call appends to `out` */
    struct gq_text warnings;      /* what is shown behind the errors */
    struct gq_text *to;           /* where the line at hand goes: one of the two */
    struct line from;             /* gcc, before an error inside a template: the line that used the template */
    struct line held;             /* clang, before that line: an error inside a template of ours */
    struct line user;             /* the line that used the template: more errors in there do not name it again */
    struct line chain[CHAIN_MAX]; /* before a diagnostic: who included the file, the last one in the last place */
    uint32_t chained;             /* how long it is */
};

/* --- reading ------------------------------------------------------------------------------------------------------ */

static bool has(const struct line *l, const char *what) { return memmem(l->s, l->len, what, strlen(what)) != NULL; }

static bool begins(const struct line *l, const char *what)
{
    return l->len >= strlen(what) && memcmp(l->s, what, strlen(what)) == 0;
}

static const char *read_number(const char *s, const char *end, unsigned *out)
{
    const char *start = s;
    for (*out = 0; s < end && *s >= '0' && *s <= '9' && *out < 100000000; s++)
        *out = *out * 10 + (unsigned)(*s - '0');
    return s > start && s < end && *s == ':' ? s + 1 : NULL;
}

/* File names may hold colons: the first ":NUMBER:NUMBER:" counts. */
static void read_place(struct line *l)
{
    const char *end = l->s + l->len;
    for (const char *colon = l->s; (colon = memchr(colon, ':', (size_t)(end - colon))) != NULL; colon++) {
        const char *column = read_number(colon + 1, end, &l->number);
        const char *text = column ? read_number(column, end, &l->column) : NULL;
        if (!text)
            continue;
        l->file_len = (size_t)(colon - l->s);
        l->text = text;
        return;
    }
}

static bool is_ours(const struct line *l) { return begins(l, GQ_UNIT_OURS); }
static bool is_error(const struct line *l) { return l->text && has(l, " error: "); }

/* gcc indents what led to a diagnostic: FILE:LINE:COLUMN:   required from here. */
static bool is_use(const struct line *l)
{
    return l->text && l->s + l->len - l->text > 3 && memcmp(l->text, "   ", 3) == 0;
}

/* --- what is left out --------------------------------------------------------------------------------------------- */

static bool is_chain(const struct line *l)
{
    return begins(l, "In file included from ") || begins(l, "                 from ");
}

/* FILE: In member function 'f': the diagnostic behind it has a line. */
static bool names_function(const struct line *l)
{
    return !l->text && has(l, ": In ") && (l->s[l->len - 1] == ':' || l->s[l->len - 1] == ',');
}

/* gcc without a place: a warning is about its options, which are ours. No memory, or a file that cannot be read, is why
 * it failed. */
static bool is_remark_of_gcc(const struct line *l)
{
    return begins(l, "cc1plus:") && !has(l, "error: ") && !has(l, "out of memory");
}

static bool is_noise(const struct line *l)
{
    static const char *const starts[] = {"collect2:", "compilation terminated", "    inlined from "};
    static const char *const parts[] = {": At global scope:",    ": At top level:",     " errors generated.",
                                        " error generated.",     " warning generated.", " warnings generated.",
                                        "linker command failed", ": in function `",     "error: ld returned"};
    if (is_remark_of_gcc(l))
        return true;
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++)
        if (begins(l, starts[i]))
            return true;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (has(l, parts[i]))
            return true;
    if (!l->text && begins(l, "    ") && has(l, " of " GQ_UNIT_OURS)) /* NVRTC: (declared at line 4 of ...) */
        return true;
    if (is_chain(l))
        return has(l, GQ_UNIT_OURS) || has(l, "<command-line>") || has(l, "<built-in>");
    return names_function(l) || (is_ours(l) && (has(l, ": note:") || has(l, ": warning:") || is_use(l)));
}

/* --- what is said in another way ---------------------------------------------------------------------------------- */

/* The name between the marks after `what`, such as `name' or name. */
static bool undefined_name(const struct line *l, const char *what, char *name, size_t size)
{
    const char *s = memmem(l->s, l->len, what, strlen(what)), *end = l->s + l->len;
    if (!s)
        return false;
    s += strlen(what);
    while (s < end && strchr(" `'", *s))
        s++;
    size_t n = (size_t)(end - s);
    while (n > 0 && strchr("'`\r ", s[n - 1]))
        n--;
    snprintf(name, size, "%.*s", (int)(n < size ? n : size - 1), s);
    return n > 0;
}

/* The same function may be missed at several places; it is said once. */
static bool said_before(const struct cleaning *c, const char *sentence)
{
    return strstr(gq_text_str(c->out) + c->start, sentence) != NULL;
}

static void say_missing(struct cleaning *c)
{
    static const char *const stage =
        "a stage's plugin defines `__device__ void process_message(const MsgView& in, ResultView* "
        "out)`, and this one does not";
    static const char *const source =
        "a source plugin defines `__device__ void generate_message(uint64_t index, ResultView* "
        "out)`, and this one does not";
    bool is_source = c->kind == GQ_IMAGE_SOURCE;
    const char *hint = "";
    if (is_source && c->scan->defines_process)
        hint = "; it is a stage's plugin: name it under stages";
    if (!is_source && c->scan->defines_generate)
        hint = "; it is a source plugin: name it as source.plugin";
    if (!said_before(c, is_source ? source : stage))
        gq_text_printf(c->out, "%s: error: %s%s\n", c->path, is_source ? source : stage, hint);
}

/* The line that a linker names before "undefined reference"; 0 if it names none. */
static unsigned linker_line(const struct cleaning *c, const struct line *l)
{
    unsigned number = 0;
    size_t n = strlen(c->path);
    const char *at = memmem(l->s, l->len, c->path, n);
    if (at && at[n] == ':')
        read_number(at + n + 1, l->s + l->len, &number);
    return number;
}

/* A linker's "undefined reference" is a missing process_message, or a function that is declared and never defined. */
static bool say_undefined(struct cleaning *c, const struct line *l)
{
    char name[512], sentence[640];
    if (!undefined_name(l, "undefined reference to ", name, sizeof name) &&
        !undefined_name(l, "undefined symbol: ", name, sizeof name) &&
        !undefined_name(l, "undefined hidden symbol: ", name, sizeof name))
        return false;
    unsigned number = linker_line(c, l);
    snprintf(sentence, sizeof sentence, "error: %s is declared and used, but not defined\n", name);
    if (strncmp(name, "process_message(", 16) == 0 || strncmp(name, "generate_message(", 17) == 0) {
        say_missing(c);
    } else if (!said_before(c, sentence) && number) {
        gq_text_printf(c->out, "%s:%u: %s", c->path, number, sentence);
        gq_caret_add(c->out, c->scan->file[0].text.data, c->scan->file[0].text.len, number, 0);
    } else if (!said_before(c, sentence)) {
        gq_text_printf(c->out, "%s: %s", c->path, sentence);
    }
    return true;
}

/* A process_message with other arguments, which the template's call could mean too. */
static bool say_wrong(struct cleaning *c, const struct line *l)
{
    const bool wrong = is_ours(l) && is_error(l) && (has(l, "process_message") || has(l, "generate_message")) &&
                       (has(l, "ambiguous") || has(l, "more than one instance"));
    if (wrong)
        say_missing(c);
    return wrong;
}

/* --- errors inside our templates ---------------------------------------------------------------------------------- */

static void add_caret(struct cleaning *c, const struct line *l)
{
    const struct gq_text *text = l->text ? gq_scan_text(c->scan, l->s, l->file_len) : NULL;
    if (text)
        gq_caret_add(c->to, text->data, text->len, l->number, l->column);
}

/* As it is, but with control characters shown as '?': the text may quote the plugin. */
static void add_plain(struct cleaning *c, const struct line *l)
{
    for (size_t i = 0, control; i < l->len; i += control ? control : 1) {
        control = gq_text_control(l->s + i, l->len - i);
        gq_text_add(c->to, control && l->s[i] != '\t' ? "?" : l->s + i, 1);
    }
    gq_text_puts(c->to, "\n");
    add_caret(c, l);
}

/* What `error` says, at the place of `user`. */
static void say_at(struct cleaning *c, const struct line *user, const struct line *error)
{
    gq_text_printf(c->to, "%.*s:%u:%u:%.*s\n", (int)user->file_len, user->s, user->number, user->column,
                   (int)(error->s + error->len - error->text), error->text);
    add_caret(c, user);
}

/* An error that was kept back: another one of the template's that was used last, or about no place of the user's. */
static void flush(struct cleaning *c)
{
    if (c->held.text && c->user.text)
        say_at(c, &c->user, &c->held);
    else if (c->held.text)
        add_plain(c, &c->held);
    c->held.text = NULL;
}

static void leave_template(struct cleaning *c)
{
    flush(c);
    c->user.text = NULL;
}

/* What led to a diagnostic stands before it in the compiler's words, and behind it here: who reads one line of it, as
 * in an audit, reads what is wrong. */
static void add_context(struct cleaning *c)
{
    const uint32_t shown = c->chained < CHAIN_MAX ? c->chained : CHAIN_MAX;
    if (c->from.text)
        add_plain(c, &c->from);
    for (uint32_t i = 0; i < shown; i++) {
        if (i == CHAIN_MAX - 1 && c->chained > CHAIN_MAX)
            gq_text_printf(c->to, "                 ... (%" PRIu32 " more)\n", c->chained - CHAIN_MAX);
        add_plain(c, &c->chain[i]);
    }
    c->from.text = NULL;
    c->chained = 0;
}

static bool keep_chain(struct cleaning *c, const struct line *l)
{
    if (is_chain(l)) {
        c->chain[c->chained < CHAIN_MAX ? c->chained : CHAIN_MAX - 1] = *l;
        c->chained++;
    }
    return is_chain(l);
}

/* An error inside a template of ours belongs to the line that used it: gcc names that line before, clang after. */
static bool say_at_user(struct cleaning *c, const struct line *l)
{
    if (is_use(l) && !is_ours(l)) {
        c->from = *l;
        return true;
    }
    if (is_ours(l) && is_error(l) && c->from.text) {
        say_at(c, &c->from, l);
        c->user = c->from;
        c->from.text = NULL;
        add_context(c);
        return true;
    }
    if (is_ours(l) && is_error(l)) {
        flush(c);
        c->held = *l;
        return true;
    }
    if (c->held.text && l->text && !is_ours(l) && has(l, "requested here")) {
        say_at(c, l, &c->held);
        c->user = *l;
        c->held.text = NULL;
        add_context(c);
        return true;
    }
    return false;
}

/* --- one line after another --------------------------------------------------------------------------------------- */

static void clean_line(struct cleaning *c, struct line *l)
{
    if (!strchr(c->path, '/') && begins(l, "./")) { /* headers found through the folder "." */
        l->s += 2;
        l->len -= 2;
    }
    if (l->len == 0)
        return;
    read_place(l);
    if (names_function(l) || is_use(l))
        leave_template(c);
    if (is_error(l))
        c->to = c->out;
    if (say_wrong(c, l) || say_at_user(c, l) || is_noise(l) || keep_chain(c, l))
        return;
    leave_template(c);
    if (say_undefined(c, l))
        return;
    if (l->text && has(l, " warning: "))
        c->to = &c->warnings;
    add_plain(c, l);
    if (l->text)
        add_context(c);
}

static void cut(struct gq_text *out, size_t start)
{
    static const char note[] = "... (the rest is left out)\n";
    if (out->len - start <= GQ_LOG_BYTES_MAX)
        return;
    out->len = start + GQ_LOG_BYTES_MAX - sizeof note;
    while (out->len > start && out->data[out->len - 1] != '\n')
        out->len--;
    gq_text_puts(out, note);
}

void gq_log_clean(const char *raw, const char *path, enum gq_image_kind kind, const struct gq_scan *scan,
                  struct gq_text *out)
{
    struct cleaning c = {.path = path, .kind = kind, .scan = scan, .out = out, .start = out->len, .to = out};
    while (*raw && out->len - c.start <= GQ_LOG_BYTES_MAX) {
        const char *end = strchrnul(raw, '\n');
        struct line l = {.s = raw, .len = (size_t)(end - raw)};
        clean_line(&c, &l);
        raw = *end ? end + 1 : end;
    }
    flush(&c);
    add_context(&c);
    gq_text_add(out, gq_text_str(&c.warnings), c.warnings.len);
    gq_text_finish(&c.warnings);
    cut(out, c.start);
}
