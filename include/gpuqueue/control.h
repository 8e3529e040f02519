/* gpuqueue/control.h - letting operators change a running pipeline: a control socket, and a watch on its files.
 *
 * `gpuq swap`, `gpuq plugins` and their kin connect to the socket; docs/reference/control.md describes it. A watch
 * swaps a stage when its plugin, or a header that the plugin includes, is saved, and reloads when the pipeline file is.
 *
 * Threads   One thread at a time may call gq_control_start and gq_control_stop on one pipeline, between gq_start and
 *           gq_stop; gq_control_reload is free for any thread between them. The calls of gpuqueue/swap.h remain free
 *           for any thread beside it.
 * Errors    GQ_ERR_UNAVAILABLE: the socket cannot be made, or the system has no watch left to give; the sentence says
 *           why.
 */
#ifndef GPUQUEUE_CONTROL_H
#define GPUQUEUE_CONTROL_H

#include <gpuqueue/runtime.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct gq_control gq_control;

typedef struct gq_control_opts {
    size_t size;        /* sizeof(gq_control_opts) */
    const char *socket; /* its path, in a folder that exists; "off": there is none; NULL: as control.socket in the
                           pipeline file says, which by default is NAME-PID.sock in the folder gpuqueue of
                           $XDG_RUNTIME_DIR, or without that in gpuqueue-UID of $TMPDIR (/tmp), which is made */
    uint32_t watch;     /* 1: watch the plugins, their headers and the pipeline file */
    /* Called for each change, refused ones too: `line` is the audit line, without a newline. `details`, "" if there are
     * none, says why a change was refused that nobody waits for: the step, the sentence, the log. From threads of the
     * library, one call at a time. The calls of gpuqueue/swap.h may be made in it; gq_control_reload and
     * gq_control_stop may not, for they wait for it. NULL: nobody listens. */
    void (*audit)(void *context, const char *line, const char *details);
    void *context;
} gq_control_opts;

/* A pipeline has one control at a time: GQ_ERR_INVALID_ARG for another one. */
GQ_API gq_status gq_control_start(gq_pipeline *p, const gq_control_opts *opts, gq_control **out);
/* Ends it; a change under way is finished first, and a canary is watched to its end unless gq_interrupt() came. Takes
 * NULL. */
GQ_API void gq_control_stop(gq_control *c);
/* The socket's path; "" if there is none. */
GQ_API const char *gq_control_socket(const gq_control *c);
/* gq_reload() with an audit line. */
GQ_API gq_status gq_control_reload(gq_control *c);

#ifdef __cplusplus
}
#endif

#endif
