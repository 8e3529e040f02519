/* A message is being processed when another ends the worker, and nothing says which of the two it was; or when the
 * worker is ended for one that ended a moment before (--wrap). Alone it ends its worker once, by itself. With one retry
 * that is not enough to be given up: the first death was not its own.
 */
#include <gpuqueue/runtime.h>
#include <sys/stat.h>
#include "pipeline/remote.h"
#include "poison.h"
#include "support.h"
#include "stress/place.h"

#define ROUND_S 60u

static char folder[64];
static uint32_t ended_late; /* atomic: notes that say so */

/* 'b' stays inside, the first time, until somebody ends the worker; the second time it aborts; then it is served. */
static const char plugin[] = "#include <gpuqueue/plugin.h>\n"
                             "#include <signal.h>\n#include <stdlib.h>\n#include <sys/stat.h>\n#include <unistd.h>\n"
                             "__device__ void process_message(const MsgView &in, ResultView *out)\n{\n"
                             "    if (in.payload[0] == 'k') raise(SIGKILL);\n"
                             "    while (in.payload[0] == 's' && access(FOLDER \"/over\", F_OK) != 0) usleep(1000);\n"
                             "    if (in.payload[0] == 'b' && mkdir(FOLDER \"/inside\", 0700) == 0) sleep(60);\n"
                             "    if (in.payload[0] == 'b' && mkdir(FOLDER \"/aborted\", 0700) == 0) abort();\n"
                             "    out->out[0] = in.payload[0];\n    *out->out_len = 1;\n}\n";

static void note(void *context, const char *sentence)
{
    (void)context;
    if (strstr(sentence, "a message ended, but after its stage's timeout"))
        __atomic_fetch_add(&ended_late, 1, __ATOMIC_RELAXED);
}

static gq_pipeline *open_pipeline(uint32_t threads, const char *timeout)
{
    char text[512];
    FILE *file = poison_create(folder, "bystander.cu");
    fprintf(file, "#define FOLDER \"%s\"\n%s", folder, plugin);
    REQUIRE(fclose(file) == 0, "bystander.cu");
    snprintf(text, sizeof text,
             "version: 1\nbackend: cpu\nqueue: { capacity: 16, slot_bytes: 16 }\ncpu: { threads: %u }\n"
             "stages: [{ plugin: '%s/bystander.cu', timeout: %s }]\non_error: { retries: 1 }\n",
             threads, folder, timeout);
    const gq_open_opts opts = {.size = sizeof opts, .path = "bystander", .text = text, .note = note};
    return fault_start(&opts);
}

static void await(const char *name)
{
    char path[128];
    const uint64_t deadline = gq_clock_deadline(30000);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    while (access(path, F_OK) != 0)
        REQUIRE(!gq_clock_past(deadline) && usleep(1000) == 0, "%s", path);
}

void __real_gq_remote_end_watched(struct gq_remote *remote, const char *why);
void __wrap_gq_remote_end_watched(struct gq_remote *remote, const char *why);

/* The message that was over its time ends, and the other begins. */
void __wrap_gq_remote_end_watched(struct gq_remote *remote, const char *why)
{
    char path[128];
    snprintf(path, sizeof path, "%s/over", folder);
    REQUIRE(mkdir(path, 0700) == 0, "%s", path);
    await("inside");
    __real_gq_remote_end_watched(remote, why);
}

static void finish(gq_pipeline *p, const uint16_t expected[2])
{
    GpuQueue *q = gq_queue(p);
    QResult r;
    size_t count;
    for (uint32_t i = 0; i < 2; i++) {
        REQUIRE(q_peek(q, &r, 1, &count, 30000) == Q_OK, "message %u", i);
        REQUIRE(r.status == expected[i], "message %u has status %u, code %u", i, r.status, r.code);
        REQUIRE(q_release(q, &r, 1) == Q_OK, "release");
    }
    await("aborted"); /* else nothing was shown */
    REQUIRE(gq_stop(p, 20000) == GQ_OK, "%s", gq_last_error());
    gq_close(p);
    REQUIRE(place_remove(folder) && fault_find_child() == 0, "something is left");
}

/* Both may have been claimed by one thread, unless the first is inside before the second is sent. */
static void another_kills(void)
{
    REQUIRE(place_make(folder, sizeof folder, "gpuq-bystander"), "a folder");
    gq_pipeline *p = open_pipeline(2, "off");
    REQUIRE(q_enqueue(gq_queue(p), "b", 1, NULL, 0) == Q_OK, "enqueue");
    await("inside");
    REQUIRE(q_enqueue(gq_queue(p), "k", 1, NULL, 0) == Q_OK, "enqueue");
    finish(p, (const uint16_t[]){Q_RESULT_OK, Q_RESULT_FAULTED});
}

static void another_ends_late(void)
{
    REQUIRE(place_make(folder, sizeof folder, "gpuq-bystander"), "a folder");
    gq_pipeline *p = open_pipeline(1, "2s");
    REQUIRE(q_enqueue(gq_queue(p), "s", 1, NULL, 0) == Q_OK && q_enqueue(gq_queue(p), "b", 1, NULL, 0) == Q_OK,
            "enqueue");
    finish(p, (const uint16_t[]){Q_RESULT_OK, Q_RESULT_OK});
    REQUIRE(__atomic_load_n(&ended_late, __ATOMIC_RELAXED) == 1, "another message was named");
}

int main(void)
{
    alarm(ROUND_S);
    another_kills();
    another_ends_late();
    return 0;
}
