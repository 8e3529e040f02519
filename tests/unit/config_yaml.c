/* The tree that pipeline files and golden files are read into. */
#include "config/yaml.h"
#include "config_support.h"
#include <time.h>

#define PATIENCE_NS 2000000000u /* without the depth limit libyaml takes 39 s for a tenth of these bytes */

static struct gq_problems problems;
static struct gq_yaml *root;

/* Of the processor, which others may have meanwhile. */
static uint64_t taken_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static gq_status read_bytes(const char *text, size_t len)
{
    gq_yaml_destroy(root);
    gq_problems_finish(&problems);
    return gq_yaml_read(text, len, &problems, &root);
}

static gq_status read_text(const char *text) { return read_bytes(text, strlen(text)); }

static void assert_problem(size_t i, unsigned line, unsigned column, const char *path, const char *part)
{
    ck_assert_uint_lt(i, problems.kept);
    ck_assert_uint_eq(problems.list[i].mark.line, line);
    ck_assert_uint_eq(problems.list[i].mark.column, column);
    ck_assert_str_eq(problems.list[i].path, path);
    ck_assert_msg(strstr(problems.list[i].message, part), "'%s' in '%s'", part, problems.list[i].message);
}

START_TEST(a_node_knows_its_place_in_characters)
{
    ck_assert_int_eq(read_text("a: 1\n\"\u00e4\u20ac\U0001f600\": { k: [x, 'y'] }\n"), GQ_OK);
    ck_assert_uint_eq(root->count, 2);
    const struct gq_yaml *flow = root->items[1];
    ck_assert_uint_eq(flow->key_mark.line, 2);
    ck_assert_uint_eq(flow->key_mark.column, 1);
    ck_assert_uint_eq(flow->mark.column, 8);
    const struct gq_yaml *y = gq_yaml_get(flow, "k")->items[1];
    ck_assert_uint_eq(y->mark.column, 17);
    ck_assert_uint_eq(y->key_mark.column, 17);
    ck_assert_ptr_null(y->key);
}
END_TEST

START_TEST(a_node_knows_its_path)
{
    ck_assert_int_eq(read_text("stages:\n  - a: 1\n  - b: { c: [1, 2] }\n"), GQ_OK);
    struct gq_text path = {0};
    const struct gq_yaml *b = gq_yaml_get(root, "stages")->items[1]->items[0];
    gq_yaml_path(gq_yaml_get(b, "c")->items[1], &path);
    ck_assert_str_eq(path.data, "stages[1].b.c[1]");
    gq_text_finish(&path);
}
END_TEST

START_TEST(only_plain_words_are_null_or_unquoted)
{
    ck_assert_int_eq(read_text("[~, null, '', \"~\", Null, x, , |\n]"), GQ_ERR_CONFIG);
    ck_assert_int_eq(read_text("- ~\n- null\n-\n- ''\n- \"null\"\n- |\n  null\n"), GQ_OK);
    for (size_t i = 0; i < root->count; i++) {
        ck_assert_int_eq(gq_yaml_is_null(root->items[i]), i < 3);
        ck_assert_int_eq(root->items[i]->quoted, i >= 3);
    }
}
END_TEST

START_TEST(a_quoted_scalar_may_hold_nul_and_a_key_may_not)
{
    ck_assert_int_eq(read_text("a: \"x\\0y\"\n"), GQ_OK);
    ck_assert_uint_eq(root->items[0]->len, 3);
    ck_assert_mem_eq(root->items[0]->text, "x\0y", 4);
    ck_assert_int_eq(read_text("\"k\\0\": 1\n"), GQ_ERR_CONFIG);
    assert_problem(0, 1, 1, "", "NUL");
}
END_TEST

START_TEST(a_key_given_twice_names_the_first_place)
{
    ck_assert_int_eq(read_text("a: 1\nb:\n  c: 1\n  c: 2\na: 3\na: 4\n"), GQ_ERR_CONFIG);
    ck_assert_uint_eq(problems.count, 3);
    assert_problem(0, 4, 3, "b.c", "line 3, column 3");
    assert_problem(1, 5, 1, "a", "line 1, column 1");
    assert_problem(2, 6, 1, "a", "line 1, column 1");
    ck_assert_str_eq(gq_yaml_get(root, "a")->text, "1");
}
END_TEST

