#include <string.h>
#include "base/assert.h"
#include "config/schema.h"
#include "config/value.h"
#include "config/vars.h"
#include "config/yaml.h"

static void print_below(const struct gq_schema_row *row, const void *base, unsigned depth, struct gq_text *out);

static const void *field(const void *base, size_t offset) { return (const char *)base + offset; }

static void indent(struct gq_text *out, unsigned depth) { gq_text_printf(out, "%*s", (int)(2 * depth), ""); }

static void print_text(const char *text, struct gq_text *out)
{
    struct gq_text escaped = {0};
    gq_vars_escape(text, &escaped);
    out->failed = out->failed || escaped.failed;
    gq_yaml_write(out, gq_text_str(&escaped));
    gq_text_finish(&escaped);
}

static uint64_t load_number(const struct gq_schema_row *row, const void *base)
{
    uint64_t wide = row->min; /* of a key that is not kept, the one value it can have */
    uint32_t narrow;
    gq_assert(row->width == 0 || row->width == 4 || row->width == 8);
    if (row->width == 8)
        memcpy(&wide, field(base, row->offset), 8);
    if (row->width == 4) {
        memcpy(&narrow, field(base, row->offset), 4);
        wide = narrow;
    }
    return wide;
}

static void print_word(const struct gq_schema_row *row, uint64_t value, struct gq_text *out)
{
    const struct gq_schema_word *w = row->words;
    while (w->word && w->value != value)
        w++;
    gq_assert(w->word);
    gq_text_puts(out, w->word);
}

static void print_param(const struct gq_conf_param *param, struct gq_text *out)
{
    struct gq_text escaped = {0};
    switch (param->type) {
    case GQ_PARAM_BOOL:
        gq_text_puts(out, param->boolean ? "true" : "false");
        break;
    case GQ_PARAM_INT:
        gq_text_printf(out, "%lld", (long long)param->integer);
        break;
    case GQ_PARAM_FLOAT:
        gq_value_print_real(param->real, out);
        break;
    case GQ_PARAM_STRING:
        gq_vars_escape(param->string, &escaped);
        out->failed = out->failed || escaped.failed;
        gq_yaml_write(out, gq_text_str(&escaped));
        gq_text_finish(&escaped);
        break;
    }
}

static void print_params(const struct gq_schema_row *row, const void *base, unsigned depth, struct gq_text *out)
{
    struct gq_conf_param *params;
    size_t count;
    memcpy(&params, field(base, row->offset), sizeof params);
    memcpy(&count, field(base, row->beside), sizeof count);
    if (count == 0)
        return;
    indent(out, depth);
    gq_text_printf(out, "%s:\n", gq_schema_key(row));
    for (size_t i = 0; i < count; i++) {
        indent(out, depth + 1);
        gq_yaml_write(out, params[i].name);
        gq_text_puts(out, ": ");
        print_param(&params[i], out);
        gq_text_puts(out, "\n");
    }
}

static bool is_zero(const struct gq_schema_row *row, const void *base)
{
    static const uint64_t zero;
    gq_assert(row->width <= sizeof zero);
    return row->width > 0 && memcmp(field(base, row->offset), &zero, row->width) == 0;
}

/* A key without a default that was not given stands for itself: it is left out. */
static bool is_absent(const struct gq_schema_row *row, const void *base)
{
    return !row->required && !row->fallback && is_zero(row, base);
}

static void print_value(const struct gq_schema_row *row, const void *base, struct gq_text *out)
{
    if (row->type == GQ_SCHEMA_RATE) {
        double rate;
        memcpy(&rate, field(base, row->offset), sizeof rate);
        gq_value_print_rate(rate, out);
    } else if (row->type == GQ_SCHEMA_NAME || gq_schema_is_path(row)) {
        char *text;
        memcpy(&text, field(base, row->offset), sizeof text);
        print_text(text, out);
    } else if (row->type == GQ_SCHEMA_WORD) {
        print_word(row, load_number(row, base), out);
    } else {
        gq_value_print_number(row, load_number(row, base), out);
    }
}

static void print_map(const struct gq_schema_row *row, const void *base, unsigned depth, struct gq_text *out)
{
    struct gq_text inside = {0};
    print_below(row, base, depth + 1, &inside);
    indent(out, depth);
    gq_text_printf(out, "%s:%s%s", gq_schema_key(row), inside.len ? "\n" : " {}\n", gq_text_str(&inside));
    out->failed = out->failed || inside.failed;
    gq_text_finish(&inside);
}

static void print_choice(const struct gq_schema_row *row, const void *base, unsigned depth, struct gq_text *out)
{
    const struct gq_schema_row *chosen = gq_schema_chosen(row, row->width ? (unsigned)load_number(row, base) : 0);
    const struct gq_schema_row *first = gq_schema_next(chosen, NULL);
    if (!row->fallback && first && is_zero(first, base))
        return; /* not given, no default: no dead letters in a program that takes its own results */
    indent(out, depth);
    gq_text_printf(out, "%s:\n", gq_schema_key(row));
    print_map(chosen, base, depth + 1, out);
}

static void print_stages(const struct gq_schema_row *row, const struct gq_conf *conf, struct gq_text *out)
{
    gq_text_printf(out, "%s:\n", gq_schema_key(row));
    for (size_t i = 0; i < conf->stage_count; i++) {
        struct gq_text stage = {0};
        print_below(row, &conf->stages[i], 2, &stage);
        gq_assert(stage.failed || stage.len > 4);
        gq_text_printf(out, "  - %s", gq_text_str(&stage) + (stage.len ? 4 : 0));
        out->failed = out->failed || stage.failed;
        gq_text_finish(&stage);
    }
}

static void print_row(const struct gq_schema_row *row, const void *base, unsigned depth, struct gq_text *out)
{
    if (row->type == GQ_SCHEMA_MAP) {
        print_map(row, base, depth, out);
    } else if (row->type == GQ_SCHEMA_CHOICE) {
        print_choice(row, base, depth, out);
    } else if (row->type == GQ_SCHEMA_LIST) {
        print_stages(row, base, out);
    } else if (row->type == GQ_SCHEMA_PARAMS) {
        print_params(row, base, depth, out);
    } else if (!is_absent(row, base)) {
        indent(out, depth);
        gq_text_printf(out, "%s: ", gq_schema_key(row));
        print_value(row, base, out);
        gq_text_puts(out, "\n");
    }
}

static void print_below(const struct gq_schema_row *row, const void *base, unsigned depth, struct gq_text *out)
{
    for (const struct gq_schema_row *below = NULL; (below = gq_schema_next(row, below));)
        print_row(below, base, depth, out);
}

void gq_conf_print(const struct gq_conf *conf, struct gq_text *out) { print_below(NULL, conf, 0, out); }
