/* Code that ends its worker with every message goes live, and before the first message comes somebody has begun another
 * change, which takes its time. Nobody can go back meanwhile; but no message is given up for it, and when the change
 * has been refused, the version before serves them all.
 */
#include <gpuqueue/swap.h>
#include <pthread.h>
#include "poison.h"
#include "support.h"
#include "stress/place.h"

#define MESSAGES 16u
#define ROUND_S 60u
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

static void write_plugins(void)
{
    poison_write_plugin(folder, "good", 1);
    poison_write_plugin(folder, "bad", POISON_TAG_BAD);
    poison_write_plugin(folder, "endless", 2);
    FILE *file = poison_create(folder, "endless.golden.yaml");
    fprintf(file, "- { name: endless, in_hex: \"%016x%02x%030x\", out_hex: \"00\" }\n", 0, POISON_HANG, 0);
    REQUIRE(fclose(file) == 0, "endless.golden.yaml");
}

static void expect_all(GpuQueue *q)
{
    for (uint64_t i = 0; i < MESSAGES; i++) {
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

int main(void)
{
    uint8_t bytes[POISON_SLOT_BYTES];
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
    for (uint64_t i = 0; i < MESSAGES; i++) {
        const struct poison_message m = {.number = i};
        REQUIRE(q_enqueue(q, bytes, poison_fill(bytes, &m, i), NULL, 0) == Q_OK, "enqueue");
    }
    expect_all(q);
    pthread_join(other, NULL);
    REQUIRE(__atomic_load_n(&rolled_back, __ATOMIC_RELAXED) == 1, "%u notes of a rollback", rolled_back);
    REQUIRE(gq_stop(p, 20000) == GQ_OK, "%s", gq_last_error());
    gq_close(p);
    return place_remove(folder) && fault_find_child() == 0 ? 0 : 1;
}
