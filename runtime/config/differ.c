/* What differs between two pipeline files, by the rows of the table that reads them. */
#include <string.h>
#include "config/schema.h"

static bool same_text(const char *a, const char *b) { return a && b ? strcmp(a, b) == 0 : a == b; }

static bool same_param(const struct gq_conf_param *a, const struct gq_conf_param *b)
{
    if (strcmp(a->name, b->name) != 0 || a->type != b->type)
        return false;
    switch (a->type) {
    case GQ_PARAM_BOOL:
        return a->boolean == b->boolean;
    case GQ_PARAM_INT:
        return a->integer == b->integer;
    case GQ_PARAM_FLOAT:
        return memcmp(&a->real, &b->real, sizeof a->real) == 0;
    case GQ_PARAM_STRING:
        return same_text(a->string, b->string);
    }
    return false;
}

bool gq_conf_params_same(const struct gq_conf_param *a, size_t a_count, const struct gq_conf_param *b, size_t b_count)
{
    for (size_t i = 0; a_count == b_count && i < a_count; i++)
        if (!same_param(&a[i], &b[i]))
            return false;
    return a_count == b_count;
}

static const void *field(const struct gq_conf *conf, size_t offset) { return (const char *)conf + offset; }

static bool same_params_field(const struct gq_schema_row *row, const struct gq_conf *a, const struct gq_conf *b)
{
    struct gq_conf_param *p, *q;
    size_t p_count, q_count;
    memcpy(&p, field(a, row->offset), sizeof p);
    memcpy(&q, field(b, row->offset), sizeof q);
    memcpy(&p_count, field(a, row->beside), sizeof p_count);
    memcpy(&q_count, field(b, row->beside), sizeof q_count);
    return gq_conf_params_same(p, p_count, q, q_count);
}

static bool same_field(const struct gq_schema_row *row, const struct gq_conf *a, const struct gq_conf *b)
{
    char *p, *q;
    if (row->type == GQ_SCHEMA_PARAMS)
        return same_params_field(row, a, b);
    if (row->type != GQ_SCHEMA_NAME && !gq_schema_is_path(row))
        return memcmp(field(a, row->offset), field(b, row->offset), row->width) == 0;
    memcpy(&p, field(a, row->offset), sizeof p);
    memcpy(&q, field(b, row->offset), sizeof q);
    return same_text(p, q);
}

static bool is_below(const struct gq_schema_row *row, const char *path)
{
    const size_t len = strlen(path);
    return strncmp(row->path, path, len) == 0 && (!row->path[len] || row->path[len] == '.');
}

/* A default that follows from other keys changes with them, and they are what the user changed. */
static bool follows(const struct gq_schema_row *row, const struct gq_conf *a, const struct gq_conf *b)
{
    return is_below(row, "on_error.dead_letter") && !a->own_letters && !b->own_letters;
}

static bool differs_below(const struct gq_schema_row *section, const struct gq_conf *a, const struct gq_conf *b)
{
    for (size_t i = 0; i < gq_schema_count; i++) {
        const struct gq_schema_row *row = &gq_schema_rows[i];
        if (is_below(row, section->path) && row->width > 0 && !follows(row, a, b) && !same_field(row, a, b))
            return true;
    }
    return false;
}

bool gq_conf_differ(const struct gq_conf *a, const struct gq_conf *b, struct gq_text *sections)
{
    bool any = false;
    for (const struct gq_schema_row *section = NULL; (section = gq_schema_next(NULL, section));) {
        if (strcmp(section->path, "stages") == 0 || strcmp(section->path, "swap") == 0 || !differs_below(section, a, b))
            continue;
        gq_text_printf(sections, "%s%s", any ? ", " : "", section->path);
        any = true;
    }
    return any;
}
