/* The promises of gpuqueue/runtime.h that hold at the edges: interrupts, messages on their way in, counters. */
#include <check.h>
#include <fcntl.h>
#include <gpuqueue/runtime.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "pipeline/pipeline.h"
#include "tree.h"
#include "unit/unit.h"

static gq_pipeline *started_with(const char *text)
{
    gq_pipeline *p = NULL;
    gq_open_opts opts = {.size = sizeof opts, .path = "edge.yaml", .text = text};
    ck_assert_msg(gq_open(&opts, &p) == GQ_OK, "%s", gq_last_error());
    ck_assert_msg(gq_prepare(p) == GQ_OK, "%s", gq_last_error());
    ck_assert_msg(gq_start(p) == GQ_OK, "%s", gq_last_error());
    return p;
}

static gq_pipeline *started(const char *source, const char *sink)
{
    char text[1024];
    snprintf(text, sizeof text,
             "version: 1\nname: edge\nbackend: cpu\nsource: { %s }\nqueue: { capacity: 64, slot_bytes: 64 }\n"
             "stages: [{ plugin: %s }]\nsink: { %s }\ncpu: { threads: 2 }\n",
             source, tree_fate(), sink);
    return started_with(text);
}

START_TEST(more_threads_than_a_worker_has_are_refused)
{
    gq_pipeline *p;
    gq_open_opts opts = {.size = sizeof opts,
                         .path = "edge.yaml",
                         .text = "version: 1\nbackend: cpu\nstages: [{ plugin: builtin:echo }]\n",
                         .cpu_threads = 1025};
    ck_assert_int_eq(gq_open(&opts, &p), GQ_ERR_INVALID_ARG);
    ck_assert_ptr_null(p);
    ck_assert_str_eq(gq_last_error(), "gq_open: opts.cpu_threads is 1025; a worker has at most 1024");
    opts.cpu_threads = 1024;
    ck_assert_msg(gq_open(&opts, &p) == GQ_OK, "%s", gq_last_error());
    gq_close(p);
}
END_TEST

static gq_stats stats_of(const gq_pipeline *p)
{
    gq_stats s = {.size = sizeof s};
    ck_assert_int_eq(gq_get_stats(p, &s), GQ_OK);
    return s;
}

static void *enqueue_until_refused(void *q)
{
    uintptr_t accepted = 0;
    QueueStatus status;
    while ((status = q_enqueue(q, "x", 1, NULL, 20000)) == Q_OK)
        accepted++;
    ck_assert_int_eq(status, Q_ERR_SHUTDOWN);
    return (void *)accepted;
}

static void every_accepted_message_is_delivered(bool wait_first)
{
    gq_pipeline *p = started("api: {}", "null: {}");
    pthread_t thread[2];
    uintptr_t accepted = 0;
    for (int i = 0; i < 2; i++)
        pthread_create(&thread[i], NULL, enqueue_until_refused, gq_queue(p));
    usleep(20000);
    if (wait_first) {
        gq_interrupt(p);
        ck_assert_msg(gq_wait(p, 20000) == GQ_OK, "%s", gq_last_error());
    }
    ck_assert_msg(gq_stop(p, 20000) == GQ_OK, "%s", gq_last_error());
    for (int i = 0; i < 2; i++) {
        void *count;
        pthread_join(thread[i], &count);
        accepted += (uintptr_t)count;
    }
    ck_assert_uint_eq(stats_of(p).messages_out, accepted);
    ck_assert_uint_eq(stats_of(p).in_flight, 0);
    gq_close(p);
}

START_TEST(an_interrupt_loses_no_message_that_was_accepted)
{
    for (int i = 0; i < 10; i++)
        every_accepted_message_is_delivered(true);
}
END_TEST

START_TEST(a_stop_loses_no_message_that_was_accepted)
{
    for (int i = 0; i < 10; i++)
        every_accepted_message_is_delivered(false);
}
END_TEST

