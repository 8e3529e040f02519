/* docs/reference/cpu-backend.md says what is so: its supported words occur in conformance plugins, its refused ones are
 * refused. */
#include "build_support.h"
#include "build/scan.h"
#include <ctype.h>

static struct gq_text page, conformance;

static void set_up(void)
{
    static const char *const files[] = {"arithmetic.cu", "language.cu", "block.cu", "warp.cu"};
    ck_assert_int_eq(gq_file_read(GPUQ_TEST_PLUGINS "/../../docs/reference/cpu-backend.md", 1 << 20, &page), GQ_OK);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        struct gq_text one = {0};
        char path[512];
        snprintf(path, sizeof path, "%s/conformance/%s", GPUQ_TEST_PLUGINS, files[i]);
        ck_assert_int_eq(gq_file_read(path, 1 << 20, &one), GQ_OK);
        gq_text_add(&conformance, one.data, one.len);
        gq_text_finish(&one);
    }
    make_test_folder();
}

static void tear_down(void)
{
    gq_text_finish(&page);
    gq_text_finish(&conformance);
    remove_test_folder();
}

static bool is_word_byte(char c) { return isalnum((unsigned char)c) || c == '_'; }

static bool occurs(const char *word)
{
    size_t n = strlen(word);
    for (const char *at = conformance.data; (at = strstr(at, word)) != NULL; at++)
        if (!is_word_byte(at[n]) && (at == conformance.data || !is_word_byte(at[-1])))
            return true;
    return false;
}

static void refused(const char *example)
{
    static struct gq_scan scan;
    ck_assert_msg(gq_scan_plugin(write_file("x.cu", example), GQ_SCAN_CPU, &scan) == GQ_ERR_PLUGIN, "not refused: %s",
                  example);
    ck_assert_ptr_nonnull(strstr(gq_error_text(), "x.cu:1:"));
    gq_scan_finish(&scan);
    ck_assert_msg(gq_scan_plugin(in_folder("x.cu"), GQ_SCAN_CUDA, &scan) == GQ_OK, "refused for a GPU too: %s",
                  example);
    gq_scan_finish(&scan);
}

static void supported(const char *word) { ck_assert_msg(occurs(word), "no conformance plugin uses %s", word); }

/* Calls `each` for the code spans in the first column of the table under `heading`; returns how many. */
static unsigned for_each_span(const char *heading, void (*each)(const char *span))
{
    unsigned count = 0;
    const char *line = strstr(page.data, heading);
    ck_assert_ptr_nonnull(line);
    const char *end = strstr(line + 3, "\n## ");
    while ((line = strstr(line, "\n| `")) != NULL && line < end) {
        const char *stop = strstr(line + 3, "` | ");
        ck_assert_ptr_nonnull(stop);
        for (const char *s = line; (s = strchr(s, '`')) != NULL && s <= stop;) {
            const char *close = strchr(s + 1, '`');
            char span[128];
            snprintf(span, sizeof span, "%.*s", (int)(close - s - 1), s + 1);
            each(span);
            count++;
            s = close + 1;
        }
        line++;
    }
    return count;
}

START_TEST(every_supported_word_is_checked) { ck_assert_uint_ge(for_each_span("\n## Supported", supported), 100); }
END_TEST
START_TEST(every_refused_example_is_refused) { ck_assert_uint_ge(for_each_span("\n## Refused", refused), 18); }
END_TEST

int main(void)
{
    Suite *suite = suite_create("cpu_document");
    TCase *tests = tcase_create("all");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, every_supported_word_is_checked);
    tcase_add_test(tests, every_refused_example_is_refused);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
