#include <string.h>
#include "base/assert.h"
#include "config/schema.h"
#include "config/value.h"

/* A JSON text under way, indented as it grows. */
struct writer {
    struct gq_text *out;
    unsigned depth;
    bool first; /* nothing stands in the innermost brackets yet */
};

static void write_node(struct writer *w, const struct gq_schema_row *row);

static void next(struct writer *w)
{
    gq_text_printf(w->out, "%s\n%*s", w->first ? "" : ",", (int)(2 * w->depth), "");
    w->first = false;
}

static void name(struct writer *w, const char *key)
{
    next(w);
    gq_text_json(w->out, key, strlen(key));
    gq_text_puts(w->out, ": ");
}

static void begin(struct writer *w, const char *bracket)
{
    gq_text_puts(w->out, bracket);
    w->depth++;
    w->first = true;
}

static void end(struct writer *w, const char *bracket)
{
    w->depth--;
    gq_text_printf(w->out, "\n%*s%s", (int)(2 * w->depth), "", bracket);
    w->first = false;
}

static void text(struct writer *w, const char *key, const char *value)
{
    name(w, key);
    gq_text_json(w->out, value, strlen(value));
}

static void raw(struct writer *w, const char *key, const char *json)
{
    name(w, key);
    gq_text_puts(w->out, json);
}

static void number(struct writer *w, const char *key, uint64_t value)
{
    name(w, key);
    gq_text_printf(w->out, "%llu", (unsigned long long)value);
}

static void write_words(struct writer *w, const struct gq_schema_word *words)
{
    name(w, "enum");
    gq_text_puts(w->out, "[");
    for (const struct gq_schema_word *one = words; one->word; one++)
        gq_text_printf(w->out, "%s\"%s\"", one == words ? "" : ", ", one->word);
    gq_text_puts(w->out, "]");
}

static void write_powers(struct writer *w, const struct gq_schema_row *row)
{
    name(w, "enum");
    gq_text_puts(w->out, "[");
    for (uint64_t n = row->min; n <= row->max; n *= 2)
        gq_text_printf(w->out, "%s%llu", n == row->min ? "" : ", ", (unsigned long long)n);
    gq_text_puts(w->out, "]");
}

static void write_bounds(struct writer *w, const struct gq_schema_row *row)
{
    text(w, "type", "integer");
    number(w, "minimum", row->min);
    if (row->max != UINT64_MAX)
        number(w, "maximum", row->max);
}

static void open_alternative(struct writer *w)
{
    next(w);
    begin(w, "{");
}

static void write_pattern(struct writer *w, const char *pattern)
{
    text(w, "type", "string");
    text(w, "pattern", pattern);
}

/* The form of a value that is not a number of its own: text, or a number with its unit. */
static void write_form(struct writer *w, const struct gq_schema_row *row)
{
    if (row->type == GQ_SCHEMA_NAME)
        write_pattern(w, "^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$");
    else if (row->type == GQ_SCHEMA_SIZE)
        write_pattern(w, "^(0|[1-9][0-9]*|0x[0-9a-fA-F]+)(GiB|MiB|KiB|GB|MB|kB|B)?$");
    else if (row->type == GQ_SCHEMA_DURATION)
        write_pattern(w, "^(0|[1-9][0-9]*|0x[0-9a-fA-F]+)(h|m|s|ms)$");
    else if (row->type == GQ_SCHEMA_RATE)
        write_pattern(w, "^[+]?([0-9]+\\.?[0-9]*|\\.[0-9]+)([eE][-+]?[0-9]+)?/s$");
    else if (row->words)
        write_words(w, row->words);
    else
        write_pattern(w, "^.");
}

static bool is_whole(const struct gq_schema_row *row)
{
    return row->type == GQ_SCHEMA_COUNT || row->type == GQ_SCHEMA_SIZE || row->type == GQ_SCHEMA_POWER;
}

/* A number, a text of some form, or a text with a variable in it. */
static void write_scalar(struct writer *w, const struct gq_schema_row *row)
{
    name(w, "anyOf");
    begin(w, "[");
    if (is_whole(row)) {
        open_alternative(w);
        if (row->type == GQ_SCHEMA_POWER)
            write_powers(w, row);
        else
            write_bounds(w, row);
        end(w, "}");
    }
    if (!is_whole(row) || row->words || row->type == GQ_SCHEMA_SIZE) {
        open_alternative(w);
        write_form(w, row);
        end(w, "}");
    }
    if (row->type == GQ_SCHEMA_DURATION && row->words) {
        open_alternative(w);
        write_words(w, row->words);
        end(w, "}");
    }
    open_alternative(w);
    text(w, "$ref", "#/$defs/variable");
    end(w, "}");
    end(w, "]");
}

