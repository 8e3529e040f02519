/* head.h - the oldest message of a lane that has not ended, as whoever serves the lane finds it: by looking now and
 * then at descriptors and express lines, and so that a lane with messages by the million costs no more than one that is
 * idle.
 */
#ifndef GQ_RING_HEAD_H
#define GQ_RING_HEAD_H

#include "device/slot.h"

#define GQ_HEAD_SAMPLES 8u

/* One lane's. Zero, but for `seq`, which begins at the first message that is to be served. */
struct gq_head {
    uint64_t seq; /* all before it have ended */
    uint64_t sample[GQ_HEAD_SAMPLES];
};

enum gq_head_is {
    GQ_HEAD_IDLE,  /* every message has ended */
    GQ_HEAD_MOVES, /* some have since the last look */
    GQ_HEAD_STANDS /* none has, and `seq` is there */
};

/* One look. By one thread; the view is the worker's. */
enum gq_head_is gq_head_look(struct gq_head *head, const struct gq_lane_view *view);

#endif
