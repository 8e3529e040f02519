/* Images of the CUDA backend: loading, measuring, giving back. */
#include "backend/cuda.h"
#include "base/assert.h"
#include <stdio.h>
#include <stdlib.h>

#define BLOCK_THREADS 256u /* of thread and warp scope */
#define STAGED_MAX 256u    /* bytes: larger slots are worked on in device memory */

/* Small slots of a warp's run are kept in shared memory: two runs of 32, in and out. So is an express message, of a
 * warp or, in block scope, of the block, and its result: they fit where the others do. */
static struct gq_cuda_image measure(const struct gq_cuda *c, const struct gq_backend_image *image)
{
    const struct gq_cpu_image *info = &image->code->info;
    const uint32_t stride = gq_slot_stride(c->setup.slot_bytes);
    struct gq_cuda_image i = {
        .version = image->version,
        .migrates = info->migrates != 0,
        .scope = info->scope,
        .threads = info->threads,
        .state_bytes = info->state_bytes,
        .state_version = info->state_version,
        .registers = image->code->registers,
        .static_shared = image->code->shared_bytes,
        .block_threads = info->scope == 2  ? info->threads
                         : c->setup.single ? 32
                                           : BLOCK_THREADS,
        .asked = c->setup.single ? 1 : image->blocks,
        .staged = info->scope == 2 || stride > STAGED_MAX ? 0 : stride,
        .express = gq_slot_stride(gq_express_bytes(c->setup.slot_bytes)),
    };
    const uint32_t teams = info->scope == 2 ? 1 : i.block_threads / 32;
    i.shared_bytes = teams * (i.staged ? 64 * i.staged : 2 * i.express);
    return i;
}

/* The driver reads the code here, and brings it to the device when a function of it is first asked for: the former does
 * not wait for running grids, the latter does. */
gq_status gq_cuda_image_open(struct gq_cuda *c, struct gq_cuda_step *step, const struct gq_backend_image *image,
                             struct gq_cuda_image **out)
{
    struct gq_cuda_image *i = malloc(sizeof *i);
    *out = NULL;
    if (!i)
        return gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for an image");
    *i = measure(c, image);
    const void *code = gq_text_str(&image->code->bytes);
    gq_status status = GQ_CU(c, library_load(&i->library, code, NULL, NULL, 0, NULL, NULL, 0));
    if (status != GQ_OK) {
        free(i);
        return status;
    }
    i->next = step->images;
    step->images = *out = i;
    return GQ_OK;
}

/* What the driver knows better than arithmetic: whether it runs at all. */
static gq_status check_occupancy(struct gq_cuda *c, const struct gq_cuda_image *i)
{
    int blocks = 0;
    gq_status status = GQ_CU(c, occupancy(&blocks, i->function, (int)i->block_threads, i->shared_bytes));
    if (status == GQ_OK && blocks < 1)
        return gq_error_set(GQ_ERR_PLUGIN,
                            "a block of %u threads with %u registers each does not fit on an SM of this device",
                            i->block_threads, i->registers);
    return status;
}

/* What its threads need beside registers, for their stacks, printf or assert, a function is given by its first launch,
 * which waits for all that runs. So the first is of a grid that does nothing. */
static gq_status launch_first(struct gq_cuda *c, struct gq_cuda_image *i)
{
    struct gq_grid grid = {.old_state = (void *)(uintptr_t)c->shared};
    void *params[] = {&grid};
    gq_status status =
        GQ_CU(c, launch(i->function, 1, 1, 1, i->block_threads, 1, 1, i->shared_bytes, c->copy, params, NULL));
    i->launched = status == GQ_OK;
    return status;
}

gq_status gq_cuda_image_load(struct gq_cuda *c, const struct gq_cuda_step *step, struct gq_cuda_image *i)
{
    gq_cu_kernel kernel = NULL;
    gq_status status = GQ_CU(c, library_kernel(&kernel, i->library, "gq_grid_main"));
    if (status == GQ_OK)
        status = GQ_CU(c, kernel_function(&i->function, kernel));
    if (status == GQ_OK)
        status = GQ_CU(c, function_set(i->function, GQ_CU_FUNC_DYNAMIC_SHARED_MAX, (int)i->shared_bytes));
    if (status == GQ_OK && c->percent &&
        (status = GQ_CU(c, function_set(i->function, GQ_CU_FUNC_SHARED_PERCENT, (int)c->percent))) == GQ_OK)
        i->percent = c->percent;
    if (status == GQ_OK && step == &c->step[c->steps]) /* a change was fitted beside those that run */
        status = check_occupancy(c, i);
    if (status == GQ_OK && (step != &c->step[0] || c->canary.image)) /* of all grids that one is launched first */
        status = launch_first(c, i);
    return status;
}

static void unload(struct gq_cuda *c, struct gq_cuda_image *image)
{
    c->cu->library_unload(image->library);
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
    gq_status status = gq_cuda_image_open(c, s, image, &s->live);
    if (status == GQ_OK)
        status = gq_cuda_image_load(c, s, s->live);
    if (status == GQ_OK)
        status = gq_cuda_state_plan(c, s, &image->code->info, false, &s->state, &migrate);
    if (status == GQ_OK)
        status = GQ_CU(c, stream_create(&s->stream[0].at, GQ_CU_STREAM_NON_BLOCKING));
    if (status != GQ_OK) {
        if (s->state.at)
            c->cu->mem_free(s->state.at);
        if (s->images)
            unload(c, s->images);
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
        unload(c, i);
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
    for (uint32_t i = 0; i < GQ_CUDA_STREAMS_MAX; i++)
        if (s->stream[i].at)
            c->cu->stream_destroy(s->stream[i].at);
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
