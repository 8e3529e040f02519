#include "config/conf.h"
#include <gpuqueue/layout.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/assert.h"
#include "base/file.h"
#include "config/read.h"
#include "config/schema.h"

const char *gq_builtin_name(const char *plugin)
{
    const size_t prefix = sizeof GQ_BUILTIN_PREFIX - 1;
    return strncmp(plugin, GQ_BUILTIN_PREFIX, prefix) == 0 ? plugin + prefix : NULL;
}

void gq_conf_params_destroy(struct gq_conf_param *params, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(params[i].name);
        free(params[i].string);
    }
    free(params);
}

void gq_conf_destroy(struct gq_conf *conf)
{
    if (!conf)
        return;
    for (size_t i = 0; i < conf->stage_count; i++) {
        free(conf->stages[i].name);
        free(conf->stages[i].plugin);
        gq_conf_params_destroy(conf->stages[i].params, conf->stages[i].param_count);
    }
    gq_conf_params_destroy(conf->source.params, conf->source.param_count);
    free(conf->stages);
    free(conf->source.path);
    free(conf->sink.path);
    free(conf->dead_letter);
    free(conf->journal);
    free(conf->plugin_pins);
    free(conf->control_socket);
    free(conf->name);
    free(conf->folder);
    free(conf->file);
    free(conf);
}

static struct gq_conf *create(const char *path)
{
    struct gq_conf *conf = calloc(1, sizeof *conf);
    if (!conf)
        return NULL;
    conf->file = strdup(path);
    conf->folder = gq_path_folder(path);
    if (conf->file && conf->folder)
        return conf;
    gq_conf_destroy(conf);
    return NULL;
}

static void refuse_root(struct gq_problems *problems, const struct gq_yaml *root)
{
    if (!root || gq_yaml_is_null(root))
        gq_problem_add(problems, (struct gq_mark){1, 1}, "",
                       "the file is empty: expected at least the keys version and stages");
    else
        gq_problem_add(problems, root->mark, "", "expected a mapping with at least the keys version and stages, got %s",
                       gq_yaml_kind_name(root->kind));
}

/* The record of this thread holds one sentence: the first error, and how many more there are. */
static gq_status first_as_error(const struct gq_problems *problems, const char *path)
{
    const struct gq_problem *first = &problems->list[0];
    gq_assert(problems->kept > 0);
    gq_error_set(GQ_ERR_CONFIG, "%s:%u:%u: %s%s%s", path, first->mark.line, first->mark.column, first->path,
                 *first->path ? ": " : "", first->message);
    if (problems->count == 1)
        return GQ_ERR_CONFIG;
    char text[GQ_ERROR_TEXT_MAX];
    snprintf(text, sizeof text, "%s", gq_error_text());
    return gq_error_set(GQ_ERR_CONFIG, "%s (and %zu more: gpuq lint shows all)", text, problems->count - 1);
}

static gq_status status_of(struct gq_problems *problems, bool no_memory, const char *path)
{
    if (no_memory || problems->failed)
        return gq_error_set(GQ_ERR_NO_MEMORY, "%s: out of memory", path);
    gq_problems_sort(problems);
    return problems->count == 0 ? GQ_OK : first_as_error(problems, path);
}

/* A text that breaks off is checked as far as it goes; what depends on the whole of it is not. */
static bool fill(struct gq_conf *conf, struct gq_yaml *root, struct gq_problems *problems)
{
    struct gq_reading r = {.conf = conf, .problems = problems};
    if (!root || root->kind != GQ_YAML_MAPPING) {
        if (problems->count == 0)
            refuse_root(problems, root);
        return true;
    }
    gq_read_tree(&r, root);
    if (!root->cut && !r.no_memory)
        gq_read_check(&r, root);
    return !r.no_memory;
}

gq_status gq_conf_parse_list(const char *path, const char *text, size_t len, struct gq_problems *problems,
                             struct gq_conf **out)
{
    gq_assert(path && text && problems && out);
    *out = NULL;
    struct gq_conf *conf = create(path);
    struct gq_yaml *root = NULL;
    bool no_memory = !conf;
    if (conf && gq_yaml_read(text, len, problems, &root) == GQ_ERR_NO_MEMORY)
        no_memory = true;
    if (!no_memory)
        no_memory = !fill(conf, root, problems);
    gq_yaml_destroy(root);
    gq_status status = status_of(problems, no_memory, path);
    if (status == GQ_OK)
        *out = conf;
    else
        gq_conf_destroy(conf);
    return status;
}

