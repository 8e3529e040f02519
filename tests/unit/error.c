/* A thread's error record: sentences that are set, noted for later, wrapped and forgotten. */
#include "base/error.h"
#include "unit.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

START_TEST(a_noted_sentence_reads_as_a_set_one)
{
    ck_assert_int_eq(gq_error_note_number(GQ_ERR_FULL, "all ", UINT64_MAX, " slots are taken"), GQ_ERR_FULL);
    ck_assert_int_eq(gq_error_status(), GQ_ERR_FULL);
    ck_assert_str_eq(gq_error_text(), "all 18446744073709551615 slots are taken");
    ck_assert_str_eq(gq_error_text(), "all 18446744073709551615 slots are taken");
    ck_assert_int_eq(gq_error_note(GQ_ERR_NOT_READY, "nothing is 100%s ready"), GQ_ERR_NOT_READY);
    ck_assert_str_eq(gq_error_text(), "nothing is 100%s ready");
}
END_TEST

START_TEST(the_last_sentence_counts_however_it_came)
{
    gq_error_note(GQ_ERR_NOT_READY, "noted");
    gq_error_set(GQ_ERR_FULL, "set %d", 1);
    ck_assert_str_eq(gq_error_text(), "set 1");
    gq_error_note(GQ_ERR_NOT_READY, "noted");
    gq_error_clear();
    ck_assert_str_eq(gq_error_text(), "");
    ck_assert_int_eq(gq_error_status(), GQ_OK);
}
END_TEST

START_TEST(a_noted_sentence_can_be_wrapped_and_quoted)
{
    gq_error_note_number(GQ_ERR_FULL, "lane ", 7, " is full");
    gq_error_prefix(GQ_ERR_FULL, "queue '%s': ", "a");
    ck_assert_str_eq(gq_error_text(), "queue 'a': lane 7 is full");
    gq_error_note_number(GQ_ERR_FULL, "lane ", 8, " is full");
    gq_error_set(GQ_ERR_FULL, "again: %s", gq_error_text());
    ck_assert_str_eq(gq_error_text(), "again: lane 8 is full");
}
END_TEST

START_TEST(a_bound_that_nobody_thinks_of_is_named)
{
    gq_error_errno(GQ_ERR_NO_MEMORY, EFBIG, "making a page");
    ck_assert_str_eq(gq_error_text(),
                     "making a page: File too large (RLIMIT_FSIZE, see `ulimit -f`, bounds files and shared memory)");
    gq_error_errno(GQ_ERR_NO_MEMORY, EMFILE, "eventfd");
    ck_assert_str_eq(gq_error_text(), "eventfd: Too many open files (RLIMIT_NOFILE, see `ulimit -n`, bounds the "
                                      "descriptors of a process)");
    gq_error_errno(GQ_ERR_NO_MEMORY, ENOMEM, "making a page");
    ck_assert_str_eq(gq_error_text(), "making a page: Cannot allocate memory");
}
END_TEST

START_TEST(a_sentence_too_long_is_cut_and_ends)
{
    char text[2 * GQ_ERROR_TEXT_MAX];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    gq_error_set(GQ_ERR_DATA, "%s", text);
    ck_assert_uint_eq(strlen(gq_error_text()), GQ_ERROR_TEXT_MAX - 1);
    gq_error_prefix(GQ_ERR_DATA, "before: ");
    ck_assert_uint_eq(strlen(gq_error_text()), GQ_ERROR_TEXT_MAX - 1);
    ck_assert_int_eq(strncmp(gq_error_text(), "before: xxx", 11), 0);
}
END_TEST

START_TEST(a_long_log_is_cut_at_the_end_of_a_line)
{
    char text[2 * GQ_ERROR_TEXT_MAX] = "", word[8];
    for (int i = 0; strlen(text) < GQ_ERROR_TEXT_MAX + 100; i++)
        strcat(text, i % 10 == 9 ? "the last\n" : "a word, ");
    gq_error_set(GQ_ERR_PLUGIN, "%s", text);
    const size_t len = strlen(gq_error_text());
    ck_assert_uint_gt(len, GQ_ERROR_TEXT_MAX - 100);
    ck_assert_str_eq(gq_error_text() + len - 8, "the last");
    gq_error_prefix(GQ_ERR_PLUGIN, "%099d: ", 0);
    ck_assert_str_eq(gq_error_text() + strlen(gq_error_text()) - 8, "the last");
    memset(text, 'x', sizeof text - 1);
    snprintf(word, sizeof word, "\xc3\xa4");
    memcpy(text + GQ_ERROR_TEXT_MAX - 5, word, 2); /* the dots would begin in the middle of it */
    text[sizeof text - 1] = '\0';
    gq_error_set(GQ_ERR_PLUGIN, "%s", text);
    ck_assert_str_eq(gq_error_text() + strlen(gq_error_text()) - 5, "xx...");
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {a_noted_sentence_reads_as_a_set_one,        the_last_sentence_counts_however_it_came,
                                  a_noted_sentence_can_be_wrapped_and_quoted, a_bound_that_nobody_thinks_of_is_named,
                                  a_sentence_too_long_is_cut_and_ends,        a_long_log_is_cut_at_the_end_of_a_line};
    return unit_run("error", tests, sizeof tests / sizeof *tests, NULL, NULL);
}
