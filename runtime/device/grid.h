/* grid.h - what the worker tells a persistent grid, and what the warps of all grids share. Read by the host (which
 * fills it) and by entry_cuda.h; plain words, the same layout on both.
 *
 * A pipeline is a row of steps: a source plugin, if there is one, then the stages. One step is one grid. A message
 * keeps its slot in device memory while it walks the steps:
 *
 *   host ingress --(coalesced copy)--> slot[0] --step 0--> slot[1] --step 1--> slot[0] ... --(coalesced copy)--> host
 * egress
 *
 * Between two steps stands a descriptor, in device memory, of the same shape as an egress one. A message that came in
 * an express line goes from step to step in express lines too, in device memory, and leaves in one.
 */
#ifndef GQ_DEVICE_GRID_H
#define GQ_DEVICE_GRID_H

#include "device/slot.h"

/* A step's messages of one lane are dealt out in blocks, in turn to GQ_SHARES shares, so that warps that claim do not
 * all get into each other's way. A line of its own. */
struct gq_grid_share {
    uint64_t next; /* first message of this share that no warp has claimed; changed by compare-and-swap */
    uint8_t pad0[GQ_LINE_BYTES - 8];
};

#define GQ_SHARES 8u
#define GQ_BLOCK_SHIFT_MAX 7u
#define GQ_BLOCK_BYTES 65536u

/* The messages of a block: 1 << this. Few of large messages: what is read at a time had better lie near. */
GQ_FN uint32_t gq_block_shift(uint32_t stride)
{
    uint32_t shift = GQ_BLOCK_SHIFT_MAX;
    while (shift > 0 && ((uint64_t)stride << shift) > GQ_BLOCK_BYTES)
        shift--;
    return shift;
}

/* Where one step is in one lane. Device memory. */
struct gq_grid_cursor {
    uint64_t ready; /* messages below it may be claimed; written by the scout */
    uint32_t scout; /* lock: one warp at a time looks for more, so that only one polls across the bus */
    uint32_t quiet; /* 1: the last scout saw nothing before it left */
    uint8_t pad0[GQ_LINE_BYTES - 16];
    struct gq_grid_share share[GQ_SHARES];
};

/* The first message of share `n` that is not before `from`. */
GQ_FN uint64_t gq_share_first(uint32_t shift, uint32_t n, uint64_t from)
{
    const uint64_t block = from >> shift, ahead = (n - block) % GQ_SHARES;
    return ahead ? (block + ahead) << shift : from;
}

/* The message of a share behind its message `seq - 1`, which it has claimed. */
GQ_FN uint64_t gq_share_after(uint32_t shift, uint64_t seq)
{
    return seq & ((1ull << shift) - 1) ? seq : seq + ((uint64_t)(GQ_SHARES - 1) << shift);
}

/* Messages that a source plugin made mostly leave a step as many at a time as a warp has threads. A pack, that many
 * from a multiple of it on, is then told in one unit instead of a descriptor for each, so that one look of a warp finds
 * 1024. Its stamp is its first message's number and one, in 64 bits: no lap's unit can be taken for another's. Its
 * data, behind the last step of a counted lane: how many were dropped << 32 | bytes of all others, which ended well;
 * before that, of 32 that ended well: generation << 32 | length of each. Whatever else is to be said is said in
 * descriptors. */
#define GQ_PACK 32u

GQ_FN uint64_t gq_pack_stamp(uint64_t seq) { return (seq & ~(uint64_t)(GQ_PACK - 1)) + 1; }

/* Of a lane of at least a pack. */
GQ_FN uint64_t gq_pack_index(uint32_t mask, uint64_t seq) { return (seq & mask) / GQ_PACK; }

/* May the run of `count` messages be told as a pack? Those before `known` came before this worker: nothing is said of
 * some. Stamps of descriptors have 32 bits, so no descriptor may be left as it is for so many messages: in the lap
 * before every multiple of 2^31 all are written. */
GQ_FN int gq_pack_fits(uint32_t mask, uint64_t first, uint32_t count, uint64_t known)
{
    const int laps_end = (first >> 31) != ((first + mask + 1) >> 31);
    return count == GQ_PACK && first % GQ_PACK == 0 && first >= known && !laps_end;
}

/* A lane as the grids see it. Device memory. */
struct gq_grid_lane {
    struct gq_lane_view view; /* the host's memory, at device addresses */
    uint64_t *desc;           /* [capacity] ingress words as the scout read them */
    uint8_t *slot[2];         /* [capacity * stride] */
    struct gq_out_desc
        *hop;              /* [(steps - 1) * capacity] descriptors between steps; counted lanes: behind the last too */
    uint8_t *express;      /* [(steps - 1) * GQ_EXPRESS_LINES] express lines between steps */
    struct gq_unit *packs; /* a capacity / GQ_PACK of them wherever `hop` has a capacity; NULL: packs are not told */
    uint64_t first_index, index_step;
    uint32_t generated;
    uint32_t block_shift;
    uint32_t canary; /* 1: while a canary runs, its grid serves this lane */
    uint32_t reserved0;
    uint64_t known;        /* messages below it came before this worker; their words are in `desc` */
    const uint32_t *ended; /* of those, a bit for each slot: the message has ended, and its slot may be another's */
    struct gq_grid_cursor cursor[GQ_STAGES_MAX + 2]; /* one a step, and one of who counts what came out of the last */
};

