#include "control/record.h"
#include <ctype.h>
#include <inttypes.h>
#include <string.h>

/* --- reading ------------------------------------------------------------------------------------------------------ */

/* A line being parsed: decoded bytes go to `put`, which never passes `at`, as no escape is shorter than what it means.
 */
struct reader {
    const char *start;
    char *at, *end;
};

static gq_status wrong(const struct reader *r, const char *expected)
{
    return gq_error_set(GQ_ERR_INVALID_ARG, "the request is wrong at byte %zu: %s was expected",
                        (size_t)(r->at - r->start) + 1, expected);
}

static bool is_name(char c, bool first)
{
    return (c >= 'a' && c <= 'z') || (!first && (c == '_' || (c >= '0' && c <= '9')));
}

static bool is_bare(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("._/:+-", c) != NULL);
}

/* A name, ended by `stop` or, if `last` says so, by the line's end; a NUL takes the place of what ended it. */
static gq_status read_name(struct reader *r, char stop, bool last, const char **out)
{
    char *name = r->at;
    while (r->at < r->end && is_name(*r->at, r->at == name))
        r->at++;
    bool ended = r->at < r->end ? *r->at == stop : last;
    if (r->at == name || !ended)
        return wrong(r, r->at == name ? "a word of a-z, 0-9 and _" : stop == '=' ? "'='" : "' '");
    *out = name;
    *r->at = '\0';
    r->at += r->at < r->end;
    return GQ_OK;
}

