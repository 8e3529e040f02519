/* storm.h - a storm of faults (one of swaps is in tests/stress): lanes under load whose messages are checked one by
 * one, changes of the code that serves them, and strikes at every process and every limit that there is.
 *
 * Every result is held against what must have become of its message: it comes once, in the order of its lane, whole,
 * made by code that was live when it was made; or the message is given up, and then it is to blame.
 */
#ifndef TESTS_FAULT_STORM_H
#define TESTS_FAULT_STORM_H

#include <gpuqueue/swap.h>
#include <pthread.h>
#include "poison.h"
#include "support.h"

#define STORM_LANES 4u
#define STORM_TAKERS 2u
#define STORM_CAPACITY 256u
#define STORM_TAGS 4u
#define STORM_TIMEOUT_MS 500u
#define STORM_CHANGES (1u << 16)
#define STORM_PATIENCE_MS 60000u /* without any result: somebody waits for ever */

/* A change of the code: the tag that was to be live, and the one that was when the change had been answered. */
struct storm_change {
    uint32_t tag, live;
};

struct storm_flight {
    uint32_t floor; /* the newest change that had been answered when it was sent */
    enum poison kind;
};

struct storm_lane {
    struct storm *s;
    pthread_t thread;
    uint32_t number; /* that the queue gave it; known to takers by the first byte of an id */
    uint64_t dice, hangs;
    uint64_t sent; /* atomic */
    uint64_t count[POISON_KINDS];
    struct storm_flight flight[STORM_CAPACITY];
    /* under the storm's take_lock */
    uint64_t checked, given_up;
};

enum storm_strike {
    STORM_KILL_SERVING,
    STORM_KILL_BESIDE,
    STORM_STOP_WORKER,
    STORM_KILL_BUILDER,
    STORM_NO_FILES,
    STORM_NO_ROOM,
    STORM_STRIKES
};

enum storm_kind {
    STORM_SWAP,
    STORM_CANARY,
    STORM_USE,
    STORM_ROLLBACK,
    STORM_NEW_TEXT,
    STORM_NO_COMPILE,
    STORM_WRONG_GOLDEN,
    STORM_BAD_CANARY,
    STORM_BAD_CODE,
    STORM_KINDS
};

struct storm {
    gq_pipeline *p;
    GpuQueue *q;
    char folder[64];
    uint64_t seed, messages, faults; /* at least so many of both */
    struct storm_lane lane[STORM_LANES];
    pthread_mutex_t take_lock;
    uint64_t checked; /* atomic: results so far */
    uint64_t last_ns, pause_ns;
    bool over;     /* atomic: no more changes and strikes */
    bool enough;   /* atomic: no more messages */
    bool all_sent; /* atomic: nobody sends any more */

    uint32_t begun, done; /* atomic: changes that were asked for, and that were answered */
    struct storm_change change[STORM_CHANGES];
    uint64_t live[STORM_KINDS], refused[STORM_KINDS];    /* atomic: changes */
    uint64_t struck[STORM_STRIKES];                      /* atomic */
    uint32_t told_dead, told_given_up, told_rolled_back; /* atomic: notes */
};

/* --- lanes (storm_lane.c) ----------------------------------------------------------------------------------------- */

void storm_start_lanes(struct storm *s);
void storm_join_lanes(struct storm *s); /* when there are `enough` */
/* Threads that take results of all lanes, until everything was taken. */
void storm_start_takers(struct storm *s, pthread_t taker[STORM_TAKERS]);
/* How often messages did something to their worker so far. */
uint64_t storm_poisons(const struct storm *s);

/* --- changes (storm_change.c) ------------------------------------------------------------------------------------- */

extern const char *const storm_kind_name[STORM_KINDS];
void storm_write_plugins(const struct storm *s);
const char *storm_plugin(const struct storm *s, const char *name, char path[static 256]);
/* A first change to each, before the storm: a compiler takes far longer than all the rest of a swap. */
void storm_build_all(struct storm *s);
/* A thread: one change after another until it is over. */
void *storm_change_code(void *storm);

/* --- strikes (storm_strike.c) ------------------------------------------------------------------------------------- */

extern const char *const storm_strike_name[STORM_STRIKES];
/* A thread: one strike after another until it is over. */
void *storm_strike(void *storm);

static inline uint64_t storm_load(const uint64_t *word) { return __atomic_load_n(word, __ATOMIC_ACQUIRE); }
static inline void storm_count(uint64_t *word, uint64_t more) { __atomic_fetch_add(word, more, __ATOMIC_RELEASE); }
static inline bool storm_is_over(const struct storm *s) { return __atomic_load_n(&s->over, __ATOMIC_ACQUIRE); }

#endif
