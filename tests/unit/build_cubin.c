/* A plugin compiled for a GPU: what its author reads when it does not compile, and what the cache tells apart. Skipped
 * where there is no NVRTC. */
#include "build_support.h"
#include "base/channel.h"
#include "build/elf.h"
#include "build/nvrtc.h"
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

#define P(name) GPUQ_TEST_PLUGINS "/" name
#define SKIP 77
#define HEAD "#include <gpuqueue/plugin.h>\n"
#define MESSAGE "__device__ void process_message(const MsgView &in, ResultView *out)"

static gq_status build_for(struct gq_builder *builder, const char *path, uint32_t arch, struct gq_image *image)
{
    const struct gq_build_request request = {.path = path, .arch = arch};
    return gq_build(builder, &request, image);
}

static const char *log_of(const char *path, gq_status expected)
{
    static char log[32768];
    struct gq_image image;
    struct gq_builder *builder = test_builder(NULL);
    gq_status status = build_for(builder, path, 90, &image);
    ck_assert_msg(status == expected, "%s: %s: %s", path, gq_status_name(status), gq_error_text());
    snprintf(log, sizeof log, "%s", status == GQ_OK || image.log.len ? gq_text_str(&image.log) : gq_error_text());
    ck_assert_ptr_null(strstr(log, "<gpuqueue>"));
    gq_image_finish(&image);
    gq_builder_destroy(builder);
    return log;
}

static void expect_log(const char *path, gq_status status, const char *expected)
{
    const char *log = log_of(path, status);
    ck_assert_msg(strstr(log, expected) == log, "%s\nexpected:\n%s", log, expected);
}

/* --- messages -------------------------------------------------------------------------------------------------------
 */

START_TEST(an_error_has_the_users_line_and_a_caret)
{
    expect_log(P("compile_error.cu"), GQ_ERR_PLUGIN,
               P("compile_error.cu") ":6:19: error: identifier \"fooo\" is undefined\n"
                                     "    6 |     out->out[0] = fooo;\n"
                                     "      |                   ^\n");
}
END_TEST

START_TEST(notes_between_an_error_and_its_caret_do_not_move_it)
{
    expect_log(P("small_atomic.cu"), GQ_ERR_PLUGIN,
               P("small_atomic.cu") ":5:5: error: no instance of overloaded function \"atomicAdd\" matches the "
                                    "argument list\n"
                                    "    5 |     atomicAdd(&count, in.len);\n"
                                    "      |     ^\n");
}
END_TEST

START_TEST(an_open_brace_is_the_users_not_the_templates)
{
    expect_log(P("unclosed_brace.cu"), GQ_ERR_PLUGIN,
               "At end of source: error: expected a \"}\"\n" P(
                   "unclosed_brace.cu") ":3:1: note: to match this \"{\"\n    3 | {\n");
}
END_TEST

START_TEST(an_undefined_function_is_named_as_it_was_written)
{
    expect_log(P("undefined_helper.cu"), GQ_ERR_PLUGIN,
               P("undefined_helper.cu") ": error: helper(...) is declared and used, but not defined\n");
}
END_TEST

START_TEST(a_missing_process_message_is_a_sentence)
{
    expect_log(P("no_message.cu"), GQ_ERR_PLUGIN,
               P("no_message.cu") ": error: a stage's plugin defines `__device__ void process_message(");
}
END_TEST

START_TEST(a_wrong_scope_is_a_sentence)
{
    const char *log = log_of(P("bad_scope.cu"), GQ_ERR_PLUGIN);
    ck_assert_msg(strstr(log, P("bad_scope.cu") ":2:") == log, "%s", log);
    ck_assert_ptr_nonnull(strstr(log, "GQ_SCOPE(block, N): N is a multiple of 32, from 32 to 1024"));
}
END_TEST

