/* Grids of the CUDA backend: how large they are, how they start, and how they leave. */
#include "backend/cuda.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/text.h"
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define BLOCKS_AN_SM 2    /* more warps than this do not make the bus faster */
#define PARK_MS 5000u     /* what one message may take before a change gives up */
#define EAGER_LOOKS 1000u /* for grids that leave as soon as they can: messages wait */

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

/* The step that is launched as number i, if `last` is launched last. */
static uint32_t in_turn(const struct gq_cuda *c, uint32_t last, uint32_t i)
{
    return last >= c->steps || i < last ? i : i + 1 < c->steps ? i + 1 : last;
}

bool gq_cuda_fits_last(const struct gq_cuda *c, uint32_t step, uint32_t percent)
{
    struct gq_fit_step fit[GQ_CUDA_STEPS_MAX];
    const uint64_t all = (uint64_t)c->room.shared_bytes;
    for (uint32_t i = 0; i < c->steps; i++) {
        const struct gq_cuda_step *s = &c->step[in_turn(c, step, i)];
        fit[i] = fit_of(c, s->name, s->live);
        fit[i].blocks = s->live->blocks;
    }
    return c->steps == 1 || gq_fits(&c->room, fit, c->steps, (uint32_t)(percent * all / 100));
}

/* Grids that share an SM share one division of its memory into cache and shared memory: it can change only when the SM
 * is empty, and it never is while they run. */
static gq_status divide_one(struct gq_cuda *c, struct gq_cuda_image *image, uint32_t percent)
{
    const int asked = percent ? (int)percent : GQ_CU_SHARED_DEFAULT;
    if (percent == image->percent)
        return GQ_OK;
    gq_status status = GQ_CU(c, function_set(image->function, GQ_CU_FUNC_SHARED_PERCENT, asked));
    if (status == GQ_OK)
        image->percent = percent;
    return status;
}

gq_status gq_cuda_divide(struct gq_cuda *c, uint32_t percent)
{
    gq_status status = GQ_OK;
    for (uint32_t i = 0; i < c->steps && status == GQ_OK; i++)
        status = divide_one(c, c->step[i].live, percent);
    if (status == GQ_OK && c->canary.image)
        status = divide_one(c, c->canary.image, percent);
    c->percent = percent;
    return status;
}

/* --- starting -------------------------------------------------------------------------------------------------------
 */

static gq_status launch_grid(struct gq_cuda *c, struct gq_cuda_step *s, struct gq_cuda_image *image,
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
    image->launched = true;
    c->pulse.is = GQ_PULSE_UNKNOWN;
    s->launch++;
    s->blocks_launched += blocks;
    __atomic_store_n(&c->serves[grid->lanes == GQ_GRID_CANARY_LANES][grid->step],
                     GQ_CUDA_SERVES(grid->generation, image->scope), __ATOMIC_RELAXED);
    return GQ_OK;
}

