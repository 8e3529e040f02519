/* What a device's teams are inside of, as the worker shows it. */
#include "cuda_run_support.h"

START_TEST(a_message_that_waits_is_nobodys)
{
    show();
    ck_nothing(0); /* there is none */
    cursor(0)->scout = 1;
    show();
    ck_nothing(0); /* and who looks for one has none */
    cursor(0)->scout = 0;
    put(0, 3);
    show();
    ck_nothing(0); /* behind what the scouts found, and none looks */
    cursor(0)->ready = 3;
    show();
    ck_nothing(0); /* found, and not claimed */
    cursor(0)->scout = 1;
    show();
    ck_nothing(0); /* one that looks for others does not hold it */
}
END_TEST

START_TEST(what_a_share_has_claimed_is_shown)
{
    put(0, 20);
    claim(0, 0, 5);
    show();
    ck_run(0, 5, 0);
    end(0, 0, 4);
    show();
    ck_run(4, 1, 0);
    end(0, 4, 5);
    show();
    ck_nothing(0);
    claim(0, 5, 12);
    show();
    ck_run(5, 7, 0);
}
END_TEST

START_TEST(what_a_scout_keeps_to_itself_is_shown)
{
    put(0, 100);
    cursor(0)->scout = 1;
    show();
    ck_run(0, 32, 0);
    end(0, 0, 40);
    cursor(0)->ready = 39;
    show();
    ck_run(40, 32, 0);
    end(0, 40, 41);
    cursor(0)->ready = 41; /* the first behind those that are told */
    show();
    ck_run(41, 32, 0);
    end(0, 41, 42);
    cursor(0)->ready = 43;
    show();
    ck_nothing(0);
}
END_TEST

START_TEST(a_run_ends_with_its_block)
{
    const uint64_t block = 1u << SHIFT;
    begin(CAPACITY, 64, 4 * block - 10);
    ck_assert_uint_eq(gq_block_shift(lanes[0]->view.stride), SHIFT);
    put(0, 300);
    claim(0, 4 * block - 10, 4 * block); /* its share goes on seven blocks behind */
    ck_assert_uint_eq(cursor(0)->share[3].next, 11 * block);
    show();
    ck_run(4 * block - 10, 10, 0);
    end(0, 4 * block - 10, 4 * block);
    show();
    ck_nothing(0); /* the next block is another share's */
    claim(0, 4 * block, 4 * block + 9);
    show();
    ck_run(4 * block, 9, 0);
}
END_TEST

START_TEST(a_run_ends_where_the_ring_begins_again)
{
    begin(16, 64, 32 + 5);
    put(0, 16);
    cursor(0)->scout = 1;
    show();
    ck_run(37, 11, 0);
    end(0, 37, 48);
    claim(0, 48, 53);
    show();
    ck_run(48, 5, 0);
}
END_TEST

START_TEST(a_run_is_as_long_as_its_scope_and_its_slots_permit)
{
    static const struct {
        uint32_t scope, slot_bytes, most;
    } of[] = {{0, 64, 32}, {1, 64, 4}, {2, 64, 1}, {0, 2048, 8}, {1, 2048, 4}, {1, 8192, 2}, {0, 32768, 1}};
    for (uint32_t i = 0; i < sizeof of / sizeof *of; i++) {
        begin(64, of[i].slot_bytes, 0);
        serve(of[i].scope);
        put(0, 60);
        cursor(0)->scout = 1;
        show();
        ck_run(0, of[i].most, 0);
        end(0, 0, 1);
        const uint64_t block = 1ull << gq_block_shift(lanes[0]->view.stride);
        claim(0, 1, block < 60 ? block : 60);
        show();
        ck_run(1, of[i].most, 0);
    }
}
END_TEST

/* --- steps ------------------------------------------------------------------------------------------------------- */

START_TEST(a_message_is_inside_of_the_first_step_that_has_not_handed_it_on)
{
    cuda.steps = 3;
    begin(64, 64, 7);
    put(0, 20);
    claim(0, 7, 27);
    show();
    ck_run(7, 20, 0);
    hand_on(0, 7);
    show();
    ck_nothing(0); /* it waits for the next */
    claim(1, 7, 10);
    show();
    ck_run(7, 3, 1);
    hand_on_by_express(1, 7);
    show();
    ck_nothing(0);
    cursor(2)->scout = 1;
    show();
    ck_run(7, 32, 2);
    hand_on(2, 7); /* no hop is read behind the last step: there is none */
    show();
    ck_run(7, 32, 2);
    end(0, 7, 8);
    show();
    ck_run(8, 19, 0);
}
END_TEST