START_TEST(a_scope_and_state_elsewhere_than_at_file_scope_are_refused)
{
    const char *path = write_file("inside.cu", HEAD "namespace mine {\nGQ_SCOPE(warp);\n}\n" MESSAGE
                                                    "\n{\n    GQ_STATE(4, 1);\n    *out->out_len = in.len;\n}\n");
    const char *log = log_of(path, GQ_ERR_PLUGIN);
    ck_assert_msg(strstr(log, "inside.cu:3:1: error:") && strstr(log, "GQ_SCOPE stands at file scope"), "%s", log);
    ck_assert_msg(strstr(log, "inside.cu:7:5: error:") && strstr(log, "GQ_STATE(bytes, version) stands"), "%s", log);
}
END_TEST

START_TEST(a_message_taken_by_value_is_a_sentence)
{
    const char *path = write_file("value.cu", HEAD "__device__ void process_message(MsgView in, ResultView *out) {}\n");
    const char *log = log_of(path, GQ_ERR_PLUGIN);
    ck_assert_msg(strncmp(log, path, strlen(path)) == 0 && strstr(log, ": error: a stage's plugin defines `__device__"),
                  "%s", log);
}
END_TEST

START_TEST(the_words_of_stdint_and_stddef_are_there)
{
    const char *path = write_file(
        "words.cu", HEAD
        "#include <cstdint>\n#include <cstddef>\n"
        "struct S { int a, b; };\n"
        "static_assert(offsetof(S, b) == 4 && NULL == nullptr, \"stddef.h\");\n"
        "static_assert(UINT8_MAX == 255 && INT16_MIN == -32768 && UINT32_MAX == ~0u &&\n"
        "              INT32_MIN + INT32_MAX == -1 && UINT64_MAX == ~0ull && INT64_MIN < 0 &&\n"
        "              INT64_MAX > UINT32_MAX && SIZE_MAX == UINT64_MAX, \"limits\");\n"
        "static_assert(sizeof UINT64_C(1) == 8 && sizeof INT64_C(1) == 8 && sizeof UINT32_C(1) == 4,\n"
        "              \"constants\");\n"
        "static_assert(sizeof(uint_least8_t) == 1 && sizeof(uint_fast64_t) == 8 &&\n"
        "              sizeof(std::uint32_t) == 4 && sizeof(std::size_t) == sizeof(uintmax_t), \"types\");\n" MESSAGE
        " { *out->out_len = in.len; }\n");
    ck_assert_str_eq(log_of(path, GQ_OK), "");
    struct gq_image image;
    struct gq_builder *builder = test_builder(NULL);
    ck_assert_msg(build_stage(builder, path, &image) == GQ_OK, "on a CPU: %s", gq_error_text());
    gq_image_finish(&image);
    gq_builder_destroy(builder);
}
END_TEST

START_TEST(integers_of_128_bits_are_there)
{
    const char *path = write_file("wide.cu", HEAD MESSAGE "\n{\n    unsigned __int128 n = in.msg_id;\n"
                                                          "    n *= n;\n    *out->out_len = (uint32_t)(n >> 64);\n}\n");
    ck_assert_str_eq(log_of(path, GQ_OK), "");
}
END_TEST

START_TEST(warnings_are_kept_with_the_image)
{
    expect_log(P("warns.cu"), GQ_OK,
               P("warns.cu") ":4:9: warning: variable \"unused\" was declared but never referenced\n"
                             "    4 |     int unused;\n"
                             "      |         ^\n");
}
END_TEST

START_TEST(a_missing_header_is_at_its_include)
{
    const char *path = write_file("far.cu", HEAD "#include \"nowhere.h\"\n" MESSAGE " {}\n");
    const char *log = log_of(path, GQ_ERR_PLUGIN);
    ck_assert_msg(strncmp(log, path, strlen(path)) == 0 && strstr(log, ":2:") && strstr(log, "nowhere.h"), "%s", log);
}
END_TEST

START_TEST(headers_beside_the_plugin_are_found_and_shown)
{
    write_file("mine.h", "#pragma once\n__device__ int broken() { return qqqzzz; }\n");
    const char *path = write_file("uses.cu", HEAD "#include \"mine.h\"\n" MESSAGE " { *out->out_len = in.len; }\n");
    const char *log = log_of(path, GQ_ERR_PLUGIN);
    ck_assert_msg(strstr(log, "/mine.h:2:34: error: identifier \"qqqzzz\" is undefined\n"
                              "    2 | __device__ int broken() { return qqqzzz; }\n"),
                  "%s", log);
}
END_TEST

