#include "pipeline/retired.h"

static void *end(void *arg)
{
    gq_remote_stop(arg, 0);
    gq_remote_destroy(arg);
    return NULL;
}

void gq_retire(struct gq_retired *retired, struct gq_remote *remote)
{
    gq_aside_run(&retired->aside, end, remote, "ending a worker");
}

void gq_retired_finish(struct gq_retired *retired) { gq_aside_finish(&retired->aside); }
