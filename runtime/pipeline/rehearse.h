/* rehearse.h - golden vectors of new code, in the spare worker, before the code may serve. */
#ifndef GQ_PIPELINE_REHEARSE_H
#define GQ_PIPELINE_REHEARSE_H

#include "pipeline/spare.h"

struct gq_rehearsal {
    struct gq_spare *spare; /* warm */
    struct gq_builder *builder;
    const struct gq_build_request *request; /* what `image` was built from */
    const struct gq_image *image;
    const char *stage_name;
    uint64_t budget_ms;
};

/* Loads the image and runs every vector of the golden file beside the plugin, if there is one. Vectors with the stage's
 * own parameters run on `image` itself, others on one that is built with theirs; those that ask for a slot of another
 * size than the queue's are left out, and `log` says so. GQ_ERR_PLUGIN: it may not go live; `log` has the vector that
 * differed. *passed is how many did not. */
gq_status gq_rehearse(const struct gq_rehearsal *rehearsal, uint32_t *passed, struct gq_text *log);

#endif