START_TEST(a_parameter_has_the_value_of_the_file)
{
    const char *path = write_file("param.cu", HEAD MESSAGE " { *out->out_len = 0; static_assert(GQ_PARAM(key, 3) == 4, "
                                                           "\"key\"); }\n");
    struct gq_conf_param param = {.name = (char[]){"key"}, .type = GQ_PARAM_INT, .integer = 4};
    const struct gq_build_request request = {.path = path, .arch = 90, .params = &param, .param_count = 1};
    struct gq_builder *builder = test_builder(NULL);
    struct gq_image image;
    ck_assert_msg(gq_build(builder, &request, &image) == GQ_OK, "%s", gq_error_text());
    gq_image_finish(&image);
    gq_builder_destroy(builder);
    ck_assert_ptr_nonnull(strstr(log_of(path, GQ_ERR_PLUGIN), "static assertion failed with \"key\""));
}
END_TEST

START_TEST(an_architecture_that_nvrtc_does_not_know_is_a_sentence)
{
    struct gq_builder *builder = test_builder(NULL);
    struct gq_image image;
    ck_assert_int_eq(build_for(builder, P("warns.cu"), 998, &image), GQ_ERR_UNAVAILABLE);
    ck_assert_ptr_nonnull(strstr(gq_error_text(), "and not for sm_998"));
    gq_image_finish(&image);
    gq_builder_destroy(builder);
}
END_TEST

/* --- the image ------------------------------------------------------------------------------------------------------
 */

START_TEST(a_cubin_says_what_it_is_and_takes)
{
    const char *path =
        write_file("kept.cu", HEAD "GQ_SCOPE(block, 96);\nGQ_STATE(24, 7);\n" MESSAGE " { *out->out_len = in.len; }\n");
    struct gq_builder *builder = test_builder(NULL);
    struct gq_image image;
    struct gq_text bytes = {0};
    struct gq_cuda_usage usage;
    struct gq_cpu_image info;
    ck_assert_msg(build_for(builder, path, 90, &image) == GQ_OK, "%s", gq_error_text());
    ck_assert_uint_eq(image.info.kind, GQ_IMAGE_STAGE);
    ck_assert_uint_eq(image.info.scope, 2);
    ck_assert_uint_eq(image.info.threads, 96);
    ck_assert_uint_eq(image.info.state_bytes, 24);
    ck_assert_uint_eq(image.info.state_version, 7);
    ck_assert_int_eq(gq_memfd_read(image.fd, 1 << 26, &bytes), GQ_OK);
    ck_assert_int_eq(gq_elf_cuda_usage(bytes.data, bytes.len, &usage), GQ_OK);
    ck_assert(usage.registers > 16 && usage.registers <= 255);
    ck_assert_uint_lt(usage.stack_bytes, 1024);
    for (size_t len = 0; len < bytes.len; len += 1 + bytes.len / 500) { /* cut anywhere, it is refused or the same */
        ck_assert(gq_elf_cuda_usage(bytes.data, len, &usage) != GQ_OK || usage.registers <= 255);
        ck_assert(gq_elf_cuda_image(bytes.data, len, &info) != GQ_OK || info.threads == 96);
    }
    gq_text_finish(&bytes);
    gq_image_finish(&image);
    gq_builder_destroy(builder);
}
END_TEST

/* --- the cache ------------------------------------------------------------------------------------------------------
 */

static void write_old(const char *name, const char *text)
{
    struct timespec old[2] = {{.tv_sec = time(NULL) - 60}, {.tv_sec = time(NULL) - 60}};
    ck_assert_int_eq(utimensat(AT_FDCWD, write_file(name, text), old, 0), 0);
}

/* Builds p.cu: whether it came from the cache, and its digest. */
static bool cached(struct gq_builder *builder, uint32_t arch, char digest[GQ_DIGEST_HEX])
{
    struct gq_image image;
    ck_assert_msg(build_for(builder, in_folder("p.cu"), arch, &image) == GQ_OK, "%s", gq_error_text());
    bool hit = image.cached;
    memcpy(digest, image.digest, GQ_DIGEST_HEX);
    gq_image_finish(&image);
    return hit;
}

