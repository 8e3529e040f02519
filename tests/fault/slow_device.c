/* A device takes its time to let go of a process. After a fault of which the driver told, and after a message that was
 * over its time, nobody waits for that: the next worker serves beside the one that is ending.
 *
 * The GPU is imaginary, and no worker is seen to end (--wrap) until every message has its result.
 */
#include <gpuqueue/runtime.h>
#include "base/process.h"
#include "support.h"

#define SKIP 77
#define ROUND_S 100u
#define MESSAGES 12u
#define GUILTY 5u

static bool is_slow; /* atomic */

bool __real_gq_process_wait(struct gq_process *p, uint32_t timeout_ms, int *wait_status);
bool __wrap_gq_process_wait(struct gq_process *p, uint32_t timeout_ms, int *wait_status);

bool __wrap_gq_process_wait(struct gq_process *p, uint32_t timeout_ms, int *wait_status)
{
    if (!__atomic_load_n(&is_slow, __ATOMIC_ACQUIRE))
        return __real_gq_process_wait(p, timeout_ms < 5 ? timeout_ms : 5, wait_status);
    usleep(1000);
    return false;
}

static gq_pipeline *open_pipeline(void)
{
    gq_pipeline *p = NULL;
    const gq_open_opts opts = {
        .size = sizeof opts,
        .path = "slow_device",
        .backend = "cuda",
        .text = "version: 1\nqueue: { capacity: 16, slot_bytes: 16 }\non_error: { retries: 1 }\n"
                "stages: [{ name: s, plugin: 'builtin:echo', timeout: 500ms }]\nswap: { rehearse: off }\n"};
    const bool runs = gq_open(&opts, &p) == GQ_OK && gq_prepare(p) == GQ_OK && gq_start(p) == GQ_OK;
    if (!runs && strstr(gq_last_error(), "NVRTC"))
        exit(SKIP);
    REQUIRE(runs, "%s", gq_last_error());
    return p;
}

static void message_ends_its_worker(const char *how)
{
    gq_stats stats = {.size = sizeof stats};
    REQUIRE(setenv("GPUQ_FAKE_CUDA", how, 1) == 0, "the script");
    gq_pipeline *p = open_pipeline();
    GpuQueue *q = gq_queue(p);
    __atomic_store_n(&is_slow, true, __ATOMIC_RELEASE);
    for (uint32_t i = 0; i < MESSAGES; i++) {
        QResult r;
        size_t count;
        REQUIRE(q_enqueue(q, &i, sizeof i, NULL, 1000) == Q_OK, "enqueue");
        REQUIRE(q_peek(q, &r, 1, &count, 30000) == Q_OK, "%s: message %u: %s", how, i, q_last_error());
        REQUIRE(r.status == (i == GUILTY ? Q_RESULT_FAULTED : Q_RESULT_OK), "%s: message %u: %u", how, i, r.status);
        REQUIRE(q_release(q, &r, 1) == Q_OK, "release");
    }
    __atomic_store_n(&is_slow, false, __ATOMIC_RELEASE);
    REQUIRE(gq_get_stats(p, &stats) == GQ_OK && stats.restarts == 1, "%s: %" PRIu64 " took over", how, stats.restarts);
    REQUIRE(gq_stop(p, 20000) == GQ_OK, "%s", gq_last_error());
    gq_close(p);
}

int main(void)
{
    alarm(ROUND_S);
    message_ends_its_worker("poison=5");
    message_ends_its_worker("hangs=5");
    return fault_find_child() == 0 ? 0 : 1;
}
