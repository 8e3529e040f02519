/* What a plugin's author reads when it does not compile: the user's file, line, column, a caret, and nothing of ours.
 */
#include "build_support.h"
#include <sys/stat.h>

#define P(name) GPUQ_TEST_PLUGINS "/" name

/* Builds with one compiler and returns what it said. */
static const char *log_of(const char *compiler, const char *path, gq_status expected)
{
    static char log[32768];
    struct gq_image image;
    setenv("GPUQ_CXX", compiler, 1);
    struct gq_builder *builder = test_builder(NULL);
    gq_status status = build_stage(builder, path, &image);
    ck_assert_msg(status == expected, "%s: %s: %s", path, gq_status_name(status), gq_error_text());
    snprintf(log, sizeof log, "%s", status == GQ_OK || image.log.len ? gq_text_str(&image.log) : gq_error_text());
    ck_assert_int_eq(image.fd >= 0, status == GQ_OK);
    gq_image_finish(&image);
    gq_builder_destroy(builder);
    return log;
}

static void expect_log(const char *path, gq_status status, const char *gcc, const char *clang)
{
    const char *const expected[] = {gcc, clang};
    for (size_t i = 0; i < 2; i++) {
        if (!have_compiler(compilers[i]))
            continue;
        const char *log = log_of(compilers[i], path, status);
        ck_assert_msg(strstr(log, expected[i]) == log, "%s said:\n%s\nexpected:\n%s", compilers[i], log, expected[i]);
        ck_assert_ptr_null(strstr(log, "gpuqueue-build"));
        ck_assert_ptr_null(strstr(log, "<gpuqueue>"));
    }
}

/* The first line of what each compiler says. */
static void expect_first(const char *path, const char *gcc, const char *clang)
{
    const char *const expected[] = {gcc, clang};
    for (size_t i = 0; i < 2; i++) {
        if (!have_compiler(compilers[i]))
            continue;
        const char *log = log_of(compilers[i], path, GQ_ERR_PLUGIN);
        const char *at = strstr(log, expected[i]);
        ck_assert_msg(at && at < strchrnul(log, '\n'), "%s said:\n%.800s\nexpected first:\n%s", compilers[i], log,
                      expected[i]);
    }
}

#define STAGE "__device__ void process_message(const MsgView &in, ResultView *out) { *out->out_len = in.len; }\n"

START_TEST(an_error_has_the_users_line_and_a_caret)
{
    expect_log(P("compile_error.cu"), GQ_ERR_PLUGIN,
               P("compile_error.cu") ":6:19: error: 'fooo' was not declared in this scope\n"
                                     "    6 |     out->out[0] = fooo;\n"
                                     "      |                   ^\n",
               P("compile_error.cu") ":6:19: error: use of undeclared identifier 'fooo'\n"
                                     "    6 |     out->out[0] = fooo;\n"
                                     "      |                   ^\n");
}
END_TEST

START_TEST(an_open_brace_is_the_users_not_the_templates)
{
    expect_log(P("unclosed_brace.cu"), GQ_ERR_PLUGIN,
               P("unclosed_brace.cu") ":6:6: error: expected '}' at end of input\n",
               P("unclosed_brace.cu") ":6:6: error: expected '}'\n");
}
END_TEST

START_TEST(a_missing_process_message_is_a_sentence)
{
    const char *sentence =
        P("no_message.cu") ": error: a stage's plugin defines `__device__ void process_message(const MsgView& in, "
                           "ResultView* out)`, and this one does not; it is a source plugin: name it as "
                           "source.plugin\n";
    expect_log(P("no_message.cu"), GQ_ERR_PLUGIN, sentence, sentence);
}
END_TEST

