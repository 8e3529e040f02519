/* The promises of gpuqueue.h, kept by a real queue: worker process, compiled plugin, shared memory. */
#include <check.h>
#include <gpuqueue.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "tree.h"
#include "unit/unit.h"

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static GpuQueue *open_with(const char *plugin, uint32_t capacity, uint32_t slot_bytes)
{
    QueueConfig cfg = {.capacity = capacity, .slot_bytes = slot_bytes};
    if (plugin)
        setenv("GPUQ_PLUGIN", plugin, 1);
    else
        unsetenv("GPUQ_PLUGIN");
    GpuQueue *q = q_init(&cfg);
    ck_assert_msg(q != NULL, "%s", q_last_error());
    return q;
}

/* Asks until the message is finished. */
static QueueStatus take(GpuQueue *q, uint64_t id, void *buffer, size_t *len)
{
    size_t room = *len;
    QueueStatus status;
    for (double end = now() + 20; (*len = room, status = q_try_dequeue_result(q, id, buffer, len)) == Q_ERR_NOT_READY;)
        ck_assert_msg(now() < end, "message %llu is not ready after 20 s", (unsigned long long)id);
    return status;
}

static void expect_echo(GpuQueue *q, const char *text)
{
    char buffer[4096];
    uint64_t id;
    size_t len = sizeof buffer;
    ck_assert_int_eq(q_enqueue(q, text, strlen(text), &id, 20000), Q_OK);
    ck_assert_int_eq(take(q, id, buffer, &len), Q_OK);
    ck_assert_uint_eq(len, strlen(text));
    ck_assert_mem_eq(buffer, text, len);
}

START_TEST(a_message_comes_back)
{
    GpuQueue *q = open_with(NULL, 16, 64);
    expect_echo(q, "hello");
    expect_echo(q, "");
    q_shutdown(q);
    ck_assert_str_eq(q_last_error(), "");
}
END_TEST

START_TEST(ids_grow_and_length_limits_hold)
{
    GpuQueue *q = open_with(NULL, 16, 64);
    char bytes[65] = {0};
    uint64_t last = 0, id;
    for (int i = 0; i < 10; i++) {
        ck_assert_int_eq(q_enqueue(q, bytes, 64, &id, 0), Q_OK);
        ck_assert_uint_gt(id, last);
        last = id;
    }
    ck_assert_int_eq(q_enqueue(q, bytes, 65, &id, 0), Q_ERR_INVALID_ARG);
    ck_assert_msg(strstr(q_last_error(), "65") && strstr(q_last_error(), "64"), "%s", q_last_error());
    ck_assert_int_eq(q_enqueue(q, NULL, 1, &id, 0), Q_ERR_INVALID_ARG);
    ck_assert_int_eq(q_enqueue(q, NULL, 0, NULL, 0), Q_OK);
    ck_assert_int_eq(q_enqueue(NULL, bytes, 1, &id, 0), Q_ERR_INVALID_ARG);
    q_shutdown(q);
}
END_TEST

START_TEST(a_full_queue_is_full_at_once_or_after_the_time_allowed)
{
    GpuQueue *q = open_with(NULL, 4, 64);
    QueueStats stats;
    uint64_t id;
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(q_enqueue(q, "x", 1, &id, 0), Q_OK);
    ck_assert_int_eq(q_enqueue(q, "x", 1, &id, 0), Q_ERR_FULL);
    ck_assert_int_eq(q_enqueue_async(q, "x", 1, &id), Q_ERR_FULL);
    double start = now();
    ck_assert_int_eq(q_enqueue(q, "x", 1, &id, 50), Q_ERR_TIMEOUT);
    ck_assert(now() - start >= 0.05 && now() - start < 5);
    ck_assert_int_eq(q_stats(q, &stats), Q_OK);
    ck_assert_uint_eq(stats.enq_count, 4);
    ck_assert_uint_eq(stats.dropped_full, 3);
    ck_assert_uint_eq(stats.queue_depth, 4);
    q_shutdown(q);
}
END_TEST

