#include "commands.h"
#include "manual.h"
#include <stdio.h>
#include <string.h>
#include "base/error.h"

static int usage_error(const char *word, const char *sentence)
{
    fprintf(stderr, "gpuq help: '%s' %s\n", word, sentence);
    return gq_status_exit_code(GQ_ERR_INVALID_ARG);
}

static int print_completion(const char *shell)
{
    if (!shell || strcmp(shell, "bash") != 0)
        return usage_error(shell ? shell : "", "is no shell that --completion knows; it knows bash");
    gpuq_completion_bash(stdout);
    return 0;
}

int cmd_help(int argc, char **argv)
{
    if (argc < 2)
        return gpuq_manual_usage(stdout), 0;
    if (strcmp(argv[1], "--man") == 0)
        return gpuq_manual_roff(stdout), 0;
    if (strcmp(argv[1], "--status") == 0)
        return gpuq_manual_status(stdout), 0;
    if (strcmp(argv[1], "--completion") == 0)
        return print_completion(argc > 2 ? argv[2] : NULL);
    if (!gpuq_manual_print(stdout, argv[1]))
        return usage_error(argv[1], "is no command; 'gpuq help' lists them");
    return 0;
}
