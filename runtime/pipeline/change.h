/* change.h - one change of the code of one stage, step by step: everything up to the rehearsal while the live version
 * serves untouched, then the switch, at once or after a canary. For pipeline/swap.c and reload.c, which let one thread
 * in at a time.
 */
#ifndef GQ_PIPELINE_CHANGE_H
#define GQ_PIPELINE_CHANGE_H

#include <gpuqueue/swap.h>
#include "pipeline/pipeline.h"
#include "pipeline/version.h"

struct gq_change {
    struct gq_pipeline *p;
    uint32_t stage;
    const struct gq_conf_stage *conf; /* parameters, and blocks of the grid */
    const char *conf_file;
    bool rehearse;
    uint32_t share; /* of a million messages, a canary's; 0: it is none. Set before gq_change_prepare() */
    char *plugin;
    struct gq_code *code;      /* the version that it is about; NULL until there is one */
    bool loaded;               /* the worker has it already */
    gq_swap_result *result;    /* the caller's */
    const struct gq_code *was; /* live before the switch */
};

/* A change to what `plugin` holds now (NULL: the file of the live version), with parameters of `conf`. The result is
 * cleared. gq_change_finish() in every case. */
gq_status gq_change_init(struct gq_change *change, struct gq_pipeline *p, uint32_t stage, const char *plugin,
                         gq_swap_result *result);
/* Resolve, build, inspect, rehearse. Afterwards `code` may be the live version: there is nothing to switch to. */
gq_status gq_change_prepare(struct gq_change *change);
/* A change to a version that the worker has: nothing is built, only inspected. */
gq_status gq_change_prepare_use(struct gq_change *change, struct gq_code *code);
static inline bool gq_change_is_none(const struct gq_change *change)
{
    return gq_code_state(change->code) == GQ_VERSION_LIVE;
}
/* The worker makes it live. On failure the version before serves on. */
gq_status gq_change_switch(struct gq_change *change);
/* The same after a canary of opts->canary_ms has proved itself; GQ_ERR_PLUGIN says what spoke against it, and
 * GQ_ERR_SHUTDOWN that the pipeline was interrupted before it could. The version before serves on then. canary.c */
gq_status gq_change_canary(struct gq_change *change, const gq_swap_opts *opts);
/* Is there a canary of this stage? Then it will be rolled back, unless it has just gone live, and *version is its
 * number. Any thread; canary.c */
bool gq_canary_call_off(struct gq_pipeline *p, const char *stage, uint32_t *version);
/* And what had its live version served before it? Any thread, once there are versions; canary.c */
bool gq_canary_before(struct gq_pipeline *p, const char *stage, uint64_t *results, uint64_t *failed);
/* A version that was built and is not switched to is given up. Completes the result. */
void gq_change_finish(struct gq_change *change);

/* For canary.c. What the worker is told of a change to the change's version; what it says of how long that took; what
 * the result says of it, with the messages submitted so far in each lane, whose number is returned (generation 0: the
 * worker did not switch); and a version that will not serve, with the error that is set. */
struct gq_remote_change gq_change_for_remote(const struct gq_change *change, uint32_t generation);
void gq_change_note_times(struct gq_change *change, const struct gq_swap_times *times);
uint32_t gq_change_note_switch(struct gq_change *change, uint32_t generation, uint64_t until[GQ_LANES_MAX]);
/* The worker did not make the change; it had died so often before it was asked. */
void gq_change_undo(struct gq_change *change, uint32_t deaths);
void gq_change_give_up(struct gq_change *change, gq_version_state to);

/* Messages that may be with a draining version. */
uint64_t gq_change_held(void *pipeline, const struct gq_code *code);
/* Versions know of all results that were handed out. */
void gq_change_tell_lanes(struct gq_pipeline *p);
/* Discards the versions of a stage beyond those to be kept, but for the newest that has served, as long as the live one
 * has not. */
void gq_change_prune(struct gq_pipeline *p, uint32_t stage);

#endif
