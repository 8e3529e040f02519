/* The worker is killed at a random moment, again and again, while threads are in every call of the queue API. Another
 * takes over each time: no call fails because of it, nobody hangs, and a shutdown at any moment ends every call.
 *
 *   killed [ROUNDS [SEED]]     prints its seed
 */
#include "calls.h"
#include <pthread.h>
#include <signal.h>

#define THREADS 6u
#define ROUND_S 30u

/* Threads that all wait for ever for a result, or for room that nobody makes, are woken by the death as well. */
static void kill_worker(uint64_t *dice, int with)
{
    usleep((useconds_t)(payload_dice(dice) % 8000));
    const pid_t worker = fault_find_child();
    if (worker > 0) /* else it is gone: another is about to be started */
        fault_kill(worker, with);
}

static void *shut_down(void *q)
{
    q_shutdown(q);
    return NULL;
}

static void one_round(uint64_t *dice)
{
    static const int ways[] = {SIGKILL, SIGSEGV, SIGTERM};
    struct caller callers[THREADS];
    pthread_t thread[THREADS], other;
    GpuQueue *q = fault_open(4u << payload_dice(dice) % 6, (unsigned)(payload_dice(dice) % 3) + 1);
    for (uint32_t i = 0; i < THREADS; i++) {
        callers[i] = (struct caller){.q = q, .dice = payload_dice(dice) | 1};
        pthread_create(&thread[i], NULL, call_until_the_end, &callers[i]);
    }
    for (uint64_t kills = payload_dice(dice) % 3 + 1; kills > 0; kills--)
        kill_worker(dice, ways[payload_dice(dice) % 3]);
    pthread_create(&other, NULL, shut_down, q); /* nothing else ends the calls */
    for (uint32_t i = 0; i < THREADS; i++) {
        pthread_join(thread[i], NULL);
        REQUIRE(callers[i].end == Q_ERR_SHUTDOWN, "thread %u ended with %d: %s", i, callers[i].end,
                callers[i].sentence);
    }
    pthread_join(other, NULL);
    q_shutdown(q);
    REQUIRE(q_enqueue(q, "x", 1, NULL, 0) == Q_ERR_SHUTDOWN, "after the shutdown");
}

/* A worker that is stopped answers nothing: the shutdown gives up after its drain, with a sentence, and ends it. */
static void a_stopped_worker(void)
{
    GpuQueue *q = fault_open(16, 1);
    uint64_t start = gq_clock_ns();
    REQUIRE(q_enqueue(q, "x", 1, NULL, 0) == Q_OK, "enqueue");
    fault_stop(fault_find_child());
    for (int i = 0; i < 5; i++)
        REQUIRE(q_enqueue(q, "x", 1, NULL, 0) == Q_OK, "enqueue");
    q_shutdown(q);
    REQUIRE(strstr(q_last_error(), "messages in flight were not finished"), "the sentence");
    REQUIRE(gq_clock_ns() - start < 10000000000u, "it took too long");
}

int main(int argc, char **argv)
{
    uint64_t rounds = argc > 1 ? strtoull(argv[1], NULL, 10) : 100;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : gq_clock_ns(), dice = seed | 1;
    printf("seed %" PRIu64 "\n", seed);
    fflush(stdout);
    alarm(ROUND_S);
    if (!fault_on_gpu())
        a_stopped_worker(); /* grids run on when the worker's threads stop */
    fault_repeat(rounds, ROUND_S, &dice, one_round);
    return 0;
}
