/* What a histogram says of the values it was given, whatever their size. */
#include "base/histogram.h"
#include "unit.h"
#include <stdlib.h>

#define VALUES 1000u

static struct gq_histogram h;

static void set_up(void) { h = (struct gq_histogram){0}; }

/* At least the value, and at most a sixteenth more. */
static void near(uint64_t got, uint64_t value)
{
    ck_assert_uint_ge(got, value);
    ck_assert_uint_le(got, value + value / 16);
}

START_TEST(an_empty_one_says_nothing)
{
    ck_assert_uint_eq(gq_histogram_quantile(&h, 0.99), 0);
    ck_assert_uint_eq(gq_histogram_mean(&h), 0);
    ck_assert_uint_eq(gq_histogram_above(&h, 0), 0);
}
END_TEST

START_TEST(small_values_are_kept_as_they_are)
{
    for (uint64_t v = 0; v < 16; v++)
        gq_histogram_add(&h, v, 1);
    ck_assert_uint_eq(gq_histogram_quantile(&h, 0.0), 0);
    ck_assert_uint_eq(gq_histogram_quantile(&h, 1.0), 15);
    ck_assert_uint_eq(gq_histogram_mean(&h), 7);
    ck_assert_uint_eq(gq_histogram_above(&h, 12), 3);
}
END_TEST

START_TEST(each_power_of_two_is_known_within_a_sixteenth)
{
    for (unsigned shift = 0; shift < 63; shift++)
        for (int64_t beside = -1; beside <= 1; beside++) {
            const uint64_t value = (1ull << shift) + (uint64_t)beside;
            set_up();
            gq_histogram_add(&h, value, 3);
            gq_histogram_add(&h, UINT64_MAX, 1); /* so that the most there is does not bound it */
            near(gq_histogram_quantile(&h, 0.5), value);
            ck_assert_uint_eq(gq_histogram_quantile(&h, 1.0), UINT64_MAX);
            ck_assert_uint_eq(h.max, UINT64_MAX);
        }
}
END_TEST

START_TEST(quantiles_mean_and_tail_are_those_of_the_values)
{
    for (uint64_t v = 1; v <= VALUES; v++)
        gq_histogram_add(&h, v * 1000, 2);
    near(gq_histogram_quantile(&h, 0.5), 500000);
    near(gq_histogram_quantile(&h, 0.99), 990000);
    near(gq_histogram_mean(&h), 500500);
    ck_assert_uint_eq(h.total, 2 * VALUES);
    const uint64_t above = gq_histogram_above(&h, 500000);
    ck_assert_uint_le(above, VALUES);
    ck_assert_uint_ge(above, VALUES - 2 * 32); /* a bucket is as wide as 32 of them there */
}
END_TEST

START_TEST(a_few_that_take_long_move_the_99th_percentile_and_hardly_the_mean)
{
    gq_histogram_add(&h, 1000, 980);
    gq_histogram_add(&h, 1000000, 20);
    near(gq_histogram_quantile(&h, 0.99), 1000000);
    near(gq_histogram_mean(&h), 20980);
}
END_TEST

START_TEST(what_was_earlier_is_taken_away_and_what_another_holds_is_added)
{
    gq_histogram_add(&h, 5000, 10);
    const struct gq_histogram earlier = h;
    gq_histogram_add(&h, 90, 4);
    gq_histogram_subtract(&h, &earlier);
    ck_assert_uint_eq(h.total, 4);
    near(gq_histogram_quantile(&h, 0.99), 90);
    near(gq_histogram_mean(&h), 90);
    gq_histogram_merge(&h, &earlier);
    ck_assert_uint_eq(h.total, 14);
    near(gq_histogram_quantile(&h, 0.99), 5000);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {an_empty_one_says_nothing,
                                  small_values_are_kept_as_they_are,
                                  each_power_of_two_is_known_within_a_sixteenth,
                                  quantiles_mean_and_tail_are_those_of_the_values,
                                  a_few_that_take_long_move_the_99th_percentile_and_hardly_the_mean,
                                  what_was_earlier_is_taken_away_and_what_another_holds_is_added};
    return unit_run("histogram", tests, sizeof tests / sizeof *tests, set_up, NULL);
}
