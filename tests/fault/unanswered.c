/* A message lets its whole worker stand still, and the worker owes an answer: that it starts, for it may meet messages
 * before it has said so; or that it has a lane, or other code. The stage's timeout holds all the same, and where there
 * is none a stop takes no longer than its drain, and the time that a worker is given to end.
 *
 * Answers of workers that start and stand still then are lost (--wrap), as if they had not come so far.
 */
#include <gpuqueue/swap.h>
#include <pthread.h>
#include "pipeline/pipeline.h"
#include "pipeline/reply.h"
#include "pipeline/suspects.h"
#include "poison.h"
#include "support.h"
#include "stress/place.h"

#define ROUND_S 110u
#define HUNG 3u
#define LONG_NS UINT64_C(15000000000) /* half of the time that a request may take */
#define SOON_MS 2000u                 /* within which a worker has met its first message, or will meet none */
#define DRAIN_MS 300u
#define STOP_NS UINT64_C(10000000000)

enum { OF_EPOCH, OF_TRIAL, STARTS };

static char folder[64];
static uint32_t said_impatient; /* atomic: notes of a worker that did not answer */
static bool loses, gate;        /* atomic: answers of those that start; one is not told to start as long as it is set */
static uint32_t lost[STARTS];   /* atomic: calls that waited in vain */
static GpuQueue *late;          /* atomic: somebody's first message comes while a worker starts */
static _Thread_local pid_t asked; /* the worker that starts; 0: none */
static _Thread_local uint32_t of;

/* 'h' stops all of its process. */
static const char plugin[] = "#include <gpuqueue/plugin.h>\n#include <signal.h>\n"
                             "__device__ void process_message(const MsgView &in, ResultView *out)\n{\n"
                             "    if (in.payload[0] == 'h') raise(SIGSTOP);\n"
                             "    out->out[0] = in.payload[0];\n    *out->out_len = 1;\n}\n";

/* --- what is lost --------------------------------------------------------------------------------------------------
 */

static bool stands_still(pid_t worker)
{
    char thread[16];
    const uint64_t deadline = gq_clock_deadline(SOON_MS);
    snprintf(thread, sizeof thread, "%d", (int)worker);
    while (!fault_is_stopped(worker, thread) && !gq_clock_past(deadline))
        usleep(200);
    return fault_is_stopped(worker, thread);
}

gq_status __real_gq_reply_receive(int channel, uint32_t type, uint32_t timeout_ms, struct gq_packet *reply,
                                  bool *astray);
gq_status __wrap_gq_reply_receive(int channel, uint32_t type, uint32_t timeout_ms, struct gq_packet *reply,
                                  bool *astray);

gq_status __wrap_gq_reply_receive(int channel, uint32_t type, uint32_t timeout_ms, struct gq_packet *reply,
                                  bool *astray)
{
    struct gq_packet none = *reply;
    gq_status status = __real_gq_reply_receive(channel, type, timeout_ms, reply, astray);
    if (type != GQ_PACKET_START || !asked || !__atomic_load_n(&loses, __ATOMIC_ACQUIRE))
        return status;
    if (status == GQ_OK && stands_still(asked)) {
        *reply = none;
        status = __real_gq_reply_receive(channel, type, timeout_ms, reply, astray);
    }
    if (status == GQ_ERR_TIMEOUT)
        __atomic_fetch_add(&lost[of], 1, __ATOMIC_RELEASE);
    return status;
}

gq_status __real_gq_remote_run(struct gq_remote *remote);
gq_status __wrap_gq_remote_run(struct gq_remote *remote);

gq_status __wrap_gq_remote_run(struct gq_remote *remote)
{
    asked = remote->keeper ? 0 : remote->process.pid;
    of = OF_TRIAL;
    const gq_status status = __real_gq_remote_run(remote);
    asked = 0;
    return status;
}

static void *send_first(void *q)
{
    const QueueStatus status = q_enqueue(q, "m", 1, NULL, 100);
    REQUIRE(fault_allowed(status), "a thread's first message: %d", status);
    return NULL;
}

gq_status __real_gq_remote_succeed(struct gq_remote *remote);
gq_status __wrap_gq_remote_succeed(struct gq_remote *remote);

