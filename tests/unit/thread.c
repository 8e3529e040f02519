/* Looks at a thread from outside: one that has no processor is told apart from one that runs, waits, or has ended. */
#include "base/thread.h"
#include "base/clock.h"
#include "unit.h"
#include <sched.h>
#include <semaphore.h>
#include <stdio.h>
#include <unistd.h>

#define LOOK_US 5000u
#define LOOKS 20u
#define PATIENCE_MS 20000u

static struct {
    struct gq_thread_id id;
    sem_t told, go;
    bool stop; /* atomic */
} victim;

static void look_until_stop(void)
{
    while (!__atomic_load_n(&victim.stop, __ATOMIC_RELAXED))
        ;
}

static void tell(void)
{
    victim.id = gq_thread_self();
    sem_post(&victim.told);
}

static void *spins(void *arg)
{
    (void)arg;
    tell();
    look_until_stop();
    return NULL;
}

static void *waits(void *arg)
{
    (void)arg;
    tell();
    sem_wait(&victim.go);
    return NULL;
}

static void *hogs(void *arg)
{
    (void)arg;
    look_until_stop();
    return NULL;
}

/* Where the system tells nothing of threads, or lets nobody arrange them, there is nothing to test. */
static bool is_possible(void)
{
    cpu_set_t may;
    const struct sched_param last = {0};
    const bool is = access("/proc/self/task", R_OK) == 0 && sched_getaffinity(0, sizeof may, &may) == 0 &&
                    pthread_setaffinity_np(pthread_self(), sizeof may, &may) == 0 &&
                    pthread_setschedparam(pthread_self(), SCHED_IDLE, &last) == 0 &&
                    pthread_setschedparam(pthread_self(), SCHED_OTHER, &last) == 0;
    if (!is)
        puts("skipped: this system does not say which threads run, or does not let them be arranged");
    return is;
}

/* All that are pinned share one processor. */
static void pin(pthread_t thread)
{
    cpu_set_t may, one;
    size_t cpu = 0;
    ck_assert_int_eq(sched_getaffinity(0, sizeof may, &may), 0);
    while (!CPU_ISSET(cpu, &may))
        cpu++;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    ck_assert_int_eq(pthread_setaffinity_np(thread, sizeof one, &one), 0);
}

static pthread_t start(void *(*run)(void *))
{
    pthread_t thread;
    victim.stop = false;
    sem_init(&victim.told, 0, 0);
    sem_init(&victim.go, 0, 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, run, NULL), 0);
    while (sem_wait(&victim.told) != 0)
        ;
    return thread;
}

static uint32_t count_starved(void)
{
    uint64_t ran_ns = 0;
    uint32_t starved = 0;
    for (uint32_t i = 0; i < LOOKS; i++) {
        starved += gq_thread_is_starved(victim.id, &ran_ns);
        usleep(LOOK_US);
    }
    return starved;
}

START_TEST(one_without_a_processor_is_starved)
{
    const struct sched_param last = {0};
    const uint64_t deadline = gq_clock_deadline(PATIENCE_MS);
    if (!is_possible())
        return;
    pthread_t thread = start(spins), hog;
    ck_assert_int_eq(pthread_create(&hog, NULL, hogs, NULL), 0);
    pin(hog);
    pin(thread);
    ck_assert_int_eq(pthread_setschedparam(thread, SCHED_IDLE, &last), 0);
    while (count_starved() < LOOKS / 2)
        ck_assert(!gq_clock_past(deadline));
    __atomic_store_n(&victim.stop, true, __ATOMIC_RELAXED);
    pthread_join(hog, NULL);
    pthread_join(thread, NULL);
}
END_TEST

START_TEST(one_that_runs_is_not)
{
    uint64_t ran_ns = 0, before;
    const uint64_t deadline = gq_clock_deadline(PATIENCE_MS);
    pthread_t thread = start(spins);
    do {
        before = ran_ns;
        const bool starved = gq_thread_is_starved(victim.id, &ran_ns);
        ck_assert(!starved || ran_ns == before);
        usleep(LOOK_US);
        ck_assert(!gq_clock_past(deadline));
    } while (ran_ns < UINT64_C(20000000)); /* it had a processor for as long */
    __atomic_store_n(&victim.stop, true, __ATOMIC_RELAXED);
    pthread_join(thread, NULL);
}
END_TEST

START_TEST(one_that_waits_is_not)
{
    const uint64_t deadline = gq_clock_deadline(PATIENCE_MS);
    pthread_t thread = start(waits);
    while (count_starved() > 0) /* it may not have come to its wait */
        ck_assert(!gq_clock_past(deadline));
    sem_post(&victim.go);
    pthread_join(thread, NULL);
}
END_TEST

START_TEST(one_that_has_ended_is_not_and_neither_is_nobody)
{
    pthread_t thread = start(waits);
    sem_post(&victim.go);
    pthread_join(thread, NULL);
    ck_assert_uint_eq(count_starved(), 0);
    victim.id = (struct gq_thread_id){0};
    ck_assert_uint_eq(count_starved(), 0);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {one_without_a_processor_is_starved, one_that_runs_is_not, one_that_waits_is_not,
                                  one_that_has_ended_is_not_and_neither_is_nobody};
    return unit_run("thread", tests, sizeof tests / sizeof *tests, NULL, NULL);
}
