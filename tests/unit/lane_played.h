/* lane_played.h - a small lane of a test's own, which plays its worker. */
#ifndef GQ_TESTS_LANE_PLAYED_H
#define GQ_TESTS_LANE_PLAYED_H

#include "lane_support.h"
#include <string.h>

#define CAPACITY 8u
#define SLOT_BYTES 40u

static struct gq_link link_;
static struct gq_lane *lane;

static inline void set_up(void)
{
    const struct gq_lane_opts opts = {.lane = 0, .capacity = CAPACITY, .slot_bytes = SLOT_BYTES};
    ck_assert_int_eq(gq_link_create(&link_), GQ_OK);
    ck_assert_int_eq(gq_lane_create(&opts, &link_, &lane), GQ_OK);
    writable(lane->view.out_head, lane->out_bytes);
}

static inline void tear_down(void)
{
    gq_lane_destroy(lane);
    gq_link_finish(&link_);
}

static inline void put(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint64_t seq;
        const uint32_t len = 8;
        ck_assert_uint_eq(gq_lane_claim(lane, 1, 0, &seq), 1);
        memcpy(gq_lane_slot(lane, seq), &seq, 8);
        gq_lane_publish(lane, &len, 1, 0);
    }
}

/* The worker answers a message with its number. */
static inline void work(uint64_t seq, uint32_t status)
{
    const uint64_t word = seq;
    memcpy(gq_slot_out(&lane->view, seq), &word, 8);
    gq_slot_finish(&lane->view, seq, status == GQ_RESULT_OK ? 8 : 0, gq_meta(3, 0, status, 7));
}

static inline uint64_t word_of(const struct gq_lane_result *r)
{
    uint64_t word;
    memcpy(&word, r->data, 8);
    return word;
}

#endif
