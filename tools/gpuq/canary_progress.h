/* canary_progress.h - a line of progress for people who wait until a canary is decided. */
#ifndef GPUQ_CANARY_PROGRESS_H
#define GPUQ_CANARY_PROGRESS_H

#include <pthread.h>
#include <stdbool.h>

struct canary_progress {
    const char *socket, *stage;
    pthread_t thread;
    int wake; /* eventfd */
    bool runs;
};

/* Once a second the pipeline at `socket` is asked what the canary of `stage` and the version beside it have served.
 * Without a thread there is no line, and nothing else is missing. Both texts must last until the stop. */
void canary_progress_start(struct canary_progress *progress, const char *socket, const char *stage);
/* Takes the line away. Takes one that was not started, all zero. */
void canary_progress_stop(struct canary_progress *progress);

#endif
