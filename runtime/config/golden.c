#include "config/golden.h"
#include <gpuqueue/layout.h>
#include <stdlib.h>
#include <string.h>
#include "base/assert.h"
#include "base/file.h"
#include "config/golden_value.h"
#include "config/near.h"

enum key_role { ROLE_OTHER, ROLE_INPUT, ROLE_ENDING };

struct reading {
    struct gq_problems *problems;
    struct gq_golden *golden;
};

/* Reads one value into the vector. */
typedef void read_key(const struct gq_yaml *node, struct gq_problems *problems, struct gq_golden_vector *v);

/* What a terminal obeys: the name is printed as it is. */
static bool has_control(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (gq_text_control(text + i, len - i))
            return true;
    return false;
}

static void read_name(const struct gq_yaml *node, struct gq_problems *problems, struct gq_golden_vector *v)
{
    if (node->bad)
        return;
    const bool words = node->kind == GQ_YAML_SCALAR && node->len != 0;
    if (!words || has_control(node->text, node->len)) {
        gq_yaml_problem(problems, node, false, "expected a few words that say what the vector shows%s",
                        words ? ", without control characters" : "");
        return;
    }
    v->name = strdup(node->text);
    if (!v->name)
        problems->failed = true;
}

static void read_in(const struct gq_yaml *node, struct gq_problems *problems, struct gq_golden_vector *v)
{
    gq_golden_read_text(node, problems, &v->in);
}

static void read_in_hex(const struct gq_yaml *node, struct gq_problems *problems, struct gq_golden_vector *v)
{
    gq_golden_read_hex(node, problems, &v->in);
}

static void read_index(const struct gq_yaml *node, struct gq_problems *problems, struct gq_golden_vector *v)
{
    gq_golden_read_number(node, problems, 0, GQ_GOLDEN_INDEX_MAX, &v->index);
}

static void read_repeat(const struct gq_yaml *node, struct gq_problems *problems, struct gq_golden_vector *v)
{
    uint64_t times = 1;
    if (gq_golden_read_number(node, problems, 1, GQ_SLOT_BYTES_MAX, &times))
        gq_golden_repeat(&v->in, times, node, problems);
}

static void read_out(const struct gq_yaml *node, struct gq_problems *problems, struct gq_golden_vector *v)
{
    gq_golden_read_text(node, problems, &v->out);
}

static void read_out_hex(const struct gq_yaml *node, struct gq_problems *problems, struct gq_golden_vector *v)
{
    gq_golden_read_hex(node, problems, &v->out);
}

static void read_out_repeat(const struct gq_yaml *node, struct gq_problems *problems, struct gq_golden_vector *v)
{
    uint64_t times = 1;
    if (gq_golden_read_number(node, problems, 1, GQ_SLOT_BYTES_MAX, &times))
        gq_golden_repeat(&v->out, times, node, problems);
}

static void read_dropped(const struct gq_yaml *node, struct gq_problems *problems, struct gq_golden_vector *v)
{
    gq_golden_read_true(node, problems);
    v->ending = GQ_GOLDEN_DROPPED;
}

static void read_failed(const struct gq_yaml *node, struct gq_problems *problems, struct gq_golden_vector *v)
{
    uint64_t code = 0;
    gq_golden_read_number(node, problems, 0, 0xffff, &code);
    v->ending = GQ_GOLDEN_FAILED;
    v->code = (uint32_t)code;
}

static void read_overflow(const struct gq_yaml *node, struct gq_problems *problems, struct gq_golden_vector *v)
{
    gq_golden_read_true(node, problems);
    v->ending = GQ_GOLDEN_OVERFLOW;
}

static void read_params(const struct gq_yaml *node, struct gq_problems *problems, struct gq_golden_vector *v)
{
    gq_golden_read_params(node, problems, v);
}

static void read_slot_bytes(const struct gq_yaml *node, struct gq_problems *problems, struct gq_golden_vector *v)
{
    uint64_t bytes = 0;
    gq_golden_read_number(node, problems, GQ_SLOT_BYTES_MIN, GQ_SLOT_BYTES_MAX, &bytes);
    v->slot_bytes = (uint32_t)bytes;
}

/* Read in this order, whatever the order in the file: a repetition needs what it repeats. */
static const struct golden_key {
    const char *name;
    enum key_role role;
    read_key *read;
} keys[] = {
    {"name", ROLE_OTHER, read_name},
    {"in", ROLE_INPUT, read_in},
    {"in_hex", ROLE_INPUT, read_in_hex},
    {"index", ROLE_INPUT, read_index},
    {"repeat", ROLE_OTHER, read_repeat},
    {"out", ROLE_ENDING, read_out},
    {"out_hex", ROLE_ENDING, read_out_hex},
    {"dropped", ROLE_ENDING, read_dropped},
    {"failed", ROLE_ENDING, read_failed},
    {"overflow", ROLE_ENDING, read_overflow},
    {"out_repeat", ROLE_OTHER, read_out_repeat},
    {"params", ROLE_OTHER, read_params},
    {"slot_bytes", ROLE_OTHER, read_slot_bytes},
};
#define KEY_COUNT (sizeof keys / sizeof *keys)

