/* Code that ends its worker with every message goes live, and before the first message comes somebody has begun another
 * change, which takes its time. Nobody can go back meanwhile; but no message is given up for it, and when the change
 * has been refused, the version before serves them all. Then five such versions go live one after another, more than
 * are kept, and none of them has met a message: the one that served before them all serves on.
 */
#include <gpuqueue/swap.h>
#include <pthread.h>
#include "poison.h"
#include "support.h"
#include "stress/place.h"

#define MESSAGES 16u
#define ROUND_S 100u
#define BAD_VERSIONS 5u /* in a row; three are kept */
#define BUDGET_MS 1500u /* of a rehearsal that does not end */

static char folder[64];
static uint32_t rolled_back;

static void note(void *context, const char *sentence)
{
    (void)context;
    if (strstr(sentence, "is rolled back"))
        __atomic_fetch_add(&rolled_back, 1, __ATOMIC_RELAXED);
}

static gq_status swap_to(gq_pipeline *p, const char *name, uint32_t rehearse)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s.cu", folder, name);
    const gq_swap_opts opts = {.size = sizeof opts, .plugin = path, .rehearse = rehearse};
    return gq_swap(p, "s", &opts, NULL);
}

/* Its golden vector is a message that never ends. */
static void *swap_to_endless(void *p)
{
    REQUIRE(swap_to(p, "endless", 1) == GQ_ERR_PLUGIN, "an endless rehearsal passed");
    return NULL;
}

static gq_pipeline *open_pipeline(void)
{
    char text[512];
    snprintf(text, sizeof text,
             "version: 1\nbackend: cpu\nqueue: { capacity: 64, slot_bytes: %u }\ncpu: { threads: 2 }\n"
             "stages: [{ name: s, plugin: '%s/good.cu' }]\non_error: { retries: 1 }\nswap: { budget: %ums }\n",
             POISON_SLOT_BYTES, folder, BUDGET_MS);
    const gq_open_opts opts = {.size = sizeof opts, .path = "bad_code", .text = text, .note = note};
    return fault_start(&opts);
}

static void write_bad(uint32_t number)
{
    char name[32];
    snprintf(name, sizeof name, "bad%u.cu", number);
    FILE *file = poison_create(folder, name);
    fprintf(file,
            "#include <gpuqueue/plugin.h>\n__device__ void process_message(const MsgView &in, ResultView *out)\n"
            "{\n    *(volatile uint32_t *)%uu = in.len;\n    *out->out_len = 0;\n}\n",
            16 + 4 * number);
    REQUIRE(fclose(file) == 0, "%s", name);
}

static void write_plugins(void)
{
    poison_write_plugin(folder, "good", 1);
    poison_write_plugin(folder, "bad", POISON_TAG_BAD);
    poison_write_plugin(folder, "endless", 2);
    for (uint32_t i = 0; i < BAD_VERSIONS; i++)
        write_bad(i);
    FILE *file = poison_create(folder, "endless.golden.yaml");
    fprintf(file, "- { name: endless, in_hex: \"%016x%02x%030x\", out_hex: \"00\" }\n", 0, POISON_HANG, 0);
    REQUIRE(fclose(file) == 0, "endless.golden.yaml");
}

static void send_all(GpuQueue *q, uint64_t first)
{
    uint8_t bytes[POISON_SLOT_BYTES];
    for (uint64_t i = first; i < first + MESSAGES; i++) {
        const struct poison_message m = {.number = i};
        REQUIRE(q_enqueue(q, bytes, poison_fill(bytes, &m, i), NULL, 0) == Q_OK, "enqueue");
    }
}

static void expect_all(GpuQueue *q, uint64_t first)
{
    for (uint64_t i = first; i < first + MESSAGES; i++) {
        const struct poison_message m = {.number = i};
        QResult r;
        size_t count;
        uint32_t tag = 0;
        REQUIRE(q_peek(q, &r, 1, &count, 30000) == Q_OK, "message %" PRIu64, i);
        REQUIRE(r.status == Q_RESULT_OK && poison_answers(r.data, r.len, &m, i, &tag) && tag == 1,
                "message %" PRIu64 " has status %u, of code %u", i, r.status, tag);
        REQUIRE(q_release(q, &r, 1) == Q_OK, "release");
    }
}

static void swap_to_many_bad(gq_pipeline *p)
{
    for (uint32_t i = 0; i < BAD_VERSIONS; i++) {
        char name[32];
        snprintf(name, sizeof name, "bad%u", i);
        REQUIRE(swap_to(p, name, 2) == GQ_OK, "%s", gq_last_error());
    }
}

int main(void)
{
    pthread_t other;
    REQUIRE(place_make(folder, sizeof folder, "gpuq-bad-code"), "a folder");
    write_plugins();
    alarm(ROUND_S);
    gq_pipeline *p = open_pipeline();
    GpuQueue *q = gq_queue(p);
    (void)swap_to(p, "endless", 1); /* built, so that what follows takes the time of its rehearsal */
    REQUIRE(swap_to(p, "bad", 2) == GQ_OK, "%s", gq_last_error());
    REQUIRE(pthread_create(&other, NULL, swap_to_endless, p) == 0, "no thread");
    usleep(BUDGET_MS * 100);
    send_all(q, 0);
    expect_all(q, 0);
    pthread_join(other, NULL);
    REQUIRE(__atomic_load_n(&rolled_back, __ATOMIC_RELAXED) == 1, "%u notes of a rollback", rolled_back);
    swap_to_many_bad(p);
    send_all(q, MESSAGES);
    expect_all(q, MESSAGES);
    REQUIRE(__atomic_load_n(&rolled_back, __ATOMIC_RELAXED) == 2, "%u notes of a rollback", rolled_back);
    REQUIRE(gq_stop(p, 20000) == GQ_OK, "%s", gq_last_error());
    gq_close(p);
    return place_remove(folder) && fault_find_child() == 0 ? 0 : 1;
}
