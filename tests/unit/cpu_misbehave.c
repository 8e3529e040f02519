/* Plugins that misbehave at run time: each ends its worker with a sentence, a signal, or its message with a status. */
#include "build_support.h"
#include <signal.h>

static struct gq_builder *builder;
static struct gq_image image;
static const struct gq_cpu_image *loaded;
static void *object;
static _Alignas(16) uint8_t in[64], out[8 * OUT_CAP];
static struct gq_cpu_msg msgs[8];

static void open_plugin(const char *path)
{
    builder = test_builder(NULL);
    ck_assert_msg(build_stage(builder, path, &image) == GQ_OK, "%s", gq_error_text());
    loaded = load_image(&image, &object);
}

static void close_plugin(void)
{
    gq_dl_close(object);
    gq_image_finish(&image);
    gq_builder_destroy(builder);
}

static int sentence_pipe;

static void into_pipe(const char *sentence)
{
    if (write(sentence_pipe, sentence, strlen(sentence)) < 0)
        _exit(2);
    _exit(1);
}

static void on_fault(int number, siginfo_t *info, void *context)
{
    (void)context;
    _exit(gq_fiber_overflowed(info->si_addr) ? 42 : number);
}

static void catch_faults(void)
{
    static char memory[65536];
    stack_t alternate = {.ss_sp = memory, .ss_size = sizeof memory};
    struct sigaction action = {.sa_flags = SA_SIGINFO | SA_ONSTACK};
    action.sa_sigaction = on_fault;
    sigaltstack(&alternate, NULL);
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
}

/* Runs the plugin's messages in a child: its exit code, and the sentence it died with. */
static int child_runs(char *sentence, size_t size)
{
    int ends[2], status;
    ck_assert_int_eq(pipe(ends), 0);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        sentence_pipe = ends[1];
        gq_fiber_set_die(into_pipe);
        catch_faults();
        run_messages(loaded, msgs, 8, in, sizeof in, out, 0);
        _exit(0);
    }
    close(ends[1]);
    ssize_t n = read(ends[0], sentence, size - 1);
    sentence[n > 0 ? n : 0] = '\0';
    close(ends[0]);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFEXITED(status), "wait status %d", status);
    return WEXITSTATUS(status);
}

static void expect_death(const char *path, const char *expected)
{
    char sentence[1024];
    open_plugin(path);
    ck_assert_int_eq(child_runs(sentence, sizeof sentence), 1);
    ck_assert_str_eq(sentence, expected);
    close_plugin();
}

#define P(name) GPUQ_TEST_PLUGINS "/" name

START_TEST(a_divergent_barrier_names_both_lines)
{
    expect_death(P("divergent_barrier.cu"),
                 P("divergent_barrier.cu") ":8: divergent __syncthreads(): thread 16 waits here, "
                                           "thread 0 waits in __syncthreads() at " P("divergent_barrier.cu") ":6");
}
END_TEST

START_TEST(a_missing_lane_is_named)
{
    expect_death(
        P("missing_lane.cu"),
        P("missing_lane.cu") ":7: divergent __shfl_sync(): thread 0 waits here for mask 0xffffffff, whose lane 7 does "
                             "not come: thread 7 returned");
}
END_TEST

START_TEST(one_thread_cannot_wait)
{
    expect_death(P("waits_alone.cu"),
                 P("waits_alone.cu") ":4: __syncthreads() waits for other threads, but one thread serves a "
                                     "message here; declare GQ_SCOPE(warp) or GQ_SCOPE(block, N)");
}
END_TEST

START_TEST(a_warp_has_no_block_to_wait_for)
{
    expect_death(P("barrier_in_warp.cu"),
                 P("barrier_in_warp.cu") ":5: __syncthreads() waits for a block, but a warp serves a message here and "
                                         "the block's "
                                         "other warps serve others; use gq_sync(), or declare GQ_SCOPE(block, N)");
}
END_TEST

START_TEST(an_assert_names_its_condition_and_line)
{
    expect_death(P("assert.cu"), P("assert.cu") ":5: assert(in.len > 1000) failed");
}
END_TEST

