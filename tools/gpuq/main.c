/* gpuq: finds the command in the list of commands.h and runs it. */
#include "commands.h"
#include "manual.h"
#include "run_control.h"
#include <errno.h>
#include <fcntl.h>
#include <gpuqueue/status.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "base/error.h"
#include "base/thread.h"
#include "config/near.h"

struct command {
    const char *name;
    int (*run)(int argc, char **argv);
};

#define COMMAND_ROW(name, arguments, sentence, ...) {#name, cmd_##name},
static const struct command commands[] = {GPUQ_COMMANDS(COMMAND_ROW)};
#undef COMMAND_ROW
#define COMMAND_COUNT (sizeof commands / sizeof *commands)

static const struct command *find(const char *name)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

static int refuse(const char *name)
{
    struct gq_near near = gq_near_start(name);
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        gq_near_offer(&near, commands[i].name);
    fprintf(stderr, "gpuq: unknown command '%s'", name);
    if (near.best)
        fprintf(stderr, "; did you mean '%s'?\n", near.best);
    else
        fprintf(stderr, "; 'gpuq help' lists the commands\n");
    return gq_status_exit_code(GQ_ERR_INVALID_ARG);
}

/* -h counts as the first argument only: later it may be the value of an option. */
static bool asks_for_help(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "-h") == 0)
        return true;
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0)
            return true;
    return false;
}

/* Output that never arrived is a failure of every command; a reader that left early (`gpuq schema | head`) needs no
 * sentence. */
static int finish_output(int code)
{
    errno = 0;
    bool failed = fflush(stdout) != 0;
    if (!failed && !ferror(stdout))
        return code;
    if (!failed) /* an earlier write failed, and only another one says why */
        (void)(putchar('\n') == EOF || fflush(stdout));
    if (errno != EPIPE)
        fprintf(stderr, "gpuq: writing to standard output failed: %s\n",
                errno ? strerror(errno) : "input/output error");
    return code ? code : gq_status_exit_code(GQ_ERR_IO);
}

static int dispatch(int argc, char **argv)
{
    const char *name = argv[1];
    if (strcmp(name, "-h") == 0 || strcmp(name, "--help") == 0)
        name = "help";
    if (strcmp(name, "-V") == 0 || strcmp(name, "--version") == 0)
        name = "version";
    const struct command *command = find(name);
    if (!command)
        return refuse(name);
    if (asks_for_help(argc - 1, argv + 1))
        return gpuq_manual_print(stdout, command->name), 0;
    return command->run(argc - 1, argv + 1);
}

/* Closed standard descriptors would become those of the ring, and what is read or printed would go there. Each is held
 * by one that cannot be used for its purpose, so that using it is an error as before. */
static void hold_standard_descriptors(void)
{
    static const int modes[] = {O_WRONLY, O_RDONLY, O_RDONLY};
    for (int fd = 0; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            (void)!open("/dev/null", modes[fd]);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "run") == 0)
        run_control_hold_signal();
    hold_standard_descriptors();
    /* A reader that goes away must not kill a run whose messages are in flight: writes report EPIPE instead. */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error with a sentence, as on a disk that is full */
    if (gq_thread_have_stacks() != GQ_OK) {
        fprintf(stderr, "gpuq: %s\n", gq_error_text());
        return gq_status_exit_code(gq_error_status());
    }
    if (argc < 2) {
        gpuq_manual_usage(stderr);
        return gq_status_exit_code(GQ_ERR_INVALID_ARG);
    }
    return finish_output(dispatch(argc, argv));
}
