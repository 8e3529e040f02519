/* Changing the image of a step while messages flow.
 *
 * A module can be loaded only while no grid of the context runs (the call would wait for it for ever), so a new image
 * costs a stop of all grids between two messages. What can be found out before is found out before: sizes, memory, and
 * whether the grids fit. An image that is loaded already needs no such stop: its grid is launched behind the one that
 * runs, and starts when that one has left.
 */
#include "backend/cuda.h"
#include "base/assert.h"
#include "base/clock.h"
#include <stdio.h>

/* What runs of the one step that is changed, and how large all grids are: as it was, or as it is to be. */
struct setting {
    struct gq_cuda_image *live;
    struct gq_cuda_state state;
    uint32_t generation, blocks[GQ_CUDA_STEPS_MAX];
    uint32_t percent, last; /* gq_cuda's */
};

static struct gq_cuda *cuda_of(struct gq_backend *backend) { return (struct gq_cuda *)backend; }

static gq_status find_step(struct gq_cuda *c, uint32_t stage, struct gq_cuda_step **out)
{
    const uint32_t step = stage + (c->has_source ? 1 : 0);
    if (step >= c->steps)
        return gq_error_set(GQ_ERR_INTERNAL, "stage %u of %u was to be changed", stage, c->steps);
    *out = &c->step[step];
    return GQ_OK;
}

static struct gq_cuda_image *find_version(const struct gq_cuda_step *s, uint32_t version)
{
    struct gq_cuda_image *i = s->images;
    while (i && (i->version != version || i->discarded))
        i = i->next;
    return i;
}

static struct setting remember(const struct gq_cuda *c, const struct gq_cuda_step *s)
{
    struct setting is = {
        .live = s->live, .state = s->state, .generation = s->generation, .percent = c->percent, .last = c->last};
    for (uint32_t i = 0; i < c->steps; i++)
        is.blocks[i] = c->step[i].live->blocks;
    return is;
}

/* How an SM's memory is divided is for gq_cuda_divide(), when nothing runs. */
static void set(struct gq_cuda *c, struct gq_cuda_step *s, const struct setting *to)
{
    s->live = to->live;
    s->state = to->state;
    s->generation = to->generation;
    c->last = to->last;
    for (uint32_t i = 0; i < c->steps; i++)
        c->step[i].live->blocks = to->blocks[i];
}

static bool shares_lanes(const struct gq_cuda *c)
{
    for (uint32_t i = 0; i < c->lane_count; i++)
        if (c->seen[i].canary)
            return true;
    return false;
}

/* The change failed while nothing runs: what was before is set again, without a canary, and runs again if it ran. */
static gq_status restart(struct gq_cuda *c, uint32_t percent, bool ran, gq_status status)
{
    char why[GQ_ERROR_TEXT_MAX];
    snprintf(why, sizeof why, "%s", gq_error_text());
    if (shares_lanes(c) && gq_cuda_share_lanes(c, 0) != GQ_OK)
        gq_cuda_die(c);
    if (gq_cuda_divide(c, percent) != GQ_OK || (ran && gq_cuda_launch(c) != GQ_OK))
        gq_cuda_die(c);
    return gq_error_set(status, "%s", why);
}

/* --- with everything stopped ----------------------------------------------------------------------------------------
 */

static gq_status stop_all(struct gq_cuda *c, struct gq_swap_times *times)
{
    const uint64_t start = gq_clock_ns();
    times->step = GQ_STEP_PARK;
    gq_status status = gq_cuda_park(c);
    times->park_ns = gq_clock_ns() - start;
    return status;
}

static gq_status start_all(struct gq_cuda *c, struct gq_swap_times *times)
{
    const uint64_t start = gq_clock_ns();
    times->step = GQ_STEP_LAUNCH;
    gq_status status = gq_cuda_launch(c);
    times->launch_ns = gq_clock_ns() - start;
    return status;
}

static gq_status load(struct gq_cuda *c, const struct gq_cuda_step *s, struct gq_cuda_image *image,
                      struct gq_swap_times *times)
{
    const uint64_t start = gq_clock_ns();
    times->step = GQ_STEP_LOAD;
    gq_cuda_sweep(c);
    gq_status status = gq_cuda_image_load(c, s, image);
    times->load_ns = gq_clock_ns() - start;
    return status;
}

