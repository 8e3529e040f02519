/* A worker's words say that a message was answered by code that had been replaced before the message came, or what no
 * worker writes. Nobody is handed that: the worker is ended, and the next one answers. Also what came before the newest
 * change, by code from before an older one.
 *
 * Here a plugin writes over what its worker said of a message that has ended.
 */
#include <gpuqueue/swap.h>
#include "pipeline/pipeline.h"
#include "poison.h"
#include "support.h"
#include "stress/place.h"

#define ROUND_S 60u
#define CAPACITY 16u
#define STRIDE 16u

static char folder[64];
static char noted[512];

/* A worker that takes over loads this for a while, and somebody looks at it meanwhile. */
#define LOADS "__attribute__((constructor)) static void nap(void)\n{\n    usleep(50000);\n}\n"

/* 'x', the slot whose message it is about, its own slot, a generation: once; or 'y' and a status. The words lie before
 * the bytes. */
static const char plugin[] =
    "#include <gpuqueue/plugin.h>\n"
    "#include <sys/stat.h>\n"
    "#include <unistd.h>\n" LOADS "__device__ void process_message(const MsgView &in, ResultView *out)\n{\n"
    "    const uint8_t *m = in.payload;\n"
    "    uint64_t *words = (uint64_t *)(out->out - m[2] * 16 - BACK) + 2 * m[1];\n"
    "    if (m[0] >= 'x' && mkdir(FOLDER \"/met\", 0700) == 0)\n"
    "        *words = m[0] == 'x' ? (*words & 0xffffffff) | (uint64_t)m[3] << 32\n"
    "                             : (*words & ~0xff0000ull) | (uint64_t)m[3] << 16;\n"
    "    out->out[0] = m[0];\n    out->out[1] = CODE;\n    *out->out_len = 2;\n}\n";

