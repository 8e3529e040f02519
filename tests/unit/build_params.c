/* Parameters: read from a plugin's text, checked against it, and compiled in as constants. */
#include "build_support.h"
#include "comma_locale.h"

#define PARAMS GPUQ_TEST_PLUGINS "/params.cu"

static void expect_params(const char *text, const char *expected)
{
    struct gq_plugin_param *params;
    size_t count;
    struct gq_text found = {0};
    make_test_folder();
    const char *path = write_file("p.cu", text);
    ck_assert_msg(gq_plugin_params(path, &params, &count) == GQ_OK, "%s", gq_error_text());
    for (size_t i = 0; i < count; i++)
        gq_text_printf(&found, "%s=%s@%u:%u ", params[i].name, params[i].default_text, params[i].line,
                       params[i].column);
    ck_assert_str_eq(gq_text_str(&found), expected);
    gq_text_finish(&found);
    gq_plugin_params_destroy(params, count);
    remove_test_folder();
}

START_TEST(names_are_found_where_a_compiler_finds_them)
{
    expect_params("int a = GQ_PARAM(key, 0x20);", "key=0x20@1:18 ");
    expect_params("int a = GQ_PARAM(one, 1),\n b = GQ_PARAM( two , f(1, (2)) ) + GQ_PARAM(one, 5);",
                  "one=1@1:18 two=f(1, (2))@2:16 ");
    expect_params("#define K GQ_PARAM(in_macro, \"a,b)\")\n", "in_macro=\"a,b)\"@1:20 ");
    expect_params("// GQ_PARAM(a, 1)\n/* GQ_PARAM(b, 1) */ const char *s = \"GQ_PARAM(c, 1)\";", "");
    expect_params("const char *r = R\"x(GQ_PARAM(a, 1) )\" )x\"; int n = 1'000 + GQ_PARAM(n, 2);", "n=2@1:69 ");
    expect_params("#if 0\nGQ_PARAM(no, 1)\n#elif 1\nGQ_PARAM(yes, 1)\n#else\nGQ_PARAM(no, 2)\n#endif", "yes=1@4:10 ");
    expect_params("#ifdef SOMETHING\nGQ_PARAM(a, 1)\n#else\nGQ_PARAM(b, 1)\n#endif", "a=1@2:10 b=1@4:10 ");
    expect_params("#ifdef GQ_CPU_SHIM\nGQ_PARAM(cpu, 1)\n#else\nGQ_PARAM(gpu, 1)\n#endif", "gpu=1@4:10 cpu=1@2:10 ");
    expect_params("#error don't GQ_PARAM(a, 1)\nGQ_PARAM(b, 2)", "b=2@2:10 ");
    expect_params("GQ_PARAM\\\n(spliced, 1)", "spliced=1@2:2 ");
}
END_TEST

START_TEST(broken_text_ends_the_scan_and_nothing_else)
{
    expect_params("GQ_PARAM(", "");
    expect_params("GQ_PARAM(a", "");
    expect_params("GQ_PARAM(a, ((((", "");
    expect_params("\"unclosed GQ_PARAM(a, 1)\nGQ_PARAM(b, 1)", "b=1@2:10 ");
    expect_params("/* unclosed GQ_PARAM(a, 1)", "");
    expect_params("R\"toolongadelimiterforarawstring(", "");
    expect_params("#if ((((((((((((((((((((((((((((((((((((((((((((((\nGQ_PARAM(a, 1)\n#endif\n#endif\n#else\n",
                  "a=1@2:10 ");
    expect_params("#include\n#include <\n#include \"\n#\n# 3\nGQ_PARAM(a, 1)", "a=1@6:10 ");
}
END_TEST

/* Builds params.cu with these values and returns what it writes. */
static const char *output_of(const struct gq_conf_param *params, size_t count)
{
    static _Alignas(16) uint8_t in[16], out[OUT_CAP];
    struct gq_cpu_msg msg;
    struct gq_image image;
    void *object;
    struct gq_builder *builder = test_builder(NULL);
    const struct gq_build_request request = {
        .path = PARAMS, .params = params, .param_count = count, .conf_file = "p.yaml"};
    gq_status status = gq_build(builder, &request, &image);
    ck_assert_msg(status == GQ_OK, "%s", gq_error_text());
    memset(out, 0, sizeof out);
    run_messages(load_image(&image, &object), &msg, 1, in, 1, out, 0);
    gq_dl_close(object);
    gq_image_finish(&image);
    gq_builder_destroy(builder);
    return (const char *)out;
}

START_TEST(values_are_constants_of_their_type)
{
    char text[] = "a\"\\?\n\x01\xc3\xa4 7";
    char flag[] = "flag", count[] = "count", scale[] = "scale", lowest[] = "lowest", name[] = "text";
    const struct gq_conf_param params[] = {{.name = name, .type = GQ_PARAM_STRING, .string = text},
                                           {.name = flag, .type = GQ_PARAM_BOOL, .boolean = true},
                                           {.name = count, .type = GQ_PARAM_INT, .integer = 7},
                                           {.name = scale, .type = GQ_PARAM_FLOAT, .real = 2.5},
                                           {.name = lowest, .type = GQ_PARAM_INT, .integer = INT64_MIN}};
    ck_assert_str_eq(output_of(NULL, 0), "nonen33+");
    ck_assert_str_eq(output_of(params, 5), "a\"\\?\n\x01\xc3\xa4 7y75-");
}
END_TEST

/* One that has a comma is another number, or two. */
START_TEST(a_number_is_the_same_in_every_locale)
{
    char scale[] = "scale";
    const struct gq_conf_param half = {.name = scale, .type = GQ_PARAM_FLOAT, .real = 2.5};
    char expected[16];
    snprintf(expected, sizeof expected, "%s", output_of(&half, 1));
    if (comma_locale_enter())
        ck_assert_str_eq(output_of(&half, 1), expected);
    comma_locale_leave();
    ck_assert_str_ne(output_of(NULL, 0), expected);
}
END_TEST

START_TEST(an_unknown_parameter_names_the_known_and_the_nearest)
{
    char name[] = "cuont";
    const struct gq_conf_param param = {.name = name, .type = GQ_PARAM_INT, .mark = {8, 17}};
    const struct gq_build_request request = {.path = PARAMS, .params = &param, .param_count = 1, .conf_file = "p.yaml"};
    struct gq_image image;
    struct gq_builder *builder = test_builder(NULL);
    ck_assert_int_eq(gq_build(builder, &request, &image), GQ_ERR_CONFIG);
    ck_assert_str_eq(gq_error_text(), "p.yaml:8:17: error: params.cuont is no parameter of " PARAMS
                                      "; it has count, text, flag, scale, lowest; did you mean count?");
    gq_image_finish(&image);
    gq_builder_destroy(builder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("build_params");
    TCase *tests = tcase_create("all");
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, names_are_found_where_a_compiler_finds_them);
    tcase_add_test(tests, broken_text_ends_the_scan_and_nothing_else);
    tcase_add_test(tests, values_are_constants_of_their_type);
    tcase_add_test(tests, a_number_is_the_same_in_every_locale);
    tcase_add_test(tests, an_unknown_parameter_names_the_known_and_the_nearest);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
