/* Strikes of a storm: at every process that the library has started, and at what the system allows this one. */
#include "storm.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>

#define WORKERS 8u
#define CALM_MS 20u       /* between two strikes; who kills each worker at once gets what he wants */
#define FEW_FILES 6u      /* that may still be opened */
#define SMALL_FILE 16384u /* bytes */
#define WITHOUT_MS 60u

const char *const storm_strike_name[STORM_STRIKES] = {"worker killed",  "spare or trial killed", "worker stopped",
                                                      "builder killed", "no more files",         "no room in files"};

/* A worker that serves has several threads, a spare and one of a trial have one, beside that of their control. */
static bool serves(pid_t worker)
{
    char path[64];
    unsigned threads = 0;
    snprintf(path, sizeof path, "/proc/%d/task", (int)worker);
    DIR *folder = opendir(path);
    while (folder && readdir(folder))
        threads++;
    if (folder)
        closedir(folder);
    return threads > 2 + 2; /* with `.` and `..` */
}

static pid_t find_worker(bool serving)
{
    pid_t found[WORKERS];
    const size_t count = fault_list("worker", found, WORKERS);
    for (size_t i = 0; i < count; i++)
        if (serves(found[i]) == serving)
            return found[i];
    return 0;
}

static bool kill_one(struct storm *s, enum storm_strike strike, pid_t pid, int signal)
{
    const bool struck = pid > 0 && fault_kill(pid, signal) == 0;
    storm_count(&s->struck[strike], struck);
    return struck;
}

static void stop_worker(struct storm *s, uint64_t *dice)
{
    const pid_t worker = find_worker(payload_dice(dice) % 4 != 0);
    if (!kill_one(s, STORM_STOP_WORKER, worker, SIGSTOP))
        return;
    usleep((useconds_t)(payload_dice(dice) % WITHOUT_MS) * 1000);
    kill(worker, SIGCONT); /* ours still, or a zombie: it is not reaped so soon after it was ended */
}

/* For a short time the system gives no more, and meanwhile a worker dies. */
static void starve(struct storm *s, enum storm_strike strike, uint64_t *dice)
{
    const __rlimit_resource_t resource = strike == STORM_NO_FILES ? RLIMIT_NOFILE : RLIMIT_FSIZE;
    struct rlimit usual, little;
    const pid_t worker = find_worker(true);
    const int lowest = open("/dev/null", O_RDONLY | O_CLOEXEC);
    REQUIRE(lowest >= 0 && close(lowest) == 0 && getrlimit(resource, &usual) == 0, "the limit");
    little = usual;
    little.rlim_cur =
        strike == STORM_NO_FILES ? (rlim_t)lowest + payload_dice(dice) % FEW_FILES : payload_dice(dice) % SMALL_FILE;
    REQUIRE(setrlimit(resource, &little) == 0, "a lower limit");
    if (payload_dice(dice) % 2 && worker > 0)
        kill(worker, SIGKILL);
    usleep((useconds_t)(payload_dice(dice) % WITHOUT_MS + 5) * 1000);
    REQUIRE(setrlimit(resource, &usual) == 0, "the limit again");
    storm_count(&s->struck[strike], 1);
}

static void strike_somewhere(struct storm *s, uint64_t *dice)
{
    static const int signals[] = {SIGKILL, SIGKILL, SIGSEGV, SIGABRT, SIGTERM};
    const uint64_t die = payload_dice(dice) % 16;
    if (die < 6)
        kill_one(s, STORM_KILL_SERVING, find_worker(true), signals[payload_dice(dice) % 5]);
    else if (die < 9)
        kill_one(s, STORM_KILL_BESIDE, find_worker(false), SIGKILL);
    else if (die < 11)
        stop_worker(s, dice);
    else if (die < 12)
        kill_one(s, STORM_KILL_BUILDER, fault_find("builder", 0), SIGKILL);
    else
        starve(s, die < 14 ? STORM_NO_FILES : STORM_NO_ROOM, dice);
}

/* Until somebody has had results again: else nobody could say that it is the strikes which nobody survives. */
static void wait_for_results(const struct storm *s)
{
    const uint64_t before = storm_load(&s->checked);
    while (storm_load(&s->checked) == before && !storm_is_over(s))
        usleep(1000);
}

void *storm_strike(void *storm)
{
    struct storm *s = storm;
    uint64_t dice = payload_mix(s->seed ^ 0x57121e) | 1;
    while (!storm_is_over(s)) {
        strike_somewhere(s, &dice);
        wait_for_results(s);
        usleep((useconds_t)(payload_dice(&dice) % (2 * CALM_MS)) * 1000);
    }
    return NULL;
}
