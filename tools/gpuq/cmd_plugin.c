/* gpuq plugin: compile, look at, try and test one plugin. */
#include <stdio.h>
#include <string.h>
#include "build/pin.h"
#include "commands.h"
#include "config/near.h"
#include "plugin_verbs.h"
#include "refuse.h"

static const struct verb {
    const char *name;
    int (*run)(const struct plugin_args *args);
} verbs[] = {
    {"check", plugin_check}, {"build", plugin_build}, {"inspect", plugin_inspect},
    {"pin", plugin_pin},     {"run", plugin_run},     {"test", plugin_test},
};
#define VERB_COUNT (sizeof verbs / sizeof *verbs)

static int refuse(const char *name)
{
    struct gq_near near = gq_near_start(name ? name : "");
    for (size_t i = 0; i < VERB_COUNT; i++)
        gq_near_offer(&near, verbs[i].name);
    if (near.best)
        fprintf(stderr, "gpuq plugin: unknown verb '%s'; did you mean '%s'?\n", name, near.best);
    else if (name)
        fprintf(stderr, "gpuq plugin: unknown verb '%s'; expected check, build, inspect, pin, run or test\n", name);
    else
        fprintf(stderr, "gpuq plugin: write gpuq plugin check|build|inspect|pin|run|test FILE.cu\n");
    return gq_status_exit_code(GQ_ERR_INVALID_ARG);
}

/* There is no pipeline file here: an error of the configuration is one of the command line. */
int plugin_complain(const struct plugin_args *args, gq_status status)
{
    status = status == GQ_ERR_CONFIG ? GQ_ERR_INVALID_ARG : status;
    if (args->json)
        gpuq_report_json(stdout, "{", status);
    return gpuq_report("plugin", status);
}

int plugin_pin(const struct plugin_args *args)
{
    struct gq_text lines = {0};
    gq_status status = gq_pins_print(args->file, &lines);
    if (status == GQ_OK)
        fputs(gq_text_str(&lines), stdout);
    gq_text_finish(&lines);
    return status == GQ_OK ? 0 : plugin_complain(args, status);
}

int cmd_plugin(int argc, char **argv)
{
    for (size_t i = 0; argc > 1 && i < VERB_COUNT; i++) {
        if (strcmp(argv[1], verbs[i].name) != 0)
            continue;
        struct plugin_args args;
        gq_status status = plugin_args_parse(argc - 1, argv + 1, &args);
        int code = status == GQ_OK ? verbs[i].run(&args) : plugin_complain(&args, status);
        plugin_args_finish(&args);
        return code;
    }
    return refuse(argc > 1 ? argv[1] : NULL);
}
