/* version.h - the versions of each stage's code: which there are, in which state, and what each has served.
 *
 * A stage's code is changed by one thread at a time (pipeline/swap.h); `lock` is for those who only look, and for
 * counters. A generation is the number of a change of the running code, over all stages: `change` remembers which
 * version of which stage came with it, so that a result's generation says whose result it is.
 *
 *   cold ----------> live <----> draining -> warm -> discarded
 *     `-> canary -> live, or draining         |
 *     `-> failed       ^                      |
 *     `-> discarded    `----------------------'
 *
 * gq_swap_step_name(), gq_p99_against_name() and gq_version_state_name() of gpuqueue/swap.h are defined here too.
 */
#ifndef GQ_PIPELINE_VERSION_H
#define GQ_PIPELINE_VERSION_H

#include <gpuqueue/swap.h>
#include <pthread.h>
#include <stdbool.h>
#include "base/histogram.h"
#include "build/build.h"
#include "ring/lane.h"

#define GQ_VERSIONS_MAX 48u       /* of a stage, in whatever state */
#define GQ_VERSIONS_GONE_MAX 8u   /* discarded and failed ones that a stage remembers */
#define GQ_VERSIONS_CHANGES 1024u /* whose version is still known by its generation */

/* One version of a stage's code. */
struct gq_code {
    uint32_t number;              /* from 1, per stage */
    gq_version_state state;       /* atomic: who looks at a list may find that a version has drained */
    char *plugin;                 /* path as it was given */
    struct gq_image image;        /* its bytes are let go when it is discarded or failed */
    uint64_t loaded_at_ns;        /* CLOCK_REALTIME when it last became live */
    uint64_t live_since_ns;       /* the same, CLOCK_MONOTONIC, */
    uint64_t results_then;        /* and the results that it had by then */
    uint32_t generation;          /* of the change that made it live last */
    uint32_t before;              /* number of the one that was live before it; 0: none */
    bool unfit;                   /* it was rolled back by itself, and nobody made it live since */
    uint32_t rehearsed;           /* golden vectors that passed */
    uint64_t until[GQ_LANES_MAX]; /* draining: of each lane, messages below may be with it */
    uint32_t lanes;
    uint64_t results, failed;
    struct gq_histogram *latency; /* NULL: not measured, or given up */
    uint64_t p99_ns;              /* of one that is given up */
    uint64_t calm_p99_ns;         /* the lowest before a canary began beside it; 0: not known */
    uint64_t calm_takes_ns;       /* and how long a message takes a thread at the most, the lowest that was known */
};

struct gq_stage_code {
    const char *name;                      /* not owned */
    struct gq_code *code[GQ_VERSIONS_MAX]; /* by number */
    uint32_t count, last;                  /* last: the number given last */
    struct gq_code *live;                  /* NULL before there is any */
    uint32_t state_bytes, state_version;   /* of the memory that the stage has; 0 bytes: none */
    struct gq_rolled_back {                /* the newest change, when it was rolled back by itself */
        uint32_t version;                  /* 0: it was not */
        bool told;                         /* who asked for a rollback knows of it */
        char after[96];                    /* what; it ends a sentence */
    } rolled_back;
};

struct gq_versions {
    pthread_mutex_t lock;
    uint32_t stage_count;
    struct gq_stage_code stage[GQ_STAGES_MAX];
    uint32_t generation; /* of the newest change */
    struct gq_version_change {
        uint32_t stage, version;
    } change[GQ_VERSIONS_CHANGES];  /* that of generation g is number g modulo GQ_VERSIONS_CHANGES */
    uint32_t before[GQ_STAGES_MAX]; /* versions that were live before the oldest of them */
    struct gq_histogram *latency;   /* of results whose lanes have told of them; NULL: not measured */
};

static inline gq_version_state gq_code_state(const struct gq_code *code)
{
    return __atomic_load_n(&code->state, __ATOMIC_RELAXED);
}

/* Is a version allowed to become `to`? The one place where states change: GQ_ERR_INVALID_ARG says who holds it, and
 * nothing has changed. `in_flight`: messages that may be with it, for one that drains. */
