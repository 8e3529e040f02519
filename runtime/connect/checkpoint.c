#include "connect/checkpoint.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/file.h"
#include "base/hold.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC 0x3250434751u /* "QGCP2", read as a little-endian word */
#define PLACE_BYTES 4096u   /* what a disk writes at once is no longer */
#define PLACES 2u

/* A record as it lies in the file; words are little-endian, as on every machine that gpuqueue runs on. */
struct record {
    uint64_t magic;
    uint64_t number;  /* from 1 */
    uint8_t what[32]; /* digest of source and framings */
    struct gq_checkpoint_mark mark;
    uint8_t check[32]; /* SHA-256 of what is before it */
};

struct gq_checkpoint {
    int fd;
    char *path, *place; /* as it was named, and absolute: a program may change its folder before the first record */
    uint64_t number;    /* of the newest record */
    bool settled;       /* the output and this file are durable as names in their folder */
    uint8_t what[32];
};

/* --- records --------------------------------------------------------------------------------------------------------
 */

static void seal(struct record *r) { gq_digest_bytes(r, offsetof(struct record, check), r->check); }

static bool is_whole(const struct record *r)
{
    struct record same = *r;
    seal(&same);
    return r->magic == MAGIC && r->number != 0 && memcmp(same.check, r->check, sizeof r->check) == 0;
}

/* Text of everything that a position means nothing without. */
static gq_status describe(const struct gq_conf *conf, uint8_t what[32])
{
    char source[PATH_MAX];
    struct gq_text text = {0};
    if (!realpath(conf->source.path, source))
        return gq_error_errno(GQ_ERR_IO, errno, "%s", conf->source.path);
    gq_text_printf(&text, "%s\n%s %u\n%s\n", source, gq_framing_name(conf->source.split), conf->source.record_bytes,
                   gq_framing_name(conf->sink.join));
    gq_digest_bytes(gq_text_str(&text), text.len, what);
    const bool failed = text.failed;
    gq_text_finish(&text);
    return failed ? gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for a checkpoint") : GQ_OK;
}

static gq_status read_place(const struct gq_checkpoint *c, unsigned place, struct record *r)
{
    *r = (struct record){0};
    for (size_t at = 0; at < sizeof *r;) {
        const ssize_t n = pread(c->fd, (char *)r + at, sizeof *r - at, (off_t)(place * PLACE_BYTES + at));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return gq_error_errno(GQ_ERR_IO, errno, "%s", c->path);
        if (n == 0)
            return GQ_OK; /* no record, then */
        at += (size_t)n;
    }
    return GQ_OK;
}

static bool has_bytes(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && info.st_size > 0;
}

/* The newest whole one; number 0: there is none, and nothing that a run has made would be lost without. The first one
 * goes to the second place, so whatever lies in the first place says that there was one; and so does an output, for a
 * checkpoint has a record before the output has a byte. */
static gq_status read_newest(const struct gq_checkpoint *c, const char *output, struct record *newest)
{
    static const struct record nothing;
    bool had_one = false;
    *newest = nothing;
    for (unsigned place = 0; place < PLACES; place++) {
        struct record r;
        const gq_status status = read_place(c, place, &r);
        if (status != GQ_OK)
            return status;
        had_one |= place == 0 && memcmp(&r, &nothing, sizeof r) != 0;
        if (is_whole(&r) && r.number > newest->number)
            *newest = r;
    }
    if (newest->number || (!had_one && !has_bytes(output)))
        return GQ_OK;
    return gq_error_set(
        GQ_ERR_DATA,
        "the checkpoint %s has no whole record: it is damaged, or another program's; restore it, or remove "
        "it to begin anew, which empties %s",
        c->path, output);
}

