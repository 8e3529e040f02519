/* Express lines seen from the host, against a device played by the test. */
#include "ring/lane.h"
#include "unit.h"
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define CAPACITY 32u
#define SLOT_BYTES 2000u /* more than a line carries */

static struct gq_link link_;
static struct gq_lane *lane;

static void set_up(void)
{
    struct gq_lane_opts opts = {.lane = 3, .capacity = CAPACITY, .slot_bytes = SLOT_BYTES};
    ck_assert_int_eq(gq_link_create(&link_), GQ_OK);
    link_.express = true;
    ck_assert_int_eq(gq_lane_create(&opts, &link_, &lane), GQ_OK);
    ck_assert_int_eq(mprotect(lane->view.out_head, lane->out_bytes, PROT_READ | PROT_WRITE), 0);
}

static void tear_down(void)
{
    gq_lane_destroy(lane);
    gq_link_finish(&link_);
}

/* Both sides of a line are the same to who reads it: the `len` bytes of message seq, false if it is not whole. */
static bool read_line(uint64_t seq, uint32_t *len, uint8_t *bytes)
{
    const struct gq_unit *line = gq_express_line(&lane->view, lane->view.in_express, seq);
    uint64_t stamp, data;
    gq_load_unit(&line[0], &stamp, &data);
    if (stamp != seq + 1)
        return false;
    gq_load_unit(&line[1], &stamp, &data);
    *len = (uint32_t)data;
    for (uint32_t i = GQ_EXPRESS_HEAD; stamp == seq + 1 && i < gq_express_units(*len); i++) {
        gq_load_unit(&line[i], &stamp, &data);
        memcpy(bytes + (i - GQ_EXPRESS_HEAD) * 8, &data, 8);
    }
    return stamp == seq + 1;
}

/* The device: `len` bytes as the answer to message seq, units from `from` on only. */
static void answer(uint64_t seq, uint32_t status, uint32_t len, const uint8_t *bytes, uint32_t from)
{
    struct gq_unit *line = gq_express_line(&lane->view, lane->view.out_express, seq);
    for (uint32_t i = from; i < gq_express_units(bytes ? len : 0); i++) {
        uint64_t data = i == 0 ? gq_meta(1, 0, status, 7) : len;
        if (i >= GQ_EXPRESS_HEAD)
            memcpy(&data, bytes + (i - GQ_EXPRESS_HEAD) * 8, 8);
        gq_store_unit(&line[i], seq + 1, data);
    }
}

static uint64_t put(const uint8_t *bytes, uint32_t len)
{
    uint64_t seq;
    ck_assert_uint_eq(gq_lane_claim(lane, 1, 0, &seq), 1);
    memcpy(gq_lane_slot(lane, seq), bytes, len);
    gq_lane_publish(lane, &len, 1, 0);
    return seq;
}

static gq_status fetch(uint64_t seq, uint8_t *bytes, size_t *len)
{
    uint64_t meta;
    *len = SLOT_BYTES;
    return gq_lane_fetch(lane, seq, bytes, len, &meta);
}

