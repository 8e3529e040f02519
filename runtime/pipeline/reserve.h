/* reserve.h - a worker process that has taken the device and waits, so that the next worker that is needed is there at
 * once: an epoch's, or a trial's. It holds a context, and nothing of the pipeline. One thread at a time.
 */
#ifndef GQ_PIPELINE_RESERVE_H
#define GQ_PIPELINE_RESERVE_H

#include "base/process.h"
#include "config/conf.h"

struct gq_reserve {
    bool wanted;
    uint32_t device;
    struct gq_process process; /* pid 0: none waits */
    bool ready;                /* it has said that it has the device */
};

/* It is wanted where a start takes long, on a device, unless the pipeline says `spare: off`. */
void gq_reserve_init(struct gq_reserve *reserve, const struct gq_conf *conf, enum gq_backend_kind backend);
/* Starts one, if it is wanted and none waits, without waiting for it. One that cannot be started is none. */
void gq_reserve_start(struct gq_reserve *reserve);
/* Waits until it has the device, if there is one: taking it makes messages of others wait. */
void gq_reserve_await(struct gq_reserve *reserve);
/* The one that waits, once it is ready, or none: whoever needs a worker starts one then. */
struct gq_process gq_reserve_take(struct gq_reserve *reserve);
void gq_reserve_end(struct gq_reserve *reserve);

#endif
