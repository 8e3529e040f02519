#include "config/yaml.h"
#include "base/assert.h"
#include "config/yaml_text.h"
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void gq_yaml_destroy(struct gq_yaml *node)
{
    if (!node)
        return;
    for (size_t i = 0; i < node->count; i++) /* at most GQ_YAML_DEPTH_MAX calls deep */
        gq_yaml_destroy(node->items[i]);
    free(node->items);
    free(node->key);
    free(node->text);
    free(node);
}

const struct gq_yaml *gq_yaml_get(const struct gq_yaml *mapping, const char *key)
{
    gq_assert(mapping->kind == GQ_YAML_MAPPING);
    for (size_t i = 0; i < mapping->count; i++)
        if (strcmp(mapping->items[i]->key, key) == 0)
            return mapping->items[i];
    return NULL;
}

bool gq_yaml_is_null(const struct gq_yaml *node)
{
    return node->kind == GQ_YAML_SCALAR && !node->quoted &&
           (node->len == 0 || strcmp(node->text, "~") == 0 || strcasecmp(node->text, "null") == 0);
}

const char *gq_yaml_kind_name(enum gq_yaml_kind kind)
{
    static const char *const names[] = {"a scalar", "a list", "a mapping"};
    return names[kind];
}

void gq_yaml_path(const struct gq_yaml *node, struct gq_text *out)
{
    if (!node->parent)
        return;
    gq_yaml_path(node->parent, out);
    if (!node->key) {
        gq_text_printf(out, "[%zu]", node->index);
        return;
    }
    if (out->len)
        gq_text_puts(out, ".");
    gq_problem_show(out, node->key, strlen(node->key));
}

void gq_yaml_problem(struct gq_problems *problems, const struct gq_yaml *node, bool at_key, const char *format, ...)
{
    struct gq_text path = {0}, message = {0};
    va_list args;
    va_start(args, format);
    gq_text_vprintf(&message, format, args);
    va_end(args);
    gq_yaml_path(node, &path);
    gq_problem_add(problems, at_key ? node->key_mark : node->mark, gq_text_str(&path), "%s", gq_text_str(&message));
    problems->failed = problems->failed || path.failed || message.failed;
    gq_text_finish(&path);
    gq_text_finish(&message);
}

static bool is_word_of_yaml(const char *text)
{
    static const char *const words[] = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcasecmp(text, words[i]) == 0)
            return true;
    return false;
}

/* A path or a name that nobody can take for a number, a word of YAML or punctuation. */
static bool is_plain(const char *text)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    static const char others[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./";
    bool start = (*text && strchr(letters, *text)) || *text == '/' || strncmp(text, "./", 2) == 0 ||
                 strncmp(text, "../", 3) == 0;
    return start && text[strspn(text, others)] == '\0' && !is_word_of_yaml(text);
}

static bool must_escape(uint32_t c)
{
    return c < 0x20 || c == 0x85 || c == 0x2028 || c == 0x2029 || !gq_yaml_printable(c);
}

static void write_quoted(struct gq_text *out, const char *text, size_t len)
{
    for (size_t i = 0, n; i < len; i += n) {
        uint32_t c = 0xfffd; /* stands for a byte that is not UTF-8 */
        n = gq_utf8_decode(text + i, len - i, &c);
        if (c == '\n' || c == '\t')
            gq_text_puts(out, c == '\n' ? "\\n" : "\\t");
        else if (n == 0 || must_escape(c))
            gq_text_printf(out, c < 0x100 ? "\\x%02X" : "\\u%04X", c);
        else if (c == '"' || c == '\\')
            gq_text_printf(out, "\\%c", (int)c);
        else
            gq_text_add(out, text + i, n);
        n = n ? n : 1;
    }
}

void gq_yaml_write(struct gq_text *out, const char *text)
{
    if (is_plain(text)) {
        gq_text_puts(out, text);
        return;
    }
    gq_text_puts(out, "\"");
    write_quoted(out, text, strlen(text));
    gq_text_puts(out, "\"");
}
