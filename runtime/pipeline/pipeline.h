/* pipeline.h - one pipeline from configuration to summary; what gpuqueue/runtime.h shows of it is in runtime/api/. */
#ifndef GQ_PIPELINE_PIPELINE_H
#define GQ_PIPELINE_PIPELINE_H

#include <gpuqueue/runtime.h>
#include <pthread.h>
#include <sys/types.h>
#include "build/build.h"
#include "config/conf.h"
#include "connect/connect.h"
#include "pipeline/dead_letter.h"
#include "pipeline/delivery.h"
#include "pipeline/queue.h"
#include "pipeline/remote.h"
#include "pipeline/spare.h"
#include "pipeline/supervisor.h"
#include "pipeline/version.h"

enum gq_phase { GQ_PHASE_OPEN, GQ_PHASE_PREPARED, GQ_PHASE_STARTED, GQ_PHASE_STOPPED };

struct gq_pipeline {
    pid_t pid; /* of the process that opened it: the worker is not a forked child's to stop */
    enum gq_phase phase;
    struct gq_conf *conf;
    enum gq_backend_kind backend;
    char backend_reason[256];
    uint32_t arch;            /* of the GPU: 90 for sm_90; 0 on the CPU backend */
    struct gq_process probed; /* a worker that waits for gq_prepare: it answered for the device */
    uint32_t cpu_threads;
    struct gq_builder_opts builder_opts;

    bool from_text; /* there is no file to read again */

    /* from gq_prepare */
    struct gq_image source_image;
    struct gq_versions *versions; /* of the stages' code */

    /* changing the code while messages flow: all under change_lock, which one change holds at a time */
    pthread_mutex_t change_lock;
    bool settled;               /* there will be no more changes: gq_stop came */
    struct gq_builder *builder; /* from gq_prepare on: its process is kept warm */
    struct gq_spare spare;
    struct gq_conf *accepted; /* what the last reload read; NULL: conf. `conf` stays, for those who hold no lock */
    pthread_t warmer;         /* starts the spare before it is needed */
    bool warming;
    struct gq_canary { /* under versions->lock */
        bool on, called_off;
        uint32_t stage, version;
        uint64_t results_before, failed_before; /* of the live version, when its watch began */
    } canary;                                   /* of the change that is being made */

    void (*note)(void *context, const char *sentence); /* of gq_open_opts; NULL: nobody listens */
    void *note_context;

    /* from gq_start */
    struct gq_supervisor supervisor; /* of `remote`, on the CPU backend */
    struct gq_remote *remote;
    struct gq_queue *queue;
    struct gq_journal *journal;   /* NULL: durability is none */
    struct gq_lane_keeper keeper; /* of the journal */
    uint64_t recovered;           /* messages of earlier runs that the journal gave back */
    bool counted;                 /* results are only counted: ring/counted.h */
    struct GpuQueue *handle;      /* source or sink api */
    struct gq_source *source;
    struct gq_sink *sink;
    struct gq_delivery delivery;
    struct gq_dead_file dead_file;
    pthread_t source_thread, sink_thread;
    bool source_runs, sink_runs;  /* the threads exist */
    int interrupt_fd, abandon_fd; /* readable: the source should end; the sink should give up */
    uint64_t start_ns, end_ns;
    bool controlled; /* a gq_control is there */

    /* shared by the threads */
    uint32_t source_ended, sink_ended, interrupted; /* atomic */
    uint32_t rehearses; /* atomic: whether the pipeline file, as it was read last, has new code rehearsed */
    pthread_mutex_t failure_lock;
    gq_status failure; /* the first one */
    char failure_text[GQ_ERROR_TEXT_MAX];
    uint64_t messages_out, bytes_in, bytes_out; /* atomic; one writer each */
    struct gq_stats last;                       /* counters as they were at gq_stop */
};

gq_status gq_pipeline_open(const gq_open_opts *opts, struct gq_pipeline **out);
gq_status gq_pipeline_prepare(struct gq_pipeline *p);
gq_status gq_pipeline_start(struct gq_pipeline *p);
gq_status gq_pipeline_wait(struct gq_pipeline *p, uint32_t timeout_ms);
void gq_pipeline_interrupt(struct gq_pipeline *p);
gq_status gq_pipeline_stop(struct gq_pipeline *p, uint32_t drain_ms);
void gq_pipeline_close(struct gq_pipeline *p);
void gq_pipeline_stats(const struct gq_pipeline *p, struct gq_stats *out);

/* A build for this pipeline's backend, of a plugin that stands in `conf_file`. */
struct gq_build_request gq_pipeline_request(const struct gq_pipeline *p, enum gq_image_kind kind, const char *plugin,
                                            const struct gq_conf_param *params, size_t param_count,
                                            const char *conf_file);

/* GQ_ERR_CONFIG: the run writes a file that this image was built from. Takes the image's list of headers. */
gq_status gq_pipeline_check_reads(const struct gq_pipeline *p, const char *plugin, struct gq_image *image);

/* choose.c: sets backend, backend_reason and arch. */
gq_status gq_pipeline_choose(struct gq_pipeline *p, const char *asked);
/* The GPU's architecture (90 for sm_90) and name; GQ_ERR_UNAVAILABLE: why there is none. `keep` as for gq_remote_probe.
 */
gq_status gq_pipeline_find_gpu(uint32_t device, uint32_t *arch, char *name, size_t size, struct gq_process *keep);

/* In a forked child: lets go of what would keep the parent's processes alive. Takes no lock. */
void gq_pipeline_forget_children(const struct gq_pipeline *p);

/* Keeps the first failure: its status and this thread's sentence. Returns `status`. */
gq_status gq_pipeline_fail(struct gq_pipeline *p, gq_status status);

/* pump.c: the two threads that move messages between connectors and lanes. Take a struct gq_pipeline. */
void *gq_pump_source(void *pipeline);
void *gq_pump_sink(void *pipeline);
/* Ends the sources that have no thread of their own, once an interrupt asks for it. */
void gq_pump_heed_interrupt(struct gq_pipeline *p);

#endif
