/* The worker is killed while code is swapped, used again and given up: what was said to be live answers from then on,
 * what was refused changed nothing, and no message is lost.
 *
 *   epochs_swap [SECONDS [SEED]]     prints its seed
 */
#include "support.h"
#include "stress/place.h"
#include <gpuqueue/swap.h>
#include <pthread.h>
#include <signal.h>

#define ENOUGH 10 /* workers that took over, and changes that went live */
#define LAST_S 60 /* for that, on a slow machine */
#define TAGS 4u
#define ROUND_S 120u
#define KILL_AGAIN_MS 2000u

static char folder[64];
static bool over;
static gq_swap_result result;
static uint64_t swapped, died, canaries, answers, beside;

static const char *plugin_of(uint32_t tag)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/tag%u.cu", folder, tag);
    return path;
}

/* Answers with the message's bytes and one more, its own. */
static void write_plugins(void)
{
    for (uint32_t tag = 0; tag < TAGS; tag++) {
        FILE *file = fopen(plugin_of(tag), "w");
        REQUIRE(file, "%s", plugin_of(tag));
        fprintf(file,
                "#include <gpuqueue/plugin.h>\n"
                "__device__ void process_message(const MsgView &in, ResultView *out)\n{\n"
                "    for (uint32_t i = 0; i < in.len; i++)\n        out->out[i] = in.payload[i];\n"
                "    out->out[in.len] = %u;\n    *out->out_len = in.len + 1;\n}\n",
                tag);
        fclose(file);
    }
}

static void *kill_workers(void *pipeline)
{
    uint64_t dice = gq_clock_ns() | 1;
    gq_stats stats = {.size = sizeof stats};
    while (!__atomic_load_n(&over, __ATOMIC_ACQUIRE)) {
        uint64_t before;
        REQUIRE(gq_get_stats(pipeline, &stats) == GQ_OK, "stats");
        before = stats.restarts;
        const pid_t worker = fault_find("worker", 0);
        if (worker > 0)
            kill(worker, SIGKILL);
        /* One that had not begun to serve makes room for another that is the same one to the counter. */
        const uint64_t deadline = gq_clock_deadline(KILL_AGAIN_MS);
        while (stats.restarts == before && !gq_clock_past(deadline) && !__atomic_load_n(&over, __ATOMIC_ACQUIRE))
            REQUIRE(gq_get_stats(pipeline, &stats) == GQ_OK, "stats");
        /* Time enough to end a message, and now and then for a change, however slow the machine is. */
        usleep(payload_dice(&dice) % 8 ? 2000 + (useconds_t)(payload_dice(&dice) % 15000) : 250000);
    }
    return NULL;
}

/* A lane beside the one that is looked at: workers always have something to do. */
static void *send_on(void *queue)
{
    QResult r;
    size_t count;
    for (beside = 0; !__atomic_load_n(&over, __ATOMIC_ACQUIRE); beside++) {
        const QueueStatus sent = q_enqueue(queue, &beside, sizeof beside, NULL, 20000);
        REQUIRE(sent == Q_OK && q_peek(queue, &r, 1, &count, 20000) == Q_OK, "beside: %s", q_last_error());
        REQUIRE(r.status == Q_RESULT_OK && memcmp(r.data, &beside, sizeof beside) == 0, "message %" PRIu64, beside);
        REQUIRE(q_release(queue, &r, 1) == Q_OK, "release");
    }
    return NULL;
}

/* Messages are answered, in order, by the code with this tag, in a generation that is not before this one. */
static void check_live(GpuQueue *q, uint32_t tag, uint32_t generation)
{
    QResult r;
    for (uint64_t i = 0; i < 4; i++, answers++) {
        size_t count;
        uint64_t word;
        REQUIRE(q_enqueue(q, &answers, sizeof answers, NULL, 20000) == Q_OK, "enqueue: %s", q_last_error());
        REQUIRE(q_peek(q, &r, 1, &count, 20000) == Q_OK, "peek: %s", q_last_error());
        REQUIRE(r.status == Q_RESULT_OK && r.len == sizeof word + 1 && (r.msg_id & 0xffffff) == answers + 1,
                "result of %u bytes", r.len);
        memcpy(&word, r.data, sizeof word);
        REQUIRE(word == answers && ((const uint8_t *)r.data)[sizeof word] == tag, "tag %u answered, tag %u is live",
                ((const uint8_t *)r.data)[sizeof word], tag);
        REQUIRE(r.generation >= generation, "generation %u after %u", r.generation, generation);
        REQUIRE(q_release(q, &r, 1) == Q_OK, "release");
    }
}

