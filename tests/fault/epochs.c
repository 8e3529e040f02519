/* Messages that crash, hang, or end the process, and a worker that is killed at any moment besides: each id has exactly
 * one result, in the order of its lane, and of the messages only the guilty ones are given up.
 *
 *   epochs [MESSAGES [SEED]]     prints its seed
 */
#include "support.h"
#include "stress/place.h"
#include <gpuqueue/runtime.h>
#include <pthread.h>
#include <signal.h>

#define LANES 3u
#define BATCH 16u
#define SLOT_BYTES 64u
#define POISON_EVERY 2500u
#define HANGS 2u                               /* each takes its stage's timeout, again and again */
#define KILL_MS (fault_on_gpu() ? 3000u : 60u) /* a message that is tried alone is not killed each time by chance */
#define RETRIES (fault_on_gpu() ? 1u : 3u)     /* a device takes some 300 ms to report what one did */
#define ROUND_S 120u

/* What a message does to its worker. Once: only the first time, which a file remembers; device code has no files. */
enum kind { GOOD, SEGV, ABORT, EXIT, ONCE, HANG };

struct message {
    uint64_t number, kind, once;
};

struct lane {
    GpuQueue *q;
    pthread_t thread;
    uint64_t messages, dice, sent, seen, faulted, guilty, hangs;
    uint32_t index;
};

static char folder[64];
static uint32_t told; /* deaths that the pipeline told of */
static bool over, all_there;

static const char plugin[] =
    "#include <gpuqueue/plugin.h>\n"
    "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n#include <unistd.h>\n"
    "struct message { uint64_t number, kind, once; };\n"
    "__device__ void process_message(const MsgView &in, ResultView *out)\n{\n"
    "    message m;\n    memcpy(&m, in.payload, sizeof m);\n"
    "    if (m.kind == 1) out->out[0] = *(volatile uint8_t *)8;\n"
    "    if (m.kind == 2) abort();\n"
    "    if (m.kind == 3) _exit(5);\n"
    "    if (m.kind == 4) {\n"
    "        char path[256];\n"
    "        snprintf(path, sizeof path, \"%s/once-%llu\", FOLDER, (unsigned long long)m.once);\n"
    "        if (unlink(path) == 0) abort();\n    }\n"
    "    for (volatile int more = 1; more && m.kind == 5;)\n        continue;\n"
    "    m.number = ~m.number;\n"
    "    memcpy(out->out, &m, sizeof m);\n    *out->out_len = sizeof m;\n}\n";

static const char device_plugin[] = "#include <gpuqueue/plugin.h>\n"
                                    "struct message { uint64_t number, kind, once; };\n"
                                    "__device__ void process_message(const MsgView &in, ResultView *out)\n{\n"
                                    "    message m = *(const message *)in.payload;\n"
                                    "    if (m.kind == 1) out->out[0] = *(volatile uint8_t *)8;\n"
                                    "    if (m.kind == 2) __trap();\n"
                                    "    if (m.kind == 3) *(volatile uint64_t *)(in.payload + 1) = m.number;\n"
                                    "    while (m.kind == 5 && ((volatile const message *)in.payload)->kind == 5)\n        continue;\n"
                                    "    m.number = ~m.number;\n"
                                    "    *(message *)out->out = m;\n    *out->out_len = sizeof m;\n}\n";

