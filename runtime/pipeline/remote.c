#include "pipeline/remote_ask.h"
#include "pipeline/budget.h"
#include "pipeline/reply.h"
#include "base/assert.h"
#include "base/channel.h"
#include "base/clock.h"
#include "base/thread.h"
#include "device/grid.h"
#include "pipeline/suspects.h"
#include "ring/page.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LOOKS 128         /* that a waiting thread takes before it asks for the time */
#define YIELDS 4          /* turns it gives away before it sleeps */
#define LOST_LOOK_MS 5u   /* between two looks whether a worker is lost */
#define LOST_SURE_MS 1u   /* to the second one */
#define ANSWER_MS 30000u  /* how long a request may take, unless somebody is less patient */
#define SLICE_MS 5u       /* between two looks at a worker that owes an answer */
#define END_LATE_MS 1000u /* how much longer than a stop's drain */

/* --- requests --------------------------------------------------------------------------------------------------------
 */

/* An answer that came late would be taken for the answer to the next request. The error says why. */
static gq_status give_up(struct gq_remote *remote)
{
    snprintf(remote->last_word, sizeof remote->last_word, "%.*s", GQ_PACKET_TEXT - 1, gq_error_text());
    gq_assert(remote->process.pid > 0); /* 0 would be all of us */
    kill(remote->process.pid, SIGKILL);
    return gq_error_set(GQ_ERR_DEVICE, "%s", remote->last_word);
}

static bool wait_dead(struct gq_remote *remote, uint32_t timeout_ms)
{
    uint64_t deadline = gq_clock_deadline(timeout_ms);
    while (!gq_link_dead(&remote->link) && !gq_clock_past(deadline))
        usleep(200);
    return gq_link_dead(&remote->link);
}

uint32_t gq_remote_deaths(const struct gq_remote *remote) { return __atomic_load_n(&remote->deaths, __ATOMIC_ACQUIRE); }

/* With the lock. */
static bool has_turn(const struct gq_remote *remote)
{
    return remote->turn == GQ_TURN_GIVEN && pthread_equal(remote->changer, pthread_self());
}

/* With the lock. While one worker takes another's place, only who sees to that has anything to ask, and a change when
 * it is its turn. */
static void wait_for_worker(struct gq_remote *remote)
{
    const bool changes = remote->turn == GQ_TURN_WANTED && pthread_equal(remote->changer, pthread_self());
    while (remote->away && !pthread_equal(remote->renewer, pthread_self()) && !has_turn(remote)) {
        remote->changer_waits |= changes;
        pthread_cond_wait(&remote->renewed, &remote->lock);
    }
    if (changes)
        remote->changer_waits = false;
}

gq_status gq_remote_check_since(struct gq_remote *remote, uint32_t deaths)
{
    gq_status status = GQ_OK;
    pthread_mutex_lock(&remote->lock);
    if (gq_remote_deaths(remote) != deaths || gq_link_dead(&remote->link))
        status = gq_error_set(GQ_ERR_DEVICE, "%s", remote->why);
    pthread_mutex_unlock(&remote->lock);
    return status;
}

/* With the lock, after a request: did the worker end in place of an answer? It may have let go of its channel long
 * before it can be reaped: a device takes its time to let go of a process. */
static bool is_ending(const struct gq_remote *remote, gq_status status, const struct gq_packet *reply)
{
    if (status != GQ_ERR_DEVICE || reply->type == GQ_PACKET_REPLY)
        return false;
    return reply->type == GQ_PACKET_DIED || remote->last_word[0] || gq_channel_is_cut(remote->process.channel);
}

gq_status gq_remote_explain_death(struct gq_remote *remote, gq_status status, uint32_t deaths)
{
    const uint64_t deadline = gq_clock_deadline(ANSWER_MS);
    while (gq_remote_deaths(remote) == deaths && !gq_link_dead(&remote->link) && !gq_clock_past(deadline))
        usleep(200);
    const gq_status known = gq_remote_check_since(remote, deaths);
    return known == GQ_OK ? status : known;
}

void gq_remote_await_worker(struct gq_remote *remote)
{
    pthread_mutex_lock(&remote->lock);
    wait_for_worker(remote);
    pthread_mutex_unlock(&remote->lock);
}

bool gq_remote_was_replaced(struct gq_remote *remote, uint32_t deaths)
{
    if (gq_remote_deaths(remote) == deaths)
        return false;
    gq_remote_await_worker(remote);
    return !gq_link_dead(&remote->link);
}

