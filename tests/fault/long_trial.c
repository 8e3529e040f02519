/* A message that may take as long as it likes is tried alone when its worker was killed, and everybody waits for that
 * with it. Who comes meanwhile does not: a thread's first message is accepted at once, and a stop ends in its time,
 * also when somebody is about to change the code, or when the trial is that of the version before.
 *
 * One thread comes when the next worker has been given the lanes that there were (--wrap).
 */
#include <gpuqueue/swap.h>
#include <pthread.h>
#include "pipeline/pipeline.h"
#include "poison.h"
#include "support.h"
#include "stress/place.h"

#define ROUND_S 100u
#define DRAIN_MS 200u

static char folder[64];
static GpuQueue *late; /* atomic; NULL: nobody comes late */

/* 'l' stays inside until it is over, and says whether that is in a trial. To the code 'b' it is poison. */
static const char plugin[] = "#include <gpuqueue/plugin.h>\n"
                             "#include <stdlib.h>\n#include <sys/stat.h>\n#include <unistd.h>\n"
                             "__device__ void process_message(const MsgView &in, ResultView *out)\n{\n"
                             "    if (CODE == 'b' && in.payload[0] == 'l') abort();\n"
                             "    if (in.payload[0] == 'l' && mkdir(FOLDER \"/inside\", 0700) != 0)\n"
                             "        mkdir(FOLDER \"/tried\", 0700);\n"
                             "    while (in.payload[0] == 'l' && access(FOLDER \"/over\", F_OK) != 0) usleep(1000);\n"
                             "    out->out[0] = in.payload[0];\n    *out->out_len = 1;\n}\n";

static gq_pipeline *open_pipeline(void)
{
    char text[512];
    snprintf(text, sizeof text,
             "version: 1\nbackend: cpu\nqueue: { capacity: 16, slot_bytes: 16 }\ncpu: { threads: 2 }\n"
             "stages: [{ name: s, plugin: '%s/a.cu', timeout: off }]\non_error: { retries: 1 }\n"
             "swap: { rehearse: off }\n",
             folder);
    const gq_open_opts opts = {.size = sizeof opts, .path = "long_trial", .text = text};
    return fault_start(&opts);
}

static const char *in_folder(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void await(const char *name)
{
    const uint64_t deadline = gq_clock_deadline(30000);
    while (access(in_folder(name), F_OK) != 0)
        REQUIRE(!gq_clock_past(deadline) && usleep(1000) == 0, "%s", name);
}

static void begin_trial(GpuQueue *q)
{
    REQUIRE(q_enqueue(q, "l", 1, NULL, 0) == Q_OK, "enqueue");
    await("inside");
    kill(fault_find("worker", 0), SIGKILL);
    await("tried");
}

static void forget(const char *name) { REQUIRE(rmdir(in_folder(name)) == 0, "%s", name); }

static void *send_first(void *q)
{
    REQUIRE(q_enqueue(q, "m", 1, NULL, 100) == Q_OK, "a thread's first message");
    return NULL;
}

static void send_from_another(GpuQueue *q)
{
    pthread_t other;
    REQUIRE(pthread_create(&other, NULL, send_first, q) == 0 && pthread_join(other, NULL) == 0, "a thread");
}

gq_status __real_gq_remote_succeed(struct gq_remote *remote);
gq_status __wrap_gq_remote_succeed(struct gq_remote *remote);

gq_status __wrap_gq_remote_succeed(struct gq_remote *remote)
{
    GpuQueue *q = __atomic_exchange_n(&late, NULL, __ATOMIC_ACQ_REL);
    if (q)
        send_from_another(q);
    return __real_gq_remote_succeed(remote);
}

static void a_thread_that_comes_is_not_held_up(void)
{
    QResult r;
    size_t count;
    gq_pipeline *p = open_pipeline();
    GpuQueue *q = gq_queue(p);
    begin_trial(q);
    send_from_another(q);
    __atomic_store_n(&late, q, __ATOMIC_RELEASE);
    REQUIRE(mkdir(in_folder("over"), 0700) == 0, "over");
    for (uint32_t i = 0; i < 3; i++) {
        REQUIRE(q_peek_any(q, &r, 1, &count, 30000) == Q_OK && r.status == Q_RESULT_OK, "result %u", i);
        REQUIRE(q_release(q, &r, 1) == Q_OK, "release");
    }
    gq_stats stats = {.size = sizeof stats};
    REQUIRE(gq_get_stats(p, &stats) == GQ_OK && stats.restarts == 1, "the worker did not know a lane");
    REQUIRE(gq_stop(p, 20000) == GQ_OK, "%s", gq_last_error());
    gq_close(p);
    forget("inside");
    forget("tried");
    forget("over");
}

static gq_status swap_to_b(gq_pipeline *p)
{
    char path[128];
    snprintf(path, sizeof path, "%s", in_folder("b.cu"));
    const gq_swap_opts opts = {.size = sizeof opts, .plugin = path};
    return gq_swap(p, "s", &opts, NULL);
}

static void *swap_in_vain(void *p)
{
    REQUIRE(swap_to_b(p) == GQ_ERR_DEVICE, "a swap to no worker");
    return NULL;
}

static void await_change(gq_pipeline *p)
{
    const uint64_t deadline = gq_clock_deadline(30000);
    while (pthread_mutex_trylock(&p->change_lock) == 0) {
        pthread_mutex_unlock(&p->change_lock);
        REQUIRE(!gq_clock_past(deadline) && usleep(1000) == 0, "nobody changes anything");
    }
}

static void stop_in_time(gq_pipeline *p)
{
    REQUIRE(gq_stop(p, DRAIN_MS) == GQ_ERR_TIMEOUT, "a message that is not over was finished");
    forget("inside");
}

static void a_stop_does_not_wait_for_a_change(void)
{
    pthread_t other;
    gq_pipeline *p = open_pipeline();
    begin_trial(gq_queue(p));
    REQUIRE(pthread_create(&other, NULL, swap_in_vain, p) == 0, "a thread");
    await_change(p);
    stop_in_time(p);
    pthread_join(other, NULL);
    gq_close(p);
    forget("tried");
}

static void a_stop_does_not_wait_for_the_code_before(void)
{
    gq_pipeline *p = open_pipeline();
    REQUIRE(swap_to_b(p) == GQ_OK, "%s", gq_last_error());
    REQUIRE(q_enqueue(gq_queue(p), "l", 1, NULL, 0) == Q_OK, "enqueue");
    await("inside"); /* of the first code, for the second serves nothing */
    stop_in_time(p);
    gq_close(p);
}

int main(void)
{
    REQUIRE(place_make(folder, sizeof folder, "gpuq-long-trial"), "a folder");
    poison_write_text(folder, 'a', plugin);
    poison_write_text(folder, 'b', plugin);
    alarm(ROUND_S);
    a_thread_that_comes_is_not_held_up();
    a_stop_does_not_wait_for_a_change();
    a_stop_does_not_wait_for_the_code_before();
    return place_remove(folder) && fault_find_child() == 0 ? 0 : 1;
}
