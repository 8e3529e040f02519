#include "crash_disk.h"
#include <errno.h>
#include <fcntl.h>
#include <gpuqueue.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "stress/require.h"

#define FILES 16

/* A file that was opened for writing. */
struct file {
    int fd;   /* the program's; -1: closed */
    int ours; /* to look at it, and to lose what it has; 0: none */
    char *saved;
    off_t saved_len; /* as it was made durable */
    char name[256];  /* of a file that was made, until its folder is durable; else "" */
};

static struct {
    const char *folder;
    bool counts;   /* calls count, and one of them is the last */
    uint32_t left; /* calls until then */
    bool torn;
    enum loss loss;
    struct file file[FILES];
    char from[256], to[256], before[256]; /* a rename that is not durable: `before` is what had the name */
    bool was_free;                        /* nothing had it */
} disk;

ssize_t __real_write(int fd, const void *bytes, size_t len);
ssize_t __real_pwrite(int fd, const void *bytes, size_t len, off_t at);
int __real_ftruncate(int fd, off_t len);
int __real_open(const char *path, int flags, ...);
int __real_close(int fd);
int __real_rename(const char *from, const char *to);
ssize_t __wrap_write(int fd, const void *bytes, size_t len);
ssize_t __wrap_pwrite(int fd, const void *bytes, size_t len, off_t at);
int __wrap_ftruncate(int fd, off_t len);
int __wrap_fdatasync(int fd);
int __wrap_fsync(int fd);
int __wrap_open(const char *path, int flags, ...);
int __wrap_close(int fd);
int __wrap_rename(const char *from, const char *to);

static struct file *find(int fd)
{
    for (int i = 0; i < FILES; i++)
        if (disk.file[i].ours && disk.file[i].fd == fd)
            return &disk.file[i];
    return NULL;
}

static off_t length_of(int fd)
{
    struct stat info;
    REQUIRE(fstat(fd, &info) == 0, "fstat");
    return info.st_size;
}

static void make_durable(struct file *f)
{
    f->saved_len = length_of(f->ours);
    f->saved = realloc(f->saved, (size_t)f->saved_len + 1);
    REQUIRE(pread(f->ours, f->saved, (size_t)f->saved_len, 0) == f->saved_len, "pread");
}

/* --- the end ------------------------------------------------------------------------------------------------------ */

/* Bytes behind what is durable are cut to half, to nothing, or are zeroes. Of bytes that were written over, all come
 * back, or half of them. */
static void lose_bytes(const struct file *f)
{
    const off_t len = length_of(f->ours), more = len > f->saved_len ? len - f->saved_len : 0;
    const off_t part = disk.loss == HALF ? f->saved_len / 2 : f->saved_len;
    REQUIRE(__real_pwrite(f->ours, f->saved, (size_t)part, 0) == part, "pwrite");
    REQUIRE(__real_ftruncate(f->ours, f->saved_len + (disk.loss == HALF ? more / 2 : 0)) == 0, "ftruncate");
    if (disk.loss == ZEROED)
        REQUIRE(__real_ftruncate(f->ours, len) == 0, "ftruncate");
}

static void lose_rename(void)
{
    if (!*disk.before)
        return;
    REQUIRE(__real_rename(disk.to, disk.from) == 0, "rename");
    REQUIRE(disk.was_free || __real_rename(disk.before, disk.to) == 0, "rename");
    *disk.before = '\0';
}

static void lose_names(void)
{
    if (disk.loss == KEPT || disk.loss == ZEROED)
        return;
    lose_rename();
    for (int i = 0; i < FILES; i++)
        if (*disk.file[i].name)
            unlink(disk.file[i].name);
}

static void crash(void)
{
    for (int i = 0; i < FILES && disk.loss != KEPT; i++)
        if (disk.file[i].ours)
            lose_bytes(&disk.file[i]);
    lose_names();
    if (*disk.before)
        unlink(disk.before);
    _exit(CRASHED);
}

