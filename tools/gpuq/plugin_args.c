#include "plugin_args.h"
#include "refuse.h"
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <gpuqueue/layout.h>
#include <stdlib.h>
#include <string.h>
#include "config/value.h"
#include "config/yaml.h"

#define REPEAT_MAX 1000000000ull
#define TIMEOUT_MAX_S 86400ull
#define ARCH_MIN 70ull /* sm_70: 16-byte accesses of the memory model */
#define ARCH_MAX 999ull

static const struct option options[] = {
    {"param", required_argument, NULL, 'p'},  {"backend", required_argument, NULL, 'b'},
    {"no-cache", no_argument, NULL, 'n'},     {"json", no_argument, NULL, 'j'},
    {"in", required_argument, NULL, 'i'},     {"repeat", required_argument, NULL, 'r'},
    {"index", required_argument, NULL, 'x'},  {"slot-bytes", required_argument, NULL, 's'},
    {"output", required_argument, NULL, 'o'}, {"timeout", required_argument, NULL, 't'},
    {"arch", required_argument, NULL, 'a'},   {NULL, 0, NULL, 0},
};

/* Which verbs take an option; one that they would ignore is refused. */
static const struct {
    int option;
    const char *verbs;
} takers[] = {
    {'j', "inspect or test"},
    {'t', "run or test"},
    {'i', "run"},
    {'r', "run"},
    {'x', "run"},
    {'s', "run"},
    {'o', "build"},
    {'a', "check, build or inspect"},
};

static const char *option_name(int option)
{
    for (const struct option *o = options; o->name; o++)
        if (o->val == option)
            return o->name;
    return "?";
}

static bool has_word(const char *words, const char *word)
{
    size_t len = strlen(word);
    for (const char *at = strstr(words, word); at; at = strstr(at + 1, word))
        if ((at == words || at[-1] == ' ') && (at[len] == ' ' || at[len] == ',' || at[len] == 0))
            return true;
    return false;
}

static gq_status check_taker(const struct plugin_args *args, int option)
{
    for (size_t i = 0; i < sizeof takers / sizeof *takers; i++)
        if (takers[i].option == option && !has_word(takers[i].verbs, args->verb))
            return gq_error_set(GQ_ERR_INVALID_ARG, "--%s goes with 'gpuq plugin %s' only", option_name(option),
                                takers[i].verbs);
    return GQ_OK;
}

static gq_status read_count(const char *option, const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
    char *end = NULL;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (!isdigit((unsigned char)*text) || *end || errno || value < min || value > max)
        return gq_error_set(GQ_ERR_INVALID_ARG, "--%s takes a whole number from %llu to %llu, not '%s'", option,
                            (unsigned long long)min, (unsigned long long)max, text);
    *out = value;
    return GQ_OK;
}

static bool is_identifier(const char *name, size_t len)
{
    if (len == 0 || isdigit((unsigned char)*name))
        return false;
    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)name[i]) && name[i] != '_')
            return false;
    return true;
}

/* The value's type is what YAML makes of it: 12 is a number, '"12"' a string. */
static gq_status read_value(const char *text, struct gq_golden_param *param)
{
    struct gq_problems problems = {0};
    struct gq_yaml *root = NULL;
    gq_status status = gq_yaml_read(text, strlen(text), &problems, &root);
    bool scalar = status == GQ_OK && root && root->kind == GQ_YAML_SCALAR && !gq_yaml_is_null(root);
    if (scalar) {
        param->text = strdup(root->text);
        param->quoted = root->quoted;
    }
    gq_yaml_destroy(root);
    gq_problems_finish(&problems);
    if (scalar && !param->text)
        return gq_error_set(GQ_ERR_NO_MEMORY, "memory ran out while the command line was read");
    if (!scalar)
        return gq_error_set(GQ_ERR_INVALID_ARG,
                            "--param %s: '%s' is no YAML scalar; write true, 12, 0.5, word or '\"any text\"'",
                            param->name, text);
    struct gq_conf_param value;
    struct gq_text why = {0};
    if (!param->quoted && !gq_value_param(param->text, &value, &why))
        status = gq_error_set(GQ_ERR_INVALID_ARG, "--param %s: '%s': %s", param->name, text, gq_text_str(&why));
    gq_text_finish(&why);
    return status;
}

