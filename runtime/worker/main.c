/* gpuq-worker: the processes that gpuqueue starts beside the host. Not for use by hand. */
#include "base/channel.h"
#include "base/thread.h"
#include "build/build.h"
#include "worker/worker.h"
#include <gpuqueue/version.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int usage(void)
{
    fputs("gpuq-worker is started by gpuq and by programs that use libgpuqueue; there is nothing to run by hand.\n",
          stderr);
    return 64;
}

/* `gpuq doctor` asks whether this program answers, and whether it is of the same build. */
static int say_version(void)
{
    return gq_channel_send(3, GQ_VERSION, sizeof GQ_VERSION - 1, NULL, 0) == GQ_OK ? 0 : 70;
}

/* An application may have closed its standard descriptors: a plugin's printf must not land in whatever came in their
 * place.
 */
static void hold_standard_descriptors(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd > STDERR_FILENO)
        close(fd);
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return usage();
    hold_standard_descriptors();
    /* A plugin's printf goes where people look for it, and never into a pipeline's standard output. */
    dup2(STDERR_FILENO, STDOUT_FILENO);
    if (gq_thread_have_stacks() != GQ_OK) {
        fprintf(stderr, "gpuq-worker: %s\n", gq_error_text());
        return gq_status_exit_code(gq_error_status());
    }
    if (strcmp(argv[1], "worker") == 0 || strcmp(argv[1], "reserve") == 0)
        return gq_worker_main(argv[1]);
    if (strcmp(argv[1], "builder") == 0)
        return gq_builder_main();
    if (strcmp(argv[1], "version") == 0)
        return say_version();
    return usage();
}
