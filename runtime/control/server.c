/* The control socket: one thread takes connections, each has a thread of its own. A connection that waits for a request
 * or for its reader is given up when its time is over, or earlier when another one needs its place; one whose request
 * is being served is not. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "base/assert.h"
#include "base/clock.h"
#include "base/thread.h"
#include "control/address.h"
#include "control/control.h"
#include "control/line.h"

#define CONNECTIONS_MAX 16u
#define REQUEST_MS 10000u /* for a whole request to come */
#define ANSWER_MS 5000u   /* for a whole answer to be read */
#define GROUPS_MAX 1024u

enum doing { DOING_NOTHING, DOING_WAIT, DOING_SERVE, DOING_ANSWER, DOING_ENDED };

struct connection {
    struct gq_server *server;
    pthread_t thread;
    int fd;
    struct gq_who who;
    /* under the server's lock */
    enum doing doing;
    bool asked, give_up;
    uint64_t since; /* the order in which they began to wait */
};

struct gq_server {
    struct gq_control *c;
    struct gq_address address;
    pthread_t thread;
    int stop; /* eventfd */
    pthread_mutex_t lock;
    uint64_t waits;
    struct connection connection[CONNECTIONS_MAX];
};

/* --- one connection ----------------------------------------------------------------------------------------------- */

/* False if the connection was given up meanwhile. */
static bool enter(struct connection *k, enum doing doing)
{
    pthread_mutex_lock(&k->server->lock);
    gq_assert(k->doing != DOING_NOTHING);
    bool go_on = !k->give_up;
    k->doing = doing;
    k->asked |= doing == DOING_SERVE;
    k->since = ++k->server->waits;
    pthread_mutex_unlock(&k->server->lock);
    return go_on;
}

/* One request and its answer. False when there is nothing more to do for this peer. */
static bool converse(struct connection *k, struct gq_line_reader *reader)
{
    struct gq_text answer = {0};
    char *line;
    size_t len;
    bool go_on = false;
    gq_status status = gq_line_read(reader, gq_clock_deadline(REQUEST_MS), GQ_LINE_BYTES_MAX, &line, &len);
    if (status == GQ_OK && line && enter(k, DOING_SERVE))
        go_on = gq_serve(k->server->c, &k->who, line, len, &answer);
    else if (status != GQ_OK && status != GQ_ERR_IO)
        gq_serve_refusal(status, &answer);
    bool stays = enter(k, DOING_ANSWER);
    if (answer.len && !answer.failed && stays)
        go_on = gq_line_send(k->fd, answer.data, answer.len, gq_clock_deadline(ANSWER_MS)) == GQ_OK && go_on;
    go_on = go_on && stays && !answer.failed && enter(k, DOING_WAIT);
    gq_text_finish(&answer);
    return go_on;
}

static void *serve_connection(void *argument)
{
    struct connection *k = argument;
    struct gq_line_reader reader;
    gq_line_init(&reader, k->fd);
    while (converse(k, &reader))
        continue;
    gq_line_finish(&reader);
    shutdown(k->fd, SHUT_RDWR); /* the peer need not wait until the thread is joined */
    enter(k, DOING_ENDED);
    return NULL;
}

/* --- places ------------------------------------------------------------------------------------------------------- */

/* Joins the thread of a connection that ended, or is about to. */
static void reap(struct connection *k)
{
    pthread_join(k->thread, NULL);
    close(k->fd);
    *k = (struct connection){.server = k->server, .fd = -1};
}

static enum doing what_it_does(struct connection *k)
{
    pthread_mutex_lock(&k->server->lock);
    enum doing doing = k->doing;
    pthread_mutex_unlock(&k->server->lock);
    return doing;
}

static struct connection *free_place(struct gq_server *s)
{
    struct connection *found = NULL;
    for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
        struct connection *k = &s->connection[i];
        if (what_it_does(k) == DOING_ENDED)
            reap(k);
        if (what_it_does(k) == DOING_NOTHING)
            found = k;
    }
    return found;
}

/* It fits into the empty buffer of who has asked nothing yet, or is not waited for. */
static void say_no(int fd, gq_status status)
{
    struct gq_text answer = {0};
    gq_serve_refusal(status, &answer);
    if (!answer.failed)
        (void)gq_line_send(fd, answer.data, answer.len, gq_clock_deadline(0));
    gq_text_finish(&answer);
}

/* It may be about to ask. Who was answered would take this for a part of that. */
static void give_up(struct connection *k)
{
    k->give_up = true;
    if (k->doing == DOING_WAIT && !k->asked)
        say_no(k->fd, gq_error_set(GQ_ERR_FULL,
                                   "others needed this connection's place before a request came; there are %u, try "
                                   "again",
                                   CONNECTIONS_MAX));
    shutdown(k->fd, SHUT_RDWR); /* its thread wakes up */
}

/* The one that has waited longest makes room. NULL if all are being served. */
static struct connection *make_room(struct gq_server *s)
{
    struct connection *oldest = NULL;
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
        struct connection *k = &s->connection[i];
        if (k->doing != DOING_SERVE && (!oldest || k->since < oldest->since))
            oldest = k;
    }
    if (oldest)
        give_up(oldest);
    pthread_mutex_unlock(&s->lock);
    if (oldest)
        reap(oldest);
    return oldest;
}

