#include "plugin_show.h"
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

void plugin_show_bytes(struct gq_text *out, const struct gq_golden_bytes *bytes, size_t around)
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

void plugin_show_result(struct gq_text *out, const struct probe_result *result, size_t around)
{
    switch (result->ending) {
    case GQ_GOLDEN_OUT:
        gq_text_printf(out, "%zu byte%s", result->out.len, result->out.len == 1 ? "" : "s");
        if (result->out.len) {
            gq_text_puts(out, ", ");
            plugin_show_bytes(out, &result->out, around);
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

void plugin_show_json(struct gq_text *out, const struct probe_result *result)
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

struct probe_result plugin_show_expected(const struct gq_golden_vector *vector)
{
    return (struct probe_result){.ending = vector->ending, .code = vector->code, .out = vector->out};
}

size_t plugin_show_difference(const struct gq_golden_bytes *a, const struct gq_golden_bytes *b)
{
    size_t shorter = a->len < b->len ? a->len : b->len, at = 0;
    while (at < shorter && a->data[at] == b->data[at])
        at++;
    return at;
}

bool plugin_show_same(const struct probe_result *a, const struct probe_result *b)
{
    if (a->ending != b->ending)
        return false;
    if (a->ending == GQ_GOLDEN_OUT)
        return a->out.len == b->out.len && plugin_show_difference(&a->out, &b->out) == a->out.len;
    return a->ending != GQ_GOLDEN_FAILED || a->code == b->code;
}
