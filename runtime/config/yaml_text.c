#include "config/yaml_text.h"
#include <string.h>

static size_t sequence_length(unsigned char first)
{
    if (first < 0x80)
        return 1;
    if (first < 0xc2 || first > 0xf4)
        return 0;
    return first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
}

size_t gq_utf8_decode(const char *text, size_t left, uint32_t *character)
{
    static const uint32_t shortest[] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *s = (const unsigned char *)text;
    size_t n = left ? sequence_length(s[0]) : 0;
    if (n == 0 || n > left)
        return 0;
    uint32_t c = n == 1 ? s[0] : s[0] & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (s[i] & 0x3fu);
    }
    if (c < shortest[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
        return 0;
    *character = c;
    return n;
}

bool gq_yaml_printable(uint32_t c)
{
    if (c < 0xa0)
        return c == '\t' || c == '\n' || c == '\r' || (c >= 0x20 && c <= 0x7e) || c == 0x85;
    return c != 0xfeff && c != 0xfffe && c != 0xffff;
}

static void report_byte(struct gq_problems *problems, struct gq_mark mark, const char *at, size_t n, uint32_t c)
{
    if (n == 0)
        gq_problem_add(problems, mark, "", "byte 0x%02x is not UTF-8: save the file as UTF-8", (unsigned char)*at);
    else if (c == 0)
        gq_problem_add(problems, mark, "", "a NUL byte; a file of text in UTF-8 was expected");
    else
        gq_problem_add(problems, mark, "", "character U+%04X may not stand in YAML; in double quotes write \\u%04X", c,
                       c);
}

bool gq_yaml_check_bytes(const char *text, size_t len, struct gq_problems *problems)
{
    struct gq_mark mark = {1, 1};
    for (size_t i = 0, n; i < len; i += n) {
        uint32_t c = 0;
        n = gq_utf8_decode(text + i, len - i, &c);
        if (n == 0 || !gq_yaml_printable(c)) {
            report_byte(problems, mark, text + i, n, c);
            return false;
        }
        if (c == '\n' || (c == '\r' && (i + 1 == len || text[i + 1] != '\n')))
            mark = (struct gq_mark){mark.line + 1, 1};
        else
            mark.column++;
    }
    return true;
}

char gq_yaml_byte_at(const char *text, size_t len, struct gq_mark want)
{
    struct gq_mark mark = {1, 1};
    for (size_t i = 0; i < len; i++) {
        if (mark.line == want.line && mark.column == want.column && (text[i] & 0xc0) != 0x80)
            return text[i];
        if (text[i] == '\n')
            mark = (struct gq_mark){mark.line + 1, 1};
        else if ((text[i] & 0xc0) != 0x80)
            mark.column++;
    }
    return '\0';
}

/* libyaml's words, and what to do about it. */
static const struct {
    const char *problem, *sentence;
} hints[] = {
    {"mapping values are not allowed", "a ':' is not expected here: check the indentation of this line and the one "
                                       "above, and quote a value that contains "
                                       "': '"},
    {"block sequence entries are not allowed", "a '- ' is not expected here: a list starts on the line below its key"},
    {"did not find expected key",
     "expected a key: check the indentation, and that every quote and bracket above is closed"},
    {"did not find expected '-'", "expected '- ': check that all items of the list are indented alike"},
    {"could not find expected ':'", "expected ': ' after the key"},
    {"did not find expected ',' or ']'", "expected ',' or ']'"},
    {"did not find expected ',' or '}'", "expected ',' or '}'"},
    {"found unexpected end of stream", "the text ends before a quote is closed"},
    {"found unexpected document indicator", "a quote is not closed before '---' or '...'"},
    {"found unknown escape character",
     "unknown escape in double quotes: write \\\\ for a backslash, or use single quotes"},
    {"did not find expected hexdecimal number", "an escape such as \\x41 or \\u0041 needs hexadecimal digits"},
    {"found invalid Unicode character escape code", "the escape is not a Unicode character"},
    {"did not find expected alphabetic or numeric character",
     "'*' and '&' start aliases and anchors in YAML: quote the value"},
    {"found undefined tag handle", "'!' starts a tag, which is not supported: quote the value"},
    {"did not find expected tag URI", "'!' starts a tag, which is not supported: quote the value"},
    {"did not find expected '!'", "'!' starts a tag, which is not supported: quote the value"},
    {"did not find expected whitespace or line break",
     "'!', '*' or '&' starts a tag, an alias or an anchor in YAML: quote the value"},
    {"found a tab character", "a tab cannot indent in YAML: use spaces"},
    {"did not find expected <document start>", "the file goes on after its end: check the indentation of this line"},
    {"found incompatible YAML document", "only YAML 1.1 and 1.2 can be read"},
    {"did not find expected node content", "expected a value"},
};

static const char *find_hint(const char *problem, char at)
{
    if (strstr(problem, "cannot start any token")) {
        if (at == '\t')
            return "a tab cannot indent in YAML: use spaces";
        return at == '%' ? "'%' starts a directive in YAML: quote the value"
                         : "'@' and '`' are reserved in YAML: quote the value";
    }
    for (size_t i = 0; i < sizeof hints / sizeof *hints; i++)
        if (strstr(problem, hints[i].problem))
            return hints[i].sentence;
    return problem;
}

void gq_yaml_explain(struct gq_text *out, const char *problem, char at, struct gq_mark context)
{
    gq_text_puts(out, find_hint(problem, at));
    if (context.line)
        gq_text_printf(out, " (in what begins at line %u, column %u)", context.line, context.column);
}
