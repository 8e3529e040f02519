/* commands.h - every command of gpuq, in one list: the parser, `gpuq help`, the manual page and the shell completions
 * come from these rows. */
#ifndef GPUQ_COMMANDS_H
#define GPUQ_COMMANDS_H

#include "control/commands.h"

/* name, arguments as help shows them, one sentence. The function is cmd_NAME(argc, argv): argv[0] is the name. It
 * returns an exit code (gq_status_exit_code); data goes to standard output, everything else to standard error. Rows of
 * the control socket's commands have more columns, which are for cmd_control.c. */
#define GPUQ_COMMANDS(X)                                                                                             \
    X(run, "[--backend B] [--threads N] [--no-cache] [--watch] [--json | --quiet] FILE",                             \
      "run a pipeline until its source ends or Ctrl-C drains it")                                                    \
    GQ_CONTROL_COMMANDS(X)                                                                                           \
    X(lint, "[--json] FILE...", "check pipeline files and report every error at once")                               \
    X(explain, "FILE", "print the effective configuration with defaults, and what it will allocate")                 \
    X(schema, "", "print the JSON Schema of pipeline files, for editors")                                            \
    X(plugin, "check|build|inspect|pin|run|test FILE.cu ...", "compile, look at, try and test one plugin")           \
    X(new, "[--block | --source] NAME", "write a new plugin with goldens, a pipeline and a README, ready to run")    \
    X(doctor, "[--json]", "say what this machine has and lacks, and what follows")                                   \
    X(bench, "[--json] [--backend B] [--seconds S] [--threads N] [CASE...]",                                         \
      "measure this machine, with competitors in the same run")                                                      \
    X(cache, "ls|clear", "list or empty the cache of compiled plugins")                                              \
    X(dlq, "ls|show|replay|drop FILE ...", "look at dead letters, send them through a pipeline again, or drop them") \
    X(version, "", "print the version and the ABI numbers")                                                          \
    X(help, "[COMMAND]", "print this, or one command's manual")

#define GPUQ_COMMAND_DECLARE(name, arguments, sentence, ...) int cmd_##name(int argc, char **argv);
GPUQ_COMMANDS(GPUQ_COMMAND_DECLARE)
#undef GPUQ_COMMAND_DECLARE

#endif
