/* States of versions, the one function that moves them, and whose results a generation's are. */
#include "pipeline/version.h"
#include "unit.h"
#include <string.h>

#define STATES 7

static struct gq_versions *v;

static void set_up(void)
{
    ck_assert_int_eq(gq_versions_create(2, true, &v), GQ_OK);
    v->stage[0].name = "one";
    v->stage[1].name = "two";
}

static void tear_down(void) { gq_versions_destroy(v); }

static struct gq_code *add(uint32_t stage)
{
    struct gq_image image = {.fd = -1};
    struct gq_code *code;
    ck_assert_msg(gq_versions_add(v, stage, "plugin.cu", &image, &code) == GQ_OK, "%s", gq_error_text());
    return code;
}

static void make_live(uint32_t stage, struct gq_code *code)
{
    if (v->stage[stage].live)
        gq_versions_begin(v, stage, code);
    gq_versions_went_live(v, stage, code, NULL, 0);
}

static uint64_t none(void *arg, const struct gq_code *code)
{
    (void)arg;
    (void)code;
    return 0;
}

/* --- moves -----------------------------------------------------------------------------------------------------------
 */

START_TEST(each_state_goes_where_the_drawing_says_and_nowhere_else)
{
    /* from the row to the column: cold warm canary live draining discarded failed */
    static const char *const allowed[STATES] = {
        [GQ_VERSION_COLD] = "--xx-xx",  [GQ_VERSION_WARM] = "---x-x-",     [GQ_VERSION_CANARY] = "---xx--",
        [GQ_VERSION_LIVE] = "----x--",  [GQ_VERSION_DRAINING] = "-x-x---", [GQ_VERSION_DISCARDED] = "-------",
        [GQ_VERSION_FAILED] = "-------"};
    for (unsigned from = 0; from < STATES; from++)
        for (unsigned to = 0; to < STATES; to++) {
            struct gq_code code = {.number = 7, .state = (gq_version_state)from};
            const bool moved = gq_version_move(&code, (gq_version_state)to, "hash", 0) == GQ_OK;
            ck_assert_msg(moved == (allowed[from][to] == 'x'), "%s to %s", gq_version_state_name(from),
                          gq_version_state_name(to));
            ck_assert_uint_eq(code.state, moved ? to : from);
            ck_assert(moved || strstr(gq_error_text(), "version 7 of stage 'hash' is ") == gq_error_text());
        }
}
END_TEST

static void refused(gq_version_state from, gq_version_state to, uint64_t in_flight, const char *sentence)
{
    struct gq_code code = {.number = 7, .state = from};
    ck_assert_int_eq(gq_version_move(&code, to, "hash", in_flight), GQ_ERR_INVALID_ARG);
    ck_assert_str_eq(gq_error_text(), sentence);
}

START_TEST(who_holds_a_version_is_named)
{
    refused(GQ_VERSION_LIVE, GQ_VERSION_DISCARDED, 0,
            "version 7 of stage 'hash' is live and cannot become discarded: it is live and serves messages; make "
            "another one live first");
    refused(GQ_VERSION_DRAINING, GQ_VERSION_DISCARDED, 12,
            "version 7 of stage 'hash' is draining and cannot become discarded: 12 messages that came before its "
            "successor may still be with it");
    refused(GQ_VERSION_DRAINING, GQ_VERSION_WARM, 1,
            "version 7 of stage 'hash' is draining and cannot become warm: 1 messages that came before its successor "
            "may still be with it");
    refused(GQ_VERSION_FAILED, GQ_VERSION_LIVE, 0,
            "version 7 of stage 'hash' is failed and cannot become live: it was refused and never served; swap in a "
            "mended plugin");
}
END_TEST

/* --- lists -----------------------------------------------------------------------------------------------------------
 */

START_TEST(numbers_are_never_given_twice_and_little_is_remembered_of_what_is_gone)
{
    make_live(0, add(0));
    for (uint32_t i = 2; i < 100; i++) {
        struct gq_code *code = add(0);
        ck_assert_uint_eq(code->number, i);
        ck_assert_int_eq(gq_versions_give_up(v, 0, code, GQ_VERSION_FAILED, 0), GQ_OK);
        ck_assert_uint_le(v->stage[0].count, GQ_VERSIONS_GONE_MAX + 2);
    }
    ck_assert_ptr_nonnull(gq_versions_find(v, 0, 1));
    ck_assert_ptr_null(gq_versions_find(v, 0, 50));
    ck_assert_ptr_nonnull(gq_versions_find(v, 0, 99));
}
END_TEST

START_TEST(versions_that_hold_messages_are_bounded)
{
    struct gq_image image = {.fd = -1};
    struct gq_code *code;
    for (uint32_t i = 0; i < GQ_VERSIONS_MAX; i++)
        make_live(0, add(0)); /* the one before drains */
    ck_assert_int_eq(gq_versions_add(v, 0, "plugin.cu", &image, &code), GQ_ERR_FULL);
    gq_versions_settle(v, none, NULL);
    ck_assert_int_eq(v->stage[0].code[0]->state, GQ_VERSION_WARM);
    ck_assert_int_eq(gq_versions_give_up(v, 0, v->stage[0].code[0], GQ_VERSION_DISCARDED, 0), GQ_OK);
    ck_assert_int_eq(gq_versions_add(v, 0, "plugin.cu", &image, &code), GQ_OK);
}
END_TEST