static void *take_one_later(void *arg)
{
    char buffer[64];
    size_t len = sizeof buffer;
    usleep(50000);
    ck_assert_int_eq(take(arg, 1, buffer, &len), Q_OK);
    return NULL;
}

START_TEST(a_waiting_enqueue_gets_the_slot_another_thread_frees)
{
    GpuQueue *q = open_with(NULL, 2, 64);
    pthread_t other;
    uint64_t id;
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(q_enqueue(q, "x", 1, &id, 0), Q_OK);
    pthread_create(&other, NULL, take_one_later, q);
    ck_assert_int_eq(q_enqueue(q, "x", 1, &id, 10000), Q_OK);
    pthread_join(other, NULL);
    q_shutdown(q);
}
END_TEST

START_TEST(a_buffer_too_small_leaves_the_result_and_says_its_size)
{
    GpuQueue *q = open_with(NULL, 4, 64);
    char buffer[64];
    uint64_t id;
    size_t len = 3;
    q_enqueue(q, "sixsix", 6, &id, 0);
    ck_assert_int_eq(take(q, id, buffer, &len), Q_ERR_INVALID_ARG);
    ck_assert_uint_eq(len, 6);
    ck_assert_int_eq(q_try_dequeue_result(q, id, buffer, &len), Q_OK);
    ck_assert_int_eq(q_try_dequeue_result(q, id, buffer, &len), Q_ERR_NOT_FOUND);
    ck_assert_int_eq(q_try_dequeue_result(q, id + 1, buffer, &len), Q_ERR_NOT_FOUND);
    ck_assert_int_eq(q_try_dequeue_result(q, 0, buffer, &len), Q_ERR_NOT_FOUND);
    ck_assert_int_eq(q_try_dequeue_result(q, UINT64_MAX, buffer, &len), Q_ERR_NOT_FOUND);
    ck_assert_int_eq(q_wait_enqueue(q, id, 0), Q_OK);
    ck_assert_int_eq(q_wait_enqueue(q, id + 1, 0), Q_ERR_NOT_FOUND);
    q_shutdown(q);
}
END_TEST

START_TEST(a_batch_says_how_far_it_came)
{
    GpuQueue *q = open_with(NULL, 4, 8);
    EnqueueItem items[6] = {{"a", 1}, {"bb", 2}, {"", 0}, {"dddd", 4}, {"e", 1}, {"f", 1}};
    uint64_t ids[6];
    size_t done;
    ck_assert_int_eq(q_enqueue_batch(q, items, 6, ids, &done, 0), Q_ERR_FULL);
    ck_assert_uint_eq(done, 4);
    ck_assert_int_eq(q_enqueue_batch(q, items + 4, 2, ids + 4, &done, 20), Q_ERR_TIMEOUT);
    ck_assert_uint_eq(done, 0);
    for (int i = 0; i < 4; i++) {
        char buffer[8];
        size_t len = sizeof buffer;
        ck_assert_int_eq(take(q, ids[i], buffer, &len), Q_OK);
        ck_assert_uint_eq(len, items[i].len);
        ck_assert_mem_eq(buffer, items[i].data, len);
    }
    items[1].len = 9;
    ck_assert_int_eq(q_enqueue_batch(q, items, 6, ids, &done, 1000), Q_ERR_INVALID_ARG);
    ck_assert_uint_eq(done, 1);
    expect_echo(q, "after");
    q_shutdown(q);
}
END_TEST

