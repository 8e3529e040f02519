/* A change is asked for while a message holds its stage.
 *
 * One that never ends is found in its time, though the change waits for the worker, and the worker for the message. On
 * a GPU one that may take long has the change refused; grids that had left already are launched again, and what they
 * serve is the old code's, and says so.
 *
 * Beside an imaginary GPU (GPUQ_FAKE_CUDA says hangs=5) plugins are not run, and every code echoes.
 */
#include <gpuqueue/runtime.h>
#include <gpuqueue/swap.h>
#include "poison.h"
#include "support.h"
#include "stress/place.h"

#define SKIP 77
#define ROUND_S 100u
#define MESSAGES 10u
#define HUNG 5u
#define PARK_MS 5000u /* how long a change waits for a message */
#define SLOW_NS "7000000000ull" /* more than that, in the plugin */

static char folder[64];

/* 'h' never ends, and 's' takes SLOW_NS. */
static const char plugin[] = "#include <gpuqueue/plugin.h>\n"
                             "__device__ void process_message(const MsgView &in, ResultView *out)\n{\n"
                             "    while (*(volatile const uint8_t *)in.payload == 'h') {}\n"
                             "#if defined(__CUDA_ARCH__)\n"
                             "    uint64_t now = 0, start;\n"
                             "    asm volatile(\"mov.u64 %0, %%globaltimer;\" : \"=l\"(start));\n"
                             "    while (in.payload[0] == 's' && now < start + " SLOW_NS ")\n"
                             "        asm volatile(\"mov.u64 %0, %%globaltimer;\" : \"=l\"(now));\n"
                             "#endif\n"
                             "    out->out[0] = CODE;\n    *out->out_len = 1;\n}\n";

static gq_pipeline *open_pipeline(const char *timeout)
{
    char text[512];
    gq_pipeline *p = NULL;
    snprintf(text, sizeof text,
             "version: 1\nqueue: { capacity: 16, slot_bytes: 16 }\ncpu: { threads: 2 }\n"
             "stages: [{ name: s, plugin: '%s/a.cu', timeout: %s }]\non_error: { retries: 1 }\n",
             folder, timeout);
    const gq_open_opts opts = {.size = sizeof opts, .path = "hung_swap", .text = text};
    const bool runs = gq_open(&opts, &p) == GQ_OK && gq_prepare(p) == GQ_OK && gq_start(p) == GQ_OK;
    if (!runs && strstr(gq_last_error(), "NVRTC"))
        exit(SKIP);
    REQUIRE(runs, "%s", gq_last_error());
    return p;
}

static gq_status swap_to(gq_pipeline *p, char code, gq_swap_result *result)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%c.cu", folder, code);
    const gq_swap_opts opts = {.size = sizeof opts, .plugin = path};
    *result = (gq_swap_result){.size = sizeof *result};
    return gq_swap(p, "s", &opts, result);
}

static QResult take(GpuQueue *q)
{
    QResult r;
    size_t count;
    REQUIRE(q_peek(q, &r, 1, &count, 30000) == Q_OK && q_release(q, &r, 1) == Q_OK, "%s", q_last_error());
    return r;
}

/* What is sent now is served by this code, or on an imaginary GPU by none, and by this generation. */
static void expect(GpuQueue *q, char code, uint32_t generation)
{
    QResult r;
    size_t count;
    REQUIRE(q_enqueue(q, "x", 1, NULL, 1000) == Q_OK && q_peek(q, &r, 1, &count, 30000) == Q_OK, "%s", q_last_error());
    const char did = r.len ? *(const char *)r.data : '-';
    REQUIRE(r.status == Q_RESULT_OK && r.generation == generation && (did == code || did == 'x'),
            "code %c, generation %u in place of %c, %u", did, r.generation, code, generation);
    REQUIRE(q_release(q, &r, 1) == Q_OK, "release");
}

static void close_pipeline(gq_pipeline *p)
{
    REQUIRE(gq_stop(p, 20000) == GQ_OK, "%s", gq_last_error());
    gq_close(p);
}

static void beside_one_that_never_ends(void)
{
    gq_swap_result result;
    gq_pipeline *p = open_pipeline("500ms");
    GpuQueue *q = gq_queue(p);
    for (uint32_t i = 0; i < MESSAGES; i++)
        REQUIRE(q_enqueue(q, i == HUNG ? "h" : "m", 1, NULL, 0) == Q_OK, "enqueue");
    for (uint32_t i = 0; i < HUNG; i++)
        REQUIRE(take(q).status == Q_RESULT_OK, "message %u", i);
    const uint64_t start = gq_clock_ns();
    const gq_status status = swap_to(p, 'b', &result);
    const uint64_t ms = (gq_clock_ns() - start - result.build_ns) / 1000000;
    REQUIRE(ms < PARK_MS - 500, "the change waited for %" PRIu64 " ms: %s", ms, gq_last_error());
    for (uint32_t i = HUNG; i < MESSAGES; i++) {
        const uint32_t is = take(q).status;
        REQUIRE(is == (i == HUNG ? Q_RESULT_FAULTED : Q_RESULT_OK), "message %u has status %u", i, is);
    }
    while (status != GQ_OK && swap_to(p, 'b', &result) != GQ_OK) /* the first died with the worker */
        REQUIRE(gq_clock_ns() - start < 60000000000u, "%s", gq_last_error());
    expect(q, 'b', result.generation);
    close_pipeline(p);
}

static void beside_one_that_takes_long(void)
{
    gq_swap_result result;
    gq_pipeline *p = open_pipeline("off");
    GpuQueue *q = gq_queue(p);
    expect(q, 'a', 1);
    REQUIRE(q_enqueue(q, "s", 1, NULL, 0) == Q_OK, "enqueue");
    usleep(100000);
    REQUIRE(swap_to(p, 'b', &result) == GQ_ERR_PLUGIN && result.step == GQ_STEP_PARK, "a change beside a slow message");
    REQUIRE(q_enqueue(q, "m", 1, NULL, 0) == Q_OK, "enqueue");
    REQUIRE(take(q).generation == 1 && take(q).generation == 1, "a generation that was taken back");
    expect(q, 'a', 1);
    REQUIRE(swap_to(p, 'b', &result) == GQ_OK && result.generation == 2, "%s", gq_last_error());
    expect(q, 'b', 2);
    close_pipeline(p);
}

int main(void)
{
    REQUIRE(place_make(folder, sizeof folder, "gpuq-hung-swap"), "a folder");
    poison_write_text(folder, 'a', plugin);
    poison_write_text(folder, 'b', plugin);
    alarm(ROUND_S);
    beside_one_that_never_ends();
    if (fault_on_gpu() && !getenv("GPUQ_FAKE_CUDA"))
        beside_one_that_takes_long();
    return place_remove(folder) && fault_find_child() == 0 ? 0 : 1;
}
