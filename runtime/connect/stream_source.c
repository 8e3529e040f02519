/* Sources `file` and `stdin`: a byte stream cut into messages. */
#include "connect/connect.h"
#include "base/assert.h"
#include <errno.h>
#include <fcntl.h>
#include <gpuqueue/layout.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK (256u << 10)
#define VARINT_MAX 10 /* bytes of a varint of 64 bits; the last one holds one of them */

struct stream {
    struct gq_source base;
    int fd, interrupt_fd;
    bool waits; /* a read may block: anything but a regular file */
    bool ended;
    const char *name;
    enum gq_framing split;
    uint32_t record_bytes, slot_bytes;
    uint8_t *buffer;
    size_t cap, start, end; /* unread bytes are buffer[start .. end) */
    uint64_t offset;        /* of buffer[start] in the stream */
    uint64_t records;
    bool whole_done;
};

/* --- bytes -----------------------------------------------------------------------------------------------------------
 */

enum fill { FILL_MORE, FILL_END, FILL_WAIT, FILL_ERROR };

/* A blocking read is made only when poll says that it will not block, so an interrupt is never missed. */
static enum fill wait_input(struct stream *s, bool may_wait)
{
    struct pollfd p[2] = {{.fd = s->fd, .events = POLLIN}, {.fd = s->interrupt_fd, .events = POLLIN}};
    int n;
    do
        n = poll(p, 2, may_wait ? -1 : 0);
    while (n < 0 && errno == EINTR);
    if (n < 0) {
        gq_error_errno(GQ_ERR_IO, errno, "waiting for %s", s->name);
        return FILL_ERROR;
    }
    if (p[1].revents)
        return FILL_END;
    return n == 0 ? FILL_WAIT : FILL_MORE;
}

static enum fill fill(struct stream *s, bool may_wait)
{
    if (s->ended)
        return FILL_END;
    if (s->start > 0) {
        memmove(s->buffer, s->buffer + s->start, s->end - s->start);
        s->end -= s->start;
        s->start = 0;
    }
    gq_assert(s->end < s->cap);
    if (!s->waits && gq_connect_interrupted(s->interrupt_fd, 0))
        return FILL_END;
    for (;;) {
        enum fill ready = s->waits ? wait_input(s, may_wait) : FILL_MORE;
        if (ready != FILL_MORE)
            return ready;
        ssize_t n = read(s->fd, s->buffer + s->end, s->cap - s->end);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (n < 0) {
            gq_error_errno(GQ_ERR_IO, errno, "reading %s at offset %" PRIu64, s->name, s->offset + s->end);
            return FILL_ERROR;
        }
        s->ended = n == 0;
        s->end += (size_t)n;
        return n == 0 ? FILL_END : FILL_MORE;
    }
}

static uint32_t consume(struct stream *s, uint8_t *to, size_t skip, size_t len, size_t after)
{
    memcpy(to, s->buffer + s->start + skip, len);
    s->start += skip + len + after;
    s->offset += skip + len + after;
    s->records++;
    return (uint32_t)len;
}

static enum gq_next data_error(const struct stream *s, const char *what, uint64_t is, uint64_t limit)
{
    gq_error_set(GQ_ERR_DATA,
                 "%s: record %" PRIu64 " at offset %" PRIu64 ": %s (%" PRIu64 " bytes, %" PRIu64 " expected at most)",
                 s->name, s->records + 1, s->offset, what, is, limit);
    return GQ_NEXT_ERROR;
}

static enum gq_next truncated(const struct stream *s, uint64_t have, uint64_t need)
{
    gq_error_set(GQ_ERR_DATA,
                 "%s: record %" PRIu64 " at offset %" PRIu64 " is cut short: %" PRIu64 " of %" PRIu64
                 " bytes are there",
                 s->name, s->records + 1, s->offset, have, need);
    return GQ_NEXT_ERROR;
}

/* --- framings
 * ---------------------------------------------------------------------------------------------------------- Each looks
 * at the bytes there are: true when it took a message or failed (*next says), false when it needs more. */

static bool cut_line(struct stream *s, uint8_t *to, uint32_t cap, uint32_t *len, enum gq_next *next)
{
    size_t have = s->end - s->start;
    uint8_t *newline = memchr(s->buffer + s->start, '\n', have);
    size_t line = newline ? (size_t)(newline - (s->buffer + s->start)) : have;
    *next = GQ_NEXT_MESSAGE;
    if (line > cap) {
        gq_error_set(GQ_ERR_DATA, "%s:%" PRIu64 ": the line is longer than queue.slot_bytes, which is %" PRIu32 "%s",
                     s->name, s->records + 1, cap,
                     cap < GQ_SLOT_BYTES_MAX ? ": raise it" : ", the most that there can be");
        *next = GQ_NEXT_ERROR;
        return true;
    }
    if (!newline && !s->ended)
        return false;
    if (!newline && have == 0)
        *next = GQ_NEXT_END;
    else
        *len = consume(s, to, 0, line, newline != NULL);
    return true;
}

