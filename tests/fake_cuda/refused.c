/* refused launch|held|memory FIRST SECOND - changes on a GPU that are refused leave no trace, while two threads send
 * messages through the stages a, b and c.
 *
 * launch: SECOND takes FIRST's place in stage b. The script lets a launch of that fail: no result is of the generation
 *         that was refused, the live version's counters have every message, and the same change is made afterwards.
 * held:   SECOND and FIRST are both loaded in stage b when a message is held there: three changes are refused beside
 *         it. The other lane's messages flow behind each, and none of their results is of what was refused. When the
 *         message has ended all flow, and changes are made again. The message is held while the file of $HELD is there.
 *         $BLOCKS is how many blocks the stage asks for; with $FULL that is one, and there is no room for another: then
 *         messages flow when it has ended.
 * memory: changes to and from code that leaves less room of an SM's memory; the script may let a call fail.
 *
 * Exit code 0: so it was; 1: it was not, and says what. */
#include "pumps.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define VERSIONS 16

static gq_pipeline *pipeline;
static const char *first, *second;

static bool expect(bool is, const char *what)
{
    if (!is && !pumps_wrong())
        pumps_set_wrong(what);
    return is && !pumps_wrong();
}

static bool flows(int least) { return expect(pumps_flowing(least) >= least, "messages do not flow any more"); }

static bool made(const char *what, const char *stage, const char *plugin, uint32_t version)
{
    gq_swap_result r;
    pumps_expect_at_most(UINT32_MAX);
    const gq_status status = pumps_change(pipeline, what, stage, plugin, version, &r);
    if (!expect(status == GQ_OK, "a change was refused") || !flows(PUMPS))
        return false;
    for (int i = 0; i < PUMPS; i++)
        if (!expect(__atomic_load_n(&pumps[i].newest, __ATOMIC_ACQUIRE) == r.generation,
                    "results are not the new code's"))
            return false;
    pumps_expect_at_most(r.generation);
    return true;
}

static bool refused(const char *what, const char *stage, const char *plugin, uint32_t version, const char *sentence,
                    int flowing)
{
    gq_swap_result r;
    const gq_status status = pumps_change(pipeline, what, stage, plugin, version, &r);
    return expect(status != GQ_OK, "a change was made that cannot be") &&
           expect(strstr(gq_last_error(), sentence) != NULL, "a change was refused for another reason") &&
           flows(flowing);
}

/* Every result is counted for the versions that were live, and none for one that was refused. */
static bool counted(void)
{
    gq_version_info all[VERSIONS];
    uint64_t messages = 0;
    size_t count = 0;
    if (!expect(gq_versions(pipeline, all, VERSIONS, &count) == GQ_OK, "no versions"))
        return false;
    for (size_t i = 0; i < count; i++) {
        printf("stage %s, version %u: %s, %llu messages\n", all[i].stage, all[i].version,
               gq_version_state_name(all[i].state), (unsigned long long)all[i].messages);
        messages += strcmp(all[i].stage, "b") == 0 ? all[i].messages : 0;
        if (!expect(all[i].state != GQ_VERSION_FAILED || all[i].messages == 0, "a refused version has served messages"))
            return false;
    }
    return expect(messages == pumps[0].sent + pumps[1].sent, "the versions' counters lack messages");
}

static bool launch(void)
{
    pumps_expect_at_most(1);
    if (!refused("a launch fails", "b", second, 0, "CUDA_ERROR_OUT_OF_MEMORY", PUMPS))
        return false;
    sleep(1); /* for a grid that waits for another */
    return made("it does not", "b", second, 0) && made("the first again", "b", NULL, 1);
}

/* A message is held from now on. */
static bool hold(const char *path)
{
    struct stat is = {0};
    close(open(path, O_CREAT | O_CLOEXEC, 0600));
    for (int ms = 0; ms < 10000 && stat(path, &is) == 0 && is.st_size == 0; ms++)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    return is.st_size > 0;
}

static bool held(void)
{
    const char *path = getenv("HELD");
    const int beside = getenv("FULL") ? 0 : PUMPS - 1;
    if (!made("the second", "b", second, 0) || !made("the first again", "b", NULL, 1))
        return false;
    const bool all = expect(hold(path), "no message is held") &&
                     refused("used beside it", "b", NULL, 2, "has held a message", beside) &&
                     refused("swapped beside it", "b", "builtin:echo", 0, "has held a message", beside) &&
                     refused("another stage beside it", "a", second, 0, "has held a message", beside) &&
                     refused("used again", "b", NULL, 2, "has held a message", beside);
    unlink(path);
    return all && flows(PUMPS) && made("used behind it", "b", NULL, 2) && made("used back", "b", NULL, 1) &&
           made("another stage", "a", second, 0);
}

static bool memory(void)
{
    gq_swap_result r;
    pumps_change(pipeline, "less room", "b", second, 0, &r);
    if (!flows(PUMPS))
        return false;
    pumps_change(pipeline, "as much as before", "c", first, 0, &r);
    if (!flows(PUMPS))
        return false;
    pumps_change(pipeline, "less room in another", "a", second, 0, &r);
    if (!flows(PUMPS))
        return false;
    pumps_change(pipeline, "the first, which had more", "b", NULL, 1, &r);
    if (!flows(PUMPS))
        return false;
    pumps_change(pipeline, "the second, beside", "b", NULL, 2, &r);
    return flows(PUMPS);
}

static bool run(const char *what)
{
    if (!flows(PUMPS))
        return false;
    return strcmp(what, "launch") == 0 ? launch() : strcmp(what, "held") == 0 ? held() : memory();
}

int main(int argc, char **argv)
{
    char text[2048];
    if (argc != 4)
        return 64;
    first = argv[2];
    second = argv[3];
    snprintf(text, sizeof text,
             "version: 1\nbackend: cuda\nqueue: { capacity: 64, slot_bytes: 64 }\nswap: { rehearse: off }\n"
             "stages:\n  - { name: a, timeout: off, plugin: \"%s\" }\n  - { name: b, timeout: off, plugin: \"%s\", "
             "blocks: %s }\n"
             "  - { name: c, timeout: off, plugin: \"builtin:echo\" }\n",
             first, first, getenv("BLOCKS") ? getenv("BLOCKS") : "auto");
    const int code = pumps_open(text, &pipeline);
    if (code)
        return code;
    if (!pumps_start(gq_queue(pipeline)))
        return 1;
    bool all = run(argv[1]);
    pumps_stop();
    all = all && (strcmp(argv[1], "memory") == 0 || counted());
    const bool stopped = pumps_close(pipeline);
    return all && !pumps_wrong() && stopped ? 0 : 1;
}