/* With the lock. A worker may stand still with all of its threads as soon as it has met a message, which it may before
 * it has answered that it starts. The keeper looks at one that serves; but it is the keeper that waits for one which is
 * to serve, or is given lanes that came meanwhile. */
static const char *look_at(const struct gq_remote *remote)
{
    if (remote->onlooker)
        return remote->onlooker->look(remote->onlooker->arg);
    if (!remote->away || !pthread_equal(remote->renewer, pthread_self()))
        return NULL;
    remote->keeper->look(remote->keeper->arg);
    return remote->ended_why;
}

/* With the lock. */
static void say_silent(const struct gq_remote *remote)
{
    struct gq_text doubt = {0};
    if (gq_page_threads(remote->link.worker) == 0)
        gq_process_doubt(&doubt);
    gq_error_set(GQ_ERR_DEVICE, "the worker did not answer within %u ms and was ended%s", remote->answer_ms,
                 gq_text_str(&doubt));
    gq_text_finish(&doubt);
}

/* With the lock. True: it makes no sense to wait for an answer any longer, and the error says why. */
static bool is_over(const struct gq_remote *remote, uint64_t deadline)
{
    const uint64_t end = __atomic_load_n(&remote->end_ns, __ATOMIC_ACQUIRE);
    const char *why = look_at(remote);
    if (why)
        gq_error_set(GQ_ERR_DEVICE, "%s", why);
    else if (gq_clock_past(deadline))
        say_silent(remote);
    else if (end && gq_clock_past(end))
        gq_error_set(GQ_ERR_DEVICE, "the worker did not answer within the time of the drain and was ended");
    else
        return false;
    return true;
}

/* With the lock. */
static gq_status await_answer(struct gq_remote *remote, uint32_t asked, struct gq_packet *reply)
{
    const uint64_t deadline = gq_clock_deadline(remote->answer_ms);
    for (;;) {
        bool astray;
        const uint32_t slice_ms = remote->answer_ms < SLICE_MS ? remote->answer_ms : SLICE_MS;
        gq_status status = gq_reply_receive(remote->process.channel, asked, slice_ms, reply, &astray);
        if (!astray)
            return status;
        if (status != GQ_ERR_TIMEOUT || is_over(remote, deadline))
            return give_up(remote);
    }
}

/* With the lock. */
static gq_status ask_locked(struct gq_remote *remote, const struct gq_packet *packet, const int *fds, size_t fd_count,
                            struct gq_packet *reply)
{
    *reply = (struct gq_packet){.type = packet->type}; /* until there is one */
    gq_status status = gq_link_dead(&remote->link)
                           ? gq_error_set(GQ_ERR_DEVICE, "%s", remote->why)
                           : gq_channel_send(remote->process.channel, packet, sizeof *packet, fds, fd_count);
    if (status == GQ_OK)
        status = await_answer(remote, packet->type, reply);
    if (status != GQ_OK && reply->type == GQ_PACKET_DIED)
        snprintf(remote->last_word, sizeof remote->last_word, "%s", reply->text);
    return status;
}

gq_status gq_remote_ask(struct gq_remote *remote, const struct gq_packet *packet, const int *fds, size_t fd_count,
                        struct gq_packet *reply)
{
    pthread_mutex_lock(&remote->lock);
    wait_for_worker(remote);
    const uint32_t deaths = gq_remote_deaths(remote);
    const bool watched = remote->watched && !remote->away;
    gq_status status = ask_locked(remote, packet, fds, fd_count, reply);
    const bool died = is_ending(remote, status, reply);
    remote->turn_failed |= died && has_turn(remote);
    pthread_mutex_unlock(&remote->lock);
    return died && watched ? gq_remote_explain_death(remote, status, deaths) : status;
}

static gq_status ask(struct gq_remote *remote, const struct gq_packet *packet, const int *fds, size_t fd_count)
{
    struct gq_packet reply;
    return gq_remote_ask(remote, packet, fds, fd_count, &reply);
}

