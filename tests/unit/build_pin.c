/* Pinned plugins: what is hashed is what is compiled, and what is not pinned is not compiled. */
#include "build/client.h"
#include "build/jail.h"
#include "build/pin.h"
#include "build_support.h"
#include <sys/stat.h>

#define HEAD "#include <gpuqueue/plugin.h>\n"
#define BODY "__device__ void process_message(const MsgView &, ResultView *out) { *out->out_len = SIZE; }\n"
#define HEX_DIGITS 64

static struct gq_builder *builder;

static void set_up(void)
{
    make_test_folder();
    mkdir(in_folder("plugins"), 0700);
    write_file("plugins/size.h", "#define SIZE 3\n");
    write_file("plugins/p.cu", "#include \"size.h\"\n" HEAD BODY);
    const struct gq_builder_opts opts = {.cache_folder = in_folder("cache"), .pins = in_folder("pins")};
    ck_assert_msg(gq_builder_create(&opts, &builder) == GQ_OK, "%s", gq_error_text());
}

static void tear_down(void)
{
    gq_builder_destroy(builder);
    remove_test_folder();
}

static void pin(void)
{
    struct gq_text lines = {0};
    ck_assert_msg(gq_pins_print(in_folder("plugins/p.cu"), &lines) == GQ_OK, "%s", gq_error_text());
    write_file("pins", gq_text_str(&lines));
    gq_text_finish(&lines);
}

/* The length that the compiled plugin answers with. */
static uint32_t built(void)
{
    static _Alignas(16) uint8_t in[16], out[OUT_CAP];
    struct gq_cpu_msg msg;
    struct gq_image image;
    void *object;
    ck_assert_msg(build_stage(builder, in_folder("plugins/p.cu"), &image) == GQ_OK, "%s", gq_error_text());
    run_messages(load_image(&image, &object), &msg, 1, in, 1, out, 0);
    gq_dl_close(object);
    gq_image_finish(&image);
    return msg.out_len;
}

static void refused(const char *file, const char *sentence)
{
    struct gq_image image;
    gq_status status = build_stage(builder, in_folder("plugins/p.cu"), &image);
    gq_image_finish(&image);
    ck_assert_msg(status == GQ_ERR_PLUGIN && gq_status_exit_code(status) == 65, "%s", gq_status_name(status));
    ck_assert_msg(strstr(gq_error_text(), file) && strstr(gq_error_text(), sentence), "%s", gq_error_text());
}

START_TEST(what_is_pinned_runs)
{
    pin();
    ck_assert_uint_eq(built(), 3);
    ck_assert_uint_eq(built(), 3);
}
END_TEST

START_TEST(without_a_pin_it_does_not)
{
    refused(in_folder("pins"), "the pins cannot be read");
    write_file("pins", "# nothing\n");
    refused("p.cu", "has no pin in");
    ck_assert_ptr_nonnull(strstr(gq_error_text(), "gpuq plugin pin"));
}
END_TEST

/* A slip of the hand would else pin nothing, without a word. */
START_TEST(a_line_that_is_no_pin_is_refused_with_its_place)
{
    static const char *const wrong[] = {
        "abc  plugins/p.cu", "plugins/p.cu",
        "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855  plugins/p.cu",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 plugins/p.cu",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  "};
    struct gq_text lines = {0};
    ck_assert_int_eq(gq_pins_print(in_folder("plugins/p.cu"), &lines), GQ_OK);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char text[4096];
        snprintf(text, sizeof text, "# of today\n\n%s%s\n", gq_text_str(&lines), wrong[i]);
        write_file("pins", text);
        refused("pins:5:1: error: ", "expected 64 digits 0 to 9 and a to f, two blanks and a path");
    }
    gq_text_puts(&lines, "\n \n# the end");
    write_file("pins", gq_text_str(&lines));
    ck_assert_uint_eq(built(), 3);
    gq_text_finish(&lines);
}
END_TEST

START_TEST(other_bytes_are_refused_with_both_digests)
{
    char first[HEX_DIGITS + 1], second[HEX_DIGITS + 1];
    struct gq_text lines = {0};
    pin();
    gq_pins_print(in_folder("plugins/p.cu"), &lines);
    snprintf(first, sizeof first, "%s", gq_text_str(&lines));
    write_file("plugins/p.cu", "#include \"size.h\"\n" HEAD BODY "// changed\n");
    gq_text_clear(&lines);
    gq_pins_print(in_folder("plugins/p.cu"), &lines);
    snprintf(second, sizeof second, "%s", gq_text_str(&lines));
    refused("p.cu", first);
    refused("p.cu", second);
    gq_text_finish(&lines);
}
END_TEST

START_TEST(a_header_is_pinned_as_the_plugin_is)
{
    pin();
    write_file("plugins/size.h", "#define SIZE 4\n");
    refused("size.h", "pins it to");
}
END_TEST

