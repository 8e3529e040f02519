/* trail.h - the names on the way to a file, and inotify watches on the folders that hold them.
 *
 * To see a file replaced it is not enough to watch its own folder: a symbolic link on the way may be turned to another
 * folder, or the folder be moved away and made again. So each name on the way is waited for in the folder that holds
 * it, from the root on. */
#ifndef GQ_CONTROL_TRAIL_H
#define GQ_CONTROL_TRAIL_H

#include <stdbool.h>
#include <stddef.h>
#include "control/files.h"

struct gq_step {
    int watch;  /* the folder's watch descriptor */
    char *path; /* the folder, then the name */
    const char *name;
    struct gq_file *file;
    bool last; /* the file itself; else what leads to it */
};

struct gq_trail {
    int inotify;
    struct gq_step *step;
    size_t count;
    int *watch; /* all that we asked for */
    size_t watches;
};

/* GQ_ERR_UNAVAILABLE: the system has none left to give. */
gq_status gq_trail_init(struct gq_trail *t);
void gq_trail_finish(struct gq_trail *t);
/* Forgets all steps; watches stay until gq_trail_settle(). */
void gq_trail_clear(struct gq_trail *t);
/* Adds the steps to each file of the set, which must stay where it is. */
gq_status gq_trail_add(struct gq_trail *t, struct gq_files *files);
/* Gives up the watches on folders that no step is in. */
void gq_trail_settle(struct gq_trail *t);
/* Reads what has happened and marks the files that it touches. True if there are any. */
bool gq_trail_read(struct gq_trail *t);

#endif