START_TEST(an_undefined_function_is_named_once)
{
    const char *sentence =
        P("undefined_helper.cu") ":3: error: helper(unsigned int) is declared and used, but not defined\n"
                                 "    3 | __device__ void process_message(const MsgView &in, ResultView *out) { "
                                 "*out->out_len = helper(in.len); }\n";
    expect_log(P("undefined_helper.cu"), GQ_ERR_PLUGIN, sentence, sentence);
    ck_assert_str_eq(log_of("g++", P("undefined_helper.cu"), GQ_ERR_PLUGIN), sentence);
}
END_TEST

START_TEST(a_wrong_use_of_the_shim_is_at_the_users_line)
{
    expect_log(
        P("small_atomic.cu"), GQ_ERR_PLUGIN,
        P("small_atomic.cu") ":5:14: error: static assertion failed: CUDA's atomics take numbers of 4 or 8 bytes\n",
        P("small_atomic.cu") ":5:5: error: static_assert failed due to requirement");
}
END_TEST

START_TEST(a_wrong_scope_is_a_sentence)
{
    const char *log = log_of("g++", P("bad_scope.cu"), GQ_ERR_PLUGIN);
    ck_assert_msg(strncmp(log, P("bad_scope.cu") ":2:", strlen(P("bad_scope.cu")) + 3) == 0, "%s", log);
    ck_assert_ptr_nonnull(strstr(log, "GQ_SCOPE(block, N): N is a multiple of 32, from 32 to 1024"));
}
END_TEST

START_TEST(a_scope_and_state_elsewhere_than_at_file_scope_are_refused)
{
    static const char *const words[] = {"GQ_SCOPE(warp);", "GQ_STATE(4, 1);"};
    char text[512];
    make_test_folder();
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        const char *what = i ? "GQ_STATE(bytes, version) stands at file scope" : "GQ_SCOPE stands at file scope";
        snprintf(text, sizeof text, "#include <gpuqueue/plugin.h>\nnamespace mine {\n%s\n}\n" STAGE, words[i]);
        expect_first(write_file("inside.cu", text), what, what);
        snprintf(text, sizeof text, "#include <gpuqueue/plugin.h>\n__device__ void f() {\n%s\n}\n" STAGE, words[i]);
        expect_first(write_file("local.cu", text), what, what);
        ck_assert_ptr_nonnull(strstr(log_of("g++", in_folder("local.cu"), GQ_ERR_PLUGIN), "local.cu:3:1: error: "));
    }
    remove_test_folder();
}
END_TEST

START_TEST(every_error_in_a_template_of_ours_is_at_the_users_line)
{
    make_test_folder();
    const char *path =
        write_file("cas.cu", "#include <gpuqueue/plugin.h>\n"
                             "__device__ float f(float *p) { return atomicCAS(p, 1.0f, 2.0f); }\n" STAGE);
    for (size_t i = 0; i < 2; i++)
        if (have_compiler(compilers[i])) {
            const char *log = log_of(compilers[i], path, GQ_ERR_PLUGIN);
            ck_assert_msg(strstr(log, "cas.cu:2:") && strstr(log, "atomicCAS takes integers"), "%s", log);
            ck_assert_msg(!strstr(log, "<gpuqueue>"), "%s said:\n%s", compilers[i], log);
        }
    remove_test_folder();
}
END_TEST

START_TEST(a_message_taken_by_value_is_a_sentence)
{
    make_test_folder();
    const char *path = write_file("value.cu", "#include <gpuqueue/plugin.h>\n"
                                              "__device__ void process_message(MsgView in, ResultView *out) {}\n");
    const char *sentence = "value.cu: error: a stage's plugin defines `__device__ void process_message(";
    expect_first(path, sentence, sentence);
    ck_assert_ptr_nonnull(strstr(log_of("g++", path, GQ_ERR_PLUGIN), "value.cu:2:17: note: candidate"));
    remove_test_folder();
}
END_TEST

