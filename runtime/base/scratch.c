#include "base/scratch.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>
#include "base/file.h"

#define TRIES 100 /* somebody who removes what is left may take ours before it is locked */
#define ANY_NAME "XXXXXX"

static const char *base(void)
{
    const char *named = getenv("TMPDIR");
    return named && *named == '/' ? named : "/tmp";
}

static int remove_inside(const char *path, const struct stat *info, int kind, struct FTW *where)
{
    (void)info, (void)kind;
    return where->level > 0 ? remove(path) : 0;
}

static void empty(const char *folder) { nftw(folder, remove_inside, 16, FTW_DEPTH | FTW_PHYS); }

/* Where locks are refused nobody gets one, and nothing is removed. */
static bool is_locked_by_another(int fd) { return flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK; }

static int open_folder(const char *path) { return open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC); }

/* --- what others have left ---------------------------------------------------------------------------------------- */

static bool is_of_kind(const char *name, const char *prefix)
{
    return strncmp(name, prefix, strlen(prefix)) == 0 && strlen(name) == strlen(prefix) + strlen(ANY_NAME);
}

static bool is_ours(int fd)
{
    struct stat info;
    return fstat(fd, &info) == 0 && info.st_uid == geteuid() && (info.st_mode & 07777) == 0700;
}

static void remove_if_left(const char *path)
{
    const int fd = open_folder(path);
    if (fd < 0)
        return;
    if (is_ours(fd) && flock(fd, LOCK_EX | LOCK_NB) == 0 && gq_file_is_named(fd, path)) {
        empty(path);
        rmdir(path);
    }
    close(fd);
}

void gq_scratch_remove_left(const char *kind)
{
    char path[PATH_MAX], prefix[64];
    snprintf(prefix, sizeof prefix, "gpuqueue-%s-", kind);
    DIR *all = opendir(base());
    if (!all)
        return;
    for (const struct dirent *e; (e = readdir(all)) != NULL;)
        if (is_of_kind(e->d_name, prefix) && snprintf(path, sizeof path, "%s/%s", base(), e->d_name) < (int)sizeof path)
            remove_if_left(path);
    closedir(all);
}

/* --- ours --------------------------------------------------------------------------------------------------------- */

static gq_status make_one(const char *kind, struct gq_scratch *s, bool *taken)
{
    const int len = snprintf(s->folder, sizeof s->folder, "%s/gpuqueue-%s-" ANY_NAME, base(), kind);
    if (len >= (int)sizeof s->folder)
        return gq_error_set(GQ_ERR_UNAVAILABLE, "TMPDIR is too long a path to build in: %.200s", base());
    if (!mkdtemp(s->folder))
        return gq_error_errno(GQ_ERR_UNAVAILABLE, errno,
                              "making a folder to build in, %s; set TMPDIR to one that can be written", s->folder);
    s->lock = open_folder(s->folder);
    const int err = errno;
    *taken = s->lock < 0 ? err == ENOENT : is_locked_by_another(s->lock) || !gq_file_is_named(s->lock, s->folder);
    if (s->lock >= 0 && !*taken)
        return GQ_OK;
    if (s->lock >= 0)
        close(s->lock);
    if (!*taken)
        rmdir(s->folder);
    return *taken ? GQ_OK : gq_error_errno(GQ_ERR_UNAVAILABLE, err, "opening the folder to build in, %s", s->folder);
}

gq_status gq_scratch_make(const char *kind, struct gq_scratch *out)
{
    struct gq_scratch s;
    bool taken = true;
    gq_status status = GQ_OK;
    *out = (struct gq_scratch){0};
    for (int i = 0; i < TRIES && taken && status == GQ_OK; i++)
        status = make_one(kind, &s, &taken);
    if (status == GQ_OK && taken)
        status = gq_error_set(GQ_ERR_UNAVAILABLE, "folders to build in are removed from %s as soon as they are made",
                              base());
    if (status != GQ_OK)
        return status;
    *out = s;
    gq_scratch_remove_left(kind);
    return GQ_OK;
}

void gq_scratch_empty(const struct gq_scratch *scratch)
{
    if (scratch->folder[0])
        empty(scratch->folder);
}

void gq_scratch_remove(struct gq_scratch *scratch)
{
    if (!scratch->folder[0])
        return;
    empty(scratch->folder);
    rmdir(scratch->folder);
    close(scratch->lock);
    *scratch = (struct gq_scratch){0};
}
