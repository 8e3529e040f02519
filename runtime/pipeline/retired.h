/* retired.h - a worker that nobody needs any more. A device takes its time to let go of a process, so somebody else
 * waits for that. One thread at a time.
 */
#ifndef GQ_PIPELINE_RETIRED_H
#define GQ_PIPELINE_RETIRED_H

#include "base/thread.h"
#include "pipeline/remote.h"

#define GQ_RETIRED_MOST 4u

/* The last ones. Zero: there was none. */
struct gq_retired {
    struct gq_aside aside[GQ_RETIRED_MOST];
    uint32_t next;
    struct gq_remote *late; /* NULL, or one that goes on */
};

/* Kills and destroys it, without waiting for its end; once fewer than GQ_RETIRED_MOST are ending. */
void gq_retire(struct gq_retired *retired, struct gq_remote *remote);
/* The same when gq_retire_late_now() is called, or another is late: while a device lets go of a process, who takes its
 * place waits ten times as long for each call of the driver. */
void gq_retire_late(struct gq_retired *retired, struct gq_remote *remote);
void gq_retire_late_now(struct gq_retired *retired);
/* Waits for the end of all. */
void gq_retired_finish(struct gq_retired *retired);

#endif
