/* reserve.h - worker processes that have taken the device and wait, so that the next worker that is needed is there at
 * once: an epoch's, or a trial's. Each holds a context, and nothing of the pipeline. One thread at a time.
 */
#ifndef GQ_PIPELINE_RESERVE_H
#define GQ_PIPELINE_RESERVE_H

#include "base/process.h"
#include "config/conf.h"
#include "pipeline/dying.h"

/* What a message may take that ends its workers, faster than others start: one that tries all that are suspected, one
 * for it alone, one for those behind it, and the next epoch's. */
#define GQ_RESERVE_MOST 4u

struct gq_reserve {
    uint32_t wanted; /* processes */
    uint32_t device;
    uint32_t count;
    struct gq_reserved {
        struct gq_process process;
        uint64_t deadline_ns; /* it must have said so by then */
        bool ready;           /* it has said that it has the device */
    } waits[GQ_RESERVE_MOST]; /* the oldest first */
    struct gq_dying dying;    /* the last one that did not come */
};

/* One is wanted where a start takes long, on a device, and none if the pipeline says `spare: off`. */
void gq_reserve_init(struct gq_reserve *reserve, const struct gq_conf *conf, enum gq_backend_kind backend);
/* A message has ended a worker, and may end others: GQ_RESERVE_MOST are wanted from now on, if any are. */
void gq_reserve_grow(struct gq_reserve *reserve);
/* Starts those that are wanted and not there, without waiting for them. One that cannot be started is none. */
void gq_reserve_start(struct gq_reserve *reserve);
/* As few as will be needed next, while messages wait for a worker that takes over: its calls of the driver wait for
 * those of each that starts, and so do those that start for each other. */
void gq_reserve_start_late(struct gq_reserve *reserve);
/* Waits until all have the device: taking it makes messages of others wait. */
void gq_reserve_await(struct gq_reserve *reserve);
/* The oldest of those that are ready, or the first that is, or none: whoever needs a worker starts one then. */
struct gq_process gq_reserve_take(struct gq_reserve *reserve);
void gq_reserve_end(struct gq_reserve *reserve);
/* In a forked child, whose they are not. */
void gq_reserve_forget(const struct gq_reserve *reserve);

#endif
