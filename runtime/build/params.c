#include "build/params.h"
#include "base/assert.h"
#include "config/near.h"
#include "config/value.h"
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- values ------------------------------------------------------------------------------------------------------- */

/* Octal escapes of three digits, because a hexadecimal one would swallow the digits that follow it. */
static void add_string(struct gq_text *out, const char *s)
{
    gq_text_puts(out, "\"");
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c < 0x20 || c >= 0x7f || strchr("\"\\?", c))
            gq_text_printf(out, "\\%03o", c);
        else
            gq_text_add(out, s, 1);
    }
    gq_text_puts(out, "\"");
}

static void add_real(struct gq_text *out, double real)
{
    if (isnan(real))
        gq_text_puts(out, "__builtin_nan(\"\")");
    else if (isinf(real))
        gq_text_puts(out, real < 0 ? "-__builtin_inf()" : "__builtin_inf()");
    else
        gq_value_print_real(real, out);
}

static void add_value(struct gq_text *out, const struct gq_conf_param *p)
{
    switch (p->type) {
    case GQ_PARAM_BOOL:
        gq_text_puts(out, p->boolean ? "true" : "false");
        return;
    case GQ_PARAM_INT:
        if (p->integer == INT64_MIN) /* its digits without the sign are no int64_t */
            gq_text_puts(out, "-9223372036854775807LL-1");
        else
            gq_text_printf(out, "%" PRId64, p->integer);
        return;
    case GQ_PARAM_FLOAT:
        add_real(out, p->real);
        return;
    case GQ_PARAM_STRING:
        add_string(out, p->string);
        return;
    }
}

/* --- names -------------------------------------------------------------------------------------------------------- */

static bool is_named(const struct gq_plugin_param *known, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(known[i].name, name) == 0)
            return true;
    return false;
}

bool gq_plugin_lacks(const char *path, const struct gq_plugin_param *known, size_t count, const char *name,
                     struct gq_text *sentence)
{
    if (is_named(known, count, name))
        return false;
    struct gq_near near = gq_near_start(name);
    gq_text_printf(sentence, "params.%s is no parameter of %s; ", name, path);
    if (count == 0)
        gq_text_printf(sentence,
                       "%s has no GQ_PARAM that can be set (PTX and cubins keep the values they were compiled with)",
                       path);
    for (size_t i = 0; i < count; i++) {
        gq_near_offer(&near, known[i].name);
        gq_text_printf(sentence, "%s%s", i ? ", " : "it has ", known[i].name);
    }
    if (near.best)
        gq_text_printf(sentence, "; did you mean %s?", near.best);
    return true;
}

/* Appends a line for a parameter that the plugin does not name. */
static void refuse(const struct gq_build_request *request, const struct gq_scan *scan, const struct gq_conf_param *p,
                   struct gq_text *out)
{
    if (out->len)
        gq_text_puts(out, "\n");
    if (request->conf_file && p->mark.line)
        gq_text_printf(out, "%s:%u:%u: error: ", request->conf_file, p->mark.line, p->mark.column);
    gq_plugin_lacks(request->path, scan->params, scan->param_count, p->name, out);
}

gq_status gq_params_define(const struct gq_build_request *request, const struct gq_scan *scan, struct gq_text *out)
{
    struct gq_text refused = {0};
    for (size_t i = 0; i < request->param_count; i++) {
        const struct gq_conf_param *p = &request->params[i];
        if (!is_named(scan->params, scan->param_count, p->name))
            refuse(request, scan, p, &refused);
        gq_text_printf(out, "#define GQ_PARAM_%s 0,(", p->name);
        add_value(out, p);
        gq_text_puts(out, ")\n");
    }
    gq_status status = refused.len ? gq_error_set(GQ_ERR_CONFIG, "%s", gq_text_str(&refused)) : GQ_OK;
    gq_text_finish(&refused);
    return status;
}

/* --- what a plugin names ------------------------------------------------------------------------------------------ */

/* Moves from `other` what `scan` does not name: what stands behind #ifdef GQ_CPU_SHIM. */
static void take_rest(struct gq_scan *scan, struct gq_scan *other)
{
    struct gq_plugin_param *all = realloc(scan->params, (scan->param_count + other->param_count + 1) * sizeof *all);
    if (!all)
        return;
    scan->params = all;
    for (size_t i = 0; i < other->param_count; i++) {
        if (is_named(scan->params, scan->param_count, other->params[i].name))
            continue;
        all[scan->param_count++] = other->params[i];
        other->params[i] = (struct gq_plugin_param){0};
    }
}

gq_status gq_plugin_params(const char *path, struct gq_plugin_param **out, size_t *count)
{
    struct gq_scan *scan = calloc(2, sizeof *scan);
    *out = NULL;
    *count = 0;
    if (!scan)
        return gq_error_set(GQ_ERR_NO_MEMORY, "%s: out of memory", path);
    gq_status status = gq_scan_plugin(path, GQ_SCAN_CUDA, &scan[0]);
    if (status == GQ_OK) {
        gq_scan_plugin(path, GQ_SCAN_CPU, &scan[1]); /* what a CPU cannot run is not asked here */
        take_rest(&scan[0], &scan[1]);
        *out = scan[0].params;
        *count = scan[0].param_count;
        scan[0].params = NULL;
        scan[0].param_count = 0;
    }
    gq_scan_finish(&scan[0]);
    gq_scan_finish(&scan[1]);
    free(scan);
    return status;
}

void gq_plugin_params_destroy(struct gq_plugin_param *params, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(params[i].name);
        free(params[i].default_text);
    }
    free(params);
}
