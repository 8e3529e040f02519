/* The memory that a plugin asked for with gq_state(): it belongs to its step and outlives the images. */
#include "backend/cuda.h"
#include "base/assert.h"
#include "base/clock.h"
#include <stdlib.h>
#include <unistd.h>

#define MIGRATE_MS 5000u

static gq_status make(struct gq_cuda *c, const struct gq_cpu_image *info, struct gq_cuda_state *out)
{
    gq_cu_ptr at = 0;
    gq_status status = GQ_CU(c, mem_alloc(&at, info->state_bytes));
    if (status == GQ_OK && (status = gq_cuda_zero(c, at, info->state_bytes)) != GQ_OK)
        gq_cuda_state_drop(c, at);
    if (status == GQ_OK)
        *out = (struct gq_cuda_state){at, info->state_bytes, info->state_version};
    return status;
}

gq_status gq_cuda_state_plan(struct gq_cuda *c, const struct gq_cuda_step *step, const struct gq_cpu_image *info,
                             bool fresh, struct gq_cuda_state *next, bool *migrate)
{
    const struct gq_cuda_state *now = &step->state;
    *next = *now; /* of an image without state it is kept aside for the next one that has */
    *migrate = false;
    const bool same = now->at && now->bytes == info->state_bytes && now->version == info->state_version;
    if (info->state_bytes == 0 || (same && !fresh))
        return GQ_OK;
    if (now->at && !fresh && !info->migrates)
        return gq_error_set(
            GQ_ERR_PLUGIN,
            "the state of stage '%s' is version %u of %u bytes, and the new plugin's is version %u of %u "
            "bytes: it needs a gq_migrate function",
            step->name, now->version, now->bytes, info->state_version, info->state_bytes);
    *migrate = now->at && !fresh;
    return make(c, info, next); /* if fresh too: what there is is used on if the change fails */
}

gq_status gq_cuda_state_migrate(struct gq_cuda *c, const struct gq_cuda_image *image, const struct gq_cuda_state *from,
                                const struct gq_cuda_state *to)
{
    struct gq_grid grid = {.state = (void *)(uintptr_t)to->at,
                           .old_state = (void *)(uintptr_t)from->at,
                           .old_bytes = from->bytes,
                           .old_version = from->version};
    void *params[] = {&grid};
    gq_assert(image->migrates && !c->running);
    gq_status status = GQ_CU(
        c, launch(image->function, 1, 1, 1, image->block_threads, 1, 1, image->shared_bytes, c->copy, params, NULL));
    const uint64_t deadline = gq_clock_deadline(MIGRATE_MS);
    int error = GQ_CU_NOT_READY;
    while (status == GQ_OK && (error = c->cu->stream_query(c->copy)) == GQ_CU_NOT_READY) {
        if (gq_clock_past(deadline)) /* the device is lost to it, and with it everything else that waits for it */
            c->setup.die("gq_migrate did not end within 5 s");
        usleep(20);
    }
    return status == GQ_OK ? gq_cu_check(c->cu, error, "gq_migrate") : status;
}

void gq_cuda_state_drop(struct gq_cuda *c, gq_cu_ptr memory)
{
    struct gq_cuda_trash *t = malloc(sizeof *t);
    if (!t)
        return; /* the process keeps it to its end */
    *t = (struct gq_cuda_trash){c->trash, memory};
    c->trash = t;
}
