#include "base/thread.h"
#include <signal.h>

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