START_TEST(anchors_aliases_and_tags_are_refused_each_at_its_place)
{
    ck_assert_int_eq(read_text("a: &x 1\nb: *x\nc: !!str 2\nd: 3\n"), GQ_ERR_CONFIG);
    ck_assert_uint_eq(problems.count, 3);
    assert_problem(0, 1, 4, "a", "'&x'");
    assert_problem(1, 2, 4, "b", "'*x'");
    assert_problem(2, 3, 4, "c", "tags");
    ck_assert(!gq_yaml_get(root, "d")->bad);
}
END_TEST

START_TEST(what_was_read_before_a_break_is_kept)
{
    ck_assert_int_eq(read_text("a: 1\nb: { c: 2, d: \"x\n"), GQ_ERR_CONFIG);
    ck_assert(root->cut);
    const struct gq_yaml *b = gq_yaml_get(root, "b");
    ck_assert(b->cut);
    ck_assert_str_eq(gq_yaml_get(b, "c")->text, "2");
    ck_assert_ptr_null(gq_yaml_get(b, "d"));
}
END_TEST

/* A unit repeated up to a megabyte. */
static void refuse_quickly(const char *unit)
{
    size_t len = strlen(unit), total = GQ_YAML_BYTES_MAX / len * len;
    char *text = malloc(total);
    ck_assert_ptr_nonnull(text);
    for (size_t i = 0; i < total; i += len)
        memcpy(text + i, unit, len);
    uint64_t start = taken_ns();
    gq_status status = read_bytes(text, total);
    uint64_t took = taken_ns() - start;
    free(text);
    ck_assert_msg(status == GQ_ERR_CONFIG, "'%s' was accepted", unit);
    ck_assert_msg(took < PATIENCE_NS, "'%s' took %llu ns", unit, (unsigned long long)took);
}

START_TEST(a_megabyte_of_nesting_is_refused_at_once)
{
    static const char *const units[] = {"[",   "{",   "- ",   "? ",   "[{", "{a: ", "[a, ",
                                        "&a ", "!a ", "a: {", "- - ", "\"", "{? "};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        refuse_quickly(units[i]);
}
END_TEST

START_TEST(a_megabyte_of_anything_else_is_soon_decided)
{
    static const char *const units[] = {"a: 1\n", "- 1\n", "*a\n", "---\n", "? a\n", "%A\n", "''\n", ": \n", "{},\n"};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        refuse_quickly(units[i]);
}
END_TEST

START_TEST(depth_has_its_limit_and_reaches_it)
{
    ck_assert_int_eq(read_text("[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]"), GQ_OK);
    ck_assert_int_eq(read_text("[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]"), GQ_ERR_CONFIG);
    assert_problem(0, 1, 17, "[0][0][0][0][0][0][0][0][0][0][0][0][0][0][0]", "16 levels");
}
END_TEST

/* 25,000 keys, of which only the last stands twice: comparing each with each would take minutes with a sanitizer. */
START_TEST(many_keys_are_compared_in_time)
{
    struct gq_text text = {0};
    for (int i = 0; i < 24990; i++)
        gq_text_printf(&text, "key_that_is_long_%05d: 1\n", i);
    gq_text_puts(&text, "key_that_is_long_00000: 1\n");
    uint64_t start = taken_ns();
    ck_assert_int_eq(read_bytes(text.data, text.len), GQ_ERR_CONFIG);
    ck_assert_uint_lt(taken_ns() - start, PATIENCE_NS);
    assert_problem(0, 24991, 1, "key_that_is_long_00000", "line 1, column 1");
    gq_text_finish(&text);
}
END_TEST

START_TEST(events_and_bytes_have_limits)
{
    struct gq_text text = {0};
    for (int i = 0; i < 50000; i++)
        gq_text_puts(&text, "- 1\n");
    ck_assert_int_eq(read_bytes(text.data, text.len), GQ_ERR_CONFIG);
    ck_assert_msg(strstr(problems.list[0].message, "50000"), "%s", problems.list[0].message);
    gq_text_clear(&text);
    gq_text_puts(&text, "a: ");
    for (int i = 0; i < 1 << 20; i++)
        gq_text_puts(&text, "x");
    ck_assert_int_eq(read_bytes(text.data, GQ_YAML_BYTES_MAX), GQ_OK);
    ck_assert_int_eq(read_bytes(text.data, GQ_YAML_BYTES_MAX + 1), GQ_ERR_CONFIG);
    ck_assert_msg(strstr(problems.list[0].message, "1048577 bytes"), "%s", problems.list[0].message);
    gq_text_finish(&text);
}
END_TEST

