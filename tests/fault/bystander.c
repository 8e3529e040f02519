/* A message is being processed when another ends the worker, and nothing says which of the two it was. Alone it ends
 * its worker once, by itself. With one retry that is not enough to be given up: the first death was not its own.
 */
#include <gpuqueue/runtime.h>
#include "poison.h"
#include "support.h"
#include "stress/place.h"

#define ROUND_S 60u

static char folder[64];

/* 'b' stays inside, the first time, until somebody ends the worker; the second time it aborts; then it is served. */
static const char plugin[] = "#include <gpuqueue/plugin.h>\n"
                             "#include <signal.h>\n#include <stdlib.h>\n#include <sys/stat.h>\n#include <unistd.h>\n"
                             "__device__ void process_message(const MsgView &in, ResultView *out)\n{\n"
                             "    if (in.payload[0] == 'k') raise(SIGKILL);\n"
                             "    if (in.payload[0] == 'b' && mkdir(FOLDER \"/inside\", 0700) == 0) sleep(60);\n"
                             "    if (in.payload[0] == 'b' && mkdir(FOLDER \"/aborted\", 0700) == 0) abort();\n"
                             "    out->out[0] = in.payload[0];\n    *out->out_len = 1;\n}\n";

static gq_pipeline *open_pipeline(void)
{
    char text[512];
    FILE *file = poison_create(folder, "bystander.cu");
    fprintf(file, "#define FOLDER \"%s\"\n%s", folder, plugin);
    REQUIRE(fclose(file) == 0, "bystander.cu");
    snprintf(text, sizeof text,
             "version: 1\nbackend: cpu\nqueue: { capacity: 16, slot_bytes: 16 }\ncpu: { threads: 2 }\n"
             "stages: [{ plugin: '%s/bystander.cu', timeout: off }]\non_error: { retries: 1 }\n",
             folder);
    const gq_open_opts opts = {.size = sizeof opts, .path = "bystander", .text = text};
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

/* Both may have been claimed by one thread, unless the first is inside before the second is sent. */
int main(void)
{
    uint16_t expected[] = {Q_RESULT_OK, Q_RESULT_FAULTED};
    QResult r;
    size_t count;
    REQUIRE(place_make(folder, sizeof folder, "gpuq-bystander"), "a folder");
    alarm(ROUND_S);
    gq_pipeline *p = open_pipeline();
    GpuQueue *q = gq_queue(p);
    REQUIRE(q_enqueue(q, "b", 1, NULL, 0) == Q_OK, "enqueue");
    await("inside");
    REQUIRE(q_enqueue(q, "k", 1, NULL, 0) == Q_OK, "enqueue");
    for (uint32_t i = 0; i < 2; i++) {
        REQUIRE(q_peek(q, &r, 1, &count, 30000) == Q_OK, "message %u", i);
        REQUIRE(r.status == expected[i], "message %u has status %u, code %u", i, r.status, r.code);
        REQUIRE(q_release(q, &r, 1) == Q_OK, "release");
    }
    await("aborted"); /* else nothing was shown */
    REQUIRE(gq_stop(p, 20000) == GQ_OK, "%s", gq_last_error());
    gq_close(p);
    return place_remove(folder) && fault_find_child() == 0 ? 0 : 1;
}
