#include "control/trail.h"
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINKS_MAX 40u /* as the kernel follows */
#define EVENTS (IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE | IN_ONLYDIR)

/* --- watches ------------------------------------------------------------------------------------------------------ */

static gq_status no_watch_left(int err, const char *path)
{
    if (err == ENOSPC)
        return gq_error_set(GQ_ERR_UNAVAILABLE,
                            "%s cannot be watched: this user's inotify watches are all in use; raise the sysctl "
                            "fs.inotify.max_user_watches",
                            path);
    return gq_error_errno(GQ_ERR_UNAVAILABLE, err, "%s cannot be watched", path);
}

gq_status gq_trail_init(struct gq_trail *t)
{
    *t = (struct gq_trail){.inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK)};
    if (t->inotify >= 0)
        return GQ_OK;
    if (errno == EMFILE)
        return gq_error_set(GQ_ERR_UNAVAILABLE,
                            "files cannot be watched: this user's inotify instances or this process's descriptors are "
                            "all in use; raise the sysctl fs.inotify.max_user_instances, or ulimit -n");
    return gq_error_errno(GQ_ERR_UNAVAILABLE, errno, "files cannot be watched");
}

void gq_trail_clear(struct gq_trail *t)
{
    for (size_t i = 0; i < t->count; i++)
        free(t->step[i].path);
    free(t->step);
    t->step = NULL;
    t->count = 0;
}

void gq_trail_finish(struct gq_trail *t)
{
    gq_trail_clear(t);
    free(t->watch);
    if (t->inotify >= 0)
        close(t->inotify); /* and with it all watches */
    *t = (struct gq_trail){.inotify = -1};
}

static gq_status keep_watch(struct gq_trail *t, int watch)
{
    for (size_t i = 0; i < t->watches; i++)
        if (t->watch[i] == watch)
            return GQ_OK;
    int *more = realloc(t->watch, (t->watches + 1) * sizeof *more);
    if (!more)
        return gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for a watch");
    t->watch = more;
    t->watch[t->watches++] = watch;
    return GQ_OK;
}

/* Nothing is there, or nothing that leads on: what may appear is seen above it. */
static bool is_way_blocked(int error)
{
    return error == ENOENT || error == ENOTDIR || error == EACCES || error == ELOOP;
}

/* Watches a folder. *watch is -1, and that is no error, when it is gone meanwhile or may not be read: what lies above
 * it is watched too. */
static gq_status watch_folder(struct gq_trail *t, const char *folder, int *watch)
{
    *watch = inotify_add_watch(t->inotify, folder, EVENTS);
    if (*watch >= 0)
        return keep_watch(t, *watch);
    return is_way_blocked(errno) ? GQ_OK : no_watch_left(errno, folder);
}

static bool in_use(const struct gq_trail *t, int watch)
{
    for (size_t i = 0; i < t->count; i++)
        if (t->step[i].watch == watch)
            return true;
    return false;
}

void gq_trail_settle(struct gq_trail *t)
{
    size_t kept = 0;
    for (size_t i = 0; i < t->watches; i++)
        if (in_use(t, t->watch[i]))
            t->watch[kept++] = t->watch[i];
        else
            inotify_rm_watch(t->inotify, t->watch[i]);
    t->watches = kept;
}

/* --- steps -------------------------------------------------------------------------------------------------------- */

/* On the way: `here` is a folder without symbolic links in it, `rest` what is still to go. */
struct walk {
    char here[PATH_MAX], rest[PATH_MAX], path[PATH_MAX];
    unsigned links;
};

static gq_status add_step(struct gq_trail *t, const struct walk *w, struct gq_file *file)
{
    int watch;
    gq_status status = watch_folder(t, *w->here ? w->here : "/", &watch);
    if (status != GQ_OK || watch < 0)
        return status;
    struct gq_step *more = realloc(t->step, (t->count + 1) * sizeof *more);
    if (more)
        t->step = more;
    char *path = more ? strdup(w->path) : NULL;
    if (!path)
        return gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for a watch");
    t->step[t->count++] =
        (struct gq_step){.watch = watch, .path = path, .name = strrchr(path, '/') + 1, .file = file, .last = !*w->rest};
    return GQ_OK;
}