static gq_status set_up(struct gq_remote *remote, enum gq_backend_kind backend, uint32_t threads)
{
    const struct gq_conf *conf = remote->conf;
    struct gq_packet packet = {.type = GQ_PACKET_SETUP};
    packet.setup.layout_version = GQ_LAYOUT_VERSION;
    packet.setup.backend = backend == GQ_BACKEND_CUDA ? GQ_PACKET_CUDA : GQ_PACKET_CPU;
    packet.setup.device = conf->device;
    packet.setup.threads = threads ? threads : conf->cpu_threads;
    packet.setup.capacity = conf->capacity;
    packet.setup.slot_bytes = conf->slot_bytes;
    packet.setup.retries = conf->retries;
    packet.setup.poll = conf->poll;
    packet.setup.look_ms = gq_budget_look_ms(conf, backend);
    packet.setup.journal = conf->journal != NULL;
    packet.setup.single = threads == 1;
    int fds[] = {remote->link.host_fd, remote->link.worker_fd};
    return ask(remote, &packet, fds, 2);
}

gq_status gq_remote_load(struct gq_remote *remote, const struct gq_image *image, const char *stage_name,
                         uint32_t version, uint32_t generation, uint32_t blocks)
{
    struct gq_packet packet = {.type = image->info.kind == GQ_IMAGE_SOURCE ? GQ_PACKET_SOURCE : GQ_PACKET_STAGE};
    packet.stage.generation = generation;
    packet.stage.version = version;
    packet.stage.blocks = blocks;
    snprintf(packet.stage.name, sizeof packet.stage.name, "%s", stage_name);
    gq_status status = ask(remote, &packet, &image->fd, 1);
    return status == GQ_OK ? GQ_OK : gq_error_prefix(status, "loading stage '%s': ", stage_name);
}

gq_status gq_remote_fit(struct gq_remote *remote)
{
    struct gq_packet packet = {.type = GQ_PACKET_FIT};
    return ask(remote, &packet, NULL, 0);
}

static struct gq_packet packet_of(const struct gq_lane *lane, const struct gq_lane_range *range)
{
    return (struct gq_packet){.type = GQ_PACKET_LANE, .lane = {.capacity = lane->view.mask + 1, .range = *range}};
}

/* With the lock. */
static gq_status send_lane(struct gq_remote *remote, const struct gq_lane *lane, struct gq_packet *reply)
{
    const struct gq_lane_range all = {lane->first_seq, 0, UINT64_MAX};
    const struct gq_packet packet = packet_of(lane, &all);
    const int fds[] = {lane->in_fd, lane->out_fd};
    return ask_locked(remote, &packet, fds, 2, reply);
}

/* Noted and sent under one lock: whoever takes over is given the lane too, and nobody is given it twice. While a worker
 * is being made ready, which may take as long as a message does, or when it ends over this, it is noted alone. */
gq_status gq_remote_add_lane(struct gq_remote *remote, struct gq_lane *lane)
{
    struct gq_packet reply = {.type = GQ_PACKET_LANE};
    pthread_mutex_lock(&remote->lock);
    const uint32_t deaths = gq_remote_deaths(remote), at = remote->lane_count;
    gq_assert(at < GQ_LANES_MAX);
    remote->lane[at] = lane;
    __atomic_store_n(&remote->lane_count, at + 1, __ATOMIC_RELEASE);
    gq_status status = remote->away ? GQ_OK : send_lane(remote, lane, &reply);
    const bool died = is_ending(remote, status, &reply);
    if (status != GQ_OK && !(died && remote->keeper))
        __atomic_store_n(&remote->lane_count, at, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&remote->lock);
    if (!died)
        return status;
    return remote->keeper ? GQ_OK : gq_remote_explain_death(remote, status, deaths);
}

/* With the lock, when a worker took over: it is given the lanes that were added since it was given the others. One that
 * refuses a lane is no worker. */
static void send_new_lanes(struct gq_remote *remote)
{
    struct gq_packet reply = {.type = GQ_PACKET_LANE};
    gq_status status = GQ_OK;
    for (; remote->lanes_given < remote->lane_count && status == GQ_OK; remote->lanes_given++)
        status = send_lane(remote, remote->lane[remote->lanes_given], &reply);
    if (status != GQ_OK && !is_ending(remote, status, &reply))
        give_up(remote);
}

gq_status gq_remote_take_over(struct gq_remote *remote, struct gq_lane *lane, const struct gq_lane_range *range)
{
    const struct gq_packet packet = packet_of(lane, range);
    int fds[] = {lane->in_fd, lane->out_fd};
    return ask(remote, &packet, fds, 2);
}

