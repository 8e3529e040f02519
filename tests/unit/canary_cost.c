/* What a canary's message costs its worker, told from looks at its threads: also when the live version has had few
 * messages beside it, or none. */
#include "pipeline/canary_cost.h"
#include "unit.h"

#define LIVE 7u
#define CANARY 8u
#define MS 1000000u

static struct gq_canary_cost cost;
static uint64_t next_id;

static void set_up(void)
{
    cost = (struct gq_canary_cost){0};
    next_id = 1;
}

/* A thread is seen so often with one run. */
static void see(uint32_t thread, uint64_t generation, uint32_t times)
{
    const struct gq_crumb c = {.holds = 4, .first = next_id++, .generation = generation};
    for (uint32_t i = 0; i < times; i++)
        gq_canary_cost_note(&cost, thread, &c, CANARY);
}

static void see_runs(uint64_t generation, uint32_t runs, uint32_t times)
{
    for (uint32_t i = 0; i < runs; i++)
        see(i % 4, generation, times);
}

START_TEST(nothing_is_known_before_the_canary_was_seen_often)
{
    see_runs(LIVE, 200, 1);
    see_runs(CANARY, 99, 1);
    ck_assert_uint_eq(gq_canary_cost_percent(&cost, 100, 200, MS), 0);
    see(0, CANARY, 1);
    ck_assert_uint_eq(gq_canary_cost_percent(&cost, 0, 200, MS), 0);
    ck_assert_uint_eq(gq_canary_cost_percent(&cost, 100, 200, MS), 100);
    ck_assert_uint_eq(gq_canary_cost_percent(&cost, 100, 0, 0), 0);
}
END_TEST

START_TEST(threads_that_hold_nothing_do_not_count)
{
    const struct gq_crumb idle = {.first = 1, .generation = CANARY};
    for (uint32_t i = 0; i < 1000; i++)
        gq_canary_cost_note(&cost, 0, &idle, CANARY);
    ck_assert_uint_eq(gq_canary_cost_percent(&cost, 100, 200, MS), 0);
}
END_TEST

START_TEST(of_many_messages_all_that_was_seen_counts)
{
    see_runs(CANARY, 300, 2);
    see_runs(LIVE, 99, 2);
    see(0, LIVE, 202);
    ck_assert_uint_eq(gq_canary_cost_percent(&cost, 300, 400, 10 * MS), 200);
}
END_TEST

START_TEST(many_that_nobody_was_seen_with_were_seen_once_at_the_most)
{
    see_runs(CANARY, 100, 1);
    ck_assert_uint_eq(gq_canary_cost_percent(&cost, 100, 1000, 100 * MS), 100000);
}
END_TEST

START_TEST(of_few_messages_the_longest_run_counts_for_nothing)
{
    see_runs(CANARY, 22, 20);
    see_runs(LIVE, 3, 2);
    see(0, LIVE, 45);
    ck_assert_uint_eq(gq_canary_cost_percent(&cost, 22, 6, 10 * MS), 2000);
}
END_TEST

START_TEST(a_single_long_run_is_no_excuse)
{
    see_runs(CANARY, 22, 20);
    see(3, LIVE, 45);
    ck_assert_uint_eq(gq_canary_cost_percent(&cost, 22, 2, 2 * MS), 1000);
}
END_TEST

START_TEST(few_runs_that_are_as_long_as_the_canarys_are_an_excuse)
{
    see_runs(CANARY, 20, 20);
    see_runs(LIVE, 20, 20);
    const uint32_t percent = gq_canary_cost_percent(&cost, 20, 20, MS);
    ck_assert_uint_ge(percent, 100);
    ck_assert_uint_le(percent, 110);
}
END_TEST

START_TEST(a_run_is_the_same_one_in_its_thread_alone)
{
    const struct gq_crumb c = {.holds = 4, .first = 1, .generation = LIVE};
    for (uint32_t i = 0; i < 40; i++)
        gq_canary_cost_note(&cost, i % 2, &c, CANARY);
    see_runs(CANARY, 100, 1);
    ck_assert_uint_eq(gq_canary_cost_percent(&cost, 100, 10, 100 * MS), 50);
}
END_TEST

START_TEST(without_messages_beside_it_the_mean_from_before_counts)
{
    see_runs(CANARY, 50, 20);
    ck_assert_uint_eq(gq_canary_cost_percent(&cost, 50, 0, 4 * MS), 500);
    ck_assert_uint_eq(gq_canary_cost_percent(&cost, 10, 0, 1), UINT32_MAX);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {nothing_is_known_before_the_canary_was_seen_often,
                                  threads_that_hold_nothing_do_not_count,
                                  of_many_messages_all_that_was_seen_counts,
                                  many_that_nobody_was_seen_with_were_seen_once_at_the_most,
                                  of_few_messages_the_longest_run_counts_for_nothing,
                                  a_single_long_run_is_no_excuse,
                                  few_runs_that_are_as_long_as_the_canarys_are_an_excuse,
                                  a_run_is_the_same_one_in_its_thread_alone,
                                  without_messages_beside_it_the_mean_from_before_counts};
    return unit_run("canary cost", tests, sizeof tests / sizeof *tests, set_up, NULL);
}
