#include "build/lex.h"
#include <ctype.h>
#include <string.h>

void gq_lex_start(struct gq_lexer *l, const char *text, size_t len)
{
    *l = (struct gq_lexer){.text = text, .len = len, .line = 1, .fresh = true};
}

static int peek(const struct gq_lexer *l, size_t ahead)
{
    return l->at + ahead < l->len ? (unsigned char)l->text[l->at + ahead] : -1;
}

/* Steps over one byte and counts lines. */
static void step(struct gq_lexer *l)
{
    if (l->text[l->at++] != '\n')
        return;
    l->line++;
    l->line_start = l->at;
}

static void step_while_not(struct gq_lexer *l, const char *end)
{
    size_t n = strlen(end);
    while (l->at < l->len && (l->len - l->at < n || memcmp(l->text + l->at, end, n) != 0))
        step(l);
}

/* A backslash and the line end after it; 0 if it is not one. */
static size_t splice(const struct gq_lexer *l)
{
    if (peek(l, 0) != '\\')
        return 0;
    if (peek(l, 1) == '\n')
        return 2;
    return peek(l, 1) == '\r' && peek(l, 2) == '\n' ? 3 : 0;
}

static void step_by(struct gq_lexer *l, size_t n)
{
    while (n-- > 0 && l->at < l->len)
        step(l);
}

void gq_lex_skip_line(struct gq_lexer *l)
{
    while (l->at < l->len && peek(l, 0) != '\n') {
        size_t joined = splice(l);
        step_by(l, joined ? joined : 1);
    }
}

static bool skip_comment(struct gq_lexer *l)
{
    if (peek(l, 0) != '/' || (peek(l, 1) != '/' && peek(l, 1) != '*'))
        return false;
    if (peek(l, 1) == '/') {
        gq_lex_skip_line(l);
        return true;
    }
    step_by(l, 2);
    step_while_not(l, "*/");
    step_by(l, 2);
    return true;
}

static void skip_blanks(struct gq_lexer *l)
{
    while (l->at < l->len) {
        size_t joined = splice(l);
        if (joined) {
            step_by(l, joined);
        } else if (isspace(peek(l, 0))) {
            l->fresh = l->fresh || peek(l, 0) == '\n';
            step(l);
        } else if (!skip_comment(l)) {
            return;
        }
    }
}

static bool is_word(int c) { return isalnum(c) || c == '_' || c == '$' || c >= 0x80; }

static void skip_word(struct gq_lexer *l)
{
    while (is_word(peek(l, 0)))
        step(l);
}

/* A pp-number: digits, letters, dots, digit separators, and the signs of exponents. */
static void skip_number(struct gq_lexer *l)
{
    for (;;) {
        int c = peek(l, 0), next = peek(l, 1);
        if (strchr("eEpP", c) && c > 0 && (next == '+' || next == '-'))
            step_by(l, 2);
        else if (is_word(c) || c == '.' || (c == '\'' && is_word(next)))
            step(l);
        else
            return;
    }
}

/* A string or a character, which ends at its line's end if it is not closed. */
static void skip_quoted(struct gq_lexer *l, int quote)
{
    step(l);
    while (l->at < l->len && peek(l, 0) != '\n') {
        int c = peek(l, 0);
        size_t joined = splice(l);
        if (joined)
            step_by(l, joined);
        else
            step_by(l, c == '\\' ? 2 : 1);
        if (c == quote)
            return;
    }
}

/* R"delimiter( ... )delimiter" */
static void skip_raw_string(struct gq_lexer *l)
{
    char end[20] = ")";
    size_t n = 1;
    step(l);
    while (l->at < l->len && peek(l, 0) != '(' && n < 17) {
        end[n++] = (char)peek(l, 0);
        step(l);
    }
    end[n++] = '"';
    end[n] = '\0';
    step_while_not(l, end);
    step_by(l, n);
}

static bool is_raw_prefix(const char *s, size_t n)
{
    return n >= 1 && n <= 3 && s[n - 1] == 'R' &&
           (n == 1 || (n == 2 && strchr("uUL", s[0])) || (n == 3 && s[0] == 'u' && s[1] == '8'));
}

static enum gq_token_kind skip_word_or_prefixed(struct gq_lexer *l, size_t start)
{
    skip_word(l);
    if (peek(l, 0) != '"' || !is_raw_prefix(l->text + start, l->at - start))
        return GQ_TOKEN_WORD;
    skip_raw_string(l);
    return GQ_TOKEN_STRING;
}

static enum gq_token_kind skip_token(struct gq_lexer *l)
{
    int c = peek(l, 0);
    if (isdigit(c) || (c == '.' && isdigit(peek(l, 1)))) {
        skip_number(l);
        return GQ_TOKEN_NUMBER;
    }
    if (is_word(c))
        return skip_word_or_prefixed(l, l->at);
    if (c == '"' || c == '\'') {
        skip_quoted(l, c);
        return c == '"' ? GQ_TOKEN_STRING : GQ_TOKEN_CHARACTER;
    }
    step(l);
    return GQ_TOKEN_MARK;
}

struct gq_token gq_lex_next(struct gq_lexer *l)
{
    skip_blanks(l);
    struct gq_token t = {.text = l->text + l->at, .line = l->line, .first = l->fresh};
    size_t start = l->at;
    t.column = (unsigned)(start - l->line_start) + 1;
    if (l->at >= l->len)
        return t;
    l->fresh = false;
    t.kind = skip_token(l);
    t.len = l->at - start;
    return t;
}

bool gq_token_is(const struct gq_token *t, const char *text)
{
    return t->kind != GQ_TOKEN_END && t->len == strlen(text) && memcmp(t->text, text, t->len) == 0;
}
