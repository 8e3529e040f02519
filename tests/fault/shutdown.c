/* q_shutdown from any thread, at any moment, while eight threads are in every call of the queue API: each of them is
 * refused with Q_ERR_SHUTDOWN, nobody hangs, and nothing is used after it is gone (run under sanitizers).
 *
 *   shutdown [ROUNDS [SEED]]     prints its seed
 */
#include "calls.h"
#include <pthread.h>

#define THREADS 8u
#define ROUND_S 30u

/* Some threads end the queue themselves, in the middle of their calls. */
struct player {
    struct caller caller;
    uint64_t calls_before; /* UINT64_MAX: leaves it to others */
};

static void *play(void *arg)
{
    struct player *p = arg;
    for (uint64_t i = 0; i < p->calls_before; i++) {
        p->caller.end = call_something(&p->caller);
        REQUIRE(fault_allowed(p->caller.end) && p->caller.end != Q_ERR_CUDA, "status %d", p->caller.end);
        if (p->caller.end == Q_ERR_SHUTDOWN)
            return NULL;
    }
    q_shutdown(p->caller.q);
    p->caller.end = Q_ERR_SHUTDOWN;
    return NULL;
}

static void one_round(uint64_t *dice)
{
    struct player players[THREADS];
    pthread_t thread[THREADS];
    GpuQueue *q = fault_open(4u << payload_dice(dice) % 6, (unsigned)(payload_dice(dice) % 2) + 1);
    uint64_t enders = payload_dice(dice) % THREADS;
    for (uint32_t i = 0; i < THREADS; i++) {
        players[i] = (struct player){.caller = {.q = q, .dice = payload_dice(dice) | 1},
                                     .calls_before = i < enders ? payload_dice(dice) % 200 : UINT64_MAX};
        pthread_create(&thread[i], NULL, play, &players[i]);
    }
    usleep((useconds_t)(payload_dice(dice) % 10000));
    q_shutdown(q);
    for (uint32_t i = 0; i < THREADS; i++) {
        pthread_join(thread[i], NULL);
        REQUIRE(players[i].caller.end == Q_ERR_SHUTDOWN, "thread %u ended with %d", i, players[i].caller.end);
    }
    struct caller late = {.q = q, .dice = *dice | 1};
    for (int i = 0; i < 50; i++)
        REQUIRE(call_something(&late) == Q_ERR_SHUTDOWN, "a call after the shutdown");
}

int main(int argc, char **argv)
{
    uint64_t rounds = argc > 1 ? strtoull(argv[1], NULL, 10) : 100;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : gq_clock_ns(), dice = seed | 1;
    printf("seed %" PRIu64 "\n", seed);
    fflush(stdout);
    one_round(&dice);
    fault_repeat(rounds, ROUND_S, &dice, one_round);
    return 0;
}
