/* dying.h - a worker process that is of no more use and has not ended. A device takes its time to let go of a process,
 * so somebody else waits for that. One thread at a time.
 */
#ifndef GQ_PIPELINE_DYING_H
#define GQ_PIPELINE_DYING_H

#include "base/process.h"
#include "base/thread.h"

/* The last one. Zero: there was none. */
struct gq_dying {
    struct gq_aside aside;
    struct gq_process process;
};

/* Kills it, without waiting for its end; once the one before has ended. Its channel stays the caller's. */
void gq_dying_take(struct gq_dying *dying, pid_t pid);
/* Waits for the end of the last one. */
void gq_dying_finish(struct gq_dying *dying);

#endif