START_TEST(steps_that_a_message_has_passed_between_two_looks_are_passed)
{
    cuda.steps = 3;
    put(0, 5);
    hand_on(0, 0);
    hand_on_by_express(1, 0);
    hand_on(0, 1); /* of others, later */
    hand_on(1, 1);
    claim(0, 0, 5);
    claim(1, 0, 5);
    claim(2, 0, 1);
    show();
    ck_run(0, 1, 2);
    end(0, 0, 1);
    claim(2, 1, 3);
    show();
    ck_run(1, 2, 2);
}
END_TEST

START_TEST(what_another_message_left_between_steps_does_not_hand_one_on)
{
    cuda.steps = 2;
    begin(16, 64, 32);
    put(0, 4);
    claim(0, 32, 34);
    hand_on(0, 33);
    hand_on_by_express(0, 33);
    hand_on(0, 16); /* a lap before */
    hand_on_by_express(0, 24);
    claim(1, 32, 34);
    show();
    ck_run(32, 2, 0);
}
END_TEST

START_TEST(a_run_stays_as_it_was_found_until_it_is_handed_on)
{
    cuda.steps = 2;
    put(0, 9);
    claim(0, 0, 4);
    show();
    ck_run(0, 4, 0);
    claim(0, 4, 9); /* somebody else */
    cuda.serves[0][0] = GQ_CUDA_SERVES(900, 0);
    show();
    ck_run(0, 4, 0);
    hand_on(0, 0);
    claim(1, 0, 2);
    show();
    ck_run(0, 2, 1);
    claim(1, 2, 9);
    show();
    ck_run(0, 2, 1); /* and is not looked for in the steps before */
    calls = 0;
    gq_cuda_show_runs(&cuda);
    ck_assert_uint_eq(calls, 0);
    end(0, 0, 1);
    show();
    ck_run_of(1, 8, 0, 900);
}
END_TEST

/* --- counted lanes ----------------------------------------------------------------------------------------------- */

static void count(uint64_t ended) { gq_store_unit(&lanes[0]->view.out_head->count[GQ_COUNT_OK], ended, ended); }

START_TEST(counted_messages_that_have_left_are_passed_before_they_are_counted)
{
    cuda.steps = 2;
    begin_counted(CAPACITY, 2000);
    claim(0, 0, 10);
    show();
    ck_run(0, 10, 0);
    for (uint64_t seq = 0; seq < 6; seq++)
        hand_on(0, seq), hand_on(1, seq);
    show();
    ck_run(6, 4, 0);
    hand_on(0, 6);
    claim(1, 6, 8);
    show();
    ck_run(6, 2, 1);
    count(7);
    gq_cuda_show_runs(&cuda);
    ck_nothing(0);
    show();
    ck_run(7, 3, 0);
}
END_TEST

static void leave_meanwhile(void) { hand_on_all(0, 0, 3); }

START_TEST(a_counted_message_that_leaves_during_a_look_is_in_no_step)
{
    begin_counted(64, 300);
    claim(0, 0, 3);
    cursor(1)->scout = 1; /* of who counts */
    meanwhile = leave_meanwhile;
    gq_cuda_show_runs(&cuda);
    ck_assert_ptr_null(meanwhile);
    ck_nothing(0);
    show();
    ck_nothing(0);
    claim(0, 3, 5);
    show();
    ck_run(3, 2, 0);
}
END_TEST

START_TEST(many_counted_messages_that_have_left_take_some_looks)
{
    begin_counted(CAPACITY, 3000);
    cursor(0)->scout = 1;
    hand_on_all(0, 0, 900);
    uint32_t looks = 0;
    for (; looks < 40 && page.run[0].stamp == 0; looks++)
        gq_cuda_show_runs(&cuda);
    ck_run(900, 32, 0);
    ck_assert_uint_gt(looks, 1); /* few descriptors at a time */
    hand_on_all(0, 900, CAPACITY);
    for (looks = 0; looks < 10; looks++)
        gq_cuda_show_runs(&cuda);
    ck_nothing(0); /* all have left that may be made */
    count(1000);   /* who counts is behind what was walked, or before it */
    show();
    ck_nothing(0);
    gq_slot_grant(&lanes[0]->view, 1000 + CAPACITY);
    show();
    ck_run(CAPACITY, 32, 0);
    hand_on_all(0, CAPACITY, 1500);
    count(1500);
    show();
    ck_run(1500, 32, 0);
}
END_TEST

START_TEST(descriptors_behind_the_limit_are_no_counted_messages)
{
    begin_counted(CAPACITY, 5);
    cursor(0)->scout = 1;
    hand_on_all(0, 0, 5);
    show();
    ck_nothing(0);
}
END_TEST

