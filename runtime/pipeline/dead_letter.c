#include "pipeline/dead_letter.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/file.h"
#include "base/hold.h"
#include "pipeline/dead_letter_format.h"
#include "pipeline/dead_letter_read.h"

#define FILE_MODE 0640u

/* --- opening ------------------------------------------------------------------------------------------------------ */

static const struct gq_hold_words words = {
    .name = "the dead letters",
    .kept = "dead letters are kept",
    .busy = "another pipeline or command is writing these dead letters: give each pipeline a file of its own, or wait "
            "for the command",
    .busy_status = GQ_ERR_IO,
};

/* All letters are read: a file that is damaged is found before a message depends on it. */
static gq_status look_through(struct gq_dead_file *file)
{
    struct gq_dead_reader r;
    struct gq_dead_letter letter;
    gq_status status = gq_dead_reader_begin(&r, file->fd, file->path);
    file->kept_bytes = r.at;
    while (status == GQ_OK && (status = gq_dead_read(&r, &letter)) == GQ_OK)
        if (file->life == 0 || letter.life != file->life || letter.position <= file->position)
            file->kept_bytes = r.at;
    file->bytes = r.at;
    __atomic_store_n(&file->torn_bytes, r.torn_bytes, __ATOMIC_RELAXED);
    gq_dead_reader_close(&r);
    return status == GQ_ERR_NOT_FOUND ? GQ_OK : status;
}

static gq_status write_all(struct gq_dead_file *file, const struct gq_text *bytes)
{
    gq_status status = gq_file_write_all(file->fd, bytes->data, bytes->len);
    if (status == GQ_OK) {
        file->bytes += bytes->len;
        return GQ_OK;
    }
    gq_error_prefix(status, "%s: ", file->path);
    /* Half a letter is taken away again. What comes after a failure is not known, so nothing is written behind it. */
    file->broken = true;
    if (ftruncate(file->fd, (off_t)file->bytes) != 0)
        return status; /* the next to open the file cuts it */
    return status;
}

static const char *place_of(const struct gq_dead_file *file) { return file->place ? file->place : file->path; }

/* The header is durable before there is a letter: a file whose beginning a crash lost would be no file of ours. */
static gq_status begin_file(struct gq_dead_file *file)
{
    struct gq_text header = {0};
    gq_dead_write_header(&header, gq_clock_unix_ns());
    gq_status status =
        header.failed ? gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for a dead letter") : write_all(file, &header);
    gq_text_finish(&header);
    file->kept_bytes = file->bytes;
    if (status == GQ_OK)
        status = gq_dead_sync(file);
    return status == GQ_OK ? gq_hold_sync_folder(place_of(file)) : status;
}

static void leave_place(struct gq_dead_file *file)
{
    free(file->place);
    file->place = NULL;
}

static void let_go(struct gq_dead_file *file)
{
    if (file->fd >= 0)
        gq_hold_close(file->fd);
    file->fd = -1;
}

static gq_status open_file(struct gq_dead_file *file, int flags)
{
    if (file->fd >= 0)
        return GQ_OK;
    file->bytes = 0;
    __atomic_store_n(&file->torn_bytes, 0, __ATOMIC_RELAXED);
    gq_status status = gq_hold_open(place_of(file), flags, FILE_MODE, &words, &file->fd);
    if (status != GQ_OK || file->fd < 0)
        return status;
    status = look_through(file);
    if (status == GQ_OK && file->torn_bytes > 0 && ftruncate(file->fd, (off_t)file->bytes) != 0)
        status = gq_error_errno(GQ_ERR_IO, errno, "%s: cutting a torn tail", file->path);
    if (status == GQ_OK && file->bytes == 0)
        status = begin_file(file);
    if (status != GQ_OK)
        let_go(file);
    return status;
}

gq_status gq_dead_open(struct gq_dead_file *file)
{
    file->fd = -1;
    file->broken = false;
    file->place = gq_path_absolute(file->path);
    gq_status status = open_file(file, 0);
    if (status != GQ_OK)
        leave_place(file);
    return status;
}

/* What speaks against the file, or against making it in its folder; 0: nothing. */
static int try_place(const char *path, bool *is_there)
{
    int err = access(path, R_OK | W_OK) == 0 ? 0 : errno;
    *is_there = err != ENOENT;
    if (*is_there)
        return err;
    char *folder = gq_path_folder(path);
    err = folder && access(folder, W_OK | X_OK) == 0 ? 0 : errno;
    free(folder);
    return err;
}

