#include "backend/cuda.h"
#include "base/assert.h"
#include "base/channel.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IMAGE_BYTES_MAX (128u << 20)
#define BLOCK_THREADS 256u /* of thread and warp scope */
#define BLOCKS_AN_SM 2     /* more warps than this do not make the bus faster */
#define STAGED_MAX 256u    /* bytes: larger slots are worked on in device memory */
#define KERNEL "gq_grid_main"

/* --- images ---------------------------------------------------------------------------------------------------------
 */

/* What the image says of itself, in the words that entry_cuda.h exports. */
static gq_status read_info(struct gq_cuda *c, struct gq_cuda_step *s, enum gq_image_kind kind)
{
    uint32_t word[10];
    gq_cu_ptr at = 0;
    size_t bytes = 0;
    gq_status status = GQ_CU(c, module_global(&at, &bytes, s->module, "gq_cuda_image"));
    if (status == GQ_OK && bytes != sizeof word)
        status = gq_error_set(GQ_ERR_PLUGIN, "the image describes itself in %zu bytes, %zu were expected", bytes,
                              sizeof word);
    if (status == GQ_OK)
        status = GQ_CU(c, copy_from_device(word, at, sizeof word, c->copy));
    if (status == GQ_OK)
        status = GQ_CU(c, stream_wait(c->copy));
    if (status == GQ_OK && (word[0] != GQ_CPU_IMAGE_MAGIC || word[1] != GQ_PLUGIN_ABI || word[2] != (uint32_t)kind))
        status = gq_error_set(
            GQ_ERR_PLUGIN, "the image has plugin ABI %u and kind %u; ABI %d and kind %u were expected: build it again",
            word[1], word[2], GQ_PLUGIN_ABI, (unsigned)kind);
    if (status != GQ_OK)
        return status;
    s->scope = word[3];
    s->threads = word[4];
    s->state_bytes = word[5];
    s->block_threads = s->scope == 2 ? s->threads : BLOCK_THREADS;
    return GQ_OK;
}

static gq_status make_state(struct gq_cuda *c, struct gq_cuda_step *s)
{
    if (s->state_bytes == 0)
        return GQ_OK;
    gq_status status = GQ_CU(c, mem_alloc(&s->state, s->state_bytes));
    return status == GQ_OK ? gq_cuda_zero(c, s->state, s->state_bytes) : status;
}

/* Small slots of a warp's run are kept in shared memory: two runs of 32, in and out. So is an express message, of a
 * warp or, in block scope, of the block, and its result: they fit where the others do. */
static gq_status stage_small(struct gq_cuda *c, struct gq_cuda_step *s)
{
    uint32_t stride = gq_slot_stride(c->setup.slot_bytes), teams = s->scope == 2 ? 1 : s->block_threads / 32;
    s->staged = s->scope == 2 || stride > STAGED_MAX ? 0 : stride;
    s->express = gq_slot_stride(gq_express_bytes(c->setup.slot_bytes));
    s->shared_bytes = teams * (s->staged ? 64 * s->staged : 2 * s->express);
    return GQ_CU(c, function_set(s->function, GQ_CU_FUNC_DYNAMIC_SHARED_MAX, (int)s->shared_bytes));
}

/* Takes a step that was loaded in part. */
static void unload(struct gq_cuda *c, const struct gq_cuda_step *s)
{
    if (s->stream)
        c->cu->stream_destroy(s->stream);
    if (s->state)
        c->cu->mem_free(s->state);
    if (s->module)
        c->cu->module_unload(s->module);
}

gq_status gq_cuda_load(struct gq_cuda *c, int fd, enum gq_image_kind kind, const struct gq_backend_image *image)
{
    gq_assert(c->steps < GQ_CUDA_STEPS_MAX);
    struct gq_cuda_step *s = &c->step[c->steps];
    struct gq_text cubin = {0};
    *s = (struct gq_cuda_step){.generation = image->generation,
                               .asked = image->blocks,
                               .stage = kind == GQ_IMAGE_SOURCE ? GQ_CRUMB_SOURCE : c->steps - (c->has_source ? 1 : 0)};
    snprintf(s->name, sizeof s->name, "%s", image->name);
    gq_status status = gq_memfd_read(fd, IMAGE_BYTES_MAX, &cubin);
    if (status == GQ_OK)
        status = GQ_CU(c, module_load(&s->module, gq_text_str(&cubin)));
    gq_text_finish(&cubin);
    if (status == GQ_OK)
        status = GQ_CU(c, module_function(&s->function, s->module, KERNEL));
    if (status == GQ_OK)
        status = read_info(c, s, kind);
    if (status == GQ_OK)
        status = make_state(c, s);
    if (status == GQ_OK)
        status = GQ_CU(c, function_attribute(&s->registers, GQ_CU_FUNC_REGISTERS, s->function));
    if (status == GQ_OK)
        status = GQ_CU(c, function_attribute(&s->static_shared, GQ_CU_FUNC_SHARED_BYTES, s->function));
    if (status == GQ_OK)
        status = stage_small(c, s);
    if (status == GQ_OK)
        status = GQ_CU(c, occupancy(&s->occupancy, s->function, (int)s->block_threads, s->shared_bytes));
    if (status == GQ_OK)
        status = GQ_CU(c, stream_create(&s->stream, GQ_CU_STREAM_NON_BLOCKING));
    if (status == GQ_OK && s->occupancy < 1)
        status = gq_error_set(GQ_ERR_PLUGIN,
                              "a block of %u threads with %d registers each does not fit on an SM of this device",
                              s->block_threads, s->registers);
    if (status != GQ_OK) {
        unload(c, s);
        return status;
    }
    c->steps++;
    c->has_source |= kind == GQ_IMAGE_SOURCE;
    return GQ_OK;
}

