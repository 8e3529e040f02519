/* cuda_fit.h - how many blocks of each grid run at the same time on one device. Arithmetic alone: no driver is asked.
 *
 * A driver says how many blocks of one kernel an SM holds when nothing else is there. Grids that stay for ever share
 * their SMs, so here every SM is filled block by block, with what each block takes of it.
 */
#ifndef GQ_BACKEND_CUDA_FIT_H
#define GQ_BACKEND_CUDA_FIT_H

#include <stdbool.h>
#include <stdint.h>
#include "base/error.h"

/* The device: how many SMs, and what one of them has. */
struct gq_fit_device {
    int sms, threads, blocks, registers, shared_bytes;
    int shared_reserved; /* of each block's shared memory, by the driver */
};

struct gq_fit_step {
    const char *name;
    uint32_t threads, registers; /* of a block; of a thread */
    uint32_t shared_bytes;       /* of a block, without what the driver reserves */
    uint32_t alone;              /* blocks that an SM holds of this step alone */
    uint32_t asked;              /* blocks of the grid; 0: as many as fit and are of use */
    uint32_t of_use;             /* blocks on one SM; more are no faster */
    uint32_t blocks;             /* out */
};

/* Blocks that an SM holds of a step when nothing else is there. */
uint32_t gq_fit_alone(const struct gq_fit_device *device, const struct gq_fit_step *step);
/* Sets `blocks` of every step, and the most shared memory that blocks of all steps take of one SM. Steps that ask for a
 * number get it; the others share what is left, a block at a time. GQ_ERR_PLUGIN: a step that asks does not get its
 * blocks, or one that does not ask gets none; the sentence has the numbers. */
gq_status gq_fit(const struct gq_fit_device *device, struct gq_fit_step *steps, uint32_t count, uint32_t *shared_an_sm);
/* Do the steps' `blocks` fit when they are launched in this order, and take no more than that of any SM? */
bool gq_fits(const struct gq_fit_device *device, const struct gq_fit_step *steps, uint32_t count,
             uint32_t shared_an_sm);

#endif
