/* Counted lanes seen from the host, against a device played by the test. */
#include "ring/counted.h"
#include "base/clock.h"
#include "lane_support.h"
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

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
    writable(lane->view.out_head, lane->out_bytes);
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
    ck_assert_uint_eq(counts.taken, 10);
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

/* --- another worker takes over --------------------------------------------------------------------------------------
 */

/* The next worker finds these numbers, and counts on. */
static void check_told(uint64_t end, uint64_t ok, uint64_t dropped, uint64_t failed, uint64_t bytes)
{
    const uint64_t expected[GQ_COUNTS] = {ok, dropped, failed, bytes};
    for (uint32_t i = 0; i < GQ_COUNTS; i++) {
        uint64_t stamp, data;
        gq_load_unit(&lane->view.out_head->count[i], &stamp, &data);
        ck_assert_uint_eq(stamp, end);
        ck_assert_uint_eq(data, expected[i]);
    }
}

static bool has_descriptor(uint64_t seq)
{
    uint32_t len;
    uint64_t meta;
    return gq_slot_ready(&lane->view, seq, &len, &meta);
}

static struct gq_counted take(void)
{
    struct gq_counted c;
    ck_assert_int_eq(gq_counted_take(lane, &c), GQ_OK);
    return c;
}

/* Messages up to `end` come and go, and all are good. */
static void pass_to(uint64_t end)
{
    const uint64_t before = lane->released;
    tell(end, lane->counts[GQ_COUNT_OK] + end - before, lane->counts[GQ_COUNT_DROPPED], lane->counts[GQ_COUNT_FAILED],
         lane->counts[GQ_COUNT_BYTES]);
    const struct gq_counted c = take();
    ck_assert_uint_eq(c.ok, end - before);
    gq_counted_release(lane, &c);
}

START_TEST(what_was_told_and_not_taken_is_made_again)
{
    struct gq_counted c;
    tell(10, 10, 0, 0, 100);
    const struct gq_lane_range range = renew(lane, NULL, 0);
    ck_assert(range.first == 0 && range.mixed == 0);
    check_told(0, 0, 0, 0, 0);
    ck_assert_int_eq(gq_counted_take(lane, &c), GQ_ERR_NOT_READY);
    ck_assert(!gq_lane_has_results(lane));
    ck_assert_uint_eq(gq_lane_unfinished(lane), CAPACITY);
    ck_assert(gq_lane_is_open(lane, gq_slot_id(0, 0)));
    tell(4, 3, 1, 0, 30);
    c = take();
    ck_assert(c.first == 0 && c.end == 4 && c.ok == 3 && c.dropped == 1 && c.failed == 0 && c.bytes == 30);
}
END_TEST

START_TEST(the_next_worker_counts_on_from_what_was_taken)
{
    struct gq_counted c;
    end_badly(3, 0, gq_meta(1, 0, GQ_RESULT_FAILED, 9));
    tell(10, 7, 2, 1, 70);
    c = take();
    gq_counted_release(lane, &c);
    tell(30, 27, 2, 1, 270);
    const struct gq_lane_range range = renew(lane, NULL, 0);
    ck_assert(range.first == 10 && range.mixed == 10);
    check_told(10, 7, 2, 1, 70);
    ck_assert_int_eq(gq_counted_take(lane, &c), GQ_ERR_NOT_READY);
    ck_assert_uint_eq(gq_counted_end(lane), 10);
    ck_assert(!has_descriptor(3));
    tell(15, 11, 3, 1, 100);
    c = take();
    ck_assert(c.first == 10 && c.end == 15 && c.ok == 4 && c.dropped == 1 && c.failed == 0 && c.bytes == 30);
    gq_counted_release(lane, &c);
    tell(12, 8, 3, 1, 80); /* a worker that counts from elsewhere does not add up */
    ck_assert_int_eq(gq_counted_take(lane, &c), GQ_ERR_DEVICE);
}
END_TEST

