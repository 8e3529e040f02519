/* Workers in reserve, played by processes of the test. */
#include "base/channel.h"
#include "base/clock.h"
#include "base/error.h"
#include "pipeline/reserve.h"
#include "ring/packets.h"
#include "unit.h"
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define LONG_MS 20000u

static struct gq_reserve reserve;
static int far_end[GQ_RESERVE_MOST];

static void set_up(void) { reserve = (struct gq_reserve){.wanted = GQ_RESERVE_MOST}; }

static void tear_down(void)
{
    gq_reserve_end(&reserve);
    for (uint32_t i = 0; i < GQ_RESERVE_MOST; i++)
        if (far_end[i] > 0)
            close(far_end[i]);
}

/* One more, which says nothing yet. */
static pid_t add(uint32_t deadline_ms)
{
    int ends[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    const pid_t pid = fork();
    if (pid == 0) {
        close_range(3, ~0u, 0); /* it holds nobody's channel open */
        for (;;)
            pause();
    }
    far_end[reserve.count] = ends[1];
    reserve.waits[reserve.count++] =
        (struct gq_reserved){.process = {pid, ends[0]}, .deadline_ns = gq_clock_deadline(deadline_ms)};
    return pid;
}

static void say_ready(uint32_t which)
{
    const struct gq_packet packet = {.type = GQ_PACKET_REPLY, .status = GQ_OK};
    ck_assert_int_eq(gq_channel_send(far_end[which], &packet, sizeof packet, NULL, 0), GQ_OK);
}

static void end(struct gq_process taken) { gq_process_end(&taken, 0); }

START_TEST(the_oldest_that_is_ready_is_taken)
{
    const pid_t first = add(LONG_MS), second = add(LONG_MS);
    say_ready(0);
    say_ready(1);
    struct gq_process taken = gq_reserve_take(&reserve);
    ck_assert_int_eq(taken.pid, first);
    end(taken);
    taken = gq_reserve_take(&reserve);
    ck_assert_int_eq(taken.pid, second);
    end(taken);
    ck_assert_int_eq(gq_reserve_take(&reserve).channel, -1);
}
END_TEST

START_TEST(one_that_is_held_up_holds_up_nobody)
{
    const uint64_t start = gq_clock_ns();
    const pid_t slow = add(LONG_MS), quick = add(LONG_MS);
    say_ready(1);
    const struct gq_process taken = gq_reserve_take(&reserve);
    ck_assert_int_eq(taken.pid, quick);
    ck_assert(gq_clock_ns() - start < LONG_MS / 2 * UINT64_C(1000000));
    end(taken);
    ck_assert_uint_eq(reserve.count, 1);
    ck_assert_int_eq(reserve.waits[0].process.pid, slow);
}
END_TEST

START_TEST(one_that_ends_is_passed_over)
{
    add(LONG_MS);
    const pid_t other = add(LONG_MS);
    close(far_end[0]);
    far_end[0] = 0;
    while (!gq_channel_is_cut(reserve.waits[0].process.channel)) /* the others let go of it as they begin */
        usleep(1000);
    say_ready(1);
    const struct gq_process taken = gq_reserve_take(&reserve);
    ck_assert_int_eq(taken.pid, other);
    end(taken);
    ck_assert_uint_eq(reserve.count, 0);
}
END_TEST

START_TEST(one_that_is_late_is_not_ended_before_one_that_is_ready_is_taken)
{
    const pid_t late = add(20), other = add(LONG_MS);
    say_ready(1);
    usleep(50000);
    const struct gq_process taken = gq_reserve_take(&reserve);
    ck_assert_int_eq(taken.pid, other);
    ck_assert_int_eq(kill(late, 0), 0);
    ck_assert_uint_eq(reserve.count, 1);
    end(taken);
    say_ready(0); /* in the end */
    const struct gq_process last = gq_reserve_take(&reserve);
    ck_assert_int_eq(last.pid, late);
    end(last);
}
END_TEST

START_TEST(one_that_is_late_is_ended_and_then_there_is_none)
{
    add(50);
    add(100);
    ck_assert_int_eq(gq_reserve_take(&reserve).channel, -1);
    ck_assert_uint_eq(reserve.count, 0);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {the_oldest_that_is_ready_is_taken, one_that_is_held_up_holds_up_nobody,
                                  one_that_ends_is_passed_over,
                                  one_that_is_late_is_not_ended_before_one_that_is_ready_is_taken,
                                  one_that_is_late_is_ended_and_then_there_is_none};
    return unit_run("reserve", tests, sizeof tests / sizeof *tests, set_up, tear_down);
}
