/* Counted lanes seen from the host, against a device played by the test. */
#include "ring/counted.h"
#include "unit.h"
#include <string.h>
#include <sys/mman.h>

#define CAPACITY 64u
#define COUNT 1000u

static struct gq_link link_;
static struct gq_lane *lane;

static void set_up(void)
{
    struct gq_lane_opts opts = {.capacity = CAPACITY,
                                .slot_bytes = 32,
                                .generated = true,
                                .counted = true,
                                .timed = true,
                                .first_index = 7,
                                .index_step = 3,
                                .count = COUNT};
    ck_assert_int_eq(gq_link_create(&link_), GQ_OK);
    ck_assert_int_eq(gq_lane_create(&opts, &link_, &lane), GQ_OK);
    ck_assert_int_eq(mprotect(lane->view.out_head, lane->out_bytes, PROT_READ | PROT_WRITE), 0);
}

static void tear_down(void)
{
    gq_lane_destroy(lane);
    gq_link_finish(&link_);
}

static void tell(uint64_t end, uint64_t ok, uint64_t dropped, uint64_t failed, uint64_t bytes)
{
    const uint64_t data[GQ_COUNTS] = {ok, dropped, failed, bytes};
    for (uint32_t i = 0; i < GQ_COUNTS; i++)
        gq_store_unit(&lane->view.out_head->count[i], end, data[i]);
}

START_TEST(what_is_told_is_taken_once_and_makes_room)
{
    struct gq_counted c;
    ck_assert_uint_eq(gq_slot_limit(&lane->view), CAPACITY);
    ck_assert(!gq_lane_has_results(lane));
    ck_assert_int_eq(gq_counted_take(lane, &c), GQ_ERR_NOT_READY);
    tell(10, 7, 2, 1, 70);
    ck_assert(gq_lane_has_results(lane));
    ck_assert_int_eq(gq_counted_take(lane, &c), GQ_OK);
    ck_assert_uint_eq(c.first, 0);
    ck_assert_uint_eq(c.end, 10);
    ck_assert_uint_eq(c.ok, 7);
    ck_assert_uint_eq(c.dropped, 2);
    ck_assert_uint_eq(c.failed, 1);
    ck_assert_uint_eq(c.bytes, 70);
    ck_assert_uint_eq(gq_slot_limit(&lane->view), CAPACITY); /* the failed one's descriptor is still needed */
    gq_counted_release(lane, &c);
    ck_assert_uint_eq(gq_slot_limit(&lane->view), CAPACITY + 10);
    ck_assert_int_eq(gq_counted_take(lane, &c), GQ_ERR_NOT_READY);
    struct gq_lane_counts counts;
    gq_lane_get_counts(lane, &counts);
    ck_assert_uint_eq(counts.released, 10);
    ck_assert_uint_eq(counts.dropped, 2);
    ck_assert_uint_eq(counts.failed, 1);
    struct gq_histogram latency = {0};
    gq_lane_merge_latency(lane, &latency);
    ck_assert_uint_eq(latency.total, 10);
    ck_assert_uint_eq(gq_lane_unfinished(lane), CAPACITY);
}
END_TEST

START_TEST(words_that_do_not_belong_together_are_read_again)
{
    struct gq_counted c;
    tell(10, 10, 0, 0, 0);
    gq_store_unit(&lane->view.out_head->count[GQ_COUNT_BYTES], 9, 0);
    ck_assert_int_eq(gq_counted_take(lane, &c), GQ_ERR_NOT_READY);
    gq_store_unit(&lane->view.out_head->count[GQ_COUNT_BYTES], 10, 5);
    ck_assert_int_eq(gq_counted_take(lane, &c), GQ_OK);
    ck_assert_uint_eq(c.bytes, 5);
}
END_TEST

START_TEST(words_that_never_belong_together_are_an_error)
{
    struct gq_counted c;
    gq_status status = GQ_ERR_NOT_READY;
    tell(10, 10, 0, 0, 0);
    gq_store_unit(&lane->view.out_head->count[GQ_COUNT_BYTES], 9, 0);
    for (uint32_t i = 0; i < 1u << 21 && status == GQ_ERR_NOT_READY; i++)
        status = gq_counted_take(lane, &c);
    ck_assert_int_eq(status, GQ_ERR_DEVICE);
    ck_assert_ptr_nonnull(strstr(gq_error_text(), "lane 0 does not add up"));
}
END_TEST

START_TEST(a_worker_that_tells_nonsense_is_not_believed)
{
    struct gq_counted c;
    tell(CAPACITY + 1, CAPACITY + 1, 0, 0, 0); /* more than may have been made */
    ck_assert_int_eq(gq_counted_take(lane, &c), GQ_ERR_DEVICE);
    ck_assert_uint_eq(gq_counted_end(lane), CAPACITY);
    tell(10, 8, 1, 2, 0); /* they do not add up */
    ck_assert_int_eq(gq_counted_take(lane, &c), GQ_ERR_DEVICE);
    tell(10, UINT64_MAX - 1, 1, 11, 0); /* they do, but for what is lost above 64 bits */
    ck_assert_int_eq(gq_counted_take(lane, &c), GQ_ERR_DEVICE);
    tell(10, 10, 0, 0, 0);
    ck_assert_int_eq(gq_counted_take(lane, &c), GQ_OK);
    gq_counted_release(lane, &c);
    tell(5, 5, 0, 0, 0); /* backwards */
    ck_assert_int_eq(gq_counted_take(lane, &c), GQ_ERR_DEVICE);
}
END_TEST

/* The device: message seq failed. */
static void end_badly(uint64_t seq, uint32_t len, uint64_t meta)
{
    gq_store_unit(gq_slot_out(&lane->view, seq), seq + 1, 0);
    gq_slot_finish(&lane->view, seq, len, meta);
}

START_TEST(failed_messages_are_found_by_their_descriptors)
{
    struct gq_lane_result r;
    end_badly(3, 0, gq_meta(1, 0, GQ_RESULT_FAILED, 9));
    end_badly(5, 99, gq_meta(1, 0, GQ_RESULT_OVERFLOW, 0));
    for (uint64_t seq = 0; seq < 10; seq++)
        ck_assert_int_eq(gq_counted_failed(lane, seq, &r), seq == 3 || seq == 5);
    ck_assert(!gq_counted_failed(lane, 3 + CAPACITY, &r));     /* the lap before is not this one */
    ck_assert(!gq_counted_failed(lane, 3 + (1ull << 32), &r)); /* nor is one that had the same 32 bits */
}
END_TEST

START_TEST(all_messages_are_made_and_the_lane_ends)
{
    struct gq_counted c;
    uint64_t sum = 0;
    while (!gq_lane_idle(lane)) {
        const uint64_t limit = gq_slot_limit(&lane->view);
        ck_assert_uint_le(limit, COUNT);
        tell(limit, limit, 0, 0, limit * 2);
        ck_assert_int_eq(gq_counted_take(lane, &c), GQ_OK);
        gq_counted_release(lane, &c);
        sum += c.ok;
    }
    ck_assert_uint_eq(sum, COUNT);
    ck_assert_uint_eq(gq_lane_unfinished(lane), 0);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        what_is_told_is_taken_once_and_makes_room,      words_that_do_not_belong_together_are_read_again,
        words_that_never_belong_together_are_an_error,  a_worker_that_tells_nonsense_is_not_believed,
        failed_messages_are_found_by_their_descriptors, all_messages_are_made_and_the_lane_ends};
    return unit_run("counted", tests, sizeof tests / sizeof *tests, set_up, tear_down);
}
