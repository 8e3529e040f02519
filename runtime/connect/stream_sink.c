/* Sinks `file`, `stdout` and `null`: messages joined into a byte stream, or counted and forgotten. */
#include "connect/connect.h"
#include "base/file.h"
#include "base/hold.h"
#include "connect/checkpoint.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUFFER (256u << 10)
#define READER_WAIT_NS 20000000u /* between two looks for the reader of a FIFO */

struct stream {
    struct gq_sink base;
    int fd, abandon_fd; /* fd is -1 where the run was to end before there was a reader: nothing comes then */
    bool waits;         /* a write may block: anything but a regular file */
    bool broken;        /* a write failed, and what was in the buffer is lost: no flush is well from then on */
    const char *name;
    enum gq_framing join;
    uint8_t *buffer;
    size_t used;
    uint64_t written; /* bytes of the output so far, those in the buffer left out */
};

static gq_status wait_writable(const struct stream *s)
{
    struct pollfd p[2] = {{.fd = s->fd, .events = POLLOUT}, {.fd = s->abandon_fd, .events = POLLIN}};
    int n;
    do
        n = poll(p, 2, -1);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return gq_error_errno(GQ_ERR_IO, errno, "waiting for its reader");
    return p[1].revents ? gq_error_set(GQ_ERR_IO, "its reader stood still until the drain's time was over") : GQ_OK;
}

/* A reader that stands still must not hold gq_stop for ever. Where poll says that a pipe has room, a write of PIPE_BUF
 * bytes does not block (pipe(7)). */
static gq_status write_with_patience(const struct stream *s, const uint8_t *bytes, size_t len)
{
    while (len > 0) {
        gq_status status = wait_writable(s);
        if (status != GQ_OK)
            return status;
        ssize_t n = write(s->fd, bytes, len < PIPE_BUF ? len : PIPE_BUF);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (n < 0)
            return gq_error_errno(GQ_ERR_IO, errno, "writing %zu bytes", len);
        bytes += n;
        len -= (size_t)n;
    }
    return GQ_OK;
}

static gq_status write_out(struct stream *s, const void *bytes, size_t len)
{
    gq_status status = s->waits ? write_with_patience(s, bytes, len) : gq_file_write_all(s->fd, bytes, len);
    s->written += len;
    s->broken = status != GQ_OK;
    return status == GQ_OK ? GQ_OK : gq_error_prefix(status, "%s: ", s->name);
}

static gq_status stream_flush(struct gq_sink *sink)
{
    struct stream *s = (struct stream *)sink;
    if (s->broken)
        return gq_error_set(GQ_ERR_IO, "%s: results before these could not be written", s->name);
    gq_status status = s->used ? write_out(s, s->buffer, s->used) : GQ_OK;
    s->used = 0;
    return status;
}

static gq_status append(struct stream *s, const void *bytes, size_t len)
{
    gq_status status = GQ_OK;
    if (s->used + len > BUFFER)
        status = stream_flush(&s->base);
    if (status != GQ_OK || len > BUFFER)
        return status == GQ_OK ? write_out(s, bytes, len) : status;
    if (len)
        memcpy(s->buffer + s->used, bytes, len);
    s->used += len;
    return GQ_OK;
}

static size_t head_of(enum gq_framing join, uint32_t len, uint8_t head[5])
{
    size_t n = 0;
    if (join == GQ_FRAME_LENGTH32)
        for (; n < 4; n++)
            head[n] = (uint8_t)(len >> (8 * n));
    if (join == GQ_FRAME_VARINT) {
        for (; len >= 0x80; len >>= 7)
            head[n++] = (uint8_t)(len | 0x80);
        head[n++] = (uint8_t)len;
    }
    return n;
}

static gq_status stream_put(struct gq_sink *sink, const uint8_t *bytes, uint32_t len)
{
    struct stream *s = (struct stream *)sink;
    uint8_t head[5];
    gq_status status = append(s, head, head_of(s->join, len, head));
    if (status == GQ_OK)
        status = append(s, bytes, len);
    if (status == GQ_OK && s->join == GQ_FRAME_LINES)
        status = append(s, "\n", 1);
    return status;
}

static gq_status stream_close(struct gq_sink *sink)
{
    struct stream *s = (struct stream *)sink;
    gq_status status = stream_flush(sink);
    if (s->fd > STDERR_FILENO && gq_hold_close(s->fd) != 0 && status == GQ_OK)
        status = gq_error_errno(GQ_ERR_IO, errno, "%s", s->name);
    free(s->buffer);
    free(s);
    return status;
}

