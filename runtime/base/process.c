#include "base/process.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/dl.h"
#include "base/file.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

#ifndef GQ_LIBEXEC_DIR
#define GQ_LIBEXEC_DIR "/usr/local/libexec/gpuqueue"
#endif

/* True, with the candidate in `path`, when `folder/name` can be executed; else the candidate joins `tried`, which has
 * failed when memory ran out for any. */
static bool try_folder(const char *folder, const char *name, struct gq_text *path, struct gq_text *tried)
{
    gq_text_clear(path);
    gq_text_printf(path, "%s/%s", folder, name);
    if (!path->failed && access(path->data, X_OK) == 0)
        return true;
    tried->failed |= path->failed;
    gq_text_printf(tried, "%s%s", tried->len ? ", " : "", gq_text_str(path));
    return false;
}

static bool try_beside(const char *file, const char *name, struct gq_text *path, struct gq_text *tried)
{
    char *folder = gq_path_folder(file);
    tried->failed |= !folder;
    if (!folder)
        return false;
    struct gq_text other = {0};
    gq_text_printf(&other, "%s/../libexec/gpuqueue", folder);
    bool found = try_folder(folder, name, path, tried) || try_folder(gq_text_str(&other), name, path, tried);
    if (!found) {
        gq_text_clear(&other);
        gq_text_printf(&other, "%s/../bin", folder);
        found = try_folder(gq_text_str(&other), name, path, tried);
    }
    tried->failed |= other.failed;
    gq_text_finish(&other);
    free(folder);
    return found;
}

static gq_status out_of_memory(const char *name)
{
    return gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for the path of %s", name);
}

gq_status gq_process_find(const char *name, struct gq_text *path)
{
    const char *chosen = secure_getenv("GPUQ_WORKER");
    if (chosen && strcmp(name, "gpuq-worker") == 0) {
        gq_text_clear(path);
        gq_text_puts(path, chosen);
        if (access(chosen, X_OK) != 0)
            return gq_error_errno(GQ_ERR_UNAVAILABLE, errno, "GPUQ_WORKER=%s cannot be executed", chosen);
        return path->failed ? out_of_memory(name) : GQ_OK;
    }
    struct gq_text tried = {0};
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    self[n > 0 ? n : 0] = '\0';
    bool found = (n > 0 && try_beside(self, name, path, &tried)) ||
                 (gq_dl_self(self, sizeof self) && try_beside(self, name, path, &tried)) ||
                 try_folder(GQ_LIBEXEC_DIR, name, path, &tried);
    gq_status status = GQ_OK;
    if (tried.failed) /* nor is one that was found behind it the one that was meant */
        status = out_of_memory(name);
    else if (!found)
        status = gq_error_set(GQ_ERR_UNAVAILABLE, "%s was not found; looked at %s; set GPUQ_WORKER to its path", name,
                              gq_text_str(&tried));
    gq_text_finish(&tried);
    return status;
}

/* What a child may know of ours. CUDA_INJECTION64_PATH and LD_* are not here: they name code to be loaded. */
static bool kept(const char *entry)
{
    static const char *const names[] = {
        "PATH=",
        "HOME=",
        "LANG=",
        "LC_ALL=",
        "TMPDIR=",
        "XDG_CACHE_HOME=",
        "CUDA_VISIBLE_DEVICES=",
        "CUDA_DEVICE_ORDER=",
        "CUDA_MODULE_LOADING=",
        "CUDA_CACHE_DISABLE=",
        "CUDA_CACHE_PATH=",
        "CUDA_CACHE_MAXSIZE=",
        "CUDA_MPS_PIPE_DIRECTORY=",
        "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE=",
        "NVIDIA_VISIBLE_DEVICES=",
        "NVIDIA_DRIVER_CAPABILITIES=",
        "ASAN_OPTIONS=",
        "UBSAN_OPTIONS=",
        "TSAN_OPTIONS=",
        "LSAN_OPTIONS=",
    };
    if (strncmp(entry, "GPUQ_", 5) == 0)
        return true;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strncmp(entry, names[i], strlen(names[i])) == 0)
            return true;
    return false;
}

