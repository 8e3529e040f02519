/* thread.h - threads of our own inside somebody's application. */
#ifndef GQ_BASE_THREAD_H
#define GQ_BASE_THREAD_H

#include <pthread.h>
#include "base/error.h"

/* Starts a thread that takes none of the application's signals but those of its own faults. A handler must not run
 * where its author knows no thread, and a pipe without a reader is an error here, not a SIGPIPE. */
gq_status gq_thread_start(pthread_t *thread, void *(*run)(void *arg), void *arg, const char *what);

#endif
