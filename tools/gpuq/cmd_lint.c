/* gpuq lint: every error of every file, in the order of the file. */
#include "commands.h"
#include "refuse.h"
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include "base/error.h"
#include "base/file.h"
#include "build/build.h"
#include "config/conf.h"

static void json_member(struct gq_text *out, const char *name, const char *text)
{
    gq_text_printf(out, ", \"%s\": ", name);
    gq_text_json(out, text, strlen(text));
}

static void json_problem(struct gq_text *out, const char *file, const struct gq_problem *problem)
{
    gq_text_puts(out, out->len ? ",\n  {\"file\": " : "\n  {\"file\": ");
    gq_text_json(out, file, strlen(file));
    gq_text_printf(out, ", \"line\": %u, \"column\": %u", problem->mark.line, problem->mark.column);
    json_member(out, "path", problem->path);
    json_member(out, "message", problem->message);
    gq_text_puts(out, "}");
}

/* Parameters that a plugin does not have, and builtins that there are not. Another plugin that cannot be read is the
 * build's to explain. */
static void lint_params(const char *path, struct gq_mark mark, const struct gq_conf_param *params, size_t count,
                        struct gq_problems *out)
{
    struct gq_plugin_param *known;
    size_t known_count;
    const bool builtin = gq_builtin_name(path) != NULL;
    bool readable = (count || builtin) && gq_plugin_params(path, &known, &known_count) == GQ_OK;
    if (builtin && !readable)
        gq_problem_add(out, mark, "", "%s", gq_error_text());
    for (size_t i = 0; readable && i < count; i++) {
        struct gq_text sentence = {0};
        if (gq_plugin_lacks(path, known, known_count, params[i].name, &sentence))
            gq_problem_add(out, params[i].mark, "", "%s", gq_text_str(&sentence));
        gq_text_finish(&sentence);
    }
    if (readable)
        gq_plugin_params_destroy(known, known_count);
}

/* Headers that the run would overwrite; the plugin itself was checked with the pipeline file. */
static void lint_headers(const struct gq_conf *conf, const char *plugin, struct gq_problems *out)
{
    struct gq_text paths = {0};
    gq_plugin_files(plugin, 0, &paths);
    for (size_t at = 0; at < paths.len; at += strlen(paths.data + at) + 1)
        if (at > 0 && gq_file_exists(paths.data + at))
            gq_conf_check_read(conf, paths.data + at, "a header of a plugin", out);
    out->failed = out->failed || paths.failed;
    gq_text_finish(&paths);
}

static gq_status lint_plugins(const struct gq_conf *conf, struct gq_problems *out)
{
    if (conf->source.kind == GQ_SOURCE_PLUGIN) {
        lint_params(conf->source.path, conf->source.path_mark, conf->source.params, conf->source.param_count, out);
        lint_headers(conf, conf->source.path, out);
    }
    for (size_t i = 0; i < conf->stage_count; i++) {
        lint_params(conf->stages[i].plugin, conf->stages[i].plugin_mark, conf->stages[i].params,
                    conf->stages[i].param_count, out);
        lint_headers(conf, conf->stages[i].plugin, out);
    }
    gq_problems_sort(out);
    return out->count ? GQ_ERR_CONFIG : GQ_OK;
}

/* Appends what is wrong with one file, as lines or as members of a JSON array; all of it is `whole`. */
static gq_status lint(const char *file, bool json, struct gq_text *out, size_t *count, bool *whole)
{
    struct gq_problems problems = {0};
    struct gq_conf *conf = NULL;
    gq_status status = gq_conf_load_list(file, &problems, &conf);
    if (status == GQ_OK)
        status = lint_plugins(conf, &problems);
    if (status != GQ_OK && problems.count == 0) /* out of memory */
        gq_problem_add(&problems, (struct gq_mark){0}, "", "%s", gq_error_text());
    *whole &= status != GQ_ERR_NO_MEMORY && !problems.failed;
    if (json)
        for (size_t i = 0; i < problems.kept; i++)
            json_problem(out, file, &problems.list[i]);
    else
        gq_problems_print(&problems, file, out);
    *count += problems.count;
    gq_problems_finish(&problems);
    gq_conf_destroy(conf);
    return status;
}

static int lint_all(int count, char **files, bool json)
{
    struct gq_text out = {0};
    size_t errors = 0;
    gq_status worst = GQ_OK;
    bool whole = true;
    for (int i = 0; i < count; i++) {
        gq_status status = lint(files[i], json, &out, &errors, &whole);
        if (worst == GQ_OK || status == GQ_ERR_CONFIG)
            worst = status == GQ_OK ? worst : status;
    }
    if (json)
        printf("[%s%s]\n", gq_text_str(&out), out.len ? "\n" : "");
    else
        fputs(gq_text_str(&out), stdout);
    fflush(stdout); /* the errors come before their count, wherever the two go */
    if (errors && !json)
        fprintf(stderr, "%zu error%s\n", errors, errors == 1 ? "" : "s");
    if (!whole || out.failed) {
        fputs("gpuq lint: out of memory: these are not all errors, or not all of their words\n", stderr);
        worst = worst == GQ_OK ? GQ_ERR_NO_MEMORY : worst;
    }
    gq_text_finish(&out);
    return gq_status_exit_code(worst);
}

/* --json counts behind an option that is refused, too: it says how. */
static gq_status parse(int argc, char **argv, bool *json)
{
    static const struct option options[] = {{"json", no_argument, NULL, 'j'}, {NULL, 0, NULL, 0}};
    gq_status status = GQ_OK;
    opterr = 0;
    optind = 0; /* glibc: start afresh */
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        *json |= c == 'j';
        if (c != 'j' && status == GQ_OK)
            status = gpuq_refuse_option("lint", argv);
    }
    if (status == GQ_OK && optind == argc)
        return gq_error_set(GQ_ERR_INVALID_ARG, "no file given; usage: gpuq lint [--json] FILE...");
    return status;
}

int cmd_lint(int argc, char **argv)
{
    bool json = false;
    const gq_status status = parse(argc, argv, &json);
    if (status == GQ_OK)
        return lint_all(argc - optind, argv + optind, json);
    if (json)
        gpuq_report_json(stdout, "{", status);
    return gpuq_report("lint", status);
}
