#include "pipeline/dying.h"
#include "base/thread.h"
#include <signal.h>

static void *reap(void *arg)
{
    gq_process_end(arg, 0);
    return NULL;
}

void gq_dying_take(struct gq_dying *dying, pid_t pid)
{
    kill(pid, SIGKILL);
    gq_dying_finish(dying);
    dying->process = (struct gq_process){.pid = pid, .channel = -1};
    dying->runs = gq_thread_start(&dying->thread, reap, &dying->process, "waiting for a worker's end") == GQ_OK;
    if (!dying->runs)
        reap(&dying->process);
}

void gq_dying_finish(struct gq_dying *dying)
{
    if (dying->runs)
        pthread_join(dying->thread, NULL);
    dying->runs = false;
}
