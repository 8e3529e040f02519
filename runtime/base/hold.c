#include "base/hold.h"
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"

#define TRIES 100 /* a file that is written anew between our open and our lock is opened again */

static gq_status refuse(const char *path, int err, const struct gq_hold_words *words)
{
    if (err == ELOOP)
        return gq_error_set(GQ_ERR_IO, "%s: is a symbolic link, and %s in a file: name the file itself", path,
                            words->kept);
    return gq_error_errno(GQ_ERR_IO, err, "opening %s %s", words->name, path);
}

gq_status gq_hold_lock(const char *path, int fd, const struct gq_hold_words *words)
{
    struct stat info;
    if (fstat(fd, &info) != 0)
        return gq_error_errno(GQ_ERR_IO, errno, "%s", path);
    if (!S_ISREG(info.st_mode))
        return gq_error_set(GQ_ERR_IO, "%s: is not a regular file, and %s in one", path, words->kept);
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        return GQ_OK;
    if (errno == EWOULDBLOCK)
        return gq_error_set(words->busy_status, "%s: %s", path, words->busy);
    return gq_error_errno(GQ_ERR_IO, errno, "locking %s %s", words->name, path);
}

/* O_NONBLOCK: a FIFO without a reader must be refused, not waited for. */
gq_status gq_hold_open(const char *path, int flags, unsigned mode, const struct gq_hold_words *words, int *out)
{
    *out = -1;
    for (int i = 0; i < TRIES; i++) {
        int fd = open(path, O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | flags, mode);
        if (fd < 0 && errno == ENOENT && !(flags & O_CREAT))
            return GQ_OK;
        if (fd < 0)
            return refuse(path, errno, words);
        gq_status status = gq_hold_lock(path, fd, words);
        if (status == GQ_OK && gq_file_is_named(fd, path)) {
            *out = fd;
            return GQ_OK;
        }
        close(fd);
        if (status != GQ_OK)
            return status;
    }
    return gq_error_set(GQ_ERR_IO, "%s: is replaced again and again by somebody else", path);
}

int gq_hold_close(int fd)
{
    flock(fd, LOCK_UN);
    return close(fd);
}

gq_status gq_hold_sync_folder(const char *path)
{
    char *folder = gq_path_folder(path);
    if (!folder)
        return gq_error_set(GQ_ERR_NO_MEMORY, "%s: out of memory", path);
    const int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    gq_status status = GQ_OK;
    if (fd < 0 || (fsync(fd) != 0 && errno != EINVAL)) /* EINVAL: a file system that has nothing to do for it */
        status = gq_error_errno(GQ_ERR_IO, errno, "making the folder %s durable", folder);
    if (fd >= 0)
        close(fd);
    free(folder);
    return status;
}
