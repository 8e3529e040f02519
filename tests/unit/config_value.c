/* Values with units, parameters, variables, and the word that was meant. */
#include "config/value.h"
#include "config/near.h"
#include "config/vars.h"
#include "comma_locale.h"
#include "config_support.h"
#include <stdio.h>

static const struct gq_schema_row *row(const char *path)
{
    for (size_t i = 0; i < gq_schema_count; i++)
        if (strcmp(gq_schema_rows[i].path, path) == 0)
            return &gq_schema_rows[i];
    ck_abort_msg("no row %s", path);
    return NULL;
}

static bool number(const char *path, const char *text, uint64_t *out)
{
    struct gq_text why = {0};
    bool good = gq_value_number(row(path), text, out, &why);
    gq_text_finish(&why);
    return good;
}

static void assert_number(const char *path, const char *text, uint64_t expected)
{
    uint64_t got = 0;
    ck_assert_msg(number(path, text, &got), "%s: %s", path, text);
    ck_assert_uint_eq(got, expected);
}

START_TEST(sizes_carry_binary_and_decimal_units)
{
    assert_number("queue.slot_bytes", "1", 1);
    assert_number("queue.slot_bytes", "7B", 7);
    assert_number("queue.slot_bytes", "1KiB", 1024);
    assert_number("queue.slot_bytes", "2kB", 2000);
    assert_number("queue.slot_bytes", "16MiB", 16u << 20);
    assert_number("queue.slot_bytes", "16MB", 16000000);
    assert_number("queue.slot_bytes", "0x10KiB", 16384);
    assert_number("source.generate.bytes", "0", 0);
}
END_TEST

START_TEST(durations_always_carry_a_unit)
{
    assert_number("drain", "250ms", 250);
    assert_number("drain", "30s", 30000);
    assert_number("drain", "2m", 120000);
    assert_number("drain", "24h", 86400000);
    uint64_t out;
    ck_assert(!number("drain", "30", &out));
    ck_assert(!number("drain", "25h", &out));
    ck_assert(!number("drain", "1d", &out));
}
END_TEST

START_TEST(numbers_that_are_none_are_refused)
{
    static const char *const texts[] = {"",
                                        "-1",
                                        "+1",
                                        " 1",
                                        "1 ",
                                        "1x",
                                        "0x",
                                        "0xg",
                                        "00",
                                        "010",
                                        "1.0",
                                        "1e3",
                                        "1_000",
                                        "99999999999999999999",
                                        "0xfffffffffffffffff",
                                        "18446744073709551615KiB",
                                        "17MiB",
                                        "1Kib",
                                        "1K",
                                        "KiB",
                                        "\xc2\xb9"};
    uint64_t out;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        ck_assert_msg(!number("source.generate.bytes", texts[i], &out), "'%s' was accepted", texts[i]);
}
END_TEST

START_TEST(the_largest_numbers_fit)
{
    assert_number("source.generate.seed", "18446744073709551615", UINT64_MAX);
    assert_number("source.generate.seed", "0xFFFFFFFFFFFFFFFF", UINT64_MAX);
    assert_number("cpu.threads", "auto", 0);
    assert_number("cpu.threads", "1024", 1024);
    uint64_t out;
    ck_assert(!number("cpu.threads", "0", &out));
    ck_assert(!number("cpu.threads", "1025", &out));
}
END_TEST

START_TEST(every_power_of_two_in_range_and_nothing_else_is_a_capacity)
{
    uint64_t out;
    char text[32];
    for (uint64_t n = 0; n < 70000; n++) {
        snprintf(text, sizeof text, "%llu", (unsigned long long)n);
        ck_assert_int_eq(number("queue.capacity", text, &out), n >= 2 && __builtin_popcountll(n) == 1);
    }
}
END_TEST

