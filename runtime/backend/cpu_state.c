/* The memory that a plugin asked for with GQ_STATE: it belongs to its stage and outlives the versions. */
#include "backend/cpu.h"
#include "backend/fiber.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/mem.h"
#include <stdlib.h>
#include <unistd.h>

#define MIGRATE_MS 5000u
#define MIGRATE_LOOK_US 20 /* between two looks whether it has come back */

static gq_status make(const struct gq_cpu_image *image, struct gq_cpu_state **out)
{
    /* Zeroed by calloc: large memory takes no pages before the plugin touches it. */
    struct gq_cpu_state *state = calloc(1, sizeof *state + GQ_MEM_LINE - 1 + image->state_bytes);
    if (!state)
        return gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for %u bytes of plugin state", image->state_bytes);
    state->memory = state->room + (-(uintptr_t)state->room & (GQ_MEM_LINE - 1));
    state->bytes = image->state_bytes;
    state->version = image->state_version;
    *out = state;
    return GQ_OK;
}

static bool fits(const struct gq_cpu_state *state, const struct gq_cpu_image *image)
{
    return state && state->bytes == image->state_bytes && state->version == image->state_version;
}

gq_status gq_cpu_state_share(const struct gq_cpu_stage *stage, const struct gq_cpu_image *image)
{
    const struct gq_cpu_state *now = stage->state;
    if (image->state_bytes == 0 || fits(now, image))
        return GQ_OK;
    if (!now)
        return gq_error_set(GQ_ERR_PLUGIN,
                            "a canary shares the state of stage '%s', which has none, and the new plugin's is version "
                            "%u of %u bytes",
                            stage->name, image->state_version, image->state_bytes);
    return gq_error_set(GQ_ERR_PLUGIN,
                        "a canary shares the state of stage '%s', which is version %u of %u bytes, and the new "
                        "plugin's is version %u of %u bytes",
                        stage->name, now->version, now->bytes, image->state_version, image->state_bytes);
}

gq_status gq_cpu_state_plan(const struct gq_cpu_stage *stage, const struct gq_cpu_image *image, bool fresh,
                            struct gq_cpu_state **next, bool *migrate)
{
    struct gq_cpu_state *now = stage->state;
    *next = now; /* of an image without state it is kept aside for the next one that has */
    *migrate = false;
    if (image->state_bytes == 0 || (fits(now, image) && !fresh))
        return GQ_OK;
    if (now && !fresh && !image->migrate)
        return gq_error_set(
            GQ_ERR_PLUGIN,
            "the state of stage '%s' is version %u of %u bytes, and the new plugin's is version %u of %u "
            "bytes: it needs a gq_migrate function",
            stage->name, now->version, now->bytes, image->state_version, image->state_bytes);
    *migrate = now && !fresh;
    return make(image, next); /* if fresh too: a run that was claimed before still uses what there is */
}

struct migration {
    const struct gq_cpu_image *image;
    const struct gq_cpu_state *from;
    struct gq_cpu_state *to;
    uint32_t done; /* atomic */
};

static void *migrate_main(void *arg)
{
    struct migration *m = arg;
    void *stack;
    if (gq_cpu_fault_thread(NULL, &stack) != GQ_OK)
        gq_cpu_die(gq_error_text());
    m->image->migrate(m->from->memory, m->from->bytes, m->from->version, m->to->memory, &gq_fiber_services);
    gq_cpu_fault_thread_end(stack);
    __atomic_store_n(&m->done, 1, __ATOMIC_RELEASE);
    return NULL;
}

gq_status gq_cpu_state_migrate(struct gq_cpu_grid *grid, const struct gq_cpu_stage *stage,
                               const struct gq_cpu_image *image, struct gq_cpu_state *to)
{
    struct migration m = {.image = image, .from = stage->state, .to = to};
    const uint64_t deadline = gq_clock_deadline(MIGRATE_MS);
    pthread_t thread;
    gq_assert(image->migrate && stage->state && gq_cpu_blocks_idle(grid));
    int err = pthread_create(&thread, NULL, migrate_main, &m);
    if (err)
        return gq_error_errno(GQ_ERR_NO_MEMORY, err, "starting a thread for gq_migrate");
    while (!__atomic_load_n(&m.done, __ATOMIC_ACQUIRE)) {
        if (gq_clock_past(deadline)) /* nothing can stop it, and no message may be served before it ends */
            grid->setup.die("gq_migrate did not end within 5 s");
        usleep(MIGRATE_LOOK_US);
    }
    pthread_join(thread, NULL);
    return GQ_OK;
}