static const char *in_folder(const char *name)
{
    static char path[160];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void write_plugin(void)
{
    FILE *file = fopen(in_folder("epochs.cu"), "w");
    REQUIRE(file, "epochs.cu");
    fprintf(file, "#define FOLDER \"%s\"\n%s", folder, fault_on_gpu() ? device_plugin : plugin);
    fclose(file);
}

/* --- one lane -------------------------------------------------------------------------------------------------------
 */

/* What a message is follows from its number, so that whoever sees its result knows. */
static enum kind kind_of(const struct lane *l, uint64_t number)
{
    uint64_t dice = l->dice ^ (number * 2654435761u + 1);
    if (payload_dice(&dice) % POISON_EVERY != 0)
        return GOOD;
    const enum kind kind = (enum kind)(SEGV + payload_dice(&dice) % HANG);
    return fault_on_gpu() && kind == ONCE ? GOOD : kind;
}

static struct message make(struct lane *l, uint64_t number)
{
    struct message m = {number, kind_of(l, number), (uint64_t)l->index << 56 | number};
    if (m.kind == HANG && l->hangs++ >= HANGS)
        m.kind = GOOD;
    if (m.kind == ONCE) {
        char name[64];
        snprintf(name, sizeof name, "once-%" PRIu64, m.once);
        FILE *file = fopen(in_folder(name), "w");
        REQUIRE(file, "%s", name);
        fclose(file);
    }
    l->guilty += m.kind != GOOD && m.kind != ONCE;
    return m;
}

static void send_some(struct lane *l)
{
    QClaim claims[BATCH];
    size_t got = 0;
    const uint64_t left = l->messages - l->sent;
    if (left == 0)
        return;
    const QueueStatus status = q_claim(l->q, claims, left < BATCH ? left : BATCH, &got, 0);
    REQUIRE(status == Q_OK || status == Q_ERR_FULL, "claim: %d", (int)status);
    for (size_t i = 0; i < got; i++) {
        const struct message m = make(l, l->sent);
        __atomic_store_n(&l->sent, l->sent + 1, __ATOMIC_RELEASE);
        memcpy(claims[i].data, &m, sizeof m);
        claims[i].len = sizeof m;
    }
    REQUIRE(got == 0 || q_commit(l->q, claims, got) == Q_OK, "commit");
}

static void check(struct lane *l, const QResult *r)
{
    struct message m;
    REQUIRE(r->msg_id == ((uint64_t)l->index << 56 | (l->seen + 1)),
            "lane %u: id %" PRIx64 " came for message %" PRIu64, l->index, r->msg_id, l->seen);
    const enum kind kind = kind_of(l, l->seen);
    if (r->status == Q_RESULT_FAULTED) {
        REQUIRE(kind != GOOD && kind != ONCE, "lane %u: message %" PRIu64 " is innocent, and was given up with code %u",
                l->index, l->seen, r->code);
        l->faulted++;
    } else {
        REQUIRE(r->status == Q_RESULT_OK && r->len == sizeof m, "status %u, %u bytes", r->status, r->len);
        memcpy(&m, r->data, sizeof m);
        REQUIRE(m.number == ~l->seen, "lane %u: message %" PRIu64 " has the result of another", l->index, l->seen);
        REQUIRE(m.kind == GOOD || m.kind == ONCE, "a guilty message has a result");
    }
    l->seen++;
}

/* A thread that ends leaves its lane to the next one. */
static void await_others(void)
{
    while (!__atomic_load_n(&all_there, __ATOMIC_ACQUIRE))
        usleep(100);
}

static void *run_lane(void *arg)
{
    struct lane *l = arg;
    QResult results[BATCH];
    while (l->seen < l->messages) {
        size_t count = 0;
        send_some(l);
        const QueueStatus status = q_peek(l->q, results, BATCH, &count, l->sent < l->messages ? 0 : 50);
        REQUIRE(status == Q_OK || status == Q_ERR_NOT_READY || status == Q_ERR_TIMEOUT, "peek: %d", (int)status);
        for (size_t i = 0; i < count; i++)
            check(l, &results[i]);
        REQUIRE(count == 0 || q_release(l->q, results, count) == Q_OK, "release");
    }
    await_others();
    return NULL;
}

/* --- the storm ------------------------------------------------------------------------------------------------------
 */

/* At any moment of its service, and of the trials that its messages lead to; but a worker that is being started is let
 * serve: who kills each one at once gets what he wants. */
static void *kill_workers(void *pipeline)
{
    uint64_t dice = gq_clock_ns() | 1;
    while (!__atomic_load_n(&over, __ATOMIC_ACQUIRE)) {
        const uint64_t before = fault_restarts(pipeline), deadline = gq_clock_deadline(5000);
        const pid_t worker = fault_find("worker", 0);
        if (worker > 0)
            fault_kill(worker, payload_dice(&dice) % 3 ? SIGKILL : SIGSEGV);
        while (fault_restarts(pipeline) == before && !__atomic_load_n(&over, __ATOMIC_ACQUIRE) && !gq_clock_past(deadline))
            usleep(1000);
        usleep((useconds_t)(KILL_MS + payload_dice(&dice) % 200) * 1000);
    }
    return NULL;
}

static void count_note(void *context, const char *sentence)
{
    (void)context;
    told += strstr(sentence, "takes over") != NULL;
}

static gq_pipeline *open_pipeline(void)
{
    char text[512];
    snprintf(text, sizeof text,
             "version: 1\nbackend: %s\nqueue: { capacity: 128, slot_bytes: %u }\ncpu: { threads: 3 }\n"
             "stages: [{ name: s, plugin: '%s', timeout: 500ms }]\non_error: { retries: %u }\n",
             fault_on_gpu() ? "cuda" : "cpu", SLOT_BYTES, in_folder("epochs.cu"), RETRIES);
    const gq_open_opts opts = {.size = sizeof opts, .path = "epochs", .text = text, .note = count_note};
    return fault_start(&opts);
}

/* Each makes its lane before the next one begins, so that its number is known. */
static void take_turns(struct lane lanes[LANES], gq_pipeline *p)
{
    for (uint32_t i = 0; i < LANES; i++) {
        lanes[i].q = gq_queue(p);
        REQUIRE(pthread_create(&lanes[i].thread, NULL, run_lane, &lanes[i]) == 0, "no thread");
        while (__atomic_load_n(&lanes[i].sent, __ATOMIC_ACQUIRE) == 0)
            usleep(100);
    }
    __atomic_store_n(&all_there, true, __ATOMIC_RELEASE);
}

int main(int argc, char **argv)
{
    const uint64_t messages = argc > 1 ? strtoull(argv[1], NULL, 10) : 300000;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : gq_clock_ns(), faulted = 0, guilty = 0;
    struct lane lanes[LANES] = {0};
    pthread_t killer;
    printf("seed %" PRIu64 "\n", seed);
    fflush(stdout);
    REQUIRE(place_make(folder, sizeof folder, "gpuq-epochs"), "a folder");
    write_plugin();
    alarm(ROUND_S);
    gq_pipeline *p = open_pipeline();
    for (uint32_t i = 0; i < LANES; i++)
        lanes[i] = (struct lane){.index = i, .messages = messages / LANES, .dice = seed + i};
    take_turns(lanes, p);
    REQUIRE(pthread_create(&killer, NULL, kill_workers, p) == 0, "no thread");
    for (uint32_t i = 0; i < LANES; i++) {
        pthread_join(lanes[i].thread, NULL);
        faulted += lanes[i].faulted;
        guilty += lanes[i].guilty;
    }
    __atomic_store_n(&over, true, __ATOMIC_RELEASE);
    pthread_join(killer, NULL);
    gq_stats stats = {.size = sizeof stats};
    REQUIRE(gq_stop(p, 20000) == GQ_OK && gq_get_stats(p, &stats) == GQ_OK, "%s", gq_last_error());
    REQUIRE(faulted == guilty && stats.failed == faulted, "%" PRIu64 " of %" PRIu64 " guilty ones are given up",
            faulted, guilty);
    REQUIRE(stats.restarts >= guilty / 3, "%" PRIu64 " workers took over, of %" PRIu64 " guilty messages",
            stats.restarts, guilty);
    REQUIRE(told >= stats.restarts, "%" PRIu64 " workers took over, and of %" PRIu64 " it was told", stats.restarts,
            (uint64_t)told);
    printf("%" PRIu64 " messages, %" PRIu64 " guilty, %" PRIu64 " workers took over\n", messages, guilty,
           stats.restarts);
    gq_close(p);
    return place_remove(folder) && fault_find_child() == 0 ? 0 : 1;
}
