/* gpuq plugin test: a plugin's golden vectors, each through a real pipeline. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "build/build.h"
#include "plugin_probe.h"
#include "config/golden_result.h"
#include "plugin_verbs.h"

struct test {
    const struct plugin_args *args;
    const char *golden_path;
    struct gq_golden *golden;
    struct probe probe; /* open on the parameters and room of the vector before, if there was one */
    const struct gq_golden_vector *opened_for;
    char backend[16]; /* once known */
    uint32_t room;    /* bytes that every vector fits into */
    size_t passed;
    struct gq_text json;
};

/* Vectors in a row that ask for the same share a pipeline, so that state is kept from one to the next. */
static bool fits_open_probe(const struct test *t, const struct gq_golden_vector *v)
{
    return t->opened_for && !t->golden->source && t->opened_for->slot_bytes == v->slot_bytes &&
           gq_golden_same_params(t->opened_for, v);
}

static bool overrides(const struct plugin_args *args, const char *name)
{
    for (size_t i = 0; i < args->param_count; i++)
        if (strcmp(args->params[i].name, name) == 0)
            return true;
    return false;
}

/* The vector's parameters and those of the command line, which win. Borrows their strings. */
static gq_status merge_params(const struct test *t, const struct gq_golden_vector *v, struct plugin_text *text,
                              struct gq_golden_param **merged)
{
    *merged = calloc(v->param_count + t->args->param_count + 1, sizeof **merged);
    if (!*merged)
        return gq_error_set(GQ_ERR_NO_MEMORY, "memory ran out for the parameters of '%s'", v->name);
    size_t count = 0;
    for (size_t i = 0; i < v->param_count; i++)
        if (!overrides(t->args, v->params[i].name))
            (*merged)[count++] = v->params[i];
    for (size_t i = 0; i < t->args->param_count; i++)
        (*merged)[count++] = t->args->params[i];
    text->params = *merged;
    text->param_count = count;
    return GQ_OK;
}

static gq_status open_for(struct test *t, const struct gq_golden_vector *v)
{
    struct gq_golden_param *params = NULL;
    struct probe_opts opts = {
        .backend = t->args->backend, .no_cache = t->args->no_cache, .timeout_s = t->args->timeout_s};
    opts.text = (struct plugin_text){.file = t->args->file,
                                     .kind = t->golden->source ? GQ_IMAGE_SOURCE : GQ_IMAGE_STAGE,
                                     .slot_bytes = v->slot_bytes ? v->slot_bytes : t->room,
                                     .first = v->index,
                                     .count = 1};
    gq_status status = merge_params(t, v, &opts.text, &params);
    if (status == GQ_OK)
        status = probe_open(&opts, &t->probe);
    free(params);
    if (status == GQ_OK) {
        t->opened_for = v;
        snprintf(t->backend, sizeof t->backend, "%s", gq_backend(t->probe.pipeline));
    }
    return status;
}

static gq_status close_probe(struct test *t)
{
    const gq_status status = t->opened_for ? probe_close(&t->probe) : GQ_OK;
    t->opened_for = NULL;
    return status;
}

static gq_status run_vector(struct test *t, const struct gq_golden_vector *v, struct gq_golden_result *got)
{
    gq_status status = GQ_OK;
    *got = (struct gq_golden_result){0};
    if (!fits_open_probe(t, v)) {
        status = close_probe(t);
        status = status == GQ_OK ? open_for(t, v) : status;
    }
    if (status != GQ_OK)
        return status;
    return t->golden->source ? probe_take(&t->probe, got) : probe_feed(&t->probe, v->in.data, v->in.len, got);
}

static void print_difference(const struct gq_golden_result *expected, const struct gq_golden_result *got)
{
    struct gq_text text = {0};
    gq_golden_show_difference(&text, "      ", expected, got);
    printf("%s", gq_text_str(&text));
    gq_text_finish(&text);
}

