/* What is said of a dead worker, from pages that it may have written over. */
#include "pipeline/remote.h"
#include "pipeline/version.h"
#include "unit.h"
#include <signal.h>
#include <stdlib.h>
#include <string.h>

static struct gq_conf_stage stage = {.name = "hash"};
static const struct gq_conf conf = {.source.kind = GQ_SOURCE_PLUGIN, .stages = &stage, .stage_count = 1};
static struct gq_worker_page *page;
static struct gq_text text;

static void set_up(void)
{
    page = calloc(1, sizeof *page);
    ck_assert(page != NULL);
    page->threads = 2;
}

static void tear_down(void)
{
    free(page);
    gq_text_finish(&text);
}

static void expect(int wait_status, const char *died, const char *sentence)
{
    gq_text_clear(&text);
    gq_post_mortem(&conf, NULL, page, wait_status, died, &text);
    ck_assert_str_eq(gq_text_str(&text), sentence);
}

START_TEST(a_crash_names_signal_stage_and_messages)
{
    page->crumb[1] = (struct gq_crumb){.holds = 4, .first = 10, .current = 11, .signal = SIGSEGV, .address = 8};
    expect(SIGSEGV, "",
           "the worker was killed by SIGSEGV at address 0x8 while it processed message 11 in stage 'hash'; claimed "
           "with it "
           "and not finished: messages 12 to 13");
    page->crumb[0] = (struct gq_crumb){.holds = 1, .first = 20, .current = 20};
    expect(SIGABRT << 8, "assertion failed",
           "assertion failed: message 11 in stage 'hash'; claimed with it and not finished: messages 12 to 13; lost in "
           "other threads: message 20 in stage 'hash'");
    page->crumb[1].current = 12;
    expect(SIGABRT << 8, "assertion failed",
           "assertion failed: message 12 in stage 'hash'; claimed with it and not finished: message 13; lost in "
           "other threads: message 20 in stage 'hash'");
}
END_TEST

static struct gq_code *add_version(struct gq_versions *versions, const char *plugin)
{
    struct gq_image image = {.fd = -1};
    struct gq_code *code;
    ck_assert_int_eq(gq_versions_add(versions, 0, plugin, &image, &code), GQ_OK);
    return code;
}

START_TEST(a_crash_is_told_of_the_version_that_ran)
{
    struct gq_versions *versions;
    ck_assert_int_eq(gq_versions_create(1, false, &versions), GQ_OK);
    add_version(versions, "a.cu"); /* what a pipeline starts with is no change */
    ck_assert_uint_eq(gq_versions_begin(versions, 0, add_version(versions, "b.cu")), 2);
    ck_assert_uint_eq(gq_versions_begin(versions, 0, add_version(versions, "c.cu")), 3);
    const struct {
        uint64_t generation;
        const char *told;
    } rows[] = {{1, "message 11 in stage 'hash'"},
                {2, "message 11 in stage 'hash' (version 2, b.cu)"},
                {3, "message 11 in stage 'hash' (version 3, c.cu)"},
                {0, "message 11 in stage 'hash' (version 3, c.cu)"},
                {UINT64_MAX, "message 11 in stage 'hash' (version 3, c.cu)"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        page->crumb[1] = (struct gq_crumb){
            .holds = 1, .first = 11, .current = 11, .signal = SIGILL, .generation = rows[i].generation};
        gq_text_clear(&text);
        gq_post_mortem(&conf, versions, page, SIGILL, "", &text);
        const char *said = gq_text_str(&text);
        ck_assert_str_eq(said + strlen(said) - strlen(rows[i].told), rows[i].told);
    }
    gq_versions_destroy(versions);
}
END_TEST

START_TEST(every_index_of_a_source_is_named_whole)
{
    page->crumb[0] =
        (struct gq_crumb){.holds = 1, .first = 1, .current = 0, .stage = GQ_CRUMB_SOURCE, .signal = SIGFPE};
    expect(SIGFPE, "", "the worker was killed by SIGFPE while it processed index 0 in stage 'source'");
    page->crumb[0].current = UINT64_C(1) << 62;
    expect(SIGFPE, "",
           "the worker was killed by SIGFPE while it processed index 4611686018427387904 in stage 'source'");
}
END_TEST

START_TEST(a_thread_without_a_message_is_not_blamed_on_one)
{
    page->crumb[0] = (struct gq_crumb){.signal = SIGILL};
    expect(SIGILL, "", "the worker was killed by SIGILL in a thread that processed no message");
    page->crumb[0] = (struct gq_crumb){0};
    expect(SIGKILL, "",
           "the worker was killed by SIGKILL (somebody killed it; the kernel does so when memory runs out)");
    expect(SIGKILL, "the worker did not answer", "the worker did not answer");
}
END_TEST

START_TEST(an_address_that_no_one_gave_is_not_0)
{
    page->crumb[0] = (struct gq_crumb){.signal = SIGSEGV, .address = GQ_ADDRESS_UNKNOWN};
    expect(SIGSEGV, "",
           "the worker was killed by SIGSEGV at an address that is not known in a thread that processed no message");
}
END_TEST

START_TEST(garbage_in_the_page_stays_within_bounds)
{
    memset(page, 0xff, sizeof *page);
    gq_post_mortem(&conf, NULL, page, SIGSEGV, "", &text);
    ck_assert(strstr(gq_text_str(&text), "SIGSEGV") != NULL);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_crash_names_signal_stage_and_messages,         a_crash_is_told_of_the_version_that_ran,
        every_index_of_a_source_is_named_whole,          an_address_that_no_one_gave_is_not_0,
        a_thread_without_a_message_is_not_blamed_on_one, garbage_in_the_page_stays_within_bounds};
    return unit_run("post mortem", tests, sizeof tests / sizeof *tests, set_up, tear_down);
}
