#include "commands.h"
#include <gpuqueue/version.h>
#include <stdio.h>
#include "base/error.h"

int cmd_version(int argc, char **argv)
{
    if (argc > 1) {
        fprintf(stderr, "gpuq version: takes no argument, got '%s'\n", argv[1]);
        return gq_status_exit_code(GQ_ERR_INVALID_ARG);
    }
    printf("gpuq %s\nAPI %d\nlayout %d\nplugin ABI %d\n", GQ_VERSION, GQ_API_VERSION, GQ_LAYOUT_VERSION, GQ_PLUGIN_ABI);
    return 0;
}
