/* played.h - what a test that plays a GPU and an image that it plays say to each other. An image is a plugin with
 * device/entry_cuda.h, the code that a GPU runs, compiled for a CPU: a warp is 32 fibers of one thread. C11 and C++17.
 */
#ifndef GQ_TESTS_PLAYED_H
#define GQ_TESTS_PLAYED_H

#include "device/grid.h"
#include "device/image.h"

/* What the plugins do; the test sets it before grids run. */
struct played_rules {
    uint32_t varied; /* 1: messages have lengths of their own */
    uint32_t drop;   /* every so many-th message is dropped, 0: none */
    uint32_t fail;   /* ... fails in the source, and PLAYED_FAIL_STAGE behind it in the stage */
};
#define PLAYED_BYTES 64u
#define PLAYED_FAIL_STAGE 3u
#define PLAYED_CODE_SOURCE 11u
#define PLAYED_CODE_STAGE 12u
#define PLAYED_CODE_WRONG 999u /* of a message whose bytes or length are not what they have to be */

static inline uint32_t played_len(const struct played_rules *r, uint64_t index)
{
    return r->varied ? (uint32_t)(8 + index * 7 % (PLAYED_BYTES - 8)) : PLAYED_BYTES;
}
static inline int played_drops(const struct played_rules *r, uint64_t index) { return r->drop && index % r->drop == 1; }
static inline int played_fails_early(const struct played_rules *r, uint64_t index)
{
    return r->fail && index % r->fail == 0;
}
static inline int played_fails_late(const struct played_rules *r, uint64_t index)
{
    return r->fail && index % r->fail == PLAYED_FAIL_STAGE;
}

#define PLAYED_SYMBOL "played_grid"

/* One block of one warp, on the caller's thread; returns when the grid leaves. */
typedef void (*played_grid_fn)(const struct gq_grid *grid, uint32_t block, uint32_t blocks,
                               const struct gq_cpu_services *services, const struct played_rules *rules);

#endif
