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

/* A step as it was, to go back to. */
struct before {
    struct gq_cuda_image *live;
    struct gq_cuda_state state;
    uint32_t generation, blocks[GQ_CUDA_STEPS_MAX];
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

static struct before remember(const struct gq_cuda *c, const struct gq_cuda_step *s)
{
    struct before b = {.live = s->live, .state = s->state, .generation = s->generation};
    for (uint32_t i = 0; i < c->steps; i++)
        b.blocks[i] = c->step[i].live->blocks;
    return b;
}

static void go_back(struct gq_cuda *c, struct gq_cuda_step *s, const struct before *b)
{
    if (s->state.at && s->state.at != b->state.at)
        gq_cuda_state_drop(c, s->state.at);
    s->live = b->live;
    s->state = b->state;
    s->generation = b->generation;
    for (uint32_t i = 0; i < c->steps; i++)
        c->step[i].live->blocks = b->blocks[i];
}

/* The change failed while nothing runs: what ran before runs again. */
static gq_status restart(struct gq_cuda *c, gq_status status)
{
    char why[GQ_ERROR_TEXT_MAX];
    snprintf(why, sizeof why, "%s", gq_error_text());
    if (gq_cuda_launch(c) != GQ_OK)
        gq_cuda_die(c);
    return gq_error_set(status, "%s", why);
}

/* --- with everything stopped ----------------------------------------------------------------------------------------
 */

/* What the new image, which is live already, needs before it runs. */
static gq_status settle(struct gq_cuda *c, struct gq_cuda_step *s, const struct before *b, bool migrate,
                        uint32_t percent)
{
    gq_status status = gq_cuda_divide(c, percent);
    return status == GQ_OK && migrate ? gq_cuda_state_migrate(c, s->live, &b->state, &s->state) : status;
}

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

/* A change with everything stopped; the step's new image is set as its live one. */
static gq_status change(struct gq_cuda *c, struct gq_cuda_step *s, const struct before *b, bool migrate,
                        uint32_t percent, struct gq_swap_times *times)
{
    const bool ran = c->running;
    struct gq_cuda_image *new = s->live;
    const uint32_t generation = s->generation;
    s->live = b->live; /* while it stops: it is launched again if it does not */
    s->generation = b->generation;
    gq_status status = ran ? stop_all(c, times) : GQ_OK;
    s->live = new;
    s->generation = generation;
    if (status == GQ_OK && c->canary.image)
        status = gq_cuda_end_canary(c);
    if (status == GQ_OK && !new->function)
        status = load(c, s, new, times);
    if (status == GQ_OK)
        status = settle(c, s, b, migrate, percent);
    if (status == GQ_OK && ran)
        status = start_all(c, times);
    if (status != GQ_OK) {
        go_back(c, s, b);
        return ran && !c->running ? restart(c, status) : status;
    }
    if (b->state.at && b->state.at != s->state.at)
        gq_cuda_state_drop(c, b->state.at);
    times->step = GQ_STEP_DONE;
    return GQ_OK;
}

/* --- from one loaded image to another -------------------------------------------------------------------------------
 */

/* Do the other grids stay as they are, and does the new one go where the old one was? */
static bool fits_behind(const struct gq_cuda *c, const struct gq_cuda_step *s, const struct before *b, uint32_t percent)
{
    const struct gq_cuda_image *old = b->live, *new = s->live;
    if (c->steps == 1)
        return true;
    for (uint32_t i = 0; i < c->steps; i++)
        if (&c->step[i] != s && c->step[i].live->blocks != b->blocks[i])
            return false;
    return percent == c->shared_percent &&
           new->blocks <= old->blocks &&new->block_threads <= old->block_threads &&new->registers <=
               old->registers &&new->static_shared + new->shared_bytes <= old->static_shared + old->shared_bytes;
}

static gq_status hand_over(struct gq_cuda *c, struct gq_cuda_step *s, const struct before *b,
                           struct gq_swap_times *times)
{
    const uint64_t start = gq_clock_ns();
    const uint32_t step = (uint32_t)(s - c->step);
    times->step = GQ_STEP_LAUNCH;
    gq_status status = gq_cuda_launch_step(c, step, s->live->blocks);
    if (status == GQ_OK) {
        times->step = GQ_STEP_PARK;
        status = gq_cuda_park_behind(c, step, s->live->blocks);
    }
    times->launch_ns = gq_clock_ns() - start;
    if (status != GQ_OK)
        go_back(c, s, b);
    else
        times->step = GQ_STEP_DONE;
    return status;
}

/* --- changes --------------------------------------------------------------------------------------------------------
 */

/* All that can be found out, and made, while the old image serves. */
static gq_status plan(struct gq_cuda *c, struct gq_cuda_step *s, struct gq_cuda_image *new, bool fresh, bool *migrate,
                      uint32_t *percent)
{
    const struct gq_cpu_image info = {
        .state_bytes = new->state_bytes, .state_version = new->state_version, .migrates = new->migrates};
    struct gq_cuda_image *canary = c->canary.image;
    s->live = new;
    c->canary.image = NULL; /* it will have ended */
    gq_status status = gq_cuda_fit(c, percent);
    c->canary.image = canary;
    return status == GQ_OK ? gq_cuda_state_plan(c, s, &info, fresh, &s->state, migrate) : status;
}

static gq_status make_live(struct gq_cuda *c, struct gq_cuda_step *s, struct gq_cuda_image *new,
                           const struct gq_backend_image *image, struct gq_swap_times *times)
{
    const struct before b = remember(c, s);
    bool migrate = false;
    uint32_t percent = 0;
    gq_status status = plan(c, s, new, image->fresh, &migrate, &percent);
    if (status != GQ_OK) {
        go_back(c, s, &b);
        return status;
    }
    s->generation = image->generation;
    pthread_mutex_lock(&c->grids);
    const bool behind = new->function && c->running && !c->canary.image && (!b.state.at || b.state.at == s->state.at) &&
                        fits_behind(c, s, &b, percent);
    status = behind ? hand_over(c, s, &b, times) : change(c, s, &b, migrate, percent, times);
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
    return gq_cuda_image_open(c, s, image, out);
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

static gq_status plan_canary(struct gq_cuda *c, struct gq_cuda_step *s, struct gq_cuda_image *new, uint32_t generation,
                             uint32_t *percent)
{
    if (new->state_bytes != 0 &&
        (new->state_bytes != s->state.bytes || new->state_version != s->state.version || !s->state.at))
        return gq_error_set(GQ_ERR_PLUGIN, "a canary shares the state of stage '%s', and declares another", s->name);
    c->canary = (struct gq_cuda_canary){.image = new, .step = (uint32_t)(s - c->step), .generation = generation};
    gq_status status = gq_cuda_fit(c, percent);
    return status == GQ_OK ? GQ_CU(c, stream_create(&c->canary.stream, GQ_CU_STREAM_NON_BLOCKING)) : status;
}

static gq_status start_canary(struct gq_cuda *c, struct gq_cuda_image *new, uint32_t lanes, uint32_t percent,
                              struct gq_swap_times *times)
{
    gq_status status = stop_all(c, times);
    if (status != GQ_OK)
        return status;
    status = load(c, &c->step[c->canary.step], new, times);
    if (status == GQ_OK)
        status = gq_cuda_divide(c, percent);
    if (status == GQ_OK)
        status = gq_cuda_share_lanes(c, lanes);
    return status == GQ_OK ? start_all(c, times) : status;
}

/* What was there before the canary runs again, or still does. */
static gq_status forget_canary(struct gq_cuda *c, struct gq_cuda_step *s, const struct before *b, gq_status status)
{
    char why[GQ_ERROR_TEXT_MAX];
    snprintf(why, sizeof why, "%s", gq_error_text());
    if (c->canary.stream)
        c->cu->stream_destroy(c->canary.stream);
    c->canary = (struct gq_cuda_canary){0};
    go_back(c, s, b);
    if (!c->running && (gq_cuda_share_lanes(c, 0) != GQ_OK || gq_cuda_launch(c) != GQ_OK))
        gq_cuda_die(c);
    return gq_error_set(status, "%s", why);
}

gq_status gq_cuda_canary(struct gq_backend *backend, int fd, const struct gq_backend_image *image,
                         struct gq_swap_times *times)
{
    struct gq_cuda *c = cuda_of(backend);
    struct gq_cuda_step *s = NULL;
    struct gq_cuda_image *new = NULL;
    uint32_t percent = 0;
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
    const struct before b = remember(c, s);
    pthread_mutex_lock(&c->grids);
    status = plan_canary(c, s, new, image->generation, &percent);
    if (status == GQ_OK)
        status = start_canary(c, new, lanes, percent, times);
    if (status != GQ_OK) {
        new->discarded = true;
        status = forget_canary(c, s, &b, status);
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
    if (!c->running)
        gq_cuda_sweep(c);
    return GQ_OK;
}
