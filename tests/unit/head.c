/* The oldest open message of a lane, found by looking now and then, against a worker played by the test that knows
 * which one it is. */
#include "ring/head.h"
#include "lane_support.h"
#include <stdlib.h>
#include <string.h>

#define MESSAGES 5000u /* of a history */
#define HALF (1ull << 31)

static struct gq_link link_;
static struct gq_lane *lane;
static struct gq_head head;

/* What the worker knows. */
static uint64_t first, open; /* `open`: all before it have ended */
static bool ended[MESSAGES];
static bool news;      /* something has ended since the last look */
static uint32_t still; /* looks before the last one, without news in between */

static void begin(const struct gq_lane_opts *opts)
{
    gq_lane_destroy(lane);
    ck_assert_int_eq(gq_lane_create(opts, &link_, &lane), GQ_OK);
    writable(lane->view.out_head, lane->out_bytes);
    first = open = opts->first_seq;
    head = (struct gq_head){.seq = first};
    memset(ended, 0, sizeof ended);
    news = true;
}

static void begin_at(uint32_t capacity, uint64_t at)
{
    begin(&(struct gq_lane_opts){.lane = 3, .capacity = capacity, .slot_bytes = 16, .first_seq = at});
}

static void set_up(void)
{
    ck_assert_int_eq(gq_link_create(&link_), GQ_OK);
    link_.express = true;
}

static void tear_down(void)
{
    gq_lane_destroy(lane);
    gq_link_finish(&link_);
}

/* --- the host -------------------------------------------------------------------------------------------------------
 */

static void put(uint32_t count)
{
    const uint32_t len[64] = {0};
    uint64_t seq;
    while (count > 0) {
        const uint32_t got = gq_lane_claim(lane, count < 64 ? count : 64, 0, &seq);
        ck_assert_uint_gt(got, 0);
        gq_lane_publish(lane, len, got, 0);
        count -= got;
    }
}

static void take(uint32_t most)
{
    struct gq_lane_result r[64];
    uint64_t seqs[64];
    const uint32_t got = gq_lane_take(lane, true, r, most < 64 ? most : 64);
    for (uint32_t i = 0; i < got; i++)
        seqs[i] = r[i].seq;
    ck_assert_int_eq(gq_lane_release(lane, seqs, got), GQ_OK);
}

/* --- the worker -----------------------------------------------------------------------------------------------------
 */

static bool came_by_express(uint64_t seq)
{
    uint64_t stamp, data;
    gq_load_unit(gq_express_line(&lane->view, lane->view.in_express, seq), &stamp, &data);
    return stamp == seq + 1;
}

/* Message seq ends, by its express line if it is asked for and permitted. */
static void end(uint64_t seq, bool express)
{
    struct gq_unit *line = gq_express_line(&lane->view, lane->view.out_express, seq);
    if (ended[seq - first])
        return;
    if (express && came_by_express(seq)) {
        gq_store_unit(&line[1], seq + 1, 0);
        gq_store_unit(&line[0], seq + 1, gq_meta(1, 0, GQ_RESULT_OK, 0));
    } else {
        gq_slot_finish(&lane->view, seq, 0, gq_meta(1, 0, GQ_RESULT_OK, 0));
    }
    ended[seq - first] = news = true;
    while (open < lane->submitted && ended[open - first])
        open++;
}

static void end_all(void)
{
    for (uint64_t seq = open; seq < lane->submitted; seq++)
        end(seq, false);
}

/* One look, and all that must hold at any: it passes no open message, does not say that a lane stands or is idle
 * before it has come to the oldest, and comes to it once nothing ends between two looks. */
static enum gq_head_is look(void)
{
    const uint64_t before = head.seq;
    const enum gq_head_is is = gq_head_look(&head, &lane->view);
    still = news ? 0 : still + 1;
    news = false;
    ck_assert_uint_ge(head.seq, before);
    ck_assert_uint_le(head.seq, open);
    ck_assert(still < 1 || head.seq == open);
    ck_assert(still < 2 || is != GQ_HEAD_MOVES);
    if (is != GQ_HEAD_MOVES) {
        ck_assert_uint_eq(head.seq, open);
        ck_assert_int_eq(is, open < lane->submitted ? GQ_HEAD_STANDS : GQ_HEAD_IDLE);
    }
    return is;
}

static enum gq_head_is rest(void)
{
    look();
    look();
    return look();
}

