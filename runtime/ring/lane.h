/* lane.h - one lane seen from the host: a single producer thread puts messages in, any thread takes results out.
 *
 * Producer side: claim -> fill -> publish, by the owning thread alone, without a lock.
 * Consumer side: under the lane's lock, taken once for a batch. A slot goes  live -> seen -> taken -> live  again:
 *   live    in flight, or finished and not yet handed out
 *   seen    its id was reported by a poll
 *   held    its result was peeked and is in somebody's hands
 *   taken   done with; its slot is free once all before it are
 *   mute    in flight, and its result is nobody's: it was taken from a lane before this one. Taken once it has ended
 *
 * Whoever peeks and releases in order pays for no byte of state: as long as nothing else was done, messages below
 * `released` are free, those below `seen` are held, and the rest is live. Anything else (a release out of order, a
 * result by its number, a poll, a dropped message) writes the states down, a byte a slot, until all those bytes are
 * live again.
 */
#ifndef GQ_RING_LANE_H
#define GQ_RING_LANE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include "base/error.h"
#include "base/histogram.h"
#include "device/slot.h"
#include "ring/due.h"
#include "ring/express.h"
#include "ring/link.h"
#include "ring/packets.h"

/* What was handed out of one generation's results. */
struct gq_lane_tally {
    uint32_t generation;          /* 0: of none yet */
    uint64_t results, failed;     /* failed ones are results too */
    struct gq_histogram *latency; /* accepted -> seen; NULL: not timed */
};

struct gq_lane;

/* Who keeps what a lane is given beyond the life of this process. */
struct gq_lane_keeper {
    void *arg;
    /* Messages `first` to `first + count - 1` lie in their slots, len[] long, and are about to be published: GQ_OK when
     * they are kept. Called by the producer. */
    gq_status (*accept)(void *arg, const struct gq_lane *lane, uint64_t first, const uint32_t *len, uint32_t count);
    /* Nobody may ask for the results of these again. With the lane's lock. */
    void (*done)(void *arg, uint32_t lane, uint64_t first, uint64_t count);
};

struct gq_lane_opts {
    uint32_t lane, capacity, slot_bytes;
    uint64_t first_seq;                  /* messages are numbered from here on; those below had other lanes */
    const struct gq_lane_keeper *keeper; /* outlives the lane; NULL: nobody keeps */
    bool generated;                      /* messages are made by a source plugin */
    uint64_t first_index;                /* generated: index of message 0 */
    uint64_t index_step;                 /* generated: from the index of one message to that of the next */
    uint64_t count;                      /* generated: how many messages there will be */
    bool counted;                        /* generated: results are only counted, see counted.h */
    bool timed;                          /* keep the histogram accepted -> seen */
    /* Told of a generation's results when its tally is needed for another one, or gq_lane_tell() is called: with the
     * lane's lock held, and the tally is the lane's. NULL: nobody wants to know. */
    void (*tell)(void *arg, const struct gq_lane_tally *tally);
    void *tell_arg;
};

struct gq_lane_counts {
    uint64_t submitted, taken; /* submitted - taken is the depth; slots are free once all before them are, too */
    uint64_t dropped, failed, refused_full, lost;
};

struct gq_lane {
    struct gq_lane_view view;
    struct gq_link *link;
    int in_fd, out_fd;
    size_t in_bytes, out_bytes;
    bool generated, counted;
    uint64_t generate_count;
    uint64_t counts[GQ_COUNTS]; /* counted: what was told so far */
    uint32_t torn;              /* counted: looks in a row that found a write under way */
    bool fetch_ahead; /* slots that a device touched last are worth fetching early; from a processor's cache that takes
                         longer than the use itself, and halved the rate */
    struct gq_express *express; /* NULL: the worker reads no express lines */
    uint64_t *sent_ns;          /* per slot: when it was published; NULL: not timed */
    uint64_t first_seq;
    const struct gq_lane_keeper *keeper; /* NULL: nobody keeps */

