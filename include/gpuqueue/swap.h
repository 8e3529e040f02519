/* gpuqueue/swap.h - changing the code of a stage while messages flow.
 *
 * A stage has versions, numbered from 1 in the order in which they were given to it. One is live. A swap builds another
 * one from a plugin file, runs its golden vectors in a spare worker process, and makes it live; the one before is kept,
 * loaded, so that gq_rollback() is a matter of microseconds. Every change of a pipeline's running code has the next
 * generation number, from 1 for the code that it started with. Each result carries the number of the newest change that
 * its message met (QResult.generation), so within a lane generations never fall, but beside a canary and behind the
 * death of a worker, and of a pipeline of one stage they say exactly which version served which message.
 *
 *   below some message S of a lane    the old version served it, and no other
 *   from message S on                 the new one
 *
 * Nothing is lost, doubled or reordered. A swap that is refused, at whatever step, leaves the live version, its
 * counters and its state as they were; gq_swap_result says at which step, and why.
 *
 * Threads   Any thread may make these calls on a started pipeline, until gq_stop; one is served at a time, the others
 *           wait for it, also while a canary is being watched; gq_rollback() of its stage ends that.
 * State     gq_state memory belongs to the stage and stays as it is when the new version declares the same size and
 *           version. If it does not, the new plugin must define gq_migrate (gpuqueue/plugin.h), or the swap is refused.
 *           A version without state leaves it untouched for the next one that has it.
 * Errors    GQ_ERR_INVALID_ARG: no such stage, or the pipeline is not started. GQ_ERR_NOT_FOUND: no such version, or
 *           gq_rollback() has none to go to.
 *           GQ_ERR_PLUGIN: refused; anything that is wrong with the plugin, or with what it does to its goldens.
 *           GQ_ERR_CONFIG: gq_reload, the file has errors. GQ_ERR_DEVICE: the worker is gone. GQ_ERR_SHUTDOWN: gq_swap
 *           and gq_reload, the pipeline was interrupted before it was their turn.
 */
#ifndef GPUQUEUE_SWAP_H
#define GPUQUEUE_SWAP_H

#include <gpuqueue/runtime.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The steps of a swap, in order; names as gq_swap_step_name() has them. */
#define GQ_SWAP_STEPS(X)                                                                           \
    X(GQ_STEP_RESOLVE, "resolve", "which stage and file are meant; the file is read and hashed")   \
    X(GQ_STEP_BUILD, "build", "the cache has it, or the builder process compiles it")              \
    X(GQ_STEP_INSPECT, "inspect", "ABI, state, and whether it fits beside the other stages")       \
    X(GQ_STEP_REHEARSE, "rehearse", "its golden vectors, in the spare worker")                     \
    X(GQ_STEP_PARK, "park", "the running code stops between two messages")                         \
    X(GQ_STEP_LOAD, "load", "the new code is loaded beside the old")                               \
    X(GQ_STEP_LAUNCH, "launch", "it runs, and serves from the next message on")                    \
    X(GQ_STEP_CANARY, "canary", "a share of the messages is its own, and its results are watched") \
    X(GQ_STEP_DONE, "done", "the new version is live")

typedef enum gq_swap_step {
#define GQ_SWAP_STEP_ENUM(name, word, text) name,
    GQ_SWAP_STEPS(GQ_SWAP_STEP_ENUM)
#undef GQ_SWAP_STEP_ENUM
} gq_swap_step;
GQ_API const char *gq_swap_step_name(gq_swap_step step);

#define GQ_SWAP_LOG_BYTES 16384u
#define GQ_SHORT_DIGEST 13u /* twelve hexadecimal digits, and the NUL */

/* Which p99 of the live version a canary's was compared with; words as gq_p99_against_name() has them. */
#define GQ_P99_AGAINST(X)                                          \
    X(GQ_P99_NONE, "", "none: it was not measured, or not judged") \
    X(GQ_P99_BESIDE, "beside", "the one of the same time")         \
    X(GQ_P99_BEFORE, "before", "the one from before the canary, which takes the worker's time for itself")

