/* The watch: a thread that waits for files to be saved, lets a moment pass, and changes what they belong to. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "base/assert.h"
#include "base/clock.h"
#include "base/thread.h"
#include "control/control.h"
#include "control/trail.h"
#include "pipeline/swap.h"

#define QUIET_MS 10u  /* without an event, before files are looked at */
#define BUSY_MS 250u  /* they are looked at all the same */
#define SETTLE_MS 50u /* until files that came with their folder are looked at again */

struct gq_watch {
    struct gq_control *c;
    pthread_t thread;
    int wake;          /* eventfd: `stop`, or what is live was changed by others */
    uint32_t stop;     /* atomic */
    uint64_t since_ns; /* atomic; when the first change began that `wake` tells of; 0: none */
    struct gq_trail trail;
    struct gq_files file; /* the pipeline file; empty if the pipeline is text */
    struct gq_files stage[GQ_STAGES_MAX];
    uint64_t due_ns, latest_ns; /* when to look; 0: nothing happened */
    bool blind;                 /* it was said that files cannot be watched */
    struct gq_order order;      /* what it does about them: no save is lost for want of memory */
};

/* --- what is watched ---------------------------------------------------------------------------------------------- */

static gq_status list_stage(struct gq_watch *w, size_t stage)
{
    struct gq_text paths = {0}, plugin = {0};
    gq_status status = gq_order_live_plugin(w->c->p, stage, &plugin);
    if (status == GQ_OK) {
        gq_plugin_files(gq_text_str(&plugin), w->c->p->arch, &paths);
        status = gq_files_set(&w->stage[stage], &paths);
    }
    gq_text_finish(&paths);
    gq_text_finish(&plugin);
    return status;
}

static gq_status list_all(struct gq_watch *w)
{
    gq_status status = GQ_OK;
    for (size_t i = 0; i < w->c->p->conf->stage_count && status == GQ_OK; i++)
        status = list_stage(w, i);
    return status;
}

static gq_status list_pipeline_file(struct gq_watch *w)
{
    const char *path = w->c->p->conf->file;
    struct gq_text paths = {0};
    if (w->c->p->from_text)
        return GQ_OK;
    gq_text_add(&paths, path, strlen(path) + 1);
    gq_status status = gq_files_set(&w->file, &paths);
    gq_text_finish(&paths);
    return status;
}

/* Watches what leads to the files as it is now; those that are new were read at `since_ns`, by a change. */
static gq_status arm(struct gq_watch *w, uint64_t since_ns)
{
    gq_trail_clear(&w->trail);
    gq_status status = gq_trail_add(&w->trail, &w->file);
    for (size_t i = 0; i < w->c->p->conf->stage_count && status == GQ_OK; i++)
        status = gq_trail_add(&w->trail, &w->stage[i]);
    gq_trail_settle(&w->trail);
    gq_files_look_at_new(&w->file, since_ns);
    for (size_t i = 0; i < w->c->p->conf->stage_count; i++)
        gq_files_look_at_new(&w->stage[i], since_ns);
    return status;
}

/* One sentence when it fails, until it does not. */
static void say_blind(struct gq_watch *w, gq_status status)
{
    if (status != GQ_OK && !w->blind)
        gq_trace_note(w->c, gq_error_text());
    w->blind = status != GQ_OK;
}

/* Also behind a list that could not be made, for those made before it have taken the place of what the steps lead to.
 */
static void arm_again(struct gq_watch *w, gq_status status, uint64_t since_ns)
{
    if (status == GQ_OK) {
        say_blind(w, arm(w, since_ns));
        return;
    }
    say_blind(w, status);
    (void)arm(w, since_ns);
}

/* --- what is done ------------------------------------------------------------------------------------------------- */

static bool reload(struct gq_watch *w)
{
    w->order = (struct gq_order){.who = gq_order_by("watch"), .command = "reload", .stage = ""};
    return gq_order_reload(w->c, &w->order) == GQ_OK;
}

static void swap_stage(struct gq_watch *w, size_t stage)
{
    w->order =
        (struct gq_order){.who = gq_order_by("watch"), .command = "swap", .stage = w->c->p->conf->stages[stage].name};
    (void)gq_order_swap(w->c, &w->order);
}

static bool still_touched(const struct gq_watch *w)
{
    bool touched = gq_files_touched(&w->file);
    for (size_t i = 0; i < GQ_STAGES_MAX; i++)
        touched |= gq_files_touched(&w->stage[i]);
    return touched;
}