START_TEST(numbers_print_as_they_would_be_written)
{
    static const struct {
        const char *path;
        uint64_t number;
        const char *text;
    } rows[] = {{"queue.slot_bytes", 1024, "1KiB"},
                {"queue.slot_bytes", 1000, "1000"},
                {"queue.slot_bytes", 3u << 20, "3MiB"},
                {"source.generate.bytes", 0, "0"},
                {"queue.capacity", 4096, "4096"},
                {"drain", 10000, "10s"},
                {"drain", 90000, "90s"},
                {"drain", 86400000, "24h"},
                {"drain", 0, "0ms"},
                {"drain", 1, "1ms"},
                {"cpu.threads", 0, "auto"},
                {"cpu.threads", 3, "3"},
                {"queue.slot_bytes", 16u << 20, "16MiB"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct gq_text text = {0};
        gq_value_print_number(row(rows[i].path), rows[i].number, &text);
        ck_assert_str_eq(text.data, rows[i].text);
        assert_number(rows[i].path, text.data, rows[i].number);
        gq_text_finish(&text);
    }
}
END_TEST

static void assert_real(double expected, const char *text)
{
    double got = 0;
    struct gq_text printed = {0};
    ck_assert_msg(gq_value_real(text, &got), "%s", text);
    ck_assert(got == expected);
    gq_value_print_real(got, &printed);
    ck_assert_msg(gq_value_real(printed.data, &got) && got == expected, "%s printed as %s", text, printed.data);
    ck_assert_ptr_nonnull(strpbrk(printed.data, ".e"));
    ck_assert_ptr_null(strchr(printed.data, ','));
    gq_text_finish(&printed);
}

static void check_reals(void)
{
    assert_real(1.5, "1.5");
    assert_real(-0.001, "-1e-3");
    assert_real(0.1, ".1");
    assert_real(3.0, "3.");
    assert_real(1.7976931348623157e308, "1.7976931348623157e308");
    assert_real(5e-324, "5e-324");
    double out;
    ck_assert(!gq_value_real("1,5", &out));
    ck_assert(!gq_value_real("1e999", &out));
    ck_assert(!gq_value_real(".", &out));
    ck_assert(!gq_value_real("1e", &out));
    ck_assert(!gq_value_real("nan", &out));
    ck_assert(!gq_value_real("0x1p3", &out));
}

START_TEST(real_numbers_read_and_print_alike)
{
    check_reals();
    if (comma_locale_enter())
        check_reals();
    comma_locale_leave();
}
END_TEST

START_TEST(rates_are_a_second_and_above_zero)
{
    double out;
    const struct gq_schema_row *rate = row("source.generate.rate");
    ck_assert(gq_value_rate(rate, "50000/s", &out) && out == 50000);
    ck_assert(gq_value_rate(rate, "0.5/s", &out) && out == 0.5);
    ck_assert(gq_value_rate(rate, "2e6/s", &out) && out == 2e6);
    static const char *const bad[] = {"", "/s", "0/s", "-1/s", "5", "5/m", "5 /s", "x/s", "1e10/s", "nan/s", "inf/s"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_msg(!gq_value_rate(rate, bad[i], &out), "'%s' was accepted", bad[i]);
}
END_TEST

static bool param(const char *text, struct gq_conf_param *out)
{
    struct gq_text why = {0};
    *out = (struct gq_conf_param){0};
    bool good = gq_value_param(text, out, &why);
    ck_assert_int_eq(good, why.len == 0);
    gq_text_finish(&why);
    return good;
}

START_TEST(a_parameter_has_the_type_it_looks_like)
{
    struct gq_conf_param p;
    ck_assert(param("true", &p) && p.type == GQ_PARAM_BOOL && p.boolean);
    ck_assert(param("false", &p) && p.type == GQ_PARAM_BOOL && !p.boolean);
    ck_assert(param("0x20", &p) && p.type == GQ_PARAM_INT && p.integer == 32);
    ck_assert(param("-0x8000000000000000", &p) && p.type == GQ_PARAM_INT && p.integer == INT64_MIN);
    ck_assert(param("9223372036854775807", &p) && p.integer == INT64_MAX);
    ck_assert(param("-1", &p) && p.integer == -1);
    ck_assert(param("0", &p) && p.type == GQ_PARAM_INT && p.integer == 0);
    ck_assert(param("1e3", &p) && p.type == GQ_PARAM_FLOAT && p.real == 1000);
    ck_assert(param("-.5", &p) && p.type == GQ_PARAM_FLOAT && p.real == -0.5);
    static const char *const strings[] = {"abc", "1.2.3", "12abc", "0x", "-", "", "a b", "e5", "truely", "none"};
    for (size_t i = 0; i < sizeof strings / sizeof *strings; i++)
        ck_assert_msg(param(strings[i], &p) && p.type == GQ_PARAM_STRING, "%s", strings[i]);
}
END_TEST

START_TEST(a_parameter_that_readers_disagree_about_is_refused)
{
    static const char *const texts[] = {"yes",
                                        "No",
                                        "ON",
                                        "off",
                                        "y",
                                        "True",
                                        "FALSE",
                                        "010",
                                        "-007",
                                        "0o17",
                                        "0b11",
                                        "1_000",
                                        ".inf",
                                        "-.Inf",
                                        ".nan",
                                        "9223372036854775808",
                                        "-9223372036854775809",
                                        "1e999"};
    struct gq_conf_param p;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        ck_assert_msg(!param(texts[i], &p), "'%s' was accepted", texts[i]);
}
END_TEST

static void assert_expands(const char *text, const char *expected, bool has_variable)
{
    struct gq_text out = {0}, why = {0};
    bool expanded;
    ck_assert_msg(gq_vars_expand(text, &out, &expanded, &why), "%s: %s", text, gq_text_str(&why));
    ck_assert_str_eq(out.data, expected);
    ck_assert_int_eq(expanded, has_variable);
    gq_text_finish(&out);
    gq_text_finish(&why);
}

START_TEST(variables_come_from_the_environment_or_have_a_default)
{
    setenv("GQ_T_SET", "va:l}ue ${GQ_T_SET}", 1);
    setenv("GQ_T_EMPTY", "", 1);
    unsetenv("GQ_T_UNSET");
    assert_expands("", "", false);
    assert_expands("no $ and $5 and $$", "no $ and $5 and $$", false);
    assert_expands("${GQ_T_SET}", "va:l}ue ${GQ_T_SET}", true);
    assert_expands("<${GQ_T_EMPTY:x}>", "<>", true);
    assert_expands("<${GQ_T_UNSET:a:b $c}>", "<a:b $c>", true);
    assert_expands("${GQ_T_UNSET:}${GQ_T_UNSET:2}", "2", true);
    assert_expands("$${GQ_T_SET}", "${GQ_T_SET}", false);
    assert_expands("$$${GQ_T_UNSET:x}", "$${GQ_T_UNSET:x}", false);
}
END_TEST

START_TEST(wrong_variables_say_what_to_write)
{
    static const char *const texts[] = {"${", "${}", "${:x}", "${1}", "${a b}", "a ${GQ_T_UNSET}", "${GQ_T_LATIN}"};
    setenv("GQ_T_LATIN", "\xe4", 1);
    unsetenv("GQ_T_UNSET");
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct gq_text out = {0}, why = {0};
        bool expanded;
        ck_assert_msg(!gq_vars_expand(texts[i], &out, &expanded, &why), "'%s' was accepted", texts[i]);
        ck_assert_uint_gt(why.len, 10);
        gq_text_finish(&out);
        gq_text_finish(&why);
    }
}
END_TEST

START_TEST(escaped_text_expands_to_itself)
{
    static const char *const texts[] = {"${A}", "$${A}", "$$${", "$", "{}", "${${}}"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct gq_text escaped = {0};
        gq_vars_escape(texts[i], &escaped);
        assert_expands(escaped.data, texts[i], false);
        gq_text_finish(&escaped);
    }
}
END_TEST

START_TEST(names_are_made_from_file_names)
{
    static const char *const rows[][2] = {{"quickstart", "quickstart"}, {"my file", "my_file"}, {"..x-", "x"},
                                          {"<text>", "text"},           {"\u00e4b", "b"},       {"", "pipeline"},
                                          {"---", "pipeline"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *name = gq_value_make_name(rows[i][0]);
        ck_assert_str_eq(name, rows[i][1]);
        free(name);
    }
}
END_TEST

static const char *nearest(const char *written)
{
    static const char *const known[] = {"capacity", "slot_bytes", "cpu", "stages", "source", "retries"};
    struct gq_near near = gq_near_start(written);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        gq_near_offer(&near, known[i]);
    return near.best ? near.best : "";
}

START_TEST(the_nearest_word_is_a_likely_one)
{
    ck_assert_str_eq(nearest("capcity"), "capacity");
    ck_assert_str_eq(nearest("slot-bytes"), "slot_bytes");
    ck_assert_str_eq(nearest("Stage"), "stages");
    ck_assert_str_eq(nearest("soruce"), "source");
    ck_assert_str_eq(nearest("cpus"), "cpu");
    ck_assert_str_eq(nearest("gpu"), "");
    ck_assert_str_eq(nearest("elephant"), "");
    ck_assert_str_eq(nearest(""), "");
    ck_assert_str_eq(nearest("capacitycapacitycapacitycapacitycapacity"), "");
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {sizes_carry_binary_and_decimal_units,
                                  durations_always_carry_a_unit,
                                  numbers_that_are_none_are_refused,
                                  the_largest_numbers_fit,
                                  every_power_of_two_in_range_and_nothing_else_is_a_capacity,
                                  numbers_print_as_they_would_be_written,
                                  real_numbers_read_and_print_alike,
                                  rates_are_a_second_and_above_zero,
                                  a_parameter_has_the_type_it_looks_like,
                                  a_parameter_that_readers_disagree_about_is_refused,
                                  variables_come_from_the_environment_or_have_a_default,
                                  wrong_variables_say_what_to_write,
                                  escaped_text_expands_to_itself,
                                  names_are_made_from_file_names,
                                  the_nearest_word_is_a_likely_one};
    return RUN_CASES("config_value", tests);
}
