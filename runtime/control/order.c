#include <string.h>
#include <unistd.h>
#include "base/assert.h"
#include "control/control.h"
#include "control/files.h"
#include "pipeline/swap.h"
#include "pipeline/version.h"

struct gq_who gq_order_by(const char *by) { return (struct gq_who){.by = by, .uid = geteuid(), .pid = getpid()}; }

gq_status gq_order_live_plugin(struct gq_pipeline *p, size_t stage, struct gq_text *out)
{
    gq_text_clear(out);
    pthread_mutex_lock(&p->versions->lock);
    gq_text_puts(out, p->versions->stage[stage].live->plugin);
    pthread_mutex_unlock(&p->versions->lock);
    return out->failed ? gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for a plugin's path") : GQ_OK;
}

const char *gq_order_stage(const struct gq_order *order) { return *order->stage ? order->stage : order->result.stage; }

static void start(struct gq_order *order)
{
    gq_assert(order->command && order->stage && order->who.by);
    memset(&order->result, 0, sizeof order->result);
    order->result.size = sizeof order->result;
    order->began_ns = gq_files_now();
}

/* The error that the change left is the caller's to see, whatever the audit's reader did. */
static gq_status finish(struct gq_control *c, struct gq_order *order, gq_status status)
{
    char sentence[GQ_ERROR_TEXT_MAX];
    memcpy(sentence, gq_error_text(), strlen(gq_error_text()) + 1);
    gq_trace_order(c, order, status);
    if (status == GQ_OK && order->result.generation && strcmp(order->who.by, "watch") != 0)
        gq_watch_refresh(c->watch, order->began_ns);
    return status == GQ_OK ? GQ_OK : gq_error_set(status, "%s", sentence);
}

gq_status gq_order_refuse(struct gq_control *c, struct gq_order *order, gq_status status)
{
    gq_assert(status != GQ_OK);
    start(order);
    return finish(c, order, status);
}

/* By the pipeline file that was accepted last, which changes change. */
static gq_status check_place(struct gq_control *c, const char *file, char path[PATH_MAX])
{
    gq_status status = gq_pipeline_begin_change(c->p, "gq_swap");
    if (status != GQ_OK)
        return status;
    status = gq_places_check(c->p->accepted ? c->p->accepted : c->p->conf, file, path);
    gq_pipeline_end_change(c->p);
    return status;
}

gq_status gq_order_swap(struct gq_control *c, struct gq_order *order)
{
    char path[PATH_MAX];
    gq_swap_opts opts = order->how;
    gq_status status = GQ_OK;
    start(order);
    opts.size = sizeof opts;
    if (order->file) {
        status = check_place(c, order->file, path);
        opts.plugin = path;
    }
    if (status == GQ_OK)
        status = gq_swap(c->p, order->stage, &opts, &order->result);
    return finish(c, order, status);
}

gq_status gq_order_rollback(struct gq_control *c, struct gq_order *order)
{
    start(order);
    return finish(c, order, gq_rollback(c->p, order->stage, &order->result));
}

gq_status gq_order_use(struct gq_control *c, struct gq_order *order)
{
    start(order);
    return finish(c, order, gq_use(c->p, order->stage, order->version, &order->result));
}

/* 0: there is no such stage. */
static uint32_t live_version(struct gq_pipeline *p, const char *stage)
{
    uint32_t live = 0;
    pthread_mutex_lock(&p->versions->lock);
    for (uint32_t i = 0; i < p->versions->stage_count; i++)
        if (strcmp(p->versions->stage[i].name, stage) == 0)
            live = p->versions->stage[i].live->number;
    pthread_mutex_unlock(&p->versions->lock);
    return live;
}

gq_status gq_order_discard(struct gq_control *c, struct gq_order *order)
{
    start(order);
    gq_status status = gq_discard(c->p, order->stage, order->version);
    order->result.live = live_version(c->p, order->stage);
    if (status == GQ_OK)
        order->result.step = GQ_STEP_DONE;
    return finish(c, order, status);
}

gq_status gq_order_reload(struct gq_control *c, struct gq_order *order)
{
    start(order);
    gq_status status = gq_reload(c->p, &order->changed, &order->result);
    return finish(c, order, status);
}
