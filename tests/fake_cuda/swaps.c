/* swaps FIRST SECOND [REHEARSE] - the code of a stage changes while two threads send messages: by swap, roll-back, use,
 * with a migration, after a canary, and by changes that are refused. Every message comes back as it went, and
 * generations never fall.
 *
 * Exit code 0: every change was made or refused with a sentence, and messages flowed on. 3: the pipeline did not start.
 * 4: it ended, with a sentence. A driver call that fails may cause each of them; nothing else may happen. */
#include <gpuqueue/swap.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SKIP 77
#define BATCH 16
#define PUMPS 2 /* each has a lane of its own: a canary gets one of them */

static gq_pipeline *pipeline;
static GpuQueue *queue;
static uint32_t over;     /* atomic */
static const char *wrong; /* atomic */
static bool may_fall;     /* a canary whose end fails is taken back: its lane is the older generation's again */
static struct pump {
    pthread_t thread;
    uint64_t sent; /* atomic */
    uint32_t newest;
    uint32_t dead; /* atomic */
} pumps[PUMPS];

static void set_wrong(const char *what) { __atomic_store_n(&wrong, what, __ATOMIC_RELEASE); }

static bool is_wrong(void) { return __atomic_load_n(&wrong, __ATOMIC_ACQUIRE) != NULL; }

static bool check(struct pump *p, const QResult *r, uint64_t number)
{
    uint64_t got = 0;
    if (r->status != Q_RESULT_OK || r->len != sizeof got || (r->generation < p->newest && !may_fall))
        return false;
    memcpy(&got, r->data, sizeof got);
    p->newest = r->generation;
    return got == number;
}

static bool pump_batch(struct pump *p)
{
    const uint64_t first = p->sent;
    for (uint64_t i = 0; i < BATCH; i++)
        if (q_enqueue(queue, &(uint64_t){first + i}, sizeof first, NULL, 10000) != Q_OK)
            return false;
    for (uint64_t taken = 0; taken < BATCH;) {
        QResult results[BATCH];
        size_t count = 0;
        if (q_peek(queue, results, BATCH, &count, 10000) != Q_OK)
            return false;
        for (size_t i = 0; i < count; i++)
            if (!check(p, &results[i], first + taken + i))
                set_wrong("a result is not that of its message, or of an older generation");
        q_release(queue, results, count);
        taken += count;
    }
    __atomic_store_n(&p->sent, first + BATCH, __ATOMIC_RELEASE);
    return true;
}

static void *run_pump(void *arg)
{
    struct pump *p = arg;
    bool dead = false;
    while (!__atomic_load_n(&over, __ATOMIC_ACQUIRE) && !is_wrong() && !dead)
        dead = !pump_batch(p);
    if (dead)
        fprintf(stderr, "the pump: %s\n", q_last_error());
    __atomic_store_n(&p->dead, dead, __ATOMIC_RELEASE);
    return NULL;
}

