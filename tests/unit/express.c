/* Express lines seen from the host, against a device played by the test. */
#include "lane_support.h"
#include <stdlib.h>
#include <string.h>

#define CAPACITY 32u
#define SLOT_BYTES 2000u /* more than a line carries */

static struct gq_link link_;
static struct gq_lane *lane;

static void make_lane(uint32_t capacity)
{
    struct gq_lane_opts opts = {.lane = 3, .capacity = capacity, .slot_bytes = SLOT_BYTES};
    ck_assert_int_eq(gq_lane_create(&opts, &link_, &lane), GQ_OK);
    writable(lane->view.out_head, lane->out_bytes);
}

static void set_up(void)
{
    ck_assert_int_eq(gq_link_create(&link_), GQ_OK);
    link_.express = true;
    make_lane(CAPACITY);
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

/* A message whose answer says that it is longer than a line. */
static uint64_t put_and_answer_too_long(void)
{
    const uint64_t seq = put(noise(1), 8);
    struct gq_unit *line = gq_express_line(&lane->view, lane->view.out_express, seq);
    gq_store_unit(&line[0], seq + 1, gq_meta(1, 0, GQ_RESULT_OK, 0));
    gq_store_unit(&line[1], seq + 1, GQ_EXPRESS_BYTES_MAX + 1);
    return seq;
}

START_TEST(a_length_beyond_the_line_is_no_read_beyond_it)
{
    uint8_t got[SLOT_BYTES];
    size_t back;
    const uint64_t seq = put_and_answer_too_long();
    ck_assert_int_eq(fetch(seq, got, &back), GQ_ERR_NOT_READY);
    ck_assert_uint_eq(link_.foul, GQ_FOUL_SCRAWLED);
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

/* --- another worker takes over --------------------------------------------------------------------------------------
 */

/* The message's result lies in its slot, where the next worker finds it. */
static bool lies_in_slot(uint64_t seq, uint32_t status, uint32_t length, const uint8_t *bytes)
{
    uint32_t len;
    uint64_t meta;
    return gq_slot_ready(&lane->view, seq, &len, &meta) && gq_meta_status(meta) == status && gq_meta_code(meta) == 7 &&
           gq_meta_generation(meta) == 1 &&
           (!bytes || (len == length && memcmp(gq_slot_out(&lane->view, seq), bytes, len) == 0));
}

static bool is_open(uint64_t seq) { return gq_lane_is_open(lane, gq_slot_id(3, seq)); }

/* The next worker: it answers in the slot. */
static void answer_in_slot(uint64_t seq, uint32_t len, const uint8_t *bytes)
{
    memcpy(gq_slot_out(&lane->view, seq), bytes, len);
    gq_slot_finish(&lane->view, seq, len, gq_meta(2, 0, GQ_RESULT_OK, 0));
}

static void tear_unit(uint64_t seq, uint32_t unit)
{
    gq_store_unit(&gq_express_line(&lane->view, lane->view.out_express, seq)[unit], 0, 0);
}

START_TEST(an_answer_that_came_by_express_is_in_its_slot_for_the_next_worker)
{
    struct gq_lane_result r[8];
    uint8_t got[SLOT_BYTES];
    size_t back;
    for (uint32_t i = 0; i < 8; i++)
        ck_assert_uint_eq(put(noise(i), 100), i);
    answer(0, GQ_RESULT_OK, 9, noise(10), 0);
    answer(1, GQ_RESULT_OK, 100, noise(11), 0);
    answer(2, GQ_RESULT_DROPPED, 0, noise(0), 0);
    answer(3, GQ_RESULT_OK, 101, noise(13), 0);
    answer(4, GQ_RESULT_FAILED, 0, noise(0), 0);
    answer(5, GQ_RESULT_OK, 0, noise(0), 0);
    ck_assert_int_eq(fetch(0, got, &back), GQ_OK);
    ck_assert_int_eq(fetch(4, got, &back), GQ_ERR_DEVICE);
    for (uint64_t seq = 0; seq < 8; seq++) /* suspects are looked for before the renewal */
        ck_assert_int_eq(is_open(seq), seq > 5);
    ck_assert(gq_lane_has_good(lane, 1) && !gq_lane_has_good(lane, 2));
    const struct gq_lane_range range = renew(lane, NULL, 0);
    ck_assert(range.first == 1 && range.mixed == 8);
    ck_assert(!lies_in_slot(0, GQ_RESULT_OK, 9, NULL)); /* nobody asks for it again */
    ck_assert(lies_in_slot(1, GQ_RESULT_OK, 100, noise(11)));
    ck_assert(lies_in_slot(2, GQ_RESULT_DROPPED, 0, NULL));
    ck_assert(lies_in_slot(3, GQ_RESULT_OK, 101, noise(13)));
    ck_assert(lies_in_slot(4, GQ_RESULT_FAILED, 0, NULL)); /* it was taken, and must not be served again */
    ck_assert(lies_in_slot(5, GQ_RESULT_OK, 0, noise(0)));
    for (uint64_t seq = 0; seq < 8; seq++)
        ck_assert_int_eq(is_open(seq), seq > 5);
    answer_in_slot(6, 50, noise(16));
    answer_in_slot(7, 51, noise(17));
    ck_assert_uint_eq(gq_lane_take(lane, true, r, 8), 5);
    const uint64_t seqs[] = {1, 3, 5, 6, 7};
    for (uint32_t i = 0; i < 5; i++) {
        ck_assert(r[i].seq == seqs[i] && gq_meta_status(r[i].meta) == GQ_RESULT_OK);
        ck_assert_mem_eq(r[i].data, noise(10 + (uint32_t)r[i].seq), r[i].len);
    }
    ck_assert_int_eq(gq_lane_release(lane, seqs, 5), GQ_OK);
    ck_assert_uint_eq(ping_pong(2 * GQ_EXPRESS_LINES), 2 * GQ_EXPRESS_LINES); /* express goes on */
}
END_TEST

/* It was written into its line, and its producer has not written the descriptor yet. */
START_TEST(an_answer_may_come_before_its_message_has_a_descriptor)
{
    uint8_t got[SLOT_BYTES];
    size_t back;
    for (uint32_t i = 0; i < 3; i++)
        put(noise(i), 64);
    uint64_t *const words = lane->view.in_desc, word = words[1];
    words[0] = words[1] = 0;
    answer(0, GQ_RESULT_OK, 9, noise(10), 0);
    ck_assert(!is_open(1) && is_open(2));
    const struct gq_lane_range range = renew(lane, NULL, 0);
    ck_assert(range.first == 0 && range.mixed == 1);
    ck_assert(lies_in_slot(0, GQ_RESULT_OK, 9, noise(10)));
    ck_assert_int_eq(fetch(0, got, &back), GQ_OK);
    words[1] = word;
    ck_assert(is_open(1));
}
END_TEST

START_TEST(half_an_answer_is_none_for_the_next_worker)
{
    struct gq_lane_result r[8];
    const uint32_t units = gq_express_units(64);
    for (uint32_t i = 0; i < 4; i++)
        put(noise(i), 64);
    answer(0, GQ_RESULT_OK, 64, noise(0), 0), tear_unit(0, units - 1);
    answer(1, GQ_RESULT_OK, 64, noise(0), 1);
    answer(2, GQ_RESULT_OK, 64, noise(0), 0), tear_unit(2, 1);
    answer(3, GQ_RESULT_OK, 64, noise(0), 0), tear_unit(3, GQ_EXPRESS_HEAD);
    ck_assert(!gq_lane_has_good(lane, 1));
    const struct gq_lane_range range = renew(lane, NULL, 0);
    ck_assert(range.first == 0 && range.mixed == 4);
    ck_assert_uint_eq(gq_lane_take(lane, true, r, 8), 0);
    for (uint32_t i = 0; i < 4; i++) {
        ck_assert(is_open(i) && !lies_in_slot(i, GQ_RESULT_OK, 64, NULL));
        answer_in_slot(i, 30, noise(20 + i));
    }
    ck_assert_uint_eq(gq_lane_take(lane, true, r, 8), 4);
    for (uint32_t i = 0; i < 4; i++) {
        ck_assert_uint_eq(r[i].len, 30);
        ck_assert_mem_eq(r[i].data, noise(20 + i), 30);
    }
}
END_TEST

/* What was read before the worker died is held at its address, in the host's own memory. */
START_TEST(an_answer_that_is_held_stays_where_it_is_when_another_worker_takes_over)
{
    struct gq_lane_result held[3], r;
    for (uint32_t i = 0; i < 4; i++) {
        put(noise(i), 200);
        answer(i, GQ_RESULT_OK, 200 - i, noise(30 + i), 0);
    }
    ck_assert_uint_eq(gq_lane_take(lane, true, held, 3), 3);
    ck_assert_int_eq(gq_lane_release(lane, (const uint64_t[]){1}, 1), GQ_OK); /* out of order */
    for (uint32_t lap = 0; lap < 2; lap++) {
        const struct gq_lane_range range = renew(lane, NULL, 0);
        ck_assert(range.first == 0 && range.mixed == 4);
        for (uint32_t i = 0; i < 3; i += 2) {
            ck_assert_uint_eq(held[i].len, 200 - i);
            ck_assert_mem_eq(held[i].data, noise(30 + i), 200 - i);
        }
        for (uint32_t i = 0; i < 4; i++)
            ck_assert(lies_in_slot(i, GQ_RESULT_OK, 200 - i, noise(30 + i)));
    }
    ck_assert_int_eq(gq_lane_release(lane, (const uint64_t[]){0, 2}, 2), GQ_OK);
    ck_assert_uint_eq(gq_lane_take(lane, true, &r, 1), 1);
    ck_assert_uint_eq(r.seq, 3);
    ck_assert_mem_eq(r.data, noise(33), 197);
}
END_TEST

/* The host may have copied the answer out, and nobody was handed it. */
START_TEST(an_answer_that_is_not_believed_is_made_again)
{
    struct gq_lane_result r;
    put(noise(0), 64);
    answer(0, GQ_RESULT_OK, 64, noise(1), 0);
    ck_assert(gq_lane_has_good(lane, 1));
    gq_lane_distrust(lane);
    ck_assert(!gq_lane_has_results(lane));
    const struct gq_lane_range range = renew(lane, NULL, 0);
    ck_assert(range.first == 0 && range.mixed == 1 && is_open(0));
    ck_assert_uint_eq(gq_lane_take(lane, true, &r, 1), 0);
    answer_in_slot(0, 30, noise(2));
    ck_assert_uint_eq(gq_lane_take(lane, true, &r, 1), 1);
    ck_assert_uint_eq(r.len, 30);
    ck_assert_mem_eq(r.data, noise(2), 30);
}
END_TEST

START_TEST(a_lane_of_fewer_slots_than_lines_goes_on_too)
{
    struct gq_lane_result held, r[4];
    uint8_t got[SLOT_BYTES];
    size_t back;
    gq_lane_destroy(lane);
    make_lane(4);
    for (uint32_t i = 0; i < 4; i++) {
        put(noise(i), 64);
        answer(i, GQ_RESULT_OK, 64, noise(40 + i), 0);
    }
    ck_assert_int_eq(fetch(0, got, &back), GQ_OK);
    ck_assert_int_eq(fetch(1, got, &back), GQ_OK);
    ck_assert_uint_eq(gq_lane_take(lane, true, &held, 1), 1);
    for (uint32_t i = 4; i < 6; i++) {
        put(noise(i), 64);
        answer(i, GQ_RESULT_OK, 64, noise(40 + i), i - 4); /* 5 lacks its first unit */
    }
    const struct gq_lane_range range = renew(lane, NULL, 0);
    ck_assert(range.first == 2 && range.mixed == 6);
    for (uint64_t seq = 2; seq < 5; seq++)
        ck_assert(lies_in_slot(seq, GQ_RESULT_OK, 64, noise(40 + (uint32_t)seq)));
    ck_assert(!lies_in_slot(1, GQ_RESULT_OK, 64, NULL) && !lies_in_slot(5, GQ_RESULT_OK, 64, NULL) && is_open(5));
    ck_assert(held.seq == 2 && held.len == 64);
    ck_assert_mem_eq(held.data, noise(42), 64);
    answer_in_slot(5, 64, noise(45));
    ck_assert_uint_eq(gq_lane_take(lane, true, r, 4), 3);
    for (uint32_t i = 0; i < 3; i++)
        ck_assert_mem_eq(r[i].data, noise(43 + i), 64);
}
END_TEST

START_TEST(a_length_beyond_the_line_is_none_for_the_next_worker_either)
{
    uint8_t got[SLOT_BYTES];
    size_t back;
    const uint64_t seq = put_and_answer_too_long();
    renew(lane, NULL, 0);
    ck_assert(is_open(seq));
    ck_assert_int_eq(fetch(seq, got, &back), GQ_ERR_NOT_READY);
}
END_TEST

/* Answers by express leave the fresh descriptors zero for any number of laps, and 0 is a stamp. */
START_TEST(a_fresh_descriptor_is_never_taken_for_an_answer)
{
    const uint64_t half = 1ull << 31;
    jump_to(half + 8);
    renew(lane, NULL, 0);
    ck_assert_uint_eq(ping_pong(CAPACITY), CAPACITY);
    jump_to(2 * half - CAPACITY - 8);
    ck_assert_uint_lt(ping_pong(4 * CAPACITY), 4 * CAPACITY);
}
END_TEST

/* As gq_lane_publish() does it, by a producer that loses its processor before it raises `submitted`. */
START_TEST(what_went_by_express_before_a_change_was_answered_by_the_code_before)
{
    struct gq_lane_result r;
    uint64_t seq;
    const uint32_t len = 8;
    const uint8_t bytes[8] = "answer";
    ck_assert_uint_eq(gq_lane_claim(lane, 1, 0, &seq), 1);
    gq_express_send(lane->express, &lane->view, seq, len);
    answer(seq, GQ_RESULT_OK, 8, bytes, 0);
    gq_lane_expect(lane, 0, 2);
    __atomic_store_n(&lane->submitted, seq + 1, __ATOMIC_RELEASE);
    gq_slot_submit(&lane->view, seq, len);
    ck_assert_uint_eq(gq_lane_take(lane, true, &r, 1), 1);
    ck_assert(!link_.foul);
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
                                  an_old_descriptor_is_never_taken_for_an_answer,
                                  an_answer_that_came_by_express_is_in_its_slot_for_the_next_worker,
                                  an_answer_may_come_before_its_message_has_a_descriptor,
                                  half_an_answer_is_none_for_the_next_worker,
                                  an_answer_that_is_held_stays_where_it_is_when_another_worker_takes_over,
                                  an_answer_that_is_not_believed_is_made_again,
                                  a_lane_of_fewer_slots_than_lines_goes_on_too,
                                  a_length_beyond_the_line_is_none_for_the_next_worker_either,
                                  a_fresh_descriptor_is_never_taken_for_an_answer,
                                  what_went_by_express_before_a_change_was_answered_by_the_code_before};
    return unit_run("express", tests, sizeof tests / sizeof *tests, set_up, tear_down);
}