/* One change; true if it is live. */
static bool change(gq_pipeline *p, uint64_t dice, uint32_t tag)
{
    gq_swap_opts opts = {.size = sizeof opts, .plugin = plugin_of(tag), .rehearse = 2};
    result = (gq_swap_result){.size = sizeof result};
    if (dice % 4 == 0) {
        opts.canary_ppm = 500000;
        opts.canary_ms = 20;
        canaries++;
    }
    const gq_status status = gq_swap(p, "s", &opts, &result);
    REQUIRE(status == GQ_OK || gq_last_error()[0], "status %d has no sentence", (int)status);
    REQUIRE(status == GQ_OK || status == GQ_ERR_DEVICE || opts.canary_ppm, "status %d: %s", (int)status,
            gq_last_error());
    swapped += status == GQ_OK;
    died += status != GQ_OK;
    return status == GQ_OK;
}

static gq_pipeline *open_pipeline(void)
{
    char text[512];
    snprintf(text, sizeof text,
             "version: 1\nbackend: cpu\nqueue: { capacity: 64, slot_bytes: 64 }\ncpu: { threads: 2 }\n"
             "stages: [{ name: s, plugin: '%s' }]\nswap: { keep_versions: 2 }\n",
             plugin_of(0));
    const gq_open_opts opts = {.size = sizeof opts, .path = "epochs_swap", .text = text};
    return fault_start(&opts);
}

static bool has_seen_enough(gq_pipeline *p)
{
    gq_stats stats = {.size = sizeof stats};
    REQUIRE(gq_get_stats(p, &stats) == GQ_OK, "stats");
    return stats.restarts > ENOUGH && swapped > ENOUGH;
}

int main(int argc, char **argv)
{
    const uint32_t seconds = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 8;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : gq_clock_ns(), dice = seed | 1;
    uint32_t live = 0, generation = 1;
    pthread_t killer, sender;
    printf("seed %" PRIu64 "\n", seed);
    fflush(stdout);
    REQUIRE(place_make(folder, sizeof folder, "gpuq-epochs-swap"), "a folder");
    write_plugins();
    alarm(ROUND_S);
    gq_pipeline *p = open_pipeline();
    REQUIRE(pthread_create(&killer, NULL, kill_workers, p) == 0, "no thread");
    REQUIRE(pthread_create(&sender, NULL, send_on, gq_queue(p)) == 0, "no thread");
    const uint64_t deadline = gq_clock_deadline(seconds * 1000), at_last = gq_clock_deadline(LAST_S * 1000);
    while (!gq_clock_past(deadline) || (!has_seen_enough(p) && !gq_clock_past(at_last))) {
        const uint32_t tag = (uint32_t)(payload_dice(&dice) % TAGS);
        if (change(p, payload_dice(&dice), tag)) {
            live = tag;
            generation = result.generation ? result.generation : generation;
        }
        check_live(gq_queue(p), live, live == tag ? generation : 0);
    }
    __atomic_store_n(&over, true, __ATOMIC_RELEASE);
    pthread_join(killer, NULL);
    pthread_join(sender, NULL);
    gq_stats stats = {.size = sizeof stats};
    REQUIRE(gq_stop(p, 20000) == GQ_OK && gq_get_stats(p, &stats) == GQ_OK, "%s", gq_last_error());
    REQUIRE(stats.messages_in == answers + beside && stats.failed == 0, "%" PRIu64 " in, %" PRIu64 " failed",
            stats.messages_in, stats.failed);
    REQUIRE(stats.restarts > ENOUGH && swapped > ENOUGH, "%" PRIu64 " restarts, %" PRIu64 " swaps", stats.restarts,
            swapped);
    printf("%" PRIu64 " messages, %" PRIu64 " changes live, %" PRIu64 " refused, %" PRIu64
           " were to be canaries, %" PRIu64 " workers took over\n",
           answers + beside, swapped, died, canaries, stats.restarts);
    gq_close(p);
    return place_remove(folder) && fault_find_child() == 0 ? 0 : 1;
}
