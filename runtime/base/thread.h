/* thread.h - threads of our own inside somebody's application. */
#ifndef GQ_BASE_THREAD_H
#define GQ_BASE_THREAD_H

#include <pthread.h>
#include <stdbool.h>
#include "base/error.h"

/* Starts a thread that takes none of the application's signals but those of its own faults. A handler must not run
 * where its author knows no thread, and a pipe without a reader is an error here, not a SIGPIPE. */
gq_status gq_thread_start(pthread_t *thread, void *(*run)(void *arg), void *arg, const char *what);

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