gq_status gq_remote_add_window(struct gq_remote *remote, const struct gq_lane *lane,
                               const struct gq_lane_window *window, const struct gq_lane_range *range)
{
    const struct gq_packet packet = packet_of(lane, range);
    int fds[] = {lane->in_fd, window->out_fd};
    return ask(remote, &packet, fds, 2);
}

gq_status gq_remote_run(struct gq_remote *remote)
{
    struct gq_packet packet = {.type = GQ_PACKET_START};
    const uint32_t deaths = gq_remote_deaths(remote);
    gq_status status = ask(remote, &packet, NULL, 0);
    return status != GQ_ERR_DEVICE || !gq_remote_was_replaced(remote, deaths) ? status : GQ_OK; /* which runs already */
}

gq_status gq_remote_pause(struct gq_remote *remote)
{
    struct gq_packet packet = {.type = GQ_PACKET_PAUSE};
    return ask(remote, &packet, NULL, 0);
}

/* --- life and death ----------------------------------------------------------------------------------------------- */

static void bury(struct gq_remote *remote, int wait_status)
{
    char word[GQ_PACKET_TEXT];
    struct gq_text why = {0};
    /* Who has the lock may be waiting for an answer: a child that a plugin made holds the channel's other end open. */
    shutdown(remote->process.channel, SHUT_RDWR);
    pthread_mutex_lock(&remote->lock);
    gq_reply_last_word(remote->process.channel, word, sizeof word);
    gq_post_mortem(remote->conf, remote->versions, remote->link.worker, wait_status,
                   word[0]             ? word
                   : remote->ended_why ? remote->ended_why
                                       : remote->last_word,
                   &why);
    remote->ended_why = NULL;
    remote->process.pid = 0;
    remote->wait_status = wait_status;
    remote->said_why = word[0] != '\0';
    remote->last_word[0] = '\0';
    snprintf(remote->why, sizeof remote->why, "%s",
             remote->expected && !remote->said_why ? "the worker was stopped" : gq_text_str(&why));
    remote->cause = GQ_ERR_DEVICE;
    remote->away = remote->keeper && !remote->expected;
    remote->renewer = pthread_self();
    if (!remote->away)
        __atomic_store_n(&remote->link.dead, 1, __ATOMIC_RELEASE);
    __atomic_store_n(&remote->deaths, remote->deaths + 1, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&remote->lock);
    gq_text_finish(&why);
    gq_link_kick(&remote->link);
}

/* Is nothing more to be expected of a worker that has not ended? A device takes 50 ms and more to let go of a process.
 * After a fault that the driver has told of it has stopped all that the process ran there. What a worker still writes
 * that we ended nobody is handed. Its last word comes behind the fault's number: what is there at the first look may be
 * an answer. */
static bool is_lost(const struct gq_remote *remote, uint32_t *looks)
{
    if (remote->backend != GQ_BACKEND_CUDA)
        return false;
    const bool faulted = gq_fault_code(remote->link.worker, false, 0) > GQ_FAULT_CUDA &&
                         gq_channel_has_word(remote->process.channel); /* or it let go */
    *looks = faulted ? *looks + 1 : 0;
    return remote->ended_why || *looks > 1;
}

/* Until the worker has ended, which leaves *p empty, or is lost. It is ours to reap: nobody else waits for it. */
static int follow(struct gq_remote *remote, struct gq_process *p)
{
    int wait_status = 0;
    uint32_t looks = 0;
    uint32_t slice_ms = remote->keeper ? remote->keeper->look_ms : GQ_MS_FOREVER;
    if (remote->backend == GQ_BACKEND_CUDA && slice_ms > LOST_LOOK_MS)
        slice_ms = LOST_LOOK_MS;
    while (!is_lost(remote, &looks)) {
        if (gq_process_wait(p, looks ? LOST_SURE_MS : slice_ms, &wait_status))
            return wait_status;
        if (remote->keeper)
            remote->keeper->look(remote->keeper->arg);
    }
    return SIGKILL;
}

