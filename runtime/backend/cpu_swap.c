/* Changing the code of a stage while messages flow. The new image is loaded beside the old one; then one lane after
 * another leads to the new table. Nothing stops for it, except where the stage's memory has to be migrated. */
#include "backend/cpu.h"
#include "base/assert.h"
#include "base/clock.h"
#include <stdlib.h>
#include <unistd.h>

#define STILL_MS 5000u   /* for runs under way to end before a migration */
#define STILL_LOOK_US 20 /* between two looks at that */

static struct gq_cpu_grid *grid_of(struct gq_backend *backend) { return (struct gq_cpu_grid *)backend; }

static gq_status find_stage(struct gq_cpu_grid *grid, uint32_t stage, struct gq_cpu_stage **out)
{
    if (stage >= grid->stage_count)
        return gq_error_set(GQ_ERR_INTERNAL, "stage %u of %u was to be changed", stage, grid->stage_count);
    *out = &grid->stage[stage];
    return GQ_OK;
}

static struct gq_cpu_version *find_version(const struct gq_cpu_stage *stage, uint32_t number)
{
    struct gq_cpu_version *v = stage->versions;
    while (v && (v->number != number || v->discarded))
        v = v->next;
    return v;
}

/* --- standing still -------------------------------------------------------------------------------------------------
 */

static void let_go(struct gq_cpu_grid *grid)
{
    for (uint32_t i = 0; i < grid->lane_count; i++)
        gq_cpu_lane_leave(grid->lane[i]);
}

/* Takes every lane, so that nothing is claimed, and waits for what was. */
static gq_status stand_still(struct gq_cpu_grid *grid, const struct gq_cpu_stage *stage, struct gq_swap_times *times)
{
    const uint64_t start = gq_clock_ns(), deadline = gq_clock_deadline(STILL_MS);
    times->step = GQ_STEP_PARK;
    for (uint32_t i = 0; i < grid->lane_count; i++)
        gq_cpu_lane_enter(grid->lane[i]);
    while (!gq_cpu_blocks_idle(grid)) {
        if (gq_clock_past(deadline)) {
            let_go(grid);
            return gq_error_set(GQ_ERR_PLUGIN,
                                "the state of stage '%s' cannot be migrated: messages were not done after %u s, and "
                                "none may be under way meanwhile",
                                stage->name, STILL_MS / 1000);
        }
        usleep(STILL_LOOK_US);
    }
    times->park_ns = grid->started ? gq_clock_ns() - start : 0;
    return GQ_OK;
}

/* --- changing -------------------------------------------------------------------------------------------------------
 */

/* A change that has been prepared and cannot fail any more, unless there is something to migrate. */
struct change {
    struct gq_cpu_stage *stage;
    struct gq_cpu_version *to;
    struct gq_cpu_state *state;
    struct gq_cpu_table *table;
    bool migrate;
};

static gq_status prepare(struct gq_cpu_grid *grid, const struct gq_backend_image *image, struct change *c)
{
    gq_status status = gq_cpu_state_plan(c->stage, c->to->image, image->fresh, &c->state, &c->migrate);
    if (status == GQ_OK)
        status = gq_cpu_table_copy(grid, image->generation, &c->table);
    if (status == GQ_OK)
        c->table->stage[image->stage] =
            (struct gq_cpu_step){c->to->image, c->to->image->state_bytes ? c->state->memory : NULL};
    return status;
}

static void drop(struct change *c)
{
    if (c->state != c->stage->state)
        free(c->state);
    free(c->table);
}

static void go_live(struct gq_cpu_grid *grid, struct change *c)
{
    if (c->state != c->stage->state) {
        c->state->next = c->stage->states;
        c->stage->states = c->stage->state = c->state;
    }
    c->stage->live = c->to;
    gq_cpu_table_install(grid, c->table, c->migrate);
}

static gq_status change(struct gq_cpu_grid *grid, const struct gq_backend_image *image, struct change *c,
                        struct gq_swap_times *times)
{
    times->step = GQ_STEP_INSPECT;
    gq_status status = prepare(grid, image, c);
    if (status == GQ_OK && c->migrate)
        status = stand_still(grid, c->stage, times);
    if (status == GQ_OK) {
        const uint64_t start = gq_clock_ns();
        times->step = GQ_STEP_LAUNCH;
        if (c->migrate && (status = gq_cpu_state_migrate(grid, c->stage, c->to->image, c->state)) != GQ_OK)
            let_go(grid);
        else
            go_live(grid, c);
        times->launch_ns = gq_clock_ns() - start;
    }
    if (status != GQ_OK) {
        drop(c);
        return status;
    }
    times->step = GQ_STEP_DONE;
    gq_cpu_sweep(grid);
    return GQ_OK;
}

gq_status gq_cpu_swap(struct gq_backend *backend, int fd, const struct gq_backend_image *image,
                      struct gq_swap_times *times)
{
    struct gq_cpu_grid *grid = grid_of(backend);
    struct change c = {0};
    times->step = GQ_STEP_INSPECT;
    gq_status status = find_stage(grid, image->stage, &c.stage);
    if (status != GQ_OK)
        return status;
    if (find_version(c.stage, image->version))
        return gq_error_set(GQ_ERR_INTERNAL, "stage '%s' has a version %u already", c.stage->name, image->version);
    gq_cpu_sweep(grid);
    const uint64_t start = gq_clock_ns();
    times->step = GQ_STEP_LOAD;
    status = gq_cpu_load(fd, GQ_IMAGE_STAGE, image->version, &c.to);
    times->load_ns = gq_clock_ns() - start;
    if (status == GQ_OK && (status = change(grid, image, &c, times)) != GQ_OK)
        gq_cpu_unload(c.to);
    if (status != GQ_OK)
        return status;
    c.to->next = c.stage->versions;
    c.stage->versions = c.to;
    return GQ_OK;
}

gq_status gq_cpu_use(struct gq_backend *backend, const struct gq_backend_image *image, struct gq_swap_times *times)
{
    struct gq_cpu_grid *grid = grid_of(backend);
    struct change c = {0};
    times->step = GQ_STEP_INSPECT;
    gq_status status = find_stage(grid, image->stage, &c.stage);
    if (status != GQ_OK)
        return status;
    c.to = find_version(c.stage, image->version);
    if (!c.to)
        return gq_error_set(GQ_ERR_NOT_FOUND, "stage '%s' has no version %u loaded", c.stage->name, image->version);
    return change(grid, image, &c, times);
}

gq_status gq_cpu_discard(struct gq_backend *backend, uint32_t stage, uint32_t version)
{
    struct gq_cpu_grid *grid = grid_of(backend);
    struct gq_cpu_stage *s = NULL;
    gq_status status = find_stage(grid, stage, &s);
    if (status != GQ_OK)
        return status;
    struct gq_cpu_version *v = find_version(s, version);
    if (!v || v == s->live)
        return gq_error_set(GQ_ERR_NOT_FOUND, "stage '%s' has no version %u that could be given up", s->name, version);
    v->discarded = true;
    gq_cpu_sweep(grid);
    return GQ_OK;
}