typedef enum gq_p99_against {
#define GQ_P99_AGAINST_ENUM(name, word, text) name,
    GQ_P99_AGAINST(GQ_P99_AGAINST_ENUM)
#undef GQ_P99_AGAINST_ENUM
} gq_p99_against;
GQ_API const char *gq_p99_against_name(gq_p99_against against);

/* What became of a change. */
typedef struct gq_swap_result {
    size_t size;                  /* sizeof(gq_swap_result), set by the caller */
    gq_swap_step step;            /* GQ_STEP_DONE, or the one that refused */
    uint32_t version;             /* the one that the change was about; 0: it did not come so far */
    uint32_t live;                /* the version that is live now */
    uint32_t generation;          /* of the change; 0: there was none. The canary's own was the one before */
    uint32_t vectors;             /* golden vectors that passed; 0 with rehearse: off, or without a golden file */
    uint32_t cached;              /* 1: the image came from the cache */
    char digest[GQ_SHORT_DIGEST]; /* of everything that reached the compiler; "" before it was built */
    uint64_t build_ns, rehearse_ns;
    uint64_t park_ns, load_ns, launch_ns; /* as the worker measured them; the first is 0 where nothing had to stop */
    uint64_t total_ns;
    uint32_t canary_ppm; /* the share that the canary got; 0: there was none */
    uint32_t settings;   /* 1: gq_reload() took over other settings of `swap` from the file; the next change has them */
    uint64_t canary_messages, canary_failed; /* of the canary; */
    uint64_t live_messages, live_failed;     /* of the live version, in the same time; */
    uint64_t canary_p99_ns, live_p99_ns;     /* 0 where there is no measurement: sink api */
    char log[GQ_SWAP_LOG_BYTES]; /* the compiler's messages, or the golden vector that differed; "" if there is nothing
                                    to say. Cut at a line's end. */
    uint64_t before_p99_ns;      /* of the live version, the lowest before a canary beside it; 0: not known */
    uint32_t canary_cost; /* how long its messages take a thread, in percent of the live version's (of its p99 before,
                             if it had no result meanwhile); 0: not known */
    gq_p99_against canary_against; /* what canary_p99_ns was compared with */
    char stage[64];                /* the one that the change was about; "" where it came to none */
} gq_swap_result;

typedef struct gq_swap_opts {
    size_t size;        /* sizeof(gq_swap_opts) */
    const char *plugin; /* path of the plugin; NULL: the live version's file, read again */
    uint32_t rehearse;  /* 0: as the pipeline file's swap.rehearse says; 1: on; 2: off */
    /* A canary: the new version first serves a share of the messages beside the live one, and then either all or none.
     * None, with GQ_ERR_PLUGIN and a sentence, if of its results more fail than canary_failures allows (at the end, or
     * as soon as it has 1,000), if its p99 is worse than canary_p99 allows (where there is a measurement and both
     * have 1,000 results: at the end, or as soon as most of its results took longer than that in five twentieths of
     * the watch in a row, each with 1,000 of them), if it had no result at all, or if gq_rollback() of its stage asks
     * for it; with GQ_ERR_SHUTDOWN if the pipeline is interrupted before it is decided. The p99 is compared with the
     * live version's in the same time. If a message of the canary's takes the worker longer than canary_p99 percent of
     * one of the live version's, that one is slow because it waits, and its p99 from before counts, where it had 1,000
     * results (CPU backend: on a GPU each has its own lanes).
     *
     * While both serve, and until what they were given has ended, generations may fall within a lane. On the CPU
     * backend a hash of a lane and its run of 64 messages says whose they are. On a GPU whole lanes are shared out, and
     * a canary of a pipeline with one lane is refused. A canary shares the state of its stage: a plugin that declares
     * another is refused. So is, on a GPU, a canary behind a source plugin whose results go to the sink null: they
     * are only counted. */
    uint32_t canary_ppm;      /* of a million messages, how many: up to 500,000; 0: no canary */
    uint32_t canary_ms;       /* how long it is watched, at most a day; 0: 10 s */
    uint32_t canary_messages; /* or until it has so many results, if that comes first; 0: no bound */
    uint32_t canary_failures; /* of a million, how many more than of the live version's may fail; 0: 1,000 */
    uint32_t canary_p99;      /* percent of the live version's p99, and of its time, that its own may be; 0: 150 */
} gq_swap_opts;