START_TEST(a_result_names_the_stage_that_failed_it_or_the_last)
{
    static const char *const messages[] = {"good", "fail"};
    for (unsigned place = 0; place < 2; place++) {
        char text[2048];
        snprintf(text, sizeof text,
                 "version: 1\nbackend: cpu\non_error: { retries: 0 }\nstages: [{ name: a, plugin: \"%s\" }, { name: b, "
                 "plugin: \"%s\" }]\n",
                 place == 0 ? tree_fate() : "builtin:echo", place == 1 ? tree_fate() : "builtin:echo");
        gq_pipeline *p = started_with(text);
        for (unsigned failed = 0; failed < 2; failed++) {
            QResult result;
            size_t count;
            ck_assert_int_eq(q_enqueue(gq_queue(p), messages[failed], 4, NULL, 0), Q_OK);
            ck_assert_int_eq(q_peek(gq_queue(p), &result, 1, &count, 20000), Q_OK);
            ck_assert_int_eq(result.status, failed ? Q_RESULT_FAILED : Q_RESULT_OK);
            ck_assert_uint_eq(result.code, failed ? 42 : 0);
            ck_assert_uint_eq(result.stage, failed ? place : 1);
            ck_assert_int_eq(q_release(gq_queue(p), &result, 1), Q_OK);
        }
        gq_close(p);
    }
}
END_TEST

static void *take_until_it_ends(void *q)
{
    uintptr_t taken = 0;
    QResult results[16];
    size_t count;
    QueueStatus status;
    while ((status = q_peek_any(q, results, 16, &count, 50)) != Q_ERR_SHUTDOWN)
        if (status == Q_OK) {
            taken += count;
            ck_assert_int_eq(q_release(q, results, count), Q_OK);
        }
    return (void *)taken;
}

START_TEST(an_interrupt_ends_a_source_plugin_whose_results_the_application_takes)
{
    gq_pipeline *p = started("plugin: { path: builtin:counter, count: 1000000000000 }", "api: {}");
    pthread_t thread;
    void *taken;
    pthread_create(&thread, NULL, take_until_it_ends, gq_queue(p));
    usleep(20000);
    gq_interrupt(p);
    ck_assert_msg(gq_wait(p, 20000) == GQ_OK, "%s", gq_last_error());
    ck_assert_int_eq(gq_stop(p, 0), GQ_OK);
    pthread_join(thread, &taken);
    ck_assert_uint_eq(stats_of(p).messages_in, (uintptr_t)taken);
    gq_close(p);
}
END_TEST

START_TEST(latency_is_measured_from_the_enqueue)
{
    gq_pipeline *p = started("api: {}", "null: {}");
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(q_enqueue(gq_queue(p), "x", 1, NULL, 20000), Q_OK);
    ck_assert_int_eq(gq_stop(p, 20000), GQ_OK);
    gq_stats s = stats_of(p);
    ck_assert_uint_eq(s.messages_out, 100);
    ck_assert_uint_gt(s.p50_ns, 0);
    ck_assert_msg((double)s.max_ns <= s.seconds * 1e9, "a message took %g s of %g", (double)s.max_ns * 1e-9, s.seconds);
    gq_close(p);
}
END_TEST

START_TEST(a_failed_message_that_nobody_took_is_no_result)
{
    gq_pipeline *p = started("api: {}", "api: {}");
    uint64_t ids[4];
    size_t count = 0;
    ck_assert_int_eq(q_enqueue(gq_queue(p), "fail", 4, NULL, 0), Q_OK);
    while (count == 0)
        ck_assert_int_eq(q_poll_completions(gq_queue(p), ids, 4, &count), Q_OK);
    ck_assert_uint_eq(stats_of(p).failed, 1);
    ck_assert_uint_eq(stats_of(p).messages_out, 0);
    gq_close(p);
}
END_TEST

START_TEST(a_stop_ends_though_the_sinks_reader_stands_still)
{
    char folder[] = "/tmp/gpuq-still-XXXXXX", path[64], sink[128];
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/pipe", folder);
    snprintf(sink, sizeof sink, "file: { path: %s, join: raw }", path);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    int reader = open(path, O_RDONLY | O_NONBLOCK);
    gq_pipeline *p = started("generate: { count: 100000, bytes: 64 }", sink);
    unlink(path);
    rmdir(folder);
    ck_assert_int_eq(gq_wait(p, 300), GQ_ERR_TIMEOUT);
    ck_assert_int_eq(gq_stop(p, 100), GQ_ERR_TIMEOUT);
    ck_assert_msg(strstr(gq_last_error(), "the sink did not take every result"), "%s", gq_last_error());
    gq_close(p);
    close(reader);
}
END_TEST