    /* the producer's line */
    _Alignas(GQ_LINE_BYTES) uint64_t claimed; /* atomic: next seq to claim */
    uint64_t room_end;                        /* a cached released + capacity */
    uint64_t refused_full;
    uint64_t submitted; /* atomic: next seq to publish */

    /* the consumers' line */
    _Alignas(GQ_LINE_BYTES) pthread_mutex_t lock;
    uint64_t seen;     /* next seq to hand out */
    uint64_t released; /* atomic: slots of all below are free */
    uint64_t taken;    /* atomic: messages done with, mute ones left out; in any order */
    uint64_t dropped, failed, lost;
    struct gq_dues dues;
    uint32_t distrusted;     /* atomic: what is finished and was not handed out is as if it had not ended, */
    uint64_t *put;           /* unless a renewal has put its ending there: its seq + 1, by slot; NULL: of none so far */
    uint64_t renewed;        /* messages below it may have been answered before, and are not any more */
    uint64_t muted, unmuted; /* messages whose results are nobody's: published, and of those ended */
    uint8_t *state;          /* per slot, if `marks` is not 0 */
    uint32_t marks; /* slots whose byte in `state` is not live; 0: [released, seen) is held, what is above is live */
    uint32_t room_bell; /* futex: grows when room appears and somebody waits for it */
    uint32_t room_waiters;
    struct gq_lane_tally tally[2]; /* since tell() was called last: of a canary and of the live version, say */
    void (*tell)(void *arg, const struct gq_lane_tally *tally);
    void *tell_arg;
};

struct gq_lane_result {
    uint64_t seq;
    const uint8_t *data;
    uint64_t meta; /* gq_meta_* */
    uint32_t len;
};

size_t gq_lane_in_bytes(uint32_t capacity, uint32_t slot_bytes);
size_t gq_lane_out_bytes(uint32_t capacity, uint32_t slot_bytes);

/* The addresses of a lane's parts, from where its two files are mapped. `lane` is left to the caller. */
void gq_lane_view_fill(struct gq_lane_view *view, uint8_t *in, uint8_t *out, uint32_t capacity, uint32_t slot_bytes);

/* Makes one of a lane's two files, whose size is sealed, and maps it; NULL, with errno set: it cannot, and *fd is the
 * caller's to close unless it is -1. */
void *gq_lane_make_file(const char *name, size_t bytes, int protection, int seals, int *fd);

/* Fresh memory is zero, which is the stamp of one message in 2^32, and that one is in the last slot. This is a word
 * with the stamp of none there, for those are multiples of the capacity. Not for the first lap alone: messages that are
 * answered by express leave descriptors as they were. */
#define GQ_NOBODYS_STATE ((uint64_t)UINT32_MAX << 32)
/* No message has ended in a fresh egress, whatever its number. By the file: the host's mapping is for reading. */
gq_status gq_lane_start_egress(const struct gq_lane_view *view, int fd);

gq_status gq_lane_create(const struct gq_lane_opts *opts, struct gq_link *link, struct gq_lane **out);
void gq_lane_destroy(struct gq_lane *lane);

/* Producer. Claims up to `want` slots behind those claimed: returns how many, *first is the seq of the first. Waits
 * until `deadline_ns` for at least one; 0 means now or never. 0 when the lane is full or dead. */
uint32_t gq_lane_claim(struct gq_lane *lane, uint32_t want, uint64_t deadline_ns, uint64_t *first);
/* Producer. Claims from `seq` on go back. */
static inline void gq_lane_unclaim(struct gq_lane *lane, uint64_t seq)
{
    __atomic_store_n(&lane->claimed, seq, __ATOMIC_RELAXED);
}
/* Producer. Counts a message that was turned away because the lane was full: a caller may ask many times for one. */
void gq_lane_refuse(struct gq_lane *lane);
static inline uint8_t *gq_lane_slot(const struct gq_lane *lane, uint64_t seq) { return gq_slot_in(&lane->view, seq); }
/* Producer. Publishes the oldest claimed messages, len[0] to len[count - 1]; the caller then rings the worker. */
void gq_lane_publish(struct gq_lane *lane, const uint32_t *len, uint32_t count, uint64_t now_ns);

