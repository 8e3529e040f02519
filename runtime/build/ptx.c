/* A walk over the statements of a PTX module: its target, the functions that it defines for others, and its marks. What
 * is inside a function is skipped. Form of a module: PTX ISA, chapters "Directives" and "Syntax". */
#include "build/lex.h"
#include "build/machine.h"
#include <stdlib.h>
#include <string.h>

struct walk {
    struct gq_lexer lexer;
    struct gq_machine *out;
    /* Of the statement at hand. */
    bool is_function, is_kernel, is_extern, is_visible;
    unsigned element; /* bytes of a variable's elements */
    struct gq_token name;
};

static void begin_statement(struct walk *w)
{
    w->is_function = w->is_kernel = w->is_extern = w->is_visible = false;
    w->element = 0;
    w->name = (struct gq_token){0};
}

/* Behind an opening bracket: to the one that closes it. */
static void skip_to(struct walk *w, const char *open, const char *close)
{
    unsigned depth = 1;
    while (depth > 0) {
        struct gq_token t = gq_lex_next(&w->lexer);
        if (t.kind == GQ_TOKEN_END)
            return;
        depth += gq_token_is(&t, open);
        depth -= gq_token_is(&t, close);
    }
}

/* sm_90, sm_90a */
static void take_target(struct walk *w)
{
    struct gq_token t = gq_lex_next(&w->lexer);
    size_t digits = t.len > 3 && memcmp(t.text, "sm_", 3) == 0 ? strspn(t.text + 3, "0123456789") : 0;
    if (digits == 0 || digits > 4 || digits + 3 > t.len)
        return;
    w->out->arch = (uint32_t)strtoul(t.text + 3, NULL, 10);
    w->out->suffix = digits + 4 == t.len ? (unsigned char)t.text[digits + 3] : 0;
}

/* .b8, .u32 ... */
static void take_type(struct walk *w, const struct gq_token *t)
{
    unsigned bits = t->len > 1 && strchr("bsu", *t->text) ? (unsigned)strtoul(t->text + 1, NULL, 10) : 0;
    if (bits == 8 || bits == 32)
        w->element = bits / 8;
}

static void directive(struct walk *w)
{
    struct gq_token t = gq_lex_next(&w->lexer);
    if (gq_token_is(&t, "target"))
        take_target(w);
    else if (gq_token_is(&t, "func") || gq_token_is(&t, "entry"))
        w->is_function = true, w->is_kernel = gq_token_is(&t, "entry");
    else if (gq_token_is(&t, "extern"))
        w->is_extern = true;
    else if (gq_token_is(&t, "visible") || gq_token_is(&t, "weak"))
        w->is_visible = true;
    else
        take_type(w, &t);
    if (gq_token_is(&t, "target") || gq_token_is(&t, "version") || gq_token_is(&t, "address_size"))
        begin_statement(w); /* these end without a mark */
}

/* Behind "= {": numbers, up to "}"; those that are left out are 0. */
static void take_mark(struct walk *w, enum gq_mark_kind kind)
{
    uint8_t bytes[GQ_MARK_WORDS * 4] = {0};
    size_t at = 0;
    for (struct gq_token t = gq_lex_next(&w->lexer); t.kind != GQ_TOKEN_END; t = gq_lex_next(&w->lexer)) {
        if (gq_token_is(&t, "}"))
            break;
        if (t.kind != GQ_TOKEN_NUMBER || at + w->element > sizeof bytes)
            continue;
        const uint32_t value = (uint32_t)strtoul(t.text, NULL, 0);
        memcpy(bytes + at, &value, w->element);
        at += w->element;
    }
    w->out->marked[kind] = true;
    memcpy(w->out->mark[kind], bytes, sizeof bytes);
}

static void open_brace(struct walk *w)
{
    for (int i = 0; i < GQ_MARK_KINDS && w->element && !w->is_function; i++)
        if (gq_token_is(&w->name, gq_mark_names[i])) {
            take_mark(w, (enum gq_mark_kind)i);
            return;
        }
    if (w->is_kernel)
        gq_machine_kernel(w->out, w->name.text, w->name.len);
    else if (w->is_function && w->is_visible && !w->is_extern)
        gq_machine_function(w->out, w->name.text, w->name.len);
    skip_to(w, "{", "}");
    if (w->is_function)
        begin_statement(w);
}

void gq_ptx_machine(const struct gq_text *text, struct gq_machine *out)
{
    struct walk w = {.out = out};
    out->relocatable = true;
    gq_lex_start(&w.lexer, text->data, text->len);
    for (struct gq_token t = gq_lex_next(&w.lexer); t.kind != GQ_TOKEN_END; t = gq_lex_next(&w.lexer)) {
        if (gq_token_is(&t, "."))
            directive(&w);
        else if (gq_token_is(&t, "("))
            skip_to(&w, "(", ")");
        else if (gq_token_is(&t, "{"))
            open_brace(&w);
        else if (gq_token_is(&t, ";"))
            begin_statement(&w);
        else if (t.kind == GQ_TOKEN_WORD && !w.name.text)
            w.name = t;
    }
}