/* All steps have what is to run, and the new memory what it is to hold. */
static gq_status settle(struct gq_cuda *c, struct gq_cuda_step *s, const struct setting *was,
                        const struct setting *next, bool migrate)
{
    set(c, s, next);
    gq_status status = gq_cuda_divide(c, next->percent);
    return status == GQ_OK && migrate ? gq_cuda_state_migrate(c, s->live, &was->state, &s->state) : status;
}

/* A change with everything stopped. */
static gq_status change(struct gq_cuda *c, struct gq_cuda_step *s, const struct setting *was,
                        const struct setting *next, bool migrate, struct gq_swap_times *times)
{
    const bool ran = c->running;
    gq_status status = ran ? stop_all(c, times) : GQ_OK;
    if (status != GQ_OK)
        return status;
    if (c->canary.image)
        status = gq_cuda_end_canary(c);
    if (status == GQ_OK && !next->live->function)
        status = load(c, s, next->live, times);
    if (status == GQ_OK)
        status = settle(c, s, was, next, migrate);
    const uint32_t launch = s->launch;
    if (status == GQ_OK && ran)
        status = start_all(c, times);
    if (status == GQ_OK)
        return GQ_OK;
    /* New code whose grid could not be launched behind all others may have served messages: the host tells them apart
     * from what the next worker does. */
    if (s->launch != launch)
        gq_cuda_die(c);
    set(c, s, was);
    return restart(c, was->percent, ran, status);
}

/* --- from one loaded image to another -------------------------------------------------------------------------------
 */

/* The old grid holds a message, and the new one waits for it in vain. */
static gq_status serve_beside(struct gq_cuda *c, uint32_t step, uint32_t waiting, gq_status status)
{
    char why[GQ_ERROR_TEXT_MAX];
    snprintf(why, sizeof why, "%s", gq_error_text());
    if (gq_cuda_launch_beside(c, step, waiting) != GQ_OK)
        gq_cuda_die(c);
    return gq_error_set(status, "%s", why);
}

/* Do the other grids stay as they are, and does the new one go where the old one was? */
static bool fits_behind(const struct gq_cuda *c, const struct gq_cuda_step *s, const struct setting *was,
                        const struct setting *next)
{
    const struct gq_cuda_image *old = was->live, *image = next->live;
    const uint32_t step = (uint32_t)(s - c->step);
    if (!image->launched || image->percent != c->percent || next->percent != c->percent)
        return false;
    for (uint32_t i = 0; i < c->steps; i++)
        if (i != step && next->blocks[i] != was->blocks[i])
            return false;
    return c->steps == 1 || (next->blocks[step] <= was->blocks[step] && image->block_threads <= old->block_threads &&
                             image->registers <= old->registers &&
                             image->static_shared + image->shared_bytes <= old->static_shared + old->shared_bytes);
}

static bool can_hand_over(const struct gq_cuda *c, const struct gq_cuda_step *s, const struct setting *was,
                          const struct setting *next)
{
    return c->running && !c->canary.image && (!was->state.at || was->state.at == next->state.at) &&
           gq_cuda_is_alone(s) && fits_behind(c, s, was, next);
}

static gq_status hand_over(struct gq_cuda *c, struct gq_cuda_step *s, const struct setting *was,
                           const struct setting *next, struct gq_swap_times *times)
{
    const uint64_t start = gq_clock_ns();
    const uint32_t step = (uint32_t)(s - c->step);
    times->step = GQ_STEP_LAUNCH;
    set(c, s, next);
    gq_cuda_enter(&c->pulse.change);
    gq_status status = gq_cuda_launch_behind(c, step);
    gq_cuda_leave(&c->pulse.change);
    if (status == GQ_OK) {
        times->step = GQ_STEP_PARK;
        status = gq_cuda_park_behind(c, step);
        times->launch_ns = gq_clock_ns() - start;
        if (status == GQ_OK)
            return GQ_OK;
        set(c, s, was);
        return serve_beside(c, step, next->blocks[step], status);
    }
    set(c, s, was);
    return status;
}

/* --- changes --------------------------------------------------------------------------------------------------------
 */

