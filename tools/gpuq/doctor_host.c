#include "doctor.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <gpuqueue/version.h>
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/channel.h"
#include "base/error.h"
#include "base/file.h"
#include "base/process.h"
#include "build/cache.h"
#include "build/jail.h"

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif
#define ANSWER_MS 5000

extern char **environ;

/* --- the worker program ----------------------------------------------------------------------------------------------
 */

/* Starts the worker with `version`, which sends its version and ends. */
static gq_status ask_worker(const char *path, char answer[64])
{
    char name[] = "gpuq-worker", word[] = "version";
    char *argv[] = {name, word, NULL};
    struct gq_process process;
    size_t len = 0, fd_count = 0;
    int fds[GQ_CHANNEL_FDS_MAX];
    gq_status status = gq_process_start(path, argv, &process);
    if (status != GQ_OK)
        return status;
    status = gq_channel_receive(process.channel, answer, 63, &len, fds, &fd_count, ANSWER_MS);
    for (size_t i = 0; i < fd_count; i++)
        close(fds[i]);
    gq_process_end(&process, ANSWER_MS);
    answer[len] = '\0';
    return status == GQ_OK && len == 0 ? gq_error_set(GQ_ERR_UNAVAILABLE, "it ended without an answer") : status;
}

void doctor_check_worker(struct doctor *d)
{
    struct gq_text path = {0};
    char answer[64] = "";
    if (gq_process_find("gpuq-worker", &path) != GQ_OK)
        doctor_add(d, DOCTOR_FAIL, "worker", "install gpuqueue whole, or set GPUQ_WORKER", "%s", gq_error_text());
    else if (ask_worker(path.data, answer) != GQ_OK)
        doctor_add(d, DOCTOR_FAIL, "worker", "no pipeline can run without it; install gpuqueue again",
                   "%s does not answer: %s", path.data, gq_error_text());
    else if (strcmp(answer, GQ_VERSION) != 0)
        doctor_add(d, DOCTOR_FAIL, "worker", "install both from one build", "%s is version %s, gpuq is %s", path.data,
                   answer, GQ_VERSION);
    else
        doctor_add(d, DOCTOR_OK, "worker", NULL, "%s answers", path.data);
    gq_text_finish(&path);
}

/* --- the compiler ----------------------------------------------------------------------------------------------------
 */

/* Reads what the program prints until it ends, at most cap - 1 bytes, and cuts that to its first line. */
static void read_line(int fd, char *line, size_t cap)
{
    size_t len = 0;
    ssize_t n = 1;
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    while (len + 1 < cap && n > 0 && poll(&ready, 1, ANSWER_MS) > 0) {
        n = read(fd, line + len, cap - 1 - len);
        len += n > 0 ? (size_t)n : 0;
    }
    line[len] = '\0';
    line[strcspn(line, "\n")] = '\0';
}

static bool spawn_version(const char *program, int out, pid_t *pid)
{
    char name[256], option[] = "--version";
    if (strlen(program) >= sizeof name)
        return false;
    memcpy(name, program, strlen(program) + 1);
    char *argv[] = {name, option, NULL};
    posix_spawn_file_actions_t actions;
    if (posix_spawn_file_actions_init(&actions) != 0)
        return false;
    bool started = posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO) == 0 &&
                   posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0) == 0 &&
                   posix_spawnp(pid, name, &actions, NULL, argv, environ) == 0;
    posix_spawn_file_actions_destroy(&actions);
    return started;
}

/* The first line that `program --version` prints; false when it cannot be run. */
static bool version_line(const char *program, char *line, size_t cap)
{
    int pipe_ends[2], status = -1;
    pid_t pid = 0;
    if (pipe2(pipe_ends, O_CLOEXEC) != 0)
        return false;
    bool started = spawn_version(program, pipe_ends[1], &pid);
    close(pipe_ends[1]);
    if (started)
        read_line(pipe_ends[0], line, cap);
    close(pipe_ends[0]);
    if (!started)
        return false;
    kill(pid, SIGKILL); /* it has ended, or had its time */
    waitpid(pid, &status, 0);
    return *line != '\0';
}