START_TEST(the_cache_tells_headers_architectures_and_compilers_apart)
{
    char first[GQ_DIGEST_HEX], other[GQ_DIGEST_HEX], library[PATH_MAX], command[2 * PATH_MAX];
    write_old("size.h", "#define SIZE 3\n");
    write_file("p.cu", HEAD "#include \"size.h\"\n" MESSAGE " { *out->out_len = SIZE; }\n");
    struct gq_builder *builder = test_builder(in_folder("cache"));
    ck_assert(!cached(builder, 90, first));
    ck_assert(cached(builder, 90, other));
    ck_assert_str_eq(first, other);

    ck_assert(!cached(builder, 80, other));
    ck_assert_str_ne(first, other);
    ck_assert(!cached(builder, 0, other));
    ck_assert_str_ne(first, other);

    write_old("size.h", "#define SIZE 4\n");
    ck_assert(!cached(builder, 90, other));
    ck_assert_str_ne(first, other);
    ck_assert(cached(builder, 90, other));

    ck_assert_int_eq(mkdir(in_folder("sub"), 0700),
                     0); /* a header of a subfolder that includes one beside the plugin */
    write_old("sub/inner.h", "#include \"size.h\"\n");
    write_file("p.cu", HEAD "#include <sub/inner.h>\n" MESSAGE " { *out->out_len = SIZE; }\n");
    ck_assert(!cached(builder, 90, first));
    ck_assert(cached(builder, 90, other));
    write_old("size.h", "#define SIZE 5\n");
    ck_assert(!cached(builder, 90, other));
    ck_assert_str_ne(first, other);

    gq_nvrtc_find(library);
    snprintf(command, sizeof command, "cp -L '%s' '%s' && cp -L '%.*s'/libnvrtc-builtins.so* '%s'", library,
             in_folder("libnvrtc.so.13"), (int)(strrchr(library, '/') - library), library, test_folder);
    ck_assert_int_eq(system(command), 0);
    setenv("GPUQ_NVRTC", in_folder("libnvrtc.so.13"), 1);
    struct gq_builder *newer = test_builder(in_folder("cache"));
    ck_assert(!cached(newer, 90, other));
    gq_builder_destroy(newer);
    gq_builder_destroy(builder);
}
END_TEST

int main(void)
{
    if (gq_nvrtc_check() != GQ_OK) {
        printf("skipped: %s\n", gq_error_text());
        return SKIP;
    }
    Suite *suite = suite_create("build_cubin");
    TCase *tests = tcase_create("all");
    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, make_test_folder, remove_test_folder);
    tcase_add_test(tests, an_error_has_the_users_line_and_a_caret);
    tcase_add_test(tests, notes_between_an_error_and_its_caret_do_not_move_it);
    tcase_add_test(tests, an_open_brace_is_the_users_not_the_templates);
    tcase_add_test(tests, an_undefined_function_is_named_as_it_was_written);
    tcase_add_test(tests, a_missing_process_message_is_a_sentence);
    tcase_add_test(tests, a_wrong_scope_is_a_sentence);
    tcase_add_test(tests, a_scope_and_state_elsewhere_than_at_file_scope_are_refused);
    tcase_add_test(tests, a_message_taken_by_value_is_a_sentence);
    tcase_add_test(tests, the_words_of_stdint_and_stddef_are_there);
    tcase_add_test(tests, integers_of_128_bits_are_there);
    tcase_add_test(tests, warnings_are_kept_with_the_image);
    tcase_add_test(tests, a_missing_header_is_at_its_include);
    tcase_add_test(tests, headers_beside_the_plugin_are_found_and_shown);
    tcase_add_test(tests, a_parameter_has_the_value_of_the_file);
    tcase_add_test(tests, an_architecture_that_nvrtc_does_not_know_is_a_sentence);
    tcase_add_test(tests, a_cubin_says_what_it_is_and_takes);
    tcase_add_test(tests, the_cache_tells_headers_architectures_and_compilers_apart);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
