/* control.h - what stands behind a gq_control: the socket's server, the watch, and the one way in which both change the
 * pipeline. */
#ifndef GQ_CONTROL_CONTROL_H
#define GQ_CONTROL_CONTROL_H

#include <gpuqueue/control.h>
#include <gpuqueue/swap.h>
#include <limits.h>
#include <pthread.h>
#include "control/record.h"
#include "pipeline/pipeline.h"

struct gq_server;
struct gq_watch;

struct gq_control {
    struct gq_pipeline *p;
    struct gq_control_opts opts;
    pthread_mutex_t audit_lock;
    uint32_t changes; /* atomic: that connections wait for, but for rollbacks */
    struct gq_server *server;
    struct gq_watch *watch;
};

/* --- changes (order.c) ------------------------------------------------------------------------------------------- */

/* Who asks for a change. */
struct gq_who {
    const char *by; /* "socket", "watch", "signal" */
    uid_t uid;
    pid_t pid;
};

struct gq_order {
    struct gq_who who;
    const char *command, *stage; /* stage: "" for reload */
    const char *file;            /* NULL: the live version's */
    uint32_t version;
    gq_swap_opts how;  /* of a swap; the plugin is `file` */
    uint32_t changed;  /* by a reload: stages */
    uint64_t began_ns; /* of gq_files_now() */
    gq_swap_result result;
};

/* Each makes the change, waits until it is live or refused, and leaves the audit line. */
gq_status gq_order_swap(struct gq_control *c, struct gq_order *order);
gq_status gq_order_rollback(struct gq_control *c, struct gq_order *order);
gq_status gq_order_use(struct gq_control *c, struct gq_order *order);
gq_status gq_order_discard(struct gq_control *c, struct gq_order *order);
gq_status gq_order_reload(struct gq_control *c, struct gq_order *order);
/* The audit line of a change that came to nothing before it reached the pipeline: this thread's error. */
gq_status gq_order_refuse(struct gq_control *c, struct gq_order *order, gq_status status);
/* The stage that was asked for, or the one that a reload came to last. */
const char *gq_order_stage(const struct gq_order *order);
/* Path of a stage's live plugin. */
gq_status gq_order_live_plugin(struct gq_pipeline *p, size_t stage, struct gq_text *out);
/* This process, for changes that nobody asked for through the socket. */
struct gq_who gq_order_by(const char *by);

/* --- the audit (trace.c) ------------------------------------------------------------------------------------------ */

/* One line for the change and how it ended; `status` with this thread's error. Keeps the error. */
void gq_trace_order(struct gq_control *c, const struct gq_order *order, gq_status status);
/* The same for what the watch has to say of itself: no change, one sentence. */
void gq_trace_note(struct gq_control *c, const char *sentence);
/* The fields of a canary and of the version beside it. */
void gq_trace_canary(const gq_swap_result *result, struct gq_text *out);
/* "2026-11-21T07:31:14.123Z" from CLOCK_REALTIME nanoseconds; "" for 0. */
void gq_trace_time(uint64_t ns, char out[32]);

/* --- where plugins may lie (places.c) ----------------------------------------------------------------------------- */

/* May `file` be made a stage's code? It must lie, symbolic links resolved, in or below the pipeline file's folder or
 * the folder of a plugin that the file names. `out` is what to open: the resolved path, or, for a plugin that the
 * pipeline file names, the path as it stands there. builtin:NAME passes. GQ_ERR_PLUGIN with the folders. */
gq_status gq_places_check(const struct gq_conf *conf, const char *file, char out[PATH_MAX]);

/* --- the server (server.c, serve.c) ------------------------------------------------------------------------------- */

gq_status gq_server_start(struct gq_control *c, const char *path, struct gq_server **out);
void gq_server_stop(struct gq_server *server);
const char *gq_server_path(const struct gq_server *server);
/* serve.c: runs one request and writes its answer. `line` is parsed in place. False if it was no request at all. */
bool gq_serve(struct gq_control *c, const struct gq_who *who, char *line, size_t len, struct gq_text *answer);
/* An answer that is nothing but this thread's error. */
void gq_serve_refusal(gq_status status, struct gq_text *answer);

/* --- the watch (watch.c) ------------------------------------------------------------------------------------------ */

gq_status gq_watch_start(struct gq_control *c, struct gq_watch **out);
/* What is live was changed by somebody else, who began at `since_ns` of gq_files_now(): other files may count now, and
 * those written meanwhile have changed. Takes NULL. */
void gq_watch_refresh(struct gq_watch *watch, uint64_t since_ns);
void gq_watch_stop(struct gq_watch *watch);

#endif
