/* express.h - express lines seen from the host: see gpuqueue/layout.h. For lanes whose worker reads them; a lane that
 * has none, or a message that does not fit, goes the way of all others.
 */
#ifndef GQ_RING_EXPRESS_H
#define GQ_RING_EXPRESS_H

#include <stdbool.h>
#include <stdint.h>
#include "device/slot.h"

/* What the host alone knows of the lines of one lane. */
struct gq_express {
    uint64_t sent[GQ_EXPRESS_LINES];  /* stamp of the message that may be answered in this line, 0: none */
    uint64_t taken[GQ_EXPRESS_LINES]; /* stamp of the answer that `room` holds */
    uint64_t meta[GQ_EXPRESS_LINES];
    uint32_t len[GQ_EXPRESS_LINES];
    uint32_t bytes;  /* of a line's share of `room` */
    uint64_t room[]; /* answers without their stamps */
};

/* NULL: out of memory. Freed by free(). */
struct gq_express *gq_express_make(uint32_t slot_bytes);

/* Producer: message seq, which lies in its slot and is not published yet, goes by express too. The caller knows that
 * the message GQ_EXPRESS_LINES before it is released. */
void gq_express_send(struct gq_express *e, const struct gq_lane_view *v, uint64_t seq, uint32_t len);

/* Consumer: is there an answer to message seq in its line? As gq_slot_ready(). Consumers take turns by a lock. */
bool gq_express_ready(struct gq_express *e, const struct gq_lane_view *v, uint64_t seq, uint32_t *len, uint64_t *meta);
/* Consumer, after gq_express_ready() said yes: the answer's bytes, until the message is released. */
const uint8_t *gq_express_data(struct gq_express *e, uint64_t seq);
/* Consumer: an answer to message seq that was there is nobody's; another may come, by the line or not. */
void gq_express_forget(struct gq_express *e, uint64_t seq);
/* Any thread: may there be an answer? A hint. */
bool gq_express_hint(const struct gq_express *e, const struct gq_lane_view *v, uint64_t seq);

#endif
