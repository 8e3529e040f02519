/* Blocks that cannot go on end with a sentence that names both places. */
#include "fiber_support.h"
#include <signal.h>

static void returns_early(void *arg)
{
    (void)arg;
    if (rank() != 15)
        S->block_op(GQ_CPU_SYNCTHREADS, 0, "d.cu", 5);
}

START_TEST(a_thread_that_returned_is_named)
{
    ck_assert_str_eq(death_of(returns_early, NULL, 64),
                     "d.cu:5: divergent __syncthreads(): thread 0 waits here, thread 15 returned");
}
END_TEST

static void two_barriers(void *arg)
{
    (void)arg;
    S->block_op(GQ_CPU_SYNCTHREADS, 0, "d.cu", rank() < 16 ? 3 : 5);
}

START_TEST(two_barriers_are_not_one)
{
    ck_assert_str_eq(death_of(two_barriers, NULL, 32), "d.cu:5: divergent __syncthreads(): thread 16 waits here, "
                                                       "thread 0 waits in __syncthreads() at d.cu:3");
}
END_TEST

static void barrier_against_shuffle(void *arg)
{
    (void)arg;
    if (rank() == 3)
        S->block_op(GQ_CPU_SYNCTHREADS, 0, "d.cu", 8);
    else
        S->warp_op(GQ_CPU_SHFL, FULL, 0, 0, 32, NULL, "d.cu", 10);
}

START_TEST(a_lane_that_waits_elsewhere_is_named)
{
    ck_assert_str_eq(
        death_of(barrier_against_shuffle, NULL, 32),
        "d.cu:10: divergent __shfl_sync(): thread 0 waits here for mask 0xffffffff, whose lane 3 does not come: "
        "thread 3 waits in __syncthreads() at d.cu:8");
}
END_TEST

static void missing_lane(void *arg)
{
    (void)arg;
    if (rank() != 39)
        S->warp_op(GQ_CPU_BALLOT, FULL, 0, 0, 32, NULL, "d.cu", 4);
}

START_TEST(a_lane_that_returned_is_named)
{
    ck_assert_str_eq(
        death_of(missing_lane, NULL, 64),
        "d.cu:4: divergent __ballot_sync(): thread 32 waits here for mask 0xffffffff, whose lane 7 does not come: "
        "thread 39 returned");
}
END_TEST

static void two_masks(void *arg)
{
    (void)arg;
    S->warp_op(GQ_CPU_ANY, rank() < 8 ? 0xffu : FULL & ~1u, 0, 0, 32, NULL, "d.cu", 2);
}

START_TEST(masks_that_do_not_agree_are_named)
{
    ck_assert_str_eq(
        death_of(two_masks, NULL, 32),
        "d.cu:2: divergent __any_sync(): thread 8 waits here for mask 0xfffffffe, whose lane 1 does not come: "
        "thread 1 returned");
}
END_TEST

static void crossed_masks(void *arg)
{
    (void)arg;
    S->warp_op(GQ_CPU_ANY, rank() % 2 ? FULL : FULL & ~2u, 0, 0, 32, NULL, "d.cu", 2);
}

START_TEST(both_masks_are_shown)
{
    ck_assert_str_eq(death_of(crossed_masks, NULL, 32),
                     "d.cu:2: divergent __any_sync(): thread 0 waits here for mask 0xfffffffd, but thread 3 waits in "
                     "__any_sync() at d.cu:2 for mask 0xffffffff");
}
END_TEST

static void foreign_mask(void *arg)
{
    (void)arg;
    S->warp_op(GQ_CPU_ANY, 2, 0, 0, 32, NULL, "d.cu", 6);
}

START_TEST(a_mask_names_the_lane_that_calls)
{
    ck_assert_str_eq(death_of(foreign_mask, NULL, 32),
                     "d.cu:6: the mask 0x00000002 does not name the lane that calls: lane 0, thread 0");
}
END_TEST

static void odd_width(void *arg) { S->warp_op(GQ_CPU_SHFL, FULL, 0, 0, *(uint32_t *)arg, NULL, "d.cu", 7); }

START_TEST(a_shuffle_has_a_width_that_the_hardware_has)
{
    uint32_t widths[] = {0, 3, 33, 64, (uint32_t)-1};
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++)
        ck_assert_ptr_nonnull(
            strstr(death_of(odd_width, &widths[i], 32), "d.cu:7: the width of a shuffle is 1, 2, 4, 8, 16 or 32"));
}
END_TEST

static void asserts(void *arg)
{
    (void)arg;
    if (rank() == 4)
        S->die("assert(x > 0) failed", "d.cu", 12);
}

START_TEST(die_names_the_line) { ck_assert_str_eq(death_of(asserts, NULL, 32), "d.cu:12: assert(x > 0) failed"); }
END_TEST

/* --- the guard page ----------------------------------------------------------------------------------------------- */

static void on_fault(int number, siginfo_t *info, void *context)
{
    (void)number, (void)context;
    _exit(gq_fiber_overflowed(info->si_addr) ? 42 : 43);
}

static unsigned recurse(volatile unsigned char *below, unsigned level)
{
    volatile unsigned char here[1024];
    here[level % sizeof here] = below[0];
    return level < 100000 ? recurse(here, level + 1) + here[0] : 0;
}

static void overflow(void *arg)
{
    unsigned char start = 0;
    S->block_op(GQ_CPU_SYNCTHREADS, 0, "d.cu", 1);
    if (rank() == 1)
        *(volatile unsigned *)arg = recurse(&start, 0);
}

START_TEST(a_stack_that_overflows_meets_its_guard_page)
{
    pid_t child = fork();
    if (child == 0) {
        static char memory[65536];
        unsigned result;
        stack_t alternate = {.ss_sp = memory, .ss_size = sizeof memory};
        struct sigaction action = {.sa_flags = SA_SIGINFO | SA_ONSTACK};
        action.sa_sigaction = on_fault;
        sigaltstack(&alternate, NULL);
        sigaction(SIGSEGV, &action, NULL);
        sigaction(SIGBUS, &action, NULL);
        S->run_block(overflow, &result, 32);
        _exit(0);
    }
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 42, "wait status %d", status);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fiber_error");
    TCase *tests = tcase_create("all");
    tcase_add_test(tests, a_thread_that_returned_is_named);
    tcase_add_test(tests, two_barriers_are_not_one);
    tcase_add_test(tests, a_lane_that_waits_elsewhere_is_named);
    tcase_add_test(tests, a_lane_that_returned_is_named);
    tcase_add_test(tests, masks_that_do_not_agree_are_named);
    tcase_add_test(tests, both_masks_are_shown);
    tcase_add_test(tests, a_mask_names_the_lane_that_calls);
    tcase_add_test(tests, a_shuffle_has_a_width_that_the_hardware_has);
    tcase_add_test(tests, die_names_the_line);
    tcase_add_test(tests, a_stack_that_overflows_meets_its_guard_page);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
