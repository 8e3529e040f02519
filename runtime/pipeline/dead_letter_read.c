#include "pipeline/dead_letter_read.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/assert.h"
#include "pipeline/dead_letter_format.h"

static gq_status was_cut(const struct gq_dead_reader *r)
{
    return gq_error_set(GQ_ERR_IO, "%s: was cut while it was read: read it again", r->path);
}

/* All `len` bytes: the file was that long a moment ago. */
static gq_status read_at(const struct gq_dead_reader *r, uint64_t at, void *bytes, size_t len)
{
    uint8_t *to = bytes;
    while (len > 0) {
        ssize_t n = pread(r->fd, to, len, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return gq_error_errno(GQ_ERR_IO, errno, "%s: reading", r->path);
        if (n == 0)
            return was_cut(r);
        to += n;
        at += (uint64_t)n;
        len -= (size_t)n;
    }
    return GQ_OK;
}

static gq_status read_header(struct gq_dead_reader *r)
{
    static const uint8_t nothing[GQ_DEAD_HEADER_BYTES];
    uint8_t header[GQ_DEAD_HEADER_BYTES] = {0};
    const size_t have = r->size < sizeof header ? (size_t)r->size : sizeof header;
    struct gq_text expected = {0};
    gq_status status = read_at(r, 0, header, have);
    gq_dead_write_header(&expected, 0);
    const bool begun = have < sizeof header && memcmp(header, gq_text_str(&expected), have < 16 ? have : 16) == 0;
    const bool torn = begun || (r->size == have && memcmp(header, nothing, have) == 0);
    gq_text_finish(&expected);
    if (status != GQ_OK || torn)
        return status; /* a crash left the beginning of a header, zeroes, or nothing; gq_dead_read() counts it */
    status = gq_dead_read_header(header);
    r->at = status == GQ_OK ? sizeof header : 0;
    return status == GQ_OK ? status : gq_error_prefix(status, "%s: ", r->path);
}

gq_status gq_dead_reader_begin(struct gq_dead_reader *r, int fd, const char *path)
{
    struct stat info;
    *r = (struct gq_dead_reader){.path = path, .fd = fd};
    if (fstat(fd, &info) != 0)
        return gq_error_errno(GQ_ERR_IO, errno, "%s", path);
    if (!S_ISREG(info.st_mode))
        return gq_error_set(GQ_ERR_IO, "%s: is not a regular file", path);
    r->size = (uint64_t)info.st_size;
    return read_header(r);
}

gq_status gq_dead_reader_open(struct gq_dead_reader *r, const char *path)
{
    *r = (struct gq_dead_reader){.path = path, .fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
    if (r->fd < 0)
        return gq_error_errno(GQ_ERR_IO, errno, "%s", path);
    gq_status status = gq_dead_reader_begin(r, r->fd, path);
    r->own_fd = true;
    return status;
}

static gq_status damaged(const struct gq_dead_reader *r)
{
    return gq_error_set(GQ_ERR_DATA,
                        "%s: is damaged at byte %" PRIu64 ", behind %" PRIu64
                        " whole letters: keep a copy, and move it out of the way",
                        r->path, r->at, r->number);
}

static gq_status end_torn(struct gq_dead_reader *r)
{
    r->torn_bytes = r->size - r->at;
    return GQ_ERR_NOT_FOUND;
}

/* A crash may leave a tail of zeros: the file's new length was written, and not its bytes. */
static gq_status end_zeros(struct gq_dead_reader *r)
{
    uint8_t bytes[4096];
    for (uint64_t at = r->at; at < r->size;) {
        const size_t len = r->size - at < sizeof bytes ? (size_t)(r->size - at) : sizeof bytes;
        gq_status status = read_at(r, at, bytes, len);
        if (status != GQ_OK)
            return status;
        for (size_t i = 0; i < len; i++)
            if (bytes[i] != 0)
                return damaged(r);
        at += len;
    }
    return end_torn(r);
}

static gq_status reserve(struct gq_dead_reader *r, uint32_t len)
{
    if (len <= r->body_cap)
        return GQ_OK;
    free(r->body);
    r->body = malloc(len);
    r->body_cap = r->body ? len : 0;
    return r->body ? GQ_OK : gq_error_set(GQ_ERR_NO_MEMORY, "%s: out of memory for a letter", r->path);
}

static gq_status read_letter(struct gq_dead_reader *r, struct gq_dead_letter *out)
{
    uint8_t frame[GQ_DEAD_FRAME_BYTES];
    uint32_t len;
    uint64_t name;
    gq_assert(r->at <= r->size);
    const uint64_t left = r->size - r->at;
    if (left < sizeof frame || r->at == 0)
        return end_torn(r);
    gq_status status = read_at(r, r->at, frame, sizeof frame);
    if (status != GQ_OK)
        return status;
    if (!gq_dead_read_frame(frame, &len, &name))
        return end_zeros(r);
    if (len > left - sizeof frame)
        return end_torn(r);
    status = reserve(r, len);
    if (status == GQ_OK)
        status = read_at(r, r->at + sizeof frame, r->body, len);
    if (status != GQ_OK)
        return status;
    if (!gq_dead_read_body(r->body, len, name, out))
        return len == left - sizeof frame ? end_torn(r) : damaged(r);
    r->at += sizeof frame + len;
    r->number++;
    r->name = name;
    return GQ_OK;
}

/* Who looks on holds no lock, which would keep a pipeline from its letters. Where the file was cut and has other
 * letters since, the place in it is inside of one of them; it is damaged if what was read still leads to the same
 * place. */
static gq_status look_again(const struct gq_dead_reader *r)
{
    struct gq_dead_reader again;
    struct gq_dead_letter letter;
    gq_status status = gq_dead_reader_begin(&again, r->fd, r->path);
    while (status == GQ_OK && again.number < r->number)
        status = read_letter(&again, &letter);
    const bool same = status == GQ_OK && again.at == r->at && again.name == r->name;
    if (same)
        status = read_letter(&again, &letter);
    gq_dead_reader_close(&again);
    return status == GQ_ERR_NO_MEMORY || (same && status == GQ_ERR_DATA) ? status : was_cut(r);
}

gq_status gq_dead_read(struct gq_dead_reader *r, struct gq_dead_letter *out)
{
    const gq_status status = read_letter(r, out);
    return status == GQ_ERR_DATA ? look_again(r) : status;
}

void gq_dead_reader_close(struct gq_dead_reader *r)
{
    if (r->own_fd)
        close(r->fd);
    free(r->body);
    *r = (struct gq_dead_reader){.fd = -1};
}