START_TEST(failed_messages_that_were_taken_can_still_be_asked_for)
{
    struct gq_lane_result r;
    pass_to(60); /* so that slots are those of a second lap */
    end_badly(62, 0, gq_meta(1, 0, GQ_RESULT_FAILED, 9));
    end_badly(66, 99, gq_meta(1, 0, GQ_RESULT_OVERFLOW, 0));
    end_badly(71, 0, gq_meta(1, 0, GQ_RESULT_FAILED, 9)); /* which is not taken */
    tell(70, 68, 0, 2, 5);
    const struct gq_counted c = take();
    const struct gq_lane_range range = renew(lane, NULL, 0);
    ck_assert(lane->released == 60 && range.first == 70 && range.mixed == 70);
    check_told(70, 68, 0, 2, 5);
    for (uint64_t seq = 60; seq < lane->submitted; seq++) {
        const bool is_one = seq == 62 || seq == 66;
        ck_assert(gq_counted_failed(lane, seq, &r) == is_one && has_descriptor(seq) == is_one);
    }
    ck_assert(gq_counted_failed(lane, 62, &r) && gq_meta_code(r.meta) == 9 && gq_meta_generation(r.meta) == 1);
    ck_assert(gq_counted_failed(lane, 66, &r) && r.len == 99 && gq_meta_status(r.meta) == GQ_RESULT_OVERFLOW);
    gq_counted_release(lane, &c);
    ck_assert_uint_eq(gq_slot_limit(&lane->view), 70 + CAPACITY);
}
END_TEST

START_TEST(who_was_given_up_has_failed_until_it_is_counted)
{
    uint8_t bytes[] = "good";
    const uint64_t fault = gq_meta(2, 1, GQ_RESULT_FAULTED, SIGSEGV);
    const struct gq_lane_ending endings[] = {
        {.id = gq_slot_id(0, 70), .meta = fault},
        {.id = gq_slot_id(0, 67), .meta = fault},
        {.id = gq_slot_id(0, 72), .meta = gq_meta(2, 0, GQ_RESULT_OK, 0), .len = 4, .data = bytes},
        {.id = gq_slot_id(0, 73), .meta = gq_meta(2, 0, GQ_RESULT_FAILED, 1)},
        {.id = gq_slot_id(0, 74), .meta = gq_meta(2, 0, GQ_RESULT_DROPPED, 0)},
        {.id = gq_slot_id(1, 75), .meta = fault},            /* another lane's */
        {.id = gq_slot_id(0, 59), .meta = fault},            /* it was taken before */
        {.id = gq_slot_id(0, 60 + CAPACITY), .meta = fault}, /* not made yet */
    };
    struct gq_lane_result r;
    pass_to(60);
    for (uint32_t deaths = 0; deaths < 3; deaths++) { /* the second and third worker die before they count it */
        const struct gq_lane_range range = renew(lane, endings, deaths == 0 ? 8 : 0);
        ck_assert(range.first == 60 && range.mixed == 71);
        check_told(60, 60, 0, 0, 0);
        for (uint64_t seq = 59; seq <= 60 + CAPACITY; seq++) {
            const bool is_one = seq == 67 || seq == 70;
            ck_assert(gq_counted_failed(lane, seq, &r) == is_one && has_descriptor(seq) == is_one);
            ck_assert_int_eq(gq_lane_is_open(lane, gq_slot_id(0, seq)), !is_one && seq >= 60 && seq < 60 + CAPACITY);
        }
        end_badly(62, 0, gq_meta(1, 0, GQ_RESULT_FAILED, 9)); /* made again each time */
    }
    tell(90, 88, 0, 2, 8);
    ck_assert_uint_eq(take().failed, 2);
    ck_assert(gq_counted_failed(lane, 70, &r) && r.meta == fault && r.len == 0);
    const struct gq_lane_range range = renew(lane, NULL, 0);
    ck_assert(range.first == 90 && range.mixed == 90 && gq_counted_failed(lane, 70, &r));
}
END_TEST

START_TEST(good_results_that_wait_are_of_the_generation_that_counts_them)
{
    link_.generation = 3;
    end_badly(0, 0, gq_meta(3, 0, GQ_RESULT_FAILED, 9));
    tell(1, 0, 0, 1, 0);
    ck_assert(!gq_lane_has_good(lane, 3));
    tell(2, 1, 0, 1, 0);
    ck_assert(gq_lane_has_good(lane, 3) && !gq_lane_has_good(lane, 4));
    take();
    ck_assert(!gq_lane_has_good(lane, 3));
    ck_assert(!gq_lane_is_open(lane, gq_slot_id(0, 1)) && gq_lane_is_open(lane, gq_slot_id(0, 2)));
}
END_TEST