/* Producer. The next message to be published is mute. */
void gq_lane_mute_next(struct gq_lane *lane);

/* Consumer. Up to `max` results, oldest first, which become seen (`hold` false) or held. Dropped messages are passed
 * over and released. Once the worker is dead, messages that never finished are passed over too and count as lost. */
uint32_t gq_lane_take(struct gq_lane *lane, bool hold, struct gq_lane_result *results, uint32_t max);
/* Consumer. Results of the messages that are claimed from here on (made, by a source), if they came as far as `stage`,
 * have this generation or a later one. One that has not is not there, and the link is told. The last GQ_DUES calls
 * hold, each for the messages since. */
void gq_lane_expect(struct gq_lane *lane, uint32_t stage, uint32_t generation);
/* Consumer. The worker has ended, and may have let others write over what it left: until the lane is renewed, results
 * that were not handed out are not there, but for endings that a renewal has put there, which no worker writes to. Then
 * they are made again; if there is no other worker, they are lost. Not for counted lanes. */
void gq_lane_distrust(struct gq_lane *lane);
/* Consumer. With the lock: what has ended at the front, and is nobody's, makes room. */
void gq_lane_reap(struct gq_lane *lane);
/* Consumer. Is there something for gq_lane_take? Without the lock: a hint. */
bool gq_lane_has_results(const struct gq_lane *lane);
/* Consumer. Everything that was submitted has been handed out: gq_lane_take has nothing to wait for. A hint likewise.
 */
bool gq_lane_spent(const struct gq_lane *lane);
/* Consumer. Everything that was submitted is released. */
bool gq_lane_idle(const struct gq_lane *lane);
/* Consumer. Gives held slots back. GQ_ERR_NOT_FOUND for one that is not held; those before it are given back. */
gq_status gq_lane_release(struct gq_lane *lane, const uint64_t *seqs, uint32_t count);
/* The same for `count` messages from `first` on. In the order in which they were held it costs the same for any count.
 */
gq_status gq_lane_release_run(struct gq_lane *lane, uint64_t first, uint64_t count);

/* Consumer. Copies the result of one message and takes it, or in a lane with a keeper holds it: GQ_OK,
 * GQ_ERR_NOT_READY, GQ_ERR_NOT_FOUND, GQ_ERR_INVALID_ARG (*len is the size needed, the result stays), GQ_ERR_DEVICE
 * (failed in a plugin, now taken or held; or, with *meta 0, lost: the worker is dead, or what was there is gone).
 * Without a sentence. */
gq_status gq_lane_fetch(struct gq_lane *lane, uint64_t seq, void *buffer, size_t *len, uint64_t *meta);

/* Tells of the results handed out since the last time. */
void gq_lane_tell(struct gq_lane *lane);
/* Merges the latencies of the results that were not told of. */
void gq_lane_merge_latency(struct gq_lane *lane, struct gq_histogram *into);
/* Counts results of a generation, and returns its tally; with the lock held, as the next. */
struct gq_lane_tally *gq_lane_tally(struct gq_lane *lane, uint32_t generation, uint64_t results, uint64_t failed);
/* Counts results that are handed out, with their latencies; `failed` of them failed. */
void gq_lane_tally_results(struct gq_lane *lane, const struct gq_lane_result *results, uint32_t count, uint32_t failed);

/* Is the result of a message that is not released there, in its slot or its express line? With the lock. Not for
 * counted lanes. One whose words no worker writes, over which a plugin wrote, is not, and the link is told. */
