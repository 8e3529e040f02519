/* scratch.h - folders of one process in $TMPDIR, which do not outlive it for long: each is locked as long as its owner
 * lives, and who makes one removes what killed processes of the same user have left. */
#ifndef GQ_BASE_SCRATCH_H
#define GQ_BASE_SCRATCH_H

#include <limits.h>
#include "base/error.h"

/* All zero: there is none. */
struct gq_scratch {
    char folder[PATH_MAX / 2];
    int lock;
};

/* Makes gpuqueue-KIND-XXXXXX in $TMPDIR or /tmp, for this user alone. Any thread. `kind` has letters only. */
gq_status gq_scratch_make(const char *kind, struct gq_scratch *out);
/* Removes what processes that were killed have left of a kind. */
void gq_scratch_remove_left(const char *kind);
/* Removes what is in it. */
void gq_scratch_empty(const struct gq_scratch *scratch);
/* Removes it, if there is one. */
void gq_scratch_remove(struct gq_scratch *scratch);

#endif