/* Has somebody seen to it that another worker serves? Then life goes on. */
static bool renew(struct gq_remote *remote)
{
    if (!remote->away)
        return false;
    const gq_status status = remote->keeper->renew(remote->keeper->arg);
    pthread_mutex_lock(&remote->lock);
    const bool serves = status == GQ_OK && !remote->expected;
    if (serves) {
        send_new_lanes(remote);
    } else {
        gq_process_end(&remote->process, 0);
        if (status != GQ_OK && status != GQ_ERR_NOT_READY)
            snprintf(remote->why, sizeof remote->why, "%s", gq_error_text());
        if (status == GQ_ERR_NO_MEMORY || status == GQ_ERR_UNAVAILABLE)
            remote->cause = status;
        __atomic_store_n(&remote->link.dead, 1, __ATOMIC_RELEASE);
    }
    remote->away = false;
    pthread_cond_broadcast(&remote->renewed);
    pthread_mutex_unlock(&remote->lock);
    gq_link_kick(&remote->link);
    return serves;
}

static void *watch(void *arg)
{
    struct gq_remote *remote = arg;
    do {
        struct gq_process p = remote->process;
        bury(remote, follow(remote, &p));
        if (p.pid > 0)
            gq_dying_take(&remote->dying, p.pid);
    } while (renew(remote));
    return NULL;
}

_Static_assert(GQ_POLL_ADAPTIVE == GQ_GRID_ADAPTIVE && GQ_POLL_SPIN == GQ_GRID_SPIN && GQ_POLL_SLEEP == GQ_GRID_SLEEP,
               "files, packets and grids number the ways of waiting alike");

/* A device wakes nobody: its worker looks for sleepers every 50 us, so a waiter had better stay awake for some time. */
static struct gq_link_wait how_to_wait(enum gq_poll poll, enum gq_backend_kind backend)
{
    if (poll == GQ_POLL_SLEEP)
        return (struct gq_link_wait){0};
    if (poll == GQ_POLL_SPIN)
        return (struct gq_link_wait){LOOKS, UINT64_MAX, 0};
    return (struct gq_link_wait){LOOKS, backend == GQ_BACKEND_CUDA ? 200000 : 0, YIELDS};
}

gq_status gq_remote_start_process(const char *what, const struct gq_packet *first, struct gq_process *out)
{
    struct gq_text path = {0};
    gq_status status = gq_process_find("gpuq-worker", &path);
    if (status == GQ_OK) {
        char *argv[] = {path.data, (char *)(uintptr_t)what, NULL};
        status = gq_process_start(path.data, argv, out);
    }
    gq_text_finish(&path);
    return status == GQ_OK && first ? gq_channel_send(out->channel, first, sizeof *first, NULL, 0) : status;
}

gq_status gq_remote_begin(struct gq_remote *remote, struct gq_process ready)
{
    gq_process_end(&remote->process, 0); /* reaped already: what is left is the channel */
    remote->process = ready;
    remote->said_why = false;                                      /* a stop from here on is this one's */
    remote->last_word[0] = '\0';                                   /* of one that could not take over */
    const uint64_t retries = gq_page_retries(remote->link.worker); /* which goes */
    gq_status status = gq_link_renew(&remote->link);
    if (status == GQ_OK)
        __atomic_store_n(&remote->retries, remote->retries + retries, __ATOMIC_RELAXED);
    if (status == GQ_OK && ready.pid == 0)
        status = gq_remote_start_process("worker", NULL, &remote->process);
    return status == GQ_OK ? set_up(remote, remote->backend, remote->threads) : status;
}

void gq_remote_count_restart(struct gq_remote *remote)
{
    __atomic_store_n(&remote->restarts, remote->restarts + 1, __ATOMIC_RELAXED);
}

/* With it went the change that was made in its turn: whoever made that is to see that it has to be made again. */
static void count_death(struct gq_remote *remote)
{
    snprintf(remote->why, sizeof remote->why, "%s", gq_error_text());
    __atomic_store_n(&remote->deaths, remote->deaths + 1, __ATOMIC_RELEASE);
}

gq_status gq_remote_succeed(struct gq_remote *remote)
{
    struct gq_packet reply, packet = {.type = GQ_PACKET_START};
    gq_status status = gq_remote_ask(remote, &packet, NULL, 0, &reply);
    pthread_mutex_lock(&remote->lock);
    if (is_ending(remote, status, &reply))
        status = GQ_OK;
    if (status != GQ_OK)
        count_death(remote);
    pthread_mutex_unlock(&remote->lock);
    return status;
}

