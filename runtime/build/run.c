#include "build/run.h"
#include "base/clock.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static _Noreturn void fail_to_start(int tell)
{
    const int err = errno;
    ssize_t written = write(tell, &err, sizeof err);
    _exit(written == sizeof err ? 127 : 126);
}

/* In the child, between fork and exec: only calls that are safe there. What fails goes to `tell` as an errno; exec
 * closes that. */
static _Noreturn void become_compiler(const struct gq_run *run, int jail, char *const env[], int tell)
{
    signal(SIGTERM, SIG_DFL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    gq_jail_limit(RLIMIT_AS, GQ_JAIL_MEMORY_MAX);
    gq_jail_limit(RLIMIT_CPU, run->timeout_ms / 1000 + 2);
    int in = open("/dev/null", O_RDONLY), out = open(run->log, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (in < 0 || out < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0 || !gq_jail_enter(jail))
        fail_to_start(tell);
    if (tell != 3 && dup3(tell, 3, O_CLOEXEC) < 0)
        fail_to_start(tell);
    syscall(SYS_close_range, 4u, ~0u, 0u); /* descriptors of ours are close-on-exec already; this is for strangers' */
    execve(run->args[0], (char *const *)(uintptr_t)run->args, env);
    fail_to_start(3);
}

static void kill_group(int signal)
{
    (void)signal;
    kill(0, SIGKILL);
}

static _Noreturn void end_as(int wait_status)
{
    if (WIFSIGNALED(wait_status)) {
        signal(WTERMSIG(wait_status), SIG_DFL);
        kill(getpid(), WTERMSIG(wait_status));
    }
    _exit(WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 126);
}

/* In a child that leads the compiler's group, between fork and _exit: a compiler starts processes of its own, which
 * nobody would end if the builder is killed. This one hears of that, and ends the group. */
static _Noreturn void guard_compiler(const struct gq_run *run, int jail, char *const env[], int tell, pid_t builder)
{
    int wait_status = 0;
    setpgid(0, 0);
    signal(SIGTERM, kill_group);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != builder)
        _exit(126);
    const pid_t compiler = fork();
    if (compiler == 0)
        become_compiler(run, jail, env, tell);
    if (compiler < 0)
        fail_to_start(tell);
    syscall(SYS_close_range, 0u, ~0u, 0u); /* who waits for these to close waits for the compiler alone */
    while (waitpid(compiler, &wait_status, 0) < 0 && errno == EINTR)
        ;
    end_as(wait_status);
}

/* 0, or what kept the child from becoming the compiler. It says so at once: nothing in it waits. */
static int heard(int fd)
{
    int err = 0;
    ssize_t n;
    do
        n = read(fd, &err, sizeof err);
    while (n < 0 && errno == EINTR);
    return n == sizeof err ? err : 0;
}

static gq_status start_in(const struct gq_run *run, int jail, char *const env[], pid_t *child)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return gq_error_errno(GQ_ERR_NO_MEMORY, errno, "starting the compiler %s", run->jail.program);
    const pid_t builder = getpid();
    *child = fork();
    if (*child == 0)
        guard_compiler(run, jail, env, ends[1], builder);
    int err = *child < 0 ? errno : 0;
    close(ends[1]);
    if (*child > 0) {
        setpgid(*child, *child); /* the child does it too: whoever is first */
        err = heard(ends[0]);
    }
    close(ends[0]);
    if (!err)
        return GQ_OK;
    while (*child > 0 && waitpid(*child, NULL, 0) < 0 && errno == EINTR)
        ;
    return gq_error_errno(GQ_ERR_NO_MEMORY, err, "starting the compiler %s", run->jail.program);
}

static gq_status start(const struct gq_run *run, pid_t *child)
{
    static char path[4096], temporary[4096];
    const char *ours = getenv("PATH");
    int jail;
    gq_status status = gq_jail_open(&run->jail, &jail);
    if (status != GQ_OK)
        return status;
    snprintf(path, sizeof path, "PATH=%s", ours ? ours : "/usr/bin:/bin");
    snprintf(temporary, sizeof temporary, "TMPDIR=%s", run->jail.scratch);
    char language[] = "LC_ALL=C";
    char *env[] = {path, temporary, language, NULL};
    status = start_in(run, jail, env, child);
    if (jail >= 0)
        close(jail);
    return status;
}

static bool other_side_closed(int fd)
{
    struct pollfd p = {.fd = fd, .events = 0};
    return poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR | POLLNVAL));
}

static bool has_ended(pid_t child)
{
    siginfo_t info = {0};
    return waitid(P_PID, (id_t)child, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == child;
}

/* Kills what is left of the child and of what it started. It is reaped last: until then nobody else has its number. */
static gq_status stop(pid_t child, int *wait_status, gq_status status)
{
    kill(-child, SIGKILL);
    kill(child, SIGKILL);
    while (waitpid(child, wait_status, 0) < 0 && errno == EINTR)
        ;
    return status;
}

/* Until the child ends (then it is reaped), the deadline passes, or the other side of `watch` closes. */
static gq_status wait_for(const struct gq_run *run, pid_t child, int child_fd, int *wait_status)
{
    for (;;) {
        if (has_ended(child))
            return stop(child, wait_status, GQ_OK);
        if (other_side_closed(run->watch))
            return stop(child, wait_status, gq_error_set(GQ_ERR_SHUTDOWN, "nobody waits for this compile any more"));
        if (gq_clock_past(run->deadline_ns))
            return stop(child, wait_status,
                        gq_error_set(GQ_ERR_TIMEOUT, "the compiler did not finish within %u ms and was killed",
                                     run->timeout_ms));
        struct pollfd fds[2] = {{.fd = child_fd, .events = POLLIN}, {.fd = run->watch, .events = 0}};
        poll(fds, 2, child_fd < 0 ? 2 : 50);
    }
}

gq_status gq_run_compiler(const struct gq_run *run, int *wait_status)
{
    pid_t child = -1;
    gq_status status = start(run, &child);
    if (status != GQ_OK)
        return status;
    int child_fd = (int)syscall(SYS_pidfd_open, child, 0);
    status = wait_for(run, child, child_fd, wait_status);
    if (child_fd >= 0)
        close(child_fd);
    return status;
}
