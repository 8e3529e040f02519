/* A worker has let go of its channel, and the system takes its time to let go of the process; or the process is gone,
 * and a child that a plugin made holds the channel. Who asks the worker for something then waits for its end, and for
 * no longer: a lane is the next worker's, and so is a change, and no message is taken to hang.
 *
 * One is killed when it is about to be told to start (--wrap): the next one, which runs already, is not told again.
 */
#include <gpuqueue/swap.h>
#include <pthread.h>
#include <sys/stat.h>
#include "pipeline/pipeline.h"
#include "poison.h"
#include "support.h"
#include "stress/place.h"

#define ROUND_S 100u
#define WHILE_MS 3000u /* that a worker takes to end; a child holds its channel until the test is over */

static char folder[64];
static bool strike;

/* 'k' ends its worker, once; 'f' leaves a child. */
static const char plugin[] = "#include <gpuqueue/plugin.h>\n"
                             "#include <signal.h>\n#include <stdlib.h>\n#include <sys/stat.h>\n#include <unistd.h>\n"
                             "__device__ void process_message(const MsgView &in, ResultView *out)\n{\n"
                             "    if (in.payload[0] == 'k' && mkdir(FOLDER \"/met\", 0700) == 0) raise(SIGKILL);\n"
                             "    if (in.payload[0] == 'f' && fork() == 0) {\n"
                             "        while (access(FOLDER \"/f.cu\", F_OK) == 0) usleep(10000);\n"
                             "        _exit(0);\n    }\n"
                             "    out->out[0] = in.payload[0];\n    *out->out_len = 1;\n}\n";