gq_status gq_remote_create(const struct gq_conf *conf, enum gq_backend_kind backend, uint32_t threads,
                           struct gq_versions *versions, const struct gq_remote_keeper *keeper,
                           struct gq_process *probed, struct gq_remote **out)
{
    *out = NULL;
    struct gq_remote *remote = calloc(1, sizeof *remote);
    if (!remote)
        return gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for the worker's record");
    remote->conf = conf;
    remote->versions = versions;
    remote->keeper = keeper;
    remote->backend = backend;
    remote->threads = threads;
    remote->answer_ms = ANSWER_MS;
    remote->process.channel = -1;
    pthread_mutex_init(&remote->lock, NULL);
    pthread_cond_init(&remote->renewed, NULL);
    gq_status status = gq_link_create(&remote->link);
    remote->link.wait = how_to_wait(conf->poll, backend);
    remote->link.generation = 1;
    remote->link.express = backend == GQ_BACKEND_CUDA;
    if (status == GQ_OK && probed->pid > 0) {
        remote->process = *probed;
        *probed = (struct gq_process){.channel = -1};
    } else if (status == GQ_OK) {
        status = gq_remote_start_process("worker", NULL, &remote->process);
    }
    if (status == GQ_OK)
        status = gq_thread_start(&remote->watcher, watch, remote, "watching the worker");
    remote->watched = status == GQ_OK;
    if (status == GQ_OK)
        status = set_up(remote, backend, threads);
    if (status != GQ_OK) {
        gq_remote_destroy(remote);
        return status;
    }
    *out = remote;
    return GQ_OK;
}

uint64_t gq_remote_restarts(const struct gq_remote *remote)
{
    return __atomic_load_n(&remote->restarts, __ATOMIC_RELAXED);
}

void gq_remote_kill(struct gq_remote *remote, const char *why)
{
    pthread_mutex_lock(&remote->lock);
    if (remote->process.pid > 0 && !remote->away) {
        if (why)
            snprintf(remote->last_word, sizeof remote->last_word, "%s", why);
        kill(remote->process.pid, SIGKILL);
    }
    pthread_mutex_unlock(&remote->lock);
}

void gq_remote_end_watched(struct gq_remote *remote, const char *why)
{
    remote->ended_why = why;
    kill(remote->process.pid, SIGKILL);
}

void gq_remote_end_by(struct gq_remote *remote, uint64_t deadline_ns)
{
    const uint64_t late_ns = END_LATE_MS * UINT64_C(1000000);
    __atomic_store_n(&remote->end_ns, deadline_ns < UINT64_MAX - late_ns ? deadline_ns + late_ns : UINT64_MAX,
                     __ATOMIC_RELEASE);
}

void gq_remote_expect_end(struct gq_remote *remote)
{
    pthread_mutex_lock(&remote->lock);
    __atomic_store_n(&remote->expected, !gq_link_dead(&remote->link), __ATOMIC_RELEASE);
    pthread_mutex_unlock(&remote->lock);
}

gq_status gq_remote_stop(struct gq_remote *remote, uint32_t grace_ms)
{
    if (!remote->watched)
        return GQ_OK;
    pthread_mutex_lock(&remote->lock);
    bool alive = !gq_link_dead(&remote->link);
    __atomic_store_n(&remote->expected, alive, __ATOMIC_RELEASE);
    struct gq_packet packet = {.type = GQ_PACKET_STOP};
    if (alive && !remote->away) {
        gq_link_stop(&remote->link);
        gq_channel_send(remote->process.channel, &packet, sizeof packet, NULL, 0);
    }
    pthread_mutex_unlock(&remote->lock);
    if (!wait_dead(remote, grace_ms))
        gq_remote_kill(remote, NULL);
    pthread_join(remote->watcher, NULL);
    remote->watched = false;
    return remote->said_why ? gq_remote_check(remote) : GQ_OK;
}

void gq_remote_destroy(struct gq_remote *remote)
{
    if (!remote)
        return;
    gq_remote_stop(remote, 1000);
    gq_process_end(&remote->process, 0);
    gq_dying_finish(&remote->dying);
    gq_link_finish(&remote->link);
    pthread_cond_destroy(&remote->renewed);
    pthread_mutex_destroy(&remote->lock);
    free(remote);
}

gq_status gq_remote_check(struct gq_remote *remote)
{
    if (!gq_link_dead(&remote->link))
        return GQ_OK;
    return gq_error_set(GQ_ERR_DEVICE, "%s", remote->why); /* written before `dead` */
}

gq_status gq_remote_cause(const struct gq_remote *remote)
{
    return gq_link_dead(&remote->link) ? remote->cause : GQ_ERR_DEVICE;
}
