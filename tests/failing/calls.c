/* calls.c - the calls that can be made to fail, each with an errno that it can really give. The linker sends the code
 * under test here (--wrap); CMakeLists.txt reads the names from this file.
 *
 * Not here are calls whose failure nobody can act on (close, munmap, kill, clock_gettime), futexes, writes to and reads
 * from an eventfd, and newlocale() of "C", which do not fail. */
#include "plan.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define FROM __builtin_return_address(0)

/* A call that fails with `err` and gives `failed`; `params` is how it is declared, `args` how it is called. */
#define CALL(type, name, params, args, err, waits, failed) \
    type __real_##name params;                             \
    type __wrap_##name params;                             \
    type __wrap_##name params { return failing_here(#name, err, waits, FROM) ? failed : __real_##name args; }

/* One that gives the error's number instead of setting errno. */
#define NUMBERED(name, params, args, err) CALL(int, name, params, args, err, false, err)

/* --- memory ------------------------------------------------------------------------------------------------------- */

#define ALLOCATES(type, name, params, args)                                                                   \
    type __real_##name params;                                                                                \
    type __wrap_##name params;                                                                                \
    type __wrap_##name params                                                                                 \
    {                                                                                                         \
        return failing_here(#name, ENOMEM, false, FROM) ? NULL : failing_allocated(__real_##name args, FROM); \
    }

ALLOCATES(void *, malloc, (size_t size), (size))
ALLOCATES(void *, calloc, (size_t count, size_t size), (count, size))
ALLOCATES(void *, aligned_alloc, (size_t alignment, size_t size), (alignment, size))
ALLOCATES(char *, strdup, (const char *text), (text))
ALLOCATES(char *, strndup, (const char *text, size_t len), (text, len))

void *__real_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size)
{
    if (failing_here("realloc", ENOMEM, false, FROM))
        return NULL;
    failing_freed(old);
    return failing_allocated(__real_realloc(old, size), FROM);
}

void __real_free(void *p);
void __wrap_free(void *p);
void __wrap_free(void *p)
{
    failing_freed(p);
    __real_free(p);
}

CALL(void *, mmap, (void *at, size_t len, int protection, int flags, int fd, off_t offset),
     (at, len, protection, flags, fd, offset), ENOMEM, false, MAP_FAILED)
CALL(int, mprotect, (void *at, size_t len, int protection), (at, len, protection), ENOMEM, false, -1)
CALL(int, memfd_create, (const char *name, unsigned flags), (name, flags), EMFILE, false, -1)
CALL(int, ftruncate, (int fd, off_t len), (fd, len), ENOSPC, false, -1)

/* --- threads and processes ---------------------------------------------------------------------------------------- */

NUMBERED(pthread_create, (pthread_t * thread, const pthread_attr_t *attributes, void *(*run)(void *), void *arg),
         (thread, attributes, run, arg), EAGAIN)
NUMBERED(pthread_key_create, (pthread_key_t * key, void (*end)(void *)), (key, end), EAGAIN)
NUMBERED(pthread_setspecific, (pthread_key_t key, const void *value), (key, value), ENOMEM)
NUMBERED(pthread_atfork, (void (*prepare)(void), void (*parent)(void), void (*child)(void)), (prepare, parent, child),
         ENOMEM)
NUMBERED(posix_spawn,
         (pid_t * pid, const char *path, const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attributes,
          char *const argv[], char *const env[]),
         (pid, path, actions, attributes, argv, env), EAGAIN)
NUMBERED(posix_spawnp,
         (pid_t * pid, const char *file, const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attributes,
          char *const argv[], char *const env[]),
         (pid, file, actions, attributes, argv, env), EAGAIN)
NUMBERED(posix_spawn_file_actions_init, (posix_spawn_file_actions_t * actions), (actions), ENOMEM)
NUMBERED(posix_spawn_file_actions_adddup2, (posix_spawn_file_actions_t * actions, int from, int to),
         (actions, from, to), ENOMEM)
NUMBERED(posix_spawn_file_actions_addopen,
         (posix_spawn_file_actions_t * actions, int fd, const char *path, int flags, mode_t mode),
         (actions, fd, path, flags, mode), ENOMEM)
NUMBERED(posix_spawn_file_actions_addclosefrom_np, (posix_spawn_file_actions_t * actions, int from), (actions, from),
         ENOMEM)
CALL(pid_t, fork, (void), (), EAGAIN, false, -1)
CALL(int, execve, (const char *path, char *const argv[], char *const env[]), (path, argv, env), ENOMEM, false, -1)
CALL(pid_t, waitpid, (pid_t pid, int *status, int flags), (pid, status, flags), 0, !(flags & WNOHANG), -1)
CALL(int, dup2, (int from, int to), (from, to), EMFILE, false, -1)
CALL(int, setrlimit, (int what, const struct rlimit *limit), (what, limit), EPERM, false, -1)
CALL(int, signalfd, (int fd, const sigset_t *set, int flags), (fd, set, flags), EMFILE, false, -1)

