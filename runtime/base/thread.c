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