START_TEST(warnings_are_kept_with_the_image)
{
    expect_log(P("warns.cu"), GQ_OK, P("warns.cu") ":4:9: warning: unused variable 'unused'\n    4 |     int unused;\n",
               P("warns.cu") ":4:9: warning: unused variable 'unused'");
}
END_TEST

START_TEST(what_a_cpu_cannot_run_is_refused_with_the_line)
{
    const char *log = log_of("g++", P("refused.cu"), GQ_ERR_PLUGIN);
    static const char *const places[] = {":2:10: error: libcu++",
                                         ":3:10: error: cooperative groups",
                                         ":4:8: error: extern __shared__",
                                         ":8:5: error: inline PTX",
                                         ":9:10: error: a plugin cannot start kernels",
                                         ":10:5: error: tensor cores",
                                         ":11:21: error: libcu++",
                                         ":11:49: error: textures"};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        ck_assert_msg(strstr(log, places[i]) != NULL, "no %s in\n%s", places[i], log);
}
END_TEST

START_TEST(shared_memory_of_the_launch_is_refused_in_any_order_of_its_words)
{
    static const char *const words[] = {"extern volatile __shared__ float s[];",
                                        "extern __align__(16) __shared__ int s[];",
                                        "extern __device__ __shared__ int s[];", "__shared__ extern int s[];",
                                        "volatile __shared__ __align__(8) extern int s[];"};
    char text[512];
    make_test_folder();
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        snprintf(text, sizeof text, "#include <gpuqueue/plugin.h>\n%s\n" STAGE, words[i]);
        const char *sentence = "error: extern __shared__ needs a launch that gives its size";
        expect_first(write_file("shared.cu", text), sentence, sentence);
    }
    ck_assert_str_eq(
        log_of("g++",
               write_file("fixed.cu", "#include <gpuqueue/plugin.h>\nextern int far;\n"
                                      "extern \"C\" { __shared__ int near; } int *g() { return &near; }\n" STAGE),
               GQ_OK),
        "");
    remove_test_folder();
}
END_TEST

START_TEST(machine_code_is_refused_by_kind)
{
    ck_assert_str_eq(log_of("g++", P("echo.ptx"), GQ_ERR_PLUGIN),
                     "plugin " P("echo.ptx") " is PTX, machine code for a GPU, which the CPU backend cannot run; give "
                                             "the .cu, or run it on a GPU with --backend cuda");
    make_test_folder();
    char head[64] = "\177ELF\002\001\001";
    head[18] = (char)190; /* EM_CUDA */
    const char *path = in_folder("k.cubin");
    ck_assert_int_eq(gq_file_write_atomic(path, head, sizeof head, 0644), GQ_OK);
    ck_assert_ptr_nonnull(
        strstr(log_of("g++", path, GQ_ERR_PLUGIN), "k.cubin is a cubin, machine code for a GPU, which"));
    ck_assert_ptr_nonnull(strstr(log_of("g++", "/proc/self/exe", GQ_ERR_PLUGIN), "is"));
    ck_assert_ptr_nonnull(strstr(log_of("g++", "/dev/null", GQ_ERR_PLUGIN), "is not a regular file"));
    ck_assert_ptr_nonnull(strstr(log_of("g++", in_folder("none.cu"), GQ_ERR_PLUGIN), "No such file"));
    remove_test_folder();
}
END_TEST

START_TEST(headers_beside_the_plugin_are_found_and_shown)
{
    make_test_folder();
    write_file("mine.h", "#pragma once\ninline int broken() { return qqqzzz; }\n");
    const char *path = write_file("uses.cu", "#include <gpuqueue/plugin.h>\n#include \"mine.h\"\n"
                                             "__device__ void process_message(const MsgView& in, ResultView* out) { "
                                             "*out->out_len = in.len; }\n");
    const char *log = log_of("g++", path, GQ_ERR_PLUGIN);
    ck_assert_ptr_nonnull(strstr(log, "/mine.h:2:30: error: 'qqqzzz' was not declared in this scope\n"
                                      "    2 | inline int broken() { return qqqzzz; }\n"));
    write_file("mine.h", "#pragma once\n\n  asm(\"bra here;\");\n");
    ck_assert_ptr_nonnull(strstr(log_of("g++", path, GQ_ERR_PLUGIN), "/mine.h:3:3: error: inline PTX"));
    remove_test_folder();
}
END_TEST