static bool read_hex(struct reader *r, uint32_t *out)
{
    *out = 0;
    if (r->end - r->at < 4)
        return false;
    for (int i = 0; i < 4; i++, r->at++) {
        char c = *r->at;
        if (!isxdigit((unsigned char)c))
            return false;
        *out = *out * 16 + (uint32_t)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    return true;
}

static char *put_utf8(char *put, uint32_t c)
{
    if (c < 0x80) {
        *put++ = (char)c;
    } else if (c < 0x800) {
        *put++ = (char)(0xc0 | c >> 6);
        *put++ = (char)(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
        *put++ = (char)(0xe0 | c >> 12);
        *put++ = (char)(0x80 | (c >> 6 & 0x3f));
        *put++ = (char)(0x80 | (c & 0x3f));
    } else {
        *put++ = (char)(0xf0 | c >> 18);
        *put++ = (char)(0x80 | (c >> 12 & 0x3f));
        *put++ = (char)(0x80 | (c >> 6 & 0x3f));
        *put++ = (char)(0x80 | (c & 0x3f));
    }
    return put;
}

/* After "\u". A pair of surrogates is one character; a half of one, and NUL, are none. */
static char *read_unicode(struct reader *r, char *put)
{
    uint32_t c, low;
    if (!read_hex(r, &c) || c == 0 || (c >= 0xdc00 && c < 0xe000))
        return NULL;
    if (c >= 0xd800 && c < 0xdc00) {
        if (r->end - r->at < 6 || r->at[0] != '\\' || r->at[1] != 'u')
            return NULL;
        r->at += 2;
        if (!read_hex(r, &low) || low < 0xdc00 || low >= 0xe000)
            return NULL;
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
    }
    return put_utf8(put, c);
}

/* After a backslash. NULL if it begins no escape. */
static char *read_escape(struct reader *r, char *put)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    char c = r->at < r->end ? *r->at++ : '\0';
    const char *found = c ? strchr(from, c) : NULL;
    if (c == 'u')
        return read_unicode(r, put);
    if (!found)
        return NULL;
    *put++ = to[found - from];
    return put;
}

/* After the opening quote. */
static gq_status read_string(struct reader *r, const char **out)
{
    char *put = r->at;
    *out = put;
    while (r->at < r->end && *r->at != '"') {
        unsigned char c = (unsigned char)*r->at;
        if (c < 0x20)
            return wrong(r, "a string without control characters");
        r->at++;
        if (c != '\\')
            *put++ = (char)c;
        else if (!(put = read_escape(r, put)))
            return wrong(r, "an escape of JSON");
    }
    if (r->at == r->end)
        return wrong(r, "'\"'");
    r->at++;
    *put = '\0'; /* at the closing quote, or before it */
    return GQ_OK;
}

/* A value, and the blank or the line's end behind it. */
static gq_status read_value(struct reader *r, struct gq_field *field)
{
    gq_status status = GQ_OK;
    field->quoted = r->at < r->end && *r->at == '"';
    if (field->quoted) {
        r->at++;
        status = read_string(r, &field->value);
    } else {
        field->value = r->at;
        while (r->at < r->end && is_bare(*r->at))
            r->at++;
        if (r->at == field->value)
            return wrong(r, "a value");
    }
    if (status == GQ_OK && r->at < r->end && *r->at != ' ')
        return wrong(r, "' '");
    if (status == GQ_OK && r->at < r->end)
        *r->at++ = '\0';
    return status;
}

static gq_status read_field(struct reader *r, struct gq_record *out)
{
    struct gq_field field;
    if (out->count == GQ_RECORD_FIELDS_MAX)
        return gq_error_set(GQ_ERR_INVALID_ARG, "the request has more than %d fields", GQ_RECORD_FIELDS_MAX);
    gq_status status = read_name(r, '=', false, &field.name);
    if (status == GQ_OK)
        status = read_value(r, &field);
    if (status == GQ_OK && gq_record_value(out, field.name))
        return gq_error_set(GQ_ERR_INVALID_ARG, "the request has the field '%s' twice", field.name);
    if (status == GQ_OK)
        out->field[out->count++] = field;
    return status;
}

gq_status gq_record_parse(char *line, size_t len, struct gq_record *out)
{
    struct reader r = {.start = line, .at = line, .end = line + len};
    *out = (struct gq_record){.count = 0};
    gq_status status = read_name(&r, ' ', true, &out->word);
    while (status == GQ_OK && r.at < r.end)
        status = read_field(&r, out);
    return status;
}

const char *gq_record_value(const struct gq_record *record, const char *name)
{
    for (size_t i = 0; i < record->count; i++)
        if (strcmp(record->field[i].name, name) == 0)
            return record->field[i].value;
    return NULL;
}

/* --- as JSON ------------------------------------------------------------------------------------------------------ */

/* Bare, and a number as JSON has them, true or false. */
static bool is_json(const char *s)
{
    if (strcmp(s, "true") == 0 || strcmp(s, "false") == 0)
        return true;
    size_t whole = strspn(s, "0123456789"), part = s[whole] == '.' ? strspn(s + whole + 1, "0123456789") : 0;
    if (whole == 0 || (whole > 1 && s[0] == '0') || (s[whole] == '.' && part == 0))
        return false;
    return s[whole + (part ? part + 1 : 0)] == '\0';
}

void gq_record_members(const struct gq_record *record, struct gq_text *out)
{
    for (size_t i = 0; i < record->count; i++) {
        const struct gq_field *f = &record->field[i];
        gq_text_printf(out, "%s\"%s\": ", i ? ", " : "", f->name);
        if (!f->quoted && is_json(f->value))
            gq_text_puts(out, f->value);
        else
            gq_text_json(out, f->value, strlen(f->value));
    }
}

/* --- writing ------------------------------------------------------------------------------------------------------ */

/* As it is but for what would end the string or the line, or what a terminal might obey. Bytes from 0x80 on stay: a
 * file's name is bytes. */
static void put_string(struct gq_text *out, const char *s)
{
    gq_text_puts(out, "\"");
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '\n')
            gq_text_puts(out, "\\n");
        else if (c < 0x20 || c == 0x7f)
            gq_text_printf(out, "\\u%04x", c);
        else if (c == 0xc2 && (s[1] & 0xe0) == 0x80) /* U+0080 to U+009F */
            gq_text_printf(out, "\\u%04x", (unsigned char)*++s);
        else if (c == '"' || c == '\\')
            gq_text_printf(out, "\\%c", c);
        else
            gq_text_add(out, s, 1);
    }
    gq_text_puts(out, "\"");
}

void gq_record_string(struct gq_text *out, const char *name, const char *value)
{
    gq_text_printf(out, " %s=", name);
    put_string(out, value);
}

void gq_record_number(struct gq_text *out, const char *name, uint64_t value)
{
    gq_text_printf(out, " %s=%" PRIu64, name, value);
}

void gq_record_real(struct gq_text *out, const char *name, double value)
{
    const uint64_t millionths = (uint64_t)(value * 1e6 + 0.5); /* no locale has a word in it */
    gq_text_printf(out, " %s=%" PRIu64 ".%06" PRIu64, name, millionths / 1000000, millionths % 1000000);
}

void gq_record_bool(struct gq_text *out, const char *name, bool value)
{
    gq_text_printf(out, " %s=%s", name, value ? "true" : "false");
}
