/* due.h - which code a result must be by, at least: since a change of a stage's code, the new one. A few changes are
 * remembered: a message may be older than the newest, and be answered by who should have left before several of them.
 */
#ifndef GQ_RING_DUE_H
#define GQ_RING_DUE_H

#include <stdbool.h>
#include <stdint.h>
#include "device/slot.h"

#define GQ_DUES 4u

/* A result of message `from` or a later one that came as far as `stage` has this generation or a later one. */
struct gq_due {
    uint64_t from;
    uint32_t stage, generation;
};

/* Zero bytes: everything is due. */
struct gq_dues {
    struct gq_due last[GQ_DUES]; /* newest first: generations fall, and `from` does, unless claims went back */
};

/* Nothing, if the generation is not newer than the newest. */
static inline void gq_dues_add(struct gq_dues *dues, struct gq_due due)
{
    if (due.generation <= dues->last[0].generation)
        return;
    for (uint32_t i = GQ_DUES - 1; i > 0; i--)
        dues->last[i] = dues->last[i - 1];
    dues->last[0] = due;
}

/* Is the result of message seq by code that was live when it came, or later? One that was dropped or failed has met no
 * code behind the stage that says so, and a source plugin comes before all stages. */
static inline bool gq_is_due(const struct gq_dues *dues, uint64_t seq, uint64_t meta)
{
    const uint32_t said_by = gq_meta_stage(meta);
    const bool whole = gq_meta_status(meta) == GQ_RESULT_OK, by_source = said_by == GQ_CRUMB_SOURCE;
    for (uint32_t i = 0; i < GQ_DUES && gq_meta_generation(meta) < dues->last[i].generation; i++)
        if (seq >= dues->last[i].from && (whole || (!by_source && said_by >= dues->last[i].stage)))
            return false;
    return true;
}

/* The least generation of messages that came through all stages, from `first` on and below *end, which is lowered to
 * where another one begins. */
static inline uint32_t gq_due_of_run(const struct gq_dues *dues, uint64_t first, uint64_t *end)
{
    for (uint32_t i = 0; i < GQ_DUES; i++) {
        if (first >= dues->last[i].from)
            return dues->last[i].generation;
        if (dues->last[i].from < *end)
            *end = dues->last[i].from;
    }
    return 0;
}

#endif
