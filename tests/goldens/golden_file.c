/* Golden files: what is read from good ones, and that nothing in a bad one goes unnoticed or unfreed. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include "config/golden.h"

static gq_status parse(const char *text, size_t len, struct gq_text *errors, size_t *count, struct gq_golden **out)
{
    return gq_golden_parse("x.golden.yaml", text, len, errors, count, out);
}

static struct gq_golden *good(const char *text)
{
    struct gq_text errors = {0};
    struct gq_golden *golden = NULL;
    size_t count = 0;
    gq_status status = parse(text, strlen(text), &errors, &count, &golden);
    ck_assert_msg(status == GQ_OK, "%s", gq_text_str(&errors));
    ck_assert_uint_eq(count, 0);
    gq_text_finish(&errors);
    return golden;
}

static void expect_error(const char *text, size_t len, const char *error)
{
    struct gq_text errors = {0};
    struct gq_golden *golden = NULL;
    size_t count = 0;
    ck_assert_int_eq(parse(text, len, &errors, &count, &golden), GQ_ERR_PLUGIN);
    ck_assert_uint_ge(count, 1);
    ck_assert_ptr_null(golden);
    ck_assert_msg(strstr(gq_text_str(&errors), error) != NULL, "expected '%s' in:\n%s", error, gq_text_str(&errors));
    gq_text_finish(&errors);
}

static void check_bytes(const struct gq_golden_bytes *bytes, const char *expected, size_t len)
{
    ck_assert_uint_eq(bytes->len, len);
    ck_assert(len == 0 || memcmp(bytes->data, expected, len) == 0);
}

START_TEST(text_and_hex_give_the_same_bytes)
{
    struct gq_golden *g = good("- { name: text, in: \"a\\0\\n\", out: b c }\n"
                               "- { name: hex, in_hex: 61000a, out_hex: '62 20 63' }\n");
    ck_assert_uint_eq(g->count, 2);
    ck_assert(!g->source);
    for (size_t i = 0; i < 2; i++) {
        check_bytes(&g->vectors[i].in, "a\0\n", 3);
        check_bytes(&g->vectors[i].out, "b c", 3);
        ck_assert_int_eq(g->vectors[i].ending, GQ_GOLDEN_OUT);
    }
    ck_assert_str_eq(g->vectors[1].name, "hex");
    ck_assert_uint_eq(g->vectors[1].mark.line, 2);
    gq_golden_destroy(g);
}
END_TEST

START_TEST(a_repeated_message_is_that_long)
{
    struct gq_golden *g = good("- { out_repeat: 2, repeat: 3, name: both, out: xyz, in: ab }\n"
                               "- { name: of nothing, in: '', repeat: 1000, out: '' }\n");
    check_bytes(&g->vectors[0].in, "ababab", 6);
    check_bytes(&g->vectors[0].out, "xyzxyz", 6);
    check_bytes(&g->vectors[1].in, "", 0);
    gq_golden_destroy(g);
}
END_TEST

START_TEST(every_ending_is_kept)
{
    struct gq_golden *g = good("- { name: d, in: '', dropped: true }\n"
                               "- { name: f, in: '', failed: 65535 }\n"
                               "- { name: o, in: '', overflow: true, slot_bytes: 7 }\n");
    ck_assert_int_eq(g->vectors[0].ending, GQ_GOLDEN_DROPPED);
    ck_assert_int_eq(g->vectors[1].ending, GQ_GOLDEN_FAILED);
    ck_assert_uint_eq(g->vectors[1].code, 65535);
    ck_assert_int_eq(g->vectors[2].ending, GQ_GOLDEN_OVERFLOW);
    ck_assert_uint_eq(g->vectors[2].slot_bytes, 7);
    gq_golden_destroy(g);
}
END_TEST

START_TEST(parameters_stay_as_written)
{
    struct gq_golden *g = good("- { name: p, in: '', out: '', params: { a: 12, b: '12' } }\n"
                               "- { name: q, in: '', out: '', params: {} }\n");
    const struct gq_golden_vector *v = g->vectors;
    ck_assert_uint_eq(v[0].param_count, 2);
    ck_assert_str_eq(v[0].params[0].name, "a");
    ck_assert_str_eq(v[0].params[0].text, "12");
    ck_assert(!v[0].params[0].quoted);
    ck_assert_str_eq(v[0].params[1].text, "12");
    ck_assert(v[0].params[1].quoted);
    ck_assert_uint_eq(v[1].param_count, 0);
    gq_golden_destroy(g);
}
END_TEST

START_TEST(indices_make_it_a_source)
{
    struct gq_golden *g = good("- { name: last, index: 9223372036854775807, out: '' }\n");
    ck_assert(g->source);
    ck_assert_uint_eq(g->vectors[0].index, GQ_GOLDEN_INDEX_MAX);
    gq_golden_destroy(g);
}
END_TEST

static void expect_text_error(const char *text, const char *error) { expect_error(text, strlen(text), error); }

START_TEST(hostile_texts_are_refused)
{
    expect_text_error("", "expected a list of vectors");
    expect_text_error("{}", "expected a list of vectors");
    expect_text_error("[]", "expected a list of vectors");
    expect_text_error("- &a { name: x }\n- *a\n", "error:");
    expect_text_error("- { name: \"a\\0b\", in: '', out: '' }\n", "expected a few words");
    expect_text_error("- \xff\n", "error:");
    expect_text_error("- { name: x, in: a, repeat: 16777217, out: '' }", "from 1 to 16777216");
    expect_text_error("- { name: x, in: ab, repeat: 16777216, out: '' }", "more than a message may have");
}
END_TEST

START_TEST(deep_and_long_texts_end_soon)
{
    const size_t len = 1u << 20;
    char *text = malloc(len);
    ck_assert_ptr_nonnull(text);
    memset(text, '[', len);
    expect_error(text, len, "error:");
    memset(text, '-', len);
    expect_error(text, len, "error:");
    free(text);
}
END_TEST

START_TEST(the_path_is_beside_the_plugin)
{
    char *path = gq_golden_path("a/b.cu");
    ck_assert_str_eq(path, "a/b.golden.yaml");
    free(path);
    path = gq_golden_path("b.cu");
    ck_assert_str_eq(path, "b.golden.yaml");
    free(path);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("golden files");
    tcase_add_test(tcase, text_and_hex_give_the_same_bytes);
    tcase_add_test(tcase, a_repeated_message_is_that_long);
    tcase_add_test(tcase, every_ending_is_kept);
    tcase_add_test(tcase, parameters_stay_as_written);
    tcase_add_test(tcase, indices_make_it_a_source);
    tcase_add_test(tcase, hostile_texts_are_refused);
    tcase_add_test(tcase, deep_and_long_texts_end_soon);
    tcase_add_test(tcase, the_path_is_beside_the_plugin);
    Suite *suite = suite_create("golden files");
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