START_TEST(a_header_of_the_users_is_not_refused_for_its_name)
{
    make_test_folder();
    ck_assert_int_eq(mkdir(in_folder("cuda"), 0700), 0);
    write_file("cuda/mine.h", "#define LENGTH in.len\n");
    const char *path = write_file("uses.cu", "#include <gpuqueue/plugin.h>\n#include \"cuda/mine.h\"\n"
                                             "__device__ void process_message(const MsgView& in, ResultView* out) { "
                                             "*out->out_len = LENGTH; }\n");
    ck_assert_str_eq(log_of("g++", path, GQ_OK), "");
    path = write_file("theirs.cu", "#include <gpuqueue/plugin.h>\n#include \"cuda/atomic\"\n" STAGE);
    expect_first(path, "theirs.cu:2:10: error: libcu++", "theirs.cu:2:10: error: libcu++");
    remove_test_folder();
}
END_TEST

START_TEST(an_error_comes_before_those_who_include_its_file)
{
    make_test_folder();
    write_file("mine.h", "bad\n");
    write_file("outer.h", "#include \"mine.h\"\n");
    const char *path = write_file("uses.cu", "#include <gpuqueue/plugin.h>\n#include \"outer.h\"\n" STAGE);
    expect_first(path, "mine.h:1:1: error: 'bad' does not name a type", "mine.h:1:1: error: unknown type name 'bad'");
    const char *log = log_of("g++", path, GQ_ERR_PLUGIN);
    ck_assert_msg(strstr(log, "uses.cu:2:\n") > strstr(log, "^\nIn file included from "), "%s", log);
    remove_test_folder();
}
END_TEST

START_TEST(a_long_chain_of_includes_is_cut)
{
    make_test_folder();
    const char *path = write_file("self.cu", "#include \"self.cu\"\n" STAGE);
    expect_first(path, "error: #include nested depth", "error: #include nested too deeply");
    const char *log = log_of("g++", path, GQ_ERR_PLUGIN);
    const char *more = strstr(log, " more)\n                 from ");
    unsigned lines = 0;
    for (const char *at = log; more && at < more; at = strchr(at, '\n') + 1)
        lines++;
    ck_assert_msg(lines == 11, "%u lines in\n%.800s", lines, log);
    remove_test_folder();
}
END_TEST

START_TEST(an_error_in_a_template_comes_before_who_used_it)
{
    make_test_folder();
    const char *path = write_file("twice.cu", "#include <gpuqueue/plugin.h>\n"
                                              "template <class T> __device__ int first(T t) { return t.none; }\n"
                                              "__device__ int second() { return first(1); }\n" STAGE);
    expect_first(path, "twice.cu:2:57: error: request for member 'none'", "twice.cu:2:56: error: member reference");
    ck_assert_ptr_nonnull(strstr(log_of("g++", path, GQ_ERR_PLUGIN), "twice.cu:3:39:   required from here\n"));
    remove_test_folder();
}
END_TEST

START_TEST(errors_come_before_warnings)
{
    make_test_folder();
    const char *path = write_file("both.cu", "#include <gpuqueue/plugin.h>\n"
                                             "__device__ void first() { int unused; }\n"
                                             "bad;\n" STAGE);
    expect_first(path, "both.cu:3:1: error:", "both.cu:3:1: error:");
    ck_assert_ptr_nonnull(
        strstr(log_of("g++", path, GQ_ERR_PLUGIN), "\n    2 | __device__ void first() { int unused; }\n"));
    remove_test_folder();
}
END_TEST