START_TEST(completions_are_reported_once_and_in_order)
{
    GpuQueue *q = open_with(NULL, 64, 8);
    uint64_t ids[40], polled[64];
    size_t seen = 0, count;
    for (int i = 0; i < 40; i++)
        ck_assert_int_eq(q_enqueue(q, &i, sizeof i, &ids[i], 0), Q_OK);
    for (double end = now() + 20; seen < 40;) {
        ck_assert_int_eq(q_wait_completions(q, 20000), Q_OK);
        ck_assert_int_eq(q_poll_completions(q, polled + seen, 7, &count), Q_OK);
        seen += count;
        ck_assert(now() < end);
    }
    for (int i = 0; i < 40; i++) {
        char buffer[8];
        size_t len = sizeof buffer;
        ck_assert_uint_eq(polled[i], ids[i]);
        ck_assert_int_eq(q_try_dequeue_result(q, ids[i], buffer, &len), Q_OK);
    }
    ck_assert_int_eq(q_poll_completions(q, polled, 64, &count), Q_OK);
    ck_assert_uint_eq(count, 0);
    ck_assert_int_eq(q_wait_completions(q, 0), Q_OK); /* nothing is outstanding */
    q_shutdown(q);
}
END_TEST

static void *poll_one_later(void *q)
{
    uint64_t id;
    size_t count = 0;
    while (count == 0)
        q_poll_completions(q, &id, 1, &count);
    return NULL;
}

START_TEST(nobody_waits_for_results_that_were_handed_out)
{
    GpuQueue *q = open_with(NULL, 8, 16);
    pthread_t other;
    for (uint64_t i = 0; i < 50; i++) {
        QResult result;
        size_t count;
        ck_assert_int_eq(q_enqueue(q, "x", 1, NULL, 20000), Q_OK);
        pthread_create(&other, NULL, poll_one_later, q);
        ck_assert_int_eq(q_wait_completions(q, 5000), Q_OK); /* whichever of the two sees it first */
        pthread_join(other, NULL);
        ck_assert_int_eq(q_wait_completions(q, 5000), Q_OK); /* reported, and not yet taken */
        ck_assert_int_eq(q_peek(q, &result, 1, &count, 0), Q_ERR_NOT_READY);
        size_t len = sizeof result;
        ck_assert_int_eq(q_try_dequeue_result(q, i + 1, &result, &len), Q_OK);
    }
    q_shutdown(q);
}
END_TEST

START_TEST(in_place_claims_and_results)
{
    GpuQueue *q = open_with(NULL, 8, 100);
    QClaim claims[16];
    QResult results[16];
    size_t got, count, taken = 0;
    ck_assert_int_eq(q_peek(q, results, 16, &count, 0), Q_ERR_NOT_READY);
    ck_assert_int_eq(q_claim(q, claims, 16, &got, 0), Q_OK);
    ck_assert_uint_eq(got, 8);
    ck_assert_int_eq(q_claim(q, claims + 8, 1, &count, 0), Q_ERR_FULL);
    ck_assert_int_eq(q_enqueue(q, "x", 1, NULL, 0), Q_ERR_INVALID_ARG);
    for (uint32_t i = 0; i < 8; i++) {
        ck_assert_uint_eq((uintptr_t)claims[i].data % 16, 0);
        ck_assert_uint_eq(claims[i].cap, 100);
        memset(claims[i].data, 'a' + (int)i, i);
        claims[i].len = i;
    }
    ck_assert_int_eq(q_commit(q, claims + 1, 1), Q_ERR_INVALID_ARG); /* not the oldest */
    claims[2].len = 101;
    ck_assert_int_eq(q_commit(q, claims, 8), Q_ERR_INVALID_ARG);
    claims[2].len = 2;
    ck_assert_int_eq(q_commit(q, claims, 3), Q_OK);
    ck_assert_int_eq(q_commit(q, claims + 3, 5), Q_OK);
    ck_assert_int_eq(q_commit(q, claims, 1), Q_ERR_INVALID_ARG);
    while (taken < 8) {
        ck_assert_int_eq(q_peek(q, results + taken, 8 - taken, &count, 10000), Q_OK);
        taken += count;
    }
    for (uint32_t i = 0; i < 8; i++) {
        ck_assert_uint_eq(results[i].msg_id, claims[i].msg_id);
        ck_assert_uint_eq(results[i].len, i);
        ck_assert_uint_eq(results[i].generation, 1);
        for (uint32_t k = 0; k < i; k++)
            ck_assert_uint_eq(((const uint8_t *)results[i].data)[k], 'a' + i);
    }
    ck_assert_int_eq(q_peek(q, results, 1, &count, 10), Q_ERR_TIMEOUT);
    ck_assert_int_eq(q_release(q, results + 4, 4), Q_OK);
    ck_assert_int_eq(q_release(q, results, 4), Q_OK);
    ck_assert_int_eq(q_release(q, results, 1), Q_ERR_NOT_FOUND);
    expect_echo(q, "after");
    q_shutdown(q);
}
END_TEST

