/* Grids of the CUDA backend: how large they are, how they start, and how they leave. */
#include "backend/cuda.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/text.h"
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#define BLOCKS_AN_SM 2 /* more warps than this do not make the bus faster */
#define PARK_MS 5000u  /* what one message may take before a change gives up */

/* --- how large ------------------------------------------------------------------------------------------------------
 */

static struct gq_fit_step fit_of(const struct gq_cuda *c, const struct gq_cuda_step *s)
{
    const struct gq_cuda_image *i = s->live;
    struct gq_fit_step fit = {
        .name = s->name,
        .threads = i->block_threads,
        .registers = i->registers,
        .shared_bytes = i->static_shared + i->shared_bytes,
        .asked = i->asked,
        .of_use = i->scope == 2 ? UINT32_MAX : BLOCKS_AN_SM,
    };
    fit.alone = gq_fit_alone(&c->room, &fit);
    return fit;
}

gq_status gq_cuda_fit(struct gq_cuda *c, uint32_t *percent)
{
    struct gq_fit_step fit[GQ_CUDA_STEPS_MAX];
    uint32_t shared_an_sm = 0;
    for (uint32_t i = 0; i < c->steps; i++)
        fit[i] = fit_of(c, &c->step[i]);
    gq_status status = gq_fit(&c->room, fit, c->steps, &shared_an_sm);
    for (uint32_t i = 0; i < c->steps && status == GQ_OK; i++)
        c->step[i].live->blocks = fit[i].blocks;
    const uint64_t all = (uint64_t)c->room.shared_bytes;
    *percent = c->steps > 1 ? (uint32_t)((100 * (uint64_t)shared_an_sm + all - 1) / all) : 0;
    return status;
}

/* Grids that share an SM share one division of its memory into cache and shared memory: it can change only when the SM
 * is empty, and it never is while they run. */
gq_status gq_cuda_divide(struct gq_cuda *c, uint32_t percent)
{
    gq_status status = GQ_OK;
    for (uint32_t i = 0; i < c->steps && percent && status == GQ_OK; i++)
        status = GQ_CU(c, function_set(c->step[i].live->function, GQ_CU_FUNC_SHARED_PERCENT, (int)percent));
    if (status == GQ_OK)
        c->shared_percent = percent;
    return status;
}

/* --- starting -------------------------------------------------------------------------------------------------------
 */

gq_status gq_cuda_launch_step(struct gq_cuda *c, uint32_t step, uint32_t blocks)
{
    struct gq_cuda_step *s = &c->step[step];
    const struct gq_cuda_image *image = s->live;
    const char *limit = getenv("GPUQ_GRID_LIMIT_S"); /* tests bound every grid by it */
    struct gq_grid grid = {
        .host = (void *)(uintptr_t)c->host_page,
        .worker = (void *)(uintptr_t)c->worker_page,
        .shared = (void *)(uintptr_t)c->shared,
        .lane = (void *)(uintptr_t)c->lanes,
        .state = (void *)(uintptr_t)s->state.at,
        .limit_ns = limit ? strtoull(limit, NULL, 10) * 1000000000u : 0,
        .step = step,
        .steps = c->steps,
        .stage = s->stage,
        .generation = s->generation,
        .out_cap = c->setup.slot_bytes,
        .retries = c->setup.retries,
        .poll = c->setup.poll,
        .staged = image->staged,
        .express = image->express,
        .counted = c->counted,
        .launch = s->launch + 1,
    };
    void *params[] = {&grid};
    gq_assert(blocks > 0);
    gq_status status = GQ_CU(c, launch(image->function, blocks, 1, 1, image->block_threads, 1, 1, image->shared_bytes,
                                       s->stream, params, NULL));
    if (status != GQ_OK)
        return status;
    s->launch++;
    s->blocks_launched += blocks;
    s->launched = true;
    return GQ_OK;
}

gq_status gq_cuda_launch(struct gq_cuda *c)
{
    gq_status status = GQ_OK;
    for (uint32_t i = 0; i < c->steps && status == GQ_OK; i++)
        status = gq_cuda_launch_step(c, i, c->step[i].live->blocks);
    c->running = status == GQ_OK;
    return status;
}

/* --- leaving --------------------------------------------------------------------------------------------------------
 */

/* The copy engine writes it, beside the grids. */
static gq_status order(struct gq_cuda *c, uint32_t step, uint32_t leave)
{
    const size_t at = offsetof(struct gq_grid_shared, order) + step * sizeof(struct gq_grid_order) +
                      offsetof(struct gq_grid_order, leave);
    return GQ_CU(c, write_value32(c->copy, c->shared + at, leave, 0));
}

