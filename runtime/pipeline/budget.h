/* budget.h - how long the threads of a worker, or the teams of a device, have been inside the messages that they hold,
 * as the host sees it: by looking at their crumbs again and again. The time between two looks counts for no more than
 * a fifth of the shortest timeout, so that a host that stood still finds nobody guilty; and for nothing, for a minute,
 * in a worker that is ending of a signal.
 */
#ifndef GQ_PIPELINE_BUDGET_H
#define GQ_PIPELINE_BUDGET_H

#include <gpuqueue/layout.h>
#include <stdbool.h>
#include "config/conf.h"

#define GQ_BUDGET_SILENT_MS 15000u /* in which nobody touches a message that waits */

/* Why a worker was ended. */
#define GQ_BUDGET_HUNG "a message did not end within its stage's timeout: the worker was ended"
#define GQ_BUDGET_SCRAWLED "a message's result was written over, so the worker was ended"
#define GQ_BUDGET_STALE "a message was answered by code that had been replaced before it came, so the worker was ended"
#define GQ_BUDGET_SILENT "the worker stood still beside messages that wait, and was ended"

struct gq_budget {
    uint64_t look_ns; /* time of the last look; 0: there was none */
    struct gq_budget_block {
        uint64_t current, stage, done, inside_ns;
        bool inside; /* of a message */
    } block[GQ_BLOCKS_MAX];
    struct gq_budget_run {
        uint64_t id, data, inside_ns;
    } run[GQ_RUNS_MAX];
    uint64_t moved_ns; /* for how long no block has moved */
    bool is_cut;       /* told before a look: the worker has closed its channel */
    uint64_t dying_ns; /* for how long that is so, or a thread has had the signal that ends the worker */
};

/* What a message may take in a stage, or an index in the source plugin (GQ_CRUMB_SOURCE); 0: as long as it likes, or
 * there is no such stage. */
uint64_t gq_budget_limit_ms(const struct gq_conf *conf, uint64_t stage);
/* How often to look, the host at crumbs and a device's worker at what its teams are inside of. */
uint32_t gq_budget_look_ms(const struct gq_conf *conf, enum gq_backend_kind backend);
void gq_budget_reset(struct gq_budget *budget);
/* Looks. True: a block is inside one message, or a team inside one run, for longer than its stage's timeout; *block
 * says which, as in suspects.h. */
bool gq_budget_look(struct gq_budget *budget, const struct gq_worker_page *page, const struct gq_conf *conf,
                    uint32_t *block);
/* Is that block or team inside of the message or run still that it was seen in last? It may have left it before it was
 * ended for it. */
bool gq_budget_is_still(const struct gq_budget *budget, const struct gq_worker_page *page, uint32_t block);
/* No block has moved for so long, and none is inside a message: that may take as long as its stage allows. */
bool gq_budget_is_silent(const struct gq_budget *budget, const struct gq_worker_page *page, uint32_t silent_ms);

#endif