START_TEST(results_go_back_in_any_order)
{
    enum { COUNT = 512 };
    static QClaim claims[COUNT];
    static QResult results[COUNT], mixed[COUNT];
    size_t n, got = 0;
    GpuQueue *q = open_with(NULL, COUNT, 16);
    for (int lap = 0; lap < 4; lap++, got = 0) {
        ck_assert_int_eq(q_claim(q, claims, COUNT, &n, 0), Q_OK);
        ck_assert_uint_eq(n, COUNT);
        for (size_t i = 0; i < COUNT; i++) {
            memcpy(claims[i].data, &claims[i].msg_id, 8);
            claims[i].len = i == COUNT - 1 ? 17 : 8;
        }
        ck_assert_int_eq(q_commit(q, claims, COUNT), Q_ERR_INVALID_ARG); /* none, for the last is too long */
        claims[COUNT - 1].len = 8;
        ck_assert_int_eq(q_commit(q, claims, COUNT), Q_OK);
        for (; got < COUNT; got += n)
            ck_assert_msg(q_peek(q, results + got, COUNT - got, &n, 20000) == Q_OK, "%s", q_last_error());
        for (size_t i = 0; i < COUNT; i++) {
            ck_assert(results[i].msg_id == claims[i].msg_id && results[i].len == 8);
            ck_assert_mem_eq(results[i].data, &results[i].msg_id, 8);
            /* lap 0 in order, 1 in reverse, 2 the second half first, 3 in long rows and single ones by turns */
            mixed[lap == 1   ? COUNT - 1 - i
                  : lap == 2 ? (i + COUNT / 2) % COUNT
                  : lap == 3 ? i ^ (i & 64) >> 6
                             : i] = results[i];
        }
        ck_assert_msg(q_release(q, mixed, COUNT - 1) == Q_OK, "%s", q_last_error());
        ck_assert_int_eq(q_release(q, mixed + COUNT - 2, 2), Q_ERR_NOT_FOUND);
        ck_assert_int_eq(q_release(q, mixed + COUNT - 1, 1), Q_OK);
        ck_assert_int_eq(q_release(q, mixed, COUNT), Q_ERR_NOT_FOUND);
    }
    QueueStats stats;
    ck_assert_int_eq(q_stats(q, &stats), Q_OK);
    ck_assert(stats.queue_depth == 0 && stats.deq_count == 4 * COUNT);
    q_shutdown(q);
}
END_TEST

START_TEST(what_was_taken_counts_in_any_order)
{
    GpuQueue *q = open_with(NULL, 8, 64);
    uint64_t ids[4];
    char buffer[64];
    QResult results[4];
    QueueStats stats;
    size_t count = 0, len = sizeof buffer;
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(q_enqueue(q, "x", 1, &ids[i], 0), Q_OK);
    ck_assert_int_eq(take(q, ids[2], buffer, &len), Q_OK);
    ck_assert_int_eq(q_stats(q, &stats), Q_OK);
    ck_assert(stats.deq_count == 1 && stats.queue_depth == 3);
    for (size_t got; count < 3; count += got)
        ck_assert_int_eq(q_peek(q, &results[count], 4 - count, &got, 20000), Q_OK);
    ck_assert_int_eq(q_release(q, &results[2], 1), Q_OK);
    ck_assert_int_eq(q_stats(q, &stats), Q_OK);
    ck_assert(stats.deq_count == 2 && stats.queue_depth == 2);
    ck_assert_int_eq(q_release(q, results, 2), Q_OK);
    ck_assert_int_eq(q_stats(q, &stats), Q_OK);
    ck_assert(stats.enq_count == 4 && stats.deq_count == 4 && stats.queue_depth == 0);
    q_shutdown(q);
}
END_TEST