gq_status gq_dead_check(const char *path)
{
    bool is_there;
    const int err = try_place(path, &is_there);
    if (err == 0)
        return GQ_OK;
    return gq_error_set(GQ_ERR_IO,
                        "dead letters go to %s, which cannot be %s (%s): name another file in "
                        "on_error.dead_letter.file.path",
                        path, is_there ? "written" : "made", strerror(err));
}

gq_status gq_dead_explain(const char *path, gq_status status)
{
    return status == GQ_ERR_IO && gq_dead_check(path) != GQ_OK ? GQ_ERR_IO : status;
}

/* --- letters ------------------------------------------------------------------------------------------------------ */

static gq_status check_room(const struct gq_dead_file *file, const struct gq_dead_letter *letter, size_t len)
{
    if (len <= file->max_bytes && file->bytes <= file->max_bytes - len)
        return GQ_OK;
    return gq_error_set(GQ_ERR_IO,
                        "%s: the dead letters are full: they are %" PRIu64 " bytes, the letter of message %" PRIu64
                        " is %zu more, and on_error.dead_letter.file.max_bytes allows %" PRIu64
                        "; replay or drop some with gpuq dlq, or allow more",
                        file->path, file->bytes, letter->id, len, file->max_bytes);
}

/* Somebody removed the file, and the letters in it with it. What comes now must not go the same way: it has a new one.
 */
static void leave_removed(struct gq_dead_file *file)
{
    struct stat info;
    if (file->fd >= 0 && fstat(file->fd, &info) == 0 && info.st_nlink == 0)
        let_go(file);
}

gq_status gq_dead_put(struct gq_dead_file *file, const struct gq_dead_letter *letter)
{
    struct gq_text record = {0};
    if (file->broken)
        return gq_error_set(GQ_ERR_IO, "%s: writing a dead letter failed before, and the file is given up", file->path);
    leave_removed(file);
    gq_status status = gq_dead_explain(place_of(file), open_file(file, O_CREAT));
    if (status == GQ_OK)
        status = gq_dead_write_letter(&record, letter);
    if (status == GQ_OK)
        status = check_room(file, letter, record.len);
    if (status == GQ_OK)
        status = write_all(file, &record);
    if (status == GQ_OK)
        __atomic_store_n(&file->written, file->written + 1, __ATOMIC_RELAXED);
    gq_text_finish(&record);
    return status;
}

gq_status gq_dead_take_back(struct gq_dead_file *file)
{
    if (file->fd < 0 || file->kept_bytes == file->bytes)
        return GQ_OK;
    if (ftruncate(file->fd, (off_t)file->kept_bytes) != 0)
        return gq_error_errno(GQ_ERR_IO, errno, "%s: cutting the letters that are written again", file->path);
    file->bytes = file->kept_bytes;
    return GQ_OK;
}

gq_status gq_dead_sync(struct gq_dead_file *file)
{
    if (file->fd < 0)
        return GQ_OK;
    if (file->unsynced)
        return gq_error_set(GQ_ERR_IO, "%s: making dead letters durable failed before", file->path);
    if (fdatasync(file->fd) == 0)
        return GQ_OK;
    /* The kernel may have let go of the bytes: asking again would say that all is well. */
    file->broken = file->unsynced = true;
    return gq_error_errno(GQ_ERR_IO, errno, "%s: making dead letters durable", file->path);
}

gq_status gq_dead_close(struct gq_dead_file *file)
{
    gq_status status = gq_dead_sync(file);
    let_go(file);
    leave_place(file);
    return status;
}

/* --- written anew ------------------------------------------------------------------------------------------------- */

/* Whom letters are shown to, and where those go that stay. The new file is made for the first of them. */
struct rewrite {
    gq_dead_judge stays;
    void *context;
    struct gq_dead_file *fresh; /* NULL: nowhere */
    char *name;                 /* of the new file, */
    bool own;                   /* which nobody else writes */
};

