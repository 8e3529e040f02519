#include "plugin_text.h"
#include <stdbool.h>
#include <string.h>
#include "build/lex.h"
#include "build/machine.h"
#include "build/source.h"

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

/* No timeout of their own: --timeout is one for everything. */
static void add_source(struct gq_text *out, const struct plugin_text *p)
{
    gq_text_puts(out, "source:\n  plugin:\n    path: ");
    add_string(out, p->file);
    gq_text_printf(out, "\n    timeout: off\n    first: %llu\n    count: %llu\n", (unsigned long long)p->first,
                   (unsigned long long)p->count);
    add_params(out, "    ", p);
    gq_text_puts(out, "stages:\n  - plugin: builtin:echo\n"); /* a pipeline has at least one */
}

static void add_stage(struct gq_text *out, const struct plugin_text *p)
{
    gq_text_puts(out, "source: { api: {} }\nstages:\n  - plugin: ");
    add_string(out, p->file);
    gq_text_puts(out, "\n    timeout: off\n");
    add_params(out, "    ", p);
}

gq_status plugin_text_write(const struct plugin_text *p, struct gq_text *out)
{
    gq_text_puts(out, "version: 1\nname: plugin\n");
    gq_text_printf(out, "queue: { capacity: %u, slot_bytes: %u }\n", p->capacity, p->slot_bytes);
    if (p->kind == GQ_IMAGE_SOURCE)
        add_source(out, p);
    else
        add_stage(out, p);
    gq_text_puts(out, "sink: { api: {} }\non_error: { retries: 0 }\n");
    return out->failed ? gq_error_set(GQ_ERR_NO_MEMORY, "memory ran out while the pipeline was written") : GQ_OK;
}

static bool has_word(const struct gq_text *text, const char *word)
{
    struct gq_lexer lexer;
    gq_lex_start(&lexer, gq_text_str(text), text->len);
    for (struct gq_token t = gq_lex_next(&lexer); t.kind != GQ_TOKEN_END; t = gq_lex_next(&lexer))
        if (t.kind == GQ_TOKEN_WORD && gq_token_is(&t, word))
            return true;
    return false;
}

gq_status plugin_text_kind(const char *file, enum gq_image_kind *out)
{
    struct gq_text text = {0};
    enum gq_origin origin;
    struct gq_machine machine = {0};
    *out = GQ_IMAGE_STAGE;
    gq_status status = gq_source_read(file, &text, &origin);
    if (status == GQ_OK && origin != GQ_ORIGIN_SOURCE)
        status = gq_machine_read(file, origin, &text, &machine);
    else if (status == GQ_OK) {
        machine.process = has_word(&text, "process_message");
        machine.generate = has_word(&text, "generate_message");
    }
    if (machine.generate && !machine.process)
        *out = GQ_IMAGE_SOURCE;
    gq_text_finish(&text);
    return status;
}