bool gq_lane_ready(struct gq_lane *lane, uint64_t seq, struct gq_lane_result *r);
/* The same, whether the lane is distrusted or not. */
bool gq_lane_answered(struct gq_lane *lane, uint64_t seq, struct gq_lane_result *r);
/* Is message seq, which is not released, in somebody's hands or done with? With the lock. */
bool gq_lane_is_held(const struct gq_lane *lane, uint64_t seq);
/* Has a renewal put its ending there? With the lock. */
bool gq_lane_was_put(const struct gq_lane *lane, uint64_t seq);

/* Messages below `end` that were submitted and have not finished. Without the lock, and it looks at each slot between
 * the released ones and `end`. */
uint64_t gq_lane_unfinished_below(struct gq_lane *lane, uint64_t end);
/* Messages submitted and not finished. Looks at every slot in use: for shutdown, not for the data path. */
uint64_t gq_lane_unfinished(struct gq_lane *lane);
/* Generated lanes: as many messages more as there is room for. With the lock, or before anybody else has the lane. */
void gq_lane_grant(struct gq_lane *lane);
/* Generated lanes: no messages beyond those already granted. */
void gq_lane_end_generation(struct gq_lane *lane);
/* The same before the worker runs, and those that were granted neither. */
void gq_lane_withdraw_generation(struct gq_lane *lane);

void gq_lane_get_counts(struct gq_lane *lane, struct gq_lane_counts *out);

/* --- another worker takes over. lane_renew.c: the one before is reaped, and nobody writes its egress any more. ------
 */

/* How one message ended outside the lane. */
struct gq_lane_ending {
    uint64_t id, meta;
    uint32_t len; /* of `data`, or what the plugin reported */
    uint8_t *data;
};

/* Gives the lane a fresh egress, in which what was finished is finished still, and so are messages of `endings`, if
 * they are the lane's. What was handed out stays where it is. `range` is what the next worker is told.
 *
 * Whatever came by express is in its slot then, with a descriptor. What had come only in part has not ended. `mixed` is
 * behind all that have ended, and at the first other one whose own descriptor is not there yet: its producer is about
 * to write it.
 *
 * A counted lane goes on behind what was taken of it: `first` is that number, and the fresh counts are those taken with
 * it. Messages behind it are made again, but for those that were given up (GQ_RESULT_FAULTED), by `endings` or in a
 * renewal before: they have descriptor and unit, are below `mixed`, and the next worker counts them as failed. What was
 * taken and not released can still be asked for by gq_counted_failed(). */
gq_status gq_lane_renew(struct gq_lane *lane, const struct gq_lane_ending *endings, uint32_t count,
                        struct gq_lane_range *range);

/* Is there a good result of this generation, or a later one, that is not released, distrusted or not? In a counted
 * lane: that was not taken, and will count as one of it. */
bool gq_lane_has_good(struct gq_lane *lane, uint32_t generation);
/* Can a worker have met the message, and has it not ended? Any id. In a counted lane it has ended when it was counted
 * or failed. */
bool gq_lane_is_open(struct gq_lane *lane, uint64_t id);

/* A lane's messages for a worker that serves some of them: the lane's ingress, and an egress of its own. */
struct gq_lane_window {
    struct gq_lane_view view;
    int out_fd; /* -1: closed */
    size_t out_bytes;
};
/* For seqs[0] to seqs[count - 1], which ascend and are less than a lap apart. `range` is what the worker is told: of
 * the messages between them, all others have ended in the window's egress. */
gq_status gq_lane_window_open(struct gq_lane_window *window, const struct gq_lane *lane, const uint64_t *seqs,
                              uint32_t count, struct gq_lane_range *range);
void gq_lane_window_close(struct gq_lane_window *window);
/* Has the message ended there? Then *ending is how; its data is the caller's to free. Only for messages that the window
 * was opened for: the others count as ended. Of a counted lane's messages, those that did not fail are all good,
 * without a byte. */
bool gq_lane_window_ending(const struct gq_lane_window *window, uint64_t seq, struct gq_lane_ending *ending);

#endif
