/* What the host does not believe of a worker: that of one that has ended it makes again, and what came by code that had
 * been replaced before is nobody's. */
#include "lane_played.h"

static gq_status fetch(uint64_t seq)
{
    uint64_t word, meta;
    size_t len = sizeof word;
    return gq_lane_fetch(lane, seq, &word, &len, &meta);
}

START_TEST(what_nobody_was_handed_is_made_again)
{
    struct gq_lane_result held[2], r[CAPACITY];
    const struct gq_lane_ending given_up = {.id = gq_slot_id(0, 3), .meta = gq_meta(3, 0, GQ_RESULT_FAULTED, 0)};
    put(CAPACITY);
    renew(lane, &given_up, 1);
    for (uint64_t seq = 0; seq < 6; seq++)
        if (seq != 3)
            work(seq, seq == 4 ? GQ_RESULT_FAILED : GQ_RESULT_OK);
    ck_assert_uint_eq(gq_lane_take(lane, true, held, 2), 2);
    ck_assert_uint_eq(gq_lane_unfinished_below(lane, CAPACITY), 2);
    gq_lane_distrust(lane);
    ck_assert(!gq_lane_has_results(lane));
    ck_assert_uint_eq(gq_lane_take(lane, true, r, CAPACITY), 0);
    ck_assert_int_eq(fetch(2), GQ_ERR_NOT_READY);
    ck_assert_int_eq(fetch(3), GQ_ERR_DEVICE); /* the host's own word */
    ck_assert_uint_eq(gq_lane_unfinished(lane), 5);
    ck_assert_uint_eq(gq_lane_unfinished_below(lane, CAPACITY), 5);
    ck_assert(gq_lane_has_good(lane, 3)); /* that the code has served is true */
    const struct gq_lane_range range = renew(lane, NULL, 0);
    ck_assert(range.first == 0 && range.mixed == CAPACITY);
    ck_assert(word_of(&held[0]) == 0 && word_of(&held[1]) == 1);
    ck_assert_uint_eq(gq_lane_take(lane, true, r, CAPACITY), 0);
    for (uint64_t seq = 2; seq < CAPACITY; seq++)
        ck_assert_int_eq(gq_lane_is_open(lane, gq_slot_id(0, seq)), seq != 3);
    for (uint64_t seq = 2; seq < CAPACITY; seq++)
        if (seq != 3)
            work(seq, GQ_RESULT_OK);
    ck_assert(gq_lane_has_results(lane));
    ck_assert_uint_eq(gq_lane_take(lane, true, r, CAPACITY), 5);
    ck_assert(r[0].seq == 2 && r[1].seq == 4 && gq_meta_status(r[1].meta) == GQ_RESULT_OK && r[4].seq == 7);
}
END_TEST

START_TEST(what_was_given_up_is_handed_out_of_a_distrusted_lane)
{
    struct gq_lane_result r;
    const struct gq_lane_ending given_up = {.id = gq_slot_id(0, 0), .meta = gq_meta(3, 0, GQ_RESULT_FAULTED, 0)};
    put(1);
    renew(lane, &given_up, 1);
    gq_lane_distrust(lane);
    ck_assert(gq_lane_has_results(lane));
    ck_assert_uint_eq(gq_lane_take(lane, true, &r, 1), 1);
    ck_assert_uint_eq(gq_meta_status(r.meta), GQ_RESULT_FAULTED);
}
END_TEST

START_TEST(what_was_reported_by_a_poll_can_be_fetched_when_it_is_made_again)
{
    struct gq_lane_result r;
    put(1);
    work(0, GQ_RESULT_OK);
    ck_assert_uint_eq(gq_lane_take(lane, false, &r, 1), 1);
    gq_lane_mute_next(lane); /* beside such a one it is looked at with the lock, too */
    put(1);
    memset(gq_slot_out(&lane->view, 0), 0xff, sizeof(uint64_t)); /* the device wrote over it, */
    lane->view.out_desc[0].state = 0;                            /* and over its words */
    gq_lane_distrust(lane);
    ck_assert_int_eq(fetch(0), GQ_ERR_NOT_READY);
    ck_assert_uint_eq(gq_lane_unfinished(lane), 2); /* a drain waits for it, */
    renew(lane, NULL, 0);
    ck_assert_int_eq(fetch(0), GQ_ERR_NOT_READY);
    ck_assert_uint_eq(gq_lane_unfinished(lane), 2); /* and goes on to */
    work(0, GQ_RESULT_OK);
    uint64_t word, meta;
    size_t len = sizeof word;
    ck_assert_int_eq(gq_lane_fetch(lane, 0, &word, &len, &meta), GQ_OK);
    ck_assert_uint_eq(word, 0);
}
END_TEST