static const uint8_t *noise(uint32_t seed)
{
    static uint8_t bytes[SLOT_BYTES + 8];
    for (uint32_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(seed = seed * 1664525u + 1013904223u);
    return bytes;
}

START_TEST(every_length_goes_and_comes_whole)
{
    uint8_t got[SLOT_BYTES + 8];
    for (uint32_t length = 0; length <= GQ_EXPRESS_BYTES_MAX; length++) {
        uint32_t len;
        size_t back;
        const uint64_t seq = put(noise(length), length);
        ck_assert(read_line(seq, &len, got));
        ck_assert_uint_eq(len, length);
        ck_assert_mem_eq(got, noise(length), length);
        ck_assert_int_eq(fetch(seq, got, &back), GQ_ERR_NOT_READY);
        answer(seq, GQ_RESULT_OK, length, noise(length + 1), 0);
        ck_assert(gq_lane_has_results(lane));
        ck_assert_int_eq(fetch(seq, got, &back), GQ_OK);
        ck_assert_uint_eq(back, length);
        ck_assert_mem_eq(got, noise(length + 1), length);
    }
}
END_TEST

START_TEST(an_answer_that_lacks_one_unit_is_not_there_yet)
{
    uint8_t got[SLOT_BYTES];
    size_t back;
    for (uint32_t lap = 0; lap < 3 * GQ_EXPRESS_LINES; lap++) {
        const uint64_t seq = put(noise(lap), 64);
        for (uint32_t missing = gq_express_units(64); missing > 0; missing--) {
            ck_assert_int_eq(fetch(seq, got, &back), GQ_ERR_NOT_READY);
            answer(seq, GQ_RESULT_OK, 64, noise(lap), missing - 1);
        }
        ck_assert_int_eq(fetch(seq, got, &back), GQ_OK);
        ck_assert_mem_eq(got, noise(lap), 64);
    }
}
END_TEST

START_TEST(a_slot_answers_a_message_that_went_by_express_too)
{
    uint8_t got[SLOT_BYTES];
    size_t back;
    const uint64_t seq = put(noise(1), 64);
    memcpy(gq_slot_out(&lane->view, seq), noise(2), 64);
    gq_slot_finish(&lane->view, seq, 64, gq_meta(1, 0, GQ_RESULT_OK, 0));
    ck_assert_int_eq(fetch(seq, got, &back), GQ_OK);
    ck_assert_mem_eq(got, noise(2), 64);
}
END_TEST

START_TEST(only_small_messages_of_a_lane_that_is_nearly_empty_go_by_express)
{
    uint8_t got[SLOT_BYTES];
    uint32_t len;
    ck_assert(!read_line(put(noise(1), GQ_EXPRESS_BYTES_MAX + 1), &len, got));
    for (uint64_t seq = 1; seq < GQ_EXPRESS_LINES; seq++)
        ck_assert(read_line(put(noise(1), 8), &len, got));
    /* One more would take the line of a message that is not released: its answer may be on its way. */
    ck_assert(!read_line(put(noise(1), 8), &len, got));
    for (uint64_t seq = 0; seq < GQ_EXPRESS_LINES; seq++)
        answer(seq, GQ_RESULT_DROPPED, 0, NULL, 0);
}
END_TEST

START_TEST(results_in_place_stay_until_they_are_released)
{
    struct gq_lane_result r[4];
    uint64_t seqs[4];
    for (uint32_t i = 0; i < 4; i++) {
        seqs[i] = put(noise(i), 100);
        answer(seqs[i], GQ_RESULT_OK, 100, noise(i + 10), 0);
    }
    ck_assert_uint_eq(gq_lane_take(lane, true, r, 4), 4);
    for (uint32_t i = 0; i < 4; i++) {
        answer(seqs[i], GQ_RESULT_OK, 100, noise(99), 0); /* a worker that writes twice changes nothing */
        ck_assert_uint_eq(r[i].len, 100);
        ck_assert_mem_eq(r[i].data, noise(i + 10), 100);
    }
    ck_assert_int_eq(gq_lane_release(lane, seqs, 4), GQ_OK);
    ck_assert(gq_lane_idle(lane));
}
END_TEST

START_TEST(drops_and_failures_come_by_express_too)
{
    uint8_t got[SLOT_BYTES];
    size_t back;
    const uint64_t dropped = put(noise(1), 8), failed = put(noise(2), 8);
    answer(dropped, GQ_RESULT_DROPPED, 0, noise(0), 0);
    answer(failed, GQ_RESULT_FAILED, 0, noise(0), 0);
    ck_assert_int_eq(fetch(failed, got, &back), GQ_ERR_DEVICE);
    ck_assert_int_eq(fetch(dropped, got, &back), GQ_ERR_NOT_FOUND);
    struct gq_lane_counts c;
    gq_lane_get_counts(lane, &c);
    ck_assert_uint_eq(c.dropped, 1);
    ck_assert_uint_eq(c.failed, 1);
    ck_assert(gq_lane_idle(lane));
}
END_TEST

START_TEST(a_length_beyond_the_line_is_no_read_beyond_it)
{
    uint8_t got[SLOT_BYTES];
    size_t back;
    const uint64_t seq = put(noise(1), 8);
    struct gq_unit *line = gq_express_line(&lane->view, lane->view.out_express, seq);
    gq_store_unit(&line[0], seq + 1, gq_meta(1, 0, GQ_RESULT_OK, 0));
    gq_store_unit(&line[1], seq + 1, GQ_EXPRESS_BYTES_MAX + 1);
    ck_assert_int_eq(fetch(seq, got, &back), GQ_ERR_DEVICE);
    ck_assert_uint_eq(back, 0);
}
END_TEST

/* As if all messages below `seq` had come and gone. */
static void jump_to(uint64_t seq)
{
    lane->claimed = lane->submitted = lane->released = lane->seen = seq;
    lane->room_end = seq + CAPACITY;
}

/* Messages one at a time, each answered as the host permits it. Returns how many went by express. */
static uint32_t ping_pong(uint32_t count)
{
    uint8_t got[SLOT_BYTES];
    uint32_t expressed = 0, len;
    size_t back;
    for (uint32_t i = 0; i < count; i++) {
        const uint64_t seq = put(noise(i), 8);
        const bool express = read_line(seq, &len, got);
        ck_assert_int_eq(fetch(seq, got, &back), GQ_ERR_NOT_READY);
        if (express)
            answer(seq, GQ_RESULT_OK, 8, noise(i), 0);
        else
            gq_slot_finish(&lane->view, seq, 0, gq_meta(1, 0, GQ_RESULT_DROPPED, 0));
        ck_assert_int_eq(fetch(seq, got, &back), express ? GQ_OK : GQ_ERR_NOT_FOUND);
        expressed += express;
    }
    return expressed;
}

/* A descriptor's stamp has 32 bits, and an answer by express leaves the descriptor as it was. */
START_TEST(an_old_descriptor_is_never_taken_for_an_answer)
{
    const uint64_t half = 1ull << 31;
    ck_assert_uint_eq(ping_pong(2 * CAPACITY), 2 * CAPACITY);
    jump_to(half - CAPACITY - 8);
    ck_assert_uint_lt(ping_pong(2 * CAPACITY + 8), 2 * CAPACITY + 8);
    jump_to(2 * half - CAPACITY - 8); /* stamp 0 is among these, and then those of the first messages come again */
    ck_assert_uint_lt(ping_pong(4 * CAPACITY), 4 * CAPACITY);
    jump_to(3 * half - CAPACITY - 8);
    ping_pong(2 * CAPACITY + 8);
    jump_to(4 * half - CAPACITY - 8);
    ping_pong(4 * CAPACITY);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {every_length_goes_and_comes_whole,
                                  an_answer_that_lacks_one_unit_is_not_there_yet,
                                  a_slot_answers_a_message_that_went_by_express_too,
                                  only_small_messages_of_a_lane_that_is_nearly_empty_go_by_express,
                                  results_in_place_stay_until_they_are_released,
                                  drops_and_failures_come_by_express_too,
                                  a_length_beyond_the_line_is_no_read_beyond_it,
                                  an_old_descriptor_is_never_taken_for_an_answer};
    return unit_run("express", tests, sizeof tests / sizeof *tests, set_up, tear_down);
}
