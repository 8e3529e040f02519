/* Threads of a block: started in order, meeting at barriers, on stacks that are taken only when one waits. */
#include "fiber_support.h"
#include <pthread.h>

struct notes {
    unsigned order[4096], count;
    unsigned value[1024], seen[1024];
};

static void note_rank(void *arg)
{
    struct notes *n = arg;
    n->order[n->count++] = rank();
}

START_TEST(a_block_that_never_waits_costs_no_stack_switch)
{
    struct notes n = {.count = 0};
    uint64_t before = gq_fiber_switches();
    S->run_block(note_rank, &n, 1024);
    ck_assert_uint_eq(n.count, 1024);
    for (unsigned i = 0; i < n.count; i++)
        ck_assert_uint_eq(n.order[i], i);
    ck_assert_uint_eq(gq_fiber_switches() - before, 0);
    ck_assert_uint_eq(gq_fiber_stacks(), 0);
}
END_TEST

static void share_through_memory(void *arg)
{
    struct notes *n = arg;
    unsigned me = rank(), size = S->self()->block_dim.x;
    n->value[me] = me * 3 + 1;
    S->block_op(GQ_CPU_SYNCTHREADS, 0, "b.cu", 1);
    n->seen[me] = n->value[(me + 1) % size];
    S->block_op(GQ_CPU_SYNCTHREADS, 0, "b.cu", 2);
    n->value[me] = 0;
    S->block_op(GQ_CPU_SYNCTHREADS, 0, "b.cu", 3);
    ck_assert_uint_eq(n->value[(me + 1) % size], 0);
}

static void check_sharing(unsigned threads)
{
    struct notes n = {.count = 0};
    S->run_block(share_through_memory, &n, threads);
    for (unsigned i = 0; i < threads; i++)
        ck_assert_uint_eq(n.seen[i], (i + 1) % threads * 3 + 1);
}

START_TEST(a_barrier_lets_every_thread_see_what_came_before_it)
{
    for (unsigned threads = 1; threads <= 1024; threads *= 2)
        check_sharing(threads);
}
END_TEST

START_TEST(stacks_are_kept_and_used_again)
{
    check_sharing(256);
    unsigned stacks = gq_fiber_stacks();
    ck_assert_uint_eq(stacks, 255); /* the first thread waits on the caller's own */
    for (int i = 0; i < 100; i++)
        check_sharing(256);
    ck_assert_uint_eq(gq_fiber_stacks(), stacks);
}
END_TEST

static void only_the_last_two_warps_wait(void *arg)
{
    (void)arg;
    if (rank() >= 64)
        S->warp_op(GQ_CPU_SYNCWARP, FULL, 0, 0, 32, NULL, "b.cu", 9);
}

START_TEST(only_a_thread_that_waits_takes_a_stack)
{
    S->run_block(only_the_last_two_warps_wait, NULL, 128);
    ck_assert_uint_le(gq_fiber_stacks(), 63);
    ck_assert_uint_ge(gq_fiber_stacks(), 31);
}
END_TEST

static void barrier_values(void *arg)
{
    unsigned *got = arg, me = rank();
    got[0] = (unsigned)S->block_op(GQ_CPU_SYNC_COUNT, me % 3 == 0, "b.cu", 1);
    got[1] = (unsigned)S->block_op(GQ_CPU_SYNC_AND, 1, "b.cu", 2);
    got[2] = (unsigned)S->block_op(GQ_CPU_SYNC_AND, me != 5, "b.cu", 3);
    got[3] = (unsigned)S->block_op(GQ_CPU_SYNC_OR, me == 5, "b.cu", 4);
    got[4] = (unsigned)S->block_op(GQ_CPU_SYNC_OR, 0, "b.cu", 5);
}

START_TEST(barriers_count_and_agree)
{
    unsigned got[5];
    S->run_block(barrier_values, got, 96);
    ck_assert_uint_eq(got[0], 32);
    ck_assert_uint_eq(got[1], 1);
    ck_assert_uint_eq(got[2], 0);
    ck_assert_uint_eq(got[3], 1);
    ck_assert_uint_eq(got[4], 0);
}
END_TEST

static void deep(volatile unsigned char *below, unsigned levels)
{
    volatile unsigned char here[512];
    here[0] = (unsigned char)(below[0] + 1);
    if (levels)
        deep(here, levels - 1);
    else
        S->block_op(GQ_CPU_SYNCTHREADS, 0, "b.cu", 1);
    ck_assert_uint_eq(here[0], (unsigned char)(below[0] + 1));
}

static void wait_deep_down(void *arg)
{
    (void)arg;
    unsigned char start = (unsigned char)rank();
    deep(&start, 20);
}

START_TEST(frames_of_a_waiting_thread_stay_as_they_are) { S->run_block(wait_deep_down, NULL, 128); }
END_TEST

static void *sharing_thread(void *arg)
{
    for (int i = 0; i < 50; i++)
        check_sharing(64);
    ck_assert_uint_eq(gq_fiber_stacks(), 63);
    return arg;
}

START_TEST(os_threads_run_blocks_of_their_own)
{
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, sharing_thread, NULL), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    ck_assert_uint_eq(gq_fiber_stacks(), 0);
}
END_TEST

static void note_active_mask(void *arg)
{
    uint32_t *masks = arg;
    unsigned me = rank();
    if (me % 32 == 7)
        return;
    masks[me] = S->active_mask();
    S->warp_op(GQ_CPU_SYNCWARP, ~(1u << 7), 0, 0, 32, NULL, "b.cu", 1);
}

START_TEST(the_active_mask_names_lanes_that_have_not_returned)
{
    uint32_t masks[64] = {0};
    S->run_block(note_active_mask, masks, 64);
    ck_assert_uint_eq(masks[0], FULL);
    ck_assert_uint_eq(masks[63], ~(1u << 7));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fiber_block");
    TCase *tests = tcase_create("all");
    tcase_add_test(tests, a_block_that_never_waits_costs_no_stack_switch);
    tcase_add_test(tests, a_barrier_lets_every_thread_see_what_came_before_it);
    tcase_add_test(tests, stacks_are_kept_and_used_again);
    tcase_add_test(tests, only_a_thread_that_waits_takes_a_stack);
    tcase_add_test(tests, barriers_count_and_agree);
    tcase_add_test(tests, frames_of_a_waiting_thread_stay_as_they_are);
    tcase_add_test(tests, os_threads_run_blocks_of_their_own);
    tcase_add_test(tests, the_active_mask_names_lanes_that_have_not_returned);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