/* Where numbers are special: stamps wrap, or a lap without express begins. */
static uint64_t special(uint32_t i, uint32_t capacity)
{
    const uint64_t at[] = {0,
                           5,
                           HALF - 2ull * capacity - 3,
                           HALF,
                           2 * HALF - 1,
                           2 * HALF - 2ull * capacity - 1,
                           2 * HALF,
                           3 * HALF - capacity,
                           (1ull << 40) + 7};
    return i < sizeof at / sizeof *at ? at[i] : UINT64_MAX;
}

START_TEST(a_fresh_lane_is_idle_and_stands_where_its_first_message_is)
{
    for (uint32_t capacity = 2; capacity <= 64; capacity *= 2)
        for (uint32_t i = 0; special(i, capacity) != UINT64_MAX; i++) {
            begin_at(capacity, special(i, capacity));
            ck_assert_int_eq(rest(), GQ_HEAD_IDLE);
            put(1);
            ck_assert_int_eq(look(), GQ_HEAD_STANDS);
            ck_assert_uint_eq(head.seq, first);
            put(1); /* messages that come are no move */
            ck_assert_int_eq(look(), GQ_HEAD_STANDS);
            end_all();
            ck_assert_int_eq(look(), GQ_HEAD_MOVES);
            ck_assert_int_eq(rest(), GQ_HEAD_IDLE);
            ck_assert_uint_eq(head.seq, first + 2);
        }
}
END_TEST

START_TEST(messages_that_end_out_of_order_are_passed_with_the_oldest)
{
    begin_at(16, 2 * HALF - 5);
    put(12);
    for (uint64_t seq = first + 11; seq > first; seq--) {
        end(seq, false);
        ck_assert_int_eq(rest(), GQ_HEAD_STANDS);
        ck_assert_uint_eq(head.seq, first);
    }
    end(first, false);
    ck_assert_int_eq(rest(), GQ_HEAD_IDLE);
    ck_assert_uint_eq(head.seq, first + 12);
}
END_TEST

static void laps(uint32_t capacity, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        put(capacity);
        end_all();
        while (!gq_lane_idle(lane))
            take(64);
    }
}

START_TEST(several_laps_between_two_looks_are_jumped_over)
{
    for (uint32_t capacity = 2; capacity <= 1024; capacity *= 2)
        for (uint32_t i = 0; special(i, capacity) != UINT64_MAX; i++) {
            begin_at(capacity, special(i, capacity));
            laps(capacity, 3);
            put(capacity);
            for (uint32_t k = 0; k < capacity; k++)
                if (k != capacity / 2)
                    end(first + 3ull * capacity + k, false);
            ck_assert_int_eq(rest(), GQ_HEAD_STANDS);
            ck_assert_uint_eq(head.seq, first + 3ull * capacity + capacity / 2);
            end_all();
            ck_assert_int_eq(rest(), GQ_HEAD_IDLE);
        }
}
END_TEST

START_TEST(answers_by_express_are_jumped_over_though_descriptors_are_of_older_laps)
{
    begin_at(32, 3);
    laps(32, 1);
    ck_assert_int_eq(rest(), GQ_HEAD_IDLE);
    for (uint32_t i = 0; i < 200; i++) {
        put(1);
        ck_assert(came_by_express(open));
        end(open, true);
        take(1);
    }
    put(1);
    const uint64_t oldest = open;
    for (uint64_t seq = oldest + 1; seq < oldest + GQ_EXPRESS_LINES; seq++) {
        put(1);
        end(seq, true);
    }
    ck_assert_int_eq(rest(), GQ_HEAD_STANDS);
    ck_assert_uint_eq(head.seq, oldest);
    end(oldest, true);
    ck_assert_int_eq(rest(), GQ_HEAD_IDLE);
}
END_TEST

START_TEST(an_answer_in_a_line_says_nothing_of_those_less_than_a_lap_of_lines_before_it)
{
    begin_at(32, 3);
    ck_assert_int_eq(rest(), GQ_HEAD_IDLE);
    put(1);
    end(first, true);
    take(1);
    for (uint32_t i = 0; i < GQ_EXPRESS_LINES; i++)
        put(1);
    ck_assert(came_by_express(first + GQ_EXPRESS_LINES));
    end(first + GQ_EXPRESS_LINES, true); /* in the line of the one where the last look was */
    ck_assert_int_eq(rest(), GQ_HEAD_STANDS);
    ck_assert_uint_eq(head.seq, first + 1);
}
END_TEST

