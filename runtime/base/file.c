#include "base/file.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static gq_status read_fd(int fd, const char *path, size_t max, struct gq_text *out)
{
    struct stat info;
    if (fstat(fd, &info) != 0)
        return gq_error_errno(GQ_ERR_IO, errno, "%s", path);
    if (!S_ISREG(info.st_mode))
        return gq_error_set(GQ_ERR_IO, "%s: is not a regular file", path);
    if ((size_t)info.st_size > max)
        return gq_error_set(GQ_ERR_IO, "%s: is %zu bytes, at most %zu are allowed", path, (size_t)info.st_size, max);
    char chunk[65536];
    ssize_t n;
    while ((n = read(fd, chunk, sizeof chunk)) > 0 && out->len + (size_t)n <= max)
        gq_text_add(out, chunk, (size_t)n);
    if (n < 0)
        return gq_error_errno(GQ_ERR_IO, errno, "%s", path);
    if (n > 0)
        return gq_error_set(GQ_ERR_IO, "%s: grew past %zu bytes while it was read", path, max);
    gq_text_add(out, "", 0);
    return out->failed ? gq_error_set(GQ_ERR_NO_MEMORY, "%s: out of memory", path) : GQ_OK;
}

gq_status gq_file_read(const char *path, size_t max, struct gq_text *out)
{
    gq_text_clear(out);
    /* O_NONBLOCK: a FIFO with no writer must be refused, not waited for. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return gq_error_errno(GQ_ERR_IO, errno, "%s", path);
    gq_status status = read_fd(fd, path, max, out);
    close(fd);
    return status;
}

gq_status gq_file_write_all(int fd, const void *bytes, size_t len)
{
    const char *p = bytes;
    while (len > 0) {
        ssize_t n = write(fd, p, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            const int err = errno;
            gq_error_errno(GQ_ERR_IO, err, "writing %zu bytes", len);
            errno = err;
            return GQ_ERR_IO;
        }
        p += n;
        len -= (size_t)n;
    }
    return GQ_OK;
}

gq_status gq_file_write_atomic(const char *path, const void *bytes, size_t len, unsigned mode)
{
    struct gq_text temporary = {0};
    gq_text_printf(&temporary, "%s.XXXXXX", path);
    if (temporary.failed)
        return gq_error_set(GQ_ERR_NO_MEMORY, "%s: out of memory", path);
    int fd = mkostemp(temporary.data, O_CLOEXEC);
    if (fd < 0) {
        gq_error_errno(GQ_ERR_IO, errno, "%s", temporary.data);
        gq_text_finish(&temporary);
        return GQ_ERR_IO;
    }
    gq_status status = gq_file_write_all(fd, bytes, len);
    if (status != GQ_OK)
        gq_error_prefix(status, "%s: ", path);
    if (status == GQ_OK && (fchmod(fd, mode) != 0 || rename(temporary.data, path) != 0))
        status = gq_error_errno(GQ_ERR_IO, errno, "%s", path);
    if (status != GQ_OK)
        unlink(temporary.data);
    close(fd);
    gq_text_finish(&temporary);
    return status;
}

gq_status gq_file_make_folders(const char *path, unsigned mode)
{
    char *copy = strdup(path);
    if (!copy)
        return gq_error_set(GQ_ERR_NO_MEMORY, "%s: out of memory", path);
    gq_status status = GQ_OK;
    for (char *p = copy + (*copy != '\0'); status == GQ_OK; p++) {
        if (*p != '/' && *p != '\0')
            continue;
        char end = *p;
        *p = '\0';
        if (mkdir(copy, mode) != 0 && errno != EEXIST)
            status = gq_error_errno(GQ_ERR_IO, errno, "%s", copy);
        *p = end;
        if (end == '\0')
            break;
    }
    free(copy);
    return status;
}

bool gq_file_exists(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode) && access(path, R_OK) == 0;
}

gq_status gq_file_look(const char *path, bool *there)
{
    struct stat info;
    *there = lstat(path, &info) == 0;
    return *there || errno == ENOENT || errno == ENOTDIR ? GQ_OK : gq_error_errno(GQ_ERR_IO, errno, "%s", path);
}

char *gq_path_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return strdup(".");
    return slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
}

char *gq_path_join(const char *folder, const char *path)
{
    if (path[0] == '/' || folder[0] == '\0' || strcmp(folder, ".") == 0)
        return strdup(path);
    struct gq_text t = {0};
    gq_text_printf(&t, "%s%s%s", folder, folder[strlen(folder) - 1] == '/' ? "" : "/", path);
    return t.failed ? (gq_text_finish(&t), NULL) : t.data;
}

bool gq_file_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

bool gq_file_is_named(int fd, const char *path)
{
    struct stat ours, named;
    return fstat(fd, &ours) == 0 && stat(path, &named) == 0 && gq_file_same(&ours, &named);
}

/* Does this process come to the folder that it is in by its name, too? Not if it may not pass through one above. */
static bool name_here(char name[PATH_MAX])
{
    struct stat named, here;
    return getcwd(name, PATH_MAX) && stat(name, &named) == 0 && stat(".", &here) == 0 && gq_file_same(&named, &here);
}

char *gq_path_absolute(const char *path)
{
    char here[PATH_MAX];
    return gq_path_join(path[0] != '/' && name_here(here) ? here : ".", path);
}

char *gq_path_stem(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    const char *dot = strrchr(name, '.');
    return dot && dot != name ? strndup(name, (size_t)(dot - name)) : strdup(name);
}