gq_status gq_version_move(struct gq_code *code, gq_version_state to, const char *stage, uint64_t in_flight);

gq_status gq_versions_create(uint32_t stage_count, bool timed, struct gq_versions **out);
void gq_versions_destroy(struct gq_versions *versions);

/* A new version of a stage, cold, with the next number; takes `image` over and leaves an empty one. Forgets what was
 * given up longest ago. GQ_ERR_FULL: too many have messages in flight. */
gq_status gq_versions_add(struct gq_versions *versions, uint32_t stage, const char *plugin, struct gq_image *image,
                          struct gq_code **out);
/* NULL: there is none of that number, or none that runs such an image and is loaded. */
struct gq_code *gq_versions_find(struct gq_versions *versions, uint32_t stage, uint32_t number);
struct gq_code *gq_versions_find_image(struct gq_versions *versions, uint32_t stage, const char *digest);

/* A change under way: `code` will be live as of the generation returned, unless it is undone. */
uint32_t gq_versions_begin(struct gq_versions *versions, uint32_t stage, const struct gq_code *code);
void gq_versions_undo(struct gq_versions *versions);
/* Or the worker died of it, or with it: there may be results of its generation, which stays its own; the live version
 * goes on with the next, which is returned. */
uint32_t gq_versions_burn(struct gq_versions *versions, uint32_t stage);
/* The worker serves it: until[] and lanes of the one before say which messages that one may still hold. */
void gq_versions_went_live(struct gq_versions *versions, uint32_t stage, struct gq_code *code, const uint64_t *until,
                           uint32_t lanes);
/* The same for the version before one that is unfit: what was live before it still is what a rollback goes to. */
void gq_versions_fell_back(struct gq_versions *versions, uint32_t stage, struct gq_code *code, const uint64_t *until,
                           uint32_t lanes);
/* A version that does not serve any more was rolled back by itself; `after` is what had happened. */
void gq_versions_note_unfit(struct gq_versions *versions, uint32_t stage, struct gq_code *code, const char *after);
/* The number of the version that was live before the one that is, those that are unfit left out; 0: none. */
uint32_t gq_versions_before(struct gq_versions *versions, uint32_t stage);
/* The newest version but the live one that has good results, of which lanes have told, is kept and not unfit; NULL:
 * none.
 */
struct gq_code *gq_versions_served(struct gq_versions *versions, uint32_t stage);
/* The worker serves a share of the messages with it; and it does so no more, and the live one serves all, as of
 * `generation`, or, if that is 0, as before. */
void gq_versions_canary(struct gq_versions *versions, uint32_t stage, struct gq_code *code);
void gq_versions_canary_over(struct gq_versions *versions, uint32_t stage, struct gq_code *code, uint32_t generation,
                             const uint64_t *until, uint32_t lanes);
/* Lets go of a version's image: it was discarded, or failed. GQ_ERR_INVALID_ARG: who holds it. */
gq_status gq_versions_give_up(struct gq_versions *versions, uint32_t stage, struct gq_code *code, gq_version_state to,
                              uint64_t in_flight);
/* Draining versions whose messages have ended are warm: held(arg, code) is how many have not. */
void gq_versions_settle(struct gq_versions *versions, uint64_t (*held)(void *arg, const struct gq_code *code),
                        void *arg);

/* Counts what a lane handed out: gq_lane_opts.tell, with the versions as argument. */
void gq_versions_tally(void *versions, const struct gq_lane_tally *tally);

/* Merges the latencies that lanes have told of. */
void gq_versions_latency(struct gq_versions *versions, struct gq_histogram *into);

/* Number, plugin and digest of the version that served results of `generation` at a stage; 0, and "", if the stage has
 * none. For dead letters and post mortems. */
struct gq_version_name {
    uint32_t number;
    char plugin[1024];
    char digest[GQ_DIGEST_HEX];
};
void gq_versions_name(struct gq_versions *versions, uint32_t stage, uint32_t generation, struct gq_version_name *out);

#endif
