/* poll BACKEND - what queue.poll says is how host and worker wait: seen from the turns they give up and the processor's
 * time they take. BACKEND cuda needs a driver; the tests give it one of their own. */
#include <check.h>
#include <dirent.h>
#include <gpuqueue/runtime.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#include "build/nvrtc.h"
#include "unit/unit.h"

#define SHORT_MS 1 /* a wait that ends before a thread that is woken every 50 us has taken SOME_US of a processor */
#define LONG_MS 12 /* one in which even a busy machine lets a thread come so far that it sleeps */
#define WAITS 40
#define ATTEMPTS 12
#define IDLE_MS 900
#define SOME_US 150u /* less than what an adaptive host looks for */

static const char *backend;

static gq_pipeline *started(const char *poll)
{
    char text[512];
    gq_pipeline *p = NULL;
    snprintf(text, sizeof text,
             "version: 1\nname: poll\nqueue: { capacity: 64, slot_bytes: 64, poll: %s }\n"
             "stages: [{ plugin: \"builtin:echo\" }]\ncpu: { threads: 1 }\n",
             poll);
    gq_open_opts opts = {.size = sizeof opts, .path = "poll.yaml", .text = text, .backend = backend};
    ck_assert_msg(gq_open(&opts, &p) == GQ_OK, "%s", gq_last_error());
    ck_assert_msg(gq_prepare(p) == GQ_OK, "%s", gq_last_error());
    ck_assert_msg(gq_start(p) == GQ_OK, "%s", gq_last_error());
    return p;
}

static void finished(gq_pipeline *p)
{
    ck_assert_msg(gq_stop(p, 10000) == GQ_OK, "%s", gq_last_error());
    gq_close(p);
}

static void one_message(GpuQueue *q)
{
    uint64_t id = 0;
    char got[64];
    size_t len = sizeof got;
    ck_assert_msg(q_enqueue(q, "ping", 4, &id, 10000) == Q_OK, "%s", q_last_error());
    ck_assert_msg(q_wait_completions(q, 20000) == Q_OK, "%s", q_last_error());
    ck_assert_msg(q_try_dequeue_result(q, id, got, &len) == Q_OK, "%s", q_last_error());
    ck_assert_uint_eq(len, 4);
}

/* What waiting for nothing, WAITS times, costs this thread. */
struct cost {
    long slept;                  /* times that it gave the processor up until somebody or a clock woke it */
    long lost;                   /* times that somebody else had it: a turn that it gave away, or that was over */
    double least_us, longest_us; /* of the processor's time, in one wait */
};

static double thread_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return 1e6 * (double)t.tv_sec + 1e-3 * (double)t.tv_nsec;
}

static struct cost idle_waits(GpuQueue *q, uint32_t wait_ms)
{
    struct cost cost = {.least_us = 1e9};
    struct rusage before, after;
    QResult result;
    size_t count;
    getrusage(RUSAGE_THREAD, &before);
    for (int i = 0; i < WAITS; i++) {
        const double start = thread_us();
        ck_assert_int_eq(q_peek_any(q, &result, 1, &count, wait_ms), Q_ERR_TIMEOUT);
        const double took = thread_us() - start;
        cost.least_us = took < cost.least_us ? took : cost.least_us;
        cost.longest_us = took > cost.longest_us ? took : cost.longest_us;
    }
    getrusage(RUSAGE_THREAD, &after);
    cost.slept = after.ru_nvcsw - before.ru_nvcsw;
    cost.lost = after.ru_nivcsw - before.ru_nivcsw;
    return cost;
}

static struct cost cost_of(const char *poll, uint32_t wait_ms)
{
    gq_pipeline *p = started(poll);
    one_message(gq_queue(p));
    struct cost cost = idle_waits(gq_queue(p), wait_ms);
    one_message(gq_queue(p));
    finished(p);
    return cost;
}

START_TEST(a_host_that_spins_never_sleeps)
{
    const struct cost cost = cost_of("spin", LONG_MS);
    ck_assert_int_lt(cost.slept, WAITS / 4);
    ck_assert_double_gt(cost.longest_us, 5 * SOME_US); /* of LONG_MS; a busy machine gives it a small part */
}
END_TEST