static const struct golden_key *find_key(const char *name)
{
    for (size_t i = 0; i < KEY_COUNT; i++)
        if (strcmp(keys[i].name, name) == 0)
            return &keys[i];
    return NULL;
}

static void refuse_unknown(const struct gq_yaml *node, struct gq_problems *problems)
{
    struct gq_near near = gq_near_start(node->key);
    for (size_t i = 0; i < KEY_COUNT; i++)
        gq_near_offer(&near, keys[i].name);
    if (near.best)
        gq_yaml_problem(problems, node, true, "unknown key; did you mean '%s'?", near.best);
    else
        gq_yaml_problem(problems, node, true,
                        "unknown key; a vector has name, in, in_hex, repeat or index, out, out_hex, out_repeat, "
                        "dropped, failed or overflow, params and slot_bytes");
}

/* Exactly one key of a role: the message has one origin and one ending. */
static void check_role(const struct gq_yaml *node, struct gq_problems *problems, enum key_role role, const char *choice)
{
    const char *first = NULL;
    for (size_t i = 0; i < node->count; i++) {
        const struct golden_key *key = find_key(node->items[i]->key);
        if (!key || key->role != role || key->name == first) /* a key given twice is reported as such */
            continue;
        if (first)
            gq_yaml_problem(problems, node->items[i], true, "the vector has '%s' already; expected one of %s", first,
                            choice);
        else
            first = key->name;
    }
    if (!first && !node->cut)
        gq_yaml_problem(problems, node, false, "expected one of %s", choice);
}

static void check_companion(const struct gq_yaml *node, struct gq_problems *problems, const char *key, const char *one,
                            const char *other)
{
    const struct gq_yaml *found = gq_yaml_get(node, key);
    if (found && !gq_yaml_get(node, one) && !gq_yaml_get(node, other))
        gq_yaml_problem(problems, found, true, "there is nothing to repeat: it goes with '%s' or '%s'", one, other);
}

static void check_vector(const struct gq_yaml *node, struct gq_problems *problems, const struct gq_golden_vector *v)
{
    if (!gq_yaml_get(node, "name") && !node->cut)
        gq_yaml_problem(problems, node, false, "expected a 'name' that says what the vector shows");
    check_role(node, problems, ROLE_INPUT, "in, in_hex, index");
    check_role(node, problems, ROLE_ENDING, "out, out_hex, dropped, failed, overflow");
    check_companion(node, problems, "repeat", "in", "in_hex");
    check_companion(node, problems, "out_repeat", "out", "out_hex");
    const struct gq_yaml *room = gq_yaml_get(node, "slot_bytes");
    size_t longest = v->in.len > v->out.len ? v->in.len : v->out.len;
    if (room && v->slot_bytes && longest > v->slot_bytes)
        gq_yaml_problem(problems, room, false, "the vector has %zu bytes, which do not fit into %u", longest,
                        v->slot_bytes);
}

static void read_vector(const struct gq_yaml *node, struct gq_problems *problems, struct gq_golden_vector *v)
{
    v->mark = node->mark;
    if (node->bad)
        return;
    if (node->kind != GQ_YAML_MAPPING) {
        gq_yaml_problem(problems, node, false, "expected a vector such as { name: empty, in: \"\", out: \"\" }, got %s",
                        gq_yaml_kind_name(node->kind));
        return;
    }
    for (size_t i = 0; i < node->count; i++)
        if (!find_key(node->items[i]->key))
            refuse_unknown(node->items[i], problems);
    for (size_t i = 0; i < KEY_COUNT; i++) {
        const struct gq_yaml *value = gq_yaml_get(node, keys[i].name);
        if (value)
            keys[i].read(value, problems, v);
    }
    check_vector(node, problems, v);
}

static void check_name(const struct reading *r, size_t at, const struct gq_yaml *node)
{
    const struct gq_golden_vector *v = r->golden->vectors;
    for (size_t i = 0; v[at].name && i < at; i++)
        if (v[i].name && strcmp(v[i].name, v[at].name) == 0) {
            gq_yaml_problem(r->problems, node, false, "the vector in line %u has the same name", v[i].mark.line);
            return;
        }
}

/* A plugin makes messages or processes them: its vectors all have an index, or none has. */
static void check_kind(const struct reading *r, size_t at, const struct gq_yaml *node)
{
    bool source = gq_yaml_get(node, "index") != NULL;
    if (at == 0)
        r->golden->source = source;
    else if (source != r->golden->source)
        gq_yaml_problem(r->problems, node, false, "some vectors have an 'index', for a source, and some a message");
}