/* First all is watched as it lies now, then it is read: what happens after that is an event. */
static void look(struct gq_watch *w)
{
    const uint64_t since_ns = gq_files_now();
    gq_status status = arm(w, since_ns);
    if (gq_files_changed(&w->file) && reload(w) && status == GQ_OK)
        status = list_all(w);
    for (size_t i = 0; i < w->c->p->conf->stage_count; i++) {
        if (!gq_files_changed(&w->stage[i]))
            continue;
        swap_stage(w, i);
        if (status == GQ_OK) /* refused or not: what it includes now is what may mend it */
            status = list_stage(w, i);
    }
    arm_again(w, status, since_ns);
    w->latest_ns = 0;
    w->due_ns = still_touched(w) ? gq_clock_deadline(SETTLE_MS) : 0;
}

static void note_event(struct gq_watch *w)
{
    uint64_t quiet = gq_clock_deadline(QUIET_MS);
    if (!w->latest_ns)
        w->latest_ns = gq_clock_deadline(BUSY_MS);
    w->due_ns = quiet < w->latest_ns ? quiet : w->latest_ns;
}

/* What is live was changed by others. */
static void relist(struct gq_watch *w)
{
    const uint64_t since_ns = __atomic_exchange_n(&w->since_ns, 0, __ATOMIC_ACQ_REL);
    arm_again(w, list_all(w), since_ns ? since_ns : gq_files_now());
    if (still_touched(w))
        note_event(w);
}

/* --- the thread --------------------------------------------------------------------------------------------------- */

static int ms_until(uint64_t due_ns)
{
    uint64_t now = gq_clock_ns();
    return due_ns > now ? (int)((due_ns - now + 999999) / 1000000) : 0;
}

static void *watch_files(void *watch)
{
    struct gq_watch *w = watch;
    while (!__atomic_load_n(&w->stop, __ATOMIC_ACQUIRE)) {
        struct pollfd ready[2] = {{.fd = w->wake, .events = POLLIN}, {.fd = w->trail.inotify, .events = POLLIN}};
        uint64_t woken;
        if (poll(ready, 2, w->due_ns ? ms_until(w->due_ns) : -1) < 0)
            continue;
        if (ready[0].revents && read(w->wake, &woken, sizeof woken) == sizeof woken &&
            !__atomic_load_n(&w->stop, __ATOMIC_ACQUIRE)) {
            relist(w);
        }
        if (ready[1].revents && gq_trail_read(&w->trail))
            note_event(w);
        if (w->due_ns && gq_clock_past(w->due_ns) && !__atomic_load_n(&w->stop, __ATOMIC_ACQUIRE))
            look(w);
    }
    return NULL;
}

/* --- start and stop ----------------------------------------------------------------------------------------------- */

static void finish(struct gq_watch *w)
{
    gq_trail_finish(&w->trail);
    gq_files_finish(&w->file);
    for (size_t i = 0; i < GQ_STAGES_MAX; i++)
        gq_files_finish(&w->stage[i]);
    if (w->wake >= 0)
        close(w->wake);
    free(w);
}

gq_status gq_watch_start(struct gq_control *c, struct gq_watch **out)
{
    *out = NULL;
    struct gq_watch *w = calloc(1, sizeof *w);
    if (!w)
        return gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for a watch");
    w->c = c;
    w->trail.inotify = -1;
    w->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    gq_status status = w->wake >= 0 ? GQ_OK : gq_error_errno(GQ_ERR_NO_MEMORY, errno, "eventfd");
    if (status == GQ_OK)
        status = gq_trail_init(&w->trail);
    if (status == GQ_OK)
        status = list_pipeline_file(w);
    if (status == GQ_OK)
        status = list_all(w);
    if (status == GQ_OK)
        status = arm(w, UINT64_MAX); /* what was built at the start is what lies there */
    if (status == GQ_OK)
        status = gq_thread_start(&w->thread, watch_files, w, "the watch");
    if (status != GQ_OK) {
        finish(w);
        return status;
    }
    gq_pipeline_warm_spare(c->p); /* who watches will save, and should not wait for a process then */
    *out = w;
    return GQ_OK;
}

void gq_watch_refresh(struct gq_watch *w, uint64_t since_ns)
{
    uint64_t none = 0;
    if (!w)
        return;
    __atomic_compare_exchange_n(&w->since_ns, &none, since_ns, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
    if (write(w->wake, &(uint64_t){1}, sizeof(uint64_t)) != sizeof(uint64_t))
        gq_assert(errno == EAGAIN); /* it will wake up as it is */
}

void gq_watch_stop(struct gq_watch *w)
{
    if (!w)
        return;
    __atomic_store_n(&w->stop, 1, __ATOMIC_RELEASE);
    gq_watch_refresh(w, 0);
    pthread_join(w->thread, NULL);
    finish(w);
}
