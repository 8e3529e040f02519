/* A journal is written anew, without what is over. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/assert.h"
#include "base/file.h"
#include "pipeline/journal.h"

/* The file that is being made. */
struct fresh {
    struct gq_journal *j;
    struct gq_journal_image old;
    int fd;
    uint64_t stamp, at; /* `at`: what was written; the buffer comes behind it */
    uint64_t *places;   /* of the messages, in the order in which they are written */
    uint64_t count;
};

gq_status gq_journal_status_of(int err)
{
    return err == ENOSPC || err == EDQUOT || err == EFBIG ? GQ_ERR_FULL : GQ_ERR_IO;
}

static gq_status write_out(struct fresh *f)
{
    struct gq_text *buffer = &f->j->buffer;
    gq_status status = buffer->failed ? gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for a journal")
                                      : gq_file_write_all(f->fd, gq_text_str(buffer), buffer->len);
    if (status == GQ_ERR_IO)
        status = gq_error_errno(gq_journal_status_of(errno), errno, "writing the journal %s anew", f->j->path);
    f->at += buffer->len;
    gq_text_clear(buffer);
    return status;
}

static gq_status put(struct fresh *f, struct gq_journal_record *r)
{
    const uint64_t at = f->at + f->j->buffer.len;
    r->safe = at;
    gq_journal_put(&f->j->buffer, f->stamp, at, r);
    return f->j->buffer.len < GQ_JOURNAL_BUFFER ? GQ_OK : write_out(f);
}

static gq_status put_taken(struct fresh *f, uint32_t lane, uint64_t seq)
{
    const struct gq_journal_range range = {lane, seq, 1};
    const uint64_t at = f->at + f->j->buffer.len;
    gq_journal_put_taken(&f->j->buffer, f->stamp, at, at, &range, 1);
    return f->j->buffer.len < GQ_JOURNAL_BUFFER ? GQ_OK : write_out(f);
}

static gq_status put_message(struct fresh *f, uint32_t lane, uint64_t seq)
{
    struct gq_journal_record r;
    uint64_t end;
    const uint64_t place = *gq_journal_place(f->j, lane, seq), from = place & ~GQ_JOURNAL_IS_TAKEN;
    if (!gq_journal_get(f->old.bytes, f->old.size, f->j->stamp, from, &r, &end) || r.kind != GQ_JOURNAL_MESSAGE ||
        r.lane != lane || r.first != seq)
        return gq_error_set(GQ_ERR_IO, "%s: somebody else wrote into the journal", f->j->path);
    f->places[f->count++] = (f->at + f->j->buffer.len) | (place & GQ_JOURNAL_IS_TAKEN);
    gq_status status = put(f, &r);
    return status == GQ_OK && place & GQ_JOURNAL_IS_TAKEN ? put_taken(f, lane, seq) : status;
}

static gq_status put_lane(struct fresh *f, uint32_t i)
{
    const struct gq_journal_lane *lane = &f->j->lane[i];
    struct gq_journal_record r = {.kind = GQ_JOURNAL_LANE, .lane = i, .first = lane->first, .next = lane->next};
    gq_status status = put(f, &r);
    for (uint64_t seq = lane->first; seq < lane->next && status == GQ_OK; seq++)
        status = put_message(f, i, seq);
    return status;
}

static gq_status put_all(struct fresh *f)
{
    struct gq_journal_record r = {
        .kind = GQ_JOURNAL_BEGIN, .capacity = f->j->opts.capacity, .slot_bytes = f->j->opts.slot_bytes};
    gq_text_clear(&f->j->buffer);
    gq_journal_put_header(&f->j->buffer, f->stamp);
    gq_status status = put(f, &r);
    for (uint32_t i = 0; i < GQ_LANES_MAX && status == GQ_OK; i++)
        if (f->j->lane[i].places)
            status = put_lane(f, i);
    r = (struct gq_journal_record){.kind = GQ_JOURNAL_SEAL};
    if (status == GQ_OK)
        status = put(f, &r);
    return status == GQ_OK ? write_out(f) : status;
}

/* It is locked before anybody can see it under the journal's name. */
static gq_status make(struct fresh *f)
{
    const char *path = f->j->fresh_place;
    f->fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, GQ_JOURNAL_MODE);
    if (f->fd < 0)
        return gq_error_errno(gq_journal_status_of(errno), errno, "writing a journal anew, to %s", path);
    gq_status status = gq_hold_lock(path, f->fd, &gq_journal_words);
    if (status == GQ_OK)
        status = put_all(f);
    if (status == GQ_OK && fdatasync(f->fd) != 0)
        status = gq_error_errno(gq_journal_status_of(errno), errno, "making the journal %s durable", path);
    return status;
}

static void move_places(struct fresh *f)
{
    struct gq_journal *j = f->j;
    uint64_t n = 0;
    for (uint32_t i = 0; i < GQ_LANES_MAX; i++)
        for (uint64_t seq = j->lane[i].first; seq < j->lane[i].next; seq++)
            *gq_journal_place(j, i, seq) = f->places[n++];
    gq_assert(n == f->count);
}

static gq_status take_place(struct fresh *f)
{
    struct gq_journal *j = f->j;
    struct stat info;
    if (fstat(j->fd, &info) != 0 || fchmod(f->fd, info.st_mode & 07777) != 0 || rename(j->fresh_place, j->place) != 0)
        return gq_error_errno(gq_journal_status_of(errno), errno, "putting a journal in the place of %s", j->path);
    move_places(f);
    close(j->fd);
    j->fd = f->fd;
    f->fd = -1;
    j->stamp = f->stamp;
    j->bytes = j->safe_bytes = f->at;
    j->rewrite_at = 2 * f->at + j->opts.spare_bytes;
    j->pending_count = 0;
    j->due = false;
    return gq_hold_sync_folder(j->place);
}

static uint64_t count_messages(const struct gq_journal *j)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < GQ_LANES_MAX; i++)
        count += j->lane[i].next - j->lane[i].first;
    return count;
}

gq_status gq_journal_rewrite(struct gq_journal *j)
{
    gq_assert(!j->syncing);
    struct fresh f = {.j = j, .fd = -1};
    f.places = calloc(count_messages(j) + 1, sizeof *f.places);
    gq_status status = f.places ? GQ_OK : gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for a journal");
    if (status == GQ_OK && getrandom(&f.stamp, sizeof f.stamp, 0) != (ssize_t)sizeof f.stamp)
        status = gq_error_errno(GQ_ERR_IO, errno, "a number for the journal %s", j->path);
    if (status == GQ_OK)
        status = gq_journal_map(j, &f.old);
    if (status == GQ_OK)
        status = make(&f);
    if (status == GQ_OK)
        status = take_place(&f);
    if (f.fd >= 0) {
        close(f.fd);
        unlink(j->fresh_place);
    }
    gq_journal_unmap(&f.old);
    gq_text_clear(&j->buffer);
    free(f.places);
    return status;
}
