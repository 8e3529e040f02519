#include "pipeline/canary_cost.h"

#define SEEN_FROM 100u /* looks that find the canary: fewer tell nothing of how long a message takes */
#define MANY 100u      /* results: among fewer, the run that took longest may be most of what was seen */

void gq_canary_cost_note(struct gq_canary_cost *cost, uint32_t thread, const struct gq_crumb *crumb,
                         uint64_t generation)
{
    if (!crumb->holds)
        return;
    if (crumb->generation == generation) {
        cost->canary++;
        return;
    }
    struct gq_cost_run *run = &cost->run[thread];
    if (run->first != crumb->first)
        *run = (struct gq_cost_run){.first = crumb->first};
    run->seen++;
    cost->live++;
    if (run->seen > cost->live_longest)
        cost->live_longest = run->seen;
}

/* How many looks find one of the live version's messages in a thread; 0: not known. Messages that nobody was seen with
 * were seen once at the most. */
static double seen_a_live_message(const struct gq_canary_cost *cost, uint64_t results, uint64_t takes_ns)
{
    const double before = (double)takes_ns / GQ_GLANCE_NS;
    if (results >= MANY)
        return (double)(cost->live ? cost->live : 1) / (double)results;
    const uint64_t others = cost->live - cost->live_longest;
    return results && (others || before <= 0) ? (double)(others ? others : 1) / (double)results : before;
}

uint32_t gq_canary_cost_percent(const struct gq_canary_cost *cost, uint64_t canary_results, uint64_t live_results,
                                uint64_t live_takes_ns)
{
    const double theirs = seen_a_live_message(cost, live_results, live_takes_ns);
    if (cost->canary < SEEN_FROM || canary_results == 0 || theirs <= 0)
        return 0;
    const double percent = 100.0 * ((double)cost->canary / (double)canary_results) / theirs;
    return percent < UINT32_MAX ? (uint32_t)percent : UINT32_MAX;
}