/* True when this call is the last one, and half of it is done. */
static bool is_last(void)
{
    if (!disk.counts || disk.left-- > 0)
        return false;
    if (!disk.torn)
        crash();
    return true;
}

/* --- calls -------------------------------------------------------------------------------------------------------- */

ssize_t __wrap_write(int fd, const void *bytes, size_t len)
{
    if (!find(fd) || !is_last())
        return __real_write(fd, bytes, len);
    (void)!__real_write(fd, bytes, len / 2);
    crash();
    return -1;
}

ssize_t __wrap_pwrite(int fd, const void *bytes, size_t len, off_t at)
{
    if (!find(fd) || !is_last())
        return __real_pwrite(fd, bytes, len, at);
    (void)!__real_pwrite(fd, bytes, len / 2, at);
    crash();
    return -1;
}

int __wrap_ftruncate(int fd, off_t len)
{
    if (find(fd) && is_last())
        crash();
    return __real_ftruncate(fd, len);
}

int __wrap_fdatasync(int fd)
{
    struct file *f = find(fd);
    if (f && is_last())
        crash();
    if (f)
        make_durable(f);
    return 0;
}

/* Of a folder: names are durable. */
int __wrap_fsync(int fd)
{
    (void)fd;
    if (is_last())
        crash();
    if (*disk.before)
        unlink(disk.before);
    *disk.before = '\0';
    for (int i = 0; i < FILES; i++)
        *disk.file[i].name = '\0';
    return 0;
}

int __wrap_rename(const char *from, const char *to)
{
    if (disk.counts && strncmp(to, disk.folder, strlen(disk.folder)) == 0) {
        if (is_last())
            crash();
        REQUIRE(!*disk.before, "a second rename before the first is durable");
        snprintf(disk.from, sizeof disk.from, "%s", from);
        snprintf(disk.to, sizeof disk.to, "%s", to);
        snprintf(disk.before, sizeof disk.before, "%s.before", to);
        disk.was_free = link(to, disk.before) != 0;
        REQUIRE(!disk.was_free || errno == ENOENT, "link");
    }
    return __real_rename(from, to);
}

int __wrap_close(int fd)
{
    struct file *f = find(fd);
    if (f)
        f->fd = -1; /* what it wrote may be lost all the same */
    return __real_close(fd);
}

/* What lies in a file that is opened is durable. */
static void watch(int fd, const char *path, bool is_new)
{
    char name[64];
    struct file *f = disk.file;
    while (f->ours)
        f++;
    REQUIRE(f < disk.file + FILES, "too many files");
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    *f = (struct file){.fd = fd, .ours = __real_open(name, O_RDWR | O_CLOEXEC)};
    REQUIRE(f->ours > 0, "%s", name);
    snprintf(f->name, sizeof f->name, "%s", is_new ? path : "");
    make_durable(f);
}

int __wrap_open(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    const mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
    va_end(args);
    const bool is_new = access(path, F_OK) != 0;
    const int fd = __real_open(path, flags, mode);
    if (disk.counts && fd >= 0 && (flags & O_ACCMODE) != O_RDONLY &&
        strncmp(path, disk.folder, strlen(disk.folder)) == 0)
        watch(fd, path, is_new);
    return fd;
}

/* --- a process ---------------------------------------------------------------------------------------------------- */

int disk_run(const char *folder, uint32_t last, bool torn, enum loss loss, gq_status (*run)(void))
{
    int wait_status;
    const pid_t child = fork();
    if (child == 0) {
        disk.folder = folder;
        disk.counts = last != UINT32_MAX;
        disk.left = last;
        disk.torn = torn;
        disk.loss = loss;
        const gq_status status = run();
        if (status != GQ_OK)
            fprintf(stderr, "%s\n", gq_error_text());
        _exit(status == GQ_OK ? 0 : 1);
    }
    REQUIRE(child > 0 && waitpid(child, &wait_status, 0) == child, "a process");
    REQUIRE(WIFEXITED(wait_status), "it died of %d", wait_status);
    return WEXITSTATUS(wait_status);
}