void gq_cuda_unload(struct gq_cuda *c)
{
    for (uint32_t i = 0; i < c->steps; i++)
        unload(c, &c->step[i]);
    c->steps = 0;
}

/* --- grids ----------------------------------------------------------------------------------------------------------
 */

/* Grids that share an SM share one division of its memory into cache and shared memory: it can change only when the SM
 * is empty, and it never is again. */
static gq_status divide_memory(struct gq_cuda *c, uint32_t shared_an_sm)
{
    const int percent =
        (int)((100 * (uint64_t)shared_an_sm + (uint64_t)c->room.shared_bytes - 1) / (uint64_t)c->room.shared_bytes);
    gq_status status = GQ_OK;
    for (uint32_t i = 0; i < c->steps && c->steps > 1 && status == GQ_OK; i++)
        status = GQ_CU(c, function_set(c->step[i].function, GQ_CU_FUNC_SHARED_PERCENT, percent));
    return status;
}

gq_status gq_cuda_fit(struct gq_cuda *c)
{
    struct gq_fit_step fit[GQ_CUDA_STEPS_MAX];
    uint32_t shared_an_sm = 0;
    for (uint32_t i = 0; i < c->steps; i++) {
        const struct gq_cuda_step *s = &c->step[i];
        fit[i] = (struct gq_fit_step){
            .name = s->name,
            .threads = s->block_threads,
            .registers = (uint32_t)s->registers,
            .shared_bytes = (uint32_t)s->static_shared + s->shared_bytes,
            .alone = (uint32_t)s->occupancy,
            .asked = s->asked,
            .of_use = s->scope == 2 ? UINT32_MAX : BLOCKS_AN_SM,
        };
    }
    gq_status status = gq_fit(&c->room, fit, c->steps, &shared_an_sm);
    for (uint32_t i = 0; i < c->steps; i++)
        c->step[i].blocks = fit[i].blocks;
    return status == GQ_OK ? divide_memory(c, shared_an_sm) : status;
}

static gq_status launch(struct gq_cuda *c, uint32_t step)
{
    struct gq_cuda_step *s = &c->step[step];
    const char *limit = getenv("GPUQ_GRID_LIMIT_S"); /* tests bound every grid by it */
    struct gq_grid grid = {
        .host = (void *)(uintptr_t)c->host_page,
        .worker = (void *)(uintptr_t)c->worker_page,
        .shared = (void *)(uintptr_t)c->shared,
        .lane = (void *)(uintptr_t)c->lanes,
        .state = (void *)(uintptr_t)s->state,
        .limit_ns = limit ? strtoull(limit, NULL, 10) * 1000000000u : 0,
        .step = step,
        .steps = c->steps,
        .stage = s->stage,
        .generation = s->generation,
        .out_cap = c->setup.slot_bytes,
        .retries = c->setup.retries,
        .poll = c->setup.poll,
        .staged = s->staged,
        .express = s->express,
        .counted = c->counted,
    };
    void *params[] = {&grid};
    gq_status status = GQ_CU(
        c, launch(s->function, s->blocks, 1, 1, s->block_threads, 1, 1, s->shared_bytes, s->stream, params, NULL));
    s->launched = status == GQ_OK;
    return status;
}

gq_status gq_cuda_launch(struct gq_cuda *c)
{
    gq_status status = GQ_OK;
    for (uint32_t i = 0; i < c->steps && status == GQ_OK; i++)
        status = launch(c, i);
    return status;
}

gq_status gq_cuda_check_grids(struct gq_cuda *c)
{
    for (uint32_t i = 0; i < c->steps; i++) {
        int error = c->step[i].launched ? c->cu->stream_query(c->step[i].stream) : GQ_CU_NOT_READY;
        if (error == GQ_CU_NOT_READY)
            continue;
        if (error == GQ_CU_OK)
            return gq_error_set(GQ_ERR_DEVICE, "the grid of step %u ended though nobody stopped it", i);
        return gq_cu_check(c->cu, error, "a plugin's grid");
    }
    return GQ_OK;
}

gq_status gq_cuda_check_left(struct gq_cuda *c)
{
    gq_status status = GQ_OK;
    for (uint32_t i = 0; i < c->steps && status == GQ_OK; i++)
        if (c->step[i].launched)
            status = gq_cu_check(c->cu, c->cu->stream_query(c->step[i].stream), "a plugin's grid");
    return status;
}
