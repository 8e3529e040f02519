/* The gq_control_* entry points. */
#include "control/control.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "pipeline/version.h"

/* A struct of an older caller is filled up with zeroes; of a newer one the part that we do not know must be zero. */
static gq_status read_opts(const gq_control_opts *opts, gq_control_opts *out)
{
    *out = (gq_control_opts){.size = sizeof *out};
    if (!opts)
        return GQ_OK;
    if (opts->size < offsetof(gq_control_opts, socket))
        return gq_error_set(GQ_ERR_INVALID_ARG, "gq_control_start: the size of opts is not set");
    for (size_t i = sizeof *out; i < opts->size; i++)
        if (((const unsigned char *)opts)[i] != 0)
            return gq_error_set(GQ_ERR_INVALID_ARG,
                                "gq_control_start: opts has a field at byte %zu that this release (%s) does not know",
                                i, GQ_VERSION);
    memcpy(out, opts, opts->size < sizeof *out ? opts->size : sizeof *out);
    return GQ_OK;
}

/* Else a start failed half-way, and there is nothing to be changed. */
static bool serves(const gq_pipeline *p)
{
    pthread_mutex_lock(&p->versions->lock);
    const bool any = p->versions->stage[0].live != NULL;
    pthread_mutex_unlock(&p->versions->lock);
    return any;
}

static gq_status check(const gq_pipeline *p, gq_control **out)
{
    if (!p || !out)
        return gq_error_set(GQ_ERR_INVALID_ARG, "gq_control_start: the pipeline or out is NULL");
    if (p->pid != getpid())
        return gq_error_set(GQ_ERR_INVALID_ARG,
                            "gq_control_start: the pipeline belongs to process %d, which this one was forked from",
                            (int)p->pid);
    if (p->phase != GQ_PHASE_STARTED || !serves(p))
        return gq_error_set(GQ_ERR_INVALID_ARG, "gq_control_start comes between gq_start and gq_stop");
    if (p->controlled)
        return gq_error_set(GQ_ERR_INVALID_ARG,
                            "gq_control_start: the pipeline has a control, and one at a time; gq_control_stop ends it");
    return GQ_OK;
}

/* The options win over the file. */
static gq_status start_server(struct gq_control *c)
{
    const char *path = c->opts.socket;
    bool off = path ? strcmp(path, "off") == 0 : gq_conf_control_off(c->p->conf);
    return off ? GQ_OK : gq_server_start(c, path ? path : c->p->conf->control_socket, &c->server);
}

gq_status gq_control_start(gq_pipeline *p, const gq_control_opts *opts, gq_control **out)
{
    gq_status status = check(p, out);
    if (status != GQ_OK)
        return status;
    *out = NULL;
    struct gq_control *c = calloc(1, sizeof *c);
    if (!c)
        return gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for the control of a pipeline");
    c->p = p;
    p->controlled = true;
    pthread_mutex_init(&c->audit_lock, NULL);
    status = read_opts(opts, &c->opts);
    if (status == GQ_OK && c->opts.watch)
        status = gq_watch_start(c, &c->watch);
    if (status == GQ_OK) /* last: who connects may change what is watched */
        status = start_server(c);
    if (status == GQ_OK)
        *out = c;
    else
        gq_control_stop(c);
    return status;
}

void gq_control_stop(gq_control *c)
{
    if (!c || c->p->pid != getpid())
        return;
    gq_server_stop(c->server);
    gq_watch_stop(c->watch);
    pthread_mutex_destroy(&c->audit_lock);
    c->p->controlled = false;
    free(c);
}

const char *gq_control_socket(const gq_control *c) { return c && c->server ? gq_server_path(c->server) : ""; }

gq_status gq_control_reload(gq_control *c)
{
    if (!c)
        return gq_error_set(GQ_ERR_INVALID_ARG, "gq_control_reload: the control is NULL");
    struct gq_order order = {.who = gq_order_by("signal"), .command = "reload", .stage = ""};
    return gq_order_reload(c, &order);
}
