/* A child that is waited for: how long, and what is known when it ends. */
#include "base/process.h"
#include "base/clock.h"
#include "unit.h"
#include <signal.h>
#include <sys/wait.h>

#define SLICE_MS 5u
#define SLICES 40u

static struct gq_process child;

/* It ends when our end of the channel is closed, also by a test that failed. */
static void start(void)
{
    char *argv[] = {"sh", "-c", "read word <&3", NULL};
    ck_assert_int_eq(gq_process_start("/bin/sh", argv, &child), GQ_OK);
}

static void end(void) { gq_process_end(&child, 0); }

/* The machine may be busy, so of many waits the shortest counts. */
START_TEST(a_wait_takes_no_longer_than_it_may)
{
    uint64_t shortest = UINT64_MAX;
    int status;
    for (uint32_t i = 0; i < SLICES; i++) {
        const uint64_t before = gq_clock_ns();
        ck_assert(!gq_process_wait(&child, SLICE_MS, &status));
        const uint64_t took = gq_clock_ns() - before;
        ck_assert_uint_ge(took, SLICE_MS * 1000000u);
        shortest = took < shortest ? took : shortest;
    }
    ck_assert_uint_lt(shortest, 4 * SLICE_MS * 1000000u);
}
END_TEST

START_TEST(a_wait_ends_with_the_child)
{
    int status = 0;
    ck_assert_int_eq(kill(child.pid, SIGTERM), 0);
    ck_assert(gq_process_wait(&child, GQ_MS_FOREVER, &status));
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    ck_assert_int_eq(child.pid, 0);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {a_wait_takes_no_longer_than_it_may, a_wait_ends_with_the_child};
    return unit_run("process", tests, sizeof tests / sizeof *tests, start, end);
}
