/* hold.h - files that one process has at a time, and names that are durable. */
#ifndef GQ_BASE_HOLD_H
#define GQ_BASE_HOLD_H

#include "base/error.h"

/* What such a file is called in sentences. */
struct gq_hold_words {
    const char *name; /* "the dead letters" */
    const char *kept; /* "dead letters are kept" */
    const char *busy; /* "another pipeline or command is writing ...: what to do" */
    gq_status busy_status;
};

/* Opens a regular file to be read and appended to, and locks it until it is closed. `flags`: O_CREAT, or 0: then *fd is
 * -1 when there is none. */
gq_status gq_hold_open(const char *path, int flags, unsigned mode, const struct gq_hold_words *words, int *fd);
/* Locks one that is open. */
gq_status gq_hold_lock(const char *path, int fd, const struct gq_hold_words *words);
/* Unlocks and closes; returns what close() does. A lock is the open file's, and would stay with every child that was
 * forked meanwhile. */
int gq_hold_close(int fd);
/* A name in a folder is durable when the folder is: that in which `path` lies. */
gq_status gq_hold_sync_folder(const char *path);

#endif