/* --- files -------------------------------------------------------------------------------------------------------- */

int __real_fstat(int fd, struct stat *info);
int __real_fcntl(int fd, int command, ...);

/* Can a signal interrupt a call on it? Only where it may wait. */
static bool may_wait(int fd)
{
    struct stat info;
    const int flags = __real_fcntl(fd, F_GETFL);
    return __real_fstat(fd, &info) == 0 && !S_ISREG(info.st_mode) && flags >= 0 && !(flags & O_NONBLOCK);
}

static bool is_eventfd(int fd)
{
    struct stat info;
    return __real_fstat(fd, &info) == 0 && (info.st_mode & S_IFMT) == 0;
}

/* What a write to it fails with; 0: it is an eventfd or a memfd's like, and does not. */
static int write_error(int fd)
{
    struct stat info;
    if (__real_fstat(fd, &info) != 0)
        return 0;
    return S_ISREG(info.st_mode) ? ENOSPC : S_ISFIFO(info.st_mode) || S_ISSOCK(info.st_mode) ? EPIPE : 0;
}

static int read_error(int fd)
{
    struct stat info;
    if (__real_fstat(fd, &info) != 0)
        return 0;
    return S_ISREG(info.st_mode) ? EIO : S_ISSOCK(info.st_mode) ? ECONNRESET : 0;
}

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
    va_list rest;
    va_start(rest, flags);
    const mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    const int err = flags & O_CREAT ? ENOSPC : EMFILE;
    return failing_here("open", err, false, FROM) ? -1 : __real_open(path, flags, mode);
}

int __real_openat(int folder, const char *path, int flags, ...);
int __wrap_openat(int folder, const char *path, int flags, ...);
int __wrap_openat(int folder, const char *path, int flags, ...)
{
    va_list rest;
    va_start(rest, flags);
    const mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    const int err = flags & O_CREAT ? ENOSPC : EMFILE;
    return failing_here("openat", err, false, FROM) ? -1 : __real_openat(folder, path, flags, mode);
}

/* Flags are read and set without fail; the third argument is a number or a pointer, and either fits. */
int __wrap_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...)
{
    va_list rest;
    va_start(rest, command);
    void *arg = va_arg(rest, void *);
    va_end(rest);
    const int err = command == F_ADD_SEALS ? EBUSY : command == F_DUPFD || command == F_DUPFD_CLOEXEC ? EMFILE : 0;
    return failing_here("fcntl", err, false, FROM) ? -1 : __real_fcntl(fd, command, arg);
}

CALL(ssize_t, read, (int fd, void *bytes, size_t len), (fd, bytes, len), read_error(fd), may_wait(fd), -1)
CALL(ssize_t, pread, (int fd, void *bytes, size_t len, off_t at), (fd, bytes, len, at), EIO, false, -1)
CALL(ssize_t, write, (int fd, const void *bytes, size_t len), (fd, bytes, len), write_error(fd),
     may_wait(fd) && !is_eventfd(fd), -1)
CALL(ssize_t, pwrite, (int fd, const void *bytes, size_t len, off_t at), (fd, bytes, len, at), ENOSPC, false, -1)
CALL(int, fsync, (int fd), (fd), EIO, false, -1)
CALL(int, fdatasync, (int fd), (fd), EIO, false, -1)
CALL(int, fstat, (int fd, struct stat *info), (fd, info), ENOMEM, false, -1)
CALL(int, stat, (const char *path, struct stat *info), (path, info), ENOMEM, false, -1)
CALL(int, lstat, (const char *path, struct stat *info), (path, info), ENOMEM, false, -1)
CALL(int, fstatat, (int folder, const char *path, struct stat *info, int flags), (folder, path, info, flags), ENOMEM,
     false, -1)
CALL(int, access, (const char *path, int mode), (path, mode), ENOMEM, false, -1)
CALL(ssize_t, readlink, (const char *path, char *to, size_t size), (path, to, size), ENOMEM, false, -1)
CALL(char *, realpath, (const char *path, char *to), (path, to), ENOMEM, false, NULL)
CALL(char *, getcwd, (char *to, size_t size), (to, size), ENOENT, false, NULL)
CALL(int, rename, (const char *from, const char *to), (from, to), ENOSPC, false, -1)
CALL(int, unlink, (const char *path), (path), EIO, false, -1)
CALL(int, unlinkat, (int folder, const char *path, int flags), (folder, path, flags), EIO, false, -1)
CALL(int, linkat, (int a, const char *from, int b, const char *to, int flags), (a, from, b, to, flags), ENOSPC, false,
     -1)
