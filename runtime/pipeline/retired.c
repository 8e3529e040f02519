#include "pipeline/retired.h"
#include "base/thread.h"

static void *end(void *arg)
{
    gq_remote_stop(arg, 0);
    gq_remote_destroy(arg);
    return NULL;
}

void gq_retire(struct gq_retired *retired, struct gq_remote *remote)
{
    gq_retired_finish(retired);
    retired->runs = gq_thread_start(&retired->thread, end, remote, "ending a worker") == GQ_OK;
    if (!retired->runs)
        end(remote);
}

void gq_retired_finish(struct gq_retired *retired)
{
    if (retired->runs)
        pthread_join(retired->thread, NULL);
    retired->runs = false;
}
