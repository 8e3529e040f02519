#include "plugin_text.h"
#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include "base/file.h"

#define PLUGIN_BYTES_MAX (1u << 20)

/* A string that reads back as it is: in quotes, and without ${...} being expanded. */
static void add_string(struct gq_text *out, const char *text)
{
    struct gq_text escaped = {0};
    for (const char *at = text; *at; at++) {
        if (at[0] == '$' && at[1] == '{')
            gq_text_puts(&escaped, "$");
        gq_text_add(&escaped, at, 1);
    }
    gq_text_json(out, gq_text_str(&escaped), escaped.len);
    out->failed |= escaped.failed;
    gq_text_finish(&escaped);
}

static void add_params(struct gq_text *out, const char *indent, const struct plugin_text *p)
{
    if (p->param_count)
        gq_text_printf(out, "%sparams:\n", indent);
    for (size_t i = 0; i < p->param_count; i++) {
        gq_text_printf(out, "%s  %s: ", indent, p->params[i].name);
        if (p->params[i].quoted || strstr(p->params[i].text, "${"))
            add_string(out, p->params[i].text);
        else
            gq_text_puts(out, p->params[i].text);
        gq_text_puts(out, "\n");
    }
}

static void add_source(struct gq_text *out, const struct plugin_text *p)
{
    gq_text_puts(out, "source:\n  plugin:\n    path: ");
    add_string(out, p->file);
    gq_text_printf(out, "\n    first: %llu\n    count: %llu\n", (unsigned long long)p->first,
                   (unsigned long long)p->count);
    add_params(out, "    ", p);
    gq_text_puts(out, "stages:\n  - plugin: builtin:echo\n"); /* a pipeline has at least one */
}

static void add_stage(struct gq_text *out, const struct plugin_text *p)
{
    gq_text_puts(out, "source: { api: {} }\nstages:\n  - plugin: ");
    add_string(out, p->file);
    gq_text_puts(out, "\n");
    add_params(out, "    ", p);
}

void plugin_text_write(const struct plugin_text *p, struct gq_text *out)
{
    gq_text_puts(out, "version: 1\nname: plugin\n");
    gq_text_printf(out, "queue: { capacity: %u, slot_bytes: %u }\n", p->capacity, p->slot_bytes);
    if (p->kind == GQ_IMAGE_SOURCE)
        add_source(out, p);
    else
        add_stage(out, p);
    gq_text_puts(out, "sink: { api: {} }\non_error: { retries: 0 }\n");
}

static const char *after_quoted(const char *at, char quote)
{
    for (at++; *at && *at != quote && *at != '\n'; at++)
        if (at[0] == '\\' && at[1])
            at++;
    return *at ? at + 1 : at;
}

static const char *after_comment(const char *at)
{
    const char *end = at[1] == '*' ? strstr(at + 2, "*/") : strchr(at, '\n');
    if (!end)
        return at + strlen(at);
    return at[1] == '*' ? end + 2 : end + 1;
}

/* The next word of the program itself: comments and strings are passed over. NULL at the end. */
static const char *next_word(const char *at, size_t *len)
{
    while (*at && !isalpha((unsigned char)*at) && *at != '_') {
        if (at[0] == '/' && (at[1] == '/' || at[1] == '*'))
            at = after_comment(at);
        else if (*at == '"' || *at == '\'')
            at = after_quoted(at, *at);
        else
            at++;
    }
    for (*len = 0; isalnum((unsigned char)at[*len]) || at[*len] == '_';)
        ++*len;
    return *at ? at : NULL;
}

static bool has_word(const char *text, const char *word)
{
    size_t len = 0;
    for (const char *at = next_word(text, &len); at; at = next_word(at + len, &len))
        if (len == strlen(word) && memcmp(at, word, len) == 0)
            return true;
    return false;
}

gq_status plugin_text_kind(const char *file, enum gq_image_kind *out)
{
    struct gq_text text = {0};
    gq_status status = gq_file_read(file, PLUGIN_BYTES_MAX, &text);
    if (status == GQ_OK) {
        bool stage = has_word(gq_text_str(&text), "process_message");
        *out = !stage && has_word(gq_text_str(&text), "generate_message") ? GQ_IMAGE_SOURCE : GQ_IMAGE_STAGE;
    }
    gq_text_finish(&text);
    return status;
}
