/* grid.h - what the host tells a persistent grid. Read by the host and by entry_cuda.h; plain words, same layout on
 * both. */
#ifndef GQ_DEVICE_GRID_H
#define GQ_DEVICE_GRID_H

#include "slot.h"

/* A lane as the blocks of a grid share it, in device memory. `next` is the first message that no warp has claimed. */
struct gq_grid_lane {
    struct gq_lane_view view;
    uint64_t first_index;
    uint32_t generated;
    uint32_t reserved0;
    uint8_t pad0[GQ_LINE_BYTES - sizeof(struct gq_lane_view) - 16];
    uint64_t next; /* changed by compare-and-swap at device scope */
    uint8_t pad1[GQ_LINE_BYTES - 8];
};

struct gq_grid {
    const struct gq_host_page *host;
    struct gq_worker_page *worker;
    struct gq_grid_lane *lane; /* device memory */
    void *state;               /* device memory of the stage, NULL: none */
    uint64_t deadline_ns;      /* of %globaltimer; 0: none. A grid that nobody stops leaves then */
    uint32_t lane_count;
    uint32_t out_cap, retries;
    uint32_t stage, generation;
    uint32_t reserved0;
};

GQ_STATIC_ASSERT(sizeof(struct gq_grid_lane) == 2 * GQ_LINE_BYTES, "claiming one lane disturbs no other");
GQ_STATIC_ASSERT(sizeof(struct gq_grid) == 64, "kernel parameters have no hidden padding");

#endif
