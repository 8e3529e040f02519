/* plugin_probe.h - one plugin in a pipeline of its own, fed by hand. The pipeline is a real one, worker process and
 * all: a plugin that crashes ends its worker, and the probe reports a sentence. */
#ifndef GPUQ_PLUGIN_PROBE_H
#define GPUQ_PLUGIN_PROBE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <gpuqueue/runtime.h>
#include "config/golden_result.h"
#include "plugin_text.h"

struct probe_opts {
    struct plugin_text text; /* capacity is the probe's own */
    const char *backend;     /* NULL: as the environment says */
    bool no_cache;
    uint32_t timeout_s; /* for one message; then the plugin counts as one that does not end */
};

struct probe {
    gq_pipeline *pipeline; /* NULL: not open */
    GpuQueue *queue;
    bool makes;     /* a source: messages come by themselves */
    uint64_t ended; /* messages known to have ended */
    uint32_t timeout_s;
    pthread_mutex_t lock; /* of `death`, which a thread of the pipeline writes */
    char death[1024];     /* what the worker first died of, since a result was taken; "" if it lives */
};

/* The probe stays where it is until it is closed. */
gq_status probe_open(const struct probe_opts *opts, struct probe *probe);
/* Feeds one message and waits for its end. */
gq_status probe_feed(struct probe *probe, const void *bytes, size_t len, struct gq_golden_result *result);
/* Waits for the end of a message that a source makes. */
gq_status probe_take(struct probe *probe, struct gq_golden_result *result);
/* Keeps the queue full of one message until `times` of them have ended; a source makes them itself. */
gq_status probe_repeat(struct probe *probe, const void *bytes, size_t len, uint64_t times, double *mean_ns);
/* GQ_ERR_DEVICE: the plugin broke its worker, maybe after a result that looked well; any other: gq_stop()'s. */
gq_status probe_close(struct probe *probe);

#endif