static gq_status write_place(const struct gq_checkpoint *c, const struct record *r)
{
    const off_t place = (off_t)(r->number % PLACES) * PLACE_BYTES;
    for (size_t at = 0; at < sizeof *r;) {
        const ssize_t n = pwrite(c->fd, (const char *)r + at, sizeof *r - at, place + (off_t)at);
        if (n < 0 && errno != EINTR)
            return gq_error_errno(GQ_ERR_IO, errno, "%s", c->path);
        at += n > 0 ? (size_t)n : 0;
    }
    return GQ_OK;
}

/* --- life -----------------------------------------------------------------------------------------------------------
 */

gq_status gq_checkpoint_sync(int fd, const char *name)
{
    if (fdatasync(fd) == 0)
        return GQ_OK;
    return gq_error_set(GQ_ERR_IO,
                        "%s: the system could not make it durable (%s), and nobody knows what of it is; the run stops, "
                        "and the next one goes on from what is safe",
                        name, strerror(errno));
}

static gq_status lock(const struct gq_checkpoint *c)
{
    if (flock(c->fd, LOCK_EX | LOCK_NB) == 0)
        return GQ_OK;
    if (errno == EWOULDBLOCK)
        return gq_error_set(GQ_ERR_FULL, "another run has the checkpoint %s: wait until it has ended", c->path);
    return gq_error_errno(GQ_ERR_IO, errno, "locking the checkpoint %s", c->path);
}

/* A life begins: with the record that says so, and before it has a letter. */
static gq_status begin(struct gq_checkpoint *c, struct gq_checkpoint_mark *from)
{
    *from = (struct gq_checkpoint_mark){.life = ((uint32_t)gq_clock_unix_ns() & GQ_LIFE_MAX) | 1};
    c->settled = true; /* names come later: this file's, and then the output's */
    const gq_status status = gq_checkpoint_commit(c, from);
    c->settled = false;
    return status;
}

/* Is the file that is locked what its name says, and the other name free? Else another run was here in between. */
static bool is_ours(const struct gq_checkpoint *c, const char *fresh)
{
    struct stat other;
    return gq_file_is_named(c->fd, fresh) && lstat(c->path, &other) != 0 && errno == ENOENT;
}

/* The file has its name when it has a record: one without is damaged, then, and was not left by a run that was killed.
 * An output that was there before the first run can thus be told from one that a run made. */
static gq_status name_it(struct gq_checkpoint *c, const char *fresh, struct gq_checkpoint_mark *from)
{
    if (!is_ours(c, fresh))
        return gq_error_set(GQ_ERR_FULL, "another run began with the checkpoint %s at the same time: try again",
                            c->path);
    if (ftruncate(c->fd, 0) != 0)
        return gq_error_errno(GQ_ERR_IO, errno, "the checkpoint %s", fresh);
    gq_status status = begin(c, from);
    if (status == GQ_OK && rename(fresh, c->path) != 0)
        status = gq_error_errno(GQ_ERR_IO, errno, "naming the checkpoint %s", c->path);
    return status == GQ_OK ? gq_hold_sync_folder(c->path) : status;
}

static gq_status refuse(const char *path, int err)
{
    if (err == ELOOP)
        return gq_error_set(GQ_ERR_IO,
                            "the checkpoint %s is a symbolic link, and not the file that was expected: remove the "
                            "link, or put the file there",
                            path);
    return gq_error_errno(GQ_ERR_IO, err, "the checkpoint %s", path);
}

