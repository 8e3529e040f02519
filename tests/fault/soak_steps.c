/* Steps of a takeover that took long, told as they end, and workers that are killed late: the linker puts these in the
 * place of the functions. */
#include "soak.h"
#include "base/clock.h"
#include "pipeline/dying.h"
#include "pipeline/pipeline.h"
#include "pipeline/trial.h"
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define LONG_NS 20000000u

struct step {
    const char *name;
    uint64_t start_ns;
    int64_t pid; /* 0: of none */
};

static void tell_if_long(const struct step *step)
{
    const uint64_t ns = gq_clock_ns() - step->start_ns;
    if (ns > LONG_NS && step->pid)
        soak_tell("%s took %.1f ms, process %" PRId64, step->name, (double)ns * 1e-6, step->pid);
    else if (ns > LONG_NS)
        soak_tell("%s took %.1f ms", step->name, (double)ns * 1e-6);
}

/* 0: it has none, or somebody is busy with it. */
static pid_t pid_of(struct gq_remote *remote)
{
    if (!remote || pthread_mutex_trylock(&remote->lock) != 0)
        return 0;
    const pid_t pid = remote->process.pid;
    pthread_mutex_unlock(&remote->lock);
    return pid;
}

/* Told of when the block ends that it stands in. */
#define STEP_HERE(name, pid) \
    __attribute__((cleanup(tell_if_long), unused)) const struct step step = {name, gq_clock_ns(), pid}

/* `give` is return, or nothing where the function returns nothing. */
#define STEP(give, type, name, pid, parameters, ...) \
    type __real_##name parameters;                   \
    type __wrap_##name parameters;                   \
    type __wrap_##name parameters                    \
    {                                                \
        STEP_HERE(#name, pid);                       \
        give __real_##name(__VA_ARGS__);             \
    }

STEP(return, struct gq_process, gq_reserve_take, 0, (struct gq_reserve * reserve), reserve)
STEP(return, gq_status, gq_remote_begin, ready.pid, (struct gq_remote * remote, struct gq_process ready), remote, ready)
STEP(return, gq_status, gq_remote_load, pid_of(remote),
           (struct gq_remote * remote, const struct gq_image *image, const char *stage_name, uint32_t version,
            uint32_t generation, uint32_t blocks),
           remote, image, stage_name, version, generation, blocks)
STEP(return, gq_status, gq_remote_fit, pid_of(remote), (struct gq_remote * remote), remote)
STEP(return, gq_status, gq_remote_create, probed->pid,
           (const struct gq_conf *conf, enum gq_backend_kind backend, uint32_t threads, struct gq_versions *versions,
            const struct gq_remote_keeper *keeper, struct gq_process *probed, struct gq_remote **out),
           conf, backend, threads, versions, keeper, probed, out)
STEP(return, gq_status, gq_remote_take_over, pid_of(remote),
           (struct gq_remote * remote, struct gq_lane *lane, const struct gq_lane_range *range), remote, lane, range)
STEP(return, gq_status, gq_remote_add_window, pid_of(remote),
           (struct gq_remote * remote, const struct gq_lane *lane, const struct gq_lane_window *window,
            const struct gq_lane_range *range),
           remote, lane, window, range)
STEP(return, gq_status, gq_remote_run, pid_of(remote), (struct gq_remote * remote), remote)
STEP(return, gq_status, gq_remote_succeed, pid_of(remote), (struct gq_remote * remote), remote)
STEP(return, enum gq_verdict, gq_trial_run, pid_of(trial->remote),
           (struct gq_trial * trial, const struct gq_epoch_code *code, struct gq_trial_message *messages,
            uint32_t count, uint32_t *fault),
           trial, code, messages, count, fault)

STEP(return, gq_status, gq_remote_stop, pid_of(remote), (struct gq_remote * remote, uint32_t grace_ms), remote,
           grace_ms)

STEP(, void, gq_retire, pid_of(remote), (struct gq_retired * retired, struct gq_remote *remote), retired, remote)
STEP(, void, gq_process_end, p->pid, (struct gq_process * p, uint32_t grace_ms), p, grace_ms)

/* --- a worker that is killed late -----------------------------------------------------------------------------------
 */

static uint32_t late_ms;

void soak_kill_late(uint32_t ms) { late_ms = ms; }

void __real_gq_remote_end_watched(struct gq_remote *remote, const char *why);
void __wrap_gq_remote_end_watched(struct gq_remote *remote, const char *why);
void __wrap_gq_remote_end_watched(struct gq_remote *remote, const char *why)
{
    if (late_ms && remote->backend == GQ_BACKEND_CUDA)
        remote->ended_why = why; /* which makes it lost */
    else
        __real_gq_remote_end_watched(remote, why);
}

static void *kill_late(void *arg)
{
    const pid_t pid = (pid_t)(intptr_t)arg;
    usleep(late_ms * 1000);
    STEP_HERE("the end of one that was killed late", pid);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    return NULL;
}

void __real_gq_dying_take(struct gq_dying *dying, pid_t pid);
void __wrap_gq_dying_take(struct gq_dying *dying, pid_t pid);
void __wrap_gq_dying_take(struct gq_dying *dying, pid_t pid)
{
    STEP_HERE("gq_dying_take", pid);
    pthread_t thread;
    if (!late_ms) {
        __real_gq_dying_take(dying, pid);
        return;
    }
    REQUIRE(pthread_create(&thread, NULL, kill_late, (void *)(intptr_t)pid) == 0, "a thread");
    pthread_detach(thread);
}