static gq_status stream_open(const struct gq_conf *conf, const struct gq_sink_ops *ops, int fd, const char *name,
                             int abandon_fd, struct gq_sink **out)
{
    struct stream *s = calloc(1, sizeof *s);
    if (s)
        s->buffer = malloc(BUFFER);
    if (!s || !s->buffer) {
        free(s);
        return gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for writing %s", name);
    }
    s->base.ops = ops;
    struct stat info;
    s->fd = fd;
    s->abandon_fd = abandon_fd;
    s->waits = fstat(fd, &info) != 0 || !S_ISREG(info.st_mode);
    s->name = name;
    s->join = conf->sink.join;
    *out = &s->base;
    return GQ_OK;
}

static gq_status check_path(const char *name, int fd, const char *what, const char *path)
{
    if (!path || !gq_file_is_named(fd, path))
        return GQ_OK;
    return gq_error_set(GQ_ERR_CONFIG, "the sink, %s, and %s, %s, are one file: write to another", name, what, path);
}

/* A run writes no file that it reads, or has for something else: what the sink empties is lost, and results behind the
 * end of the source would be read as messages, without end. What the pipeline file names was compared with it; which
 * files are standard input and output is known here alone. */
static gq_status check_apart(const struct gq_conf *conf, int fd, const char *name)
{
    struct stat out, in;
    gq_status status = GQ_OK;
    if (fstat(fd, &out) != 0 || !S_ISREG(out.st_mode))
        return GQ_OK;
    if (conf->source.kind == GQ_SOURCE_STDIN && fstat(STDIN_FILENO, &in) == 0 && gq_file_same(&in, &out))
        return gq_error_set(GQ_ERR_CONFIG,
                            "the sink, %s, and the source, standard input, are one file: write to another", name);
    const struct {
        const char *what, *path;
    } others[] = {{"the source", conf->source.path},
                  {"the dead letters", conf->dead_letter},
                  {"the file of plugins.pins", conf->plugin_pins},
                  {"the pipeline file", conf->file}};
    for (size_t i = 0; i < sizeof others / sizeof *others && status == GQ_OK; i++)
        status = check_path(name, fd, others[i].what, others[i].path);
    for (size_t i = 0; i < conf->stage_count && status == GQ_OK; i++)
        status = check_path(name, fd, "a plugin", conf->stages[i].plugin);
    return status;
}

/* Two runs that write one file would write over each other's results: the second is refused before it empties it.
 * Anything but a regular file, such as a terminal, takes what several write. */
static gq_status take_over(const struct gq_conf *conf, int fd)
{
    static const struct gq_hold_words words = {
        .name = "the sink",
        .kept = "results are kept",
        .busy = "another run is writing it: wait until it has ended, or name another file as sink",
        .busy_status = GQ_ERR_IO,
    };
    struct stat info;
    if (fstat(fd, &info) != 0)
        return gq_error_errno(GQ_ERR_IO, errno, "%s", conf->sink.path);
    if (!S_ISREG(info.st_mode))
        return GQ_OK;
    gq_status status = gq_hold_lock(conf->sink.path, fd, &words);
    if (status != GQ_OK || conf->delivery == GQ_DELIVERY_EXACTLY_ONCE) /* resume() says what stays */
        return status;
    return ftruncate(fd, 0) == 0 ? GQ_OK : gq_error_errno(GQ_ERR_IO, errno, "emptying %s", conf->sink.path);
}

/* O_NONBLOCK: a FIFO without a reader is waited for where an interrupt is seen, not in open(). */
static int open_now(const char *path) { return open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0666); }

static bool is_fifo(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISFIFO(info.st_mode);
}

static void tell_wait(const struct gq_sink_run *run, const char *path)
{
    char text[GQ_ERROR_TEXT_MAX];
    if (!run->note)
        return;
    snprintf(text, sizeof text, "the sink %s is a FIFO that nobody reads: the run waits for a reader", path);
    run->note(run->note_context, text);
}

/* No poll tells of a reader before the file is open. *out is -1 after an interrupt. */
static gq_status open_with_reader(const char *path, const struct gq_sink_run *run, int *out)
{
    bool told = false;
    while ((*out = open_now(path)) < 0) {
        const int err = errno;
        if (err != ENXIO || !is_fifo(path))
            return gq_error_errno(GQ_ERR_IO, err, "%s", path);
        if (!told)
            tell_wait(run, path);
        told = true;
        if (gq_connect_interrupted(run->interrupt_fd, READER_WAIT_NS))
            return GQ_OK;
    }
    return GQ_OK;
}