/* --- what a rollback goes to -----------------------------------------------------------------------------------------
 */

static void fall_back_to(struct gq_code *code, struct gq_code *unfit)
{
    gq_versions_begin(v, 0, code);
    gq_versions_fell_back(v, 0, code, NULL, 0);
    gq_versions_note_unfit(v, 0, unfit, "it was tried");
}

START_TEST(a_rollback_goes_to_what_was_live_before_and_passes_what_is_unfit)
{
    struct gq_code *one = add(0), *two = add(0), *three = add(0);
    make_live(0, one);
    ck_assert_uint_eq(gq_versions_before(v, 0), 0);
    make_live(0, two);
    make_live(0, one);
    ck_assert_uint_eq(gq_versions_before(v, 0), 2);
    make_live(0, two);
    fall_back_to(one, two); /* before it two was live, and before that it itself */
    ck_assert_uint_eq(gq_versions_before(v, 0), 0);
    ck_assert_uint_eq(v->stage[0].rolled_back.version, 2);
    make_live(0, three);
    ck_assert_uint_eq(v->stage[0].rolled_back.version, 0);
    ck_assert_uint_eq(gq_versions_before(v, 0), 1);
    fall_back_to(one, three);
    ck_assert_uint_eq(gq_versions_before(v, 0), 0); /* two is unfit still */
    make_live(0, two);                              /* somebody wants it all the same */
    make_live(0, one);
    ck_assert_uint_eq(gq_versions_before(v, 0), 2);
}
END_TEST

/* --- whose results
 * ---------------------------------------------------------------------------------------------------- */

static void tally(uint32_t generation, uint64_t results, uint64_t failed)
{
    struct gq_histogram latency = {0};
    gq_histogram_add(&latency, 1000 * generation, results);
    const struct gq_lane_tally t = {
        .generation = generation, .results = results, .failed = failed, .latency = &latency};
    gq_versions_tally(v, &t);
}

START_TEST(results_count_for_the_versions_that_were_live_at_their_generation)
{
    struct gq_code *one = add(0), *two = add(1), *next = add(0);
    make_live(0, one);
    make_live(1, two);
    make_live(0, next); /* generation 2 */
    make_live(0, one);  /* generation 3 */
    tally(1, 10, 1);
    tally(2, 20, 2);
    tally(3, 30, 3);
    ck_assert_uint_eq(one->results, 40);
    ck_assert_uint_eq(one->failed, 4);
    ck_assert_uint_eq(next->results, 20);
    ck_assert_uint_eq(two->results, 60);
    ck_assert_uint_ge(gq_histogram_quantile(one->latency, 0.99), 3000);
    struct gq_histogram all = {0};
    gq_versions_latency(v, &all);
    ck_assert_uint_eq(all.total, 60);
}
END_TEST

START_TEST(a_change_that_was_undone_leaves_no_generation)
{
    struct gq_code *first = add(0), *second = add(0), *third = add(0);
    make_live(0, first);
    ck_assert_uint_eq(gq_versions_begin(v, 0, second), 2);
    gq_versions_undo(v);
    ck_assert_uint_eq(v->generation, 1);
    make_live(0, third);
    ck_assert_uint_eq(third->generation, 2);
    tally(2, 5, 0);
    ck_assert_uint_eq(second->results, 0);
    ck_assert_uint_eq(third->results, 5);
}
END_TEST

START_TEST(generations_are_told_apart_after_more_changes_than_are_remembered)
{
    struct gq_code *even = add(0), *odd = add(0), *other = add(1);
    struct gq_version_name name;
    make_live(0, odd);
    make_live(1, other);
    for (uint32_t g = 2; g <= 3 * GQ_VERSIONS_CHANGES; g++) {
        gq_versions_begin(v, 0, g % 2 ? odd : even);
        if (g % 7 == 0) { /* one that fails, now and then, where the ring is full and where it is not */
            gq_versions_undo(v);
            gq_versions_begin(v, 0, g % 2 ? odd : even);
        }
        gq_versions_went_live(v, 0, g % 2 ? odd : even, NULL, 0);
    }
    for (uint32_t g = 2 * GQ_VERSIONS_CHANGES + 2; g <= 3 * GQ_VERSIONS_CHANGES; g++) {
        gq_versions_name(v, 0, g, &name);
        ck_assert_uint_eq(name.number, g % 2 ? odd->number : even->number);
    }
    gq_versions_name(v, 1, 5, &name);
    ck_assert_uint_eq(name.number, other->number);
    ck_assert_str_eq(name.plugin, "plugin.cu");
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {each_state_goes_where_the_drawing_says_and_nowhere_else,
                                  who_holds_a_version_is_named,
                                  numbers_are_never_given_twice_and_little_is_remembered_of_what_is_gone,
                                  versions_that_hold_messages_are_bounded,
                                  a_rollback_goes_to_what_was_live_before_and_passes_what_is_unfit,
                                  results_count_for_the_versions_that_were_live_at_their_generation,
                                  a_change_that_was_undone_leaves_no_generation,
                                  generations_are_told_apart_after_more_changes_than_are_remembered};
    return unit_run("versions", tests, sizeof tests / sizeof *tests, set_up, tear_down);
}
