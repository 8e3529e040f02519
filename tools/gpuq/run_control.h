/* run_control.h - what an operator can tell a `gpuq run`: through its control socket, by saving files, by SIGHUP. */
#ifndef GPUQ_RUN_CONTROL_H
#define GPUQ_RUN_CONTROL_H

#include <gpuqueue/control.h>
#include <pthread.h>
#include <stdbool.h>

struct run_control {
    gq_control *control;
    pthread_t thread;
    int wake; /* eventfd; -1: there is no thread */
};

/* First thing in main(): SIGHUP waits, in every thread to come, until somebody takes it. */
void run_control_hold_signal(void);
/* For a started pipeline. A socket at the default place that cannot be made is a line of warning; one that the pipeline
 * file chose is an error. */
gq_status run_control_start(struct run_control *r, gq_pipeline *p, bool watch, bool socket_chosen);
void run_control_stop(struct run_control *r);

#endif