/* A message of `body` bytes behind a head of `head` bytes. */
static bool cut_body(struct stream *s, size_t head, uint64_t body, uint8_t *to, uint32_t cap, uint32_t *len,
                     enum gq_next *next)
{
    size_t have = s->end - s->start;
    *next = GQ_NEXT_MESSAGE;
    if (body > cap) {
        *next = data_error(s, "is longer than queue.slot_bytes", body, cap);
        return true;
    }
    if (have >= head + body) {
        *len = consume(s, to, head, (size_t)body, 0);
        return true;
    }
    if (s->ended)
        *next = truncated(s, have, head + body);
    return s->ended;
}

/* True when the stream ended between two records, or within the head of one. */
static bool ended_in_head(struct stream *s, size_t need, enum gq_next *next)
{
    size_t have = s->end - s->start;
    if (have >= need || !s->ended)
        return false;
    *next = have == 0 ? GQ_NEXT_END : truncated(s, have, need);
    return true;
}

static bool cut_length32(struct stream *s, uint8_t *to, uint32_t cap, uint32_t *len, enum gq_next *next)
{
    if (s->end - s->start < 4)
        return ended_in_head(s, 4, next);
    const uint8_t *p = s->buffer + s->start;
    uint32_t body = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
    return cut_body(s, 4, body, to, cap, len, next);
}

static bool cut_varint(struct stream *s, uint8_t *to, uint32_t cap, uint32_t *len, enum gq_next *next)
{
    uint64_t body = 0;
    size_t have = s->end - s->start, head = 0;
    uint8_t byte = 0x80;
    for (; byte & 0x80 && head < have && head < VARINT_MAX; head++) {
        byte = s->buffer[s->start + head];
        body |= (uint64_t)(byte & 0x7f) << (7 * head);
    }
    if (head == VARINT_MAX && byte > 1) { /* what does not fit into 64 bits must not pass for what is left of it */
        gq_error_set(GQ_ERR_DATA,
                     "%s: record %" PRIu64 " at offset %" PRIu64 ": its varint length is longer than 64 bits", s->name,
                     s->records + 1, s->offset);
        *next = GQ_NEXT_ERROR;
        return true;
    }
    if (!(byte & 0x80))
        return cut_body(s, head, body, to, cap, len, next);
    return ended_in_head(s, head + 1, next);
}

static bool cut_fixed(struct stream *s, uint8_t *to, uint32_t cap, uint32_t *len, enum gq_next *next)
{
    if (s->end == s->start && s->ended) {
        *next = GQ_NEXT_END;
        return true;
    }
    return cut_body(s, 0, s->record_bytes, to, cap, len, next);
}

static bool cut_whole(struct stream *s, uint8_t *to, uint32_t cap, uint32_t *len, enum gq_next *next)
{
    size_t have = s->end - s->start;
    if (have > cap) {
        *next = data_error(s, "the whole input is one message and longer than queue.slot_bytes", have, cap);
        return true;
    }
    if (!s->ended)
        return false;
    *next = s->whole_done ? GQ_NEXT_END : GQ_NEXT_MESSAGE;
    if (!s->whole_done)
        *len = consume(s, to, 0, have, 0);
    s->whole_done = true;
    return true;
}

typedef bool cut_fn(struct stream *s, uint8_t *to, uint32_t cap, uint32_t *len, enum gq_next *next);

static cut_fn *const cuts[] = {
    [GQ_FRAME_LINES] = cut_line,  [GQ_FRAME_LENGTH32] = cut_length32, [GQ_FRAME_VARINT] = cut_varint,
    [GQ_FRAME_FIXED] = cut_fixed, [GQ_FRAME_WHOLE] = cut_whole,
};

static enum gq_next stream_next(struct gq_source *source, uint8_t *to, uint32_t cap, uint32_t *len, bool may_wait)
{
    struct stream *s = (struct stream *)source;
    enum gq_next next = GQ_NEXT_END;
    while (!cuts[s->split](s, to, cap, len, &next)) {
        switch (fill(s, may_wait)) {
        case FILL_MORE:
            break;
        case FILL_END:
            if (!s->ended)
                return GQ_NEXT_END; /* interrupted: what is half read was never accepted */
            break;
        case FILL_WAIT:
            return GQ_NEXT_WAIT;
        case FILL_ERROR:
            return GQ_NEXT_ERROR;
        }
    }
    return next;
}

/* --- life --------------------------------------------------------------------------------------------------------- */

static void stream_close(struct gq_source *source)
{
    struct stream *s = (struct stream *)source;
    if (s->fd > STDIN_FILENO)
        close(s->fd);
    free(s->buffer);
    free(s);
}

