#include "backend/fiber_room.h"
#include "base/assert.h"

/* The lanes of one warp, and of one operation of theirs. */
struct lanes {
    struct gq_fiber *lane; /* of lane 0 */
    uint32_t mask;
};

#define FOR_LANES(i, bits)                                                                          \
    for (uint32_t left_##i = (bits), i = 0; left_##i && (i = (uint32_t)__builtin_ctz(left_##i), 1); \
         left_##i &= left_##i - 1)

/* --- shuffles: which lane a lane reads (PTX ISA, shfl.sync); itself where that lane is outside its group or the mask
 * --- */

static uint32_t shuffle_source(const struct gq_fiber *t, uint32_t lane, uint32_t mask)
{
    uint32_t first = lane & ~(t->width - 1), last = first + t->width - 1, from = lane;
    switch (t->warp_op) {
    case GQ_CPU_SHFL:
        from = first | (t->arg & (t->width - 1));
        break;
    case GQ_CPU_SHFL_UP:
        from = t->arg <= lane - first ? lane - t->arg : lane;
        break;
    case GQ_CPU_SHFL_DOWN:
        from = t->arg <= last - lane ? lane + t->arg : lane;
        break;
    default:
        from = (lane ^ t->arg) <= last ? lane ^ t->arg : lane;
    }
    return mask >> from & 1u ? from : lane;
}

/* --- what all lanes get alike ------------------------------------------------------------------------------------- */

static uint32_t ballot(const struct lanes *l)
{
    uint32_t votes = 0;
    FOR_LANES(i, l->mask) { votes |= (uint32_t)(l->lane[i].value != 0) << i; }
    return votes;
}

static uint32_t equal_to(const struct lanes *l, uint64_t value)
{
    uint32_t equal = 0;
    FOR_LANES(i, l->mask) { equal |= (uint32_t)(l->lane[i].value == value) << i; }
    return equal;
}

static uint32_t reduce_two(enum gq_cpu_warp_op op, uint32_t a, uint32_t b)
{
    switch (op) {
    case GQ_CPU_REDUCE_ADD:
        return a + b;
    case GQ_CPU_REDUCE_MIN_U:
        return a < b ? a : b;
    case GQ_CPU_REDUCE_MAX_U:
        return a < b ? b : a;
    case GQ_CPU_REDUCE_MIN_S:
        return (int32_t)a < (int32_t)b ? a : b;
    case GQ_CPU_REDUCE_MAX_S:
        return (int32_t)a < (int32_t)b ? b : a;
    case GQ_CPU_REDUCE_AND:
        return a & b;
    case GQ_CPU_REDUCE_OR:
        return a | b;
    default:
        gq_assert(op == GQ_CPU_REDUCE_XOR);
        return a ^ b;
    }
}

static uint32_t reduce(const struct lanes *l, enum gq_cpu_warp_op op)
{
    uint32_t first = (uint32_t)__builtin_ctz(l->mask);
    uint32_t result = (uint32_t)l->lane[first].value;
    FOR_LANES(i, l->mask & (l->mask - 1)) { result = reduce_two(op, result, (uint32_t)l->lane[i].value); }
    return result;
}

static uint64_t common_result(const struct lanes *l, enum gq_cpu_warp_op op)
{
    uint64_t any_value = l->lane[__builtin_ctz(l->mask)].value;
    switch (op) {
    case GQ_CPU_SYNCWARP:
        return 0;
    case GQ_CPU_BALLOT:
        return ballot(l);
    case GQ_CPU_ANY:
        return ballot(l) != 0;
    case GQ_CPU_ALL:
        return ballot(l) == l->mask;
    case GQ_CPU_MATCH_ALL:
        return equal_to(l, any_value) == l->mask ? l->mask : 0;
    default:
        return reduce(l, op);
    }
}

static bool differs_by_lane(enum gq_cpu_warp_op op)
{
    return op == GQ_CPU_SHFL || op == GQ_CPU_SHFL_UP || op == GQ_CPU_SHFL_DOWN || op == GQ_CPU_SHFL_XOR ||
           op == GQ_CPU_MATCH_ANY;
}

static uint64_t lane_result(const struct lanes *l, uint32_t lane)
{
    const struct gq_fiber *t = &l->lane[lane];
    if (t->warp_op == GQ_CPU_MATCH_ANY)
        return equal_to(l, t->value);
    return l->lane[shuffle_source(t, lane, l->mask)].value;
}

/* --- meeting ------------------------------------------------------------------------------------------------------ */

/* Are all lanes of the caller's mask at the same operation with the same mask? */
static bool all_here(const struct gq_fiber_warp *w, const struct lanes *l, const struct gq_fiber *caller)
{
    if ((w->waiting & l->mask) != l->mask)
        return false;
    FOR_LANES(i, l->mask)
    {
        if (l->lane[i].warp_op != caller->warp_op || l->lane[i].mask != caller->mask)
            return false;
    }
    return true;
}

static void complete(struct gq_fiber_room *r, struct gq_fiber_warp *w, const struct lanes *l, struct gq_fiber *caller)
{
    bool by_lane = differs_by_lane(caller->warp_op);
    uint64_t common = by_lane ? 0 : common_result(l, caller->warp_op);
    FOR_LANES(i, l->mask) { l->lane[i].result = by_lane ? lane_result(l, i) : common; }
    FOR_LANES(j, l->mask)
    {
        if (&l->lane[j] != caller)
            gq_fiber_ready(r, &l->lane[j]);
    }
    w->waiting &= ~l->mask;
    caller->state = GQ_FIBER_RUNS;
}

static void check_call(const struct gq_fiber_room *r, uint32_t mask, uint32_t width, const char *file, int line)
{
    uint32_t index = gq_fiber_index(r, r->current), lane = index % GQ_FIBER_LANES;
    if (!(mask >> lane & 1u))
        gq_fiber_die("%s:%d: the mask 0x%08x does not name the lane that calls: lane %u, thread %u", file, line, mask,
                     lane, index);
    if (width == 0 || width > GQ_FIBER_LANES || (width & (width - 1)) != 0)
        gq_fiber_die("%s:%d: the width of a shuffle is 1, 2, 4, 8, 16 or 32, not %d", file, line, (int)width);
}

uint64_t gq_fiber_warp_op(struct gq_fiber_room *r, enum gq_cpu_warp_op op, uint32_t mask, uint64_t value, uint32_t arg,
                          uint32_t width, int *pred, const char *file, int line)
{
    check_call(r, mask, width, file, line);
    struct gq_fiber *t = r->current;
    uint32_t index = gq_fiber_index(r, t), lane = index % GQ_FIBER_LANES;
    struct gq_fiber_warp *w = &r->warp[index / GQ_FIBER_LANES];
    struct lanes lanes = {t - lane, mask};
    t->warp_op = op;
    t->mask = mask;
    t->value = value;
    t->arg = arg;
    t->width = width;
    t->file = file;
    t->line = line;
    t->state = GQ_FIBER_AT_WARP_OP;
    w->waiting |= 1u << lane;
    if (all_here(w, &lanes, t))
        complete(r, w, &lanes, t);
    else
        gq_fiber_wait(r);
    if (pred)
        *pred = t->result != 0;
    return t->result;
}