/* Takes the next name off `rest`; false when there is none, or none that fits. `path` is then where it leads. */
static bool next_name(struct walk *w)
{
    char *rest = w->rest + strspn(w->rest, "/");
    size_t len = strcspn(rest, "/"), here = strlen(w->here);
    if (len == 0 || here + 1 + len >= sizeof w->path)
        return false;
    memcpy(w->path, w->here, here);
    w->path[here] = '/';
    memcpy(w->path + here + 1, rest, len);
    w->path[here + 1 + len] = '\0';
    rest += len;
    rest += strspn(rest, "/");
    memmove(w->rest, rest, strlen(rest) + 1);
    return true;
}

/* A symbolic link: what it says takes its place in what is to go. */
static bool follow_link(struct walk *w)
{
    char target[PATH_MAX];
    ssize_t n = readlink(w->path, target, sizeof target - 1);
    size_t rest = strlen(w->rest);
    if (n <= 0 || ++w->links > LINKS_MAX || (size_t)n + 1 + rest >= sizeof w->rest)
        return false;
    target[n] = '\0';
    memmove(w->rest + n + 1, w->rest, rest + 1);
    memcpy(w->rest, target, (size_t)n);
    w->rest[n] = rest ? '/' : '\0';
    if (target[0] == '/')
        w->here[0] = '\0';
    return true;
}

/* "." and "..", which are no names to wait for. */
static bool is_dots(struct walk *w)
{
    const char *name = strrchr(w->path, '/') + 1;
    if (strcmp(name, "..") == 0) {
        char *slash = strrchr(w->here, '/');
        w->here[slash ? slash - w->here : 0] = '\0';
    }
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static gq_status add_file(struct gq_trail *t, struct gq_file *file)
{
    struct walk w = {.links = 0};
    struct stat info;
    if (strlen(file->path) >= sizeof w.rest)
        return GQ_OK; /* longer than a path can be: it cannot be opened either */
    memcpy(w.rest, file->path, strlen(file->path) + 1);
    while (next_name(&w)) {
        if (is_dots(&w))
            continue;
        gq_status status = add_step(t, &w, file);
        if (status != GQ_OK)
            return status;
        if (lstat(w.path, &info) != 0)
            return is_way_blocked(errno) || errno == ENAMETOOLONG ? GQ_OK : no_watch_left(errno, w.path);
        if (!S_ISLNK(info.st_mode))
            memcpy(w.here, w.path, strlen(w.path) + 1);
        else if (!follow_link(&w))
            return GQ_OK;
    }
    return GQ_OK;
}

gq_status gq_trail_add(struct gq_trail *t, struct gq_files *files)
{
    gq_status status = GQ_OK;
    for (size_t i = 0; i < files->count && status == GQ_OK; i++)
        status = add_file(t, &files->file[i]);
    return status;
}

/* --- events ------------------------------------------------------------------------------------------------------- */

/* Does an event on this name mean that something is there which was not? A regular file that was just created is
 * empty; its writer's close says when to look. A second name of an old one, a link and a folder are whole at once. */
static bool is_whole(const struct gq_step *s, uint32_t mask)
{
    struct stat info;
    if (mask & (IN_CLOSE_WRITE | IN_MOVED_TO))
        return true;
    return lstat(s->path, &info) == 0 && (!S_ISREG(info.st_mode) || info.st_nlink > 1);
}

static bool touch(struct gq_trail *t, const struct inotify_event *e)
{
    bool any = false;
    for (size_t i = 0; i < t->count; i++) {
        struct gq_step *s = &t->step[i];
        if (s->watch != e->wd || strcmp(s->name, e->name) != 0 || !is_whole(s, e->mask))
            continue;
        s->file->touched = any = true;
        s->file->unsettled = s->file->unsettled || !s->last;
    }
    return any;
}

/* Events were lost: anything may have happened. */
static bool touch_all(struct gq_trail *t)
{
    for (size_t i = 0; i < t->count; i++)
        t->step[i].file->touched = t->step[i].file->unsettled = true;
    return t->count > 0;
}

bool gq_trail_read(struct gq_trail *t)
{
    _Alignas(struct inotify_event) char bytes[16384];
    bool any = false;
    ssize_t n;
    while ((n = read(t->inotify, bytes, sizeof bytes)) > 0) {
        for (ssize_t at = 0; at < n;) {
            const struct inotify_event *e = (const void *)(bytes + at);
            if (e->mask & IN_Q_OVERFLOW)
                any |= touch_all(t);
            else if (e->len > 0)
                any |= touch(t, e);
            at += (ssize_t)(sizeof *e + e->len);
        }
    }
    return any;
}
