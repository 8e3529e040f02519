#include "pipeline/dying.h"
#include <signal.h>

static void *reap(void *arg)
{
    gq_process_end(arg, 0);
    return NULL;
}

void gq_dying_take(struct gq_dying *dying, pid_t pid)
{
    kill(pid, SIGKILL);
    gq_dying_finish(dying); /* who is being reaped stands in the record */
    dying->process = (struct gq_process){.pid = pid, .channel = -1};
    gq_aside_run(&dying->aside, reap, &dying->process, "waiting for a worker's end");
}

void gq_dying_finish(struct gq_dying *dying) { gq_aside_finish(&dying->aside); }