START_TEST(a_header_that_is_a_link_is_found_by_its_name)
{
    mkdir(in_folder("plugins/v2"), 0700);
    ck_assert_int_eq(rename(in_folder("plugins/size.h"), strdupa(in_folder("plugins/v2/real.h"))), 0);
    ck_assert_int_eq(symlink("v2/real.h", in_folder("plugins/size.h")), 0);
    pin();
    ck_assert_uint_eq(built(), 3);
    ck_assert_int_eq(symlink("v2", in_folder("plugins/now")), 0);
    write_file("plugins/p.cu", "#include \"now/real.h\"\n" HEAD BODY);
    pin();
    ck_assert_uint_eq(built(), 3);
}
END_TEST

/* The compiler finds what was checked, not what lies there by then. */
START_TEST(a_header_replaced_after_the_check_is_not_compiled)
{
    struct gq_scan *scan = calloc(1, sizeof *scan);
    struct gq_text copy = {0};
    pin();
    ck_assert_int_eq(gq_scan_plugin(in_folder("plugins/p.cu"), GQ_SCAN_CPU, scan), GQ_OK);
    ck_assert_int_eq(gq_pins_check(in_folder("pins"), scan), GQ_OK);
    write_file("plugins/size.h", "#define SIZE 4\n");
    ck_assert_int_eq(gq_pins_copy_headers(scan, in_folder("plugins"), &builder->headers), GQ_OK);
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/size.h", builder->headers.folder);
    ck_assert_int_eq(gq_file_read(path, 100, &copy), GQ_OK);
    ck_assert_str_eq(gq_text_str(&copy), "#define SIZE 3\n");
    gq_text_finish(&copy);
    gq_scan_finish(scan);
    free(scan);
}
END_TEST

/* What the text does not name was not checked. */
START_TEST(only_what_the_text_names_is_included)
{
    static const char *const ways[] = {
        "#define NAME \"size.h\"\n#include NAME\n", "#if __has_include(\"size.h\")\n#include \"size.h\"\n#endif\n",
        "#include_next \"size.h\"\n", "#import \"size.h\"\n", "#include \"/etc/passwd\"\n"};
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        char text[1024];
        snprintf(text, sizeof text, "%s" HEAD BODY, ways[i]);
        write_file("plugins/p.cu", text);
        pin();
        refused("p.cu", "includes what its text does not name");
    }
}
END_TEST

/* A directive that the host overlooks: the file is beside the plugin, and the compiler has no way to it. */
START_TEST(a_header_that_was_not_checked_cannot_be_read)
{
    char text[1024];
    setenv(GQ_JAIL_FOLDERS_VARIABLE, in_folder("plugins"), 1);
    snprintf(text, sizeof text, "%%:include \"%s\"\n" HEAD BODY, in_folder("plugins/size.h"));
    write_file("plugins/p.cu", text);
    pin();
    refused("p.cu", "size.h");
    write_file("plugins/p.cu", "%:include \"size.h\"\n" HEAD BODY);
    pin();
    refused("p.cu", "size.h");
}
END_TEST

/* gpuq plugin pin FILE >>PINS, for each version that may run. */
START_TEST(a_file_may_have_several_pins)
{
    static const char *const headers[] = {"#define SIZE 3\n", "#define SIZE 4\n", "#define SIZE 5\n"};
    struct gq_text all = {0};
    for (size_t i = 0; i < 2; i++) {
        struct gq_text lines = {0};
        write_file("plugins/size.h", headers[i]);
        ck_assert_int_eq(gq_pins_print(in_folder("plugins/p.cu"), &lines), GQ_OK);
        gq_text_puts(&all, gq_text_str(&lines));
        gq_text_finish(&lines);
    }
    write_file("pins", gq_text_str(&all));
    gq_text_finish(&all);
    for (size_t i = 0; i < 2; i++) {
        write_file("plugins/size.h", headers[i]);
        ck_assert_uint_eq(built(), 3 + (uint32_t)i);
    }
    write_file("plugins/size.h", headers[2]);
    refused("size.h", "pins it to");
}
END_TEST

START_TEST(a_line_that_an_editor_has_changed_says_how)
{
    struct gq_text lines = {0}, other = {0};
    ck_assert_int_eq(gq_pins_print(in_folder("plugins/p.cu"), &lines), GQ_OK);
    for (const char *at = gq_text_str(&lines); *at; at++)
        gq_text_printf(&other, *at == '\n' ? "\r%c" : "%c", *at);
    write_file("pins", gq_text_str(&other));
    refused(":1:1: error: this line is no pin: ", "carriage return");
    gq_text_clear(&other);
    gq_text_printf(&other, "\xef\xbb\xbf# pins\n%s", gq_text_str(&lines));
    write_file("pins", gq_text_str(&other));
    refused(":1:1: error: this line is no pin: ", "byte order mark");
    gq_text_finish(&lines);
    gq_text_finish(&other);
}
END_TEST

