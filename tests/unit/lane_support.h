/* lane_support.h - a lane whose worker is the test: it writes where the host only reads. */
#ifndef GQ_TESTS_LANE_SUPPORT_H
#define GQ_TESTS_LANE_SUPPORT_H

#include "ring/lane.h"
#include "unit.h"
#include <sys/mman.h>

static inline void writable(void *p, size_t bytes) { ck_assert_int_eq(mprotect(p, bytes, PROT_READ | PROT_WRITE), 0); }

/* The next worker has the lane, and is the test again. */
static inline struct gq_lane_range renew(struct gq_lane *of, const struct gq_lane_ending *endings, uint32_t count)
{
    struct gq_lane_range range;
    ck_assert_int_eq(gq_lane_renew(of, endings, count, &range), GQ_OK);
    ck_assert_uint_eq(range.end, UINT64_MAX);
    writable(of->view.out_head, of->out_bytes);
    return range;
}

#endif
