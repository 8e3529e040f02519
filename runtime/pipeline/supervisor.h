/* supervisor.h - what follows when the worker of a running pipeline dies, or holds a message for too long.
 *
 * An epoch is the life of one worker. The host keeps the bytes of every message until its result was taken, so the next
 * epoch serves what the last one left: its messages are those that have no result yet. Before it begins, the messages
 * that the worker may have died of are tried alone, one after another, in a worker of their own: one that ends there
 * has its result, and one that ends that worker too, again and again, is given up. docs/internals/epochs.md
 */
#ifndef GQ_PIPELINE_SUPERVISOR_H
#define GQ_PIPELINE_SUPERVISOR_H

#include "pipeline/budget.h"
#include "pipeline/remote.h"
#include "pipeline/reserve.h"
#include "pipeline/retired.h"

struct gq_pipeline;
struct gq_lane_ending;

struct gq_supervisor {
    struct gq_pipeline *p;
    struct gq_remote_keeper keeper;
    struct gq_reserve reserve;
    struct gq_retired retired; /* of trials */
    struct gq_budget budget;
    uint32_t armed;     /* atomic: messages flow; a worker that dies before is the start's to tell of */
    uint32_t silent_ms; /* atomic: after so long a worker is silent; for tests to shorten */
    bool hung;          /* it was ended because of this block */
    bool silent;        /* it was ended because nothing moved, */
    enum gq_foul foul;  /* or because of a result that it has not made, or was not to make */
    uint32_t hung_block;
    bool left; /* that block had left what it was in before the worker ended: another message was there alone */
    uint32_t fruitless; /* epochs in a row that ended no message */
    uint64_t ended;     /* messages, at most so far */
    uint64_t fruitless_since_ns;
    uint64_t began_ns;              /* the epoch */
    uint32_t given_up;              /* messages */
    uint32_t unsure;                /* how often nobody could say whether it is the code */
    struct gq_lane_ending *endings; /* of the messages that were tried */
    uint32_t ending_count;
};

/* From here on a worker may be made ready, for whoever is needed first. */
void gq_supervisor_init(struct gq_supervisor *s, struct gq_pipeline *p);
uint32_t gq_supervisor_silent_ms(const struct gq_supervisor *s);
/* From here on. */
void gq_supervisor_arm(struct gq_supervisor *s);
/* Once there is no worker to watch. Takes one that was never initialized. */
void gq_supervisor_finish(struct gq_supervisor *s);

#endif