START_TEST(counted_descriptors_are_read_up_to_the_rings_end_and_then_from_its_start)
{
    begin_counted(64, 300);
    cursor(0)->scout = 1;
    gq_slot_grant(&lanes[0]->view, 40 + 64);
    count(40);
    hand_on_all(0, 40, 70);
    hop[0][0][64].state = (uint64_t)gq_slot_stamp(64) << 32; /* behind the ring: not one of them */
    show();
    show();
    ck_run(70, 32, 0);
}
END_TEST

START_TEST(messages_that_were_told_in_packs_have_left)
{
    cuda.steps = 2;
    begin_counted(256, 3000);
    claim(0, 0, 64);
    hand_on_pack(0, 0);
    show();
    ck_nothing(0); /* they wait for the next step */
    claim(1, 0, 32);
    show();
    ck_run(0, 32, 1);
    hand_on_pack(1, 0);
    show();
    ck_run(32, 32, 0);
    hand_on_pack(0, 32);
    hand_on_all(1, 32, 40); /* in both ways, as it comes */
    claim(1, 32, 64);
    show();
    ck_run(40, 24, 1);
    hand_on_all(1, 40, 64);
    hand_on_pack(1, 64); /* in both steps before anybody looks */
    claim(0, 64, 103);
    show();
    ck_run(96, 7, 0);
}
END_TEST

START_TEST(packs_are_read_up_to_the_rings_end_and_then_from_its_start)
{
    begin_counted(64, 300);
    cursor(0)->scout = 1;
    hand_on_pack(0, 0);
    hand_on_pack(0, 32);
    hand_on_all(0, 64, 67);
    for (uint64_t seq = 67; seq < 96; seq++)
        hand_on(0, seq - 64);
    gq_slot_grant(&lanes[0]->view, 40 + 64);
    count(40); /* in the middle of one */
    show();
    show();
    ck_run(67, 32, 0); /* the pack that lies there is that of a lap before */
    hand_on_all(0, 67, 96);
    hand_on_pack(0, 96);
    show();
    show();
    ck_nothing(0);
}
END_TEST

START_TEST(lanes_of_less_than_a_pack_have_none)
{
    begin_counted(16, 300);
    cuda.seen[0].packs = 0;
    packs[0][0][0] = (struct gq_unit){gq_pack_stamp(0), 0};
    cursor(0)->scout = 1;
    hand_on_all(0, 0, 5);
    show();
    ck_run(5, 11, 0);
}
END_TEST

/* --- generations, canaries, lanes -------------------------------------------------------------------------------- */

START_TEST(a_run_of_a_canarys_lane_has_its_generation_and_scope)
{
    put(0, 9);
    claim(0, 0, 9);
    cuda.seen[0].canary = 1;
    cuda.serves[1][0] = GQ_CUDA_SERVES(170, 1);
    show();
    ck_run_of(0, 4, 0, 170);
    cuda.seen[0].canary = 0;
    end(0, 0, 1);
    show();
    ck_run_of(1, 8, 0, GENERATION);
    cuda.serves[0][0] = GQ_CUDA_SERVES(UINT32_MAX, 2);
    end(0, 1, 2);
    show();
    ck_run_of(2, 1, 0, UINT32_MAX);
}
END_TEST

START_TEST(each_lane_has_its_place)
{
    begin_lane(1, &(struct gq_lane_opts){.lane = 200, .capacity = 64, .slot_bytes = 64, .first_seq = 1000});
    put(0, 9);
    put(1, 9);
    claim(0, 0, 9);
    grid[1].cursor[0].scout = 1;
    show();
    ck_run(0, 9, 0);
    ck_nothing(1); /* the grids do not know it yet */
    cuda.lane_count = 2;
    show();
    ck_run(0, 9, 0);
    ck_assert_uint_eq(page.run[1].stamp, gq_slot_id(200, 1000));
    ck_assert_uint_eq(GQ_RUN_COUNT(page.run[1].data), 64 - 1000 % 64);
    end(0, 0, 9);
    show();
    ck_nothing(0);
    ck_assert_uint_eq(page.run[1].stamp, gq_slot_id(200, 1000));
}
END_TEST

/* --- what may go wrong ------------------------------------------------------------------------------------------- */

/* A look in which the call `at` fails; false: so many are not made. */
static bool look_with_failure(uint32_t at)
{
    calls = 0;
    fail_call = at;
    gq_cuda_show_runs(&cuda);
    fail_call = 0;
    return calls >= at;
}