/* An answer by express leaves a descriptor as it was, for half of all stamps and not longer. */
START_TEST(a_descriptor_of_long_ago_is_no_later_one)
{
    begin_at(8, 5 * HALF + 6);
    put(1);
    for (uint64_t ago = 8; ago <= HALF; ago *= 2) {
        lane->view.out_desc[gq_slot_index(&lane->view, first)].state = (uint64_t)gq_slot_stamp(first - ago) << 32;
        news = true;
        ck_assert_int_eq(rest(), GQ_HEAD_STANDS);
        ck_assert_uint_eq(head.seq, first);
    }
}
END_TEST

START_TEST(a_lane_that_moves_is_not_walked_through)
{
    begin_at(1024, 0);
    ck_assert_int_eq(rest(), GQ_HEAD_IDLE);
    put(1000);
    for (uint64_t seq = 0; seq < 900; seq++)
        end(seq, false);
    ck_assert_int_eq(look(), GQ_HEAD_MOVES);
    ck_assert_uint_gt(head.seq, 0);
    ck_assert_uint_lt(head.seq, 200);
    ck_assert_int_eq(look(), GQ_HEAD_MOVES);
    ck_assert_uint_eq(head.seq, 900);
    ck_assert_int_eq(look(), GQ_HEAD_STANDS);
    end(950, false); /* none of the samples, and not the oldest: the lane stands */
    ck_assert_int_eq(look(), GQ_HEAD_STANDS);
    end_all();
    ck_assert_int_eq(rest(), GQ_HEAD_IDLE);
}
END_TEST

START_TEST(a_lane_moves_while_its_samples_do_though_the_oldest_stays)
{
    begin_at(64, 0);
    put(64);
    ck_assert_int_eq(rest(), GQ_HEAD_STANDS);
    for (uint64_t seq = 8; seq < 64; seq += 8) {
        end(seq, false);
        ck_assert_int_eq(look(), GQ_HEAD_MOVES);
        ck_assert_int_eq(look(), GQ_HEAD_STANDS);
        ck_assert_uint_eq(head.seq, 0);
    }
}
END_TEST

START_TEST(messages_of_a_source_plugin_are_there_up_to_the_limit)
{
    begin(&(struct gq_lane_opts){
        .capacity = 16, .slot_bytes = 16, .first_seq = 2 * HALF - 3, .generated = true, .count = 2 * HALF + 20});
    ck_assert_uint_eq(lane->submitted, first + 16);
    ck_assert_int_eq(rest(), GQ_HEAD_STANDS);
    ck_assert_uint_eq(head.seq, first);
    end_all();
    ck_assert_int_eq(rest(), GQ_HEAD_IDLE);
    take(10);
    ck_assert_int_eq(rest(), GQ_HEAD_STANDS);
    ck_assert_uint_eq(head.seq, first + 16);
    take(6);
    end_all();
    ck_assert_uint_eq(open, 2 * HALF + 20);
    ck_assert_int_eq(rest(), GQ_HEAD_IDLE);
    ck_assert_uint_eq(head.seq, 2 * HALF + 20);
}
END_TEST

START_TEST(of_counted_messages_the_count_is_believed)
{
    begin(&(struct gq_lane_opts){
        .capacity = 64, .slot_bytes = 16, .first_seq = 40, .generated = true, .counted = true, .count = 1000});
    ck_assert_int_eq(rest(), GQ_HEAD_STANDS); /* fresh counts are below the first message */
    ck_assert_uint_eq(head.seq, 40);
    for (open = 50; open < 104; open += 27) {
        gq_store_unit(&lane->view.out_head->count[GQ_COUNT_OK], open, 3);
        news = true;
        ck_assert_int_eq(look(), GQ_HEAD_MOVES);
        ck_assert_uint_eq(head.seq, open);
        ck_assert_int_eq(look(), GQ_HEAD_STANDS);
    }
    lane->view.out_desc[gq_slot_index(&lane->view, head.seq)].state = (uint64_t)gq_slot_stamp(head.seq) << 32;
    open = head.seq; /* a failed one has a descriptor before it is counted */
    ck_assert_int_eq(look(), GQ_HEAD_STANDS);
    open = 104;
    gq_store_unit(&lane->view.out_head->count[GQ_COUNT_OK], open, 3);
    news = true;
    ck_assert_int_eq(look(), GQ_HEAD_MOVES);
    ck_assert_int_eq(look(), GQ_HEAD_IDLE);
}
END_TEST

