/* counted.h - lanes whose results nobody reads: how many messages ended, and how. See gpuqueue/layout.h.
 *
 * One thread consumes a counted lane: gq_counted_take(), then gq_counted_release() when it has done what failed
 * messages need. The other functions of consumers in lane.h are not for such lanes.
 */
#ifndef GQ_RING_COUNTED_H
#define GQ_RING_COUNTED_H

#include "ring/lane.h"

/* Messages [first, end) have ended. Those that failed have a descriptor, as on every lane: gq_counted_failed(). */
struct gq_counted {
    uint64_t first, end;
    uint64_t ok, dropped, failed, bytes; /* of these messages */
};

/* Results that nobody reads have no generation: they count as of the one that the link has. GQ_ERR_NOT_READY: nothing
 * new, without a sentence. GQ_ERR_DEVICE: what the worker tells does not add up. */
gq_status gq_counted_take(struct gq_lane *lane, struct gq_counted *out);
void gq_counted_release(struct gq_lane *lane, const struct gq_counted *c);

/* Has a message ended well that was not taken, and will count as of this generation or a later one? With the lock. */
bool gq_counted_good(const struct gq_lane *lane, uint32_t generation);

/* Did message seq, of those just taken, fail? If so, with what result. */
bool gq_counted_failed(const struct gq_lane *lane, uint64_t seq, struct gq_lane_result *r);

/* The sentence for words that cannot be the worker's: GQ_ERR_DEVICE. */
gq_status gq_counted_distrust(const struct gq_lane *lane);

/* Messages that have ended from the first on, as the worker says. Any thread. */
uint64_t gq_counted_end(const struct gq_lane *lane);

/* Times of sending are kept for every so many messages, a power of two: 1 for other lanes. Messages that are told of
 * together have the latency of the oldest whose time was kept. */
uint64_t gq_counted_step(const struct gq_lane *lane);

#endif
