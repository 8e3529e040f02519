/* journal.h - a file that keeps what q_enqueue accepted until its result is taken, whatever happens to the process.
 *
 *   open    one process has the file at a time; what an earlier one left is read, and the file is written anew without
 *           what is over
 *   accept  a lane's messages are in the file, or on the disk, before the lane publishes them; several threads share
 * one fdatasync take    nobody may ask for a result again: noted in memory, and written with what is written next, or
 * by a flush close   the file is written anew
 *
 * The file is also written anew when it has grown: to a second name, which becomes durable and takes the first one's
 * place. It is bounded by twice what is in flight and GQ_JOURNAL_SPARE_BYTES. docs/internals/journal.md says why.
 *
 * Any thread may call any function but open, close and those about what was left.
 */
#ifndef GQ_PIPELINE_JOURNAL_H
#define GQ_PIPELINE_JOURNAL_H

#include <pthread.h>
#include "base/hold.h"
#include "config/conf.h"
#include "device/slot.h"
#include "pipeline/journal_format.h"

#define GQ_JOURNAL_SPARE_BYTES (16u << 20)
#define GQ_JOURNAL_PENDING 64u
#define GQ_JOURNAL_SEQ_END (1ull << 55) /* numbers of messages are below: an id has room for 2^56 */
#define GQ_JOURNAL_MODE 0600u           /* messages are the application's own */
#define GQ_JOURNAL_BUFFER (1u << 20)    /* what is written at a time, about */

struct gq_journal_opts {
    const char *path;
    enum gq_durability durability;
    uint32_t capacity, slot_bytes; /* of the lanes */
    uint64_t spare_bytes;          /* 0: GQ_JOURNAL_SPARE_BYTES */
};

/* What of a lane is in the file. */
struct gq_journal_lane {
    uint64_t first, next; /* messages that may be asked for, and some among them that may not any more */
    uint64_t *places;     /* of each, by its number: where in the file its record is; NULL: the lane was never used */
};

struct gq_journal {
    struct gq_journal_opts opts;
    char *path;                /* as it was named: for sentences */
    char *place, *fresh_place; /* absolute: a program may change its folder while it has a queue */
    pthread_mutex_t lock;      /* all below */
    pthread_cond_t synced_some;
    int fd;
    uint64_t stamp;            /* of the file */
    uint64_t bytes;            /* its length */
    uint64_t safe_bytes;       /* durable of them */
    uint64_t rewrite_at;       /* length at which it is written anew */
    uint64_t written, durable; /* groups of records: how many there are, and how many of them are durable */
    bool syncing;              /* a thread is in fdatasync */
    bool due;                  /* it has to be written anew before anything else is */
    bool broken;               /* for good: `why` is the sentence */
    char why[GQ_ERROR_TEXT_MAX];
    struct gq_journal_range pending[GQ_JOURNAL_PENDING]; /* taken, and not written */
    uint32_t pending_count;
    struct gq_text buffer;
    uint64_t mask; /* places of a lane, less one */
    struct gq_journal_lane lane[GQ_LANES_MAX];
    uint64_t torn_bytes; /* that a crash left at the end, when it was opened */
};

/* GQ_ERR_FULL: another process has it. GQ_ERR_DATA: it is damaged, or something else. GQ_ERR_CONFIG: what it holds does
 * not fit the lanes. GQ_ERR_IO. */
gq_status gq_journal_open(const struct gq_journal_opts *opts, struct gq_journal **out);
/* What nobody took stays in the file. GQ_ERR_IO: some of what was taken may come again. Takes NULL. */
gq_status gq_journal_close(struct gq_journal *journal);
/* In a forked child: lets go of the file, which stays its parent's. Takes NULL. */
void gq_journal_forget(struct gq_journal *journal);

/* Messages `first` to `first + count - 1` of a lane lie in their slots. GQ_OK: they are kept. GQ_ERR_FULL: the disk is
 * full, and none is. GQ_ERR_IO: the journal is broken; whether they are kept is not known. */
gq_status gq_journal_accept(struct gq_journal *journal, const struct gq_lane_view *view, uint64_t first,
                            const uint32_t *len, uint32_t count);
void gq_journal_take(struct gq_journal *journal, uint32_t lane, uint64_t first, uint64_t count);
/* Writes what was taken, if it can. */
void gq_journal_flush(struct gq_journal *journal);

/* --- what an earlier process left ----------------------------------------------------------------------------------
 */

/* Lanes up to the last one that has messages. */
uint32_t gq_journal_lanes(const struct gq_journal *journal);
/* Copies message `seq` of a lane, between its `first` and `next`. *taken: its result was. GQ_ERR_CONFIG: it does not
 * fit a slot. */
gq_status gq_journal_read(struct gq_journal *journal, uint32_t lane, uint64_t seq, void *slot, uint32_t *len,
                          bool *taken);

/* --- for its own parts ----------------------------------------------------------------------------------------------
 */

#define GQ_JOURNAL_IS_TAKEN (1ull << 63) /* of a place */

struct gq_journal_image {
    uint8_t *bytes; /* NULL: the file is empty */
    uint64_t size;
};
gq_status gq_journal_map(const struct gq_journal *journal, struct gq_journal_image *out);
void gq_journal_unmap(struct gq_journal_image *image);

static inline uint64_t *gq_journal_place(const struct gq_journal *journal, uint32_t lane, uint64_t seq)
{
    return &journal->lane[lane].places[seq & journal->mask];
}
/* Gives a lane its places, if it has none. */
gq_status gq_journal_use_lane(struct gq_journal *journal, uint32_t lane);
/* A message's result was taken: moves `first`. False: there is no such message. */
bool gq_journal_mark_taken(struct gq_journal *journal, uint32_t lane, uint64_t seq);

/* journal_read.c: what the file says, into the lanes. */
gq_status gq_journal_load(struct gq_journal *journal);
/* journal_rewrite.c: with the lock, and nobody syncing. GQ_ERR_FULL: the disk is full, and the file is as it was.
 * GQ_ERR_IO: neither is known to be whole. */
gq_status gq_journal_rewrite(struct gq_journal *journal);
/* The words for it in sentences about who has it. */
extern const struct gq_hold_words gq_journal_words;
/* GQ_ERR_FULL for an error of the system that goes by when there is room, else GQ_ERR_IO. */
gq_status gq_journal_status_of(int err);

#endif
