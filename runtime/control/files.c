#include "control/files.h"
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "base/file.h"

#define FILE_BYTES_MAX (64u << 20) /* as a plugin may have */
#define SETTLED_NS 50000000        /* without a write */
#define UNREAD_MAX 100             /* looks at a file that is there and cannot be read */

/* Keeps the digest before when the file is not there, or cannot be read: there is nothing to build then. True: it is
 * there, could not be read, and is to be looked at again, for the system may give next time what it did not give now, a
 * descriptor or memory; for ever is too long. */
static bool look_at(struct gq_file *f)
{
    struct gq_digest d;
    struct gq_text bytes = {0};
    const bool seen = gq_file_read(f->path, FILE_BYTES_MAX, &bytes) == GQ_OK;
    if (seen) {
        gq_digest_start(&d);
        gq_digest_part(&d, "file", gq_text_str(&bytes), bytes.len);
        gq_digest_finish(&d, f->digest);
    }
    gq_text_finish(&bytes);
    f->unread = seen || access(f->path, F_OK) != 0 ? 0 : f->unread + 1;
    return f->unread > 0 && f->unread < UNREAD_MAX;
}

static bool is_settled(const struct gq_file *f)
{
    struct stat info;
    struct timespec now;
    if (stat(f->path, &info) != 0)
        return true;
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t age = (int64_t)(now.tv_sec - info.st_mtim.tv_sec) * 1000000000 + (now.tv_nsec - info.st_mtim.tv_nsec);
    return age < 0 || age > SETTLED_NS;
}

static bool make_absolute(const char *path, struct gq_text *out)
{
    char folder[PATH_MAX];
    gq_text_clear(out);
    if (path[0] != '/' && getcwd(folder, sizeof folder))
        gq_text_printf(out, "%s/", folder);
    gq_text_puts(out, path);
    return !out->failed;
}

static const struct gq_file *find(const struct gq_files *files, const char *path)
{
    for (size_t i = 0; i < files->count; i++)
        if (strcmp(files->file[i].path, path) == 0)
            return &files->file[i];
    return NULL;
}

static gq_status out_of_memory(void)
{
    return gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for the list of files to watch: those that are new to it "
                                          "will not be watched before the next change");
}

static gq_status add(struct gq_files *to, const struct gq_files *before, const char *path)
{
    struct gq_file *more = realloc(to->file, (to->count + 1) * sizeof *more);
    if (more)
        to->file = more;
    char *copy = more ? strdup(path) : NULL;
    if (!copy)
        return out_of_memory();
    struct gq_file *f = &to->file[to->count++];
    const struct gq_file *known = find(before, path);
    *f = known ? *known : (struct gq_file){.joined = true};
    f->path = copy;
    return GQ_OK;
}

gq_status gq_files_set(struct gq_files *files, const struct gq_text *paths)
{
    struct gq_files next = {0};
    struct gq_text path = {0};
    gq_status status = paths->failed ? out_of_memory() : GQ_OK;
    for (size_t at = 0; at < paths->len && status == GQ_OK; at += strlen(paths->data + at) + 1)
        status = make_absolute(paths->data + at, &path) ? add(&next, files, gq_text_str(&path)) : out_of_memory();
    gq_files_finish(status == GQ_OK ? files : &next);
    if (status == GQ_OK)
        *files = next;
    gq_text_finish(&path);
    return status;
}

static uint64_t ns_of(struct timespec at) { return (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec; }

/* The clock that file systems stamp with. */
uint64_t gq_files_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    return ns_of(now);
}

static bool was_written_since(const struct gq_file *f, uint64_t since_ns)
{
    struct stat info;
    return stat(f->path, &info) == 0 && (ns_of(info.st_mtim) >= since_ns || ns_of(info.st_ctim) >= since_ns);
}

void gq_files_look_at_new(struct gq_files *files, uint64_t since_ns)
{
    for (size_t i = 0; i < files->count; i++) {
        struct gq_file *f = &files->file[i];
        if (!f->joined)
            continue;
        f->joined = false;
        if (was_written_since(f, since_ns))
            f->touched = true;
        else
            f->touched = look_at(f);
    }
}

void gq_files_finish(struct gq_files *files)
{
    for (size_t i = 0; i < files->count; i++)
        free(files->file[i].path);
    free(files->file);
    *files = (struct gq_files){0};
}

bool gq_files_touched(const struct gq_files *files)
{
    for (size_t i = 0; i < files->count; i++)
        if (files->file[i].touched)
            return true;
    return false;
}

bool gq_files_changed(struct gq_files *files)
{
    bool changed = false;
    for (size_t i = 0; i < files->count; i++) {
        struct gq_file *f = &files->file[i];
        char before[GQ_DIGEST_HEX];
        if (!f->touched || (f->unsettled && !is_settled(f)))
            continue;
        memcpy(before, f->digest, sizeof before);
        f->touched = look_at(f);
        f->unsettled = false;
        changed |= strcmp(before, f->digest) != 0;
    }
    return changed;
}