/* --- who may ------------------------------------------------------------------------------------------------------ */

static bool in_group(int fd, const struct ucred *peer, gid_t group)
{
    gid_t groups[GROUPS_MAX];
    socklen_t len = sizeof groups;
    if (peer->gid == group)
        return true;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) != 0)
        return false;
    for (size_t i = 0; i < len / sizeof *groups; i++)
        if (groups[i] == group)
            return true;
    return false;
}

/* The file's mode keeps others out already; but it can be changed, and a socket be handed on. */
static gq_status check_peer(struct gq_server *s, int fd, struct gq_who *who)
{
    struct ucred peer;
    socklen_t len = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0)
        return gq_error_errno(GQ_ERR_IO, errno, "the system does not say who connected to the control socket");
    *who = (struct gq_who){.by = "socket", .uid = peer.uid, .pid = peer.pid};
    if (peer.uid == 0 || peer.uid == geteuid() || in_group(fd, &peer, s->address.group))
        return GQ_OK;
    return gq_error_set(GQ_ERR_UNAVAILABLE,
                        "user %u may not control this pipeline: it is for root, for user %u who runs it, and for "
                        "members of group %u",
                        (unsigned)peer.uid, (unsigned)geteuid(), (unsigned)s->address.group);
}

/* --- taking connections ------------------------------------------------------------------------------------------- */

static void turn_away(int fd, gq_status status)
{
    say_no(fd, status);
    close(fd);
}

static gq_status give_thread(struct connection *k, int fd, const struct gq_who *who)
{
    pthread_mutex_lock(&k->server->lock);
    k->fd = fd;
    k->who = *who;
    k->asked = k->give_up = false;
    k->doing = DOING_WAIT;
    k->since = ++k->server->waits;
    pthread_mutex_unlock(&k->server->lock);
    gq_status status = gq_thread_start(&k->thread, serve_connection, k, "a connection to the control socket");
    if (status != GQ_OK)
        *k = (struct connection){.server = k->server, .fd = -1};
    return status;
}

static void take(struct gq_server *s, int fd)
{
    struct gq_who who;
    gq_status status = check_peer(s, fd, &who);
    struct connection *k = status == GQ_OK ? free_place(s) : NULL;
    if (status == GQ_OK && !k)
        k = make_room(s);
    if (status == GQ_OK && !k)
        status =
            gq_error_set(GQ_ERR_FULL, "%u commands are being served; try again when one has ended", CONNECTIONS_MAX);
    if (status == GQ_OK)
        status = give_thread(k, fd, &who);
    if (status != GQ_OK)
        turn_away(fd, status);
}

static void *take_connections(void *server)
{
    struct gq_server *s = server;
    for (;;) {
        struct pollfd ready[2] = {{.fd = s->stop, .events = POLLIN}, {.fd = s->address.listener, .events = POLLIN}};
        if (poll(ready, 2, -1) < 0)
            continue;
        if (ready[0].revents)
            return NULL;
        int fd = accept4(s->address.listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) {
            take(s, fd);
        } else if (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR) { /* no descriptors left: it may pass */
            struct timespec nap = {.tv_nsec = 50000000};
            nanosleep(&nap, NULL);
        }
    }
}

/* --- start and stop ----------------------------------------------------------------------------------------------- */

gq_status gq_server_start(struct gq_control *c, const char *path, struct gq_server **out)
{
    *out = NULL;
    struct gq_server *s = calloc(1, sizeof *s);
    if (!s)
        return gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for the control socket");
    s->c = c;
    pthread_mutex_init(&s->lock, NULL);
    for (size_t i = 0; i < CONNECTIONS_MAX; i++)
        s->connection[i] = (struct connection){.server = s, .fd = -1};
    s->stop = eventfd(0, EFD_CLOEXEC);
    gq_status status = s->stop >= 0 ? GQ_OK : gq_error_errno(GQ_ERR_NO_MEMORY, errno, "eventfd");
    if (status == GQ_OK)
        status = gq_address_open(path, c->p->conf->name, &s->address);
    if (status == GQ_OK) {
        status = gq_thread_start(&s->thread, take_connections, s, "the control socket");
        if (status != GQ_OK)
            gq_address_close(&s->address);
    }
    if (status == GQ_OK) {
        *out = s;
        return GQ_OK;
    }
    if (s->stop >= 0)
        close(s->stop);
    pthread_mutex_destroy(&s->lock);
    free(s);
    return status;
}

void gq_server_stop(struct gq_server *s)
{
    if (!s)
        return;
    ssize_t written = write(s->stop, &(uint64_t){1}, sizeof(uint64_t));
    gq_assert(written == sizeof(uint64_t));
    pthread_join(s->thread, NULL);
    gq_address_close(&s->address); /* nobody finds us from here on; who is served, or reads, is waited for */
    for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
        struct connection *k = &s->connection[i];
        pthread_mutex_lock(&s->lock);
        k->give_up = k->doing != DOING_SERVE;
        if (k->fd >= 0) /* who is being answered reads it to its end */
            shutdown(k->fd, SHUT_RD);
        bool runs = k->doing != DOING_NOTHING;
        pthread_mutex_unlock(&s->lock);
        if (runs)
            reap(k);
    }
    close(s->stop);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

const char *gq_server_path(const struct gq_server *s) { return s->address.path; }
