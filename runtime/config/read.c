#include "config/read.h"
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include "base/assert.h"
#include "base/file.h"
#include "config/value.h"
#include "config/vars.h"

#define PARAMS_MAX 256u

static void read_row(struct gq_reading *r, const struct gq_schema_row *row, struct gq_yaml *node, void *base);

void gq_read_refuse(struct gq_reading *r, struct gq_yaml *node, bool at_key, const char *format, ...)
{
    struct gq_text message = {0};
    va_list args;
    va_start(args, format);
    gq_text_vprintf(&message, format, args);
    va_end(args);
    gq_yaml_problem(r->problems, node, at_key, "%s", gq_text_str(&message));
    r->no_memory = r->no_memory || message.failed;
    gq_text_finish(&message);
    node->bad = true;
}

/* "expected a size ..., got 'x': write KiB" */
static void refuse_value(struct gq_reading *r, const struct gq_schema_row *row, struct gq_yaml *node, const char *got,
                         const char *why)
{
    struct gq_text expected = {0}, shown = {0};
    gq_schema_expected(row, &expected);
    gq_problem_show(&shown, got, strlen(got));
    gq_read_refuse(r, node, false, "expected %s, got '%s'%s%s", gq_text_str(&expected), gq_text_str(&shown),
                   *why ? ": " : "", why);
    gq_text_finish(&expected);
    gq_text_finish(&shown);
}

static void say_got(const struct gq_yaml *node, struct gq_text *out)
{
    if (gq_yaml_is_null(node)) {
        gq_text_puts(out, "nothing");
    } else if (node->kind == GQ_YAML_SCALAR) {
        gq_text_puts(out, "'");
        gq_problem_show(out, node->text, node->len);
        gq_text_puts(out, "'");
    } else {
        gq_text_puts(out, node->count ? gq_yaml_kind_name(node->kind) : node->kind == GQ_YAML_MAPPING ? "{}" : "[]");
    }
}

static void refuse_expected(struct gq_reading *r, struct gq_yaml *node, const char *expected)
{
    struct gq_text got = {0};
    if (node->cut) { /* what broke off is reported already, and may not be what was meant */
        node->bad = true;
        return;
    }
    say_got(node, &got);
    gq_read_refuse(r, node, false, "expected %s, got %s", expected, gq_text_str(&got));
    gq_text_finish(&got);
}

static void refuse_kind(struct gq_reading *r, const struct gq_schema_row *row, struct gq_yaml *node)
{
    struct gq_text expected = {0};
    gq_schema_expected(row, &expected);
    refuse_expected(r, node, gq_text_str(&expected));
    gq_text_finish(&expected);
}

/* --- fields --------------------------------------------------------------------------------------------------------
 */

static void *field(void *base, size_t offset) { return (char *)base + offset; }

static void store_number(const struct gq_schema_row *row, void *base, uint64_t number)
{
    uint32_t narrow = (uint32_t)number;
    gq_assert(row->width == 0 || row->width == 8 || (row->width == 4 && narrow == number));
    if (row->width == 8)
        memcpy(field(base, row->offset), &number, 8);
    else if (row->width == 4)
        memcpy(field(base, row->offset), &narrow, 4);
}

static void store_text(struct gq_reading *r, const struct gq_schema_row *row, void *base, char *text)
{
    char **at = field(base, row->offset);
    gq_assert(row->width == sizeof *at && !*at);
    *at = text;
    r->no_memory = r->no_memory || !text;
}

static bool convert_name(struct gq_reading *r, const struct gq_schema_row *row, const char *text, void *base)
{
    if (!gq_value_is_name(text))
        return false;
    store_text(r, row, base, strdup(text));
    return true;
}

static bool convert_word(const struct gq_schema_row *row, const char *text, void *base, struct gq_text *why)
{
    unsigned word;
    if (gq_value_word(row->words, text, &word)) {
        store_number(row, base, word);
        return true;
    }
    const char *near = gq_schema_nearest_word(row, text);
    if (near)
        gq_text_printf(why, "did you mean '%s'?", near);
    return false;
}

static bool convert_number(const struct gq_schema_row *row, const char *text, void *base, struct gq_text *why)
{
    uint64_t number;
    if (!gq_value_number(row, text, &number, why))
        return false;
    store_number(row, base, number);
    return true;
}