START_TEST(what_is_held_keeps_its_bytes_whatever_its_words_say)
{
    struct gq_lane_result r[3];
    uint32_t len;
    uint64_t meta;
    put(3);
    for (uint64_t seq = 0; seq < 3; seq++)
        work(seq, GQ_RESULT_OK);
    ck_assert_uint_eq(gq_lane_take(lane, true, r, 3), 3);
    lane->view.out_desc[1].state = 0;                                      /* the device wrote over it, */
    gq_slot_finish(&lane->view, 2, 0, gq_meta(3, 0, GQ_RESULT_FAILED, 7)); /* or answered it again */
    for (uint32_t epoch = 0; epoch < 3; epoch++) {
        gq_lane_distrust(lane);
        for (uint64_t seq = 0; seq < 3; seq++)
            ck_assert(!gq_lane_is_open(lane, gq_slot_id(0, seq)));
        renew(lane, NULL, 0);
        for (uint64_t seq = 0; seq < 3; seq++) {
            ck_assert_uint_eq(word_of(&r[seq]), seq);
            ck_assert(gq_slot_ready(&lane->view, seq, &len, &meta)); /* the next worker does not serve it */
        }
    }
}
END_TEST

START_TEST(what_a_trial_has_ended_is_not_made_again)
{
    struct gq_lane_result r[2];
    uint64_t word = 77;
    const struct gq_lane_ending ending = {
        .id = gq_slot_id(0, 1), .len = sizeof word, .meta = gq_meta(3, 0, GQ_RESULT_OK, 0), .data = (uint8_t *)&word};
    put(3);
    renew(lane, &ending, 1);
    for (uint32_t epoch = 0; epoch < 3; epoch++) {
        work(0, GQ_RESULT_OK); /* by each worker */
        gq_lane_distrust(lane);
        ck_assert(gq_lane_is_open(lane, gq_slot_id(0, 0)) && !gq_lane_is_open(lane, gq_slot_id(0, 1)));
        renew(lane, NULL, 0);
    }
    work(0, GQ_RESULT_OK);
    ck_assert_uint_eq(gq_lane_take(lane, true, r, 2), 2);
    ck_assert_uint_eq(word_of(&r[1]), 77);
    ck_assert_int_eq(gq_lane_release_run(lane, 0, 2), GQ_OK);
    put(CAPACITY - 1);
    work(CAPACITY + 1, GQ_RESULT_OK); /* in its slot, a lap later */
    gq_lane_distrust(lane);
    ck_assert(gq_lane_is_open(lane, gq_slot_id(0, CAPACITY + 1)));
}
END_TEST

/* Nobody would end the trial's worker for it. */
START_TEST(words_of_a_trial_that_no_worker_writes_are_an_error_without_bytes)
{
    struct gq_lane_result r;
    const struct gq_lane_ending ending = {
        .id = gq_slot_id(0, 0), .len = SLOT_BYTES + 1, .meta = gq_meta(3, 0, GQ_RESULT_OK, 0)};
    put(1);
    renew(lane, &ending, 1);
    ck_assert_uint_eq(gq_lane_take(lane, true, &r, 1), 1);
    ck_assert_uint_eq(gq_meta_status(r.meta), GQ_RESULT_OVERFLOW);
    ck_assert(!link_.foul);
}
END_TEST

START_TEST(what_was_taken_out_of_order_stays_so)
{
    put(3);
    work(1, GQ_RESULT_OK);
    ck_assert_int_eq(fetch(1), GQ_OK);
    gq_lane_distrust(lane);
    ck_assert_int_eq(fetch(1), GQ_ERR_NOT_FOUND);
    ck_assert_uint_eq(gq_lane_unfinished(lane), 2);
}
END_TEST

/* It will not be served again, so nobody can be told to wait. */
START_TEST(what_a_trusted_renewal_kept_and_somebody_wrote_over_is_lost)
{
    struct gq_lane_result r;
    put(1);
    work(0, GQ_RESULT_OK);
    ck_assert_uint_eq(gq_lane_take(lane, false, &r, 1), 1);
    renew(lane, NULL, 0);
    lane->view.out_desc[0].state = 0;
    gq_lane_mute_next(lane);
    put(1);
    ck_assert_int_eq(fetch(0), GQ_ERR_DEVICE);
}
END_TEST

START_TEST(what_a_source_made_before_a_change_was_answered_by_the_code_before)
{
    const struct gq_lane_opts opts = {
        .lane = 1, .capacity = CAPACITY, .slot_bytes = SLOT_BYTES, .generated = true, .index_step = 1, .count = 1000};
    struct gq_lane_result r[CAPACITY];
    struct gq_lane *made;
    ck_assert_int_eq(gq_lane_create(&opts, &link_, &made), GQ_OK);
    writable(made->view.out_head, made->out_bytes);
    for (uint64_t seq = 0; seq < CAPACITY; seq++)
        gq_slot_finish(&made->view, seq, 0, gq_meta(1, 0, GQ_RESULT_OK, 0));
    gq_lane_expect(made, 0, 2);
    ck_assert_uint_eq(gq_lane_take(made, true, r, CAPACITY), CAPACITY);
    ck_assert(!link_.foul);
    ck_assert_int_eq(gq_lane_release_run(made, 0, CAPACITY), GQ_OK);
    gq_slot_finish(&made->view, CAPACITY, 0, gq_meta(1, 0, GQ_RESULT_OK, 0));
    ck_assert_uint_eq(gq_lane_take(made, true, r, CAPACITY), 0);
    ck_assert(link_.foul);
    gq_lane_destroy(made);
}
END_TEST