gq_status __wrap_gq_remote_succeed(struct gq_remote *remote)
{
    pthread_t other;
    GpuQueue *q = __atomic_exchange_n(&late, NULL, __ATOMIC_ACQ_REL);
    if (q)
        REQUIRE(pthread_create(&other, NULL, send_first, q) == 0 && pthread_join(other, NULL) == 0, "a thread");
    while (__atomic_load_n(&gate, __ATOMIC_ACQUIRE))
        usleep(200);
    asked = remote->process.pid;
    of = OF_EPOCH;
    const gq_status status = __real_gq_remote_succeed(remote);
    if (q && !remote->last_word[0]) /* else it stood still before it had answered, and was ended */
        REQUIRE(stands_still(asked), "the worker met no message");
    asked = 0;
    return status;
}

/* --- pipelines -------------------------------------------------------------------------------------------------------
 */

static void note(void *context, const char *sentence)
{
    (void)context;
    if (strstr(sentence, "did not answer"))
        __atomic_fetch_add(&said_impatient, 1, __ATOMIC_RELAXED);
}

static gq_pipeline *open_pipeline(const char *timeout)
{
    char text[512];
    snprintf(text, sizeof text,
             "version: 1\nbackend: cpu\nqueue: { capacity: 16, slot_bytes: 16 }\ncpu: { threads: 2 }\n"
             "stages: [{ name: s, plugin: '%s/a.cu', timeout: %s }]\non_error: { retries: 1 }\n"
             "swap: { rehearse: off }\n",
             folder, timeout);
    const gq_open_opts opts = {.size = sizeof opts, .path = "unanswered", .text = text, .note = note};
    return fault_start(&opts);
}

static void send_one(gq_pipeline *p, const char *kind)
{
    REQUIRE(q_enqueue(gq_queue(p), kind, 1, NULL, 0) == Q_OK, "enqueue");
}

static QResult take(gq_pipeline *p)
{
    QResult r;
    size_t count;
    GpuQueue *q = gq_queue(p);
    REQUIRE(q_peek_any(q, &r, 1, &count, 60000) == Q_OK && q_release(q, &r, 1) == Q_OK, "%s", q_last_error());
    return r;
}

static void forget_lost(void)
{
    for (uint32_t i = 0; i < STARTS; i++)
        __atomic_store_n(&lost[i], 0, __ATOMIC_RELEASE);
}

static void await_lost(uint32_t start)
{
    const uint64_t deadline = gq_clock_deadline(30000);
    while (__atomic_load_n(&lost[start], __ATOMIC_ACQUIRE) == 0)
        REQUIRE(!gq_clock_past(deadline) && usleep(1000) == 0, "no worker stood still before it had answered");
}

/* --- the stage's timeout -------------------------------------------------------------------------------------------
 */

/* Of so many messages of which HUNG stop their worker. */
static void expect(gq_pipeline *p, uint32_t messages, uint64_t since)
{
    uint32_t hung = 0;
    for (uint32_t i = 0; i < messages; i++) {
        const QResult r = take(p);
        REQUIRE(r.status == Q_RESULT_OK || (r.status == Q_RESULT_FAULTED && r.code == GQ_FAULT_TIME),
                "status %u, code %u", r.status, r.code);
        hung += r.status != Q_RESULT_OK;
    }
    const uint64_t ns = gq_clock_ns() - since;
    REQUIRE(hung == HUNG, "%u messages were given up", hung);
    REQUIRE(ns < LONG_NS, "that took %" PRIu64 " ms", ns / 1000000);
    REQUIRE(__atomic_load_n(&said_impatient, __ATOMIC_RELAXED) == 0, "a message is its stage's timeout's to end");
    REQUIRE(gq_stop(p, 20000) == GQ_OK, "%s", gq_last_error());
    gq_close(p);
}

static void it_holds_for_one_that_starts(void)
{
    gq_pipeline *p = open_pipeline("200ms");
    const uint64_t start = gq_clock_ns();
    forget_lost();
    __atomic_store_n(&loses, true, __ATOMIC_RELEASE);
    for (uint32_t i = 0; i < HUNG; i++) {
        send_one(p, "h");
        send_one(p, "m");
    }
    expect(p, 2 * HUNG, start);
    for (uint32_t i = 0; i < STARTS; i++)
        REQUIRE(__atomic_load_n(&lost[i], __ATOMIC_ACQUIRE) > 0, "no answer was lost of start %u", i);
    __atomic_store_n(&loses, false, __ATOMIC_RELEASE);
}