/* The record's sentence begins with the path, and so will the problem when it is printed. */
static void refuse_file(struct gq_problems *problems, const char *path)
{
    const char *text = gq_error_text();
    size_t len = strlen(path);
    bool named = strncmp(text, path, len) == 0 && strncmp(text + len, ": ", 2) == 0;
    gq_problem_add(problems, (struct gq_mark){0}, "", "%s", named ? text + len + 2 : text);
}

gq_status gq_conf_load_list(const char *path, struct gq_problems *problems, struct gq_conf **out)
{
    gq_assert(path && problems && out);
    *out = NULL;
    struct gq_text text = {0};
    /* Past the limit of the reader, so that it can report the size itself as an error of the file. */
    gq_status status =
        *path ? gq_file_read(path, 64u << 20, &text) : gq_error_set(GQ_ERR_IO, "the pipeline file's path is empty");
    if (status == GQ_OK)
        status = gq_conf_parse_list(path, gq_text_str(&text), text.len, problems, out);
    else
        refuse_file(problems, path);
    gq_text_finish(&text);
    return status;
}

static gq_status print_problems(gq_status status, const char *path, struct gq_problems *problems,
                                struct gq_text *errors, size_t *count)
{
    *count = problems->count;
    gq_problems_print(problems, path, errors);
    if (status != GQ_OK && problems->count == 0) {
        *count = 1;
        gq_text_printf(errors, "%s\n", gq_error_text());
    }
    gq_problems_finish(problems);
    return status;
}

gq_status gq_conf_load(const char *path, struct gq_text *errors, size_t *count, struct gq_conf **out)
{
    struct gq_problems problems = {0};
    gq_status status = gq_conf_load_list(path, &problems, out);
    return print_problems(status, path, &problems, errors, count);
}

gq_status gq_conf_parse(const char *path, const char *text, size_t len, struct gq_text *errors, size_t *count,
                        struct gq_conf **out)
{
    struct gq_problems problems = {0};
    gq_status status = gq_conf_parse_list(path, text, len, &problems, out);
    return print_problems(status, path, &problems, errors, count);
}

struct gq_conf_lane_bytes gq_conf_lane_bytes(uint32_t capacity, uint32_t slot_bytes)
{
    uint64_t stride = ((uint64_t)slot_bytes + GQ_STRIDE_ALIGN - 1) / GQ_STRIDE_ALIGN * GQ_STRIDE_ALIGN;
    uint64_t payload = capacity * stride;
    return (struct gq_conf_lane_bytes){
        .ingress = GQ_HEAD_BYTES + (uint64_t)capacity * sizeof(struct gq_in_desc) + payload,
        .egress = GQ_HEAD_BYTES + (uint64_t)capacity * sizeof(struct gq_out_desc) + payload,
    };
}

const char *gq_conf_stage_name(const struct gq_conf *conf, uint64_t stage)
{
    if (stage < conf->stage_count)
        return conf->stages[stage].name;
    return stage == GQ_CRUMB_SOURCE && conf->source.kind == GQ_SOURCE_PLUGIN ? "source" : "?";
}

bool gq_conf_control_off(const struct gq_conf *conf)
{
    return conf->control_socket && strcmp(conf->control_socket, GQ_SOCKET_OFF) == 0;
}

const char *gq_backend_name(enum gq_backend_kind kind)
{
    static const char *const names[] = {"auto", "cuda", "cpu"};
    return names[kind];
}

const char *gq_source_name(enum gq_source_kind kind)
{
    static const char *const names[] = {"file", "stdin", "generate", "plugin", "api"};
    return names[kind];
}

const char *gq_sink_name(enum gq_sink_kind kind)
{
    static const char *const names[] = {"file", "stdout", "null", "api"};
    return names[kind];
}

const char *gq_durability_name(enum gq_durability durability)
{
    static const char *const names[] = {"none", "memory", "fdatasync"};
    return names[durability];
}

const char *gq_framing_name(enum gq_framing framing)
{
    static const char *const names[] = {"lines", "length32", "varint", "fixed", "whole", "raw"};
    return names[framing];
}
