/* While the system gives no descriptors, or no room in files, a worker dies: what it left is served as soon as the
 * system gives them again, the message that is to blame is given up and no other, and nothing fails meanwhile. Further
 * attempts in the worker that died count once.
 */
#include "poison.h"
#include "support.h"
#include "stress/place.h"
#include <fcntl.h>
#include <gpuqueue/runtime.h>
#include <signal.h>
#include <sys/resource.h>

#define MESSAGES 32u
#define POISON 11u
#define ROUND_S 60u
#define WITHOUT_MS 300u

static char folder[64];

static const char picky[] = "#include <gpuqueue/plugin.h>\n"
                            "__device__ void process_message(const MsgView &in, ResultView *out)\n{\n"
                            "    if (in.len == LONGEST) return gq_fail(out, 1);\n"
                            "    for (uint32_t i = 0; i < in.len; i++) out->out[i] = in.payload[i];\n"
                            "    *out->out_len = in.len;\n}\n";

static void write_picky(void)
{
    FILE *file = poison_create(folder, "picky.cu");
    fprintf(file, "#define LONGEST %u\n%s", POISON_SLOT_BYTES, picky);
    REQUIRE(fclose(file) == 0, "picky.cu");
}

static gq_pipeline *open_pipeline(void)
{
    char text[512];
    snprintf(text, sizeof text,
             "version: 1\nbackend: cpu\nqueue: { capacity: 64, slot_bytes: %u }\ncpu: { threads: 2 }\n"
             "stages: [{ plugin: '%s/picky.cu' }, { plugin: '%s/plain.cu' }]\non_error: { retries: 1 }\n",
             POISON_SLOT_BYTES, folder, folder);
    const gq_open_opts opts = {.size = sizeof opts, .path = "scarce", .text = text, .cache_folder = folder};
    return fault_start(&opts);
}

static struct poison_message message_of(uint64_t number)
{
    return (struct poison_message){number, number % MESSAGES == POISON ? POISON_SEGV : POISON_NONE, 0};
}

static void send_all(GpuQueue *q, uint64_t first)
{
    uint8_t bytes[POISON_SLOT_BYTES];
    for (uint64_t i = first; i < first + MESSAGES; i++) {
        const struct poison_message m = message_of(i);
        REQUIRE(q_enqueue(q, bytes, poison_fill(bytes, &m, i), NULL, 0) == Q_OK, "enqueue");
    }
}

static void take_all(GpuQueue *q, uint64_t first)
{
    for (uint64_t i = first; i < first + MESSAGES; i++) {
        const struct poison_message m = message_of(i);
        QResult r;
        size_t count;
        uint32_t tag;
        REQUIRE(q_peek(q, &r, 1, &count, 20000) == Q_OK, "message %" PRIu64, i);
        REQUIRE((r.status == Q_RESULT_FAULTED) == (m.kind != POISON_NONE), "message %" PRIu64 " has status %u", i,
                r.status);
        REQUIRE(m.kind != POISON_NONE || poison_answers(r.data, r.len, &m, i, &tag), "message %" PRIu64, i);
        REQUIRE(q_release(q, &r, 1) == Q_OK, "release");
    }
}

static uint64_t retries_of(gq_pipeline *p)
{
    QueueStats stats;
    REQUIRE(q_stats(gq_queue(p), &stats) == Q_OK, "%s", gq_last_error());
    return stats.retries;
}

/* As many descriptors as are open, and `more`; or files of so many bytes. The messages are sent before the worker dies,
 * or, if it is idle, when all is there again. */
static void die_without(gq_pipeline *p, __rlimit_resource_t resource, uint64_t first, rlim_t more, bool idle)
{
    struct rlimit usual, little;
    GpuQueue *q = gq_queue(p);
    const pid_t worker = fault_find("worker", 0);
    const uint64_t retries = retries_of(p);
    const int lowest = open("/dev/null", O_RDONLY | O_CLOEXEC);
    REQUIRE(worker > 0 && lowest >= 0 && close(lowest) == 0 && getrlimit(resource, &usual) == 0, "the limit");
    little = usual;
    little.rlim_cur = more + (resource == RLIMIT_NOFILE ? (rlim_t)lowest : 0);
    REQUIRE(setrlimit(resource, &little) == 0, "a lower limit");
    if (!idle)
        send_all(q, first);
    kill(worker, SIGKILL);
    usleep(WITHOUT_MS * 1000);
    REQUIRE(retries_of(p) == retries, "%" PRIu64 " further attempts, and there were %" PRIu64, retries_of(p), retries);
    REQUIRE(setrlimit(resource, &usual) == 0, "the limit again");
    if (idle)
        send_all(q, first);
    take_all(q, first);
    REQUIRE(retries_of(p) == retries, "%" PRIu64 " further attempts, and there were %" PRIu64, retries_of(p), retries);
}

/* A message that is longer than all others. */
static void fail_once(GpuQueue *q)
{
    uint8_t bytes[POISON_SLOT_BYTES] = {0};
    QResult r;
    size_t count;
    REQUIRE(q_enqueue(q, bytes, sizeof bytes, NULL, 0) == Q_OK, "enqueue");
    REQUIRE(q_peek(q, &r, 1, &count, 20000) == Q_OK && r.status == Q_RESULT_FAILED, "a message that fails");
    REQUIRE(q_release(q, &r, 1) == Q_OK, "release");
}

int main(void)
{
    uint64_t sent = 0;
    snprintf(folder, sizeof folder, "/tmp/gpuq-scarce-XXXXXX");
    REQUIRE(mkdtemp(folder), "mkdtemp");
    poison_write_plugin(folder, "plain", 1);
    write_picky();
    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error, as where a disk is full */
    alarm(ROUND_S);
    gq_pipeline *p = open_pipeline();
    send_all(gq_queue(p), sent); /* the lane is made while there are descriptors */
    take_all(gq_queue(p), sent);
    fail_once(gq_queue(p));
    REQUIRE(retries_of(p) == 1, "%" PRIu64 " further attempts", retries_of(p));
    for (rlim_t more = 0; more < 8; more++) /* each of them is the first that is missing */
        die_without(p, RLIMIT_NOFILE, sent += MESSAGES, more, false);
    for (rlim_t bytes = 0; bytes < 3; bytes++)
        die_without(p, RLIMIT_FSIZE, sent += MESSAGES, bytes * 4096, false);
    fail_once(gq_queue(p));
    die_without(p, RLIMIT_FSIZE, sent += MESSAGES, 0, true);
    REQUIRE(retries_of(p) == 2, "%" PRIu64 " further attempts", retries_of(p));
    REQUIRE(gq_stop(p, 20000) == GQ_OK, "%s", gq_last_error());
    gq_close(p);
    return place_remove(folder) && fault_find_child() == 0 ? 0 : 1;
}
