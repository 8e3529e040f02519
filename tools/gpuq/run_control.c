#include "run_control.h"
#include "console.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include "base/assert.h"
#include "base/error.h"
#include "base/text.h"
#include "base/thread.h"

/* --- SIGHUP ------------------------------------------------------------------------------------------------------- */

static void only_hangup(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGHUP);
}

void run_control_hold_signal(void)
{
    sigset_t set;
    only_hangup(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

/* Any number of signals that came meanwhile is one reload. */
static void *take_signals(void *argument)
{
    struct run_control *r = argument;
    struct signalfd_siginfo info;
    sigset_t set;
    only_hangup(&set);
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0) {
        gpuq_console_line("gpuq run: SIGHUP will not reload: no descriptor is left for it");
        return NULL;
    }
    for (;;) {
        struct pollfd ready[2] = {{.fd = r->wake, .events = POLLIN}, {.fd = fd, .events = POLLIN}};
        if (poll(ready, 2, -1) < 0)
            continue;
        if (ready[0].revents)
            break;
        if (read(fd, &info, sizeof info) == sizeof info)
            (void)gq_control_reload(r->control); /* the audit line says how it went */
    }
    close(fd);
    return NULL;
}

/* --- audit -------------------------------------------------------------------------------------------------------- */

static void show_audit(void *context, const char *line, const char *details)
{
    struct gq_text all = {0};
    (void)context;
    gq_text_printf(&all, "%s%s%s", line, *details ? "\n" : "", details);
    gpuq_console_line(gq_text_str(&all));
    gq_text_finish(&all);
}

/* --- start and stop ----------------------------------------------------------------------------------------------- */

static void warn(const char *sentence)
{
    struct gq_text line = {0};
    gq_text_printf(&line, "gpuq run: there is no control socket, so `gpuq swap` cannot reach this run: %s", sentence);
    gpuq_console_line(gq_text_str(&line));
    gq_text_finish(&line);
}

static gq_status start_control(struct run_control *r, gq_pipeline *p, bool watch, bool socket_chosen)
{
    gq_control_opts opts = {.size = sizeof opts, .watch = watch, .audit = show_audit};
    gq_status status = gq_control_start(p, &opts, &r->control);
    if (status == GQ_OK || socket_chosen)
        return status;
    struct gq_text why = {0};
    gq_text_puts(&why, gq_error_text());
    opts.socket = "off"; /* if it was the watch that failed, it fails again */
    status = gq_control_start(p, &opts, &r->control);
    if (status == GQ_OK)
        warn(gq_text_str(&why));
    gq_text_finish(&why);
    return status;
}

gq_status run_control_start(struct run_control *r, gq_pipeline *p, bool watch, bool socket_chosen)
{
    *r = (struct run_control){.wake = -1};
    gq_status status = start_control(r, p, watch, socket_chosen);
    if (status != GQ_OK)
        return status;
    r->wake = eventfd(0, EFD_CLOEXEC);
    status = r->wake >= 0 ? gq_thread_start(&r->thread, take_signals, r, "SIGHUP")
                          : gq_error_errno(GQ_ERR_NO_MEMORY, errno, "eventfd");
    if (status == GQ_OK)
        return GQ_OK;
    if (r->wake >= 0)
        close(r->wake);
    r->wake = -1;
    gq_control_stop(r->control);
    r->control = NULL;
    return status;
}

void run_control_stop(struct run_control *r)
{
    if (r->wake >= 0) {
        ssize_t written = write(r->wake, &(uint64_t){1}, sizeof(uint64_t));
        gq_assert(written == sizeof(uint64_t));
        pthread_join(r->thread, NULL);
        close(r->wake);
    }
    gq_control_stop(r->control);
    *r = (struct run_control){.wake = -1};
}
