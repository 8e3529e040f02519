/* library.c - an application that uses queues and swaps while the k-th call of the library fails, for every k in one
 * process: so what is not given back is seen.
 *
 *   library SCENARIO FIRST STEP    in a folder with a.cu, b.cu and broken.cu; $GPUQ_FAILING names the plan
 *
 * After each round no child, no descriptor, no mapping and no allocation of the library's may be left, but handles,
 * which stay for ever by design. */
#include "plan.h"
#include "fault/support.h"
#include <gpuqueue/swap.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>
#include "pipeline/handle.h"

#define MESSAGES 12u
#define ROUND_S 120u
#define MISSES 2u /* rounds in a row without a failure: there are no more calls */

static struct failing_plan *plan;
static uint32_t broken;
static uint64_t calls;    /* of the last round */
static uint64_t round_at; /* the plan's `at`, which is 0 while the test itself makes calls */

#define EXPECT(condition, ...)                                                                              \
    do {                                                                                                    \
        if (!(condition)) {                                                                                 \
            printf("BROKEN %llu %#llx %s: ", (unsigned long long)round_at, (unsigned long long)plan->place, \
                   plan->planted ? plan->call : "no call");                                                 \
            printf(__VA_ARGS__);                                                                            \
            printf(" (last error: %s)\n", gq_last_error());                                                 \
            fflush(stdout);                                                                                 \
            broken++;                                                                                       \
        }                                                                                                   \
    } while (0)

/* Is it a status that may come of a failed call? Then it has a sentence. */
static bool well(gq_status status, const char *call)
{
    EXPECT(status == GQ_OK || *gq_last_error(), "%s: status %d without a sentence", call, status);
    EXPECT(status == GQ_OK || !strstr(gq_last_error(), "(null)"), "%s: a sentence with a hole", call);
    EXPECT(status == GQ_OK || plan->planted, "%s: status %d, and no call failed", call, status);
    return status == GQ_OK;
}

/* --- queues ---------------------------------------------------------------------------------------------------------
 */

/* A message that was refused is given again: the call that failed has failed. Stops at a queue that is dead. */
static bool give(GpuQueue *q, unsigned number, uint64_t *id)
{
    for (unsigned i = 0; i < 3; i++)
        if (well((gq_status)q_enqueue(q, &number, sizeof number, id, 20000), "q_enqueue"))
            return true;
    return false;
}

static void take(GpuQueue *q, unsigned number, uint64_t id)
{
    unsigned got = ~0u;
    size_t len = sizeof got;
    QueueStatus status;
    while ((status = q_try_dequeue_result(q, id, &got, &len)) == Q_ERR_NOT_READY)
        q_wait_completions(q, 100);
    if (well((gq_status)status, "q_try_dequeue_result"))
        EXPECT(len == sizeof got && got == number, "message %u came back as %u of %zu bytes", number, got, len);
}

static void exchange(GpuQueue *q)
{
    uint64_t id[MESSAGES];
    unsigned given = 0;
    while (given < MESSAGES && give(q, given, &id[given]))
        given++;
    for (unsigned i = 0; i < given; i++)
        take(q, i, id[i]);
}

static void queue(void)
{
    GpuQueue *q = q_open("queue.yaml");
    EXPECT(q || *q_last_error(), "q_open gives NULL without a sentence");
    if (q)
        exchange(q);
    q_shutdown(q);
}

static void *exchange_in_thread(void *q)
{
    exchange(q);
    return NULL;
}

static void threads(void)
{
    pthread_t other[2];
    const QueueConfig config = {.capacity = 16, .slot_bytes = 64};
    GpuQueue *q = q_init(&config);
    EXPECT(q || *q_last_error(), "q_init gives NULL without a sentence");
    if (!q)
        return;
    unsigned started = 0;
    for (; started < 2; started++)
        if (pthread_create(&other[started], NULL, exchange_in_thread, q) != 0)
            break;
    while (started > 0)
        pthread_join(other[--started], NULL);
    q_shutdown(q);
}

