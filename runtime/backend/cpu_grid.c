#include "backend/cpu.h"
#include "backend/fiber.h"
#include "base/assert.h"
#include "base/mem.h"
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#define THREADS_MAX 64u /* by default; more by asking */

static struct gq_cpu_grid *grid_of(struct gq_backend *backend) { return (struct gq_cpu_grid *)backend; }

static uint32_t default_threads(void)
{
    cpu_set_t set;
    int count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    return (uint32_t)count < THREADS_MAX ? (uint32_t)count : THREADS_MAX;
}

static void cpu_close(struct gq_backend *backend)
{
    struct gq_cpu_grid *grid = grid_of(backend);
    if (!grid)
        return;
    for (uint32_t i = 0; grid->block && i < grid->block_count; i++) {
        free(grid->block[i].scratch[0]);
        free(grid->block[i].scratch[1]);
    }
    for (uint32_t i = 0; i < grid->lane_count; i++)
        free(grid->lane[i]);
    while (grid->table) {
        struct gq_cpu_table *table = grid->table;
        grid->table = table->next;
        free(table);
    }
    for (uint32_t i = 0; i < grid->stage_count; i++)
        gq_cpu_stage_finish(&grid->stage[i]);
    gq_cpu_stage_finish(&grid->source);
    free(grid->block);
    free(grid);
}

static gq_status make_blocks(struct gq_cpu_grid *grid)
{
    grid->block = gq_mem_lines(grid->block_count * sizeof *grid->block);
    if (!grid->block)
        return gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for %u worker threads", grid->block_count);
    for (uint32_t i = 0; i < grid->block_count; i++) {
        struct gq_cpu_block *b = &grid->block[i];
        b->grid = grid;
        b->index = i;
        b->crumb = &grid->setup.link->worker->crumb[i];
    }
    return GQ_OK;
}

/* Where messages lie between two images. */
static gq_status make_scratch(struct gq_cpu_grid *grid)
{
    for (uint32_t i = 0; i < grid->block_count; i++)
        for (int k = 0; k < 2; k++)
            if (!grid->block[i].scratch[k] &&
                !(grid->block[i].scratch[k] = gq_mem_lines((size_t)grid->batch * grid->stride)))
                return gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for %u slots of %u bytes between stages",
                                    grid->batch, grid->stride);
    return GQ_OK;
}

static gq_status cpu_open(const struct gq_backend_setup *setup, struct gq_backend **out)
{
    *out = NULL;
    struct gq_cpu_grid *grid = calloc(1, sizeof *grid);
    if (!grid)
        return gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for the CPU backend");
    grid->setup = *setup;
    grid->stride = gq_slot_stride(setup->slot_bytes);
    grid->batch = gq_batch_messages(grid->stride);
    grid->block_count = setup->threads ? setup->threads : default_threads();
    if (grid->block_count > GQ_BLOCKS_MAX)
        grid->block_count = GQ_BLOCKS_MAX;
    gq_status status = gq_cpu_fault_install();
    if (status == GQ_OK)
        status = make_blocks(grid);
    if (status != GQ_OK) {
        cpu_close((struct gq_backend *)grid);
        return status;
    }
    gq_cpu_fault_set_die(setup->die);
    gq_fiber_set_die(gq_cpu_die);
    setup->link->worker->threads = grid->block_count;
    *out = (struct gq_backend *)grid;
    return GQ_OK;
}

static gq_status cpu_load_source(struct gq_backend *backend, int fd, const struct gq_backend_image *image)
{
    struct gq_cpu_grid *grid = grid_of(backend);
    struct gq_cpu_version *version;
    gq_status status = gq_cpu_load(fd, GQ_IMAGE_SOURCE, image->version, &version);
    return status == GQ_OK ? gq_cpu_begin(grid, &grid->source, version, image) : status;
}

static gq_status cpu_load_stage(struct gq_backend *backend, int fd, const struct gq_backend_image *image)
{
    struct gq_cpu_grid *grid = grid_of(backend);
    gq_assert(grid->stage_count < GQ_STAGES_MAX && grid->started == 0);
    struct gq_cpu_version *version;
    gq_status status = gq_cpu_load(fd, GQ_IMAGE_STAGE, image->version, &version);
    if (status == GQ_OK)
        status = gq_cpu_begin(grid, &grid->stage[grid->stage_count], version, image);
    if (status == GQ_OK)
        grid->stage_count++;
    return status;
}

