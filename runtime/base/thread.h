/* thread.h - threads of our own inside somebody's application. */
#ifndef GQ_BASE_THREAD_H
#define GQ_BASE_THREAD_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>
#include "base/error.h"

/* Starts a thread that takes none of the application's signals but those of its own faults. A handler must not run
 * where its author knows no thread, and a pipe without a reader is an error here, not a SIGPIPE. */
gq_status gq_thread_start(pthread_t *thread, void *(*run)(void *arg), void *arg, const char *what);

/* For main() of a program of ours, whose threads all need some room on their stacks whatever RLIMIT_STACK says. Those
 * of gq_thread_start() have it anywhere. */
gq_status gq_thread_have_stacks(void);

/* How other threads of the process look at one. Zero: nobody. */
struct gq_thread_id {
    pid_t number;
    clockid_t clock; /* of its time on a processor */
};

/* The calling one's. */
struct gq_thread_id gq_thread_self(void);
/* Is it ready to run, and has no processor given it any time since the last look? *ran_ns is what it had then, and has
 * now. False of one that waits for something else, that has ended, or of which the system does not tell. */
bool gq_thread_is_starved(struct gq_thread_id thread, uint64_t *ran_ns);

/* What takes its time, and nobody waits for: one thing after another. By one thread at a time. Zero: there was none. */
struct gq_aside {
    pthread_t thread;
    bool runs;
};

/* Once the one before has ended; here and now if there is no thread for it. */
void gq_aside_run(struct gq_aside *aside, void *(*run)(void *arg), void *arg, const char *what);
/* Waits for the end of the last one. */
void gq_aside_finish(struct gq_aside *aside);

#endif
