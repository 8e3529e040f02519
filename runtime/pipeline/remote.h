/* remote.h - the worker process seen from the host: started, asked, watched, buried. */
#ifndef GQ_PIPELINE_REMOTE_H
#define GQ_PIPELINE_REMOTE_H

#include <pthread.h>
#include "base/process.h"
#include "build/build.h"
#include "config/conf.h"
#include "pipeline/dying.h"
#include "ring/lane.h"
#include "ring/link.h"
#include "ring/packets.h"

struct gq_versions;

/* Who sees to it that messages are served when the worker has died. Called by the thread that watches the worker. */
struct gq_remote_keeper {
    void *arg;
    uint32_t look_ms;
    void (*look)(void *arg);       /* every look_ms, or more often, while the worker lives, also while it starts */
    gq_status (*renew)(void *arg); /* it is buried: GQ_OK when another serves in its place;
                                                       GQ_ERR_NOT_READY: none was to; else the sentence is the end's */
};

/* Who looks at a worker that owes an answer, and has no keeper for that. Called by the thread that waits for it. */
struct gq_remote_onlooker {
    void *arg;
    const char *(*look)(void *arg); /* why it is to be ended, which is kept by copy; NULL: it may take its time */
};

/* A change has the first word with a worker that takes over, before that serves. */
enum gq_turn { GQ_TURN_NONE, GQ_TURN_WANTED, GQ_TURN_GIVEN };

struct gq_remote {
    const struct gq_conf *conf;   /* not owned */
    struct gq_versions *versions; /* of the stages' code, for the sentence of its death; NULL: as in conf */
    uint32_t answer_ms;           /* a request is answered within this, or the worker is taken for dead */
    struct gq_link link;
    struct gq_process process;
    pthread_mutex_t lock; /* one request at a time, and `why` */
    pthread_t watcher;
    bool watched;
    const struct gq_remote_keeper *keeper;     /* not owned; NULL: the death of the worker is the end */
    const struct gq_remote_onlooker *onlooker; /* not owned; NULL: there is none */
    uint64_t end_ns;                           /* atomic: no request waits for longer; 0: no end was asked for */
    enum gq_backend_kind backend;
    uint32_t threads;
    pthread_cond_t renewed;     /* `away` has ended */
    bool away;                  /* under `lock`: a worker has died, and another is being made ready */
    pthread_t renewer;          /* while away: who does so */
    enum gq_turn turn;          /* under `lock`: of a change */
    pthread_t changer;          /* whose turn it is, or is to be */
    bool turn_failed;           /* under `lock`: the worker ended over it */
    bool changer_waits;         /* under `lock`: for its turn, and does nothing else */
    uint32_t change_deaths;     /* the changer's: deaths before the worker that made the last change was asked */
    uint32_t deaths;            /* atomic: workers that were buried, or were ready to serve and could not start */
    uint64_t restarts, retries; /* atomic: workers that took over; further attempts in those whose page is gone */
    int wait_status;            /* of the last one */
    struct gq_dying dying;      /* it was given up before its process ended */
    struct gq_lane *lane[GQ_LANES_MAX]; /* added under `lock`: for who takes over */
    uint32_t lane_count;                /* atomic */
    uint32_t lanes_given;               /* the renewer's: to the worker that takes over */
    bool expected;                      /* atomic: the end was asked for */
    const char *ended_why;              /* the watching thread's: why it killed the worker; NULL: it did not */
    bool said_why;                      /* it ended with a sentence of its own */
    char last_word[GQ_PACKET_TEXT];     /* its own sentence, when a request met it in place of an answer */
    char why[GQ_ERROR_TEXT_MAX];        /* of the last death; "" before there was one */
    gq_status cause;                    /* of the end without a next worker, written before `dead` */
};

/* Takes the worker that `probed` is, or starts one if it is none, and sets it up for this configuration. `versions` of
 * the stages' code outlive it; NULL: nobody counts what they serve. So does the keeper; NULL: there is none. `threads`
 * of the CPU backend: 0 is as many as the configuration says; 1, on each backend: it serves one message at a time. */
gq_status gq_remote_create(const struct gq_conf *conf, enum gq_backend_kind backend, uint32_t threads,
                           struct gq_versions *versions, const struct gq_remote_keeper *keeper,
                           struct gq_process *probed, struct gq_remote **out);
/* Starts the worker's program: "worker", or "reserve" for one that is to wait; and sends it `first`, which may be NULL.
 * A failure may leave a process to be ended. */
gq_status gq_remote_start_process(const char *what, const struct gq_packet *first, struct gq_process *out);
/* For the keeper: takes the process that is ready, or starts another if it is none, gives it a page of its own, and
 * sets it up. */
gq_status gq_remote_begin(struct gq_remote *remote, struct gq_process ready);
/* For the keeper: another worker takes over. Counted before a lane is given on, which shows the results of trials, and
 * before it serves, so that whoever has a result that was waited for sees the count. */
void gq_remote_count_restart(struct gq_remote *remote);
/* For the keeper: is a change under way, of which a worker may have ended that met no message? */
bool gq_remote_is_changing(struct gq_remote *remote);
/* For the keeper, before it is ready to serve: does it wait for its turn? Its thread does nothing until it has it. */
bool gq_remote_change_waits(struct gq_remote *remote);
/* For the keeper, when it is ready to serve: a change that was asked for comes first, and is over when this returns. */
void gq_remote_give_turn(struct gq_remote *remote);
/* For the keeper: it serves from here on. It may meet the next message that ends it before it can answer: that is a
 * death like any other. An error: it lives, and does not serve; that counts as a death, too. */