static char **build_environment(void)
{
    size_t count = 0, n = 0;
    while (environ && environ[count])
        count++;
    char **env = calloc(count + 1, sizeof *env);
    for (size_t i = 0; env && i < count; i++)
        if (kept(environ[i]))
            env[n++] = environ[i];
    return env;
}

/* The channel becomes descriptor 3, and nothing of the application's passes beyond it: a pipe that the child held open
 * would never end for its reader. What the child prints goes to standard error, whatever program it turns out to be:
 * standard output holds a pipeline's results. posix_spawn performs the actions in order, and dup2 onto itself clears
 * close-on-exec. */
static int spawn(const char *path, char *const argv[], char *const env[], int child_end, pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    int err = posix_spawn_file_actions_init(&actions);
    if (err)
        return err;
    err = posix_spawnattr_init(&attributes);
    if (!err) {
        posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
        posix_spawnattr_setsigmask(&attributes, &none);
        posix_spawnattr_setsigdefault(&attributes, &all);
        posix_spawnattr_setpgroup(&attributes, 0);
        err = posix_spawn_file_actions_adddup2(&actions, child_end, 3);
        if (!err)
            err = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
        if (!err && fcntl(STDERR_FILENO, F_GETFD) >= 0)
            err = posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
        else if (!err)
            err = posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
        if (!err)
            err = posix_spawn_file_actions_addclosefrom_np(&actions, 4);
        if (!err)
            err = posix_spawn(pid, path, &actions, &attributes, argv, env);
        posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(&actions);
    return err;
}

gq_status gq_process_start(const char *path, char *const argv[], struct gq_process *out)
{
    *out = (struct gq_process){.channel = -1};
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return gq_error_errno(GQ_ERR_NO_MEMORY, errno, "starting %s: socketpair", path);
    char **env = build_environment();
    int err = env ? spawn(path, argv, env, pair[1], &out->pid) : ENOMEM;
    free(env);
    close(pair[1]);
    if (err) {
        close(pair[0]);
        out->pid = 0;
        return gq_error_errno(GQ_ERR_UNAVAILABLE, err, "starting %s", path);
    }
    out->channel = pair[0];
    return GQ_OK;
}

bool gq_process_wait(struct gq_process *p, uint32_t timeout_ms, int *wait_status)
{
    gq_assert(p->pid > 0);
    uint64_t deadline = gq_clock_deadline(timeout_ms);
    int fd = (int)syscall(SYS_pidfd_open, p->pid, 0);
    for (;;) {
        pid_t got = waitpid(p->pid, wait_status, WNOHANG);
        if (got == p->pid || (got < 0 && errno == ECHILD)) {
            if (got < 0)
                *wait_status = 0; /* somebody else's SIGCHLD handling reaped it */
            p->pid = 0;
            break;
        }
        if (gq_clock_past(deadline))
            break;
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        poll(&ready, 1, fd < 0 ? 1 : gq_clock_poll_ms(deadline));
    }
    if (fd >= 0)
        close(fd);
    return p->pid == 0;
}

void gq_process_end(struct gq_process *p, uint32_t grace_ms)
{
    int status;
    if (p->channel >= 0)
        close(p->channel);
    p->channel = -1;
    if (p->pid <= 0 || gq_process_wait(p, grace_ms, &status))
        return;
    kill(p->pid, SIGKILL);
    gq_process_wait(p, GQ_MS_FOREVER, &status);
}

const char *gq_signal_name(int signal)
{
    static _Thread_local char text[32];
    const char *name = sigabbrev_np(signal);
    if (name)
        snprintf(text, sizeof text, "SIG%s", name);
    else
        snprintf(text, sizeof text, "signal %d", signal);
    return text;
}

void gq_process_describe(int wait_status, struct gq_text *out)
{
    if (WIFSIGNALED(wait_status))
        gq_text_printf(out, "was killed by %s", gq_signal_name(WTERMSIG(wait_status)));
    else
        gq_text_printf(out, "exited with code %d", WEXITSTATUS(wait_status));
}

void gq_process_doubt(struct gq_text *out)
{
    const char *chosen = secure_getenv("GPUQ_WORKER");
    if (chosen)
        gq_text_printf(out, "; GPUQ_WORKER=%s was started for it, and must be a gpuq-worker of this release", chosen);
}