/* gcc names no line for it, as for the memory that it does not get. */
START_TEST(what_gcc_says_of_itself_is_shown)
{
    make_test_folder();
    const char *path = write_file("depends.cu", "#include <gpuqueue/plugin.h>\n"
                                                "#pragma GCC dependency \"/root/none\"\n" STAGE);
    ck_assert_ptr_nonnull(strstr(log_of("g++", path, GQ_ERR_PLUGIN), "fatal error: /root/none: "));
    remove_test_folder();
}
END_TEST

/* U+009B is to a terminal what ESC [ is. */
START_TEST(no_control_character_of_the_plugin_reaches_a_terminal)
{
    make_test_folder();
    const char *path = write_file("odd.cu", "#include <gpuqueue/plugin.h>\n"
                                            "#warning \xc2\x9b"
                                            "2J\x1b[2J\x7f\xc3\xa9\n"
                                            "#line 7 \"o\xc2\x9b"
                                            "d.cu\"\nbad;\n" STAGE);
    const char *log = log_of("g++", path, GQ_ERR_PLUGIN);
    ck_assert_msg(strstr(log, "    2 | #warning ?2J?[2J?\xc3\xa9\n") && strstr(log, "o?d.cu:7:1: error: "), "%s", log);
    ck_assert_ptr_null(strstr(log, "\xc2\x9b"));
    remove_test_folder();
}
END_TEST

START_TEST(a_byte_order_mark_is_no_error)
{
    make_test_folder();
    write_file("mine.h", "\xef\xbb\xbf#pragma once\r\n#define LENGTH in.len\r\n");
    const char *path = write_file("marked.cu", "\xef\xbb\xbf#include <gpuqueue/plugin.h>\r\n#include \"mine.h\"\r\n"
                                               "__device__ void process_message(const MsgView& in, ResultView* out) { "
                                               "*out->out_len = LENGTH; }\r\n");
    ck_assert_str_eq(log_of("g++", path, GQ_OK), "");
    remove_test_folder();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("build_messages");
    TCase *tests = tcase_create("all");
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, an_error_has_the_users_line_and_a_caret);
    tcase_add_test(tests, an_open_brace_is_the_users_not_the_templates);
    tcase_add_test(tests, a_missing_process_message_is_a_sentence);
    tcase_add_test(tests, an_undefined_function_is_named_once);
    tcase_add_test(tests, a_wrong_use_of_the_shim_is_at_the_users_line);
    tcase_add_test(tests, a_wrong_scope_is_a_sentence);
    tcase_add_test(tests, a_scope_and_state_elsewhere_than_at_file_scope_are_refused);
    tcase_add_test(tests, every_error_in_a_template_of_ours_is_at_the_users_line);
    tcase_add_test(tests, a_message_taken_by_value_is_a_sentence);
    tcase_add_test(tests, warnings_are_kept_with_the_image);
    tcase_add_test(tests, what_a_cpu_cannot_run_is_refused_with_the_line);
    tcase_add_test(tests, shared_memory_of_the_launch_is_refused_in_any_order_of_its_words);
    tcase_add_test(tests, machine_code_is_refused_by_kind);
    tcase_add_test(tests, headers_beside_the_plugin_are_found_and_shown);
    tcase_add_test(tests, a_header_of_the_users_is_not_refused_for_its_name);
    tcase_add_test(tests, an_error_comes_before_those_who_include_its_file);
    tcase_add_test(tests, a_long_chain_of_includes_is_cut);
    tcase_add_test(tests, an_error_in_a_template_comes_before_who_used_it);
    tcase_add_test(tests, errors_come_before_warnings);
    tcase_add_test(tests, what_gcc_says_of_itself_is_shown);
    tcase_add_test(tests, no_control_character_of_the_plugin_reaches_a_terminal);
    tcase_add_test(tests, a_byte_order_mark_is_no_error);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