static gq_status open_file(const struct gq_conf *conf, const struct gq_sink_run *run, struct gq_sink **out)
{
    int fd;
    gq_status status = open_with_reader(conf->sink.path, run, &fd);
    if (status == GQ_OK && fd >= 0)
        status = check_apart(conf, fd, conf->sink.path);
    if (status == GQ_OK && fd >= 0)
        status = take_over(conf, fd);
    if (status == GQ_OK)
        status = stream_open(conf, &gq_sink_file, fd, conf->sink.path, run->abandon_fd, out);
    if (status != GQ_OK && fd >= 0)
        close(fd);
    return status;
}

static gq_status file_sync(struct gq_sink *sink, uint64_t *bytes)
{
    struct stream *s = (struct stream *)sink;
    gq_status status = stream_flush(sink);
    if (status == GQ_OK)
        status = gq_checkpoint_sync(s->fd, s->name);
    *bytes = s->written;
    return status;
}

static gq_status check_length(const char *name, const struct stat *info, uint64_t bytes)
{
    if (!S_ISREG(info->st_mode))
        return gq_error_set(GQ_ERR_DATA,
                            "%s is no regular file, and nothing else can be cut to what an earlier run made", name);
    if ((uint64_t)info->st_size >= bytes)
        return GQ_OK;
    return gq_error_set(GQ_ERR_DATA,
                        "%s has %" PRIu64 " bytes, and its checkpoint says that an earlier run made %" PRIu64
                        ": restore it, or remove the checkpoint to begin anew",
                        name, (uint64_t)info->st_size, bytes);
}

/* A name that leads nowhere for another reason than that nothing is there is open()'s to tell. */
static gq_status file_check(const struct gq_conf *conf, uint64_t bytes)
{
    struct stat info;
    if (stat(conf->sink.path, &info) == 0)
        return check_length(conf->sink.path, &info, bytes);
    if (errno != ENOENT || bytes == 0)
        return GQ_OK;
    return gq_error_set(GQ_ERR_DATA,
                        "%s is missing, and its checkpoint says that an earlier run made %" PRIu64
                        " bytes: restore it, or remove the checkpoint to begin anew",
                        conf->sink.path, bytes);
}

static gq_status file_resume(struct gq_sink *sink, uint64_t bytes)
{
    struct stream *s = (struct stream *)sink;
    struct stat info;
    if (fstat(s->fd, &info) != 0)
        return gq_error_errno(GQ_ERR_IO, errno, "%s", s->name);
    gq_status status = check_length(s->name, &info, bytes);
    if (status != GQ_OK)
        return status;
    if (ftruncate(s->fd, (off_t)bytes) != 0 || lseek(s->fd, (off_t)bytes, SEEK_SET) < 0)
        return gq_error_errno(GQ_ERR_IO, errno, "%s", s->name);
    s->written = bytes;
    return GQ_OK;
}

static gq_status open_stdout(const struct gq_conf *conf, const struct gq_sink_run *run, struct gq_sink **out)
{
    static const char name[] = "standard output";
    gq_status status = check_apart(conf, STDOUT_FILENO, name);
    return status == GQ_OK ? stream_open(conf, &gq_sink_stdout, STDOUT_FILENO, name, run->abandon_fd, out) : status;
}

/* --- null --------------------------------------------------------------------------------------------------------- */

static gq_status null_open(const struct gq_conf *conf, const struct gq_sink_run *run, struct gq_sink **out)
{
    (void)conf, (void)run;
    static struct gq_sink null = {&gq_sink_null};
    *out = &null;
    return GQ_OK;
}

static gq_status null_put(struct gq_sink *sink, const uint8_t *bytes, uint32_t len)
{
    (void)sink, (void)bytes, (void)len;
    return GQ_OK;
}

static gq_status null_done(struct gq_sink *sink)
{
    (void)sink;
    return GQ_OK;
}

const struct gq_sink_ops gq_sink_file = {.kind = GQ_SINK_FILE,
                                         .open = open_file,
                                         .put = stream_put,
                                         .flush = stream_flush,
                                         .close = stream_close,
                                         .check = file_check,
                                         .sync = file_sync,
                                         .resume = file_resume};
const struct gq_sink_ops gq_sink_stdout = {
    .kind = GQ_SINK_STDOUT, .open = open_stdout, .put = stream_put, .flush = stream_flush, .close = stream_close};
const struct gq_sink_ops gq_sink_null = {
    .kind = GQ_SINK_NULL, .open = null_open, .put = null_put, .flush = null_done, .close = null_done};
