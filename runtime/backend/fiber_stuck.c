/* Why a block cannot go on, said in the user's words. */
#include "backend/fiber_room.h"
#include "base/assert.h"
#include <stdio.h>

static const char *block_op_name(enum gq_cpu_block_op op)
{
    static const char *const names[] = {
        [GQ_CPU_SYNCTHREADS] = "__syncthreads()",
        [GQ_CPU_SYNC_COUNT] = "__syncthreads_count()",
        [GQ_CPU_SYNC_AND] = "__syncthreads_and()",
        [GQ_CPU_SYNC_OR] = "__syncthreads_or()",
    };
    return names[op];
}

static const char *warp_op_name(enum gq_cpu_warp_op op)
{
    static const char *const names[] = {
        [GQ_CPU_SYNCWARP] = "__syncwarp()",
        [GQ_CPU_SHFL] = "__shfl_sync()",
        [GQ_CPU_SHFL_UP] = "__shfl_up_sync()",
        [GQ_CPU_SHFL_DOWN] = "__shfl_down_sync()",
        [GQ_CPU_SHFL_XOR] = "__shfl_xor_sync()",
        [GQ_CPU_BALLOT] = "__ballot_sync()",
        [GQ_CPU_ANY] = "__any_sync()",
        [GQ_CPU_ALL] = "__all_sync()",
        [GQ_CPU_MATCH_ANY] = "__match_any_sync()",
        [GQ_CPU_MATCH_ALL] = "__match_all_sync()",
        [GQ_CPU_REDUCE_ADD] = "__reduce_add_sync()",
        [GQ_CPU_REDUCE_MIN_U] = "__reduce_min_sync()",
        [GQ_CPU_REDUCE_MAX_U] = "__reduce_max_sync()",
        [GQ_CPU_REDUCE_MIN_S] = "__reduce_min_sync()",
        [GQ_CPU_REDUCE_MAX_S] = "__reduce_max_sync()",
        [GQ_CPU_REDUCE_AND] = "__reduce_and_sync()",
        [GQ_CPU_REDUCE_OR] = "__reduce_or_sync()",
        [GQ_CPU_REDUCE_XOR] = "__reduce_xor_sync()",
    };
    return names[op];
}

static const char *wait_name(const struct gq_fiber *t)
{
    return t->state == GQ_FIBER_AT_BARRIER ? block_op_name(t->block_op) : warp_op_name(t->warp_op);
}

/* "thread 15 returned", "thread 15 waits in __shfl_sync() at x.cu:3 for mask 0x0000ffff" */
static void describe(const struct gq_fiber_room *r, const struct gq_fiber *t, char *out, size_t size)
{
    uint32_t index = gq_fiber_index(r, t);
    if (t->state == GQ_FIBER_DONE)
        snprintf(out, size, "thread %u returned", index);
    else if (t->state == GQ_FIBER_AT_BARRIER)
        snprintf(out, size, "thread %u waits in %s at %s:%d", index, wait_name(t), t->file, t->line);
    else
        snprintf(out, size, "thread %u waits in %s at %s:%d for mask 0x%08x", index, wait_name(t), t->file, t->line,
                 t->mask);
}

void gq_fiber_diverged(const struct gq_fiber_room *r, const struct gq_fiber *one, const struct gq_fiber *other)
{
    char what[512];
    describe(r, other, what, sizeof what);
    gq_fiber_die("%s:%d: divergent %s: thread %u waits here, %s", one->file, one->line, wait_name(one),
                 gq_fiber_index(r, one), what);
}

/* A thread that `waiter` needs and that does not come, if any. */
static const struct gq_fiber *missing(const struct gq_fiber_room *r, const struct gq_fiber *waiter)
{
    uint32_t index = gq_fiber_index(r, waiter), first = index - index % GQ_FIBER_LANES;
    for (uint32_t i = 0; i < r->count; i++) {
        const struct gq_fiber *t = &r->thread[i];
        if (waiter->state == GQ_FIBER_AT_BARRIER && t->state != GQ_FIBER_AT_BARRIER)
            return t;
        bool named = i >= first && i < first + GQ_FIBER_LANES && (waiter->mask >> (i - first) & 1u);
        if (waiter->state == GQ_FIBER_AT_WARP_OP && named &&
            (t->state != GQ_FIBER_AT_WARP_OP || t->warp_op != waiter->warp_op || t->mask != waiter->mask))
            return t;
    }
    return NULL;
}

static _Noreturn void report(const struct gq_fiber_room *r, const struct gq_fiber *waiter, const struct gq_fiber *other)
{
    char what[512];
    uint32_t index = gq_fiber_index(r, waiter);
    if (waiter->state == GQ_FIBER_AT_BARRIER)
        gq_fiber_diverged(r, waiter, other);
    describe(r, other, what, sizeof what);
    if (other->mask == waiter->mask || other->state != GQ_FIBER_AT_WARP_OP)
        gq_fiber_die("%s:%d: divergent %s: thread %u waits here for mask 0x%08x, whose lane %u does not come: %s",
                     waiter->file, waiter->line, wait_name(waiter), index, waiter->mask,
                     gq_fiber_index(r, other) % GQ_FIBER_LANES, what);
    gq_fiber_die("%s:%d: divergent %s: thread %u waits here for mask 0x%08x, but %s", waiter->file, waiter->line,
                 wait_name(waiter), index, waiter->mask, what);
}

void gq_fiber_stuck(const struct gq_fiber_room *r)
{
    const struct gq_fiber *waiter = NULL;
    for (uint32_t i = 0; i < r->count && !waiter; i++)
        if (r->thread[i].state == GQ_FIBER_AT_BARRIER || r->thread[i].state == GQ_FIBER_AT_WARP_OP)
            waiter = &r->thread[i];
    gq_assert(waiter);
    const struct gq_fiber *other = missing(r, waiter);
    gq_assert(other);
    report(r, waiter, other);
}