static void in_place(void)
{
    GpuQueue *q = q_open("queue.yaml");
    QClaim claims[4];
    QResult results[4];
    size_t claimed = 0, count = 0, taken = 0;
    EXPECT(q || *q_last_error(), "q_open gives NULL without a sentence");
    if (!q)
        return;
    bool fine = false;
    for (unsigned i = 0; i < 3 && !fine; i++)
        fine = well((gq_status)q_claim(q, claims, 4, &claimed, 20000), "q_claim");
    for (size_t i = 0; i < claimed; i++)
        claims[i].len = 1;
    fine = fine && well((gq_status)q_commit(q, claims, claimed), "q_commit");
    while (fine && taken < claimed && well((gq_status)q_peek(q, results, 4, &count, 20000), "q_peek")) {
        taken += count;
        fine = well((gq_status)q_release(q, results, count), "q_release");
    }
    q_shutdown(q);
}

/* Somebody kills the worker; what was accepted is served by the next one. */
static void killed(void)
{
    GpuQueue *q = q_open("queue.yaml");
    uint64_t id[MESSAGES];
    unsigned given = 0;
    EXPECT(q || *q_last_error(), "q_open gives NULL without a sentence");
    if (!q)
        return;
    while (given < MESSAGES / 2 && give(q, given, &id[given]))
        given++;
    plan->at = 0;
    const pid_t worker = fault_find("worker", 0);
    plan->at = round_at;
    if (worker)
        kill(worker, SIGKILL);
    while (given < MESSAGES && give(q, given, &id[given]))
        given++;
    for (unsigned i = 0; i < given; i++)
        take(q, i, id[i]);
    q_shutdown(q);
}

/* --- swaps ----------------------------------------------------------------------------------------------------------
 */

static gq_pipeline *started(void)
{
    gq_pipeline *p = NULL;
    const gq_open_opts opts = {.size = sizeof opts, .path = "swap.yaml"};
    if (!well(gq_open(&opts, &p), "gq_open"))
        return NULL;
    if (well(gq_prepare(p), "gq_prepare") && well(gq_start(p), "gq_start"))
        return p;
    gq_close(p);
    return NULL;
}

/* The stage's code is what `live` says, and it answers. */
static void answers(gq_pipeline *p, uint32_t live, const char letters[])
{
    uint64_t id;
    char got = '?';
    size_t len = 1;
    QueueStatus status = Q_OK;
    bool given = false;
    for (unsigned i = 0; i < 3 && !given; i++)
        given = well((gq_status)q_enqueue(gq_queue(p), "x", 1, &id, 20000), "q_enqueue");
    while (given && (status = q_try_dequeue_result(gq_queue(p), id, &got, &len)) == Q_ERR_NOT_READY)
        q_wait_completions(gq_queue(p), 100);
    if (given && well((gq_status)status, "q_try_dequeue_result"))
        EXPECT(live == 0 || got == letters[live], "version %u answers %c", live, got);
}

static gq_swap_result result;

static bool swapped(gq_pipeline *p, const char *plugin, uint32_t canary_ppm)
{
    const gq_swap_opts opts = {
        .size = sizeof opts, .plugin = plugin, .canary_ppm = canary_ppm, .canary_ms = canary_ppm ? 20 : 0};
    result = (gq_swap_result){.size = sizeof result};
    return gq_swap(p, "s", &opts, &result) == GQ_OK;
}

static void ended(gq_pipeline *p)
{
    well(gq_stop(p, 20000), "gq_stop");
    gq_close(p);
}

static void swap(void)
{
    gq_pipeline *p = started();
    if (!p)
        return;
    answers(p, 1, "?a");
    well(swapped(p, "b.cu", 0) ? GQ_OK : GQ_ERR_PLUGIN, "gq_swap");
    answers(p, result.live, "?ab");
    result = (gq_swap_result){.size = sizeof result};
    const gq_status back = gq_rollback(p, "s", &result);
    EXPECT(back == GQ_OK || *gq_last_error(), "gq_rollback: no sentence");
    answers(p, result.live, "?ab");
    result = (gq_swap_result){.size = sizeof result};
    if (gq_use(p, "s", 2, &result) == GQ_OK)
        answers(p, 2, "?ab");
    gq_discard(p, "s", 1);
    gq_version_info versions[8];
    size_t count = 0;
    well(gq_versions(p, versions, 8, &count), "gq_versions");
    ended(p);
}

static void refused(void)
{
    gq_pipeline *p = started();
    if (!p)
        return;
    EXPECT(!swapped(p, "broken.cu", 0), "a plugin that does not compile is live");
    EXPECT(*gq_last_error(), "a refusal without a sentence");
    answers(p, 1, "?a");
    EXPECT(!swapped(p, "missing.cu", 0), "a plugin that is not there is live");
    answers(p, 1, "?a");
    ended(p);
}

