#include "backend/cuda_fit.h"
#include "base/assert.h"
#include "base/text.h"
#include <stdlib.h>

#define WARP 32u
#define QUARTERS 4u        /* an SM has as many schedulers, each with registers of its own */
#define REGISTER_UNIT 256u /* what a warp takes is rounded up to it */
#define SHARED_UNIT 128u   /* what a block takes is; 256 before sm_80, where it hardly matters */

/* What is left of an SM, or what a block takes of one. */
struct room {
    uint32_t threads, blocks;
    uint32_t registers; /* of a quarter: a block's warps are spread over all four */
    uint32_t shared;
};

static uint32_t round_up(uint32_t n, uint32_t unit) { return (n + unit - 1) / unit * unit; }

static struct room room_of_sm(const struct gq_fit_device *d)
{
    return (struct room){(uint32_t)d->threads, (uint32_t)d->blocks, (uint32_t)d->registers / QUARTERS,
                         (uint32_t)d->shared_bytes};
}

static struct room room_of_block(const struct gq_fit_device *d, const struct gq_fit_step *s)
{
    const uint32_t warps = round_up(s->threads, WARP) / WARP;
    return (struct room){warps * WARP, 1,
                         round_up(warps, QUARTERS) / QUARTERS * round_up(s->registers * WARP, REGISTER_UNIT),
                         round_up(s->shared_bytes + (uint32_t)d->shared_reserved, SHARED_UNIT)};
}

static bool holds(const struct room *sm, const struct room *block)
{
    return sm->threads >= block->threads && sm->blocks >= block->blocks && sm->registers >= block->registers &&
           sm->shared >= block->shared;
}

static uint32_t least(uint32_t a, uint32_t b) { return a < b ? a : b; }

uint32_t gq_fit_alone(const struct gq_fit_device *device, const struct gq_fit_step *step)
{
    const struct room sm = room_of_sm(device), block = room_of_block(device, step);
    uint32_t most = least(sm.threads / block.threads, sm.blocks);
    if (block.registers)
        most = least(most, sm.registers / block.registers);
    return block.shared ? least(most, sm.shared / block.shared) : most;
}

/* One more block on the emptiest SM that holds it, as devices place theirs; false if none does. */
static bool place(struct room *sm, uint32_t sms, const struct room *block)
{
    struct room *best = NULL;
    for (uint32_t i = 0; i < sms; i++)
        if (holds(&sm[i], block) && (!best || sm[i].threads > best->threads))
            best = &sm[i];
    if (!best)
        return false;
    *best = (struct room){best->threads - block->threads, best->blocks - 1, best->registers - block->registers,
                          best->shared - block->shared};
    return true;
}

static bool place_asked(const struct gq_fit_device *d, struct room *sm, struct gq_fit_step *s)
{
    const struct room block = room_of_block(d, s);
    while (s->blocks < s->asked && s->blocks < s->alone * (uint32_t)d->sms && place(sm, (uint32_t)d->sms, &block))
        s->blocks++;
    return s->blocks == s->asked;
}

/* A block more, if the step asks for no number, has a use for it, and there is room. */
static bool grow(const struct gq_fit_device *d, struct room *sm, struct gq_fit_step *s)
{
    const struct room block = room_of_block(d, s);
    const uint32_t an_sm = s->of_use < s->alone ? s->of_use : s->alone;
    if (s->asked || s->blocks >= an_sm * (uint32_t)d->sms || !place(sm, (uint32_t)d->sms, &block))
        return false;
    s->blocks++;
    return true;
}

static void share_rest(const struct gq_fit_device *d, struct room *sm, struct gq_fit_step *steps, uint32_t count)
{
    for (bool more = true; more;) {
        more = false;
        for (uint32_t i = 0; i < count; i++)
            more |= grow(d, sm, &steps[i]);
    }
    /* The device places grid after grid. It fills SMs evenly where each has as many blocks of a grid as the others. */
    for (uint32_t i = 0; i < count; i++)
        if (!steps[i].asked && steps[i].blocks > (uint32_t)d->sms)
            steps[i].blocks -= steps[i].blocks % (uint32_t)d->sms;
}

/* The device places grid after grid, each on the emptiest SMs: a grid that spreads over all of them may leave the next
 * one no SM that holds a block of it, though there were enough for both. */
