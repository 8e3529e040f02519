/* bad_disk.h - a disk on which calls fail when they are told to. For a program of one source, linked with --wrap of
 * write, fdatasync and ftruncate.
 */
#ifndef TESTS_UNIT_BAD_DISK_H
#define TESTS_UNIT_BAD_DISK_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <unistd.h>

static int write_error, sync_error, truncate_error; /* 0: the call does what it should */
static size_t written_first;                        /* bytes that arrive before the error */
static uint32_t syncs, sync_us;                     /* how many there were; how long one takes */
static bool unsynced;                               /* something was written since the last one */

ssize_t __real_write(int fd, const void *bytes, size_t len);
ssize_t __wrap_write(int fd, const void *bytes, size_t len);
int __wrap_fdatasync(int fd);
int __real_ftruncate(int fd, off_t len);
int __wrap_ftruncate(int fd, off_t len);

ssize_t __wrap_write(int fd, const void *bytes, size_t len)
{
    unsynced = true;
    if (!write_error)
        return __real_write(fd, bytes, len);
    if (written_first > 0 && written_first < len) {
        const size_t some = written_first;
        written_first = 0;
        return __real_write(fd, bytes, some);
    }
    errno = write_error;
    return -1;
}

int __wrap_fdatasync(int fd)
{
    (void)fd;
    __atomic_fetch_add(&syncs, 1, __ATOMIC_RELAXED);
    usleep(sync_us);
    unsynced = sync_error != 0;
    errno = sync_error;
    return sync_error ? -1 : 0;
}

int __wrap_ftruncate(int fd, off_t len)
{
    errno = truncate_error;
    return truncate_error ? -1 : __real_ftruncate(fd, len);
}

#endif
