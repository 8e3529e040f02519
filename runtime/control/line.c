#include "control/line.h"
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include "base/assert.h"
#include "base/clock.h"

void gq_line_init(struct gq_line_reader *r, int fd) { *r = (struct gq_line_reader){.fd = fd}; }

void gq_line_finish(struct gq_line_reader *r) { gq_text_finish(&r->bytes); }

/* Until the socket is ready for `events`; GQ_ERR_TIMEOUT when the deadline comes first. */
static gq_status wait_for(int fd, short events, uint64_t deadline_ns)
{
    for (;;) {
        uint64_t now = gq_clock_ns(), left = deadline_ns > now ? deadline_ns - now : 0;
        struct pollfd ready = {.fd = fd, .events = events};
        int timeout = deadline_ns == UINT64_MAX   ? -1
                      : left / 1000000 >= INT_MAX ? INT_MAX
                                                  : (int)((left + 999999) / 1000000);
        int n = poll(&ready, 1, timeout);
        if (n > 0)
            return GQ_OK;
        if (n < 0 && errno != EINTR)
            return gq_error_errno(GQ_ERR_IO, errno, "waiting for the other side of the control socket");
        if (n == 0 && deadline_ns != UINT64_MAX && gq_clock_past(deadline_ns))
            return gq_error_set(GQ_ERR_TIMEOUT, "the other side of the control socket took too long");
    }
}

/* More bytes; *got is 0 at the end of the stream. */
static gq_status receive(struct gq_line_reader *r, uint64_t deadline_ns, size_t *got)
{
    char chunk[4096];
    for (;;) {
        gq_status status = wait_for(r->fd, POLLIN, deadline_ns);
        if (status != GQ_OK)
            return status;
        ssize_t n = recv(r->fd, chunk, sizeof chunk, MSG_DONTWAIT);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (n < 0)
            return gq_error_errno(GQ_ERR_IO, errno, "reading from the control socket");
        *got = (size_t)n;
        gq_text_add(&r->bytes, chunk, *got);
        return r->bytes.failed ? gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for a line") : GQ_OK;
    }
}

/* What was given out goes, so that a connection holds no more than one line and one chunk. */
static void forget_used(struct gq_line_reader *r)
{
    if (r->used == 0)
        return;
    r->bytes.len -= r->used;
    memmove(r->bytes.data, r->bytes.data + r->used, r->bytes.len + 1);
    r->used = 0;
}

gq_status gq_line_read(struct gq_line_reader *r, uint64_t deadline_ns, size_t max, char **line, size_t *len)
{
    size_t looked = 0, got = 0;
    *line = NULL;
    *len = 0;
    forget_used(r);
    for (;;) {
        char *end = r->bytes.len > looked ? memchr(r->bytes.data + looked, '\n', r->bytes.len - looked) : NULL;
        size_t length = end ? (size_t)(end - r->bytes.data) : r->bytes.len;
        if (length > max)
            return gq_error_set(GQ_ERR_INVALID_ARG, "a line is longer than %zu bytes", max);
        if (end) {
            *end = '\0';
            *line = r->bytes.data;
            *len = length;
            r->used = length + 1;
            return GQ_OK;
        }
        looked = r->bytes.len;
        gq_status status = receive(r, deadline_ns, &got);
        if (status != GQ_OK)
            return status;
        if (got == 0)
            return r->bytes.len ? gq_error_set(GQ_ERR_IO, "the control socket was closed in the middle of a line")
                                : GQ_OK;
    }
}

gq_status gq_line_send(int fd, const void *bytes, size_t len, uint64_t deadline_ns)
{
    const char *at = bytes;
    gq_assert(fd >= 0);
    while (len > 0) {
        ssize_t n = send(fd, at, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN) {
            gq_status status = wait_for(fd, POLLOUT, deadline_ns);
            if (status != GQ_OK)
                return status;
        } else if (n < 0 && errno != EINTR) {
            return gq_error_errno(GQ_ERR_IO, errno, "writing to the control socket");
        } else if (n > 0) {
            at += n;
            len -= (size_t)n;
        }
    }
    return GQ_OK;
}