static const char *in_folder(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

/* Beside the worker that it started and that ended, it lives on until there is a file. */
static void write_slow_worker(const char *worker)
{
    FILE *file = poison_create(folder, "slow-worker");
    fprintf(file,
            "#!/bin/sh\n'%s' \"$1\" &\nexec 3>&-\nwait $!\ncode=$?\n[ \"$1\" = worker ] || exit $code\n"
            "while [ ! -e '%s/bury' ]; do sleep 0.05; done\nexit $code\n",
            worker, folder);
    REQUIRE(fclose(file) == 0 && chmod(in_folder("slow-worker"), 0700) == 0, "slow-worker");
}

static gq_pipeline *open_pipeline(const char *timeout)
{
    char text[512];
    snprintf(
        text, sizeof text,
        "version: 1\nbackend: cpu\nqueue: { capacity: 16, slot_bytes: 16 }\ncpu: { threads: 2 }\n"
        "stages: [{ name: s, plugin: '%s/f.cu', timeout: %s }]\non_error: { retries: 1 }\nswap: { rehearse: off }\n",
        folder, timeout);
    const gq_open_opts opts = {.size = sizeof opts, .path = "slow_death", .text = text};
    return fault_start(&opts);
}

static void await(const char *name)
{
    const uint64_t deadline = gq_clock_deadline(30000);
    while (access(in_folder(name), F_OK) != 0)
        REQUIRE(!gq_clock_past(deadline) && usleep(1000) == 0, "%s", name);
}

static void *send_first(void *q)
{
    REQUIRE(q_enqueue(q, "m", 1, NULL, 100) == Q_OK, "a thread's first message");
    return NULL;
}

static gq_status swap_to(gq_pipeline *p, const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    const gq_swap_opts opts = {.size = sizeof opts, .plugin = path};
    return gq_swap(p, "s", &opts, NULL);
}

static void *swap_meanwhile(void *p)
{
    REQUIRE(swap_to(p, "g.cu") == GQ_OK, "a swap beside a worker that ends: %s", gq_last_error());
    return NULL;
}

static void take(GpuQueue *q, uint32_t results)
{
    QResult r;
    size_t count;
    for (uint32_t i = 0; i < results; i++) {
        REQUIRE(q_peek_any(q, &r, 1, &count, 30000) == Q_OK && r.status == Q_RESULT_OK, "result %u", i);
        REQUIRE(q_release(q, &r, 1) == Q_OK, "release");
    }
}

static void finish(gq_pipeline *p)
{
    gq_stats stats = {.size = sizeof stats};
    REQUIRE(gq_get_stats(p, &stats) == GQ_OK && stats.restarts == 1, "%" PRIu64 " took over", stats.restarts);
    REQUIRE(gq_stop(p, 20000) == GQ_OK, "%s", gq_last_error());
    gq_close(p);
}

static void a_worker_ends_slowly(void)
{
    char usual[512];
    pthread_t sender, changer;
    snprintf(usual, sizeof usual, "%s", getenv("GPUQ_WORKER"));
    write_slow_worker(usual);
    setenv("GPUQ_WORKER", in_folder("slow-worker"), 1);
    gq_pipeline *p = open_pipeline("1s");
    /* A compiler may take longer than the worker does to end. */
    REQUIRE(swap_to(p, "g.cu") == GQ_OK && swap_to(p, "f.cu") == GQ_OK, "%s", gq_last_error());
    REQUIRE(q_enqueue(gq_queue(p), "k", 1, NULL, 0) == Q_OK, "enqueue");
    await("met");
    REQUIRE(pthread_create(&sender, NULL, send_first, gq_queue(p)) == 0, "a thread");
    REQUIRE(pthread_create(&changer, NULL, swap_meanwhile, p) == 0, "a thread");
    pthread_join(sender, NULL);
    usleep(WHILE_MS * 1000);
    fclose(poison_create(folder, "bury"));
    pthread_join(changer, NULL);
    take(gq_queue(p), 2);
    finish(p);
    setenv("GPUQ_WORKER", usual, 1);
}

/* The request waits for its answer when the worker is killed. */
static void a_child_holds_the_channel(void)
{
    pthread_t sender;
    gq_pipeline *p = open_pipeline("off");
    const uint64_t deadline = gq_clock_deadline(30000);
    REQUIRE(q_enqueue(gq_queue(p), "f", 1, NULL, 0) == Q_OK, "enqueue");
    take(gq_queue(p), 1);
    const pid_t worker = fault_find("worker", 0);
    fault_stop(worker);
    REQUIRE(pthread_create(&sender, NULL, send_first, gq_queue(p)) == 0, "a thread");
    while (pthread_mutex_trylock(&p->remote->lock) == 0) {
        pthread_mutex_unlock(&p->remote->lock);
        REQUIRE(!gq_clock_past(deadline) && usleep(1000) == 0, "no request");
    }
    const uint64_t start = gq_clock_ns();
    kill(worker, SIGKILL);
    pthread_join(sender, NULL);
    take(gq_queue(p), 1);
    REQUIRE(gq_clock_ns() - start < 20000000000u, "a dead worker's answer was waited for");
    finish(p);
}

void __real_gq_supervisor_arm(struct gq_supervisor *s);
void __wrap_gq_supervisor_arm(struct gq_supervisor *s);

static bool is_renewed(struct gq_remote *remote)
{
    pthread_mutex_lock(&remote->lock);
    const bool renewed = gq_remote_deaths(remote) > 0 && !remote->away;
    pthread_mutex_unlock(&remote->lock);
    return renewed;
}

void __wrap_gq_supervisor_arm(struct gq_supervisor *s)
{
    const uint64_t deadline = gq_clock_deadline(30000);
    __real_gq_supervisor_arm(s);
    if (!strike)
        return;
    kill(fault_find("worker", 0), SIGKILL);
    while (!is_renewed(s->p->remote))
        REQUIRE(!gq_clock_past(deadline) && usleep(1000) == 0, "no other worker took over");
}

static void one_dies_before_it_starts(void)
{
    strike = true;
    gq_pipeline *p = open_pipeline("off");
    strike = false;
    REQUIRE(q_enqueue(gq_queue(p), "m", 1, NULL, 0) == Q_OK, "enqueue");
    take(gq_queue(p), 1);
    finish(p);
}

int main(void)
{
    REQUIRE(place_make(folder, sizeof folder, "gpuq-slow-death"), "a folder");
    poison_write_text(folder, 'f', plugin);
    poison_write_text(folder, 'g', plugin);
    alarm(ROUND_S);
    a_worker_ends_slowly();
    a_child_holds_the_channel();
    one_dies_before_it_starts();
    return place_remove(folder) && fault_find_child() == 0 ? 0 : 1;
}
