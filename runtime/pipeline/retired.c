#include "pipeline/retired.h"

static void *end(void *arg)
{
    gq_remote_stop(arg, 0);
    gq_remote_destroy(arg);
    return NULL;
}

void gq_retire(struct gq_retired *retired, struct gq_remote *remote)
{
    gq_aside_run(&retired->aside[retired->next++ % GQ_RETIRED_MOST], end, remote, "ending a worker");
}

void gq_retire_late(struct gq_retired *retired, struct gq_remote *remote)
{
    gq_retire_late_now(retired);
    retired->late = remote;
}

void gq_retire_late_now(struct gq_retired *retired)
{
    struct gq_remote *remote = retired->late;
    retired->late = NULL; /* somebody else frees it from then on */
    if (remote)
        gq_retire(retired, remote);
}

void gq_retired_finish(struct gq_retired *retired)
{
    gq_retire_late_now(retired);
    for (uint32_t i = 0; i < GQ_RETIRED_MOST; i++)
        gq_aside_finish(&retired->aside[i]);
}
