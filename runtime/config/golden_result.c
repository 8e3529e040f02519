#include "config/golden_result.h"
#include <stdlib.h>
#include <string.h>

#define SHOWN_MAX 64u    /* bytes of a message that a line has room for */
#define SHOWN_BEFORE 16u /* of them before the byte of interest */

static bool is_text(uint8_t c) { return (c >= 0x20 && c < 0x7f) || c == '\n' || c == '\t' || c == '\r'; }

static bool mostly_text(const uint8_t *bytes, size_t len)
{
    size_t text = 0;
    for (size_t i = 0; i < len; i++)
        text += is_text(bytes[i]);
    return text * 4 >= len * 3;
}

static void add_escaped(struct gq_text *out, uint8_t c)
{
    static const char names[][2] = {{'\n', 'n'}, {'\t', 't'}, {'\r', 'r'}, {'"', '"'}, {'\\', '\\'}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (c == (uint8_t)names[i][0]) {
            gq_text_printf(out, "\\%c", names[i][1]);
            return;
        }
    gq_text_printf(out, is_text(c) ? "%c" : "\\x%02x", c);
}

static void add_hex(struct gq_text *out, const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        gq_text_printf(out, "%02x", bytes[i]);
}

static void add_part(struct gq_text *out, const uint8_t *bytes, size_t len)
{
    if (!mostly_text(bytes, len)) {
        gq_text_puts(out, "hex ");
        add_hex(out, bytes, len);
        return;
    }
    gq_text_puts(out, "\"");
    for (size_t i = 0; i < len; i++)
        add_escaped(out, bytes[i]);
    gq_text_puts(out, "\"");
}

void gq_golden_show_bytes(struct gq_text *out, const struct gq_golden_bytes *bytes, size_t around)
{
    size_t from = 0;
    if (bytes->len > SHOWN_MAX && around > SHOWN_BEFORE)
        from = around - SHOWN_BEFORE < bytes->len ? around - SHOWN_BEFORE : bytes->len - SHOWN_BEFORE;
    size_t len = bytes->len - from < SHOWN_MAX ? bytes->len - from : SHOWN_MAX;
    if (from)
        gq_text_printf(out, "from byte %zu on ", from);
    add_part(out, bytes->data + from, len);
    if (from + len < bytes->len)
        gq_text_puts(out, "...");
}

void gq_golden_show_result(struct gq_text *out, const struct gq_golden_result *result, size_t around)
{
    switch (result->ending) {
    case GQ_GOLDEN_OUT:
        gq_text_printf(out, "%zu byte%s", result->out.len, result->out.len == 1 ? "" : "s");
        if (result->out.len) {
            gq_text_puts(out, ", ");
            gq_golden_show_bytes(out, &result->out, around);
        }
        return;
    case GQ_GOLDEN_DROPPED:
        gq_text_puts(out, "dropped");
        return;
    case GQ_GOLDEN_FAILED:
        gq_text_printf(out, "failed with code %u", result->code);
        return;
    case GQ_GOLDEN_OVERFLOW:
        gq_text_puts(out, "overflow: the plugin reported more bytes than its buffer holds");
        return;
    }
}

void gq_golden_result_json(struct gq_text *out, const struct gq_golden_result *result)
{
    static const char *const names[] = {[GQ_GOLDEN_OUT] = "out",
                                        [GQ_GOLDEN_DROPPED] = "dropped",
                                        [GQ_GOLDEN_FAILED] = "failed",
                                        [GQ_GOLDEN_OVERFLOW] = "overflow"};
    gq_text_printf(out, "{\"ending\": \"%s\"", names[result->ending]);
    if (result->ending == GQ_GOLDEN_FAILED)
        gq_text_printf(out, ", \"code\": %u", result->code);
    if (result->ending == GQ_GOLDEN_OUT) {
        gq_text_puts(out, ", \"hex\": \"");
        add_hex(out, result->out.data, result->out.len);
        gq_text_puts(out, "\"");
    }
    gq_text_puts(out, "}");
}

struct gq_golden_result gq_golden_expected(const struct gq_golden_vector *vector)
{
    return (struct gq_golden_result){.ending = vector->ending, .code = vector->code, .out = vector->out};
}

size_t gq_golden_differ_at(const struct gq_golden_bytes *a, const struct gq_golden_bytes *b)
{
    size_t shorter = a->len < b->len ? a->len : b->len, at = 0;
    while (at < shorter && a->data[at] == b->data[at])
        at++;
    return at;
}

bool gq_golden_same(const struct gq_golden_result *a, const struct gq_golden_result *b)
{
    if (a->ending != b->ending)
        return false;
    if (a->ending == GQ_GOLDEN_OUT)
        return a->out.len == b->out.len && gq_golden_differ_at(&a->out, &b->out) == a->out.len;
    return a->ending != GQ_GOLDEN_FAILED || a->code == b->code;
}

void gq_golden_show_difference(struct gq_text *out, const char *indent, const struct gq_golden_result *expected,
                               const struct gq_golden_result *got)
{
    const bool bytes = expected->ending == GQ_GOLDEN_OUT && got->ending == GQ_GOLDEN_OUT;
    const size_t at = bytes ? gq_golden_differ_at(&expected->out, &got->out) : 0;
    gq_text_printf(out, "%sexpected ", indent);
    gq_golden_show_result(out, expected, at);
    gq_text_printf(out, "\n%sgot      ", indent);
    gq_golden_show_result(out, got, at);
    if (bytes && at < expected->out.len && at < got->out.len)
        gq_text_printf(out, "\n%sfirst difference at byte %zu: expected 0x%02x, got 0x%02x", indent, at,
                       expected->out.data[at], got->out.data[at]);
    else if (bytes)
        gq_text_printf(out, "\n%sthe same up to byte %zu, where the %s one ends", indent, at,
                       expected->out.len < got->out.len ? "expected" : "actual");
    gq_text_puts(out, "\n");
}

gq_status gq_golden_result_keep(struct gq_golden_result *result, const uint8_t *data, size_t len)
{
    *result = (struct gq_golden_result){.ending = GQ_GOLDEN_OUT};
    if (len == 0)
        return GQ_OK;
    result->out.data = malloc(len);
    if (!result->out.data)
        return gq_error_set(GQ_ERR_NO_MEMORY, "memory ran out for a result of %zu bytes", len);
    memcpy(result->out.data, data, len);
    result->out.len = len;
    return GQ_OK;
}

void gq_golden_result_finish(struct gq_golden_result *result)
{
    free(result->out.data);
    *result = (struct gq_golden_result){0};
}