static bool has_required(const struct gq_schema_row *row)
{
    for (const struct gq_schema_row *below = NULL; (below = gq_schema_next(row, below));)
        if (below->required)
            return true;
    return false;
}

static void write_required(struct writer *w, const struct gq_schema_row *row)
{
    const char *separator = "";
    if (!has_required(row))
        return;
    name(w, "required");
    gq_text_puts(w->out, "[");
    for (const struct gq_schema_row *below = NULL; (below = gq_schema_next(row, below));) {
        if (!below->required)
            continue;
        gq_text_printf(w->out, "%s\"%s\"", separator, gq_schema_key(below));
        separator = ", ";
    }
    gq_text_puts(w->out, "]");
}

static void write_properties(struct writer *w, const struct gq_schema_row *row)
{
    raw(w, "additionalProperties", "false");
    if (!gq_schema_next(row, NULL))
        return;
    name(w, "properties");
    begin(w, "{");
    for (const struct gq_schema_row *below = NULL; (below = gq_schema_next(row, below));) {
        name(w, gq_schema_key(below));
        write_node(w, below);
    }
    end(w, "}");
}

static void write_map(struct writer *w, const struct gq_schema_row *row)
{
    raw(w, "type", has_required(row) ? "\"object\"" : "[\"object\", \"null\"]");
    write_required(w, row);
    write_properties(w, row);
}

static void write_choice(struct writer *w, const struct gq_schema_row *row)
{
    text(w, "type", "object");
    number(w, "minProperties", 1);
    number(w, "maxProperties", 1);
    write_properties(w, row);
}

static void write_list(struct writer *w, const struct gq_schema_row *row)
{
    text(w, "type", "array");
    number(w, "minItems", row->min);
    number(w, "maxItems", row->max);
    name(w, "items");
    begin(w, "{");
    write_map(w, row);
    end(w, "}");
}

static void write_params(struct writer *w)
{
    raw(w, "type", "[\"object\", \"null\"]");
    raw(w, "propertyNames", "{ \"pattern\": \"^[A-Za-z_][A-Za-z0-9_]{0,63}$\" }");
    raw(w, "additionalProperties", "{ \"type\": [\"boolean\", \"number\", \"string\"] }");
}

static void write_default(struct writer *w, const struct gq_schema_row *row)
{
    if (!row->fallback)
        return;
    name(w, "default");
    if (row->type == GQ_SCHEMA_CHOICE)
        gq_text_printf(w->out, "{ \"%s\": {} }", row->fallback);
    else if (is_whole(row) && row->fallback[strspn(row->fallback, "0123456789")] == '\0')
        gq_text_puts(w->out, row->fallback);
    else
        gq_text_json(w->out, row->fallback, strlen(row->fallback));
}

static void write_type(struct writer *w, const struct gq_schema_row *row)
{
    if (row->type == GQ_SCHEMA_MAP)
        write_map(w, row);
    else if (row->type == GQ_SCHEMA_CHOICE)
        write_choice(w, row);
    else if (row->type == GQ_SCHEMA_LIST)
        write_list(w, row);
    else if (row->type == GQ_SCHEMA_PARAMS)
        write_params(w);
    else
        write_scalar(w, row);
}

static void write_node(struct writer *w, const struct gq_schema_row *row)
{
    begin(w, "{");
    text(w, "description", row->sentence);
    write_default(w, row);
    write_type(w, row);
    end(w, "}");
}

static void write_definitions(struct writer *w)
{
    name(w, "$defs");
    begin(w, "{");
    name(w, "variable");
    begin(w, "{");
    text(w, "description", "${NAME} or ${NAME:default}, from the environment");
    write_pattern(w, "\\$\\{[A-Za-z_][A-Za-z0-9_]*(:[^}]*)?\\}");
    end(w, "}");
    end(w, "}");
}

void gq_conf_schema(struct gq_text *out)
{
    struct writer w = {.out = out};
    begin(&w, "{");
    text(&w, "$schema", "https://json-schema.org/draft/2020-12/schema");
    text(&w, "title", "gpuqueue pipeline file, version 1");
    write_map(&w, NULL);
    write_definitions(&w);
    end(&w, "}");
    gq_text_puts(out, "\n");
}