/* Builds `plugin` for `stage` (its name in the pipeline file), with the stage's parameters, and makes it live. Returns
 * when it is live or refused, never before. An image that is live already is no change: GQ_OK, generation 0. `opts` and
 * `result` may be NULL. */
GQ_API gq_status gq_swap(gq_pipeline *p, const char *stage, const gq_swap_opts *opts, gq_swap_result *result);
/* Makes the version live that was live before the present one; while a canary of the stage is being watched, ends that:
 * the live version then serves all messages again, and is the one that `result` names. A version that was rolled back
 * by itself is none to go to, until gq_use() makes it live. If that was the newest change of the stage, or a canary
 * that failed was, nothing is changed: GQ_ERR_NOT_FOUND and a sentence that says so, once if there is a version to go
 * to. */
GQ_API gq_status gq_rollback(gq_pipeline *p, const char *stage, gq_swap_result *result);
/* Makes a kept version live. */
GQ_API gq_status gq_use(gq_pipeline *p, const char *stage, uint32_t version, gq_swap_result *result);
/* Gives a kept version up. GQ_ERR_INVALID_ARG, with who holds it: it is live, or has messages in flight. */
GQ_API gq_status gq_discard(gq_pipeline *p, const char *stage, uint32_t version);
/* Reads the pipeline file again and swaps every stage whose plugin or parameters differ: all, or none if one is
 * refused before it is live. What cannot change while messages flow (source, sink, queue, the row of stages) is refused
 * and named. `result` is that of the stage that was refused, or of the last one swapped. *changed (may be NULL) is how
 * many were. */
GQ_API gq_status gq_reload(gq_pipeline *p, uint32_t *changed, gq_swap_result *result);

/* States of a version; docs/internals/swap.md draws them. */
#define GQ_VERSION_STATES(X)                                                        \
    X(GQ_VERSION_COLD, "cold", "built, not loaded")                                 \
    X(GQ_VERSION_WARM, "warm", "loaded, and ready to be used again")                \
    X(GQ_VERSION_CANARY, "canary", "serves a share of them, and is being watched")  \
    X(GQ_VERSION_LIVE, "live", "serves messages")                                   \
    X(GQ_VERSION_DRAINING, "draining", "serves messages that came before the next") \
    X(GQ_VERSION_DISCARDED, "discarded", "given up; its memory is free")            \
    X(GQ_VERSION_FAILED, "failed", "refused: it never served a message")

typedef enum gq_version_state {
#define GQ_VERSION_STATE_ENUM(name, word, text) name,
    GQ_VERSION_STATES(GQ_VERSION_STATE_ENUM)
#undef GQ_VERSION_STATE_ENUM
} gq_version_state;
GQ_API const char *gq_version_state_name(gq_version_state state);

/* A version, as it was when the call was made. */
typedef struct gq_version_info {
    char stage[64];
    uint32_t version;
    gq_version_state state;
    char digest[GQ_SHORT_DIGEST];
    char plugin[256];      /* its path; one that is longer is cut in front, and begins with "..." */
    uint64_t loaded_at_ns; /* CLOCK_REALTIME when it last began to serve; 0: never */
    uint32_t generation;   /* of the change that made it serve last; 0: never */
    uint32_t rehearsed;    /* golden vectors that passed before it went live */
    uint64_t messages;     /* results of messages that it served, failed ones included */
    uint64_t failed;
    uint64_t in_flight; /* of the live version and of one that drains: messages that have not finished */
    uint64_t p99_ns;    /* as in gq_stats; 0 where there is no measurement */
} gq_version_info;

/* The newest `max` versions of every stage together, stages in order and versions in order within a stage; *count is
 * how many were written. Discarded and failed ones are remembered until newer ones take their place. */
GQ_API gq_status gq_versions(gq_pipeline *p, gq_version_info *out, size_t max, size_t *count);

#ifdef __cplusplus
}
#endif

#endif
