/* journal_support.h - a lane's slots for tests of a journal alone. */
#ifndef TESTS_UNIT_JOURNAL_SUPPORT_H
#define TESTS_UNIT_JOURNAL_SUPPORT_H

#include "pipeline/journal.h"

static inline struct gq_lane_view journal_view(uint8_t *slots, uint32_t lane, uint32_t capacity, uint32_t slot_bytes)
{
    return (struct gq_lane_view){
        .in_payload = slots, .mask = capacity - 1, .stride = slot_bytes, .slot_bytes = slot_bytes, .lane = lane};
}

/* Whether the message may be asked for. */
static inline bool journal_has(const struct gq_journal *j, uint32_t lane, uint64_t seq)
{
    const struct gq_journal_lane *left = &j->lane[lane];
    return seq >= left->first && seq < left->next && !(*gq_journal_place(j, lane, seq) & GQ_JOURNAL_IS_TAKEN);
}

#endif
