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

/* Which of two versions is to serve all messages is to be said before anything else changes. */
static gq_status no_canary(const struct gq_cpu_grid *grid)
{
    return grid->canary.table
               ? gq_error_set(GQ_ERR_INTERNAL, "a canary runs: one of its two versions is to be used first")
               : GQ_OK;
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

static gq_status make_table(struct gq_cpu_grid *grid, const struct gq_backend_image *image, struct change *c)
{
    gq_status status = gq_cpu_table_copy(grid, image->generation, &c->table);
    if (status == GQ_OK)
        c->table->stage[image->stage] =
            (struct gq_cpu_step){c->to->image, c->to->image->state_bytes ? c->state->memory : NULL};
    return status;
}

static gq_status prepare(struct gq_cpu_grid *grid, const struct gq_backend_image *image, struct change *c)
{
    gq_status status = gq_cpu_state_plan(c->stage, c->to->image, image->fresh, &c->state, &c->migrate);
    return status == GQ_OK ? make_table(grid, image, c) : status;
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

/* Loads what the change is to. */
static gq_status load(struct gq_cpu_grid *grid, int fd, const struct gq_backend_image *image, struct change *c,
                      struct gq_swap_times *times)
{
    if (find_version(c->stage, image->version))
        return gq_error_set(GQ_ERR_INTERNAL, "stage '%s' has a version %u already", c->stage->name, image->version);
    gq_cpu_sweep(grid);
    const uint64_t start = gq_clock_ns();
    times->step = GQ_STEP_LOAD;
    gq_status status = gq_cpu_load(fd, GQ_IMAGE_STAGE, image->version, &c->to);
    times->load_ns = gq_clock_ns() - start;
    return status;
}

/* The stage has the version that was loaded, if all went well. */
static gq_status keep(struct change *c, gq_status status)
{
    if (status != GQ_OK) {
        gq_cpu_unload(c->to);
        return status;
    }
    c->to->next = c->stage->versions;
    c->stage->versions = c->to;
    return GQ_OK;
}

gq_status gq_cpu_swap(struct gq_backend *backend, int fd, const struct gq_backend_image *image,
                      struct gq_swap_times *times)
{
    struct gq_cpu_grid *grid = grid_of(backend);
    struct change c = {0};
    times->step = GQ_STEP_INSPECT;
    gq_status status = find_stage(grid, image->stage, &c.stage);
    if (status == GQ_OK)
        status = no_canary(grid);
    if (status == GQ_OK)
        status = load(grid, fd, image, &c, times);
    return status == GQ_OK ? keep(&c, change(grid, image, &c, times)) : status;
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
    const bool either = c.stage == grid->canary.stage && (c.to == grid->canary.version || c.to == c.stage->live);
    status = either ? GQ_OK : no_canary(grid);
    return status == GQ_OK ? change(grid, image, &c, times) : status;
}

/* --- a canary -------------------------------------------------------------------------------------------------------
 */

#define MILLION 1000000u

static gq_status check_canary(const struct gq_cpu_grid *grid, const struct gq_backend_image *image)
{
    gq_status status = no_canary(grid);
    if (status != GQ_OK)
        return status;
    if (grid->started == 0)
        return gq_error_set(GQ_ERR_INTERNAL, "a canary was to begin while nothing runs");
    if (image->share == 0 || image->share > MILLION)
        return gq_error_set(GQ_ERR_INTERNAL, "a canary was to have %u of a million messages", image->share);
    if (image->generation <= grid->table->generation) /* results could not tell whose they are */
        return gq_error_set(GQ_ERR_INTERNAL, "a canary was to be generation %u beside generation %u", image->generation,
                            grid->table->generation);
    return GQ_OK;
}

static gq_status begin_canary(struct gq_cpu_grid *grid, const struct gq_backend_image *image, struct change *c,
                              struct gq_swap_times *times)
{
    times->step = GQ_STEP_INSPECT;
    c->state = c->stage->state;
    gq_status status = gq_cpu_state_share(c->stage, c->to->image);
    if (status == GQ_OK)
        status = make_table(grid, image, c);
    if (status != GQ_OK)
        return status;
    const uint64_t start = gq_clock_ns();
    c->table->below = ((uint64_t)image->share << 32) / MILLION;
    grid->canary = (struct gq_cpu_canary){.stage = c->stage, .version = c->to};
    gq_cpu_table_install_canary(grid, c->table);
    times->launch_ns = gq_clock_ns() - start;
    times->share = image->share; /* every share can be had: it is one of hashes, not of lanes */
    times->step = GQ_STEP_DONE;
    return GQ_OK;
}

gq_status gq_cpu_canary(struct gq_backend *backend, int fd, const struct gq_backend_image *image,
                        struct gq_swap_times *times)
{
    struct gq_cpu_grid *grid = grid_of(backend);
    struct change c = {0};
    times->step = GQ_STEP_INSPECT;
    gq_status status = find_stage(grid, image->stage, &c.stage);
    if (status == GQ_OK)
        status = check_canary(grid, image);
    if (status == GQ_OK)
        status = load(grid, fd, image, &c, times);
    return status == GQ_OK ? keep(&c, begin_canary(grid, image, &c, times)) : status;
}

/* --- giving up ------------------------------------------------------------------------------------------------------
 */

gq_status gq_cpu_discard(struct gq_backend *backend, uint32_t stage, uint32_t version)
{
    struct gq_cpu_grid *grid = grid_of(backend);
    struct gq_cpu_stage *s = NULL;
    gq_status status = find_stage(grid, stage, &s);
    if (status != GQ_OK)
        return status;
    struct gq_cpu_version *v = find_version(s, version);
    if (!v || v == s->live || v == grid->canary.version)
        return gq_error_set(GQ_ERR_NOT_FOUND, "stage '%s' has no version %u that could be given up", s->name, version);
    v->discarded = true;
    gq_cpu_sweep(grid);
    return GQ_OK;
}