/* A window's worker counts what ends well, and leaves descriptors of what fails. */
START_TEST(a_message_tried_alone_has_ended_when_it_is_counted)
{
    const uint64_t seqs[] = {5, 8, 9};
    struct gq_lane_window window;
    struct gq_lane_range range;
    struct gq_lane_ending ending;
    struct gq_lane_view view;
    ck_assert_int_eq(gq_lane_window_open(&window, lane, seqs, 3, &range), GQ_OK);
    for (uint32_t i = 0; i < 3; i++)
        ck_assert(!gq_lane_window_ending(&window, seqs[i], &ending));
    writable(window.view.out_head, window.out_bytes);
    view = window.view;
    gq_slot_finish(&view, 8, 0, gq_meta(1, 0, GQ_RESULT_FAILED, 9));
    gq_store_unit(&view.out_head->count[GQ_COUNT_OK], 9, 1);
    ck_assert(gq_lane_window_ending(&window, 5, &ending) && gq_meta_status(ending.meta) == GQ_RESULT_OK);
    ck_assert(ending.id == gq_slot_id(0, 5) && ending.len == 0 && !ending.data);
    ck_assert(gq_lane_window_ending(&window, 8, &ending) && gq_meta_status(ending.meta) == GQ_RESULT_FAILED);
    ck_assert(!gq_lane_window_ending(&window, 9, &ending));
    gq_lane_window_close(&window);
}
END_TEST

struct look {
    pid_t thread; /* atomic; 0: not there yet */
    gq_status status;
};

static void *take_once(void *arg)
{
    struct look *look = arg;
    struct gq_counted c;
    __atomic_store_n(&look->thread, (pid_t)syscall(SYS_gettid), __ATOMIC_RELEASE);
    look->status = gq_counted_take(lane, &c);
    return NULL;
}

static bool sleeps(pid_t thread)
{
    char path[64], state = 0;
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)thread);
    FILE *file = fopen(path, "r");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fscanf(file, "%*d (%*[^)]) %c", &state), 1);
    fclose(file);
    return state == 'S';
}

/* Who comes during a renewal, which has the lock, finds the fresh counts: those before it are counted again. */
START_TEST(counts_of_a_worker_are_not_taken_after_its_renewal)
{
    const uint64_t deadline = gq_clock_deadline(20000);
    struct look look = {0};
    pthread_t thread;
    tell(10, 10, 0, 0, 0);
    pthread_mutex_lock(&lane->lock);
    ck_assert_int_eq(pthread_create(&thread, NULL, take_once, &look), 0);
    pid_t id = 0;
    while (id == 0 || !sleeps(id)) {
        ck_assert_msg(!gq_clock_past(deadline), "the consumer does not wait");
        id = __atomic_load_n(&look.thread, __ATOMIC_ACQUIRE);
    }
    tell(0, 0, 0, 0, 0);
    pthread_mutex_unlock(&lane->lock);
    pthread_join(thread, NULL);
    ck_assert_int_eq(look.status, GQ_ERR_NOT_READY);
    ck_assert_uint_eq(lane->seen, 0);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {what_is_told_is_taken_once_and_makes_room,
                                  words_that_do_not_belong_together_are_read_again,
                                  words_that_never_belong_together_are_an_error,
                                  a_worker_that_tells_nonsense_is_not_believed,
                                  failed_messages_are_found_by_their_descriptors,
                                  all_messages_are_made_and_the_lane_ends,
                                  what_was_told_and_not_taken_is_made_again,
                                  the_next_worker_counts_on_from_what_was_taken,
                                  failed_messages_that_were_taken_can_still_be_asked_for,
                                  who_was_given_up_has_failed_until_it_is_counted,
                                  good_results_that_wait_are_of_the_generation_that_counts_them,
                                  a_message_tried_alone_has_ended_when_it_is_counted,
                                  counts_of_a_worker_are_not_taken_after_its_renewal};
    return unit_run("counted", tests, sizeof tests / sizeof *tests, set_up, tear_down);
}