START_TEST(dropped_and_failed_messages_say_so)
{
    GpuQueue *q = open_with(tree_fate(), 8, 16);
    QueueStats stats;
    uint64_t drop, fail, good;
    char buffer[16];
    size_t len = sizeof buffer;
    q_enqueue(q, "drop", 4, &drop, 0);
    q_enqueue(q, "fail", 4, &fail, 0);
    q_enqueue(q, "good", 4, &good, 0);
    ck_assert_int_eq(take(q, good, buffer, &len), Q_OK);
    len = sizeof buffer;
    ck_assert_int_eq(take(q, drop, buffer, &len), Q_ERR_NOT_FOUND);
    ck_assert_msg(strstr(q_last_error(), "dropped by stage 'plugin'"), "%s", q_last_error());
    len = sizeof buffer;
    ck_assert_int_eq(take(q, fail, buffer, &len), Q_ERR_CUDA);
    ck_assert_msg(strstr(q_last_error(), "failed in stage 'plugin' with code 42"), "%s", q_last_error());
    ck_assert_int_eq(q_try_dequeue_result(q, fail, buffer, &len), Q_ERR_NOT_FOUND);
    ck_assert_int_eq(q_stats(q, &stats), Q_OK);
    ck_assert_uint_eq(stats.retries, 3);
    ck_assert_uint_eq(stats.queue_depth, 0);
    q_shutdown(q);
}
END_TEST

START_TEST(a_crash_is_a_sentence_for_its_message_and_a_pause_for_the_others)
{
    GpuQueue *q = open_with(tree_fate(), 64, 16);
    uint64_t ids[20];
    char buffer[16];
    size_t len, count;
    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(q_enqueue(q, "good", 4, &ids[i], 0), Q_OK);
    for (int i = 0; i < 10; i++) {
        len = sizeof buffer;
        ck_assert_int_eq(take(q, ids[i], buffer, &len), Q_OK);
    }
    for (int i = 10; i < 15; i++)
        ck_assert_int_eq(q_enqueue(q, "good", 4, &ids[i], 0), Q_OK);
    for (int i = 10; i < 15; i++) { /* finished, and left where they are: another thread may not have them in hand */
        len = 1;
        ck_assert_int_eq(take(q, ids[i], buffer, &len), Q_ERR_INVALID_ARG);
    }
    for (int i = 15; i < 20; i++)
        ck_assert_int_eq(q_enqueue(q, i == 15 ? "segv" : "good", 4, &ids[i], 0), Q_OK);
    len = sizeof buffer;
    ck_assert_int_eq(take(q, ids[15], buffer, &len), Q_ERR_CUDA);
    if (strstr(q_last_error(), "CUDA_ERROR")) { /* a GPU reports the fault for the whole device, some time after it */
        q_shutdown(q);
        return;
    }
    ck_assert_msg(strstr(q_last_error(), "SIGSEGV") && strstr(q_last_error(), "stage 'plugin'") &&
                      strstr(q_last_error(), "message 16 "),
                  "%s", q_last_error());
    for (int i = 10; i < 15; i++) {
        len = sizeof buffer;
        ck_assert_int_eq(q_try_dequeue_result(q, ids[i], buffer, &len), Q_OK);
    }
    for (int i = 16; i < 20; i++) {
        len = sizeof buffer;
        ck_assert_int_eq(take(q, ids[i], buffer, &len), Q_OK);
    }
    ck_assert_int_eq(take(q, ids[15], buffer, &len), Q_ERR_NOT_FOUND); /* it was told once */
    QResult r;
    ck_assert_int_eq(q_enqueue(q, "segv", 4, &ids[0], 20000), Q_OK);
    ck_assert_int_eq(q_peek(q, &r, 1, &count, 20000), Q_OK);
    ck_assert(count == 1 && r.msg_id == ids[0] && r.status == Q_RESULT_FAULTED && r.code == SIGSEGV && r.len == 0);
    ck_assert_int_eq(q_release(q, &r, 1), Q_OK);
    q_shutdown(q);
    ck_assert_int_eq(q_enqueue(q, "good", 4, &ids[0], 1000), Q_ERR_SHUTDOWN);
}
END_TEST

