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

static struct gq_fit_step fit_of(const struct gq_cuda *c, const char *name, const struct gq_cuda_image *i)
{
    struct gq_fit_step fit = {
        .name = name,
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
    struct gq_fit_step fit[GQ_CUDA_STEPS_MAX + 1];
    uint32_t shared_an_sm = 0, grids = c->steps;
    for (uint32_t i = 0; i < c->steps; i++)
        fit[i] = fit_of(c, c->step[i].name, c->step[i].live);
    if (c->canary.image)
        fit[grids++] = fit_of(c, "the canary", c->canary.image);
    gq_status status = gq_fit(&c->room, fit, grids, &shared_an_sm);
    for (uint32_t i = 0; i < c->steps && status == GQ_OK; i++)
        c->step[i].live->blocks = fit[i].blocks;
    if (c->canary.image && status == GQ_OK)
        c->canary.image->blocks = fit[c->steps].blocks;
    const uint64_t all = (uint64_t)c->room.shared_bytes;
    *percent = grids > 1 ? (uint32_t)((100 * (uint64_t)shared_an_sm + all - 1) / all) : 0;
    return status;
}

/* Grids that share an SM share one division of its memory into cache and shared memory: it can change only when the SM
 * is empty, and it never is while they run. */
gq_status gq_cuda_divide(struct gq_cuda *c, uint32_t percent)
{
    const int asked = percent ? (int)percent : GQ_CU_SHARED_DEFAULT;
    gq_status status = GQ_OK;
    if (percent == c->shared_percent)
        return GQ_OK;
    for (uint32_t i = 0; i < c->steps && status == GQ_OK; i++)
        status = GQ_CU(c, function_set(c->step[i].live->function, GQ_CU_FUNC_SHARED_PERCENT, asked));
    if (status == GQ_OK && c->canary.image)
        status = GQ_CU(c, function_set(c->canary.image->function, GQ_CU_FUNC_SHARED_PERCENT, asked));
    if (status == GQ_OK)
        c->shared_percent = percent;
    return status;
}

/* --- starting -------------------------------------------------------------------------------------------------------
 */

static gq_status launch_grid(struct gq_cuda *c, struct gq_cuda_step *s, const struct gq_cuda_image *image,
                             gq_cu_stream stream, uint32_t blocks, struct gq_grid *grid)
{
    const char *limit = getenv("GPUQ_GRID_LIMIT_S"); /* tests bound every grid by it */
    void *params[] = {grid};
    gq_assert(blocks > 0);
    grid->host = (void *)(uintptr_t)c->host_page;
    grid->worker = (void *)(uintptr_t)c->worker_page;
    grid->shared = (void *)(uintptr_t)c->shared;
    grid->lane = (void *)(uintptr_t)c->lanes;
    if (c->setup.single)
        grid->run = (void *)(uintptr_t)(c->worker_page + offsetof(struct gq_worker_page, run));
    grid->state = (void *)(uintptr_t)s->state.at;
    grid->limit_ns = limit ? strtoull(limit, NULL, 10) * 1000000000u : 0;
    grid->step = (uint32_t)(s - c->step);
    grid->steps = c->steps;
    grid->stage = s->stage;
    grid->out_cap = c->setup.slot_bytes;
    grid->retries = c->setup.retries;
    grid->poll = c->setup.poll;
    grid->staged = image->staged;
    grid->express = image->express;
    grid->counted = c->counted;
    grid->launch = s->launch + 1;
    grid->single = c->setup.single;
    grid->old = gq_cuda_meets_old(c);
    gq_status status = GQ_CU(c, launch(image->function, blocks, 1, 1, image->block_threads, 1, 1, image->shared_bytes,
                                       stream, params, NULL));
    if (status != GQ_OK)
        return status;
    s->launch++;
    s->blocks_launched += blocks;
    __atomic_store_n(&c->serves[grid->lanes == GQ_GRID_CANARY_LANES][grid->step],
                     GQ_CUDA_SERVES(grid->generation, image->scope), __ATOMIC_RELAXED);
    return GQ_OK;
}

gq_status gq_cuda_launch_step(struct gq_cuda *c, uint32_t step, uint32_t blocks)
{
    struct gq_cuda_step *s = &c->step[step];
    const bool shares = c->canary.image && c->canary.step == step;
    struct gq_grid grid = {.generation = s->generation, .lanes = shares ? GQ_GRID_OTHER_LANES : GQ_GRID_ALL_LANES};
    gq_status status = launch_grid(c, s, s->live, s->stream, blocks, &grid);
    s->launched |= status == GQ_OK;
    return status;
}

static gq_status launch_canary(struct gq_cuda *c)
{
    struct gq_grid grid = {.generation = c->canary.generation, .lanes = GQ_GRID_CANARY_LANES};
    gq_status status =
        launch_grid(c, &c->step[c->canary.step], c->canary.image, c->canary.stream, c->canary.image->blocks, &grid);
    c->canary.launched = status == GQ_OK;
    return status;
}

gq_status gq_cuda_launch(struct gq_cuda *c)
{
    gq_status status = GQ_OK;
    for (uint32_t i = 0; i < c->steps && status == GQ_OK; i++)
        status = gq_cuda_launch_step(c, i, c->step[i].live->blocks);
    if (status == GQ_OK && c->canary.image)
        status = launch_canary(c);
    c->running = status == GQ_OK;
    return status;
}

/* --- lanes of a canary ----------------------------------------------------------------------------------------------
 */

gq_status gq_cuda_share_lanes(struct gq_cuda *c, uint32_t canary)
{
    gq_status status = GQ_OK;
    for (uint32_t i = 0; i < c->lane_count && status == GQ_OK; i++) {
        const uint32_t side = (i + 1) * canary / c->lane_count != i * canary / c->lane_count;
        const gq_cu_ptr at = c->lanes + i * sizeof(struct gq_grid_lane) + offsetof(struct gq_grid_lane, canary);
        status = gq_cuda_copy_in(c, at, &side, sizeof side);
        __atomic_store_n(&c->seen[i].canary, side, __ATOMIC_RELAXED);
    }
    return status;
}

gq_status gq_cuda_end_canary(struct gq_cuda *c)
{
    gq_assert(!c->running && c->canary.image);
    c->cu->stream_destroy(c->canary.stream);
    c->canary = (struct gq_cuda_canary){0};
    return gq_cuda_share_lanes(c, 0);
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
    if (c->canary.stream && c->cu->stream_query(c->canary.stream) == GQ_CU_NOT_READY)
        return true;
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

static gq_status check_stream(const struct gq_cuda *c, gq_cu_stream stream, uint32_t step)
{
    const int error = c->cu->stream_query(stream);
    if (error == GQ_CU_NOT_READY)
        return GQ_OK;
    if (error == GQ_CU_OK)
        return gq_error_set(GQ_ERR_DEVICE, "the grid of step %u ended though nobody stopped it", step);
    return gq_cu_check(c->cu, error, "a plugin's grid");
}

static gq_status give_up(struct gq_cuda *c)
{
    const struct gq_cuda_step *slow = NULL;
    gq_status status = GQ_OK;
    for (uint32_t i = 0; i < c->steps && !slow; i++)
        slow = busy(c, &c->step[i]) ? &c->step[i] : NULL;
    for (uint32_t i = 0; i < c->steps && status == GQ_OK && !c->canary.launched; i++)
        status = resume_step(c, i);
    gq_error_set(GQ_ERR_PLUGIN, "stage '%s' has held a message for %u s: nothing was changed",
                 slow ? slow->name : "canary", PARK_MS / 1000);
    /* Blocks that left are counted for both grids of its step: nobody knows whose they were. */
    if (status != GQ_OK || c->canary.launched)
        gq_cuda_die(c);
    return GQ_ERR_PLUGIN;
}

gq_status gq_cuda_park(struct gq_cuda *c)
{
    const uint64_t deadline = gq_clock_deadline(PARK_MS);
    gq_status status = GQ_OK;
    for (uint32_t i = 0; i < c->steps && status == GQ_OK; i++)
        status = order(c, i, c->step[i].launch);
    if (status != GQ_OK)
        gq_cuda_die(c);
    while (gq_cuda_grids_left(c))
        if (gq_clock_past(deadline))
            return give_up(c);
    if (gq_cuda_check_left(c) != GQ_OK)
        gq_cuda_die(c);
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
        gq_cuda_die(c);
    if (resident <= blocks)
        return GQ_OK;
    /* The new grid stays behind it, until both are told to leave. */
    if (order(c, step, s->launch - 2) != GQ_OK)
        gq_cuda_die(c);
    return gq_error_set(GQ_ERR_PLUGIN, "stage '%s' has held a message for %u s: nothing was changed", s->name,
                        PARK_MS / 1000);
}

gq_status gq_cuda_check_grids(struct gq_cuda *c)
{
    gq_status status = GQ_OK;
    for (uint32_t i = 0; i < c->steps && c->running && status == GQ_OK; i++)
        status = check_stream(c, c->step[i].stream, i);
    if (status == GQ_OK && c->running && c->canary.image)
        status = check_stream(c, c->canary.stream, c->canary.step);
    return status;
}

gq_status gq_cuda_check_left(struct gq_cuda *c)
{
    gq_status status = GQ_OK;
    for (uint32_t i = 0; i < c->steps && status == GQ_OK; i++)
        if (c->step[i].launched)
            status = gq_cu_check(c->cu, c->cu->stream_query(c->step[i].stream), "a plugin's grid");
    return status;
}