START_TEST(bytes_that_are_not_text_are_named)
{
    ck_assert_int_eq(read_bytes("a: 1\nb: \xff", 9), GQ_ERR_CONFIG);
    assert_problem(0, 2, 4, "", "0xff");
    ck_assert_int_eq(read_bytes("a\r\nb\rc\0", 7), GQ_ERR_CONFIG);
    assert_problem(0, 3, 2, "", "NUL");
    ck_assert_int_eq(read_bytes("\xff\xfe"
                                "a\0",
                                4),
                     GQ_ERR_CONFIG);
    assert_problem(0, 1, 1, "", "UTF-16");
    ck_assert_int_eq(read_text("a: \xed\xa0\x80"), GQ_ERR_CONFIG);
    ck_assert_int_eq(read_text("a: \xc0\xaf"), GQ_ERR_CONFIG);
    ck_assert_int_eq(read_text("a: \x1b[2J"), GQ_ERR_CONFIG);
    assert_problem(0, 1, 4, "", "U+001B");
}
END_TEST

START_TEST(a_byte_order_mark_is_no_column)
{
    ck_assert_int_eq(read_text("\xef\xbb\xbfkey: 1\n"), GQ_OK);
    ck_assert_str_eq(root->items[0]->key, "key");
    ck_assert_uint_eq(root->items[0]->key_mark.column, 1);
    ck_assert_uint_eq(root->items[0]->mark.column, 6);
}
END_TEST

START_TEST(an_empty_text_is_nothing)
{
    ck_assert_int_eq(read_text(""), GQ_OK);
    ck_assert_ptr_null(root);
    ck_assert_int_eq(read_text("# only a comment\n"), GQ_OK);
    ck_assert_ptr_null(root);
}
END_TEST

START_TEST(what_is_written_reads_back)
{
    static const char *const texts[] = {"plain",
                                        "a/b.c",
                                        "./x",
                                        "../x",
                                        "",
                                        " ",
                                        "true",
                                        "No",
                                        "12",
                                        "0x1",
                                        "1e3",
                                        ".inf",
                                        "- a",
                                        "a: b",
                                        "#x",
                                        "x #y",
                                        "&a",
                                        "*a",
                                        "!a",
                                        "%a",
                                        "@a",
                                        "`a",
                                        "{a}",
                                        "[a",
                                        "a,b",
                                        "~",
                                        "null",
                                        "\"q\"",
                                        "it's",
                                        "\\",
                                        "tab\there",
                                        "line\nbreak",
                                        "\x01\x7f",
                                        "\xc2\x85\u2028\ufeff",
                                        "\u00e4\U0001f600",
                                        "y"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct gq_text text = {0};
        gq_text_puts(&text, "- ");
        gq_yaml_write(&text, texts[i]);
        ck_assert_msg(read_bytes(text.data, text.len) == GQ_OK, "%s", text.data);
        ck_assert_str_eq(root->items[0]->text, texts[i]);
        ck_assert(root->items[0]->quoted || strspn(texts[i], "abcdefghijklmnopqrstuvwxyz./") == strlen(texts[i]));
        gq_text_finish(&text);
    }
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {a_node_knows_its_place_in_characters,
                                  a_node_knows_its_path,
                                  only_plain_words_are_null_or_unquoted,
                                  a_quoted_scalar_may_hold_nul_and_a_key_may_not,
                                  a_key_given_twice_names_the_first_place,
                                  anchors_aliases_and_tags_are_refused_each_at_its_place,
                                  what_was_read_before_a_break_is_kept,
                                  a_megabyte_of_nesting_is_refused_at_once,
                                  a_megabyte_of_anything_else_is_soon_decided,
                                  depth_has_its_limit_and_reaches_it,
                                  many_keys_are_compared_in_time,
                                  events_and_bytes_have_limits,
                                  bytes_that_are_not_text_are_named,
                                  a_byte_order_mark_is_no_column,
                                  an_empty_text_is_nothing,
                                  what_is_written_reads_back};
    return RUN_CASES("config_yaml", tests);
}
