/* Which tables there are, who still uses them, and what goes with the last one. */
#include "backend/cpu.h"
#include "base/assert.h"
#include "base/mem.h"
#include <stdio.h>
#include <stdlib.h>

gq_status gq_cpu_table_copy(const struct gq_cpu_grid *grid, uint32_t generation, struct gq_cpu_table **out)
{
    struct gq_cpu_table *table = *out = gq_mem_lines(sizeof *table);
    if (!table)
        return gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for a table of stages");
    if (grid->table)
        *table = *grid->table;
    table->next = NULL;
    table->below = 0;
    if (generation > table->generation) /* of one lane's results it never falls */
        table->generation = generation;
    return GQ_OK;
}

void gq_cpu_table_install(struct gq_cpu_grid *grid, struct gq_cpu_table *table, bool held)
{
    gq_assert(table && table != grid->table && (!grid->table || table->generation >= grid->table->generation));
    table->next = grid->table;
    grid->table = table;
    grid->canary = (struct gq_cpu_canary){0};
    for (uint32_t i = 0; i < grid->lane_count; i++) {
        if (!held)
            gq_cpu_lane_enter(grid->lane[i]);
        grid->lane[i]->table = table;
        grid->lane[i]->canary = NULL;
        gq_cpu_lane_leave(grid->lane[i]);
    }
}

void gq_cpu_table_install_canary(struct gq_cpu_grid *grid, struct gq_cpu_table *table)
{
    gq_assert(!grid->canary.table && table->below != 0 && table->generation > grid->table->generation);
    table->next = grid->table->next;
    grid->table->next = grid->canary.table = table;
    for (uint32_t i = 0; i < grid->lane_count; i++) {
        gq_cpu_lane_enter(grid->lane[i]);
        grid->lane[i]->canary = table;
        gq_cpu_lane_leave(grid->lane[i]);
    }
}

static bool block_uses(const struct gq_cpu_block *b, const struct gq_cpu_table *table)
{
    return __atomic_load_n(&b->uses, __ATOMIC_ACQUIRE) == table;
}

/* No lane leads to an older table that is not the canary's, and the lanes' locks were taken since one did: a block that
 * does not say now that it uses the table never will. */
static bool in_use(const struct gq_cpu_grid *grid, const struct gq_cpu_table *table)
{
    for (uint32_t i = 0; i < grid->block_count; i++)
        if (block_uses(&grid->block[i], table))
            return true;
    return false;
}

bool gq_cpu_blocks_idle(const struct gq_cpu_grid *grid)
{
    for (uint32_t i = 0; i < grid->block_count; i++)
        if (!block_uses(&grid->block[i], NULL))
            return false;
    return true;
}

/* --- sweeping -------------------------------------------------------------------------------------------------------
 */

static void sweep_tables(struct gq_cpu_grid *grid)
{
    struct gq_cpu_table **at = &grid->table->next;
    while (*at) {
        struct gq_cpu_table *table = *at;
        if (table == grid->canary.table || in_use(grid, table)) {
            at = &table->next;
        } else {
            *at = table->next;
            free(table);
        }
    }
}

static bool runs_image(const struct gq_cpu_grid *grid, uint32_t stage, const struct gq_cpu_image *image)
{
    for (const struct gq_cpu_table *t = grid->table; t; t = t->next)
        if (t->stage[stage].image == image)
            return true;
    return false;
}

static bool runs_with(const struct gq_cpu_grid *grid, uint32_t stage, const void *memory)
{
    for (const struct gq_cpu_table *t = grid->table; t; t = t->next)
        if (t->stage[stage].state == memory)
            return true;
    return false;
}

static void sweep_versions(struct gq_cpu_grid *grid, uint32_t stage)
{
    struct gq_cpu_version **at = &grid->stage[stage].versions;
    while (*at) {
        struct gq_cpu_version *version = *at;
        if (!version->discarded || runs_image(grid, stage, version->image)) {
            at = &version->next;
        } else {
            *at = version->next;
            gq_cpu_unload(version);
        }
    }
}

static void sweep_states(struct gq_cpu_grid *grid, uint32_t stage)
{
    struct gq_cpu_state **at = &grid->stage[stage].states;
    while (*at) {
        struct gq_cpu_state *state = *at;
        if (state == grid->stage[stage].state || runs_with(grid, stage, state->memory)) {
            at = &state->next;
        } else {
            *at = state->next;
            free(state);
        }
    }
}

void gq_cpu_sweep(struct gq_cpu_grid *grid)
{
    if (!grid->table)
        return;
    sweep_tables(grid);
    for (uint32_t i = 0; i < grid->stage_count; i++) {
        sweep_versions(grid, i);
        sweep_states(grid, i);
    }
}

/* --- a stage's life -------------------------------------------------------------------------------------------------
 */

gq_status gq_cpu_begin(struct gq_cpu_grid *grid, struct gq_cpu_stage *stage, struct gq_cpu_version *version,
                       const struct gq_backend_image *image)
{
    struct gq_cpu_table *table = NULL;
    bool migrate;
    gq_assert(grid->started == 0 && !stage->versions && !stage->states);
    snprintf(stage->name, sizeof stage->name, "%s", image->name);
    stage->versions = stage->live = version;
    gq_status status = gq_cpu_state_plan(stage, version->image, false, &stage->state, &migrate);
    stage->states = stage->state;
    if (status == GQ_OK)
        status = gq_cpu_table_copy(grid, image->generation, &table);
    if (status != GQ_OK) {
        gq_cpu_stage_finish(stage);
        return status;
    }
    struct gq_cpu_step *step = stage == &grid->source ? &table->source : &table->stage[stage - grid->stage];
    *step = (struct gq_cpu_step){version->image, stage->state ? stage->state->memory : NULL};
    gq_cpu_table_install(grid, table, false);
    gq_cpu_sweep(grid);
    return GQ_OK;
}

void gq_cpu_stage_finish(struct gq_cpu_stage *stage)
{
    while (stage->versions) {
        struct gq_cpu_version *version = stage->versions;
        stage->versions = version->next;
        gq_cpu_unload(version);
    }
    while (stage->states) {
        struct gq_cpu_state *state = stage->states;
        stage->states = state->next;
        free(state);
    }
    *stage = (struct gq_cpu_stage){0};
}
