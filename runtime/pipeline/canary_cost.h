/* canary_cost.h - what a message of a canary's costs its worker, against one of the live version's beside it: how often
 * a thread is seen busy with either, for each of its results.
 */
#ifndef GQ_PIPELINE_CANARY_COST_H
#define GQ_PIPELINE_CANARY_COST_H

#include <gpuqueue/layout.h>
#include <stdint.h>

#define GQ_GLANCE_NS 1000000u /* from one look at all threads to the next */

/* Zero: nobody has looked yet. */
struct gq_canary_cost {
    uint64_t canary, live; /* how often a thread was seen with messages of its */
    uint64_t live_longest; /* of those, in the run that was seen most often */
    struct gq_cost_run {
        uint64_t first, seen; /* the live version's run that a thread was seen with last, and how often */
    } run[GQ_BLOCKS_MAX];
};

/* A look at a thread, which holds a run of messages from its claim to its end. `generation` is the canary's. */
void gq_canary_cost_note(struct gq_canary_cost *cost, uint32_t thread, const struct gq_crumb *crumb,
                         uint64_t generation);
/* In percent of what one of the live version's costs; 0: not known. The results are those that came since the first
 * look; `live_takes_ns` is how long one of the live version's took a thread before at the most, 0 if it is not known.
 *
 * Few messages of the live version's say little: one in a hundred that takes long may be among them, or none. So if
 * they are fewer than a hundred, its longest run counts for nothing; and if it was not seen with another, a message of
 * its is taken to cost what it took before. */
uint32_t gq_canary_cost_percent(const struct gq_canary_cost *cost, uint64_t canary_results, uint64_t live_results,
                                uint64_t live_takes_ns);

#endif