static void *take_one_slowly(void *q)
{
    char buffer[16];
    size_t len = sizeof buffer;
    uint64_t id;
    ck_assert_int_eq(q_enqueue(q, "slow", 4, &id, 0), Q_OK);
    ck_assert_int_eq(take(q, id, buffer, &len), Q_OK);
    return NULL;
}

START_TEST(a_long_message_holds_up_no_other)
{
    char path[] = "/tmp/gpuq-slow-XXXXXX", buffer[16];
    FILE *f = fdopen(mkstemp(path), "w");
    fprintf(f,
            "version: 1\nname: slow\ncpu: { threads: 2 }\nqueue: { capacity: 8, slot_bytes: 16 }\n"
            "stages: [{ plugin: %s }]\n",
            tree_fate());
    fclose(f);
    GpuQueue *q = q_open(path);
    unlink(path);
    ck_assert_msg(q != NULL, "%s", q_last_error());
    pthread_t other;
    double best = 1;
    pthread_create(&other, NULL, take_one_slowly, q);
    usleep(200000); /* by now one worker thread is busy and the other asleep */
    for (int i = 0; i < 5;
         i++) { /* the first finds the idle thread at any point of its sleep, the others at its start */
        uint64_t id;
        size_t len = sizeof buffer;
        double start = now();
        ck_assert_int_eq(q_enqueue(q, "good", 4, &id, 0), Q_OK);
        ck_assert_int_eq(take(q, id, buffer, &len), Q_OK);
        best = i > 0 && now() - start < best ? now() - start : best;
        usleep(20000); /* long enough for that thread to fall asleep again */
    }
    pthread_join(other, NULL);
    ck_assert_msg(best < 0.05, "every message waited %.1f ms or longer beside an idle thread", best * 1e3);
    q_shutdown(q);
}
END_TEST

START_TEST(calls_after_shutdown_are_refused)
{
    GpuQueue *q = open_with(NULL, 8, 16);
    char buffer[16];
    size_t len = sizeof buffer, count;
    uint64_t id;
    QueueStats stats;
    QClaim claim;
    QResult result;
    q_enqueue(q, "x", 1, &id, 0);
    q_shutdown(q);
    ck_assert_int_eq(q_enqueue(q, "x", 1, &id, 0), Q_ERR_SHUTDOWN);
    ck_assert_int_eq(q_enqueue_async(q, "x", 1, &id), Q_ERR_SHUTDOWN);
    ck_assert_int_eq(q_wait_enqueue(q, id, 0), Q_ERR_SHUTDOWN);
    ck_assert_int_eq(q_try_dequeue_result(q, id, buffer, &len), Q_ERR_SHUTDOWN);
    ck_assert_int_eq(q_poll_completions(q, &id, 1, &count), Q_ERR_SHUTDOWN);
    ck_assert_int_eq(q_stats(q, &stats), Q_ERR_SHUTDOWN);
    ck_assert_int_eq(q_claim(q, &claim, 1, &count, 0), Q_ERR_SHUTDOWN);
    ck_assert_int_eq(q_peek_any(q, &result, 1, &count, 0), Q_ERR_SHUTDOWN);
    q_shutdown(q);
    q_shutdown(NULL);
}
END_TEST