static bool pump_flows(const struct pump *p)
{
    const uint64_t before = __atomic_load_n(&p->sent, __ATOMIC_ACQUIRE);
    for (int ms = 0; ms < 10000; ms++) {
        if (__atomic_load_n(&p->sent, __ATOMIC_ACQUIRE) > before + 2 * BATCH)
            return true;
        if (__atomic_load_n(&p->dead, __ATOMIC_ACQUIRE) || is_wrong())
            return false;
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    set_wrong("messages do not flow any more");
    return false;
}

/* Messages flow, or the pipeline is known to be dead. */
static bool flows(void)
{
    bool all = true;
    for (int i = 0; i < PUMPS && all; i++)
        all = pump_flows(&pumps[i]);
    return all;
}

static void told(const char *what, gq_status status, const gq_swap_result *r)
{
    printf("%-28s %s at %s, live %u, generation %u%s%s\n", what, gq_status_name(status), gq_swap_step_name(r->step),
           r->live, r->generation, status == GQ_OK ? "" : ": ", status == GQ_OK ? "" : gq_last_error());
    if (status != GQ_OK && gq_last_error()[0] == '\0')
        set_wrong("a refusal has no sentence");
}

static bool change(const char *what, const char *stage, const char *plugin, uint32_t version)
{
    gq_swap_result r = {.size = sizeof r};
    const gq_swap_opts opts = {.size = sizeof opts, .plugin = plugin};
    const gq_status status = plugin                  ? gq_swap(pipeline, stage, &opts, &r)
                             : version == UINT32_MAX ? gq_rollback(pipeline, stage, &r)
                                                     : gq_use(pipeline, stage, version, &r);
    told(what, status, &r);
    return flows();
}

static bool canary(const char *what, const char *stage, const char *plugin)
{
    gq_swap_result r = {.size = sizeof r};
    const gq_swap_opts opts = {
        .size = sizeof opts, .plugin = plugin, .canary_ppm = 10000, .canary_ms = 5000, .canary_messages = 1000};
    const gq_status status = gq_swap(pipeline, stage, &opts, &r);
    told(what, status, &r);
    if (status == GQ_OK && r.generation && r.canary_ppm != 1000000 / PUMPS)
        set_wrong("a canary did not get the lane that comes nearest to its share");
    return flows();
}

static bool changes(const char *first, const char *second)
{
    return change("second in place of first", "a", second, 0) && change("back", "a", NULL, UINT32_MAX) &&
           change("the second again", "a", NULL, 2) && change("another stage", "b", first, 0) &&
           change("a version that is not", "a", NULL, 99) && change("the stage's first", "b", NULL, 1) &&
           change("first in place of itself", "a", first, 0) && (gq_discard(pipeline, "a", 2), flows()) &&
           canary("a canary", "b", first) && canary("a canary with other memory", "a", second);
}

static int start(const char *first, const char *rehearse)
{
    char text[2048];
    snprintf(text, sizeof text,
             "version: 1\nbackend: cuda\nqueue: { capacity: 64, slot_bytes: 64 }\nswap: { rehearse: %s }\n"
             "stages:\n  - { name: a, plugin: \"%s\" }\n  - { name: b, plugin: \"builtin:echo\" }\n",
             rehearse, first);
    const gq_open_opts opts = {.size = sizeof opts, .path = "swaps", .text = text};
    if (gq_open(&opts, &pipeline) == GQ_OK && gq_prepare(pipeline) == GQ_OK && gq_start(pipeline) == GQ_OK)
        return 0;
    printf("not started: %s\n", gq_last_error());
    const int code = strstr(gq_last_error(), "NVRTC") ? SKIP : gq_last_error()[0] ? 3 : 1;
    gq_close(pipeline);
    return code;
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 64;
    const char *script = getenv("GPUQ_FAKE_CUDA");
    may_fall = script && strstr(script, "fail=");
    const int code = start(argv[1], argc > 3 ? argv[3] : "off");
    if (code)
        return code;
    queue = gq_queue(pipeline);
    for (int i = 0; i < PUMPS; i++)
        if (pthread_create(&pumps[i].thread, NULL, run_pump, &pumps[i]) != 0)
            return 1;
    const bool all = flows() && changes(argv[1], argv[2]);
    __atomic_store_n(&over, 1, __ATOMIC_RELEASE);
    for (int i = 0; i < PUMPS; i++)
        pthread_join(pumps[i].thread, NULL);
    const gq_status stopped = gq_stop(pipeline, 5000);
    printf("%llu messages, stopped: %s\n", (unsigned long long)(pumps[0].sent + pumps[1].sent),
           stopped == GQ_OK ? "well" : gq_last_error());
    gq_close(pipeline);
    if (wrong)
        printf("WRONG: %s\n", wrong);
    return wrong ? 1 : all && stopped == GQ_OK ? 0 : 4;
}
