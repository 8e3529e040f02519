/* dlq.h - what the verbs of `gpuq dlq` share. */
#ifndef GPUQ_DLQ_H
#define GPUQ_DLQ_H

#include <stdbool.h>
#include "base/error.h"
#include "base/text.h"
#include "pipeline/dead_letter.h"

/* A letter as the command line names it. */
struct dlq_pick {
    const char *word;
    bool by_name; /* else by number */
    uint64_t value;
    bool found;
};

struct dlq_args {
    const char *verb, *file, *pipeline; /* pipeline: replay */
    const char *backend;
    bool json, raw, all;
    bool listing;          /* ls has begun the JSON object: an error ends it */
    struct gq_text object; /* replay, drop: the JSON object without its end; empty: it was not begun */
    struct dlq_pick *picks;
    size_t pick_count;
};

/* Is it one of the picks? Marks those that it is. Without picks every letter is. */
bool dlq_picked(struct dlq_args *args, uint64_t name, uint64_t number);
/* GQ_ERR_NOT_FOUND with the first pick that no letter was. */
gq_status dlq_check_found(const struct dlq_args *args);

/* All picks are letters of an open file: a command that names one wrongly does nothing. */
gq_status dlq_find(struct dlq_args *args, struct gq_dead_file *file);

/* A file that is there, with its lock held and its torn tail cut. */
gq_status dlq_open(const struct dlq_args *args, struct gq_dead_file *file);

/* With --json, what became of a letter: `reason`, or NULL. The first one begins the object. */
void dlq_tell_letter(struct dlq_args *args, uint64_t name, uint64_t number, const char *fate, const char *reason);

/* Ends the list of letters; `format` makes the object's further members. */
void dlq_tell_counts(struct dlq_args *args, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* dlq_show.c */
gq_status dlq_ls(struct dlq_args *args);
gq_status dlq_show(struct dlq_args *args);
/* dlq_replay.c: GQ_ERR_DEVICE when a letter that was tried stays. */
gq_status dlq_replay(struct dlq_args *args);

#endif
