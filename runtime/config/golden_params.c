/* What a golden vector asks for beside its message. */
#include <stdlib.h>
#include <string.h>
#include "config/golden.h"
#include "config/value.h"

#define SLOT_BYTES_LEAST 1024u

bool gq_golden_same_params(const struct gq_golden_vector *a, const struct gq_golden_vector *b)
{
    if (a->param_count != b->param_count)
        return false;
    for (size_t i = 0; i < a->param_count; i++)
        if (strcmp(a->params[i].name, b->params[i].name) != 0 || strcmp(a->params[i].text, b->params[i].text) != 0 ||
            a->params[i].quoted != b->params[i].quoted)
            return false;
    return true;
}

static gq_status convert(const struct gq_golden_param *from, struct gq_conf_param *to)
{
    struct gq_text why = {0};
    const bool good = from->quoted || gq_value_param(from->text, to, &why);
    if (from->quoted)
        to->type = GQ_PARAM_STRING;
    gq_status status =
        good ? GQ_OK : gq_error_set(GQ_ERR_PLUGIN, "'%s' is not a parameter: %s", from->text, gq_text_str(&why));
    gq_text_finish(&why);
    to->mark = from->mark;
    to->name = strdup(from->name);
    to->string = good && to->type == GQ_PARAM_STRING ? strdup(from->text) : NULL;
    if (status == GQ_OK && (!to->name || (to->type == GQ_PARAM_STRING && !to->string)))
        status = gq_error_set(GQ_ERR_NO_MEMORY, "memory ran out for a parameter");
    return status;
}

gq_status gq_golden_params(const struct gq_golden_vector *v, struct gq_conf_param **out, size_t *count)
{
    struct gq_conf_param *params = calloc(v->param_count + 1, sizeof *params);
    gq_status status = params ? GQ_OK : gq_error_set(GQ_ERR_NO_MEMORY, "memory ran out for parameters");
    for (size_t i = 0; i < v->param_count && status == GQ_OK; i++)
        status = convert(&v->params[i], &params[i]);
    if (status != GQ_OK && params)
        gq_conf_params_destroy(params, v->param_count);
    *out = status == GQ_OK ? params : NULL;
    *count = status == GQ_OK ? v->param_count : 0;
    return status;
}

uint32_t gq_golden_room(const struct gq_golden *golden)
{
    size_t room = SLOT_BYTES_LEAST;
    for (size_t i = 0; i < golden->count; i++) {
        const struct gq_golden_vector *v = &golden->vectors[i];
        room = v->in.len > room ? v->in.len : room;
        room = v->out.len > room ? v->out.len : room;
    }
    return (uint32_t)room;
}
