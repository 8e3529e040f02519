/* lex.h - C++ source as tokens: enough to know what is a word, what is in a string, and where a preprocessor line ends.
 * Comments are skipped; strings, raw strings and characters are one token each. Never fails: what is unfinished ends at
 * the end. text[len] must be readable, and 0. */
#ifndef GQ_BUILD_LEX_H
#define GQ_BUILD_LEX_H

#include <stdbool.h>
#include <stddef.h>

enum gq_token_kind { GQ_TOKEN_END, GQ_TOKEN_WORD, GQ_TOKEN_NUMBER, GQ_TOKEN_STRING, GQ_TOKEN_CHARACTER, GQ_TOKEN_MARK };

struct gq_token {
    enum gq_token_kind kind;
    const char *text; /* into the source, not terminated */
    size_t len;
    unsigned line, column; /* from 1; columns count bytes */
    bool first;            /* first of its line: a '#' there begins a directive */
};

struct gq_lexer {
    const char *text;
    size_t len, at;
    unsigned line;
    size_t line_start; /* offset of the line's first byte */
    bool fresh;        /* no token yet on this line; a backslash at the end of a line joins the next to it */
};

void gq_lex_start(struct gq_lexer *lexer, const char *text, size_t len);
struct gq_token gq_lex_next(struct gq_lexer *lexer);
/* Skips to the end of the line, without looking at what is there: #error don't. */
void gq_lex_skip_line(struct gq_lexer *lexer);

bool gq_token_is(const struct gq_token *token, const char *text);

#endif