/* What only the CPU reads is pinned as well. */
START_TEST(headers_of_both_backends_are_printed)
{
    struct gq_text lines = {0};
    write_file("plugins/other.h", "#define OTHER\n");
    write_file("plugins/p.cu", "#include \"size.h\"\n#ifndef __CUDACC_RTC__\n#include \"other.h\"\n#endif\n" HEAD BODY);
    ck_assert_int_eq(gq_pins_print(in_folder("plugins/p.cu"), &lines), GQ_OK);
    ck_assert_msg(strstr(gq_text_str(&lines), "other.h\n") != NULL, "%s", gq_text_str(&lines));
    gq_text_finish(&lines);
    pin();
    ck_assert_uint_eq(built(), 3);
}
END_TEST

/* sha256sum puts a backslash before such a line; here a file of that name would have pinned another one. */
START_TEST(a_name_with_a_newline_is_no_pin)
{
    struct gq_text lines = {0};
    char name[256];
    snprintf(name, sizeof name, "plugins/x\n%s  other.cu",
             "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    write_file(name, HEAD "#define SIZE 3\n" BODY);
    ck_assert_int_eq(gq_pins_print(in_folder(name), &lines), GQ_ERR_PLUGIN);
    ck_assert_ptr_nonnull(strstr(gq_error_text(), "a newline in it cannot be pinned"));
    ck_assert_str_eq(gq_text_str(&lines), "");
    gq_text_finish(&lines);
}
END_TEST

START_TEST(what_others_can_write_is_refused)
{
    static const char *const paths[] = {"plugins/p.cu", "plugins/size.h", "plugins", "pins"};
    pin();
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        char sentence[600];
        struct stat info;
        ck_assert_int_eq(stat(in_folder(paths[i]), &info), 0);
        ck_assert_int_eq(chmod(in_folder(paths[i]), (info.st_mode & 0777) | (i % 2 ? 0002 : 0020)), 0);
        snprintf(sentence, sizeof sentence, "run: chmod go-w %s", in_folder(paths[i]));
        refused(in_folder(paths[i]), sentence);
        ck_assert_int_eq(chmod(in_folder(paths[i]), info.st_mode & 0777), 0);
    }
    ck_assert_uint_eq(built(), 3);
}
END_TEST

/* What a link leads to is replaced where it lies. */
START_TEST(what_a_link_leads_to_where_others_write_is_refused)
{
    static const char *const links[] = {"plugins/p.cu", "pins"};
    pin();
    for (size_t i = 0; i < sizeof links / sizeof *links; i++) {
        char link[512], real[512];
        snprintf(link, sizeof link, "%s", in_folder(links[i]));
        mkdir(in_folder("open"), 0700);
        snprintf(real, sizeof real, "%s", in_folder("open/file"));
        ck_assert_int_eq(rename(link, real), 0);
        ck_assert_int_eq(symlink(real, link), 0);
        ck_assert_int_eq(chmod(in_folder("open"), 0777), 0);
        refused("run: chmod go-w", in_folder("open"));
        ck_assert_int_eq(chmod(in_folder("open"), 0700), 0);
        ck_assert_uint_eq(built(), 3);
        ck_assert_int_eq(rename(real, link), 0);
    }
}
END_TEST

/* What others put into the cache was not checked, and what is pinned today may not be tomorrow. */
START_TEST(nothing_is_taken_from_the_cache_and_nothing_kept)
{
    struct gq_image image;
    write_file("plugins/p.cu", HEAD "#define SIZE 3\n" BODY);
    pin();
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(build_stage(builder, in_folder("plugins/p.cu"), &image), GQ_OK);
        ck_assert(!image.cached);
        gq_image_finish(&image);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("build_pin");
    TCase *tests = tcase_create("all");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, what_is_pinned_runs);
    tcase_add_test(tests, without_a_pin_it_does_not);
    tcase_add_test(tests, a_line_that_is_no_pin_is_refused_with_its_place);
    tcase_add_test(tests, other_bytes_are_refused_with_both_digests);
    tcase_add_test(tests, a_header_is_pinned_as_the_plugin_is);
    tcase_add_test(tests, a_header_that_is_a_link_is_found_by_its_name);
    tcase_add_test(tests, a_header_replaced_after_the_check_is_not_compiled);
    tcase_add_test(tests, only_what_the_text_names_is_included);
    if (gq_jail_version() > 0)
        tcase_add_test(tests, a_header_that_was_not_checked_cannot_be_read);
    tcase_add_test(tests, a_file_may_have_several_pins);
    tcase_add_test(tests, headers_of_both_backends_are_printed);
    tcase_add_test(tests, a_line_that_an_editor_has_changed_says_how);
    tcase_add_test(tests, a_name_with_a_newline_is_no_pin);
    tcase_add_test(tests, what_others_can_write_is_refused);
    tcase_add_test(tests, what_a_link_leads_to_where_others_write_is_refused);
    tcase_add_test(tests, nothing_is_taken_from_the_cache_and_nothing_kept);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
