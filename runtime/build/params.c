#include "build/params.h"
#include "base/assert.h"
#include "config/near.h"
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
        gq_text_printf(out, "%a", real);
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

static bool is_named(const struct gq_scan *scan, const char *name)
{
    for (size_t i = 0; i < scan->param_count; i++)
        if (strcmp(scan->params[i].name, name) == 0)
            return true;
    return false;
}

static void add_known(struct gq_text *out, const struct gq_scan *scan, const char *path)
{
    if (scan->param_count == 0)
        gq_text_printf(out, "%s has no GQ_PARAM", path);
    for (size_t i = 0; i < scan->param_count; i++)
        gq_text_printf(out, "%s%s", i ? ", " : "it has ", scan->params[i].name);
}

static gq_status refuse(const struct gq_build_request *request, const struct gq_scan *scan,
                        const struct gq_conf_param *p)
{
    struct gq_text place = {0}, known = {0};
    struct gq_near near = gq_near_start(p->name);
    for (size_t i = 0; i < scan->param_count; i++)
        gq_near_offer(&near, scan->params[i].name);
    if (request->conf_file && p->mark.line)
        gq_text_printf(&place, "%s:%u:%u: error: ", request->conf_file, p->mark.line, p->mark.column);
    add_known(&known, scan, request->path);
    gq_status status = gq_error_set(GQ_ERR_CONFIG, "%sparams.%s is no parameter of %s; %s%s%s%s", gq_text_str(&place),
                                    p->name, request->path, gq_text_str(&known), near.best ? "; did you mean " : "",
                                    near.best ? near.best : "", near.best ? "?" : "");
    gq_text_finish(&place);
    gq_text_finish(&known);
    return status;
}

gq_status gq_params_define(const struct gq_build_request *request, const struct gq_scan *scan, struct gq_text *out)
{
    for (size_t i = 0; i < request->param_count; i++) {
        const struct gq_conf_param *p = &request->params[i];
        if (!is_named(scan, p->name))
            return refuse(request, scan, p);
        gq_text_printf(out, "#define GQ_PARAM_%s 0,(", p->name);
        add_value(out, p);
        gq_text_puts(out, ")\n");
    }
    return GQ_OK;
}

/* --- what a plugin names ------------------------------------------------------------------------------------------ */

gq_status gq_plugin_params(const char *path, struct gq_plugin_param **out, size_t *count)
{
    struct gq_scan *scan = calloc(1, sizeof *scan);
    *out = NULL;
    *count = 0;
    if (!scan)
        return gq_error_set(GQ_ERR_NO_MEMORY, "%s: out of memory", path);
    gq_status status = gq_scan_plugin(path, GQ_SCAN_CUDA, scan);
    if (status == GQ_OK) {
        *out = scan->params;
        *count = scan->param_count;
        scan->params = NULL;
        scan->param_count = 0;
    }
    gq_scan_finish(scan);
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