/* Behind `seq` messages, code of generation 5 is live in stage 1. */
START_TEST(what_came_as_far_as_a_change_was_answered_by_its_code)
{
    struct gq_lane_result r[CAPACITY];
    put(2);
    gq_lane_expect(lane, 1, 5);
    put(5);
    const struct {
        uint32_t generation, stage, status;
        bool due;
    } answers[] = {{3, 1, GQ_RESULT_OK, true},     {3, 1, GQ_RESULT_FAILED, true}, /* they came before */
                   {5, 2, GQ_RESULT_OK, true},     {4, 0, GQ_RESULT_DROPPED, true}, {4, 0, GQ_RESULT_FAILED, true},
                   {6, 1, GQ_RESULT_FAILED, true}, {3, 1, GQ_RESULT_FAULTED, true}};
    for (uint64_t seq = 0; seq < 7; seq++)
        gq_slot_finish(&lane->view, seq, 0,
                       gq_meta(answers[seq].generation, answers[seq].stage, answers[seq].status, 0));
    ck_assert_uint_eq(gq_lane_take(lane, true, r, CAPACITY), 6); /* one was dropped */
    ck_assert(!link_.foul);
    put(1);
    for (uint32_t status = GQ_RESULT_OK; status <= GQ_RESULT_FAILED; status++) {
        gq_slot_finish(&lane->view, 7, 0, gq_meta(4, 1, status, 0));
        ck_assert_uint_eq(gq_lane_take(lane, true, r, CAPACITY), 0);
        ck_assert(link_.foul);
        link_.foul = 0;
    }
}
END_TEST

/* Message 0 came before both changes, 1 to 4 between them, 5 to 7 behind both. */
START_TEST(a_message_between_two_changes_was_answered_by_the_first_ones_code)
{
    const struct {
        uint64_t seq;
        uint32_t generation, stage, status;
        bool due;
    } answers[] = {{0, 4, 2, GQ_RESULT_OK, true},      {1, 4, 2, GQ_RESULT_OK, false},
                   {1, 5, 2, GQ_RESULT_OK, true},      {2, 4, 1, GQ_RESULT_FAILED, true},
                   {3, 4, 2, GQ_RESULT_FAILED, false}, {3, 6, 2, GQ_RESULT_FAILED, true},
                   {4, 6, 2, GQ_RESULT_OK, true},      {5, 5, 2, GQ_RESULT_OK, false},
                   {5, 6, 2, GQ_RESULT_OK, true},      {6, 5, 0, GQ_RESULT_FAILED, false},
                   {6, 6, 0, GQ_RESULT_FAILED, true},  {7, 4, GQ_CRUMB_SOURCE, GQ_RESULT_FAILED, true}};
    put(1);
    gq_lane_expect(lane, 2, 5);
    put(4);
    gq_lane_expect(lane, 0, 6);
    gq_lane_expect(lane, 0, 6); /* again is nothing */
    put(3);
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        struct gq_lane_result r;
        const uint64_t seq = answers[i].seq;
        gq_slot_finish(&lane->view, seq, 0, gq_meta(answers[i].generation, answers[i].stage, answers[i].status, 0));
        ck_assert_uint_eq(gq_lane_take(lane, true, &r, 1), answers[i].due);
        ck_assert_uint_eq(link_.foul, !answers[i].due);
        link_.foul = 0;
    }
}
END_TEST

/* Each change with one message behind it; all results are there when the first is taken. */
START_TEST(results_of_several_changes_are_taken_in_one_go)
{
    struct gq_lane_result r[CAPACITY];
    for (uint32_t i = 0; i < GQ_DUES + 2; i++) {
        put(1);
        gq_lane_expect(lane, 0, 5 + i);
    }
    for (uint32_t i = 0; i < GQ_DUES + 2; i++)
        gq_slot_finish(&lane->view, i, 0, gq_meta(4 + i, 0, GQ_RESULT_OK, 0));
    ck_assert_uint_eq(gq_lane_take(lane, true, r, CAPACITY), GQ_DUES + 2);
    ck_assert(!link_.foul);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {what_nobody_was_handed_is_made_again,
                                  what_was_given_up_is_handed_out_of_a_distrusted_lane,
                                  what_was_reported_by_a_poll_can_be_fetched_when_it_is_made_again,
                                  what_is_held_keeps_its_bytes_whatever_its_words_say,
                                  what_a_trial_has_ended_is_not_made_again,
                                  words_of_a_trial_that_no_worker_writes_are_an_error_without_bytes,
                                  what_was_taken_out_of_order_stays_so,
                                  what_a_trusted_renewal_kept_and_somebody_wrote_over_is_lost,
                                  what_a_source_made_before_a_change_was_answered_by_the_code_before,
                                  what_came_as_far_as_a_change_was_answered_by_its_code,
                                  a_message_between_two_changes_was_answered_by_the_first_ones_code,
                                  results_of_several_changes_are_taken_in_one_go};
    return unit_run("lane_distrust", tests, sizeof tests / sizeof *tests, set_up, tear_down);
}