static void print_vector(const struct test *t, const struct gq_golden_vector *v, const struct gq_golden_result *got,
                         bool passed)
{
    if (passed) {
        printf("ok    %s\n", v->name);
        return;
    }
    printf("FAIL  %s (%s:%u)\n", v->name, t->golden_path, v->mark.line);
    if (!got) {
        printf("      %s\n", gq_error_text());
        return;
    }
    const struct gq_golden_result expected = gq_golden_expected(v);
    print_difference(&expected, got);
}

static void add_json(struct test *t, const struct gq_golden_vector *v, const struct gq_golden_result *got, bool passed)
{
    const struct gq_golden_result expected = gq_golden_expected(v);
    gq_text_puts(&t->json, t->json.len ? ",\n  {\"name\": " : "\n  {\"name\": ");
    gq_text_json(&t->json, v->name, strlen(v->name));
    gq_text_printf(&t->json, ", \"line\": %u, \"passed\": %s, \"expected\": ", v->mark.line, passed ? "true" : "false");
    gq_golden_result_json(&t->json, &expected);
    if (got) {
        gq_text_puts(&t->json, ", \"got\": ");
        gq_golden_result_json(&t->json, got);
    } else {
        gq_text_puts(&t->json, ", \"error\": ");
        gq_text_json(&t->json, gq_error_text(), strlen(gq_error_text()));
    }
    gq_text_puts(&t->json, "}");
}

static void report_vector(struct test *t, const struct gq_golden_vector *v, const struct gq_golden_result *got)
{
    const struct gq_golden_result expected = gq_golden_expected(v);
    const bool passed = got && gq_golden_same(&expected, got);
    t->passed += passed;
    if (t->args->json)
        add_json(t, v, got, passed);
    else
        print_vector(t, v, got, passed);
}

/* With its parameters the plugin is not what it is without. */
static gq_status name_vector(const struct test *t, const struct gq_golden_vector *v, gq_status status)
{
    if (v->param_count == 0 || status != GQ_ERR_PLUGIN)
        return status;
    return gq_error_prefix(status, "%s:%u: golden vector '%s', with its params:\n", t->golden_path, v->mark.line,
                           v->name);
}

/* A worker that died fails its vector; the next one gets a new worker. A plugin that cannot be built ends the test. */
static gq_status run_vectors(struct test *t)
{
    for (size_t i = 0; i < t->golden->count; i++) {
        const struct gq_golden_vector *v = &t->golden->vectors[i];
        struct gq_golden_result got;
        gq_status status = run_vector(t, v, &got);
        if (status != GQ_OK && !t->opened_for)
            return name_vector(t, v, status);
        report_vector(t, v, status == GQ_OK ? &got : NULL);
        gq_golden_result_finish(&got);
        if (status != GQ_OK)
            (void)close_probe(t); /* its vector has failed */
    }
    return GQ_OK;
}

static void print_json(const struct test *t)
{
    struct gq_text plugin = {0};
    gq_text_json(&plugin, t->args->file, strlen(t->args->file));
    printf("{\"plugin\": %s, \"backend\": \"%s\", \"passed\": %zu, \"failed\": %zu, \"vectors\": [%s\n]}\n",
           gq_text_str(&plugin), t->backend, t->passed, t->golden->count - t->passed, gq_text_str(&t->json));
    gq_text_finish(&plugin);
}

static int summarize(const struct test *t)
{
    const bool all = t->passed == t->golden->count;
    if (t->args->json)
        print_json(t);
    else
        printf("%s: %zu of %zu vector%s pass (%s)\n", t->args->file, t->passed, t->golden->count,
               t->golden->count == 1 ? "" : "s", t->backend);
    return all ? 0 : gq_status_exit_code(GQ_ERR_PLUGIN);
}

static void add_known(struct gq_text *out, const struct gq_plugin_param *known, size_t count)
{
    if (count == 0)
        gq_text_puts(out, "it has none");
    for (size_t i = 0; i < count; i++)
        gq_text_printf(out, "%s%s", i ? ", " : "it has ", known[i].name);
}