/* The text of a value that is no path into its field. */
static bool convert(struct gq_reading *r, const struct gq_schema_row *row, const char *text, void *base,
                    struct gq_text *why)
{
    if (row->type == GQ_SCHEMA_NAME)
        return convert_name(r, row, text, base);
    if (row->type == GQ_SCHEMA_WORD)
        return convert_word(row, text, base, why);
    if (row->type == GQ_SCHEMA_RATE)
        return gq_value_rate(row, text, field(base, row->offset));
    return convert_number(row, text, base, why);
}

/* --- scalars -------------------------------------------------------------------------------------------------------
 */

static bool expand(const struct gq_yaml *node, struct gq_text *text, bool *expanded, struct gq_text *why)
{
    if (memchr(node->text, '\0', node->len)) {
        gq_text_puts(why, "the text may not hold a NUL byte");
        return false;
    }
    if (!gq_vars_expand(node->text, text, expanded, why))
        return false;
    if (text->len > GQ_TEXT_BYTES_MAX)
        gq_text_printf(why, "the text is %zu bytes long, %u are allowed", text->len, GQ_TEXT_BYTES_MAX);
    return text->len <= GQ_TEXT_BYTES_MAX;
}

/* The scalar's text with its variables put in; false when that was refused. */
static bool take_text(struct gq_reading *r, struct gq_yaml *node, struct gq_text *text, bool *expanded)
{
    struct gq_text why = {0};
    bool good = expand(node, text, expanded, &why);
    if (!good)
        gq_read_refuse(r, node, false, "%s", gq_text_str(&why));
    r->no_memory = r->no_memory || text->failed || why.failed;
    gq_text_finish(&why);
    return good && !text->failed;
}

/* A text in a path's place that is no path. */
static bool is_no_path(const struct gq_schema_row *row, const char *text)
{
    if (row->type == GQ_SCHEMA_SOCKET)
        return strcmp(text, GQ_SOCKET_OFF) == 0;
    return row->type == GQ_SCHEMA_PLUGIN && gq_builtin_name(text);
}

static void read_path(struct gq_reading *r, const struct gq_schema_row *row, struct gq_yaml *node, const char *text,
                      void *base)
{
    if (!*text) {
        refuse_value(r, row, node, text, "");
        return;
    }
    const bool no_path = is_no_path(row, text);
    char *path = no_path ? strdup(text) : gq_path_join(r->conf->folder, text);
    struct gq_text why = {0};
    store_text(r, row, base, path);
    if (row->beside)
        memcpy(field(base, row->beside), &node->mark, sizeof node->mark);
    if (path && !no_path && !gq_path_check(row, path, &why))
        gq_read_refuse(r, node, false, "%s", gq_text_str(&why));
    r->no_memory = r->no_memory || why.failed;
    gq_text_finish(&why);
}

static void read_text(struct gq_reading *r, const struct gq_schema_row *row, struct gq_yaml *node, const char *text,
                      bool expanded, void *base)
{
    struct gq_text why = {0};
    unsigned word;
    bool is_number = row->type == GQ_SCHEMA_COUNT || row->type == GQ_SCHEMA_POWER;
    bool is_word = row->words && gq_value_word(row->words, text, &word);
    if (gq_schema_is_path(row))
        read_path(r, row, node, text, base);
    else if (is_number && !is_word && node->quoted && !expanded)
        refuse_value(r, row, node, text, "take the quotes away");
    else if (!convert(r, row, text, base, &why))
        refuse_value(r, row, node, text, gq_text_str(&why));
    gq_text_finish(&why);
}

static void read_scalar(struct gq_reading *r, const struct gq_schema_row *row, struct gq_yaml *node, void *base)
{
    struct gq_text text = {0};
    bool expanded = false;
    if (!node) {
        bool good = !row->fallback || convert(r, row, row->fallback, base, &text);
        gq_assert(good);
    } else if (node->kind != GQ_YAML_SCALAR || gq_yaml_is_null(node)) {
        refuse_kind(r, row, node);
    } else if (take_text(r, node, &text, &expanded)) {
        read_text(r, row, node, gq_text_str(&text), expanded, base);
    }
    gq_text_finish(&text);
}

/* --- parameters ----------------------------------------------------------------------------------------------------
 */

