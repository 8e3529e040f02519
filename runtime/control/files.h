/* files.h - sets of files that are watched together: what is in them is known by its digest. */
#ifndef GQ_CONTROL_FILES_H
#define GQ_CONTROL_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/digest.h"
#include "base/error.h"
#include "base/text.h"

struct gq_file {
    char *path;                 /* absolute */
    char digest[GQ_DIGEST_HEX]; /* "": it was not there */
    bool joined;                /* it is new in its set, and was not looked at yet */
    bool touched;               /* something happened to it, or to what leads to it */
    bool unsettled;             /* it came with its folder: it may still be written */
    unsigned unread;            /* looks in a row that it was there for, and could not be read */
};

struct gq_files {
    struct gq_file *file;
    size_t count;
};

/* Makes `files` a set of these paths (a NUL after each). What is known of a path that was in it before stays; the
 * others have joined. GQ_ERR_NO_MEMORY: the set is as it was. */
gq_status gq_files_set(struct gq_files *files, const struct gq_text *paths);
/* Now, as gq_files_look_at_new() takes it. */
uint64_t gq_files_now(void);
/* Looks at those that have joined, once they are watched. One that was written at `since_ns` or later counts as
 * touched, by bytes that nobody has seen: who read it before may have read others. */
void gq_files_look_at_new(struct gq_files *files, uint64_t since_ns);
void gq_files_finish(struct gq_files *files);
bool gq_files_touched(const struct gq_files *files);
/* Looks at those touched: true if the bytes of one are other than they were. One that is gone is as it was. One that
 * may still be written stays touched, and so does one that cannot be read, for some looks. */
bool gq_files_changed(struct gq_files *files);

#endif
