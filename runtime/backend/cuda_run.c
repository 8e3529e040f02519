/* What a device's teams are inside of. They do not say it, for that would cost more than a message. It is found where
 * a lane stands still: its oldest open message is inside of the first step that has not handed it on, if somebody there
 * has claimed it. Read by copies, beside the grids. */
#include "backend/cuda.h"
#include <stddef.h>

#define WALK 64u /* descriptors read at a time */

static gq_cu_ptr cursor_at(const struct gq_cuda *c, uint32_t lane, uint32_t step)
{
    return c->lanes + lane * sizeof(struct gq_grid_lane) + offsetof(struct gq_grid_lane, cursor) +
           step * sizeof(struct gq_grid_cursor);
}

static gq_cu_ptr hop_at(const struct gq_cuda_seen *s, uint32_t step, uint64_t seq)
{
    const uint64_t capacity = (uint64_t)s->view.mask + 1;
    return s->hop + (step * capacity + gq_slot_index(&s->view, seq)) * sizeof(struct gq_out_desc);
}

/* Where the unit of the pack that message seq is of lies; the lane has packs. */
static gq_cu_ptr pack_at(const struct gq_cuda_seen *s, uint32_t step, uint64_t seq)
{
    const uint64_t packs = ((uint64_t)s->view.mask + 1) / GQ_PACK;
    return s->packs + (step * packs + gq_pack_index(s->view.mask, seq)) * sizeof(struct gq_unit);
}

static gq_cu_ptr line_at(const struct gq_cuda_seen *s, uint32_t step, uint64_t seq)
{
    return s->express + ((uint64_t)step * GQ_EXPRESS_LINES + seq % GQ_EXPRESS_LINES) * s->view.express_stride;
}

/* False: it could not be read; whoever looks at the grids meets the error, too. */
static bool fetch(struct gq_cuda *c, void *to, gq_cu_ptr from, size_t bytes)
{
    return c->cu->copy_from_device(to, from, bytes, c->look) == GQ_CU_OK && gq_cuda_await_look(c) == GQ_CU_OK;
}

/* Has the step handed message seq on, to a step behind it? If that cannot be read, *unread. */
static bool handed_on(struct gq_cuda *c, const struct gq_cuda_seen *s, uint32_t step, uint64_t seq, bool *unread)
{
    struct gq_out_desc hop = {0};
    struct gq_unit unit = {0}, pack = {0};
    int error = c->cu->copy_from_device(&hop, hop_at(s, step, seq), sizeof hop, c->look);
    if (error == GQ_CU_OK && step + 1 < c->steps)
        error = c->cu->copy_from_device(&unit, line_at(s, step, seq), sizeof unit, c->look);
    if (error == GQ_CU_OK && s->packs)
        error = c->cu->copy_from_device(&pack, pack_at(s, step, seq), sizeof pack, c->look);
    *unread = error != GQ_CU_OK || gq_cuda_await_look(c) != GQ_CU_OK;
    if (*unread)
        return false;
    return (uint32_t)(hop.state >> 32) == gq_slot_stamp(seq) || unit.stamp == seq + 1 ||
           pack.stamp == gq_pack_stamp(seq);
}

/* Counted messages leave the last step one by one, and are counted later. The first that has not left it; UINT64_MAX:
 * not found yet, the next look goes on. */
static uint64_t behind_counted(struct gq_cuda *c, struct gq_cuda_seen *s)
{
    struct gq_out_desc hop[WALK];
    struct gq_unit pack[WALK / GQ_PACK + 1] = {{0}};
    const uint64_t from = s->walked > s->head.seq ? s->walked : s->head.seq;
    const uint64_t to_wrap = (uint64_t)s->view.mask + 1 - gq_slot_index(&s->view, from);
    const uint64_t limit = gq_slot_limit(&s->view) - from, count = to_wrap < WALK ? to_wrap : WALK; /* A3 pairs R3 */
    const uint64_t first = from / GQ_PACK, packs = s->packs ? (from + count - 1) / GQ_PACK - first + 1 : 0;
    if (packs && !fetch(c, pack, pack_at(s, c->steps - 1, from), packs * sizeof *pack))
        return UINT64_MAX;
    if (!fetch(c, hop, hop_at(s, c->steps - 1, from), count * sizeof *hop))
        return UINT64_MAX;
    for (uint64_t i = 0; i < count && i < limit; i++)
        if ((uint32_t)(hop[i].state >> 32) != gq_slot_stamp(from + i) &&
            pack[(from + i) / GQ_PACK - first].stamp != gq_pack_stamp(from + i))
            return from + i;
    s->walked = from + (count < limit ? count : limit);
    return UINT64_MAX;
}