START_TEST(shutdown_gives_up_on_a_plugin_that_never_ends)
{
    char path[] = "/tmp/gpuq-drain-XXXXXX";
    int fd = mkstemp(path);
    FILE *f = fdopen(fd, "w");
    fprintf(f,
            "version: 1\nname: drain\ndrain: 300ms\nqueue: { capacity: 8, slot_bytes: 16 }\n"
            "stages: [{ plugin: %s }]\n",
            tree_fate());
    fclose(f);
    GpuQueue *q = q_open(path);
    unlink(path);
    ck_assert_msg(q != NULL, "%s", q_last_error());
    uint64_t id;
    q_enqueue(q, "hang", 4, &id, 0);
    double start = now();
    q_shutdown(q);
    ck_assert(now() - start < 10);
    ck_assert_msg(strstr(q_last_error(), "1 messages in flight"), "%s", q_last_error());
}
END_TEST

START_TEST(the_worker_keeps_nothing_of_the_application_open)
{
    int ends[2];
    char byte;
    ck_assert_int_eq(pipe(ends), 0); /* not close-on-exec, as an application may have it */
    GpuQueue *q = open_with(NULL, 2, 16);
    close(ends[1]);
    ck_assert_int_eq(read(ends[0], &byte, 1), 0); /* the end of the pipe; it blocks while another process may write */
    close(ends[0]);
    q_shutdown(q);
}
END_TEST

static void *wait_for_ever(void *q)
{
    QResult result;
    size_t count;
    return (void *)(intptr_t)q_peek_any(q, &result, 1, &count, Q_FOREVER);
}

START_TEST(a_thread_that_waits_is_released_by_shutdown)
{
    GpuQueue *q = open_with(NULL, 8, 16);
    pthread_t other;
    void *status;
    pthread_create(&other, NULL, wait_for_ever, q);
    usleep(100000);
    q_shutdown(q);
    pthread_join(other, &status);
    ck_assert_int_eq((intptr_t)status, Q_ERR_SHUTDOWN);
}
END_TEST

static void *enqueue_some(void *q)
{
    uint64_t id = 0;
    ck_assert_int_eq(q_enqueue(q, "x", 1, &id, 20000), Q_OK);
    return (void *)(uintptr_t)id;
}

START_TEST(a_lane_outlives_its_thread_and_serves_the_next)
{
    GpuQueue *q = open_with(NULL, 8, 16);
    uint64_t last = 0;
    for (int i = 0; i < 600; i++) { /* more threads than a queue has lanes */
        pthread_t thread;
        void *id;
        char buffer[16];
        size_t len = sizeof buffer;
        pthread_create(&thread, NULL, enqueue_some, q);
        pthread_join(thread, &id);
        ck_assert_uint_gt((uintptr_t)id, last);
        last = (uintptr_t)id;
        ck_assert_int_eq(take(q, last, buffer, &len), Q_OK);
    }
    q_shutdown(q);
}
END_TEST

START_TEST(a_lane_with_leftovers_is_not_given_to_the_next_thread)
{
    GpuQueue *q = open_with(NULL, 2, 16);
    void *id;
    for (int i = 0; i < 5; i++) {
        pthread_t thread;
        pthread_create(&thread, NULL, enqueue_some, q);
        pthread_join(thread, &id);
    }
    ck_assert_uint_eq((uintptr_t)id >> 56, 4); /* five threads, five lanes: nobody took a result */
    q_shutdown(q);
}
END_TEST

static pthread_barrier_t everybody_has_a_lane;

static void *own_a_lane(void *q)
{
    QueueStatus status = q_enqueue(q, "x", 1, NULL, 1000);
    pthread_barrier_wait(&everybody_has_a_lane);
    pthread_barrier_wait(&everybody_has_a_lane);
    return (void *)(intptr_t)status;
}

