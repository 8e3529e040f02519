/* Processes die, or stand still, while the code of a stage is swapped: the builder, the spare worker that rehearses,
 * and a caller in the middle of its call. Each is hit at a random moment of a swap, again and again, so that every step
 * is met. Meanwhile messages flow, and each of them is answered, in order, by the version that its generation names.
 * The swap under way succeeds or is refused with a sentence; the next one succeeds; no process and no file is left.
 *
 *   swap_chaos [ROUNDS [SEED]]     prints its seed, and at which steps of how many swaps it struck
 */
#include <gpuqueue/swap.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include "stress/storm.h"
#include "support.h"

#define ROUND_S 200u
#define SWAPS 8u /* of a round */
#define SWAPS_CACHED 60u
#define STOP_MS 30u

enum blow { KILL_BUILDER, KILL_SPARE, STOP_SPARE, BLOWS };
static const char *const blow_name[BLOWS] = {"builder killed", "spare killed", "spare stopped for a while"};

struct victim {
    enum blow blow;
    pid_t worker; /* the live one: never hit */
    uint64_t after_us;
    bool struck;
};

static gq_swap_result result;
static char folder[256];
static uint64_t refused_at[GQ_STEP_DONE + 1], struck[BLOWS], survived[BLOWS];

/* --- processes -------------------------------------------------------------------------------------------------------
 */

static void *strike(void *arg)
{
    struct victim *v = arg;
    usleep((useconds_t)v->after_us);
    const pid_t pid = v->blow == KILL_BUILDER ? fault_find("builder", 0) : fault_find("worker", v->worker);
    v->struck = pid > 0 && kill(pid, v->blow == STOP_SPARE ? SIGSTOP : SIGKILL) == 0;
    if (v->struck && v->blow == STOP_SPARE) {
        usleep(STOP_MS * 1000);
        kill(pid, SIGCONT);
    }
    return NULL;
}

/* --- one swap --------------------------------------------------------------------------------------------------------
 */

static gq_status swap_to(gq_pipeline *p, uint32_t tag)
{
    const gq_swap_opts opts = {.size = sizeof opts, .plugin = storm_plugin(folder, tag)};
    result = (gq_swap_result){.size = sizeof result};
    return gq_swap(p, "s", &opts, &result);
}

static void announce(struct storm *s, uint32_t tag)
{
    s->generation[s->done + 1].tag[0] = (uint8_t)tag;
    __atomic_store_n(&s->begun, s->done + 1, __ATOMIC_RELEASE);
}

/* A swap that was refused made no generation, and the version that was live still is. */
static void settle(struct storm *s, gq_status status, uint32_t live)
{
    if (status == GQ_OK) {
        REQUIRE(result.generation == s->done + 1, "generation %u after %u", result.generation, s->done);
        __atomic_store_n(&s->done, result.generation, __ATOMIC_RELEASE);
        return;
    }
    REQUIRE(gq_last_error()[0] && result.generation == 0 && result.live == live && result.step < GQ_STEP_PARK,
            "refused with status %d at %s, generation %u, version %u live", (int)status, gq_swap_step_name(result.step),
            result.generation, result.live);
    refused_at[result.step]++;
}

static void swap_under_fire(gq_pipeline *p, struct storm *s, struct victim *v, uint32_t tag, uint32_t *live)
{
    pthread_t thread;
    announce(s, tag);
    REQUIRE(pthread_create(&thread, NULL, strike, v) == 0, "no thread");
    const gq_status status = swap_to(p, tag);
    settle(s, status, *live);
    pthread_join(thread, NULL);
    struck[v->blow] += v->struck;
    survived[v->blow] += v->struck && status == GQ_OK;
    *live = result.live;
}

/* --- one round -------------------------------------------------------------------------------------------------------
 */

static gq_pipeline *open_pipeline(bool cached)
{
    char text[1024];
    const char *backend = getenv("GPUQ_BACKEND");
    snprintf(text, sizeof text,
             "version: 1\nqueue: { capacity: %u, slot_bytes: %u }\nstages: [{ name: s, plugin: '%s' }]\n",
             STORM_CAPACITY, STORM_SLOT_BYTES, storm_plugin(folder, 0));
    const gq_open_opts opts = {.size = sizeof opts,
                               .path = "chaos",
                               .text = text,
                               .backend = backend ? backend : "cpu",
                               .cache_folder = folder,
                               .no_cache = !cached};
    return fault_start(&opts);
}

/* Compilers take far longer than rehearsals: with a cache most of a swap is its rehearsal. Once it is full no builder
 * is there to be hit. */
static void one_round(uint64_t *dice)
{
    static bool cached;
    static struct storm s;
    static struct storm_lane lane;
    gq_pipeline *p = open_pipeline(cached);
    const pid_t worker = fault_find("worker", 0);
    uint32_t live = 1;
    uint64_t usual_us = 200000;
    s.q = gq_queue(p);
    s.seed = *dice;
    s.stages = s.producers = s.begun = s.done = 1;
    s.whole = true;
    s.end = false;
    s.generation[1].tag[0] = 0;
    storm_start(&lane, &s, 0);
    for (uint32_t i = 0; i < (cached ? SWAPS_CACHED : SWAPS); i++) {
        const uint32_t tag = (i + 1) % STORM_TAGS;
        struct victim v = {.blow = cached ? KILL_SPARE + (enum blow)(payload_dice(dice) % 2)
                                          : (enum blow)(payload_dice(dice) % BLOWS),
                           .worker = worker};
        v.after_us = payload_dice(dice) % usual_us;
        swap_under_fire(p, &s, &v, tag, &live);
        announce(&s, (tag + 4) % STORM_TAGS);
        REQUIRE(swap_to(p, (tag + 4) % STORM_TAGS) == GQ_OK && result.step == GQ_STEP_DONE,
                "the swap after '%s': %s\n%s", blow_name[v.blow], gq_swap_step_name(result.step), result.log);
        settle(&s, GQ_OK, live);
        live = result.live;
        usual_us = result.total_ns / 1000 + 100;
    }
    __atomic_store_n(&s.end, true, __ATOMIC_RELAXED);
    storm_join(&lane);
    storm_check_counts(&s, &lane);
    REQUIRE(fault_find("worker", 0) && gq_stop(p, 0) == GQ_OK, "stop: %s", gq_last_error());
    gq_close(p);
    cached = !cached;
}

int main(int argc, char **argv)
{
    const uint64_t rounds = argc > 1 ? strtoull(argv[1], NULL, 10) : 3;
    const uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : gq_clock_ns();
    uint64_t dice = seed | 1;
    printf("seed %" PRIu64 "\n", seed);
    fflush(stdout);
    storm_write_plugins(folder, sizeof folder);
    fault_repeat(rounds, ROUND_S, &dice, one_round);
    storm_remove_plugins(folder);
    for (unsigned i = 0; i < BLOWS; i++)
        printf("%s: %" PRIu64 " times, %" PRIu64 " of these swaps went live\n", blow_name[i], struck[i], survived[i]);
    for (unsigned i = 0; i < GQ_STEP_DONE; i++)
        if (refused_at[i])
            printf("refused at %s: %" PRIu64 "\n", gq_swap_step_name((gq_swap_step)i), refused_at[i]);
    return 0;
}