static gq_status cpu_add_lane(struct gq_backend *backend, const struct gq_lane_view *view,
                              const struct gq_lane_range *range)
{
    struct gq_cpu_grid *grid = grid_of(backend);
    if (grid->lane_count == GQ_LANES_MAX)
        return gq_error_set(GQ_ERR_NO_MEMORY, "a queue has at most %u lanes", GQ_LANES_MAX);
    if (view->in_head->generated && !grid->source.live)
        return gq_error_set(GQ_ERR_INTERNAL, "a generated lane needs a source image");
    struct gq_cpu_lane *lane = gq_mem_lines(sizeof *lane);
    if (!lane)
        return gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for a lane");
    lane->view = *view;
    lane->generated = view->in_head->generated != 0;
    lane->first_index = view->in_head->first_index;
    lane->next = range->first;
    lane->mixed = range->mixed;
    lane->end = range->end;
    lane->table = grid->table;
    lane->canary = grid->canary.table;
    grid->lane[grid->lane_count] = lane;
    __atomic_store_n(&grid->lane_count, grid->lane_count + 1, __ATOMIC_RELEASE);
    return GQ_OK;
}

#define WAKE_US_MIN 10u
#define WAKE_US_MAX 1000u

/* Every thread finishes the run that it holds, and leaves. One that was about to sleep misses a wake, so they are
 * repeated. */
static void halt(struct gq_cpu_grid *grid)
{
    uint32_t us = WAKE_US_MIN;
    __atomic_store_n(&grid->stop, 1, __ATOMIC_RELEASE);
    while (__atomic_load_n(&grid->running, __ATOMIC_ACQUIRE) != 0) {
        for (uint32_t i = 0; i < grid->started; i++)
            gq_link_recruit(grid->setup.link);
        usleep(us);
        us = us * 2 < WAKE_US_MAX ? us * 2 : WAKE_US_MAX;
    }
    for (uint32_t i = 0; i < grid->started; i++)
        pthread_join(grid->block[i].thread, NULL);
    grid->started = 0;
}

static gq_status start_blocks(struct gq_cpu_grid *grid)
{
    __atomic_store_n(&grid->stop, 0, __ATOMIC_RELEASE);
    for (; grid->started < grid->block_count; grid->started++) {
        struct gq_cpu_block *b = &grid->block[grid->started];
        __atomic_fetch_add(&grid->running, 1, __ATOMIC_RELAXED);
        int err = pthread_create(&b->thread, NULL, gq_cpu_block_main, b);
        if (err) {
            __atomic_fetch_sub(&grid->running, 1, __ATOMIC_RELAXED);
            return gq_error_errno(GQ_ERR_NO_MEMORY, err, "starting worker thread %u of %u", grid->started + 1,
                                  grid->block_count);
        }
    }
    return GQ_OK;
}

static gq_status cpu_start(struct gq_backend *backend)
{
    struct gq_cpu_grid *grid = grid_of(backend);
    gq_assert(grid->stage_count > 0 && grid->started == 0);
    const bool between = grid->stage_count > 1 || grid->source.live;
    gq_status status = between ? make_scratch(grid) : GQ_OK;
    if (status == GQ_OK && (status = start_blocks(grid)) != GQ_OK)
        halt(grid);
    return status;
}

static gq_status cpu_pause(struct gq_backend *backend)
{
    struct gq_cpu_grid *grid = grid_of(backend);
    halt(grid);
    gq_cpu_sweep(grid);
    return GQ_OK;
}

static void cpu_stop(struct gq_backend *backend) { halt(grid_of(backend)); }

const struct gq_backend_ops gq_cpu_backend = {
    .name = "cpu",
    .open = cpu_open,
    .load_source = cpu_load_source,
    .load_stage = cpu_load_stage,
    .add_lane = cpu_add_lane,
    .start = cpu_start,
    .pause = cpu_pause,
    .swap = gq_cpu_swap,
    .canary = gq_cpu_canary,
    .use = gq_cpu_use,
    .discard = gq_cpu_discard,
    .stop = cpu_stop,
    .close = cpu_close,
};
