#include "canary_progress.h"
#include "console.h"
#include <gpuqueue/swap.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "base/assert.h"
#include "base/thread.h"
#include "control/address.h"
#include "control/ask.h"
#include "control/commands.h"

#define LOOK_MS 1000
#define CONNECT_MS 1000u

static const struct gq_record *find(const struct gq_answer *a, const char *stage, gq_version_state state)
{
    for (size_t i = 0; i < a->count; i++) {
        const char *its = gq_record_value(&a->row[i], "stage"), *is = gq_record_value(&a->row[i], "state");
        if (its && is && strcmp(its, stage) == 0 && strcmp(is, gq_version_state_name(state)) == 0)
            return &a->row[i];
    }
    return NULL;
}

/* Of the canary's time; not of one that has ended since. */
static bool add_served(const char *what, const struct gq_record *version, const char *messages, const char *failed,
                       struct gq_text *out)
{
    const char *served = gq_record_value(version, messages), *of_them = gq_record_value(version, failed);
    if (!served || !of_them)
        return false;
    gq_text_printf(out, "%s %s: %s, %s failed", what, gq_record_value(version, "version"), served, of_them);
    return true;
}

static void draw(const struct gq_answer *a, const char *stage)
{
    const struct gq_record *canary = find(a, stage, GQ_VERSION_CANARY), *live = find(a, stage, GQ_VERSION_LIVE);
    struct gq_text line = {0};
    if (canary && live && add_served("  canary version", canary, "messages", "failed", &line) &&
        add_served("; live version", live, "beside_messages", "beside_failed", &line))
        gpuq_console_progress(gq_text_str(&line));
    gq_text_finish(&line);
}

/* A connection of its own: the other one waits for the verdict. */
static void look(const struct canary_progress *p)
{
    struct gq_text request = {0};
    struct gq_answer answer = {0};
    int fd;
    if (gq_address_connect(p->socket, CONNECT_MS, &fd) != GQ_OK)
        return;
    gq_text_puts(&request, "plugins\n");
    if (gq_ask(fd, &request, GQ_ANSWER_MS, &answer) == GQ_OK && gq_answer_status(&answer) == GQ_OK)
        draw(&answer, p->stage);
    close(fd);
    gq_answer_finish(&answer);
    gq_text_finish(&request);
}

static void *look_again(void *argument)
{
    const struct canary_progress *p = argument;
    struct pollfd stop = {.fd = p->wake, .events = POLLIN};
    while (poll(&stop, 1, LOOK_MS) == 0)
        look(p);
    return NULL;
}

void canary_progress_start(struct canary_progress *p, const char *socket, const char *stage)
{
    *p = (struct canary_progress){.socket = socket, .stage = stage, .wake = eventfd(0, EFD_CLOEXEC)};
    p->runs = p->wake >= 0 && gq_thread_start(&p->thread, look_again, p, "a line of progress") == GQ_OK;
    if (p->wake >= 0 && !p->runs)
        close(p->wake);
}

void canary_progress_stop(struct canary_progress *p)
{
    if (!p->runs)
        return;
    ssize_t written = write(p->wake, &(uint64_t){1}, sizeof(uint64_t));
    gq_assert(written == sizeof(uint64_t));
    pthread_join(p->thread, NULL);
    close(p->wake);
    gpuq_console_clear();
    p->runs = false;
}
