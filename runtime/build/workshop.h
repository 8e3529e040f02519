/* workshop.h - the builder's private folder: the embedded headers, and the files of one compile at a time. */
#ifndef GQ_BUILD_WORKSHOP_H
#define GQ_BUILD_WORKSHOP_H

#include <limits.h>
#include "base/scratch.h"

#define GQ_WORKSHOP_KIND "build" /* of scratch.h */

struct gq_workshop {
    struct gq_scratch scratch;
    char shim[PATH_MAX], unit[PATH_MAX], object[PATH_MAX], depends[PATH_MAX], log[PATH_MAX];
};

/* Makes the folder in $TMPDIR or /tmp, for this user alone, and writes the headers. */
gq_status gq_workshop_open(struct gq_workshop *workshop);
/* Forgets the last compile. */
void gq_workshop_clear(const struct gq_workshop *workshop);
/* Removes everything. */
void gq_workshop_close(struct gq_workshop *workshop);

#endif
