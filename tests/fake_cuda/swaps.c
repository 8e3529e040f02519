/* swaps FIRST SECOND [REHEARSE] - the code of a stage changes while two threads send messages: by swap, roll-back, use,
 * with a migration, after a canary, and by changes that are refused. Every message comes back as it went, and
 * generations never fall.
 *
 * Exit code 0: every change was made or refused with a sentence, and messages flowed on. 3: the pipeline did not start.
 * 4: it ended, with a sentence. A driver call that fails may cause each of them; nothing else may happen. */
#include "pumps.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static gq_pipeline *pipeline;
static bool answered; /* atomic */

/* What came last is of the newest change that is said to be live. (A worker that took over from one that died in a
 * change may serve as the generation before.) */
static bool is_true(void)
{
    gq_version_info all[64];
    gq_stats stats = {.size = sizeof stats};
    size_t count = 0;
    uint32_t newest = 0;
    bool right = true;
    if (gq_get_stats(pipeline, &stats) != GQ_OK || stats.restarts > 0 ||
        gq_versions(pipeline, all, sizeof all / sizeof *all, &count) != GQ_OK)
        return true;
    for (size_t i = 0; i < count; i++)
        newest = all[i].state == GQ_VERSION_LIVE && all[i].generation > newest ? all[i].generation : newest;
    for (int i = 0; i < PUMPS; i++)
        right &= __atomic_load_n(&pumps[i].newest, __ATOMIC_ACQUIRE) == newest;
    return right;
}

/* Messages flow, or the pipeline is known to be dead. */
static bool flows(void)
{
    bool dead = false;
    const bool all = pumps_flowing(PUMPS) == PUMPS;
    for (int i = 0; i < PUMPS; i++)
        dead |= __atomic_load_n(&pumps[i].dead, __ATOMIC_ACQUIRE) != 0;
    if (!all && !dead && !pumps_wrong())
        pumps_set_wrong("messages do not flow any more");
    if (all && !dead && !is_true())
        pumps_set_wrong("results are not of the change that is said to be live");
    return all;
}

static bool change(const char *what, const char *stage, const char *plugin, uint32_t version)
{
    gq_swap_result r;
    pumps_change(pipeline, what, stage, plugin, version, &r);
    return flows();
}

static bool canary(const char *what, const char *stage, const char *plugin)
{
    gq_swap_result r = {.size = sizeof r};
    const gq_swap_opts opts = {
        .size = sizeof opts, .plugin = plugin, .canary_ppm = 10000, .canary_ms = 5000, .canary_messages = 1000};
    const gq_status status = gq_swap(pipeline, stage, &opts, &r);
    pumps_tell(what, status, &r);
    if (status == GQ_OK && r.generation && r.canary_ppm != 1000000 / PUMPS)
        pumps_set_wrong("a canary did not get the lane that comes nearest to its share");
    return flows();
}

/* While the other thread watches it. */
static void *call_off(void *stage)
{
    gq_swap_result r = {.size = sizeof r};
    gq_version_info all[64];
    size_t count = 0;
    for (int looks = 0; looks < 5000; looks++) {
        if (gq_versions(pipeline, all, sizeof all / sizeof *all, &count) == GQ_OK)
            for (size_t i = 0; i < count; i++)
                if (all[i].state == GQ_VERSION_CANARY)
                    return (void)gq_rollback(pipeline, stage, &r), NULL;
        if (__atomic_load_n(&answered, __ATOMIC_ACQUIRE))
            return NULL;
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return NULL;
}

static bool called_off(const char *what, char *stage, const char *plugin)
{
    pthread_t thread;
    gq_swap_result r = {.size = sizeof r};
    const gq_swap_opts opts = {.size = sizeof opts, .plugin = plugin, .canary_ppm = 10000, .canary_ms = 20000};
    answered = false;
    if (pthread_create(&thread, NULL, call_off, stage) != 0)
        return false;
    const gq_status status = gq_swap(pipeline, stage, &opts, &r);
    __atomic_store_n(&answered, true, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
    pumps_tell(what, status, &r);
    return flows();
}

static bool changes(const char *first, const char *second)
{
    char b[] = "b";
    return change("second in place of first", "a", second, 0) && change("back", "a", NULL, UINT32_MAX) &&
           change("the second again", "a", NULL, 2) && change("another stage", "b", first, 0) &&
           change("a version that is not", "a", NULL, 99) && change("the stage's first", "b", NULL, 1) &&
           change("first in place of itself", "a", first, 0) && (gq_discard(pipeline, "a", 2), flows()) &&
           called_off("a canary that is called off", b, first) && canary("a canary", "b", first) &&
           canary("a canary with other memory", "a", second);
}

int main(int argc, char **argv)
{
    char text[2048];
    if (argc < 3)
        return 64;
    const char *script = getenv("GPUQ_FAKE_CUDA");
    if (script &&
        strstr(script, "fail=")) /* a canary whose end fails is taken back: its lane is the older code's again */
        pumps_may_fall();
    snprintf(text, sizeof text,
             "version: 1\nbackend: cuda\nqueue: { capacity: 64, slot_bytes: 64 }\nswap: { rehearse: %s }\n"
             "stages:\n  - { name: a, plugin: \"%s\" }\n  - { name: b, plugin: \"builtin:echo\" }\n",
             argc > 3 ? argv[3] : "off", argv[1]);
    const int code = pumps_open(text, &pipeline);
    if (code)
        return code;
    if (!pumps_start(gq_queue(pipeline)))
        return 1;
    const bool all = flows() && changes(argv[1], argv[2]);
    pumps_stop();
    const bool stopped = pumps_close(pipeline);
    return pumps_wrong() ? 1 : all && stopped ? 0 : 4;
}