static gq_status stream_open(const struct gq_conf *conf, int fd, const char *name, int interrupt_fd,
                             struct gq_source **out)
{
    struct stream *s = calloc(1, sizeof *s);
    size_t cap = 2 * (size_t)conf->slot_bytes + 16 > CHUNK ? 2 * (size_t)conf->slot_bytes + 16 : CHUNK;
    if (s)
        s->buffer = malloc(cap);
    if (!s || !s->buffer) {
        free(s);
        return gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for reading %s", name);
    }
    struct stat info;
    s->fd = fd;
    s->interrupt_fd = interrupt_fd;
    s->waits = fstat(fd, &info) != 0 || !S_ISREG(info.st_mode);
    s->name = name;
    s->split = conf->source.split;
    s->record_bytes = conf->source.record_bytes;
    s->slot_bytes = conf->slot_bytes;
    s->cap = cap;
    *out = &s->base;
    return GQ_OK;
}

static gq_status open_file(const struct gq_conf *conf, int interrupt_fd, struct gq_source **out)
{
    /* O_NONBLOCK: a FIFO without a writer is waited for where an interrupt is seen, not in open(). */
    int fd = open(conf->source.path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return gq_error_errno(GQ_ERR_IO, errno, "%s", conf->source.path);
    posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    gq_status status = stream_open(conf, fd, conf->source.path, interrupt_fd, out);
    if (status != GQ_OK) {
        close(fd);
        return status;
    }
    (*out)->ops = &gq_source_file;
    return GQ_OK;
}

static gq_status open_stdin(const struct gq_conf *conf, int interrupt_fd, struct gq_source **out)
{
    gq_status status = stream_open(conf, STDIN_FILENO, "standard input", interrupt_fd, out);
    if (status == GQ_OK)
        (*out)->ops = &gq_source_stdin;
    return status;
}

/* --- going on where another run stopped ----------------------------------------------------------------------------
 */

static void stream_tell(const struct gq_source *source, uint64_t *position, uint64_t *records)
{
    const struct stream *s = (const struct stream *)source;
    *position = s->offset;
    *records = s->records;
}

/* A last line that only the file's end had ended may have its newline by now, which is not the next line's. One that
 * goes on was half a line. */
static gq_status resume_line(const struct stream *s, uint64_t *position, uint64_t records)
{
    uint8_t at[2]; /* the last byte of what was taken, and the next */
    ssize_t n;
    if (s->split != GQ_FRAME_LINES || *position == 0)
        return GQ_OK;
    do
        n = pread(s->fd, at, sizeof at, (off_t)*position - 1);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return gq_error_errno(GQ_ERR_IO, errno, "reading %s at offset %" PRIu64, s->name, *position - 1);
    if (n < 2 || at[0] == '\n')
        return GQ_OK;
    if (at[1] != '\n')
        return gq_error_set(GQ_ERR_DATA,
                            "%s:%" PRIu64 ": this line had no end when an earlier run took it, at offset %" PRIu64
                            ", and goes on now: end it there, or remove the output's checkpoint to begin anew",
                            s->name, records, *position);
    ++*position;
    return GQ_OK;
}

static gq_status stream_resume(struct gq_source *source, uint64_t position, uint64_t records)
{
    struct stream *s = (struct stream *)source;
    struct stat info;
    if (fstat(s->fd, &info) != 0)
        return gq_error_errno(GQ_ERR_IO, errno, "%s", s->name);
    if (!S_ISREG(info.st_mode))
        return gq_error_set(GQ_ERR_DATA, "%s is no regular file, and nobody can go on in the middle of another one",
                            s->name);
    if ((uint64_t)info.st_size < position)
        return gq_error_set(GQ_ERR_DATA,
                            "%s has %" PRIu64 " bytes, and an earlier run is done with %" PRIu64
                            " of it: it was cut or replaced; restore it, or remove the output's checkpoint to begin "
                            "anew",
                            s->name, (uint64_t)info.st_size, position);
    if (s->split == GQ_FRAME_WHOLE && records && (uint64_t)info.st_size > position)
        return gq_error_set(GQ_ERR_DATA,
                            "%s has %" PRIu64 " bytes, and an earlier run took the first %" PRIu64
                            " of it as the whole: restore it, or remove the output's checkpoint to begin anew",
                            s->name, (uint64_t)info.st_size, position);
    gq_status status = resume_line(s, &position, records);
    if (status != GQ_OK)
        return status;
    if (lseek(s->fd, (off_t)position, SEEK_SET) < 0)
        return gq_error_errno(GQ_ERR_IO, errno, "%s", s->name);
    s->offset = position;
    s->records = records;
    s->whole_done = records != 0;
    return GQ_OK;
}

const struct gq_source_ops gq_source_file = {.kind = GQ_SOURCE_FILE,
                                             .open = open_file,
                                             .next = stream_next,
                                             .close = stream_close,
                                             .tell = stream_tell,
                                             .resume = stream_resume};
const struct gq_source_ops gq_source_stdin = {
    .kind = GQ_SOURCE_STDIN, .open = open_stdin, .next = stream_next, .close = stream_close};