gq_status gq_remote_succeed(struct gq_remote *remote);
/* For the keeper: was the end asked for meanwhile? */
static inline bool gq_remote_expected(const struct gq_remote *remote)
{
    return __atomic_load_n(&remote->expected, __ATOMIC_ACQUIRE);
}
/* Workers that died, or that could not start when they were ready to serve. */
uint32_t gq_remote_deaths(const struct gq_remote *remote);
/* GQ_ERR_DEVICE with the sentence of the last death, if there were more than so many. */
gq_status gq_remote_check_since(struct gq_remote *remote, uint32_t deaths);
/* Workers that took the place of one that died. */
uint64_t gq_remote_restarts(const struct gq_remote *remote);
/* By force, if it lives. `why` becomes the cause in the sentence of its death; NULL: what it died of. */
void gq_remote_kill(struct gq_remote *remote, const char *why);
/* For the keeper, by the thread that watches the worker, whose look has found a reason: a request may wait for this
 * worker's answer, and what the worker holds is why there is none. `why` is kept by pointer. */
void gq_remote_end_watched(struct gq_remote *remote, const char *why);
/* What the driver says of a device, asked by a worker process; GQ_ERR_UNAVAILABLE: why there is none. The worker is
 * kept for gq_remote_create, so that a run initializes the driver once; with `keep` NULL it ends with its answer. */
gq_status gq_remote_probe(uint32_t device, uint32_t *arch, char *name, size_t size, struct gq_process *keep);
/* Moves bytes between the host and a device for less than a second, in a process of its own. */
gq_status gq_remote_measure_bus(uint32_t device, struct gq_bus *out);
gq_status gq_remote_load(struct gq_remote *remote, const struct gq_image *image, const char *stage_name,
                         uint32_t version, uint32_t generation, uint32_t blocks);
/* After every image: GQ_ERR_PLUGIN if the device does not hold all their grids at the same time. */
gq_status gq_remote_fit(struct gq_remote *remote);
gq_status gq_remote_add_lane(struct gq_remote *remote, struct gq_lane *lane);
/* For the keeper: a lane that was added before goes on with this worker. */
gq_status gq_remote_take_over(struct gq_remote *remote, struct gq_lane *lane, const struct gq_lane_range *range);
/* Some messages of somebody else's lane. */
gq_status gq_remote_add_window(struct gq_remote *remote, const struct gq_lane *lane,
                               const struct gq_lane_window *window, const struct gq_lane_range *range);
gq_status gq_remote_run(struct gq_remote *remote);
/* Nothing runs until the next gq_remote_run(). */
gq_status gq_remote_pause(struct gq_remote *remote);

/* A change of a stage's code, as the worker is told of it. */
struct gq_remote_change {
    const char *stage_name;
    uint32_t stage, version, generation;
    uint32_t share;  /* of a canary: of a million messages, how many */
    uint32_t blocks; /* of a grid; 0: as many as fit */
    bool fresh;      /* the stage's memory is zero again */
    bool migrates;   /* the new code takes over memory of the old one's */
};
/* Loads `image` as that version and makes it live; returns when it serves. `times->step` says how far it came. */
gq_status gq_remote_swap(struct gq_remote *remote, const struct gq_image *image, const struct gq_remote_change *change,
                         struct gq_swap_times *times);
/* The same for a share of the messages, beside the live version, until one of the two is used; `times->share` is the
 * share that it has. */
gq_status gq_remote_canary(struct gq_remote *remote, const struct gq_image *image,
                           const struct gq_remote_change *change, struct gq_swap_times *times);
/* Makes a version live that was loaded before; `image` for a worker that does not have it. */
gq_status gq_remote_use(struct gq_remote *remote, const struct gq_image *image, const struct gq_remote_change *change,
                        struct gq_swap_times *times);
/* A version that is not live is no longer wanted, if the worker has it. */
gq_status gq_remote_discard(struct gq_remote *remote, uint32_t stage, uint32_t version);
/* Ends it, as gq_remote_kill, and returns when another serves what is live, or nobody does any more. */
void gq_remote_replace(struct gq_remote *remote, const char *why);
/* A stop has begun, which may take until then: no request waits for much longer, and a worker that owes an answer by
 * then is ended. */
void gq_remote_end_by(struct gq_remote *remote, uint64_t deadline_ns);
/* Nobody waits any more for what has not ended: no worker is made ready in the place of this one. */
void gq_remote_expect_end(struct gq_remote *remote);
/* Lets it finish what it holds and ends it, by force after `grace_ms`. GQ_ERR_DEVICE when its own sentence says that it
 * broke: a device reports a fault late, and the results may all have come. */
gq_status gq_remote_stop(struct gq_remote *remote, uint32_t grace_ms);
void gq_remote_destroy(struct gq_remote *remote);

/* GQ_OK while the worker lives; else GQ_ERR_DEVICE with the sentence of its death. */
gq_status gq_remote_check(struct gq_remote *remote);
/* Of one that does not live any more: GQ_ERR_NO_MEMORY or GQ_ERR_UNAVAILABLE, which no other could start for; else, and
 * while it lives, GQ_ERR_DEVICE. */
gq_status gq_remote_cause(const struct gq_remote *remote);

/* post_mortem.c: who died of what, doing what. `died` is the worker's own last word, or "". `versions` may be NULL. */
void gq_post_mortem(const struct gq_conf *conf, struct gq_versions *versions, const struct gq_worker_page *page,
                    int wait_status, const char *died, struct gq_text *out);

#endif
