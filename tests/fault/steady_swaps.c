/* Somebody changes the code all the time, and a message ends every worker, whatever the code. Each version is new when
 * it meets the message, and a change is always under way, so nobody could go back from it. The message is given up all
 * the same when other code cannot serve it either, and the next one is served.
 */
#include <gpuqueue/swap.h>
#include <pthread.h>
#include "poison.h"
#include "support.h"
#include "stress/place.h"

#define ALL_S 100u
#define TAGS 4u
#define ROUNDS 80u
#define RESTARTS_MOST 8u /* of a round: one, and one for each change that was not ready for its turn */

static char folder[64];
static bool stop; /* atomic */

static gq_status swap_to(gq_pipeline *p, uint32_t tag)
{
    char path[256];
    snprintf(path, sizeof path, "%s/tag%u.cu", folder, tag);
    const gq_swap_opts opts = {.size = sizeof opts, .plugin = path};
    return gq_swap(p, "s", &opts, NULL);
}

static void *swap_on(void *p)
{
    for (uint32_t i = 1; !__atomic_load_n(&stop, __ATOMIC_ACQUIRE); i++)
        (void)swap_to(p, i % TAGS); /* one beside whose workers two die may be refused */
    return NULL;
}

static gq_pipeline *open_pipeline(void)
{
    char text[512];
    snprintf(text, sizeof text,
             "version: 1\nbackend: cpu\nqueue: { capacity: 64, slot_bytes: %u }\ncpu: { threads: 2 }\n"
             "stages: [{ name: s, plugin: '%s/tag0.cu' }]\non_error: { retries: 1 }\n"
             "swap: { rehearse: off, keep_versions: 1 }\n",
             POISON_SLOT_BYTES, folder);
    const gq_open_opts opts = {.size = sizeof opts, .path = "steady_swaps", .text = text};
    return fault_start(&opts);
}

static void send(GpuQueue *q, uint64_t number, enum poison kind)
{
    uint8_t bytes[POISON_SLOT_BYTES];
    const struct poison_message m = poison_message_of(0, number, kind);
    REQUIRE(q_enqueue(q, bytes, poison_fill(bytes, &m, number), NULL, 0) == Q_OK, "enqueue");
}

static void expect(GpuQueue *q, uint32_t status)
{
    QResult r;
    size_t count;
    REQUIRE(q_peek(q, &r, 1, &count, 60000) == Q_OK, "no result: %s", q_last_error());
    REQUIRE(r.status == status, "status %u, and %u was expected", r.status, status);
    REQUIRE(q_release(q, &r, 1) == Q_OK, "release");
}

int main(void)
{
    pthread_t swapper;
    REQUIRE(place_make(folder, sizeof folder, "gpuq-steady-swaps"), "a folder");
    for (uint32_t tag = 0; tag < TAGS; tag++) {
        char name[16];
        snprintf(name, sizeof name, "tag%u", tag);
        poison_write_plugin(folder, name, tag);
    }
    alarm(ALL_S);
    gq_pipeline *p = open_pipeline();
    for (uint32_t tag = 1; tag <= TAGS; tag++) /* built once, so that the changes below take no time of a compiler */
        REQUIRE(swap_to(p, tag % TAGS) == GQ_OK, "%s", gq_last_error());
    REQUIRE(pthread_create(&swapper, NULL, swap_on, p) == 0, "no thread");
    for (uint64_t i = 0; i < ROUNDS; i++) {
        const uint64_t before = fault_restarts(p);
        send(gq_queue(p), 2 * i, POISON_ABORT);
        send(gq_queue(p), 2 * i + 1, POISON_NONE);
        expect(gq_queue(p), Q_RESULT_FAULTED);
        expect(gq_queue(p), Q_RESULT_OK);
        REQUIRE(fault_restarts(p) - before <= RESTARTS_MOST, "%" PRIu64 " workers took over",
                fault_restarts(p) - before);
    }
    __atomic_store_n(&stop, true, __ATOMIC_RELEASE);
    pthread_join(swapper, NULL);
    REQUIRE(gq_stop(p, 20000) == GQ_OK, "%s", gq_last_error());
    gq_close(p);
    return place_remove(folder) && fault_find_child() == 0 ? 0 : 1;
}