CALL(int, mkdir, (const char *path, mode_t mode), (path, mode), ENOSPC, false, -1)
CALL(char *, mkdtemp, (char *path), (path), ENOSPC, false, NULL)
CALL(int, mkostemp, (char *path, int flags), (path, flags), ENOSPC, false, -1)
CALL(int, fchmod, (int fd, mode_t mode), (fd, mode), EPERM, false, -1)
CALL(int, fchmodat, (int folder, const char *path, mode_t mode, int flags), (folder, path, mode, flags), EPERM, false,
     -1)
CALL(int, flock, (int fd, int how), (fd, how), how &LOCK_UN ? 0 : ENOLCK, !(how & (LOCK_NB | LOCK_UN)), -1)
CALL(FILE *, fopen, (const char *path, const char *mode), (path, mode), EMFILE, false, NULL)
CALL(DIR *, opendir, (const char *path), (path), EMFILE, false, NULL)
CALL(DIR *, fdopendir, (int fd), (fd), ENOMEM, false, NULL)
CALL(int, inotify_init1, (int flags), (flags), EMFILE, false, -1)
CALL(int, inotify_add_watch, (int fd, const char *path, uint32_t mask), (fd, path, mask), ENOSPC, false, -1)

/* --- sockets and waiting ------------------------------------------------------------------------------------------ */

CALL(int, eventfd, (unsigned first, int flags), (first, flags), EMFILE, false, -1)
CALL(int, pipe2, (int ends[2], int flags), (ends, flags), EMFILE, false, -1)
CALL(int, socket, (int domain, int type, int protocol), (domain, type, protocol), EMFILE, false, -1)
CALL(int, socketpair, (int domain, int type, int protocol, int ends[2]), (domain, type, protocol, ends), EMFILE, false,
     -1)
CALL(int, bind, (int fd, const struct sockaddr *to, socklen_t len), (fd, to, len), EACCES, false, -1)
CALL(int, listen, (int fd, int backlog), (fd, backlog), EADDRINUSE, false, -1)
CALL(int, connect, (int fd, const struct sockaddr *to, socklen_t len), (fd, to, len), ECONNREFUSED, may_wait(fd), -1)
CALL(int, accept4, (int fd, struct sockaddr *from, socklen_t *len, int flags), (fd, from, len, flags), EMFILE,
     may_wait(fd), -1)
CALL(int, setsockopt, (int fd, int level, int name, const void *value, socklen_t len), (fd, level, name, value, len),
     ENOMEM, false, -1)
CALL(int, getsockopt, (int fd, int level, int name, void *value, socklen_t *len), (fd, level, name, value, len),
     ENOBUFS, false, -1)
/* A peer that is gone stays gone: what is asked of the socket next must not wait for it. */
static ssize_t gone(int fd)
{
    const int err = errno;
    if (err != EINTR)
        shutdown(fd, SHUT_RDWR);
    errno = err;
    return -1;
}

CALL(ssize_t, send, (int fd, const void *bytes, size_t len, int flags), (fd, bytes, len, flags), EPIPE,
     !(flags & MSG_DONTWAIT) && may_wait(fd), gone(fd))
CALL(ssize_t, recv, (int fd, void *bytes, size_t len, int flags), (fd, bytes, len, flags), ECONNRESET,
     !(flags & MSG_DONTWAIT) && may_wait(fd), gone(fd))
CALL(ssize_t, sendmsg, (int fd, const struct msghdr *message, int flags), (fd, message, flags), ENOBUFS,
     !(flags & MSG_DONTWAIT) && may_wait(fd), -1)
CALL(ssize_t, recvmsg, (int fd, struct msghdr *message, int flags), (fd, message, flags), ENOMEM,
     !(flags & MSG_DONTWAIT) && may_wait(fd), -1)
CALL(int, poll, (struct pollfd * fds, nfds_t count, int ms), (fds, count, ms), ENOMEM, ms != 0, -1)
CALL(int, ppoll, (struct pollfd * fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask),
     (fds, count, timeout, mask), ENOMEM, true, -1)

/* --- system calls without a function ------------------------------------------------------------------------------ */

static int bare_error(long number)
{
    switch (number) {
    case SYS_mmap:
        return ENOMEM;
    case SYS_pidfd_open:
        return EMFILE;
    case SYS_landlock_create_ruleset:
        return EMFILE;
    case SYS_landlock_add_rule:
        return ENOMEM;
    case SYS_landlock_restrict_self:
        return E2BIG;
    case SYS_openat2:
        return EMFILE;
    default:
        return 0;
    }
}

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);
long __wrap_syscall(long number, ...)
{
    long a[6];
    va_list rest;
    va_start(rest, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(rest, long);
    va_end(rest);
    const bool asks = number == SYS_landlock_create_ruleset && a[0] == 0; /* for the version, which the kernel has */
    return failing_here("syscall", asks ? 0 : bare_error(number), false, FROM)
               ? -1
               : __real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