static bool is_known(const char *name, const struct gq_plugin_param *known, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(known[i].name, name) == 0)
            return true;
    return false;
}

/* A parameter that the plugin does not read is reported where it is written, before anything is compiled. */
static gq_status check_params(const struct test *t)
{
    struct gq_plugin_param *known = NULL;
    size_t known_count = 0, errors = 0;
    gq_status status = gq_plugin_params(t->args->file, &known, &known_count);
    struct gq_text text = {0};
    for (size_t i = 0; status == GQ_OK && i < t->golden->count; i++) {
        const struct gq_golden_vector *v = &t->golden->vectors[i];
        for (size_t k = 0; k < v->param_count; k++) {
            if (is_known(v->params[k].name, known, known_count))
                continue;
            gq_text_printf(&text, "%s%s:%u:%u: error: the plugin has no parameter '%s'; ", errors++ ? "\n" : "",
                           t->golden_path, v->params[k].mark.line, v->params[k].mark.column, v->params[k].name);
            add_known(&text, known, known_count);
        }
    }
    gq_plugin_params_destroy(known, known_count);
    if (status == GQ_OK && errors)
        status = gq_error_set(GQ_ERR_PLUGIN, "%s", gq_text_str(&text));
    gq_text_finish(&text);
    return status;
}

static gq_status check_kind(const struct test *t, enum gq_image_kind kind)
{
    if (t->golden->source && kind != GQ_IMAGE_SOURCE)
        return gq_error_set(GQ_ERR_PLUGIN,
                            "%s has indices, for a source, but %s does not define generate_message alone",
                            t->golden_path, t->args->file);
    if (!t->golden->source && kind == GQ_IMAGE_SOURCE)
        return gq_error_set(GQ_ERR_PLUGIN, "%s has messages, but %s is a source: give an 'index' in place of 'in'",
                            t->golden_path, t->args->file);
    return GQ_OK;
}

static gq_status load_golden(struct test *t)
{
    struct gq_text errors = {0};
    size_t count = 0;
    bool there;
    gq_status status = gq_file_look(t->golden_path, &there);
    if (status == GQ_OK && !there)
        return gq_error_set(GQ_ERR_PLUGIN,
                            "%s has no goldens: write %s, with lines such as\n"
                            "- { name: empty, in: \"\", out: \"\" }",
                            t->args->file, t->golden_path);
    if (status == GQ_OK)
        status = gq_golden_load(t->golden_path, &errors, &count, &t->golden);
    if (count && status == GQ_ERR_PLUGIN)
        gq_error_set(status, "%s%zu error%s", gq_text_str(&errors), count, count == 1 ? "" : "s");
    gq_text_finish(&errors);
    return status;
}

static gq_status run_test(struct test *t)
{
    enum gq_image_kind kind;
    gq_status status = plugin_text_kind(t->args->file, &kind);
    if (status == GQ_OK)
        status = load_golden(t);
    if (status == GQ_OK)
        status = check_kind(t, kind);
    if (status == GQ_OK)
        status = check_params(t);
    if (status != GQ_OK)
        return status;
    t->room = gq_golden_room(t->golden);
    return run_vectors(t);
}

int plugin_test(const struct plugin_args *args)
{
    char *path = gq_golden_path(args->file);
    if (!path)
        return plugin_complain(args, gq_error_set(GQ_ERR_NO_MEMORY, "memory ran out for a path"));
    struct test test = {.args = args, .golden_path = path};
    gq_status status = run_test(&test);
    int code = status == GQ_OK ? 0 : plugin_complain(args, status);
    const gq_status late = close_probe(&test);
    if (status == GQ_OK)
        code = late == GQ_OK ? summarize(&test) : plugin_complain(args, late);
    gq_text_finish(&test.json);
    gq_golden_destroy(test.golden);
    free(path);
    return code;
}