static const char *in_folder(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void keep_note(void *context, const char *text)
{
    (void)context;
    snprintf(noted, sizeof noted, "%s", text);
}

static void write_plugin(char code, size_t back)
{
    char text[1024];
    snprintf(text, sizeof text, "#define BACK %zu\n%s", back, plugin);
    poison_write_text(folder, code, text);
}

static void swap_to(gq_pipeline *p, const char *name, uint32_t generation)
{
    gq_swap_result result = {.size = sizeof result};
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    const gq_swap_opts opts = {.size = sizeof opts, .plugin = path};
    REQUIRE(gq_swap(p, "s", &opts, &result) == GQ_OK && result.generation == generation, "%s", gq_last_error());
}

static void enqueue(gq_pipeline *p, const uint8_t message[4])
{
    REQUIRE(q_enqueue(gq_queue(p), message, 4, NULL, 0) == Q_OK, "enqueue");
}

static void send(gq_pipeline *p, const uint8_t message[4])
{
    const uint64_t deadline = gq_clock_deadline(30000);
    enqueue(p, message);
    while (gq_lane_unfinished(p->queue->lane[0]) > 0)
        REQUIRE(!gq_clock_past(deadline) && usleep(1000) == 0, "a message does not end");
}

static void take(gq_pipeline *p, uint8_t kind, uint8_t code, uint32_t generation)
{
    QResult r;
    size_t count;
    REQUIRE(q_peek_any(gq_queue(p), &r, 1, &count, 30000) == Q_OK && r.status == Q_RESULT_OK && r.len == 2, "a result");
    const uint8_t *bytes = r.data;
    REQUIRE(bytes[0] == kind && bytes[1] == code && r.generation == generation, "%c of %c, generation %u, and not %u",
            bytes[0], bytes[1], r.generation, generation);
    REQUIRE(q_release(gq_queue(p), &r, 1) == Q_OK, "release");
}

/* Who waits for a result that is nobody's waits no longer than it wants. Nobody does anything about it for a while. */
static void send_and_find_nothing(gq_pipeline *p, const uint8_t message[4], bool but_the_first)
{
    QResult r;
    size_t count;
    const uint64_t start = gq_clock_ns(), deadline = gq_clock_deadline(30000);
    __atomic_store_n(&p->supervisor.armed, 0, __ATOMIC_RELEASE);
    enqueue(p, message);
    if (but_the_first)
        take(p, '1', 'b', 2);
    while (gq_lane_unfinished(p->queue->lane[0]) == 0 || !__atomic_load_n(&p->remote->link.foul, __ATOMIC_ACQUIRE))
        REQUIRE(!gq_clock_past(deadline) && usleep(1000) == 0, "nobody sees the result that is none");
    REQUIRE(q_peek_any(gq_queue(p), &r, 1, &count, 50) == Q_ERR_TIMEOUT, "a result that is none");
    REQUIRE(gq_clock_ns() - start < 20000000000u, "it waited for %.1f s", (double)(gq_clock_ns() - start) / 1e9);
    __atomic_store_n(&p->supervisor.armed, 1, __ATOMIC_RELEASE);
}

static gq_pipeline *open_pipeline(void)
{
    char text[512];
    snprintf(text, sizeof text,
             "version: 1\nbackend: cpu\nqueue: { capacity: %u, slot_bytes: %u }\ncpu: { threads: 1 }\n"
             "stages: [{ name: s, plugin: '%s/a.cu' }]\nswap: { rehearse: off }\n",
             CAPACITY, STRIDE, folder);
    const gq_open_opts opts = {.size = sizeof opts, .path = "stale", .text = text, .note = keep_note};
    return fault_start(&opts);
}

static void finish(gq_pipeline *p, uint64_t restarts)
{
    gq_stats stats = {.size = sizeof stats};
    REQUIRE(gq_get_stats(p, &stats) == GQ_OK && stats.restarts == restarts, "%" PRIu64 " took over", stats.restarts);
    REQUIRE(gq_stop(p, 20000) == GQ_OK, "%s", gq_last_error());
    gq_close(p);
}

static size_t payload_behind_words(void)
{
    struct gq_lane_view view;
    gq_lane_view_fill(&view, NULL, NULL, CAPACITY, STRIDE);
    return (size_t)(view.out_payload - (uint8_t *)view.out_desc);
}

/* Generations 1, 2 and 3: '1' is sent behind 2, '2' behind 3, and of one the words say a generation or a status. */
static void say(uint8_t what, uint8_t about, uint8_t value, uint64_t restarts)
{
    gq_pipeline *p = open_pipeline();
    noted[0] = '\0';
    swap_to(p, "b.cu", 2);
    send(p, (const uint8_t[]){'1', 0, 0, 0});
    swap_to(p, "c.cu", 3);
    send(p, (const uint8_t[]){'2', 0, 1, 0});
    const uint8_t message[] = {what, about, 2, value};
    const char *note = what == 'x' ? GQ_BUDGET_STALE : GQ_BUDGET_SCRAWLED;
    if (restarts > 0) {
        send_and_find_nothing(p, message, about > 0);
        if (about == 0)
            take(p, '1', 'c', 3);
    } else {
        send(p, message);
        take(p, '1', 'b', 2);
    }
    take(p, '2', 'c', 3);
    take(p, what, 'c', 3);
    REQUIRE((strstr(noted, note) != NULL) == (restarts > 0), "it was noted: %s", noted);
    finish(p, restarts);
    REQUIRE(rmdir(in_folder("met")) == 0, "the plugin did nothing");
}

int main(void)
{
    alarm(ROUND_S);
    REQUIRE(place_make(folder, sizeof folder, "gpuq-stale"), "a folder");
    for (char code = 'a'; code <= 'c'; code++)
        write_plugin(code, payload_behind_words());
    say('x', 1, 3, 0); /* as it is */
    say('x', 1, 2, 1); /* live before the message came */
    say('x', 0, 1, 1); /* the same, and the newest change was made behind it */
    say('y', 1, GQ_RESULT_OK, 0);
    say('y', 1, GQ_RESULT_OVERFLOW, 1);
    say('y', 0, 97, 1);
    REQUIRE(place_remove(folder), "the folder");
    puts("nothing was handed out that code before the live one had answered, or that no worker writes");
    return 0;
}
