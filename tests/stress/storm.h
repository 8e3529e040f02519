/* storm.h - a storm of swaps: plugins that sign what they make, lanes under load that know which generation must have
 * answered each message.
 *
 * The code of a stage has a tag. It maps each byte b of a message to b * (2 * tag + 1) + tag, modulo 256, and appends
 * the tag and the count of messages that the stage has seen, eight bytes of gq_state. So from a result one can tell,
 * from the last stage back to the first, which code every stage ran, undo what it did, and compare what is left with
 * the message; and the counts of a stage, over a whole run, are each number from 0 once, whatever code it ran.
 */
#ifndef TESTS_STRESS_STORM_H
#define TESTS_STRESS_STORM_H

#include <gpuqueue/swap.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include "base/histogram.h"

#define STORM_STAGES_MAX 3u
#define STORM_PRODUCERS_MAX 7u
#define STORM_TAGS 9u /* the one at the start, three that are kept, and as many that are not loaded */
#define STORM_SIGNATURE 9u
#define STORM_CAPACITY 1024u
#define STORM_SLOT_BYTES 64u
#define STORM_GENERATIONS (1u << 17)

/* --- plugins (storm_plugin.c) ------------------------------------------------------------------------------------- */

/* Ways in which a plugin is refused. */
enum storm_flaw {
    STORM_NO_FILE,
    STORM_NO_COMPILE,
    STORM_OTHER_STATE,
    STORM_WRONG_GOLDEN,
    STORM_CRASH,
    STORM_ENDLESS,
    STORM_FLAWS
};

extern const char *const storm_flaw_name[STORM_FLAWS];
extern const gq_swap_step storm_flaw_step[STORM_FLAWS]; /* where each is refused */

/* A folder under $TMPDIR or /tmp with every plugin and its golden vectors. */
void storm_write_plugins(char *folder, size_t size);
void storm_remove_plugins(const char *folder);
/* Valid until the next call of the same thread. */
const char *storm_plugin(const char *folder, uint32_t tag);
const char *storm_flawed(const char *folder, enum storm_flaw flaw);

/* Undoes what a stage did to bytes[0 .. *len-1], in place. */
void storm_undo(uint8_t *bytes, uint32_t *len, uint32_t *tag, uint64_t *count);

/* --- lanes under load (storm_lane.c) ------------------------------------------------------------------------------ */

/* The pipeline's code as of a generation. */
struct storm_generation {
    uint8_t stage; /* that it changed */
    uint8_t tag[STORM_STAGES_MAX];
};

struct storm {
    GpuQueue *q;
    uint64_t seed;
    uint32_t stages, producers;
    bool whole;           /* a message meets one generation of all stages, as on the CPU backend */
    bool end;             /* atomic: no more messages */
    uint32_t begun, done; /* atomic: the newest generation that any result may carry, and that all new ones must */
    struct storm_generation generation[STORM_GENERATIONS]; /* written up to `begun` */
};

struct storm_lane {
    struct storm *s;
    pthread_t thread;
    uint32_t number, newest;            /* newest: generation that a result had */
    uint32_t reached[STORM_STAGES_MAX]; /* generation whose code a stage of it ran last */
    uint32_t floor[STORM_CAPACITY];     /* of messages in flight: the least generation that may answer */
    uint64_t dice, sent;
    uint64_t checked;                  /* atomic */
    uint64_t counts[STORM_STAGES_MAX]; /* the sum of a hash of each count */
    uint64_t last_ns, switches;
    struct gq_histogram gap; /* of each change: from the last result before it to the first after */
};

void storm_start(struct storm_lane *lane, struct storm *s, uint32_t number);
void storm_join(struct storm_lane *lane);
/* Every count of every stage was there once. */
void storm_check_counts(const struct storm *s, const struct storm_lane *lanes);

#endif