static void begin_behind_a_step(bool counted)
{
    cuda.steps = 2;
    if (counted) {
        begin_counted(64, 300);
    } else {
        begin(64, 64, 0);
        put(0, 3);
    }
    hand_on(0, 0);
    claim(0, 0, 3);
    claim(1, 0, 2);
}

static void fail_at_each_call(bool counted)
{
    uint32_t at = 1;
    for (bool made = true; made; at++) {
        begin_behind_a_step(counted);
        page.run[0] = (struct gq_unit){1, 1};
        made = look_with_failure(at);
        if (made)
            ck_nothing(0);
        show();
        ck_run(0, 2, 1);
    }
    ck_assert_uint_gt(at, 5);
}

START_TEST(what_cannot_be_read_is_not_shown)
{
    for (uint32_t on = 0; on < 2; on++) {
        fail_on = on;
        fail_at_each_call(false);
        fail_at_each_call(true);
    }
}
END_TEST

START_TEST(what_was_found_stays_though_nothing_can_be_read)
{
    cuda.steps = 2;
    put(0, 3);
    claim(0, 0, 3);
    show();
    for (uint32_t at = 1; look_with_failure(at); at++)
        ck_run(0, 3, 0);
    ck_run(0, 3, 0);
}
END_TEST

START_TEST(in_a_trial_the_teams_tell_and_the_worker_does_not)
{
    put(0, 3);
    claim(0, 0, 3);
    cuda.setup.single = true;
    page.run[0] = (struct gq_unit){77, 78};
    end(0, 0, 1);
    const struct gq_worker_page before = page;
    show();
    ck_assert_mem_eq(&page, &before, sizeof page);
    ck_assert_uint_eq(calls, 0);
}
END_TEST

START_TEST(the_heart_beats_when_a_lane_moves_and_only_then)
{
    begin_lane(1, &(struct gq_lane_opts){.lane = 200, .capacity = 64, .slot_bytes = 64});
    cuda.lane_count = 2;
    put(0, 9);
    put(1, 9);
    show();
    for (uint32_t i = 0; i < 2; i++) {
        const uint64_t before = page.crumb[0].done;
        gq_cuda_show_runs(&cuda);
        ck_assert_uint_eq(page.crumb[0].done, before);
        end(i, 0, 3);
        gq_cuda_show_runs(&cuda);
        ck_assert_uint_eq(page.crumb[0].done, before + 1);
        claim(0, 3, 5); /* that is none, nor is what comes */
        put(0, 1);
        gq_cuda_show_runs(&cuda);
        ck_assert_uint_eq(page.crumb[0].done, before + 1);
    }
    const uint64_t before = page.crumb[0].done;
    end(0, 3, 4);
    end(1, 3, 4);
    gq_cuda_show_runs(&cuda);
    ck_assert_uint_eq(page.crumb[0].done, before + 1);
    ck_nothing(0); /* a lane that moves is shown nowhere */
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {a_message_that_waits_is_nobodys,
                                  what_a_share_has_claimed_is_shown,
                                  what_a_scout_keeps_to_itself_is_shown,
                                  a_run_ends_with_its_block,
                                  a_run_ends_where_the_ring_begins_again,
                                  a_run_is_as_long_as_its_scope_and_its_slots_permit,
                                  a_message_is_inside_of_the_first_step_that_has_not_handed_it_on,
                                  steps_that_a_message_has_passed_between_two_looks_are_passed,
                                  what_another_message_left_between_steps_does_not_hand_one_on,
                                  a_run_stays_as_it_was_found_until_it_is_handed_on,
                                  counted_messages_that_have_left_are_passed_before_they_are_counted,
                                  a_counted_message_that_leaves_during_a_look_is_in_no_step,
                                  many_counted_messages_that_have_left_take_some_looks,
                                  descriptors_behind_the_limit_are_no_counted_messages,
                                  counted_descriptors_are_read_up_to_the_rings_end_and_then_from_its_start,
                                  messages_that_were_told_in_packs_have_left,
                                  packs_are_read_up_to_the_rings_end_and_then_from_its_start,
                                  lanes_of_less_than_a_pack_have_none,
                                  a_run_of_a_canarys_lane_has_its_generation_and_scope,
                                  each_lane_has_its_place,
                                  what_cannot_be_read_is_not_shown,
                                  what_was_found_stays_though_nothing_can_be_read,
                                  in_a_trial_the_teams_tell_and_the_worker_does_not,
                                  the_heart_beats_when_a_lane_moves_and_only_then};
    return unit_run("cuda_run", tests, sizeof tests / sizeof *tests, set_up, tear_down);
}