/* All that can be found out, and made, while the old image serves. What is set is as it was when it returns. */
static gq_status plan(struct gq_cuda *c, struct gq_cuda_step *s, struct gq_cuda_image *new,
                      const struct gq_backend_image *image, struct setting *next, bool *migrate)
{
    const struct gq_cpu_image info = {
        .state_bytes = new->state_bytes, .state_version = new->state_version, .migrates = new->migrates};
    const struct setting was = remember(c, s);
    const struct gq_cuda_canary canary = c->canary;
    const uint32_t step = (uint32_t)(s - c->step);
    uint32_t percent = 0;
    s->live = new;
    c->canary.image = NULL; /* it will have ended */
    gq_status status = gq_cuda_fit(c, &percent);
    *next = remember(c, s);
    next->generation = image->generation;
    next->percent = percent;
    /* The first grid's function may not have been launched yet, and then it cannot be behind others. */
    const bool last = status == GQ_OK && (step > 0 || new->launched) && gq_cuda_fits_last(c, step, percent);
    next->last = last ? step : GQ_CUDA_IN_ORDER;
    c->canary = canary;
    set(c, s, &was);
    return status == GQ_OK ? gq_cuda_state_plan(c, s, &info, image->fresh, &next->state, migrate) : status;
}

static gq_status make_live(struct gq_cuda *c, struct gq_cuda_step *s, struct gq_cuda_image *new,
                           const struct gq_backend_image *image, struct gq_swap_times *times)
{
    struct setting next = {0};
    bool migrate = false;
    pthread_mutex_lock(&c->grids);
    const struct setting was = remember(c, s);
    gq_status status = plan(c, s, new, image, &next, &migrate);
    if (status == GQ_OK)
        status = can_hand_over(c, s, &was, &next) ? hand_over(c, s, &was, &next, times)
                                                  : change(c, s, &was, &next, migrate, times);
    const struct gq_cuda_state *out = status == GQ_OK ? &was.state : &next.state;
    if (out->at && out->at != s->state.at)
        gq_cuda_state_drop(c, out->at);
    if (status == GQ_OK)
        times->step = GQ_STEP_DONE;
    pthread_mutex_unlock(&c->grids);
    return status;
}

static gq_status open_image(struct gq_cuda *c, struct gq_cuda_step *s, const struct gq_backend_image *image,
                            struct gq_cuda_image **out)
{
    if (find_version(s, image->version))
        return gq_error_set(GQ_ERR_INTERNAL, "stage '%s' has a version %u already", s->name, image->version);
    if (c->canary.image)
        return gq_error_set(GQ_ERR_INTERNAL, "a canary runs: one of its two versions is to be used first");
    pthread_mutex_lock(&c->grids); /* the driver may keep others waiting: that is no sign of a device that stopped */
    __atomic_store_n(&c->pulse.change.reads, true, __ATOMIC_RELAXED);
    gq_cuda_enter(&c->pulse.change);
    gq_status status = gq_cuda_image_open(c, s, image, out);
    gq_cuda_leave(&c->pulse.change);
    __atomic_store_n(&c->pulse.change.reads, false, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&c->grids);
    return status;
}

gq_status gq_cuda_swap(struct gq_backend *backend, int fd, const struct gq_backend_image *image,
                       struct gq_swap_times *times)
{
    struct gq_cuda *c = cuda_of(backend);
    struct gq_cuda_step *s = NULL;
    struct gq_cuda_image *new = NULL;
    (void)fd;
    times->step = GQ_STEP_INSPECT;
    gq_status status = find_step(c, image->stage, &s);
    if (status == GQ_OK)
        status = open_image(c, s, image, &new);
    if (status == GQ_OK && (status = make_live(c, s, new, image, times)) != GQ_OK)
        new->discarded = true;
    return status;
}

gq_status gq_cuda_use(struct gq_backend *backend, const struct gq_backend_image *image, struct gq_swap_times *times)
{
    struct gq_cuda *c = cuda_of(backend);
    struct gq_cuda_step *s = NULL;
    times->step = GQ_STEP_INSPECT;
    gq_status status = find_step(c, image->stage, &s);
    if (status != GQ_OK)
        return status;
    struct gq_cuda_image *wanted = find_version(s, image->version);
    if (!wanted)
        return gq_error_set(GQ_ERR_NOT_FOUND, "stage '%s' has no version %u loaded", s->name, image->version);
    return make_live(c, s, wanted, image, times);
}

/* --- a canary -------------------------------------------------------------------------------------------------------
 */

/* Lanes that come nearest to the share; at least one, and not all. */
static uint32_t lanes_of_share(const struct gq_cuda *c, uint32_t share)
{
    const uint32_t lanes = (uint32_t)(((uint64_t)c->lane_count * share + 500000) / 1000000);
    return lanes == 0 ? 1 : lanes < c->lane_count ? lanes : c->lane_count - 1;
}

