#include "build/condition.h"
#include <stdlib.h>
#include <string.h>

/* What is known of a value: nothing, or the number. */
struct value {
    bool known;
    long long number;
};

static const struct value unknown = {false, 0};

static struct value number(long long n) { return (struct value){true, n}; }

/* The tokens of one line, one ahead. `end` is the offset at which the line ends. */
struct line {
    struct gq_lexer lexer;
    struct gq_token now;
    enum gq_scan_target target;
    unsigned depth; /* of parentheses and signs: bounded, since lines come from strangers */
};

static void advance(struct line *l) { l->now = gq_lex_next(&l->lexer); }

static bool accept(struct line *l, const char *text)
{
    if (!gq_token_is(&l->now, text))
        return false;
    advance(l);
    return true;
}

/* Two marks without a blank between them: && || == != <= >= */
static bool accept_pair(struct line *l, char a, char b)
{
    const char *s = l->now.text;
    if (l->now.kind != GQ_TOKEN_MARK || s + 1 >= l->lexer.text + l->lexer.len || s[0] != a || s[1] != b)
        return false;
    advance(l);
    advance(l);
    return true;
}

/* The value of a macro, 0 when it is not defined; *defined says which, when it is known. */
static struct value macro(const struct gq_token *t, enum gq_scan_target target, struct value *defined)
{
    bool cpu = target == GQ_SCAN_CPU;
    *defined = unknown;
    if (gq_token_is(t, "__cplusplus")) {
        *defined = number(1);
        return number(201703);
    }
    if (gq_token_is(t, "GQ_CPU_SHIM")) {
        *defined = number(cpu);
        return number(cpu);
    }
    if (gq_token_is(t, "__CUDACC__") || gq_token_is(t, "__CUDACC_RTC__") || gq_token_is(t, "__CUDA_ARCH__")) {
        *defined = number(!cpu);
        return cpu ? number(0) : unknown;
    }
    return unknown;
}

static struct value evaluate(struct line *l);

static struct value defined_operator(struct line *l)
{
    bool bracket = accept(l, "(");
    struct value defined;
    macro(&l->now, l->target, &defined);
    advance(l);
    if (bracket)
        accept(l, ")");
    return defined;
}

static struct value primary(struct line *l)
{
    struct value ignored, v = unknown;
    if (l->now.kind == GQ_TOKEN_NUMBER) {
        v = number(strtoll(l->now.text, NULL, 0));
    } else if (gq_token_is(&l->now, "defined")) {
        advance(l);
        return defined_operator(l);
    } else if (accept(l, "(")) {
        v = evaluate(l);
        accept(l, ")");
        return v;
    } else if (l->now.kind == GQ_TOKEN_WORD) {
        v = macro(&l->now, l->target, &ignored);
    }
    advance(l);
    return v;
}

static struct value negation(struct line *l)
{
    bool flip = false, any = false;
    while (gq_token_is(&l->now, "!") && l->now.text[1] != '=') {
        advance(l);
        flip = !flip;
        any = true;
    }
    struct value v = primary(l);
    return !any || !v.known ? v : number((v.number != 0) != flip);
}

static struct value comparison(struct line *l)
{
    struct value a = negation(l), b;
    bool ge = false, le = false, eq = false, ne = false;
    if (!(ge = accept_pair(l, '>', '=')) && !(le = accept_pair(l, '<', '=')) && !(eq = accept_pair(l, '=', '=')) &&
        !(ne = accept_pair(l, '!', '='))) {
        bool gt = gq_token_is(&l->now, ">"), lt = gq_token_is(&l->now, "<");
        if (!gt && !lt)
            return a;
        advance(l);
        b = negation(l);
        return a.known && b.known ? number(gt ? a.number > b.number : a.number < b.number) : unknown;
    }
    b = negation(l);
    if (!a.known || !b.known)
        return unknown;
    return number(ge   ? a.number >= b.number
                  : le ? a.number <= b.number
                  : eq ? a.number == b.number
                       : a.number != b.number);
}

static struct value conjunction(struct line *l)
{
    struct value v = comparison(l);
    while (accept_pair(l, '&', '&')) {
        struct value w = comparison(l);
        if ((v.known && !v.number) || (w.known && !w.number))
            v = number(0);
        else
            v = v.known && w.known ? number(1) : unknown;
    }
    return v;
}

static struct value evaluate(struct line *l)
{
    if (++l->depth > 32)
        return unknown;
    struct value v = conjunction(l);
    while (accept_pair(l, '|', '|')) {
        struct value w = conjunction(l);
        if ((v.known && v.number) || (w.known && w.number))
            v = number(1);
        else
            v = v.known && w.known ? number(0) : unknown;
    }
    l->depth--;
    return v;
}

/* The value of the rest of the line; unknown if it holds more than this understands. */
static struct value evaluate_line(struct gq_lexer *lexer, enum gq_scan_target target, bool only_defined)
{
    size_t start = lexer->at;
    gq_lex_skip_line(lexer);
    struct line l = {.target = target};
    gq_lex_start(&l.lexer, lexer->text + start, lexer->at - start);
    advance(&l);
    struct value v = only_defined ? defined_operator(&l) : evaluate(&l);
    return l.now.kind == GQ_TOKEN_END ? v : unknown;
}

bool gq_condition_live(const struct gq_conditions *c)
{
    return c->depth == 0 || c->depth > GQ_CONDITIONS_MAX || c->level[c->depth - 1].live;
}

static void open_level(struct gq_conditions *c, struct value v)
{
    bool outer = gq_condition_live(c);
    if (c->depth++ >= GQ_CONDITIONS_MAX)
        return;
    c->level[c->depth - 1].outer = outer;
    c->level[c->depth - 1].settled = v.known && v.number;
    c->level[c->depth - 1].live = outer && (!v.known || v.number);
}

static void next_branch(struct gq_conditions *c, struct value v)
{
    if (c->depth == 0 || c->depth > GQ_CONDITIONS_MAX)
        return;
    bool settled = c->level[c->depth - 1].settled;
    c->level[c->depth - 1].live = c->level[c->depth - 1].outer && !settled && (!v.known || v.number);
    c->level[c->depth - 1].settled = settled || (v.known && v.number);
}

bool gq_condition_directive(struct gq_conditions *c, const struct gq_token *name, struct gq_lexer *lexer)
{
    if (gq_token_is(name, "if")) {
        open_level(c, evaluate_line(lexer, c->target, false));
    } else if (gq_token_is(name, "ifdef")) {
        open_level(c, evaluate_line(lexer, c->target, true));
    } else if (gq_token_is(name, "ifndef")) {
        struct value v = evaluate_line(lexer, c->target, true);
        open_level(c, v.known ? number(!v.number) : unknown);
    } else if (gq_token_is(name, "elif")) {
        next_branch(c, evaluate_line(lexer, c->target, false));
    } else if (gq_token_is(name, "else")) {
        next_branch(c, number(1));
    } else if (gq_token_is(name, "endif")) {
        c->depth -= c->depth > 0;
    } else {
        return false;
    }
    return true;
}
