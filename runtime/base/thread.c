#include "base/thread.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define STACK_MIN (256u << 10)

/* The default is what the main thread's may grow to, which is meant for others (`ulimit -s`). */
static int init_attributes(pthread_attr_t *attributes)
{
    size_t bytes;
    int err = pthread_attr_init(attributes);
    if (err)
        return err;
    if (pthread_attr_getstacksize(attributes, &bytes) == 0 && bytes < STACK_MIN)
        err = pthread_attr_setstacksize(attributes, STACK_MIN);
    if (err)
        pthread_attr_destroy(attributes);
    return err;
}

gq_status gq_thread_start(pthread_t *thread, void *(*run)(void *arg), void *arg, const char *what)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS};
    sigset_t blocked, before;
    sigfillset(&blocked);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        sigdelset(&blocked, faults[i]);
    pthread_sigmask(SIG_SETMASK, &blocked, &before); /* a new thread starts with its maker's mask */
    pthread_attr_t attributes;
    int err = init_attributes(&attributes);
    if (!err) {
        err = pthread_create(thread, &attributes, run, arg);
        pthread_attr_destroy(&attributes);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return err ? gq_error_errno(GQ_ERR_NO_MEMORY, err, "no thread could be started for %s", what) : GQ_OK;
}

gq_status gq_thread_have_stacks(void)
{
    struct rlimit bound;
    pthread_attr_t attributes;
    if (getrlimit(RLIMIT_STACK, &bound) != 0 || bound.rlim_cur >= STACK_MIN)
        return GQ_OK;
    if (bound.rlim_max < STACK_MIN)
        return gq_error_set(GQ_ERR_NO_MEMORY, "RLIMIT_STACK, see `ulimit -s`, allows %llu KiB and %u are needed",
                            (unsigned long long)bound.rlim_max >> 10, STACK_MIN >> 10);
    bound.rlim_cur = STACK_MIN;
    int err = setrlimit(RLIMIT_STACK, &bound) == 0 ? init_attributes(&attributes) : errno;
    if (!err) {
        err = pthread_setattr_default_np(&attributes);
        pthread_attr_destroy(&attributes);
    }
    return err ? gq_error_errno(GQ_ERR_NO_MEMORY, err, "raising RLIMIT_STACK to %u KiB", STACK_MIN >> 10) : GQ_OK;
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