START_TEST(a_sinks_reader_that_goes_away_is_an_error_and_no_signal)
{
    char path[] = "/tmp/gpuq-gone-XXXXXX", sink[128];
    ck_assert_int_ne(mkstemp(path), -1);
    unlink(path);
    snprintf(sink, sizeof sink, "file: { path: %s, join: raw }", path);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    int reader = open(path, O_RDONLY | O_NONBLOCK);
    gq_pipeline *p = started("generate: { count: 100000, bytes: 64 }", sink);
    unlink(path);
    close(reader);
    ck_assert_int_eq(gq_wait(p, 20000), GQ_ERR_IO); /* SIGPIPE would have ended this process */
    ck_assert_msg(strstr(gq_last_error(), "Broken pipe"), "%s", gq_last_error());
    ck_assert_int_eq(gq_stop(p, 0), GQ_ERR_IO);
    gq_close(p);
}
END_TEST

static int use_in_child(gq_pipeline *p, GpuQueue *q)
{
    gq_stats s = {.size = sizeof s};
    if (gq_get_stats(p, &s) != GQ_ERR_INVALID_ARG || q_enqueue(q, "x", 1, NULL, 0) != Q_ERR_SHUTDOWN ||
        gq_wait(p, 0) != GQ_ERR_INVALID_ARG)
        return 1;
    gq_interrupt(p);
    q_shutdown(q);
    gq_close(p);
    return 0;
}

START_TEST(a_forked_child_cannot_harm_its_parents_queue)
{
    gq_pipeline *p = started("api: {}", "api: {}");
    GpuQueue *q = gq_queue(p);
    int status;
    QResult result;
    size_t count;
    ck_assert_int_eq(q_enqueue(q, "x", 1, NULL, 0), Q_OK);
    pid_t child = fork();
    if (child == 0)
        _exit(use_in_child(p, q));
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    ck_assert_int_eq(q_enqueue(q, "x", 1, NULL, 0), Q_OK);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(q_peek(q, &result, 1, &count, 10000), Q_OK);
        ck_assert_int_eq(q_release(q, &result, 1), Q_OK);
    }
    ck_assert_int_eq(gq_stop(p, 0), GQ_OK);
    gq_close(p);
}
END_TEST

/* Killed, with a child that has all that was open. */
static void leave_an_heir(int said)
{
    gq_pipeline *p = started("generate: { count: 1000000, bytes: 8, rate: 100/s }", "null: {}");
    pid_t pids[2] = {p->remote->process.pid, fork()};
    if (pids[1] == 0) {
        sleep(60);
        _exit(0);
    }
    if (write(said, pids, sizeof pids) == (ssize_t)sizeof pids)
        raise(SIGKILL);
    _exit(1);
}

START_TEST(a_worker_ends_with_its_application_though_a_forked_child_lives_on)
{
    pid_t pids[2] = {-1, -1}, gone = 0;
    int said[2], status;
    ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 1), 0); /* what is orphaned is ours */
    ck_assert_int_eq(pipe2(said, O_CLOEXEC), 0);
    const pid_t application = fork();
    if (application == 0)
        leave_an_heir(said[1]);
    ck_assert_int_eq(waitpid(application, &status, 0), application);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    ck_assert_int_eq(read(said[0], pids, sizeof pids), sizeof pids);
    for (int i = 0; i < 3000 && gone == 0; i++, usleep(10000))
        gone = waitpid(pids[0], &status, WNOHANG);
    kill(pids[1], SIGKILL);
    ck_assert_int_eq(waitpid(pids[1], &status, 0), pids[1]);
    ck_assert_int_eq(WTERMSIG(status), SIGKILL); /* it lived until now */
    ck_assert_int_eq(gone, pids[0]);
}
END_TEST