/* What is set is as it was when it returns, but for c->canary, which is not live yet. */
static gq_status plan_canary(struct gq_cuda *c, struct gq_cuda_step *s, struct gq_cuda_image *new, struct setting *next)
{
    if (new->state_bytes != 0 &&
        (new->state_bytes != s->state.bytes || new->state_version != s->state.version || !s->state.at))
        return gq_error_set(GQ_ERR_PLUGIN, "a canary shares the state of stage '%s', and declares another", s->name);
    const struct setting was = remember(c, s);
    uint32_t percent = 0;
    c->canary.image = new;
    gq_status status = gq_cuda_fit(c, &percent);
    c->canary.image = NULL;
    *next = remember(c, s);
    next->percent = percent;
    next->last = GQ_CUDA_IN_ORDER; /* the canary's grid is launched behind all others */
    set(c, s, &was);
    return status == GQ_OK ? GQ_CU(c, stream_create(&c->canary.stream, GQ_CU_STREAM_NON_BLOCKING)) : status;
}

static gq_status start_canary(struct gq_cuda *c, struct gq_cuda_step *s, struct gq_cuda_image *new, uint32_t generation,
                              const struct setting *next, struct gq_swap_times *times)
{
    c->canary.image = new;
    c->canary.step = (uint32_t)(s - c->step);
    c->canary.generation = generation;
    gq_status status = load(c, s, new, times);
    if (status != GQ_OK)
        return status;
    set(c, s, next);
    return gq_cuda_divide(c, next->percent);
}

/* Nothing is left of it, but what its image has of the step's list. */
static void forget_canary(struct gq_cuda *c)
{
    if (c->canary.stream)
        c->cu->stream_destroy(c->canary.stream);
    c->canary = (struct gq_cuda_canary){0};
}

static gq_status try_canary(struct gq_cuda *c, struct gq_cuda_step *s, struct gq_cuda_image *new, uint32_t generation,
                            uint32_t lanes, struct gq_swap_times *times)
{
    const struct setting was = remember(c, s);
    struct setting next = {0};
    gq_status status = plan_canary(c, s, new, &next);
    if (status == GQ_OK)
        status = stop_all(c, times);
    if (status == GQ_OK)
        status = start_canary(c, s, new, generation, &next, times);
    if (status == GQ_OK)
        status = gq_cuda_share_lanes(c, lanes);
    if (status == GQ_OK)
        status = start_all(c, times);
    if (status == GQ_OK)
        return GQ_OK;
    forget_canary(c);
    set(c, s, &was);
    return c->running ? status : restart(c, was.percent, true, status);
}

gq_status gq_cuda_canary(struct gq_backend *backend, int fd, const struct gq_backend_image *image,
                         struct gq_swap_times *times)
{
    struct gq_cuda *c = cuda_of(backend);
    struct gq_cuda_step *s = NULL;
    struct gq_cuda_image *new = NULL;
    (void)fd;
    times->step = GQ_STEP_INSPECT;
    gq_status status = find_step(c, image->stage, &s);
    if (status == GQ_OK && (!c->running || c->lane_count < 2))
        status = gq_error_set(GQ_ERR_PLUGIN,
                              "a canary on a GPU is given whole lanes, one of two at least, and this pipeline has %u",
                              c->lane_count);
    if (status == GQ_OK)
        status = open_image(c, s, image, &new);
    if (status != GQ_OK)
        return status;
    const uint32_t lanes = lanes_of_share(c, image->share);
    pthread_mutex_lock(&c->grids);
    status = try_canary(c, s, new, image->generation, lanes, times);
    if (status != GQ_OK) {
        new->discarded = true;
    } else {
        times->share = (uint32_t)((uint64_t)lanes * 1000000 / c->lane_count);
        times->step = GQ_STEP_DONE;
    }
    pthread_mutex_unlock(&c->grids);
    return status;
}

gq_status gq_cuda_discard(struct gq_backend *backend, uint32_t stage, uint32_t version)
{
    struct gq_cuda *c = cuda_of(backend);
    struct gq_cuda_step *s = NULL;
    gq_status status = find_step(c, stage, &s);
    if (status != GQ_OK)
        return status;
    struct gq_cuda_image *i = find_version(s, version);
    if (!i || i == s->live || i == c->canary.image)
        return gq_error_set(GQ_ERR_NOT_FOUND, "stage '%s' has no version %u that could be given up", s->name, version);
    i->discarded = true;
    pthread_mutex_lock(&c->grids);
    if (!c->running)
        gq_cuda_sweep(c);
    pthread_mutex_unlock(&c->grids);
    return GQ_OK;
}
