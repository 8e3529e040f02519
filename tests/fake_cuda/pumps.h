/* pumps.h - two threads that send messages through a pipeline of echoes on a GPU while its code changes, and check what
 * comes back: every message as it went, in order, and generations never fall. */
#ifndef TESTS_FAKE_CUDA_PUMPS_H
#define TESTS_FAKE_CUDA_PUMPS_H

#include <gpuqueue/swap.h>
#include <pthread.h>
#include <stdbool.h>

#define PUMPS 2 /* each has a lane of its own: a canary gets one of them */
#define SKIP 77

extern struct pump {
    pthread_t thread;
    uint64_t sent;   /* atomic */
    uint32_t newest; /* atomic */
    uint32_t dead;   /* atomic */
} pumps[PUMPS];

/* Opens and starts a pipeline: 0, or the exit code: 3 if it was refused with a sentence. */
int pumps_open(const char *text, gq_pipeline **out);
bool pumps_start(GpuQueue *queue);
/* Behind the batches that are under way. */
void pumps_stop(void);
/* Stops and closes the pipeline, and says what came out: false, if it was stopped with a sentence. */
bool pumps_close(gq_pipeline *p);
/* How many take results, once `least` do. Fewer: something is wrong, or the pipeline is dead. */
int pumps_flowing(int least);
void pumps_may_fall(void);                      /* generations */
void pumps_expect_at_most(uint32_t generation); /* of results, from now on; UINT32_MAX: any */

/* The first thing that is wrong; NULL: nothing. */
const char *pumps_wrong(void);
void pumps_set_wrong(const char *what);

/* A swap to `plugin`; without one the use of a version, UINT32_MAX: the one before. Tells how it went. */
gq_status pumps_change(gq_pipeline *p, const char *what, const char *stage, const char *plugin, uint32_t version,
                       gq_swap_result *result);
void pumps_tell(const char *what, gq_status status, const gq_swap_result *r);

#endif
