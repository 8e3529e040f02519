/* A worker answers that it serves new code, and dies before the host has noted that; so the one which takes over has
 * the code before. The swap that said the new code was live sees to it that it is, also where that worker refuses it
 * and lives. So it does when that worker was to take over, was given the new code before it served, and could not
 * start.
 *
 * The moment is made by standing between the answer and the note, and around the change's turn (--wrap).
 */
#include <gpuqueue/swap.h>
#include <pthread.h>
#include <sys/resource.h>
#include "pipeline/pipeline.h"
#include "poison.h"
#include "support.h"
#include "stress/place.h"

#define ROUND_S 60u
#define ROUNDS 4u

static char folder[64];
static gq_pipeline *strike; /* NULL: let it be */
static gq_pipeline *starve; /* atomic; who is given code in a change's turn has no memory for threads; NULL: nobody */
static uint32_t starved;    /* atomic */
static bool refuse;         /* who took over refuses what it is asked once more */
static uint32_t refused;

void __real_gq_versions_went_live(struct gq_versions *versions, uint32_t stage, struct gq_code *code,
                                  const uint64_t *until, uint32_t lanes);
void __wrap_gq_versions_went_live(struct gq_versions *versions, uint32_t stage, struct gq_code *code,
                                  const uint64_t *until, uint32_t lanes);

static bool is_away(struct gq_remote *remote)
{
    pthread_mutex_lock(&remote->lock);
    const bool away = remote->away;
    pthread_mutex_unlock(&remote->lock);
    return away;
}

void __wrap_gq_versions_went_live(struct gq_versions *versions, uint32_t stage, struct gq_code *code,
                                  const uint64_t *until, uint32_t lanes)
{
    const uint64_t deadline = gq_clock_deadline(30000);
    if (strike) {
        const uint64_t before = fault_restarts(strike);
        kill(fault_find("worker", 0), SIGKILL);
        while (fault_restarts(strike) == before)
            REQUIRE(!gq_clock_past(deadline) && usleep(1000) == 0, "no other worker took over");
    }
    refused += refuse;
    const gq_pipeline *starving = __atomic_load_n(&starve, __ATOMIC_ACQUIRE);
    while (starving && is_away(starving->remote))
        REQUIRE(!gq_clock_past(deadline) && usleep(1000) == 0, "no other worker took over");
    __real_gq_versions_went_live(versions, stage, code, until, lanes);
}

gq_status __real_gq_remote_use(struct gq_remote *remote, const struct gq_image *image,
                               const struct gq_remote_change *change, struct gq_swap_times *times);
gq_status __wrap_gq_remote_use(struct gq_remote *remote, const struct gq_image *image,
                               const struct gq_remote_change *change, struct gq_swap_times *times);

gq_status __wrap_gq_remote_use(struct gq_remote *remote, const struct gq_image *image,
                               const struct gq_remote_change *change, struct gq_swap_times *times)
{
    if (!refuse || refused == 0)
        return __real_gq_remote_use(remote, image, change, times);
    refuse = false;
    return gq_error_set(GQ_ERR_NO_MEMORY, "there is no memory for it");
}

void __real_gq_remote_give_turn(struct gq_remote *remote);
void __wrap_gq_remote_give_turn(struct gq_remote *remote);

void __wrap_gq_remote_give_turn(struct gq_remote *remote)
{
    const uint64_t deadline = gq_clock_deadline(30000);
    const struct rlimit none = {0, 0};
    const bool starves = __atomic_load_n(&starve, __ATOMIC_ACQUIRE) != NULL;
    while (starves && __atomic_load_n(&starved, __ATOMIC_ACQUIRE) == 0 && !gq_remote_is_changing(remote))
        REQUIRE(!gq_clock_past(deadline) && usleep(1000) == 0, "no change");
    __real_gq_remote_give_turn(remote);
    if (starves && __atomic_fetch_add(&starved, 1, __ATOMIC_ACQ_REL) == 0)
        REQUIRE(prlimit(remote->process.pid, RLIMIT_AS, &none, NULL) == 0, "prlimit");
}

static gq_pipeline *open_pipeline(void)
{
    char text[512];
    snprintf(text, sizeof text,
             "version: 1\nbackend: cpu\nqueue: { capacity: 16, slot_bytes: %u }\nswap: { rehearse: off }\n"
             "stages: [{ name: s, plugin: '%s/tag0.cu' }]\n",
             POISON_SLOT_BYTES, folder);
    const gq_open_opts opts = {.size = sizeof opts, .path = "made_sure", .text = text};
    return fault_start(&opts);
}

static void swap_to(gq_pipeline *p, uint32_t tag)
{
    char path[128];
    snprintf(path, sizeof path, "%s/tag%u.cu", folder, tag);
    const gq_swap_opts opts = {.size = sizeof opts, .plugin = path};
    REQUIRE(gq_swap(p, "s", &opts, NULL) == GQ_OK, "swap to %s: %s", path, gq_last_error());
}

static void expect_tag(GpuQueue *q, uint64_t number, uint32_t expected)
{
    uint8_t bytes[POISON_SLOT_BYTES];
    const struct poison_message m = {.number = number};
    QResult r;
    size_t count;
    uint32_t tag;
    REQUIRE(q_enqueue(q, bytes, poison_fill(bytes, &m, number), NULL, 0) == Q_OK, "enqueue");
    REQUIRE(q_peek(q, &r, 1, &count, 20000) == Q_OK, "peek");
    REQUIRE(r.status == Q_RESULT_OK && poison_answers(r.data, r.len, &m, number, &tag), "status %u", r.status);
    REQUIRE(tag == expected, "code %u answered, and the swap to %u had succeeded", tag, expected);
    REQUIRE(q_release(q, &r, 1) == Q_OK, "release");
}

int main(void)
{
    char name[16];
    REQUIRE(place_make(folder, sizeof folder, "gpuq-made-sure"), "a folder");
    for (uint32_t tag = 0; tag < 2; tag++) {
        snprintf(name, sizeof name, "tag%u", tag);
        poison_write_plugin(folder, name, tag);
    }
    alarm(ROUND_S);
    gq_pipeline *p = open_pipeline();
    expect_tag(gq_queue(p), 0, 0);
    strike = p;
    for (uint32_t i = 1; i <= ROUNDS; i++) {
        swap_to(p, i % 2);
        expect_tag(gq_queue(p), i, i % 2);
    }
    refuse = true;
    swap_to(p, (ROUNDS + 1) % 2);
    REQUIRE(refused == 1 && !refuse, "nobody was asked once more");
    strike = NULL;
    expect_tag(gq_queue(p), ROUNDS + 1, (ROUNDS + 1) % 2);
    __atomic_store_n(&starve, p, __ATOMIC_RELEASE);
    kill(fault_find("worker", 0), SIGKILL);
    while (!is_away(p->remote))
        usleep(1000);
    swap_to(p, ROUNDS % 2);
    expect_tag(gq_queue(p), ROUNDS + 2, ROUNDS % 2);
    REQUIRE(__atomic_load_n(&starved, __ATOMIC_ACQUIRE) > 1, "it could start");
    REQUIRE(gq_stop(p, 20000) == GQ_OK, "%s", gq_last_error());
    gq_close(p);
    return place_remove(folder) && fault_find_child() == 0 ? 0 : 1;
}