START_TEST(a_trap_names_its_line) { expect_death(P("trap.cu"), P("trap.cu") ":5: __trap() was called"); }
END_TEST

START_TEST(a_stack_that_overflows_meets_its_guard_page)
{
    char sentence[64];
    open_plugin(P("stack_overflow.cu"));
    ck_assert_int_eq(child_runs(sentence, sizeof sentence), 42);
    close_plugin();
}
END_TEST

START_TEST(a_bad_pointer_is_a_signal)
{
    char sentence[64];
    open_plugin(P("segv.cu"));
    ck_assert_int_eq(child_runs(sentence, sizeof sentence), SIGSEGV);
    close_plugin();
}
END_TEST

START_TEST(more_bytes_than_there_is_room_is_an_overflow)
{
    open_plugin(P("too_long.cu"));
    run_messages(loaded, msgs, 2, in, 8, out, 3);
    ck_assert_uint_eq(msgs[1].status, GQ_RESULT_OVERFLOW);
    ck_assert_uint_eq(msgs[1].out_len, OUT_CAP + 8);
    ck_assert_uint_eq(msgs[1].tries, 0);
    close_plugin();
    open_plugin(P("reserved_length.cu"));
    run_messages(loaded, msgs, 1, in, 8, out, 0);
    ck_assert_uint_eq(msgs[0].status, GQ_RESULT_OVERFLOW);
    close_plugin();
}
END_TEST

START_TEST(a_failed_message_is_tried_again_as_often_as_allowed)
{
    open_plugin(P("fails_twice.cu"));
    run_messages(loaded, msgs, 1, in, 8, out, 1);
    ck_assert_uint_eq(msgs[0].status, GQ_RESULT_FAILED);
    ck_assert_uint_eq(msgs[0].code, 77);
    ck_assert_uint_eq(msgs[0].tries, 1);
    run_messages(loaded, msgs, 2, in, 8, out, 2);
    ck_assert_uint_eq(msgs[0].status, GQ_RESULT_OK);
    ck_assert_uint_eq(msgs[0].out_len, 8);
    ck_assert_uint_eq(msgs[0].tries, 2);
    ck_assert_uint_eq(msgs[1].tries, 0);
    close_plugin();
}
END_TEST

START_TEST(dropped_messages_have_no_bytes_and_no_retries)
{
    open_plugin(P("drops_odd.cu"));
    run_messages(loaded, msgs, 4, in, 8, out, 5);
    for (uint32_t i = 0; i < 4; i++)
        ck_assert_uint_eq(msgs[i].status, i % 2 ? GQ_RESULT_OK : GQ_RESULT_DROPPED);
    ck_assert_uint_eq(msgs[0].out_len, 0);
    ck_assert_uint_eq(msgs[0].tries, 0);
    close_plugin();
}
END_TEST

START_TEST(a_plugin_that_never_waits_costs_no_stack_switch)
{
    uint64_t before = gq_fiber_switches();
    open_plugin(P("drops_odd.cu"));
    run_messages(loaded, msgs, 8, in, 8, out, 0);
    ck_assert_uint_eq(gq_fiber_switches() - before, 0);
    close_plugin();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cpu_misbehave");
    TCase *tests = tcase_create("all");
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, a_divergent_barrier_names_both_lines);
    tcase_add_test(tests, a_missing_lane_is_named);
    tcase_add_test(tests, one_thread_cannot_wait);
    tcase_add_test(tests, a_warp_has_no_block_to_wait_for);
    tcase_add_test(tests, an_assert_names_its_condition_and_line);
    tcase_add_test(tests, a_trap_names_its_line);
    tcase_add_test(tests, a_stack_that_overflows_meets_its_guard_page);
    tcase_add_test(tests, a_bad_pointer_is_a_signal);
    tcase_add_test(tests, more_bytes_than_there_is_room_is_an_overflow);
    tcase_add_test(tests, a_failed_message_is_tried_again_as_often_as_allowed);
    tcase_add_test(tests, dropped_messages_have_no_bytes_and_no_retries);
    tcase_add_test(tests, a_plugin_that_never_waits_costs_no_stack_switch);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