static bool param_value(struct gq_reading *r, struct gq_yaml *node, const char *text, struct gq_conf_param *param)
{
    struct gq_text why = {0};
    bool good = true;
    if (node->quoted)
        param->type = GQ_PARAM_STRING;
    else
        good = gq_value_param(text, param, &why);
    if (!good) {
        struct gq_text shown = {0};
        gq_problem_show(&shown, text, strlen(text));
        gq_read_refuse(r, node, false, "'%s' is not a parameter: %s", gq_text_str(&shown), gq_text_str(&why));
        gq_text_finish(&shown);
    } else if (param->type == GQ_PARAM_STRING) {
        param->string = strdup(text);
        r->no_memory = r->no_memory || !param->string;
    }
    gq_text_finish(&why);
    return good;
}

static void read_param(struct gq_reading *r, struct gq_yaml *node, struct gq_conf_param *param)
{
    param->mark = node->mark;
    param->name = strdup(node->key);
    r->no_memory = r->no_memory || !param->name;
    struct gq_text text = {0};
    bool expanded;
    if (!gq_value_is_identifier(node->key))
        gq_read_refuse(r, node, true,
                       "a parameter's name has letters, digits and '_', begins with no digit, and is at most %u long",
                       GQ_NAME_BYTES_MAX);
    else if (node->kind != GQ_YAML_SCALAR || gq_yaml_is_null(node))
        refuse_expected(r, node, "true, false, a number or text");
    else if (take_text(r, node, &text, &expanded))
        param_value(r, node, gq_text_str(&text), param);
    gq_text_finish(&text);
}

static void read_params(struct gq_reading *r, const struct gq_schema_row *row, struct gq_yaml *node, void *base)
{
    if (!node || gq_yaml_is_null(node) || (node->kind == GQ_YAML_MAPPING && node->count == 0))
        return;
    if (node->kind != GQ_YAML_MAPPING) {
        refuse_kind(r, row, node);
        return;
    }
    if (node->count > PARAMS_MAX) {
        gq_read_refuse(r, node, false, "%zu parameters, %u are allowed", node->count, PARAMS_MAX);
        return;
    }
    struct gq_conf_param *params = calloc(node->count, sizeof *params);
    r->no_memory = r->no_memory || !params;
    for (size_t i = 0; params && i < node->count; i++)
        if (!node->items[i]->bad)
            read_param(r, node->items[i], &params[i]);
    memcpy(field(base, row->offset), &params, sizeof params);
    memcpy(field(base, row->beside), params ? &node->count : &(size_t){0}, sizeof node->count);
}

/* --- mappings ------------------------------------------------------------------------------------------------------
 */

static void refuse_key(struct gq_reading *r, const struct gq_schema_row *row, struct gq_yaml *item)
{
    const char *near = gq_schema_nearest_key(row, item->key);
    struct gq_text hint = {0}, paths = {0};
    if (gq_schema_elsewhere(item->key, &paths))
        gq_text_printf(&hint, "unknown key here, it is known as %s", gq_text_str(&paths));
    else if (near)
        gq_text_printf(&hint, "unknown key, did you mean '%s'?", near);
    else if (!gq_schema_next(row, NULL))
        gq_text_puts(&hint, "unknown key, none was expected here");
    else {
        gq_text_puts(&hint, "unknown key, expected ");
        gq_schema_keys(row, &hint);
    }
    gq_read_refuse(r, item, true, "%s", gq_text_str(&hint));
    gq_text_finish(&hint);
    gq_text_finish(&paths);
}

/* How many of the mapping's keys stand in the table; the others are refused. */
static size_t check_keys(struct gq_reading *r, const struct gq_schema_row *row, struct gq_yaml *node)
{
    size_t known = 0;
    for (size_t i = 0; i < node->count; i++) {
        if (gq_schema_find(row, node->items[i]->key))
            known += !node->items[i]->bad;
        else if (!node->items[i]->bad)
            refuse_key(r, row, node->items[i]);
    }
    return known;
}

static struct gq_yaml *item_of(const struct gq_yaml *node, const char *key)
{
    for (size_t i = 0; node && i < node->count; i++)
        if (strcmp(node->items[i]->key, key) == 0)
            return node->items[i];
    return NULL;
}

static void read_keys(struct gq_reading *r, const struct gq_schema_row *row, struct gq_yaml *node, void *base)
{
    for (const struct gq_schema_row *below = NULL; (below = gq_schema_next(row, below));) {
        struct gq_yaml *item = item_of(node, gq_schema_key(below));
        if (item || !below->required)
            read_row(r, below, item, base);
        else if (node && !node->cut)
            gq_yaml_problem(r->problems, node, false, "the key '%s' is missing: %s", gq_schema_key(below),
                            below->sentence);
    }
}