START_TEST(thread_257_is_refused_until_another_ends)
{
    enum { LANES = 256 };
    GpuQueue *q = open_with(NULL, 2, 1);
    pthread_t threads[LANES];
    pthread_barrier_init(&everybody_has_a_lane, NULL, LANES + 1);
    for (int i = 0; i < LANES; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, own_a_lane, q), 0);
    pthread_barrier_wait(&everybody_has_a_lane);
    ck_assert_int_eq(q_enqueue(q, "x", 1, NULL, 0), Q_ERR_FULL);
    ck_assert_msg(strstr(q_last_error(), "256 threads"), "%s", q_last_error());
    pthread_barrier_wait(&everybody_has_a_lane);
    for (int i = 0; i < LANES; i++) {
        void *status;
        pthread_join(threads[i], &status);
        ck_assert_int_eq((intptr_t)status, Q_OK);
    }
    ck_assert_int_eq(q_enqueue(q, "x", 1, NULL, 0), Q_OK);
    q_shutdown(q);
}
END_TEST

START_TEST(bad_openings_are_explained)
{
    QueueConfig odd = {.capacity = 3, .slot_bytes = 16}, none = {.capacity = 4, .slot_bytes = 0},
                good = {.capacity = 4, .slot_bytes = 16};
    ck_assert_ptr_null(q_init(NULL));
    ck_assert_ptr_null(q_init(&odd));
    ck_assert_msg(strstr(q_last_error(), "power of two"), "%s", q_last_error());
    ck_assert_ptr_null(q_init(&none));
    setenv("GPUQ_PLUGIN", "/nowhere/at/all.cu", 1);
    ck_assert_ptr_null(q_init(&good));
    ck_assert_msg(strstr(q_last_error(), "/nowhere/at/all.cu"), "%s", q_last_error());
    unsetenv("GPUQ_PLUGIN");
    setenv("GPUQ_BACKEND", "gpu", 1);
    ck_assert_ptr_null(q_init(&good));
    ck_assert_msg(strstr(q_last_error(), "auto, cuda or cpu"), "%s", q_last_error());
    unsetenv("GPUQ_BACKEND");
    ck_assert_ptr_null(q_open("/nowhere.yaml"));
    ck_assert_ptr_null(q_open(NULL));
    ck_assert_ptr_null(q_open(""));
    ck_assert_str_eq(q_last_error(), "the pipeline file's path is empty");
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {a_message_comes_back,
                                  ids_grow_and_length_limits_hold,
                                  a_full_queue_is_full_at_once_or_after_the_time_allowed,
                                  a_waiting_enqueue_gets_the_slot_another_thread_frees,
                                  a_buffer_too_small_leaves_the_result_and_says_its_size,
                                  a_batch_says_how_far_it_came,
                                  completions_are_reported_once_and_in_order,
                                  nobody_waits_for_results_that_were_handed_out,
                                  in_place_claims_and_results,
                                  results_go_back_in_any_order,
                                  what_was_taken_counts_in_any_order,
                                  dropped_and_failed_messages_say_so,
                                  a_crash_is_a_sentence_for_its_message_and_a_pause_for_the_others,
                                  a_long_message_holds_up_no_other,
                                  calls_after_shutdown_are_refused,
                                  shutdown_gives_up_on_a_plugin_that_never_ends,
                                  the_worker_keeps_nothing_of_the_application_open,
                                  a_thread_that_waits_is_released_by_shutdown,
                                  a_lane_outlives_its_thread_and_serves_the_next,
                                  a_lane_with_leftovers_is_not_given_to_the_next_thread,
                                  thread_257_is_refused_until_another_ends,
                                  bad_openings_are_explained};
    return unit_run("queue", tests, sizeof tests / sizeof *tests, NULL, NULL);
}