static void it_holds_for_one_that_is_given_lanes(void)
{
    gq_pipeline *p = open_pipeline("200ms");
    const uint64_t start = gq_clock_ns();
    __atomic_store_n(&late, gq_queue(p), __ATOMIC_RELEASE);
    for (uint32_t i = 0; i < HUNG; i++)
        send_one(p, "h");
    expect(p, HUNG + 1, start);
}

/* --- a stop ---------------------------------------------------------------------------------------------------------
 */

static void stop_in_time(gq_pipeline *p)
{
    const uint64_t start = gq_clock_ns();
    const gq_status status = gq_stop(p, DRAIN_MS);
    const uint64_t ns = gq_clock_ns() - start;
    REQUIRE(status == GQ_ERR_TIMEOUT, "a message that never ends: %s", gq_last_error());
    REQUIRE(ns < STOP_NS, "a stop within %u ms took %" PRIu64, DRAIN_MS, ns / 1000000);
}

static gq_pipeline *open_and_hang(void)
{
    gq_pipeline *p = open_pipeline("off");
    send_one(p, "h");
    REQUIRE(stands_still(fault_find("worker", 0)), "the worker did not meet its message");
    return p;
}

static void *swap_in_vain(void *p)
{
    char path[128];
    snprintf(path, sizeof path, "%s/b.cu", folder);
    const gq_swap_opts opts = {.size = sizeof opts, .plugin = path};
    REQUIRE(gq_swap(p, "s", &opts, NULL) == GQ_ERR_DEVICE, "a swap in a worker that stands still");
    return NULL;
}

/* It holds the lock as long as there is no answer. */
static void await_request(gq_pipeline *p)
{
    const uint64_t deadline = gq_clock_deadline(30000);
    while (pthread_mutex_trylock(&p->remote->lock) == 0) {
        pthread_mutex_unlock(&p->remote->lock);
        REQUIRE(!gq_clock_past(deadline) && usleep(1000) == 0, "no request");
    }
}

static void it_does_not_wait_for_a_request(void *(*ask)(void *), bool of_queue)
{
    pthread_t other;
    gq_pipeline *p = open_and_hang();
    REQUIRE(pthread_create(&other, NULL, ask, of_queue ? (void *)gq_queue(p) : (void *)p) == 0, "a thread");
    await_request(p);
    stop_in_time(p);
    pthread_join(other, NULL);
    gq_close(p);
}

static void it_does_not_wait_for_a_trial_that_starts(void)
{
    gq_pipeline *p = open_and_hang();
    forget_lost();
    __atomic_store_n(&loses, true, __ATOMIC_RELEASE);
    kill(fault_find("worker", 0), SIGKILL);
    await_lost(OF_TRIAL);
    stop_in_time(p);
    __atomic_store_n(&loses, false, __ATOMIC_RELEASE);
    gq_close(p);
}

static void it_does_not_wait_for_an_epoch_that_starts(void)
{
    gq_pipeline *p = open_pipeline("off");
    const pid_t first = fault_find("worker", 0);
    send_one(p, "m");
    take(p);
    forget_lost();
    __atomic_store_n(&loses, true, __ATOMIC_RELEASE);
    __atomic_store_n(&gate, true, __ATOMIC_RELEASE);
    kill(first, SIGKILL);
    while (kill(first, 0) == 0)
        usleep(200);
    send_one(p, "h");
    __atomic_store_n(&gate, false, __ATOMIC_RELEASE);
    await_lost(OF_EPOCH);
    stop_in_time(p);
    __atomic_store_n(&loses, false, __ATOMIC_RELEASE);
    gq_close(p);
}

int main(void)
{
    REQUIRE(place_make(folder, sizeof folder, "gpuq-unanswered"), "a folder");
    poison_write_text(folder, 'a', plugin);
    poison_write_text(folder, 'b', plugin);
    alarm(ROUND_S);
    it_holds_for_one_that_starts();
    it_holds_for_one_that_is_given_lanes();
    it_does_not_wait_for_a_request(send_first, true);
    it_does_not_wait_for_a_request(swap_in_vain, false);
    it_does_not_wait_for_a_trial_that_starts();
    it_does_not_wait_for_an_epoch_that_starts();
    return place_remove(folder) && fault_find_child() == 0 ? 0 : 1;
}