static void canary(void)
{
    gq_pipeline *p = started();
    if (!p)
        return;
    answers(p, 1, "?a");
    EXPECT(!swapped(p, "b.cu", 500000), "a canary without a message is live"); /* it had no result */
    answers(p, 1, "?a");
    ended(p);
}

static void reload(void)
{
    gq_pipeline *p = started();
    uint32_t changed = 0;
    if (!p)
        return;
    result = (gq_swap_result){.size = sizeof result};
    well(gq_reload(p, &changed, &result), "gq_reload");
    EXPECT(changed == 0 || plan->planted, "%u stages changed", changed);
    answers(p, 1, "?a");
    ended(p);
}

static void files(void)
{
    gq_pipeline *p = NULL;
    const gq_open_opts opts = {.size = sizeof opts, .path = "files.yaml"};
    if (!well(gq_open(&opts, &p), "gq_open"))
        return;
    gq_stats stats = {.size = sizeof stats};
    bool fine = well(gq_prepare(p), "gq_prepare") && well(gq_start(p), "gq_start") &&
                well(gq_wait(p, 20000), "gq_wait") && well(gq_stop(p, 0), "gq_stop");
    if (fine && well(gq_get_stats(p, &stats), "gq_get_stats"))
        EXPECT(stats.messages_in == MESSAGES && stats.messages_out == MESSAGES, "%llu messages in",
               (unsigned long long)stats.messages_in);
    gq_close(p);
}

/* --- rounds ---------------------------------------------------------------------------------------------------------
 */

static const struct {
    const char *name;
    void (*run)(void);
} scenarios[] = {{"queue", queue},     {"threads", threads}, {"in_place", in_place}, {"killed", killed}, {"swap", swap},
                 {"refused", refused}, {"canary", canary},   {"reload", reload},     {"files", files}};

static void *run(void *scenario)
{
    plan->at = round_at;
    (*(void (**)(void))scenario)();
    plan->at = 0;
    return NULL;
}

/* Of files that the library maps: its lanes, links and images. */
static unsigned count_maps(void)
{
    char line[512];
    unsigned count = 0;
    FILE *file = fopen("/proc/self/maps", "r");
    while (fgets(line, sizeof line, file))
        count += strstr(line, "memfd:") != NULL;
    fclose(file);
    return count;
}

static bool stays(const void *p) { return ((const struct GpuQueue *)p)->magic == 0x71756575u; }

static void one_round(void (*scenario)(void), uint64_t at)
{
    char what[64] = "";
    pthread_t thread;
    const int files_before = fault_count_open_files();
    plan->planted = 0;
    plan->count = 0;
    round_at = at;
    alarm(ROUND_S);
    failing_forget_allocations();
    /* In a thread, which takes its records with it. */
    REQUIRE(pthread_create(&thread, NULL, run, &scenario) == 0, "a thread");
    pthread_join(thread, NULL);
    calls = plan->count;
    for (unsigned i = 0; i < 20000 && fault_find_child(); i++)
        usleep(1000);
    EXPECT(fault_find_child() == 0, "a process is left");
    EXPECT(fault_count_open_files() == files_before, "%d descriptors are left",
           fault_count_open_files() - files_before);
    EXPECT(count_maps() == 0, "%u mappings are left", count_maps());
    EXPECT(failing_allocations(stays, what, sizeof what) == 0, "not freed, allocated at %s", what);
}

int main(int argc, char **argv)
{
    REQUIRE(argc == 4, "usage: library SCENARIO FIRST STEP");
    void (*scenario)(void) = NULL;
    const uint64_t first = strtoull(argv[2], NULL, 10), step = strtoull(argv[3], NULL, 10);
    uint64_t rounds = 0;
    plan = failing_plan();
    for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++)
        if (strcmp(argv[1], scenarios[i].name) == 0)
            scenario = scenarios[i].run;
    REQUIRE(scenario, "no scenario %s", argv[1]);
    for (int i = 0; i < 2; i++)
        one_round(scenario, 0); /* what is made once and kept */
    one_round(scenario, 0);
    printf("POINTS %llu\n", (unsigned long long)calls);
    fflush(stdout);
    for (uint64_t at = first, misses = 0; step > 0 && misses < MISSES; at += step, rounds++) {
        one_round(scenario, at);
        misses = plan->planted ? 0 : misses + 1;
    }
    printf("ROUNDS %llu\n", (unsigned long long)rounds);
    return broken ? 1 : 0;
}
