/* Images of the CUDA backend: loading, measuring, giving back. */
#include "backend/cuda.h"
#include "base/assert.h"
#include <stdio.h>
#include <stdlib.h>

#define BLOCK_THREADS 256u /* of thread and warp scope */
#define STAGED_MAX 256u    /* bytes: larger slots are worked on in device memory */

/* Small slots of a warp's run are kept in shared memory: two runs of 32, in and out. So is an express message, of a
 * warp or, in block scope, of the block, and its result: they fit where the others do. */
void gq_cuda_image_measure(const struct gq_cuda *c, const struct gq_backend_image *image, struct gq_cuda_image *out)
{
    const struct gq_cpu_image *info = &image->code->info;
    const uint32_t stride = gq_slot_stride(c->setup.slot_bytes);
    *out = (struct gq_cuda_image){
        .version = image->version,
        .scope = info->scope,
        .threads = info->threads,
        .state_bytes = info->state_bytes,
        .state_version = info->state_version,
        .registers = image->code->registers,
        .static_shared = image->code->shared_bytes,
        .block_threads = info->scope == 2 ? info->threads : BLOCK_THREADS,
        .asked = image->blocks,
        .staged = info->scope == 2 || stride > STAGED_MAX ? 0 : stride,
        .express = gq_slot_stride(gq_express_bytes(c->setup.slot_bytes)),
    };
    const uint32_t teams = info->scope == 2 ? 1 : out->block_threads / 32;
    out->shared_bytes = teams * (out->staged ? 64 * out->staged : 2 * out->express);
}

/* What the driver knows better than arithmetic: whether it runs at all. */
static gq_status check_occupancy(struct gq_cuda *c, const struct gq_cuda_image *i)
{
    int blocks = 0;
    gq_status status = GQ_CU(c, function_set(i->function, GQ_CU_FUNC_DYNAMIC_SHARED_MAX, (int)i->shared_bytes));
    if (status == GQ_OK)
        status = GQ_CU(c, occupancy(&blocks, i->function, (int)i->block_threads, i->shared_bytes));
    if (status == GQ_OK && blocks < 1)
        return gq_error_set(GQ_ERR_PLUGIN,
                            "a block of %u threads with %u registers each does not fit on an SM of this device",
                            i->block_threads, i->registers);
    return status;
}

gq_status gq_cuda_image_load(struct gq_cuda *c, const struct gq_backend_image *image, struct gq_cuda_image **out)
{
    struct gq_cuda_image *i = malloc(sizeof *i);
    *out = NULL;
    if (!i)
        return gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for an image");
    gq_cuda_image_measure(c, image, i);
    gq_status status = GQ_CU(c, module_load(&i->module, gq_text_str(&image->code->bytes)));
    if (status == GQ_OK)
        status = GQ_CU(c, module_function(&i->function, i->module, "gq_grid_main"));
    if (status == GQ_OK && image->code->info.migrates)
        status = GQ_CU(c, module_function(&i->migrate, i->module, "gq_migrate_main"));
    if (status == GQ_OK)
        status = check_occupancy(c, i);
    if (status == GQ_OK && c->shared_percent)
        status = GQ_CU(c, function_set(i->function, GQ_CU_FUNC_SHARED_PERCENT, (int)c->shared_percent));
    if (status != GQ_OK) {
        gq_cuda_image_unload(c, i);
        return status;
    }
    *out = i;
    return GQ_OK;
}

void gq_cuda_image_unload(struct gq_cuda *c, struct gq_cuda_image *image)
{
    if (image && image->module)
        c->cu->module_unload(image->module);
    free(image);
}

gq_status gq_cuda_load_step(struct gq_cuda *c, const struct gq_backend_image *image, enum gq_image_kind kind)
{
    gq_assert(c->steps < GQ_CUDA_STEPS_MAX && !c->running);
    struct gq_cuda_step *s = &c->step[c->steps];
    bool migrate = false;
    *s = (struct gq_cuda_step){.generation = image->generation,
                               .stage = kind == GQ_IMAGE_SOURCE ? GQ_CRUMB_SOURCE : c->steps - (c->has_source ? 1 : 0)};
    snprintf(s->name, sizeof s->name, "%s", image->name);
    gq_status status = gq_cuda_image_load(c, image, &s->images);
    s->live = s->images;
    if (status == GQ_OK)
        status = gq_cuda_state_plan(c, s, &image->code->info, false, &s->state, &migrate);
    if (status == GQ_OK)
        status = GQ_CU(c, stream_create(&s->stream, GQ_CU_STREAM_NON_BLOCKING));
    if (status != GQ_OK) {
        if (s->state.at)
            c->cu->mem_free(s->state.at);
        gq_cuda_image_unload(c, s->images);
        return status;
    }
    c->steps++;
    c->has_source |= kind == GQ_IMAGE_SOURCE;
    return GQ_OK;
}

static void sweep_images(struct gq_cuda *c, struct gq_cuda_step *s, bool all)
{
    for (struct gq_cuda_image **at = &s->images; *at;) {
        struct gq_cuda_image *i = *at;
        if (!all && (!i->discarded || i == s->live)) {
            at = &i->next;
            continue;
        }
        *at = i->next;
        gq_cuda_image_unload(c, i);
    }
}

static void empty_trash(struct gq_cuda *c)
{
    while (c->trash) {
        struct gq_cuda_trash *t = c->trash;
        c->trash = t->next;
        c->cu->mem_free(t->memory);
        free(t);
    }
}

void gq_cuda_sweep(struct gq_cuda *c)
{
    for (uint32_t i = 0; i < c->steps; i++)
        sweep_images(c, &c->step[i], false);
    empty_trash(c);
}

static void unload_step(struct gq_cuda *c, struct gq_cuda_step *s)
{
    sweep_images(c, s, true);
    while (s->slow_count)
        c->cu->stream_destroy(s->slow[--s->slow_count]);
    c->cu->stream_destroy(s->stream);
    if (s->state.at)
        c->cu->mem_free(s->state.at);
}

void gq_cuda_unload(struct gq_cuda *c)
{
    for (uint32_t i = 0; i < c->steps; i++)
        unload_step(c, &c->step[i]);
    empty_trash(c);
    c->steps = 0;
}
