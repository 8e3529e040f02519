/* soak.h - a soak with faults and swaps: lanes at full rate whose messages are checked one by one, changes of the code
 * that serves them, and a fault now and then whose end is measured as an application sees it.
 *
 * Every result is held against what must have become of its message: it comes once, in the order of its lane, whole,
 * made by code and with a generation that could be live; or the message is given up, and then it is to blame.
 */
#ifndef TESTS_FAULT_SOAK_H
#define TESTS_FAULT_SOAK_H

#include <gpuqueue/swap.h>
#include <pthread.h>
#include "poison.h"
#include "support.h"

#define SOAK_LANES_MAX 7u
#define SOAK_CAPACITY 1024u
#define SOAK_TAGS 9u /* the one that is live, three that are kept, and as many that are not loaded */
#define SOAK_KEPT 3u
#define SOAK_CHANGES (1u << 17)
#define SOAK_PATIENCE_MS 60000u /* without a result: somebody waits for ever */

enum soak_kind { SOAK_TRAP, SOAK_KILL, SOAK_HANG, SOAK_ADDRESS, SOAK_KINDS };

/* A change of the code: the tag that was to be live, and the one that was when the change had been answered. */
struct soak_change {
    uint8_t tag, live;
};

/* Of a message on its way. */
struct soak_flight {
    uint32_t change;     /* the newest change that had been answered when it was sent */
    uint32_t generation; /* that a result of it has at least */
    uint32_t calm;       /* the fault that was over and the newest when it was sent; SOAK_FAULTY: there was another */
    enum poison kind;
};
#define SOAK_FAULTY UINT32_MAX

/* What a lane saw of a fault, as times of the clock. */
struct soak_sight {
    uint64_t pause_ns, resumed_ns; /* the longest time without a result, and when it ended */
    uint64_t sent_ns, behind_ns;   /* of the lane with the guilty message: when that was sent, and when the one behind
                                      it had its result; 0 in other lanes */
};

struct soak_lane {
    struct soak *s;
    pthread_t thread;
    uint32_t number; /* that the queue gave it */
    uint64_t dice, sent, last_ns;
    uint64_t checked;        /* atomic */
    uint64_t guilty;         /* atomic: messages that were to be given up, */
    uint64_t given_up;       /* atomic: and that were */
    uint32_t order;          /* atomic: what its next message does, an enum poison */
    uint32_t calm, newest;   /* newest: generation of results of messages of that calm */
    uint64_t guilty_number;  /* of the newest one */
    uint32_t seen, settling; /* faults: whose `sight` that is; whose end it heard of, */
    uint64_t settled_from;   /* when it had sent so many */
    struct soak_sight sight;
    uint64_t right;         /* atomic: answers since the first wrong one of any lane */
    uint64_t right_ns;      /* the device's clock at the newest right answer */
    struct soak_sight told; /* of the fault `over` */
    uint32_t over;          /* atomic: the fault after which this lane has had a result of a message sent after it */
    struct soak_flight flight[SOAK_CAPACITY];
};

struct soak {
    gq_pipeline *p;
    GpuQueue *q;
    uint64_t seed;
    uint32_t lanes;
    struct soak_lane lane[SOAK_LANES_MAX];
    bool end;             /* atomic: no more messages */
    uint32_t fault;       /* atomic: number of the newest, */
    uint32_t settled;     /* atomic: and of the one after which another worker serves */
    uint32_t begun, done; /* atomic: changes that were asked for, and that were answered */
    uint32_t least, most; /* atomic: generations that a new message's result has at least, that any has at most */
    struct soak_change change[SOAK_CHANGES];
    uint8_t code[2 * SOAK_CHANGES];    /* atomic: by generation, the tag of its code with one added; 0: nobody knows */
    uint32_t launch[2 * SOAK_CHANGES]; /* atomic: by generation, the launch on a device that answered last */
    uint64_t swaps, uses, rollbacks, refused;
    uint32_t told_rolled_back; /* atomic: notes of code that the pipeline went back from */
};

/* Is that the tag of this generation's code, by whatever was seen and told of it before? It is from here on. */
static inline bool soak_is_code(struct soak *s, uint32_t generation, uint32_t tag)
{
    uint8_t known = 0;
    REQUIRE(generation < 2 * SOAK_CHANGES && tag < SOAK_TAGS, "generation %u, tag %u", generation, tag);
    __atomic_compare_exchange_n(&s->code[generation], &known, (uint8_t)(tag + 1), false, __ATOMIC_RELAXED,
                                __ATOMIC_RELAXED);
    return known == 0 || known == tag + 1;
}

/* --- what happened (soak_log.c) ----------------------------------------------------------------------------------- */

void soak_tell(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* An answer, with what is known of its message. */
struct soak_answer {
    uint64_t ns, number; /* when it was taken */
    uint32_t lane, tag, generation;
    struct poison_marks marks;
    struct soak_flight flight;
};

/* One by code that cannot have been live, or not with these data. More are waited for before the test fails. */
void soak_answer_wrong(const struct soak_answer *a);
void soak_answer_right(struct soak_lane *l, const struct soak_answer *a);
/* Fails some time after the first wrong answer; if it is the `last` time that it is asked, in any case. And as soon as
 * the pipeline went back from code by itself: there is none that ends every worker. */
void soak_require_right(const struct soak *s, bool last);
void soak_log_print(const struct soak *s);
/* From here on a failure prints what happened. */
void soak_log_failure(struct soak *s);

/* --- steps of a takeover (soak_steps.c) --------------------------------------------------------------------------- */

/* From here on a worker on a GPU that the host gives up is killed so much later, beside the one that takes over. */
void soak_kill_late(uint32_t ms);

/* --- lanes (soak_lane.c) ------------------------------------------------------------------------------------------ */

void soak_start_lane(struct soak *s, uint32_t index);
void soak_join_lanes(struct soak *s); /* when it is the `end` */

/* --- changes (soak_change.c) -------------------------------------------------------------------------------------- */

void soak_write_plugins(char *folder, size_t size);
const char *soak_plugin(const char *folder, uint32_t tag, char path[static 512]);
/* From the code that is live to each other, as often as it says; one that is no more loaded each time. */
void soak_swap_in_turn(struct soak *s, const char *folder, uint32_t times);
/* One change, of any kind. By one thread at a time. */
void soak_change_something(struct soak *s, const char *folder);

#endif