static gq_status launch_step(struct gq_cuda *c, uint32_t step, struct gq_cuda_stream *stream, uint32_t blocks)
{
    struct gq_cuda_step *s = &c->step[step];
    const bool shares = c->canary.image && c->canary.step == step;
    struct gq_grid grid = {.generation = s->generation, .lanes = shares ? GQ_GRID_OTHER_LANES : GQ_GRID_ALL_LANES};
    gq_status status = launch_grid(c, s, s->live, stream->at, blocks, &grid);
    if (status == GQ_OK)
        stream->launch = s->launch;
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

/* A word of the step's order. The copy engine writes it, beside the grids. */
static gq_status write_order(struct gq_cuda *c, uint32_t step, size_t word, uint32_t value)
{
    const size_t at = offsetof(struct gq_grid_shared, order) + step * sizeof(struct gq_grid_order) + word;
    return GQ_CU(c, write_value32(c->copy, c->shared + at, value, 0));
}

/* All grids of a step are to leave, but the newest if it is to stay: it has `stay` blocks, and else 0. */
static gq_status tell(struct gq_cuda *c, uint32_t step, uint32_t stay)
{
    struct gq_cuda_step *s = &c->step[step];
    s->told = s->launch - (stay ? 1 : 0);
    s->blocks_told = s->blocks_launched - stay;
    s->extra = 0;
    return write_order(c, step, offsetof(struct gq_grid_order, leave), s->told);
}

/* Blocks of a step that were told to leave, and have not, of all its grids. */
static gq_status count_told(struct gq_cuda *c, uint32_t step, uint32_t *out)
{
    const size_t at = offsetof(struct gq_grid_shared, order) + step * sizeof(struct gq_grid_order) +
                      offsetof(struct gq_grid_order, left);
    uint32_t left = 0;
    gq_status status = GQ_CU(c, copy_from_device(&left, c->shared + at, sizeof left, c->copy));
    if (status == GQ_OK)
        status = GQ_CU(c, stream_wait(c->copy));
    *out = c->step[step].blocks_told - left;
    return status;
}

static bool busy(const struct gq_cuda *c, const struct gq_cuda_stream *stream)
{
    return stream->launch && c->cu->stream_query(stream->at) == GQ_CU_NOT_READY;
}

static bool step_busy(const struct gq_cuda *c, const struct gq_cuda_step *s)
{
    for (uint32_t i = 0; i < GQ_CUDA_STREAMS_MAX; i++)
        if (busy(c, &s->stream[i]))
            return true;
    return false;
}

bool gq_cuda_grids_left(const struct gq_cuda *c)
{
    if (c->canary.launched && c->cu->stream_query(c->canary.stream) == GQ_CU_NOT_READY)
        return true;
    for (uint32_t i = 0; i < c->steps; i++)
        if (step_busy(c, &c->step[i]))
            return true;
    return false;
}

/* Is a grid still there that was told to leave? */
static bool lingers(struct gq_cuda *c, struct gq_cuda_step *s)
{
    bool any = false;
    for (uint32_t i = 0; i < GQ_CUDA_STREAMS_MAX; i++) {
        struct gq_cuda_stream *stream = &s->stream[i];
        if (!stream->launch || stream->launch > s->told)
            continue;
        if (busy(c, stream))
            any = true;
        else
            stream->launch = 0;
    }
    return any;
}

/* For a change: the bell, which asks as well, is inside of a caller of its own. */
static bool lingers_beside(struct gq_cuda *c, struct gq_cuda_step *s)
{
    gq_cuda_enter(&c->pulse.change);
    const bool any = lingers(c, s);
    gq_cuda_leave(&c->pulse.change);
    return any;
}

bool gq_cuda_is_alone(const struct gq_cuda_step *s)
{
    uint32_t streams = 0;
    for (uint32_t i = 0; i < GQ_CUDA_STREAMS_MAX; i++)
        streams += s->stream[i].launch != 0;
    return streams == 1 && s->blocks_launched - s->blocks_told == s->live->blocks;
}

/* An empty stream of the step. */
static gq_status find_stream(struct gq_cuda *c, struct gq_cuda_step *s, struct gq_cuda_stream **out)
{
    uint32_t i = 0;
    while (i < GQ_CUDA_STREAMS_MAX && s->stream[i].launch)
        i++;
    gq_assert(i < GQ_CUDA_STREAMS_MAX);
    *out = &s->stream[i];
    return s->stream[i].at ? GQ_OK : GQ_CU(c, stream_create(&s->stream[i].at, GQ_CU_STREAM_NON_BLOCKING));
}

/* Is there room for all grids, and so many blocks of this step more? If it is not where it seems to be, some start when
 * those have left. */
static bool has_room(const struct gq_cuda *c, uint32_t step, uint32_t held)
{
    struct gq_fit_step fit[2 * GQ_CUDA_STEPS_MAX];
    const uint64_t all = (uint64_t)c->room.shared_bytes;
    for (uint32_t i = 0; i < c->steps; i++) {
        const struct gq_cuda_step *s = &c->step[i];
        fit[i] = fit[c->steps + i] = fit_of(c, s->name, s->live);
        fit[i].blocks = s->live->blocks;
        fit[c->steps + i].blocks = i == step ? held : s->extra;
    }
    return gq_fits(&c->room, fit, 2 * c->steps, (uint32_t)(c->percent ? c->percent * all / 100 : all));
}

gq_status gq_cuda_launch_beside(struct gq_cuda *c, uint32_t step, uint32_t waiting)
{
    struct gq_cuda_step *s = &c->step[step];
    struct gq_cuda_stream *stream = NULL;
    uint32_t there = 0;
    gq_assert(s->blocks_told == s->blocks_launched);
    __atomic_store_n(&c->serves[0][step], GQ_CUDA_SERVES(s->generation, s->live->scope), __ATOMIC_RELAXED);
    gq_status status = count_told(c, step, &there);
    if (status != GQ_OK)
        return status;
    uint32_t without = there > waiting ? there - waiting : there;
    if (has_room(c, step, without)) {
        s->extra = without;
        without = 0;
    }
    if (without >= s->live->blocks)
        return GQ_OK;
    (void)lingers_beside(c, s);
    status = find_stream(c, s, &stream);
    return status == GQ_OK ? launch_step(c, step, stream, s->live->blocks - without) : status;
}

gq_status gq_cuda_top_up(struct gq_cuda *c)
{
    gq_status status = GQ_OK;
    for (uint32_t i = 0; i < c->steps && status == GQ_OK && c->running; i++) {
        struct gq_cuda_step *s = &c->step[i];
        struct gq_cuda_stream *stream = NULL;
        const uint32_t serve = s->blocks_launched - s->blocks_told; /* with a canary's, which is never short of any */
        if (serve >= s->live->blocks || lingers(c, s))
            continue;
        status = find_stream(c, s, &stream);
        if (status == GQ_OK)
            status = launch_step(c, i, stream, s->live->blocks - serve);
    }
    return status;
}

static gq_status held(const char *name)
{
    return gq_error_set(GQ_ERR_PLUGIN, "stage '%s' has held a message for %u s: nothing was changed", name,
                        PARK_MS / 1000);
}

static gq_status give_up(struct gq_cuda *c)
{
    const char *slow = "canary";
    gq_status status = GQ_OK;
    for (uint32_t i = c->steps; i > 0; i--)
        slow = step_busy(c, &c->step[i - 1]) ? c->step[i - 1].name : slow;
    for (uint32_t i = 0; i < c->steps && status == GQ_OK && !c->canary.launched; i++)
        status = gq_cuda_launch_beside(c, i, 0);
    /* Blocks that left are counted for both grids of its step: nobody knows whose they were. */
    if (status != GQ_OK)
        gq_cuda_die(c);
    status = held(slow);
    if (c->canary.launched)
        gq_cuda_die(c);
    return status;
}

/* What was told to leave before, and holds a message since, must be gone: until then nothing else is stopped. */
static gq_status await_told(struct gq_cuda *c, uint64_t deadline)
{
    for (uint32_t i = 0; i < c->steps; i++)
        while (lingers_beside(c, &c->step[i])) {
            if (gq_clock_past(deadline))
                return held(c->step[i].name);
            usleep(50);
        }
    return GQ_OK;
}

static bool await_all(struct gq_cuda *c, uint64_t deadline)
{
    for (uint32_t looks = 0;; looks++) {
        gq_cuda_enter(&c->pulse.change); /* each look counts for itself: a message may take long */
        const bool left = gq_cuda_grids_left(c);
        gq_cuda_leave(&c->pulse.change);
        if (!left || gq_clock_past(deadline))
            return !left;
        if (looks > EAGER_LOOKS)
            sched_yield(); /* who has to wait for a processor had better do so here, and not inside */
    }
}

/* All grids leave. False: one does not, in time. */
static bool leave(struct gq_cuda *c, uint64_t deadline)
{
    gq_status status = GQ_OK;
    gq_cuda_enter(&c->pulse.change);
    for (uint32_t i = 0; i < c->steps && status == GQ_OK; i++)
        status = tell(c, i, 0);
    if (status != GQ_OK)
        gq_cuda_die(c);
    if (!await_all(c, deadline))
        return false;
    if (gq_cuda_check_left(c) != GQ_OK)
        gq_cuda_die(c);
    c->running = c->canary.launched = false;
    for (uint32_t i = 0; i < c->steps; i++)
        for (uint32_t n = 0; n < GQ_CUDA_STREAMS_MAX; n++)
            c->step[i].stream[n].launch = 0;
    return true;
}

gq_status gq_cuda_park(struct gq_cuda *c)
{
    const uint64_t deadline = gq_clock_deadline(PARK_MS);
    gq_status status = await_told(c, deadline);
    if (status != GQ_OK)
        return status;
    return leave(c, deadline) ? GQ_OK : give_up(c);
}

/* It started when the old one left: nobody can say whether it has served a message, so it is live. */
static gq_status stay(struct gq_cuda *c, uint32_t step)
{
    gq_status status = gq_cuda_launch_beside(c, step, 0);
    if (status != GQ_OK)
        gq_cuda_die(c);
    return status;
}

gq_status gq_cuda_park_behind(struct gq_cuda *c, uint32_t step)
{
    const uint64_t deadline = gq_clock_deadline(PARK_MS);
    struct gq_cuda_step *s = &c->step[step];
    const uint32_t new = s->live->blocks;
    uint32_t there = 1;
    gq_status status = tell(c, step, new);
    while (status == GQ_OK && there > 0 && !gq_clock_past(deadline)) {
        gq_cuda_enter(&c->pulse.change);
        status = count_told(c, step, &there);
        gq_cuda_leave(&c->pulse.change);
    }
    if (status == GQ_OK && there == 0)
        return GQ_OK;
    if (status == GQ_OK)
        status = write_order(c, step, offsetof(struct gq_grid_order, refused), s->launch);
    if (status == GQ_OK)
        status = tell(c, step, 0);
    if (status == GQ_OK)
        status = count_told(c, step, &there);
    if (status != GQ_OK)
        gq_cuda_die(c);
    return there > new ? held(s->name) : stay(c, step);
}

/* --- all of them ----------------------------------------------------------------------------------------------------
 */

gq_status gq_cuda_launch_behind(struct gq_cuda *c, uint32_t step)
{
    struct gq_cuda_step *s = &c->step[step];
    uint32_t i = 0;
    while (s->stream[i].launch == 0)
        i++;
    return launch_step(c, step, &s->stream[i], s->live->blocks);
}

/* Some were launched. What they meet is as it was before, or as it is to be: they leave, and others are launched. */
static void take_back(struct gq_cuda *c)
{
    char why[GQ_ERROR_TEXT_MAX];
    snprintf(why, sizeof why, "%s", gq_error_text());
    const bool left = leave(c, gq_clock_deadline(PARK_MS));
    gq_error_set(GQ_ERR_DEVICE, "%s", why);
    if (!left)
        gq_cuda_die(c);
}

gq_status gq_cuda_launch(struct gq_cuda *c)
{
    gq_status status = gq_cuda_copied(c); /* grids have streams of their own */
    if (status != GQ_OK)
        return status;
    gq_cuda_pulse_rest(c);
    for (uint32_t i = 0; i < c->steps && status == GQ_OK; i++) {
        const uint32_t step = in_turn(c, c->last, i);
        status = launch_step(c, step, &c->step[step].stream[0], c->step[step].live->blocks);
    }
    if (status == GQ_OK && c->canary.image)
        status = launch_canary(c);
    c->running = status == GQ_OK;
    if (status == GQ_OK)
        gq_cuda_pulse_try(c);
    else
        take_back(c);
    return status;
}

/* --- are they well? -------------------------------------------------------------------------------------------------
 */

static gq_status check_stream(const struct gq_cuda *c, gq_cu_stream stream, uint32_t step)
{
    const int error = c->cu->stream_query(stream);
    if (error == GQ_CU_NOT_READY)
        return GQ_OK;
    if (error == GQ_CU_OK)
        return gq_error_set(GQ_ERR_DEVICE, "the grid of step %u ended though nobody stopped it", step);
    return gq_cu_check(c->cu, error, "a plugin's grid");
}

gq_status gq_cuda_check_grids(struct gq_cuda *c)
{
    gq_status status = GQ_OK;
    for (uint32_t i = 0; i < c->steps * GQ_CUDA_STREAMS_MAX && c->running && status == GQ_OK; i++) {
        const struct gq_cuda_step *s = &c->step[i / GQ_CUDA_STREAMS_MAX];
        const struct gq_cuda_stream *stream = &s->stream[i % GQ_CUDA_STREAMS_MAX];
        if (stream->launch > s->told)
            status = check_stream(c, stream->at, i / GQ_CUDA_STREAMS_MAX);
    }
    if (status == GQ_OK && c->running && c->canary.image)
        status = check_stream(c, c->canary.stream, c->canary.step);
    return status;
}

gq_status gq_cuda_check_left(struct gq_cuda *c)
{
    gq_status status = GQ_OK;
    for (uint32_t i = 0; i < c->steps * GQ_CUDA_STREAMS_MAX && status == GQ_OK; i++) {
        const struct gq_cuda_stream *stream = &c->step[i / GQ_CUDA_STREAMS_MAX].stream[i % GQ_CUDA_STREAMS_MAX];
        if (stream->launch)
            status = gq_cu_check(c->cu, c->cu->stream_query(stream->at), "a plugin's grid");
    }
    return status;
}