void doctor_check_compiler(struct doctor *d)
{
    static const char *const names[] = {"c++", "g++", "clang++"};
    char line[256];
    const char *chosen = getenv("GPUQ_CXX");
    if (chosen && *chosen) {
        if (version_line(chosen, line, sizeof line))
            doctor_add(d, DOCTOR_OK, "compiler", NULL, "%s (GPUQ_CXX): %s", chosen, line);
        else
            doctor_add(d, DOCTOR_FAIL, "compiler", "correct GPUQ_CXX, or unset it", "GPUQ_CXX=%s cannot be run",
                       chosen);
        return;
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (version_line(names[i], line, sizeof line)) {
            doctor_add(d, DOCTOR_OK, "compiler", NULL, "%s: %s", names[i], line);
            return;
        }
    doctor_add(d, DOCTOR_FAIL, "compiler", "the CPU backend compiles plugins with it; install one: apt-get install g++",
               "no C++ compiler: neither c++, g++ nor clang++ is in PATH");
}

/* --- the kernel ------------------------------------------------------------------------------------------------------
 */

static bool memfd_works(void)
{
    int fd = memfd_create("gpuq-doctor", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    bool works = fd >= 0 && ftruncate(fd, 4096) == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE) == 0;
    if (fd >= 0)
        close(fd);
    return works;
}

static bool futex_works(void)
{
    uint32_t word = 0;
    return syscall(SYS_futex, &word, FUTEX_WAKE, 1, NULL, NULL, 0) == 0;
}

static bool pidfd_works(void)
{
    int fd = (int)syscall(SYS_pidfd_open, getpid(), 0);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

void doctor_check_system(struct doctor *d)
{
    if (!memfd_works())
        doctor_add(d, DOCTOR_FAIL, "system", "the ring lives in sealed shared memory: Linux 5.1 or later is needed",
                   "memfd_create with F_SEAL_FUTURE_WRITE does not work: %s", strerror(errno));
    else if (!futex_works())
        doctor_add(d, DOCTOR_FAIL, "system", "a sandbox that forbids futex cannot run gpuqueue",
                   "futex does not work: %s", strerror(errno));
    else if (!pidfd_works())
        doctor_add(d, DOCTOR_NOTE, "system", "the end of a worker is noticed by polling, up to 50 ms later",
                   "memfd and futex work; pidfd_open does not: %s", strerror(errno));
    else
        doctor_add(d, DOCTOR_OK, "system", NULL, "memfd, seals, futex and pidfd work");
}

void doctor_check_jail(struct doctor *d)
{
    int version = gq_jail_version();
    if (version == 0)
        doctor_add(d, DOCTOR_NOTE, "jail",
                   "a plugin can include any file that you can read; boot with Landlock (lsm=landlock,...), Linux 5.13",
                   "the kernel has no Landlock to keep compilers in their folders");
    else
        doctor_add(d, DOCTOR_OK, "jail", NULL, "Landlock %d keeps compilers in their folders%s", version,
                   version < 4 ? ", not off the network (Linux 6.7)" : "");
}

void doctor_check_machine(struct doctor *d)
{
    cpu_set_t set;
    int cores = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    long page = sysconf(_SC_PAGESIZE), pages = sysconf(_SC_PHYS_PAGES), free_pages = sysconf(_SC_AVPHYS_PAGES);
    double gib = (double)page / (1024.0 * 1024.0 * 1024.0);
    if (cores > 1)
        doctor_add(d, DOCTOR_OK, "machine", NULL, "%d processors, %.1f GiB memory, %.1f GiB free", cores,
                   (double)pages * gib, (double)free_pages * gib);
    else
        doctor_add(d, DOCTOR_NOTE, "machine",
                   "host and worker take turns on it; rates are well below those of two processors",
                   "1 processor, %.1f GiB memory, %.1f GiB free", (double)pages * gib, (double)free_pages * gib);
}

/* --- the cache of compiled plugins -----------------------------------------------------------------------------------
 */

static size_t count_entries(const char *folder)
{
    size_t count = 0;
    DIR *dir = opendir(folder);
    for (const struct dirent *e = dir ? readdir(dir) : NULL; e; e = readdir(dir))
        count += e->d_name[0] != '.';
    if (dir)
        closedir(dir);
    return count;
}

/* Where nobody asked for one, a run does without. */
static void refuse_cache(struct doctor *d, gq_status status)
{
    const char *chosen = getenv("GPUQ_CACHE");
    if (status == GQ_ERR_IO && !(chosen && *chosen))
        doctor_add(d, DOCTOR_NOTE, "cache",
                   "plugins are compiled again for each run; GPUQ_CACHE=FOLDER chooses another place", "%s",
                   gq_error_text());
    else
        doctor_add(d, DOCTOR_FAIL, "cache", "every run is refused; set GPUQ_CACHE to another folder, or to off", "%s",
                   gq_error_text());
}

void doctor_check_cache(struct doctor *d)
{
    struct gq_text folder = {0};
    const char *chosen = getenv("GPUQ_CACHE");
    gq_cache_locate(NULL, &folder);
    const gq_status status = folder.len ? gq_cache_prepare(folder.data) : GQ_OK;
    if (status != GQ_OK)
        refuse_cache(d, status);
    else if (folder.len)
        doctor_add(d, DOCTOR_OK, "cache", NULL, "%s, writable, entries: %zu", folder.data, count_entries(folder.data));
    else if (chosen && strcmp(chosen, "off") == 0)
        doctor_add(d, DOCTOR_NOTE, "cache", "plugins are compiled again for each run", "GPUQ_CACHE=off");
    else
        doctor_add(d, DOCTOR_NOTE, "cache",
                   "plugins are compiled again for each run; set HOME, XDG_CACHE_HOME or GPUQ_CACHE",
                   "neither HOME nor XDG_CACHE_HOME is set to an absolute path");
    gq_text_finish(&folder);
}