/* Blocks of a step that are still there, of all its grids. */
static gq_status count_resident(struct gq_cuda *c, uint32_t step, uint32_t *out)
{
    const size_t at = offsetof(struct gq_grid_shared, order) + step * sizeof(struct gq_grid_order) +
                      offsetof(struct gq_grid_order, left);
    uint32_t left = 0;
    gq_status status = GQ_CU(c, copy_from_device(&left, c->shared + at, sizeof left, c->copy));
    if (status == GQ_OK)
        status = GQ_CU(c, stream_wait(c->copy));
    *out = c->step[step].blocks_launched - left;
    return status;
}

static bool busy(const struct gq_cuda *c, const struct gq_cuda_step *s)
{
    bool left = s->launched && c->cu->stream_query(s->stream) == GQ_CU_NOT_READY;
    for (uint32_t i = 0; i < s->slow_count && !left; i++)
        left = c->cu->stream_query(s->slow[i]) == GQ_CU_NOT_READY;
    return left;
}

bool gq_cuda_grids_left(const struct gq_cuda *c)
{
    for (uint32_t i = 0; i < c->steps; i++)
        if (busy(c, &c->step[i]))
            return true;
    return false;
}

/* What has left is launched again beside the grid that holds a message, and the order is taken back. */
static gq_status resume_step(struct gq_cuda *c, uint32_t step)
{
    struct gq_cuda_step *s = &c->step[step];
    uint32_t resident = 0;
    gq_status status = order(c, step, s->launch - 1);
    if (status == GQ_OK)
        status = count_resident(c, step, &resident);
    if (status != GQ_OK || resident >= s->live->blocks || (busy(c, s) && s->slow_count == GQ_CUDA_SLOW_MAX))
        return status;
    if (busy(c, s)) {
        gq_cu_stream stream = NULL;
        status = GQ_CU(c, stream_create(&stream, GQ_CU_STREAM_NON_BLOCKING));
        if (status != GQ_OK)
            return status;
        s->slow[s->slow_count++] = s->stream;
        s->stream = stream;
    }
    return gq_cuda_launch_step(c, step, s->live->blocks - resident);
}

static gq_status give_up(struct gq_cuda *c)
{
    const struct gq_cuda_step *slow = NULL;
    gq_status status = GQ_OK;
    for (uint32_t i = 0; i < c->steps && !slow; i++)
        slow = busy(c, &c->step[i]) ? &c->step[i] : NULL;
    for (uint32_t i = 0; i < c->steps && status == GQ_OK; i++)
        status = resume_step(c, i);
    if (status != GQ_OK)
        c->setup.die(gq_error_text());
    return gq_error_set(GQ_ERR_TIMEOUT, "stage '%s' has held a message for %u s: nothing was changed",
                        slow ? slow->name : "?", PARK_MS / 1000);
}

gq_status gq_cuda_park(struct gq_cuda *c)
{
    const uint64_t deadline = gq_clock_deadline(PARK_MS);
    gq_status status = GQ_OK;
    for (uint32_t i = 0; i < c->steps && status == GQ_OK; i++)
        status = order(c, i, c->step[i].launch);
    if (status != GQ_OK)
        c->setup.die(gq_error_text());
    while (gq_cuda_grids_left(c))
        if (gq_clock_past(deadline))
            return give_up(c);
    if (gq_cuda_check_left(c) != GQ_OK)
        c->setup.die(gq_error_text());
    c->running = false;
    for (uint32_t i = 0; i < c->steps; i++)
        while (c->step[i].slow_count)
            c->cu->stream_destroy(c->step[i].slow[--c->step[i].slow_count]);
    return GQ_OK;
}

gq_status gq_cuda_park_behind(struct gq_cuda *c, uint32_t step, uint32_t blocks)
{
    const uint64_t deadline = gq_clock_deadline(PARK_MS);
    struct gq_cuda_step *s = &c->step[step];
    uint32_t resident = blocks + 1;
    gq_status status = order(c, step, s->launch - 1);
    while (status == GQ_OK && resident > blocks && !gq_clock_past(deadline))
        status = count_resident(c, step, &resident);
    if (status != GQ_OK)
        c->setup.die(gq_error_text());
    if (resident <= blocks)
        return GQ_OK;
    /* The new grid stays behind it, until both are told to leave. */
    if (order(c, step, s->launch - 2) != GQ_OK)
        c->setup.die(gq_error_text());
    return gq_error_set(GQ_ERR_TIMEOUT, "stage '%s' has held a message for %u s: nothing was changed", s->name,
                        PARK_MS / 1000);
}

gq_status gq_cuda_check_grids(struct gq_cuda *c)
{
    for (uint32_t i = 0; i < c->steps && c->running; i++) {
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