/* What a pipeline has for itself alone: the sink, its checkpoint, its dead letters. */
static void have_all_locks(const char *folder, char text[1024])
{
    char path[64];
    snprintf(path, sizeof path, "%s/in", folder);
    FILE *in = fopen(path, "w");
    ck_assert_ptr_nonnull(in);
    ck_assert_int_ge(fputs("fail\nx\n", in), 0);
    ck_assert_int_eq(fclose(in), 0);
    snprintf(text, 1024,
             "version: 1\nname: locks\nbackend: cpu\nsource: { file: { path: %s/in } }\n"
             "queue: { capacity: 64, slot_bytes: 64 }\nstages: [{ plugin: %s }]\n"
             "sink: { file: { path: %s/out } }\ndelivery: exactly_once\non_error: { dead_letter: { file: { path: "
             "%s/dead } } }\ncpu: { threads: 2 }\n",
             folder, tree_fate(), folder, folder);
}

static void run_to_its_end(const char *text, pid_t *heir)
{
    gq_pipeline *p = started_with(text);
    ck_assert_msg(gq_wait(p, 20000) == GQ_OK, "%s", gq_last_error());
    if (heir && (*heir = fork()) == 0) {
        sleep(60);
        _exit(0);
    }
    ck_assert_msg(gq_stop(p, 0) == GQ_OK, "%s", gq_last_error());
    gq_close(p);
}

START_TEST(what_a_forked_child_inherits_does_not_keep_what_a_pipeline_wrote)
{
    char folder[] = "/tmp/gpuq-heir-XXXXXX", text[1024];
    static const char *const names[] = {"in", "out", "out.checkpoint", "dead"};
    pid_t heir = -1;
    ck_assert_ptr_nonnull(mkdtemp(folder));
    have_all_locks(folder, text);
    run_to_its_end(text, &heir);
    ck_assert_int_gt(heir, 0);
    run_to_its_end(text, NULL);
    kill(heir, SIGKILL);
    waitpid(heir, NULL, 0);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(text, sizeof text, "%s/%s", folder, names[i]);
        ck_assert_int_eq(unlink(text), 0);
    }
    rmdir(folder);
}
END_TEST

START_TEST(a_run_goes_on_while_the_application_changes_its_folder)
{
    char folder[] = "/tmp/gpuq-moved-XXXXXX", here[PATH_MAX];
    static const char *const names[] = {"in", "to/out", "to/out.checkpoint"};
    ck_assert_ptr_nonnull(getcwd(here, sizeof here));
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(chdir(folder), 0);
    ck_assert_int_eq(mkdir("to", 0700), 0);
    FILE *in = fopen("in", "w");
    for (int i = 0; i < 100000; i++)
        ck_assert_int_ge(fprintf(in, "line %d\n", i), 0);
    ck_assert_int_eq(fclose(in), 0);
    gq_pipeline *p = started_with("version: 1\nbackend: cpu\nsource: { file: { path: in } }\n"
                                  "sink: { file: { path: to/out } }\nstages: [{ plugin: 'builtin:echo' }]\n"
                                  "delivery: exactly_once\n");
    ck_assert_int_eq(chdir(here), 0);
    ck_assert_msg(gq_wait(p, 20000) == GQ_OK, "%s", gq_last_error());
    ck_assert_msg(gq_stop(p, 0) == GQ_OK, "%s", gq_last_error());
    gq_close(p);
    ck_assert_int_eq(chdir(folder), 0);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        ck_assert_int_eq(unlink(names[i]), 0);
    ck_assert_int_eq(rmdir("to"), 0);
    ck_assert_int_eq(chdir(here), 0);
    ck_assert_int_eq(rmdir(folder), 0);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {more_threads_than_a_worker_has_are_refused,
                                  an_interrupt_loses_no_message_that_was_accepted,
                                  a_stop_loses_no_message_that_was_accepted,
                                  a_result_names_the_stage_that_failed_it_or_the_last,
                                  an_interrupt_ends_a_source_plugin_whose_results_the_application_takes,
                                  latency_is_measured_from_the_enqueue,
                                  a_failed_message_that_nobody_took_is_no_result,
                                  a_forked_child_cannot_harm_its_parents_queue,
                                  a_worker_ends_with_its_application_though_a_forked_child_lives_on,
                                  what_a_forked_child_inherits_does_not_keep_what_a_pipeline_wrote,
                                  a_run_goes_on_while_the_application_changes_its_folder,
                                  a_stop_ends_though_the_sinks_reader_stands_still,
                                  a_sinks_reader_that_goes_away_is_an_error_and_no_signal};
    return unit_run("pipeline", tests, sizeof tests / sizeof *tests, NULL, NULL);
}