START_TEST(a_host_that_sleeps_does_so_at_once)
{
    const struct cost cost = cost_of("sleep", SHORT_MS);
    ck_assert_int_ge(cost.slept, WAITS);
    ck_assert_double_lt(cost.least_us, SOME_US);
}
END_TEST

START_TEST(an_adaptive_host_looks_for_a_while_and_then_sleeps)
{
    /* On a busy machine the turns that it gives away first come back when the wait is over. */
    long gave = 0;
    for (int i = 0; i < ATTEMPTS && gave < WAITS / 2; i++) {
        const struct cost cost = cost_of("adaptive", LONG_MS);
        gave = cost.slept + cost.lost;
    }
    ck_assert_int_ge(gave, WAITS / 2);
    if (strcmp(backend, "cuda") == 0) /* a device wakes nobody soon: it is worth 200 us of looking */
        ck_assert_double_gt(cost_of("adaptive", SHORT_MS).longest_us, SOME_US);
}
END_TEST

/* --- the worker of the CPU backend -------------------------------------------------------------------------------- */

static pid_t worker_of_this_process(void)
{
    char path[64], text[64] = "";
    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    FILE *file = fopen(path, "r");
    ck_assert_ptr_nonnull(file);
    size_t len = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    ck_assert_msg(len > 0, "this process has no worker");
    return (pid_t)strtol(text, NULL, 10);
}

static uint64_t word_of(const char *path, const char *key)
{
    char line[128];
    uint64_t value = 0;
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, key, strlen(key)) == 0)
            value = strtoull(line + strlen(key), NULL, 10);
    if (file)
        fclose(file);
    return value;
}

/* How often the threads of a process slept so far. */
static uint64_t sleeps_of(pid_t pid)
{
    char folder[64], path[512];
    uint64_t sum = 0;
    snprintf(folder, sizeof folder, "/proc/%d/task", (int)pid);
    DIR *dir = opendir(folder);
    ck_assert_ptr_nonnull(dir);
    for (const struct dirent *e = readdir(dir); e; e = readdir(dir)) {
        snprintf(path, sizeof path, "%s/%s/status", folder, e->d_name);
        sum += word_of(path, "voluntary_ctxt_switches:");
    }
    closedir(dir);
    return sum;
}

/* Sleeps of the worker while it has nothing to do for so long, and the processor is left to it. */
static uint64_t idle_sleeps(const char *poll, unsigned ms)
{
    gq_pipeline *p = started(poll);
    one_message(gq_queue(p));
    const pid_t worker = worker_of_this_process();
    const uint64_t before = sleeps_of(worker);
    usleep(ms * 1000);
    const uint64_t sleeps = sleeps_of(worker) - before;
    finished(p);
    return sleeps;
}

/* Where others press, a thread of its may wait for a page, or for the host. */
START_TEST(a_worker_that_spins_never_sleeps)
{
    uint64_t least = UINT64_MAX;
    for (int i = 0; i < ATTEMPTS && least > 3; i++) {
        const uint64_t sleeps = idle_sleeps("spin", IDLE_MS);
        least = sleeps < least ? sleeps : least;
    }
    ck_assert_uint_le(least, 3);
}
END_TEST

START_TEST(a_worker_that_may_sleeps)
{
    static const char *const polls[] = {"sleep", "adaptive"};
    for (int poll = 0; poll < 2; poll++) {
        uint64_t sleeps = 0;
        for (unsigned i = 1; i <= ATTEMPTS / 2 && sleeps < 6; i++) /* where others press it wakes up late */
            sleeps = idle_sleeps(polls[poll], i * IDLE_MS);
        ck_assert_uint_ge(sleeps, 6);
    }
}
END_TEST

int main(int argc, char **argv)
{
    backend = argc == 2 ? argv[1] : "cpu";
    if (strcmp(backend, "cuda") == 0 && gq_nvrtc_check() != GQ_OK) {
        printf("skipped: %s\n", gq_error_text());
        return 77;
    }
    /* The grids' own way of waiting has no thread of a processor to look at. */
    const TTest *const tests[] = {a_host_that_spins_never_sleeps, a_host_that_sleeps_does_so_at_once,
                                  an_adaptive_host_looks_for_a_while_and_then_sleeps, a_worker_that_spins_never_sleeps,
                                  a_worker_that_may_sleeps};
    return unit_run("poll", tests, strcmp(backend, "cpu") == 0 ? 5 : 3, NULL, NULL);
}