/* Behind the last message that the team inside of seq may hold with it; seq: nobody has claimed it. */
static uint64_t end_of_run(const struct gq_grid_cursor *cursor, uint32_t shift, uint64_t seq, uint32_t most)
{
    const uint64_t next = cursor->share[(seq >> shift) % GQ_SHARES].next, block = ((seq >> shift) + 1) << shift;
    if (next > seq)
        return next < block ? next : block;
    /* What a scout claims it keeps to itself until it has to tell. One that looks finds what is there at once. */
    return seq >= cursor->ready && cursor->scout ? seq + most : seq;
}

static struct gq_unit find_run(struct gq_cuda *c, uint32_t lane, struct gq_cuda_seen *s, uint64_t seq)
{
    const bool counted = s->view.in_head->counted;
    const uint32_t side = __atomic_load_n(&s->canary, __ATOMIC_RELAXED);
    struct gq_grid_cursor cursor = {0};
    const bool known = s->found.stamp == gq_slot_id(s->view.lane, seq);
    const uint32_t was = known ? s->step : 0;
    uint32_t step = was;
    bool unread = false;
    while (step + !counted < c->steps && handed_on(c, s, step, seq, &unread))
        step++;
    if (known && step == was)
        return s->found; /* as at the last look */
    if (unread || step == c->steps || !fetch(c, &cursor, cursor_at(c, lane, step), sizeof cursor))
        return (struct gq_unit){0};
    const uint64_t serves = __atomic_load_n(&c->serves[side][step], __ATOMIC_RELAXED);
    const uint32_t most = gq_run_most(GQ_CUDA_SERVES_SCOPE(serves), c->setup.slot_bytes);
    const uint64_t end = end_of_run(&cursor, gq_block_shift(s->view.stride), seq, most);
    const uint64_t to_wrap = (uint64_t)s->view.mask + 1 - gq_slot_index(&s->view, seq);
    uint64_t count = end - seq < most ? end - seq : most;
    count = count < to_wrap ? count : to_wrap;
    if (count == 0)
        return (struct gq_unit){0};
    s->step = step;
    return (struct gq_unit){gq_slot_id(s->view.lane, seq),
                            GQ_RUN_DATA(c->step[step].stage, (uint32_t)count, GQ_CUDA_SERVES_GENERATION(serves))};
}

static bool show_run(struct gq_cuda *c, uint32_t lane)
{
    struct gq_cuda_seen *s = &c->seen[lane];
    const enum gq_head_is is = gq_head_look(&s->head, &s->view);
    uint64_t seq = UINT64_MAX;
    if (is == GQ_HEAD_STANDS)
        seq = s->view.in_head->counted ? behind_counted(c, s) : s->head.seq;
    s->found = seq == UINT64_MAX ? (struct gq_unit){0} : find_run(c, lane, s, seq);
    gq_store_unit(&c->setup.link->worker->run[lane], s->found.stamp, s->found.data); /* R9 pairs A9 */
    return is == GQ_HEAD_MOVES;
}

void gq_cuda_show_runs(struct gq_cuda *c)
{
    const uint32_t lanes = __atomic_load_n(&c->lane_count, __ATOMIC_ACQUIRE);
    bool moves = false;
    if (c->setup.single) /* its teams tell */
        return;
    for (uint32_t i = 0; i < lanes; i++)
        moves |= show_run(c, i);
    if (moves)
        __atomic_store_n(&c->setup.link->worker->crumb[0].done, c->setup.link->worker->crumb[0].done + 1,
                         __ATOMIC_RELAXED);
}
