/* dead_letter.h - the file that holds messages which nothing could save: what a letter says, and who writes it.
 * dead_letter_read.h is for readers, dead_letter_format.h has the bytes.
 *
 * A file has one writer at a time, in one thread at a time: it holds a lock on the file. Readers need none: they see
 * the letters that were whole when they looked. A letter is never dropped in silence: what cannot be written stops the
 * pipeline.
 */
#ifndef GQ_PIPELINE_DEAD_LETTER_H
#define GQ_PIPELINE_DEAD_LETTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/error.h"

/* What became of the message. */
enum gq_dead_class {
    GQ_DEAD_FAILED = 1, /* gq_fail(), after every retry */
    GQ_DEAD_TOO_LONG,   /* a result of more bytes than a slot has */
    GQ_DEAD_FAULT,      /* it killed its worker, by itself */
    GQ_DEAD_HANG,       /* it did not end in the time allowed */
    GQ_DEAD_CLASS_END
};

struct gq_dead_letter {
    uint64_t id;
    uint64_t position;          /* in a file or stream, from 1; of a bodiless one its index; 0: from a program */
    uint64_t first_ns, dead_ns; /* unix time: accepted, 0 for unknown; and given up */
    uint32_t attempts;          /* with those of replays */
    uint32_t stage, version;    /* of the stage's code, 0 for none */
    uint16_t kind, code;        /* enum gq_dead_class; of gq_fail() */
    bool bodiless;              /* a generated message: it has no bytes, its id says which one makes it again */
    uint32_t life;              /* of the checkpoint whose runs may take it back, 31 bits (checkpoint.h); 0: nobody */
    const char *stage_name, *plugin, *digest, *reason;
    const void *message;
    uint32_t message_len;
};

struct gq_dead_file {
    const char *path; /* not owned */
    char *place;      /* while it is open, the same, absolute: a program may change its folder meanwhile; or NULL */
    uint64_t max_bytes;
    uint32_t life;     /* set before it is opened: whose letters may be taken back; 0: nobody's */
    uint64_t position; /* and of messages behind which one */
    int fd;            /* -1: there is no file yet */
    uint64_t bytes;
    uint64_t torn_bytes; /* atomic: the first letter may open the file while others ask */
    uint64_t kept_bytes; /* before the letters that may be taken back */
    uint64_t written;    /* atomic: one writer */
    bool unsynced;       /* a sync failed */
    bool broken;         /* a write failed: what lies behind `bytes` is not known, and nothing may follow it */
};

/* "failed", "too_long", "fault" or "hang"; "?" for no class. */
const char *gq_dead_class_name(uint16_t kind);
/* How a message ended: `status` is one of GQ_RESULT_*; len: of its result, 0 for unknown; retries: of on_error. */
struct gq_dead_end {
    uint32_t status, code, len, retries;
};
/* Sets class, code and reason, which is put into `text`, and adds the attempts. */
void gq_dead_tell(struct gq_dead_letter *letter, const struct gq_dead_end *end, char *text, size_t size);

/* Takes the lock of a file that is there, looks it through, and cuts the torn tail that a crash left (torn_bytes: how
 * much). A file that is not there is made by the first letter; GQ_OK, fd is -1. GQ_ERR_IO: a symbolic link, no file, or
 * another writer has it. GQ_ERR_DATA: no file of dead letters, one of a version unknown here, or a damaged one. */
gq_status gq_dead_open(struct gq_dead_file *file);
/* Whether there can be letters in a file, there or not, by the modes of what is there: makes nothing. GQ_ERR_IO: the
 * sentence says which setting names another. */
gq_status gq_dead_check(const char *path);
/* The status of an opening; where it is the place that is wrong, with that sentence. */
gq_status gq_dead_explain(const char *path, gq_status status);
/* Appends one letter. An error means that it is not kept: the caller stops. */
gq_status gq_dead_put(struct gq_dead_file *file, const struct gq_dead_letter *letter);
/* After gq_dead_open: cuts the letters at the end of the file that are of file->life, and of messages behind
 * file->position: they are written again. Those with a letter of somebody else behind them stay. */
gq_status gq_dead_take_back(struct gq_dead_file *file);
/* What was put is durable. */
gq_status gq_dead_sync(struct gq_dead_file *file);
gq_status gq_dead_close(struct gq_dead_file *file);

/* Says of each letter whether it stays, and may change it. `number` counts from 1. */
typedef bool (*gq_dead_judge)(struct gq_dead_letter *letter, uint64_t name, uint64_t number, void *context);
/* Calls `each` with every letter of an open file; what it returns is not asked for. */
gq_status gq_dead_walk(struct gq_dead_file *file, gq_dead_judge each, void *context);
/* Writes an open file anew with the letters that stay, beside it first; where none does, it is cut to its header, which
 * needs no room. Crashes leave the old letters or the new ones, whole; a failure leaves the old ones, but for that of
 * a sync, after which nobody knows. Readers that have the old file open go on in it, unless it is cut. */
gq_status gq_dead_rewrite(struct gq_dead_file *file, gq_dead_judge stays, void *context);

#endif