static bool place_in_order(const struct gq_fit_device *d, struct room *sm, const struct gq_fit_step *steps,
                           uint32_t count)
{
    for (int i = 0; i < d->sms; i++)
        sm[i] = room_of_sm(d);
    for (uint32_t i = 0; i < count; i++) {
        const struct room block = room_of_block(d, &steps[i]);
        for (uint32_t n = 0; n < steps[i].blocks; n++)
            if (!place(sm, (uint32_t)d->sms, &block))
                return false;
    }
    return true;
}

/* Takes blocks from the largest grid that did not ask for a number, until all are placed. */
static bool shrink_until_placed(const struct gq_fit_device *d, struct room *sm, struct gq_fit_step *steps,
                                uint32_t count)
{
    while (!place_in_order(d, sm, steps, count)) {
        struct gq_fit_step *largest = NULL;
        for (uint32_t i = 0; i < count; i++)
            if (!steps[i].asked && steps[i].blocks > 1 && (!largest || steps[i].blocks > largest->blocks))
                largest = &steps[i];
        if (!largest)
            return false;
        largest->blocks--;
    }
    return true;
}

static gq_status refuse(const struct gq_fit_device *d, const struct gq_fit_step *steps, uint32_t count)
{
    struct gq_text text = {0};
    gq_text_printf(&text,
                   "the stages' grids do not fit on the device together, %d SMs of %d registers, %d threads, %d bytes "
                   "of shared memory and %d blocks each: ",
                   d->sms, d->registers, d->threads, d->shared_bytes, d->blocks);
    for (uint32_t i = 0; i < count; i++) {
        const struct gq_fit_step *s = &steps[i];
        gq_text_printf(&text, "%s'%s' ", i ? ", " : "", s->name);
        if (s->asked)
            gq_text_printf(&text, "asks for %u blocks", s->asked);
        else
            gq_text_puts(&text, "needs 1 block");
        gq_text_printf(&text, " of %u threads, %u registers each, %u bytes shared, %u an SM alone", s->threads,
                       s->registers, s->shared_bytes + (uint32_t)d->shared_reserved, s->alone);
    }
    gq_error_set(GQ_ERR_PLUGIN, "%s; lower `blocks`, or take fewer stages or plugins that need less",
                 gq_text_str(&text));
    gq_text_finish(&text);
    return GQ_ERR_PLUGIN;
}

static uint32_t shared_taken(const struct gq_fit_device *d, const struct room *sm)
{
    uint32_t left = (uint32_t)d->shared_bytes;
    for (int i = 0; i < d->sms; i++)
        left = sm[i].shared < left ? sm[i].shared : left;
    return (uint32_t)d->shared_bytes - left;
}

gq_status gq_fit(const struct gq_fit_device *device, struct gq_fit_step *steps, uint32_t count, uint32_t *shared_an_sm)
{
    gq_assert(device->sms > 0 && count > 0);
    struct room *sm = calloc((size_t)device->sms, sizeof *sm);
    if (!sm)
        return gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for %d SMs", device->sms);
    for (int i = 0; i < device->sms; i++)
        sm[i] = room_of_sm(device);
    bool fits = true;
    for (uint32_t i = 0; i < count; i++) {
        steps[i].blocks = 0;
        fits = fits && (!steps[i].asked || place_asked(device, sm, &steps[i]));
    }
    if (fits)
        share_rest(device, sm, steps, count);
    for (uint32_t i = 0; i < count; i++)
        fits = fits && steps[i].blocks > 0;
    fits = fits && shrink_until_placed(device, sm, steps, count);
    *shared_an_sm = shared_taken(device, sm);
    free(sm);
    return fits ? GQ_OK : refuse(device, steps, count);
}

bool gq_fits(const struct gq_fit_device *device, const struct gq_fit_step *steps, uint32_t count, uint32_t shared_an_sm)
{
    gq_assert(device->sms > 0 && count > 0);
    struct room *sm = calloc((size_t)device->sms, sizeof *sm);
    const bool fits = sm && place_in_order(device, sm, steps, count) && shared_taken(device, sm) <= shared_an_sm;
    free(sm);
    return fits;
}