static void read_map(struct gq_reading *r, const struct gq_schema_row *row, struct gq_yaml *node, void *base)
{
    if (node && node->kind != GQ_YAML_MAPPING && !gq_yaml_is_null(node)) {
        refuse_kind(r, row, node);
        return;
    }
    if (node)
        check_keys(r, row, node);
    read_keys(r, row, node, base);
}

static void refuse_second(struct gq_reading *r, const struct gq_schema_row *row, struct gq_yaml *first,
                          struct gq_yaml *second)
{
    struct gq_text keys = {0};
    gq_schema_keys(row, &keys);
    gq_read_refuse(r, second, true, "a second one beside '%s' at line %u: exactly one of %s was expected", first->key,
                   first->key_mark.line, gq_text_str(&keys));
    gq_text_finish(&keys);
}

/* The first known key; every further one is refused. */
static struct gq_yaml *choose(struct gq_reading *r, const struct gq_schema_row *row, struct gq_yaml *node)
{
    struct gq_yaml *chosen = NULL;
    for (size_t i = 0; i < node->count; i++) {
        struct gq_yaml *item = node->items[i];
        if (item->bad || !gq_schema_find(row, item->key))
            continue;
        if (chosen)
            refuse_second(r, row, chosen, item);
        else
            chosen = item;
    }
    return chosen;
}

static void read_choice(struct gq_reading *r, const struct gq_schema_row *row, struct gq_yaml *node, void *base)
{
    const struct gq_schema_row *chosen = NULL;
    struct gq_yaml *item = NULL;
    if (!node) {
        chosen = row->fallback ? gq_schema_find(row, row->fallback) : NULL;
    } else if (node->kind != GQ_YAML_MAPPING || (node->count == 0 && !node->cut)) {
        refuse_kind(r, row, node);
    } else {
        check_keys(r, row, node);
        item = choose(r, row, node);
        chosen = item ? gq_schema_find(row, item->key) : NULL;
    }
    if (!chosen)
        return;
    store_number(row, base, gq_schema_choice(row, chosen));
    read_row(r, chosen, item, base);
}

static void read_list(struct gq_reading *r, const struct gq_schema_row *row, struct gq_yaml *node)
{
    struct gq_conf *conf = r->conf;
    if (!node || node->kind != GQ_YAML_SEQUENCE) {
        if (node)
            refuse_kind(r, row, node);
        return;
    }
    if ((node->count < row->min && !node->cut) || node->count > row->max) {
        struct gq_text expected = {0};
        gq_schema_expected(row, &expected);
        gq_read_refuse(r, node, false, "expected %s, got %zu", gq_text_str(&expected), node->count);
        gq_text_finish(&expected);
        return;
    }
    conf->stages = calloc(node->count + 1, sizeof *conf->stages);
    r->no_memory = r->no_memory || !conf->stages;
    conf->stage_count = conf->stages ? node->count : 0;
    for (size_t i = 0; i < conf->stage_count; i++) {
        struct gq_yaml *item = node->items[i];
        if (item->kind != GQ_YAML_MAPPING && !item->bad)
            refuse_expected(r, item, "a stage such as '- plugin: FILE.cu'");
        else if (!item->bad)
            read_map(r, row, item, &conf->stages[i]);
    }
}

/* `base` is what the row's offset counts from. */
static void read_row(struct gq_reading *r, const struct gq_schema_row *row, struct gq_yaml *node, void *base)
{
    if (node && node->bad)
        return;
    if (row->type == GQ_SCHEMA_MAP)
        read_map(r, row, node, base);
    else if (row->type == GQ_SCHEMA_CHOICE)
        read_choice(r, row, node, base);
    else if (row->type == GQ_SCHEMA_LIST)
        read_list(r, row, node);
    else if (row->type == GQ_SCHEMA_PARAMS)
        read_params(r, row, node, base);
    else
        read_scalar(r, row, node, base);
}

void gq_read_tree(struct gq_reading *r, struct gq_yaml *root)
{
    gq_assert(root->kind == GQ_YAML_MAPPING);
    check_keys(r, NULL, root);
    read_keys(r, NULL, root, r->conf);
}
