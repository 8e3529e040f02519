#include "base/channel.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/file.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

union control {
    struct cmsghdr head;
    char bytes[CMSG_SPACE(sizeof(int) * GQ_CHANNEL_FDS_MAX)];
};

gq_status gq_channel_send(int channel, const void *bytes, size_t len, const int *fds, size_t fd_count)
{
    gq_assert(len > 0 && len <= GQ_CHANNEL_BYTES_MAX && fd_count <= GQ_CHANNEL_FDS_MAX);
    union control control = {0};
    struct iovec part = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = len};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (fd_count) {
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
        struct cmsghdr *head = CMSG_FIRSTHDR(&message);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
        memcpy(CMSG_DATA(head), fds, sizeof(int) * fd_count);
    }
    ssize_t n;
    do
        n = sendmsg(channel, &message, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)len ? GQ_OK : gq_error_errno(GQ_ERR_DEVICE, errno, "sending to the other process");
}

/* What is there now, of what was asked for and of errors. */
static short look(int channel, short events)
{
    struct pollfd other = {.fd = channel, .events = events};
    int n;
    do
        n = poll(&other, 1, 0);
    while (n < 0 && errno == EINTR);
    return n > 0 ? other.revents : 0;
}

bool gq_channel_is_cut(int channel) { return look(channel, 0) & POLLHUP; }

bool gq_channel_has_word(int channel) { return look(channel, POLLIN) & (POLLIN | POLLHUP); }

static gq_status wait_readable(int channel, uint32_t timeout_ms)
{
    uint64_t deadline = gq_clock_deadline(timeout_ms);
    for (;;) {
        struct pollfd ready = {.fd = channel, .events = POLLIN};
        int n = poll(&ready, 1, gq_clock_poll_ms(deadline));
        if (n > 0)
            return GQ_OK;
        if (n == 0 && gq_clock_past(deadline))
            return gq_error_set(GQ_ERR_TIMEOUT, "the other process did not answer within %u ms", timeout_ms);
        if (n < 0 && errno != EINTR)
            return gq_error_errno(GQ_ERR_DEVICE, errno, "waiting for the other process");
    }
}

static size_t take_fds(struct msghdr *message, int *fds)
{
    for (struct cmsghdr *head = CMSG_FIRSTHDR(message); head; head = CMSG_NXTHDR(message, head)) {
        if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(fds, CMSG_DATA(head), count * sizeof(int));
        return count;
    }
    return 0;
}

gq_status gq_channel_receive(int channel, void *bytes, size_t cap, size_t *len, int *fds, size_t *fd_count,
                             uint32_t timeout_ms)
{
    *len = 0;
    *fd_count = 0;
    gq_status status = wait_readable(channel, timeout_ms);
    if (status != GQ_OK)
        return status;
    union control control;
    struct iovec part = {.iov_base = bytes, .iov_len = cap};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
    ssize_t n;
    do
        n = recvmsg(channel, &message, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == ECONNRESET ? GQ_OK : gq_error_errno(GQ_ERR_DEVICE, errno, "receiving from the other process");
    *fd_count = take_fds(&message, fds);
    *len = (size_t)n;
    if (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
        for (size_t i = 0; i < *fd_count; i++)
            close(fds[i]);
        *fd_count = 0;
        return gq_error_set(GQ_ERR_INTERNAL, "a packet of the other process is longer than %zu bytes", cap);
    }
    return GQ_OK;
}

gq_status gq_memfd_from(const char *name, const void *bytes, size_t len, int *out)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    *out = -1;
    if (fd < 0)
        return gq_error_errno(GQ_ERR_NO_MEMORY, errno, "memfd %s", name);
    gq_status status = gq_file_write_all(fd, bytes, len);
    if (status == GQ_OK && fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) != 0)
        status = gq_error_errno(GQ_ERR_INTERNAL, errno, "memfd %s: sealing", name);
    if (status != GQ_OK) {
        close(fd);
        return status;
    }
    *out = fd;
    return GQ_OK;
}

gq_status gq_memfd_read(int fd, size_t max, struct gq_text *out)
{
    gq_text_clear(out);
    char chunk[16384];
    for (off_t at = 0;;) {
        ssize_t n = pread(fd, chunk, sizeof chunk, at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return gq_error_errno(GQ_ERR_IO, errno, "reading a memfd");
        gq_text_add(out, chunk, (size_t)n);
        if (n == 0)
            return out->failed ? gq_error_set(GQ_ERR_NO_MEMORY, "out of memory") : GQ_OK;
        at += n;
        if (out->len > max)
            return gq_error_set(GQ_ERR_INTERNAL, "a memfd holds more than %zu bytes", max);
    }
}