/* Some bytes of `repeat` make many: a file of a megabyte could ask for a hundred gigabytes. */
#define FILE_BYTES_MAX (64u << 20)

static void read_list(const struct reading *r, const struct gq_yaml *root)
{
    size_t bytes = 0;
    r->golden->count = root->count;
    for (size_t i = 0; i < root->count; i++) {
        const struct gq_yaml *node = root->items[i];
        read_vector(node, r->problems, &r->golden->vectors[i]);
        bytes += r->golden->vectors[i].in.len + r->golden->vectors[i].out.len;
        if (bytes > FILE_BYTES_MAX) {
            gq_yaml_problem(r->problems, node, false,
                            "the vectors up to this one hold more than %u MiB: lower 'repeat'", FILE_BYTES_MAX >> 20);
            return;
        }
        if (node->kind != GQ_YAML_MAPPING || node->bad)
            continue;
        check_name(r, i, node);
        check_kind(r, i, node);
    }
}

static void read_root(const struct reading *r, const struct gq_yaml *root)
{
    bool list = root && root->kind == GQ_YAML_SEQUENCE;
    if (!list || root->count == 0) {
        if (r->problems->count == 0)
            gq_problem_add(r->problems, root ? root->mark : (struct gq_mark){0}, NULL,
                           "expected a list of vectors such as - { name: empty, in: \"\", out: \"\" }");
        return;
    }
    r->golden->vectors = calloc(root->count, sizeof *r->golden->vectors);
    if (r->golden->vectors)
        read_list(r, root);
    else
        r->problems->failed = true;
}

static gq_status report(const char *path, struct gq_problems *problems, struct gq_text *errors, size_t *error_count)
{
    gq_problems_sort(problems);
    gq_problems_print(problems, path, errors);
    *error_count = problems->count;
    bool failed = problems->failed || errors->failed;
    gq_problems_finish(problems);
    if (failed)
        return gq_error_set(GQ_ERR_NO_MEMORY, "%s: memory ran out while it was read", path);
    if (*error_count == 0)
        return GQ_OK;
    return gq_error_set(GQ_ERR_PLUGIN, "%s: %zu error%s in the golden vectors", path, *error_count,
                        *error_count == 1 ? "" : "s");
}

gq_status gq_golden_parse(const char *path, const char *text, size_t len, struct gq_text *errors, size_t *error_count,
                          struct gq_golden **out)
{
    gq_assert(path && errors && error_count && out);
    *out = NULL;
    *error_count = 0;
    struct gq_golden *golden = calloc(1, sizeof *golden);
    if (!golden)
        return gq_error_set(GQ_ERR_NO_MEMORY, "%s: memory ran out while it was read", path);
    struct gq_problems problems = {0};
    struct gq_yaml *root = NULL;
    if (gq_yaml_read(text, len, &problems, &root) == GQ_ERR_NO_MEMORY)
        problems.failed = true;
    else
        read_root(&(struct reading){.problems = &problems, .golden = golden}, root);
    gq_yaml_destroy(root);
    gq_status status = report(path, &problems, errors, error_count);
    if (status != GQ_OK)
        gq_golden_destroy(golden);
    else
        *out = golden;
    return status;
}

gq_status gq_golden_load(const char *path, struct gq_text *errors, size_t *error_count, struct gq_golden **out)
{
    struct gq_text text = {0};
    *out = NULL;
    *error_count = 0;
    gq_status status = gq_file_read(path, GQ_YAML_BYTES_MAX, &text);
    if (status == GQ_OK)
        status = gq_golden_parse(path, gq_text_str(&text), text.len, errors, error_count, out);
    gq_text_finish(&text);
    return status;
}

static void finish_vector(struct gq_golden_vector *v)
{
    for (size_t i = 0; i < v->param_count; i++) {
        free(v->params[i].name);
        free(v->params[i].text);
    }
    free(v->params);
    free(v->in.data);
    free(v->out.data);
    free(v->name);
}

void gq_golden_destroy(struct gq_golden *golden)
{
    if (!golden)
        return;
    for (size_t i = 0; golden->vectors && i < golden->count; i++)
        finish_vector(&golden->vectors[i]);
    free(golden->vectors);
    free(golden);
}

char *gq_golden_path(const char *plugin_path)
{
    char *folder = gq_path_folder(plugin_path), *stem = gq_path_stem(plugin_path), *path = NULL;
    struct gq_text name = {0};
    if (stem)
        gq_text_printf(&name, "%s.golden.yaml", stem);
    if (folder && stem && !name.failed)
        path = gq_path_join(folder, gq_text_str(&name));
    gq_text_finish(&name);
    free(folder);
    free(stem);
    return path;
}
