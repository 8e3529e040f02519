/* litmus.h - message-passing litmus tests of the ring's edges, and faults planted in them. Read by host and device.
 *
 * Each row is one run of one kernel for a bounded time. `ring`, `look` and `unit` pass messages between host threads
 * and the device through a lane in the host's memory, `share` and `hop` between blocks through device memory; whoever
 * receives checks every word. The row without a fault must stay clean. A fault that must be caught leaves a window that
 * no memory system closes. The others weaken an instruction: the PTX model allows the wrong value, this or that chip
 * never shows it, and the run says which.
 */
#ifndef TESTS_LITMUS_LITMUS_H
#define TESTS_LITMUS_LITMUS_H

#include "device/slot.h"

#define LITMUS_LANES 4u
#define LITMUS_PAIRS 16u /* producing and consuming blocks in device memory */
#define LITMUS_CAPACITY 64u
#define LITMUS_WORDS 32u /* 8-byte words of a message: one a thread of a warp */
#define LITMUS_SLOT_BYTES (LITMUS_WORDS * 8u)
#define LITMUS_DELAY_NS 3000u /* the window of a fault that must be caught: longer than a trip over the bus */

/* plant, kernel, must be caught, what is wrong with it */
#define LITMUS_ROWS(X)                                                                                     \
    X(RING_REAL, ring, 0, "R1/A1, R2/A2: host and device through a lane")                                  \
    X(SUBMIT_EARLY, ring, 1, "host publishes a message before its bytes")                                  \
    X(FINISH_EARLY, ring, 1, "device publishes a result before its bytes")                                 \
    X(FINISH_RELAXED, ring, 0, "R2 dropped: st.relaxed.sys")                                               \
    X(FINISH_GPU, ring, 0, "R2 narrowed: st.release.gpu")                                                  \
    X(FINISH_CTA, ring, 0, "R2 narrowed: st.release.cta")                                                  \
    X(ACQUIRE_RELAXED, ring, 0, "A1 dropped: ld.relaxed.sys")                                              \
    X(ACQUIRE_CTA, ring, 0, "A1 narrowed: ld.acquire.cta")                                                 \
    X(PAYLOAD_NC, ring, 0, "payload by ld.global.nc")                                                      \
    X(LOOK_REAL, look, 0, "R1/A1 as a scout reads: relaxed loads by a warp, one fence")                    \
    X(LOOK_NO_FENCE, look, 0, "A1 dropped: no fence after a scout's loads")                                \
    X(SHARE_REAL, share, 0, "R4/A4: words and bytes behind one raised number, between blocks")             \
    X(SHARE_EARLY, share, 1, "the number is raised before the bytes")                                      \
    X(SHARE_RELAXED, share, 0, "R4 dropped: st.relaxed.gpu")                                               \
    X(SHARE_CTA, share, 0, "R4 narrowed: st.release.cta")                                                  \
    X(SHARE_ACQUIRE_RELAXED, share, 0, "A4 dropped: ld.relaxed.gpu")                                       \
    X(SHARE_ACQUIRE_CTA, share, 0, "A4 narrowed: ld.acquire.cta")                                          \
    X(SHARE_NC, share, 0, "payload by ld.global.nc")                                                       \
    X(HOP_REAL, hop, 0, "R5/A5: descriptors of a warp's messages, one look and one fence, between blocks") \
    X(HOP_EARLY, hop, 1, "a descriptor is published before the bytes")                                     \
    X(HOP_RELAXED, hop, 0, "R5 dropped: st.relaxed.gpu")                                                   \
    X(HOP_CTA, hop, 0, "R5 narrowed: st.release.cta")                                                      \
    X(HOP_NO_FENCE, hop, 0, "A5 dropped: no fence after the look")                                         \
    X(UNIT_REAL, unit, 0, "R6/A6: stamp and data in one access, both ways")                                \
    X(UNIT_SPLIT_HOST, unit, 1, "host stores stamp and data apart")                                        \
    X(UNIT_SPLIT_DEVICE, unit, 1, "device stores stamp and data apart")                                    \
    X(UNIT_SPLIT_LOAD, unit, 0, "device loads stamp and data apart, the data first")

#define LITMUS_NAME(plant, kernel, must, what) LITMUS_##plant,
enum litmus_plant { LITMUS_ROWS(LITMUS_NAME) LITMUS_ROW_COUNT };
#undef LITMUS_NAME

/* Counts of one side. */
struct litmus_count {
    uint64_t messages, wrong; /* words that were not those of the message */
};

/* One pair of blocks, in device memory; the two counters on lines of their own. */
struct litmus_pair {
    uint64_t ready; /* R4: messages below it are there */
    uint8_t pad0[GQ_LINE_BYTES - 8];
    uint64_t taken; /* messages below it have been checked: their slots are free */
    uint8_t pad1[GQ_LINE_BYTES - 8];
    uint64_t word[LITMUS_CAPACITY];
    struct gq_out_desc hop[LITMUS_CAPACITY];
    uint64_t payload[LITMUS_CAPACITY][LITMUS_WORDS];
};

/* Kernel parameters. */
struct litmus {
    struct gq_lane_view lane[LITMUS_LANES];
    struct gq_unit *to_device[LITMUS_LANES], *to_host[LITMUS_LANES]; /* LITMUS_WORDS units each */
    struct litmus_pair *pair;                                        /* device memory */
    struct litmus_count *count;                                      /* device memory, zero */
    uint64_t limit_ns;
};

/* What word i of a message holds: never the same in two laps, never zero. */
GQ_FN uint64_t litmus_word(uint32_t lane, uint64_t seq, uint32_t i)
{
    return ((seq + 1) << 16) ^ ((uint64_t)lane << 8) ^ (i + 1);
}

#endif
