/* trial.h - suspected messages, one after another, in a worker that has nothing else to do: do they end, or does the
 * worker? */
#ifndef GQ_PIPELINE_TRIAL_H
#define GQ_PIPELINE_TRIAL_H

#include "pipeline/budget.h"
#include "pipeline/pipeline.h"
#include "pipeline/suspects.h"
#include "ring/lane.h"

/* Which code a worker is started with: of each stage one version, which is loaded nowhere else by then. */
struct gq_epoch_code {
    const struct gq_code *stage[GQ_STAGES_MAX];
    uint32_t generation; /* of results */
    uint32_t newest;     /* of all changes, canaries and what was undone among them */
};
/* What is live now. */
struct gq_epoch_code gq_epoch_live(struct gq_pipeline *p);
/* Loads it all into a worker that was just set up. */
gq_status gq_epoch_load(struct gq_pipeline *p, struct gq_remote *remote, const struct gq_epoch_code *code);

/* Was the last error no worker's end, but the system's that gave no memory, descriptor or process? Then who asks again
 * may get it: true after a short nap, until the deadline. */
bool gq_epoch_may_ask_again(uint64_t deadline_ns);
#define GQ_SCARCE_MS 10000u /* how long an epoch waits for what the system does not give */

struct gq_trial {
    struct gq_pipeline *p;
    struct gq_remote *remote; /* NULL: none lives */
    struct gq_remote_onlooker onlooker;
    struct gq_budget budget;
    uint32_t hung;    /* the block that was over its time; GQ_BLOCK_NONE */
    uint32_t windows; /* that the worker has been given */
};

enum gq_verdict {
    GQ_VERDICT_ENDED,   /* all of them, whether well or not */
    GQ_VERDICT_FAULTED, /* the worker, inside of some: *fault is the code of GQ_RESULT_FAULTED */
    GQ_VERDICT_NONE     /* they could not be tried, or nobody waits any more: the error is set */
};

struct gq_trial_message {
    struct gq_suspect suspect;
    struct gq_lane_ending ending; /* its bytes are the caller's to free */
    bool ended;                   /* as `ending` says */
    bool met;                     /* the worker ended inside of it */
};

/* Tries messages, in the order of their ids, of which none is named twice; the worker is kept for the next, unless it
 * ended. `ended` and `met` are false before. */
enum gq_verdict gq_trial_run(struct gq_trial *trial, const struct gq_epoch_code *code,
                             struct gq_trial_message *messages, uint32_t count, uint32_t *fault);
/* Ends the worker, without waiting for it. Takes one that has none. */
void gq_trial_end(struct gq_trial *trial);

#endif
