#include "ring/head.h"
#include <stdbool.h>

#define STEPS 64u /* in a lane that moves */

/* A few descriptors, from all over the ring. Have they changed? */
static bool sample(struct gq_head *head, const struct gq_lane_view *v)
{
    bool changed = false;
    for (uint64_t i = 0; i < GQ_HEAD_SAMPLES; i++) {
        const uint64_t at = i * ((uint64_t)v->mask + 1) / GQ_HEAD_SAMPLES;
        const uint64_t state = gq_load_relaxed_u64(&v->out_desc[at].state);
        changed |= state != head->sample[i];
        head->sample[i] = state;
    }
    return changed;
}

/* Behind the messages that must have ended because seq's slot, or its express line, holds the answer to seq or to a
 * later message: who used it again had released what was there before, and all before that. seq itself: it has not. */
static uint64_t passed(const struct gq_lane_view *v, uint64_t seq)
{
    const uint64_t capacity = (uint64_t)v->mask + 1;
    const uint64_t state = gq_load_relaxed_u64(&v->out_desc[gq_slot_index(v, seq)].state);
    const uint32_t later = (uint32_t)(state >> 32) - gq_slot_stamp(seq);
    if (later == 0)
        return seq + 1;
    if (later <= UINT32_MAX / 2 && later % capacity == 0)
        return seq + later - capacity + 1;
    uint64_t stamp, data;
    gq_load_unit(gq_express_line(v, v->out_express, seq), &stamp, &data); /* A6 pairs R6 */
    if (stamp == seq + 1)
        return seq + 1;
    return stamp > seq + 1 ? stamp - GQ_EXPRESS_LINES : seq;
}

static bool is_there(const struct gq_lane_view *v, uint64_t seq)
{
    uint32_t len;
    return v->in_head->generated ? seq < gq_slot_limit(v) : gq_slot_acquire(v, seq, &len); /* A3, A1 */
}

/* How many have ended is told. */
static bool look_at_count(struct gq_head *head, const struct gq_lane_view *v)
{
    uint64_t count, data;
    gq_load_unit(&v->out_head->count[GQ_COUNT_OK], &count, &data); /* A8 pairs R8 */
    const bool moves = count > head->seq;
    head->seq = moves ? count : head->seq;
    return moves;
}

/* Where nothing moves one look comes to the end: a later message's slot leads to a lap before it, and on through that
 * one and its own by single steps. */
static bool look_at_words(struct gq_head *head, const struct gq_lane_view *v)
{
    const uint64_t before = head->seq;
    const bool changed = sample(head, v);
    uint64_t steps = changed ? STEPS : 2 * ((uint64_t)v->mask + 1) + STEPS;
    for (uint64_t next; steps > 0 && (next = passed(v, head->seq)) != head->seq; steps--)
        head->seq = next;
    return changed || head->seq != before;
}

enum gq_head_is gq_head_look(struct gq_head *head, const struct gq_lane_view *v)
{
    const bool moves = v->in_head->counted ? look_at_count(head, v) : look_at_words(head, v);
    if (moves)
        return GQ_HEAD_MOVES;
    return is_there(v, head->seq) ? GQ_HEAD_STANDS : GQ_HEAD_IDLE;
}