/* A disk that is full has no room for a second file: who has to make room is told of the way that needs none. */
static gq_status explain(gq_status status, const struct gq_dead_file *file)
{
    if (status != GQ_ERR_IO)
        return status;
    char why[GQ_ERROR_TEXT_MAX];
    snprintf(why, sizeof why, "%s", gq_error_text());
    return gq_error_set(
        status,
        "%s: the letters that stay are written to a new file beside it first, and that failed: %s; the "
        "letters are as they were: make room, or let all of them go with `gpuq dlq drop %s --all`, which "
        "needs none",
        file->path, why, file->path);
}

/* Who was killed may have left one, of which the next one makes its own. */
static gq_status make_fresh(struct rewrite *w)
{
    if (w->fresh->fd >= 0)
        return GQ_OK;
    w->fresh->fd = open(w->name, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (w->fresh->fd < 0)
        return gq_error_errno(GQ_ERR_IO, errno, "%s", w->name);
    gq_status status = gq_hold_lock(w->name, w->fresh->fd, &words);
    if (status == GQ_OK && ftruncate(w->fresh->fd, 0) != 0)
        status = gq_error_errno(GQ_ERR_IO, errno, "%s", w->name);
    w->own = status == GQ_OK;
    return status == GQ_OK ? begin_file(w->fresh) : status;
}

static gq_status keep(struct rewrite *w, const struct gq_dead_file *from, const struct gq_dead_letter *letter)
{
    gq_status status = make_fresh(w);
    if (status == GQ_OK)
        status = gq_dead_put(w->fresh, letter);
    return explain(status, from);
}

static gq_status go_through(const struct gq_dead_file *from, struct rewrite *w)
{
    struct gq_dead_reader r;
    struct gq_dead_letter letter;
    gq_status status = gq_dead_reader_begin(&r, from->fd, from->path);
    while (status == GQ_OK && (status = gq_dead_read(&r, &letter)) == GQ_OK)
        if (w->stays(&letter, r.name, r.number, w->context) && w->fresh)
            status = keep(w, from, &letter);
    gq_dead_reader_close(&r);
    return status == GQ_ERR_NOT_FOUND ? GQ_OK : status;
}

gq_status gq_dead_walk(struct gq_dead_file *file, gq_dead_judge each, void *context)
{
    return go_through(file, &(struct rewrite){.stays = each, .context = context});
}

/* The new file has the old one's place, its mode, and a lock of its own before anybody can see it. */
static gq_status take_place(struct gq_dead_file *file, struct gq_dead_file *fresh)
{
    struct stat info;
    gq_status status = explain(gq_dead_sync(fresh), file);
    if (status != GQ_OK)
        return status;
    if (fstat(file->fd, &info) != 0 || fchmod(fresh->fd, info.st_mode & 07777) != 0 ||
        rename(fresh->path, file->path) != 0)
        return gq_error_errno(GQ_ERR_IO, errno, "%s: taking the place of the old letters", file->path);
    close(file->fd);
    file->fd = fresh->fd;
    file->bytes = fresh->bytes;
    fresh->fd = -1;
    return gq_hold_sync_folder(file->path);
}

/* No letter stays: the header does. A length changes at once, so a crash leaves every letter or none. */
static gq_status cut_all(struct gq_dead_file *file)
{
    if (ftruncate(file->fd, GQ_DEAD_HEADER_BYTES) != 0)
        return gq_error_errno(GQ_ERR_IO, errno, "%s: cutting the letters", file->path);
    file->bytes = file->kept_bytes = GQ_DEAD_HEADER_BYTES;
    return gq_dead_sync(file);
}

gq_status gq_dead_rewrite(struct gq_dead_file *file, gq_dead_judge stays, void *context)
{
    struct gq_text name = {0};
    gq_text_printf(&name, "%s.new", file->path);
    if (name.failed)
        return gq_error_set(GQ_ERR_NO_MEMORY, "%s: out of memory", file->path);
    struct gq_dead_file fresh = {.path = name.data, .max_bytes = UINT64_MAX, .fd = -1};
    struct rewrite w = {.stays = stays, .context = context, .fresh = &fresh, .name = name.data};
    gq_status status = go_through(file, &w);
    if (status == GQ_OK)
        status = fresh.fd < 0 ? cut_all(file) : take_place(file, &fresh);
    if (fresh.fd >= 0 && w.own)
        unlink(name.data);
    let_go(&fresh);
    gq_text_finish(&name);
    return status;
}