/* One that comes to nothing is removed, while it is locked: another run may have the name as soon as it is not. */
static gq_status make(struct gq_checkpoint *c, const char *fresh, struct gq_checkpoint_mark *from)
{
    c->fd = open(fresh, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (c->fd < 0)
        return refuse(fresh, errno);
    gq_status status = lock(c);
    if (status != GQ_OK)
        return status;
    status = name_it(c, fresh, from);
    if (status != GQ_OK && gq_file_is_named(c->fd, fresh))
        (void)unlink(fresh);
    return status;
}

static gq_status go_on(struct gq_checkpoint *c, const struct gq_conf *conf, struct gq_checkpoint_mark *from)
{
    struct record newest;
    gq_status status = lock(c);
    if (status == GQ_OK)
        status = read_newest(c, conf->sink.path, &newest);
    if (status != GQ_OK)
        return status;
    if (newest.number == 0) {
        status = begin(c, from);
        return status == GQ_OK ? gq_hold_sync_folder(c->path) : status;
    }
    if (memcmp(newest.what, c->what, sizeof c->what) != 0)
        return gq_error_set(GQ_ERR_CONFIG,
                            "the checkpoint %s was written for another source, split or join; remove it to begin anew, "
                            "which empties %s",
                            c->path, conf->sink.path);
    c->number = newest.number;
    *from = newest.mark;
    return GQ_OK;
}

static gq_status make_or_go_on(struct gq_checkpoint *c, const struct gq_conf *conf, const char *fresh,
                               struct gq_checkpoint_mark *from)
{
    c->fd = open(c->path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (c->fd < 0 && errno == ENOENT)
        return make(c, fresh, from);
    if (c->fd < 0)
        return refuse(c->path, errno);
    const gq_status status = go_on(c, conf, from);
    if (status == GQ_OK)
        (void)unlink(fresh); /* of a run that was killed, where a checkpoint was put in its place since */
    return status;
}

static gq_status take_up(struct gq_checkpoint *c, const struct gq_conf *conf, struct gq_checkpoint_mark *from)
{
    struct gq_text fresh = {0};
    gq_status status = describe(conf, c->what);
    gq_text_printf(&fresh, "%s" GQ_CHECKPOINT_NEW_SUFFIX, c->path);
    if (status == GQ_OK && fresh.failed)
        status = gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for a checkpoint");
    if (status == GQ_OK)
        status = make_or_go_on(c, conf, fresh.data, from);
    gq_text_finish(&fresh);
    return status;
}

gq_status gq_checkpoint_open(const struct gq_conf *conf, struct gq_checkpoint **out, struct gq_checkpoint_mark *from)
{
    struct gq_checkpoint *c = calloc(1, sizeof *c);
    const size_t len = strlen(conf->sink.path);
    *from = (struct gq_checkpoint_mark){0};
    *out = NULL;
    if (c)
        c->path = malloc(len + sizeof GQ_CHECKPOINT_SUFFIX);
    if (!c || !c->path) {
        free(c);
        return gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for a checkpoint");
    }
    memcpy(c->path, conf->sink.path, len);
    memcpy(c->path + len, GQ_CHECKPOINT_SUFFIX, sizeof GQ_CHECKPOINT_SUFFIX);
    c->fd = -1;
    c->place = gq_path_absolute(c->path);
    gq_status status =
        c->place ? take_up(c, conf, from) : gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for a checkpoint");
    if (status != GQ_OK) {
        *from = (struct gq_checkpoint_mark){0};
        gq_checkpoint_close(c);
        return status;
    }
    *out = c;
    return GQ_OK;
}

gq_status gq_checkpoint_commit(struct gq_checkpoint *c, const struct gq_checkpoint_mark *mark)
{
    struct record r = {.magic = MAGIC, .number = c->number + 1, .mark = *mark};
    memcpy(r.what, c->what, sizeof r.what);
    seal(&r);
    gq_status status = c->settled ? GQ_OK : gq_hold_sync_folder(c->place);
    c->settled = true;
    if (status == GQ_OK)
        status = write_place(c, &r);
    if (status == GQ_OK)
        status = gq_checkpoint_sync(c->fd, c->path);
    c->number = r.number;
    return status;
}

const char *gq_checkpoint_path(const struct gq_checkpoint *c) { return c->path; }

void gq_checkpoint_close(struct gq_checkpoint *c)
{
    if (!c)
        return;
    if (c->fd >= 0)
        gq_hold_close(c->fd);
    free(c->place);
    free(c->path);
    free(c);
}