static gq_status add_param(struct plugin_args *args, const char *text)
{
    const char *equals = strchr(text, '=');
    if (!equals || !is_identifier(text, (size_t)(equals - text)))
        return gq_error_set(GQ_ERR_INVALID_ARG, "--param takes NAME=VALUE, not '%s'", text);
    struct gq_golden_param *more = realloc(args->params, (args->param_count + 1) * sizeof *more);
    if (!more)
        return gq_error_set(GQ_ERR_NO_MEMORY, "memory ran out while the command line was read");
    args->params = more;
    struct gq_golden_param *param = &more[args->param_count++];
    *param = (struct gq_golden_param){.name = strndup(text, (size_t)(equals - text))};
    if (!param->name)
        return gq_error_set(GQ_ERR_NO_MEMORY, "memory ran out while the command line was read");
    for (size_t i = 0; i + 1 < args->param_count; i++)
        if (strcmp(more[i].name, param->name) == 0)
            return gq_error_set(GQ_ERR_INVALID_ARG, "--param %s is given twice", param->name);
    return read_value(equals + 1, param);
}

static gq_status read_backend(struct plugin_args *args, const char *text)
{
    args->backend = text;
    if (strcmp(text, "auto") == 0 || strcmp(text, "cpu") == 0 || strcmp(text, "cuda") == 0)
        return GQ_OK;
    return gq_error_set(GQ_ERR_INVALID_ARG, "--backend is auto, cuda or cpu, not '%s'", text);
}

static gq_status read_slot_bytes(struct plugin_args *args, const char *text)
{
    uint64_t bytes = 0;
    gq_status status = read_count("slot-bytes", text, GQ_SLOT_BYTES_MIN, GQ_SLOT_BYTES_MAX, &bytes);
    args->slot_bytes = (uint32_t)bytes;
    return status;
}

static gq_status read_timeout(struct plugin_args *args, const char *text)
{
    uint64_t seconds = 0;
    gq_status status = read_count("timeout", text, 1, TIMEOUT_MAX_S, &seconds);
    args->timeout_s = (uint32_t)seconds;
    return status;
}

/* 90 or sm_90. */
static gq_status read_arch(struct plugin_args *args, const char *text)
{
    uint64_t arch = 0;
    gq_status status = read_count("arch", strncmp(text, "sm_", 3) == 0 ? text + 3 : text, ARCH_MIN, ARCH_MAX, &arch);
    args->arch = (uint32_t)arch;
    return status;
}

static gq_status take_option(struct plugin_args *args, int option, const char *value)
{
    switch (option) {
    case 'p':
        return add_param(args, value);
    case 'b':
        return read_backend(args, value);
    case 'r':
        args->repeat_given = true;
        return read_count("repeat", value, 1, REPEAT_MAX, &args->repeat);
    case 'x':
        args->index_given = true;
        return read_count("index", value, 0, GQ_GOLDEN_INDEX_MAX, &args->index);
    case 't':
        return read_timeout(args, value);
    case 'a':
        return read_arch(args, value);
    case 's':
        return read_slot_bytes(args, value);
    case 'i':
        args->in = value;
        return GQ_OK;
    case 'o':
        args->out = value;
        return GQ_OK;
    case 'j':
        args->json = true;
        return GQ_OK;
    default:
        args->no_cache = true;
        return GQ_OK;
    }
}

static gq_status take_options(int argc, char **argv, struct plugin_args *args)
{
    opterr = 0;
    optind = 1;
    for (int option; (option = getopt_long(argc, argv, ":o:", options, NULL)) != -1;) {
        if (option == '?' || option == ':')
            return gpuq_refuse_option("plugin", argv);
        gq_status status = check_taker(args, option);
        if (status == GQ_OK)
            status = take_option(args, option, optarg);
        if (status != GQ_OK)
            return status;
    }
    return GQ_OK;
}

gq_status plugin_args_parse(int argc, char **argv, struct plugin_args *args)
{
    *args = (struct plugin_args){.verb = argv[0], .repeat = 1, .timeout_s = 10};
    gq_status status = take_options(argc, argv, args);
    if (status != GQ_OK)
        return status;
    if (optind == argc)
        return gq_error_set(GQ_ERR_INVALID_ARG, "which plugin? write gpuq plugin %s FILE.cu", args->verb);
    if (optind + 1 < argc)
        return gq_error_set(GQ_ERR_INVALID_ARG, "one plugin at a time: '%s' is one too many", argv[optind + 1]);
    args->file = argv[optind];
    return GQ_OK;
}

void plugin_args_finish(struct plugin_args *args)
{
    for (size_t i = 0; i < args->param_count; i++) {
        free(args->params[i].name);
        free(args->params[i].text);
    }
    free(args->params);
}
