/* gpuqueue/runtime.h - running pipelines: open, prepare, start, stop, close.
 *
 *   gq_open     reads and checks the pipeline file. Nothing is compiled, no process is started, no file is written.
 *   gq_prepare  builds every plugin. On a GPU it also loads them, in the worker, and refuses stages whose grids do
 *               not fit there together (GQ_ERR_PLUGIN, with the numbers). Nothing runs yet.
 *   gq_start    starts the worker, or the grids of the one that waits, opens source and sink. Messages flow.
 *   gq_wait     until the source has ended and every result is with the sink, or the pipeline failed.
 *   gq_stop     stops the source, drains within a bound, stops the worker. The summary stays readable.
 *   gq_close    frees; undoes whatever came before. Takes NULL.
 *
 * Threads   One thread at a time may call these on one pipeline, except gq_interrupt() and gq_get_stats(), which any
 *           thread may call between gq_open and gq_close; the q_* calls of gq_queue() are free for any thread.
 * Fork      A pipeline belongs to the process that opened it: in a forked child gq_close() does nothing, and the other
 *           calls are refused.
 * Errors    gq_status of gpuqueue/status.h; gq_last_error() is the sentence, per thread.
 * Growth    Structs start with their size: set it with sizeof. Zero is the default of every field.
 */
#ifndef GPUQUEUE_RUNTIME_H
#define GPUQUEUE_RUNTIME_H

#include <gpuqueue.h>
#include <gpuqueue/status.h>
#include <gpuqueue/version.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct gq_pipeline gq_pipeline;

typedef struct gq_open_opts {
    size_t size;          /* sizeof(gq_open_opts) */
    const char *path;     /* the pipeline file; with `text`, what the text is called and what paths are relative to */
    const char *text;     /* the pipeline itself, NUL-terminated; NULL: read `path` */
    const char *backend;  /* "auto", "cuda" or "cpu": wins over $GPUQ_BACKEND, which wins over the file */
    uint32_t cpu_threads; /* worker threads of the CPU backend, at most 1024; 0: the file's cpu.threads */
    uint32_t no_cache;    /* 1: compile again, keep nothing */
    const char *cache_folder; /* NULL: $XDG_CACHE_HOME/gpuqueue or ~/.cache/gpuqueue */
    /* Told in one sentence what a running pipeline came through: a worker that died and whose messages another serves,
     * a message that is given up. By a thread of the pipeline, which waits; no call on the pipeline in it. NULL: nobody
     */
    void (*note)(void *context, const char *sentence);
    void *note_context;
} gq_open_opts;

typedef struct gq_stats {
    size_t size;                  /* sizeof(gq_stats) */
    uint64_t messages_in;         /* accepted from the source */
    uint64_t messages_out;        /* results that the sink accepted */
    uint64_t dropped;             /* filtered by a plugin */
    uint64_t failed;              /* failed in a plugin after every retry */
    uint64_t dead;                /* of those, written to the dead letters */
    uint64_t bytes_in, bytes_out; /* through a connector: 0 for `api`, and for what a source plugin makes */
    uint64_t in_flight;           /* accepted, not yet with the sink */
    double seconds;               /* since gq_start, or from start to stop */
    uint64_t p50_ns, p99_ns,
        max_ns; /* accepted -> result seen by the host, with a sink other than `api`; within 6.25 % */
    uint64_t
        resumed; /* delivery: exactly_once: messages that earlier runs were done with; this one began behind them */
    uint64_t restarts;  /* workers that took the place of one that died */
    uint64_t recovered; /* queue.journal: messages that earlier runs accepted, and whose results were not taken */
} gq_stats;

GQ_API gq_status gq_open(const gq_open_opts *opts, gq_pipeline **out);
GQ_API gq_status gq_prepare(gq_pipeline *p);
GQ_API gq_status gq_start(gq_pipeline *p);
/* GQ_OK: the source ended and everything is delivered. GQ_ERR_TIMEOUT: not yet. Anything else: why it failed. With
 * source or sink `api` a pipeline ends only by gq_interrupt or gq_stop. */
GQ_API gq_status gq_wait(gq_pipeline *p, uint32_t timeout_ms);
/* Asks the source to end as if its data ended here; gq_wait then returns when the rest is delivered. Async-signal-safe.
 */
GQ_API void gq_interrupt(gq_pipeline *p);
/* Drains for at most drain_ms (0: the file's `drain`). GQ_ERR_TIMEOUT: gave up, the sentence says on how many messages.
 * GQ_ERR_DEVICE: a plugin broke its worker, which a GPU may report after the last result has come. GQ_ERR_NO_MEMORY: no
 * worker could take the place of one that ended, for want of descriptors, processes or memory; GQ_ERR_UNAVAILABLE: for
 * want of its program. */
GQ_API gq_status gq_stop(gq_pipeline *p, uint32_t drain_ms);
GQ_API void gq_close(gq_pipeline *p);

/* The queue of a started pipeline whose source or sink is `api`; NULL otherwise. Lives until gq_stop. */
GQ_API GpuQueue *gq_queue(gq_pipeline *p);
GQ_API gq_status gq_get_stats(const gq_pipeline *p, gq_stats *out);

/* "cpu" or "cuda", and why; known after gq_open. */
GQ_API const char *gq_backend(const gq_pipeline *p);
GQ_API const char *gq_backend_reason(const gq_pipeline *p);

GQ_API const char *gq_last_error(void);
GQ_API const char *gq_version(void);

#ifdef __cplusplus
}
#endif

#endif
