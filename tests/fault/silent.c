/* A worker in which nothing moves while messages wait is ended, and another serves them. One that has nothing to do is
 * not, nor one that is inside a message which may take as long as it likes; and such a message may do so when it is
 * tried alone, too.
 */
#include <gpuqueue/runtime.h>
#include "pipeline/pipeline.h"
#include "poison.h"
#include "support.h"
#include "stress/place.h"

#define SILENT_MS 1500u /* in place of the pipeline's own 15 s */
#define LONG_S 4
#define ROUND_S 100u

static char folder[64];
static uint32_t stood_still;

static const char plugin[] = "#include <gpuqueue/plugin.h>\n#include <sys/stat.h>\n#include <unistd.h>\n"
                             "__device__ void process_message(const MsgView &in, ResultView *out)\n{\n"
                             "    if (in.payload[0] == 'k') mkdir(FOLDER \"/inside\", 0700);\n"
                             "    if (in.payload[0] != 'a') sleep(LONG_S);\n"
                             "    out->out[0] = in.payload[0];\n    *out->out_len = 1;\n}\n";

static void note(void *context, const char *sentence)
{
    (void)context;
    if (strstr(sentence, "the worker stood still beside messages that wait"))
        __atomic_fetch_add(&stood_still, 1, __ATOMIC_RELAXED);
}

static gq_pipeline *open_pipeline(void)
{
    char text[512];
    FILE *file = poison_create(folder, "slow.cu");
    fprintf(file, "#define FOLDER \"%s\"\n#define LONG_S %d\n%s", folder, LONG_S, plugin);
    REQUIRE(fclose(file) == 0, "slow.cu");
    snprintf(text, sizeof text,
             "version: 1\nbackend: cpu\nqueue: { capacity: 16, slot_bytes: 16 }\ncpu: { threads: 2 }\n"
             "stages: [{ plugin: '%s/slow.cu', timeout: off }]\non_error: { retries: 1 }\n",
             folder);
    const gq_open_opts opts = {.size = sizeof opts, .path = "silent", .text = text, .note = note};
    gq_pipeline *p = fault_start(&opts);
    __atomic_store_n(&p->supervisor.silent_ms, SILENT_MS, __ATOMIC_RELAXED);
    return p;
}

static void send_one(GpuQueue *q, const char *kind) { REQUIRE(q_enqueue(q, kind, 1, NULL, 0) == Q_OK, "enqueue"); }

static void expect(GpuQueue *q, char kind)
{
    QResult r;
    size_t count;
    REQUIRE(q_peek(q, &r, 1, &count, 30000) == Q_OK, "'%c'", kind);
    REQUIRE(r.status == Q_RESULT_OK && *(const char *)r.data == kind, "'%c': status %u, code %u", kind, r.status,
            r.code);
    REQUIRE(q_release(q, &r, 1) == Q_OK, "release");
}

static void kill_inside(void)
{
    char path[128];
    const uint64_t deadline = gq_clock_deadline(30000);
    snprintf(path, sizeof path, "%s/inside", folder);
    while (access(path, F_OK) != 0)
        REQUIRE(!gq_clock_past(deadline) && usleep(1000) == 0, "%s", path);
    kill(fault_find("worker", 0), SIGKILL);
}

int main(void)
{
    REQUIRE(place_make(folder, sizeof folder, "gpuq-silent"), "a folder");
    alarm(ROUND_S);
    gq_pipeline *p = open_pipeline();
    GpuQueue *q = gq_queue(p);
    usleep(SILENT_MS * 2000);
    send_one(q, "l");
    expect(q, 'l');
    REQUIRE(stood_still == 0 && fault_restarts(p) == 0, "a worker was ended that did nothing wrong");
    send_one(q, "k");
    kill_inside();
    expect(q, 'k');
    REQUIRE(stood_still == 0 && fault_restarts(p) == 1, "%" PRIu64 " workers took over", fault_restarts(p));
    send_one(q, "a");
    expect(q, 'a'); /* it serves: one that is being started is waited for as long as any answer */
    usleep(200000);
    fault_stop(fault_find("worker", 0));
    send_one(q, "a");
    expect(q, 'a');
    REQUIRE(__atomic_load_n(&stood_still, __ATOMIC_RELAXED) == 1 && fault_restarts(p) == 2, "%" PRIu64 " took over",
            fault_restarts(p));
    REQUIRE(gq_stop(p, 20000) == GQ_OK, "%s", gq_last_error());
    gq_close(p);
    return place_remove(folder) && fault_find_child() == 0 ? 0 : 1;
}