START_TEST(the_next_worker_begins_behind_what_was_released_and_passes_what_has_ended)
{
    begin_at(16, 2 * HALF - 7);
    laps(16, 2);
    put(12);
    const uint64_t from = open;
    end(from, false);
    end(from + 1, false);
    end(from + 5, false);
    take(1);
    const struct gq_lane_range range = renew(lane, NULL, 0);
    head = (struct gq_head){.seq = range.first};
    news = true;
    ck_assert_int_eq(rest(), GQ_HEAD_STANDS);
    ck_assert_uint_eq(head.seq, from + 2);
    end_all();
    ck_assert_int_eq(rest(), GQ_HEAD_IDLE);
    ck_assert_uint_eq(head.seq, from + 12);
}
END_TEST

/* --- histories ------------------------------------------------------------------------------------------------------
 */

static uint32_t dice = 1;

static uint32_t roll(uint32_t sides)
{
    dice = dice * 1664525u + 1013904223u;
    return (uint32_t)((uint64_t)(dice >> 4) * sides >> 28);
}

static void put_some(uint32_t most)
{
    const uint64_t room = first + MESSAGES - lane->submitted,
                   free = lane->released + lane->view.mask + 1 - lane->submitted;
    uint32_t count = 1 + roll(most);
    count = count < room ? count : (uint32_t)room;
    count = count < free ? count : (uint32_t)free;
    if (count && !lane->generated)
        put(count);
}

static void end_some(uint32_t most, bool express)
{
    for (uint32_t count = 1 + roll(most); count > 0 && open < lane->submitted; count--)
        end(roll(3) ? open : open + roll((uint32_t)(lane->submitted - open)), express);
}

/* So many things that host and worker do, and how much at a time. */
static void go_on(uint32_t count, uint32_t most)
{
    const bool express = roll(2);
    while (count--) {
        if (roll(3) == 0)
            put_some(most);
        if (roll(3) != 0)
            end_some(most, express);
        if (roll(3) != 0)
            take(1 + roll(most));
    }
}

static void live(void)
{
    while (open < first + MESSAGES) {
        const uint32_t most = roll(3) ? 1 : 1 + roll(2 * (lane->view.mask + 1));
        const uint32_t before_a_look = roll(2) ? 1 + roll(4) : 1 + roll(100);
        for (uint32_t looks = 1 + roll(8); looks > 0; looks--) {
            go_on(before_a_look, most);
            look();
        }
        rest();
        put_some(2 * (lane->view.mask + 1)); /* it goes on, however the dice fall */
        end_some(1, false);
        take(64);
    }
    ck_assert_int_eq(rest(), GQ_HEAD_IDLE);
    ck_assert_uint_eq(head.seq, first + MESSAGES);
}

START_TEST(no_history_makes_it_pass_an_open_message_or_stay_behind)
{
    for (uint32_t capacity = 2; capacity <= 512; capacity *= 4)
        for (uint32_t i = 0; special(i, capacity) != UINT64_MAX; i++)
            for (uint32_t generated = 0; generated < 2; generated++) {
                begin(&(struct gq_lane_opts){.capacity = capacity,
                                             .slot_bytes = 16,
                                             .first_seq = special(i, capacity),
                                             .generated = generated,
                                             .count = special(i, capacity) + MESSAGES});
                live();
            }
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {a_fresh_lane_is_idle_and_stands_where_its_first_message_is,
                                  messages_that_end_out_of_order_are_passed_with_the_oldest,
                                  several_laps_between_two_looks_are_jumped_over,
                                  answers_by_express_are_jumped_over_though_descriptors_are_of_older_laps,
                                  an_answer_in_a_line_says_nothing_of_those_less_than_a_lap_of_lines_before_it,
                                  a_descriptor_of_long_ago_is_no_later_one,
                                  a_lane_that_moves_is_not_walked_through,
                                  a_lane_moves_while_its_samples_do_though_the_oldest_stays,
                                  messages_of_a_source_plugin_are_there_up_to_the_limit,
                                  of_counted_messages_the_count_is_believed,
                                  the_next_worker_begins_behind_what_was_released_and_passes_what_has_ended,
                                  no_history_makes_it_pass_an_open_message_or_stay_behind};
    return unit_run("head", tests, sizeof tests / sizeof *tests, set_up, tear_down);
}
