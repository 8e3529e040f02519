#include "base/thread.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

gq_status gq_thread_start(pthread_t *thread, void *(*run)(void *arg), void *arg, const char *what)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS};
    sigset_t blocked, before;
    sigfillset(&blocked);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        sigdelset(&blocked, faults[i]);
    pthread_sigmask(SIG_SETMASK, &blocked, &before); /* a new thread starts with its maker's mask */
    int err = pthread_create(thread, NULL, run, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return err ? gq_error_errno(GQ_ERR_NO_MEMORY, err, "no thread could be started for %s", what) : GQ_OK;
}

struct gq_thread_id gq_thread_self(void)
{
    struct gq_thread_id self = {.number = gettid()};
    return pthread_getcpuclockid(pthread_self(), &self.clock) == 0 ? self : (struct gq_thread_id){0};
}

/* Its state is the letter behind the name, which is in parentheses and may hold any. */
static bool is_runnable(pid_t number)
{
    char path[64], text[512] = "";
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)number);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    const ssize_t len = read(fd, text, sizeof text - 1);
    close(fd);
    const char *name_end = len > 0 ? strrchr(text, ')') : NULL;
    return name_end && strncmp(name_end, ") R", 3) == 0;
}

bool gq_thread_is_starved(struct gq_thread_id thread, uint64_t *ran_ns)
{
    struct timespec ran;
    if (!thread.number || clock_gettime(thread.clock, &ran) != 0)
        return false;
    const uint64_t before = *ran_ns;
    *ran_ns = (uint64_t)ran.tv_sec * UINT64_C(1000000000) + (uint64_t)ran.tv_nsec;
    return *ran_ns == before && is_runnable(thread.number);
}

void gq_aside_run(struct gq_aside *aside, void *(*run)(void *arg), void *arg, const char *what)
{
    gq_aside_finish(aside);
    aside->runs = gq_thread_start(&aside->thread, run, arg, what) == GQ_OK;
    if (!aside->runs)
        run(arg);
}

void gq_aside_finish(struct gq_aside *aside)
{
    if (aside->runs)
        pthread_join(aside->thread, NULL);
    aside->runs = false;
}