/* The status of a message that had ended before this worker came: each step passes it, and says nothing of it. */
#define GQ_RESULT_PASSED 255u

/* How the grids of one step are told to leave. A line of its own, for every warp looks at it. */
struct gq_grid_order {
    /* Grids whose launch number is not above it leave. They claim no message above the last one claimed, and all below:
     * of each lane, the messages that are claimed then are the first so many. */
    uint32_t leave;
    uint32_t left;    /* blocks that have left, of all launches of the step */
    uint32_t refused; /* a launch that starts when others serve again in its place: it claims nothing */
    uint8_t pad0[GQ_LINE_BYTES - 12];
};

/* Payload that one warp takes at a time: in many small parts reads and writes share the bus best. */
#define GQ_RUN_BYTES 16384u

/* How many messages a team serves before it hands any on. The scope: 0 thread, 1 warp, 2 block. */
GQ_FN uint32_t gq_run_most(uint32_t scope, uint32_t slot_bytes)
{
    const uint32_t most = scope == 0 ? 32 : scope == 1 ? 4 : 1;
    const uint32_t fit = GQ_RUN_BYTES / (slot_bytes < 16 ? 16 : slot_bytes);
    return fit < 1 ? 1 : fit < most ? fit : most;
}

#define GQ_GRID_NOW 0xffffffffu /* in `leave`: they do not claim what is left */

/* Shared by all grids of a worker. Device memory. */
struct gq_grid_shared {
    struct gq_grid_order order[GQ_STAGES_MAX + 1]; /* one a step */
    uint64_t end_ns;                               /* of %globaltimer: when the limit is over; 0: there is none */
    uint8_t pad0[GQ_LINE_BYTES - 8];
    uint32_t lane_count;
    uint8_t pad1[GQ_LINE_BYTES - 4];
    uint64_t retries;
    uint8_t pad2[GQ_LINE_BYTES - 8];
};

/* How warps without work wait; numbers of the pipeline file's queue.poll. */
#define GQ_GRID_ADAPTIVE 0u /* longer and longer, but for the first warps */
#define GQ_GRID_SPIN 1u     /* never long */
#define GQ_GRID_SLEEP 2u    /* all of them long, when nothing has come for a while */

/* Which lanes a grid serves: while a canary runs, its step has two grids. Lanes change sides when neither runs. */
#define GQ_GRID_ALL_LANES 0u
#define GQ_GRID_OTHER_LANES 1u /* those that are not the canary's */
#define GQ_GRID_CANARY_LANES 2u

/* Kernel parameters. */
struct gq_grid {
    const struct gq_host_page *host;
    struct gq_worker_page *worker;
    struct gq_grid_shared *shared;
    struct gq_grid_lane *lane; /* [GQ_LANES_MAX] */
    struct gq_unit *run;       /* the worker page's, one a step, where teams tell what they are inside of; else NULL */
    void *state;               /* of this step's plugin, NULL: none */
    uint64_t limit_ns;         /* after this long the grids leave by themselves; 0: never */
    uint32_t step, steps;
    uint32_t stage;      /* of the pipeline, for the result's meta word */
    uint32_t generation; /* of the change that made this image live */
    uint32_t out_cap, retries;
    uint32_t staged;  /* stride of the slots, if a warp works on them in shared memory; else 0 */
    uint32_t express; /* bytes of shared memory for a message of an express line, and as many for its result */
    uint32_t poll;    /* GQ_GRID_ADAPTIVE, ... */
    uint32_t counted; /* results are only counted: all lanes are counted ones */
    uint32_t launch;  /* from 1, a higher number for every launch of the step */
    uint32_t old_bytes, old_version;
    uint32_t lanes;        /* GQ_GRID_ALL_LANES, ... */
    uint32_t single;       /* 1: one team serves one message at a time */
    uint32_t old;          /* 1: there may be messages that came before this worker (gq_grid_lane.known) */
    const void *old_state; /* not NULL: this launch serves no message; `state`, if there is any, takes over what another
                              version left */
};

GQ_STATIC_ASSERT(sizeof(struct gq_grid_cursor) == (1 + GQ_SHARES) * GQ_LINE_BYTES, "cursors do not share lines");
GQ_STATIC_ASSERT(sizeof(struct gq_grid) == 128, "kernel parameters have no hidden padding");

#endif
