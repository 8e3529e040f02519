#include "control/address.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "base/assert.h"
#include "base/clock.h"
#include "base/file.h"

#define ENDING ".sock"
#define SOCKET_MODE 0660
#define FOLDER_MODE 0700
#define BACKLOG 256
#define SAME_NAME_MAX 64u /* pipelines of one name in one process */
#define LOCK_WAIT_MS 2000u
#define ASK_WAIT_MS 2000u

static gq_status out_of_memory(void) { return gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for a socket's path"); }

/* --- folders ------------------------------------------------------------------------------------------------------ */

static bool folder_of_session(struct gq_text *out)
{
    const char *runtime = secure_getenv("XDG_RUNTIME_DIR");
    gq_text_clear(out);
    if (runtime && runtime[0] == '/') /* a relative one counts as none, says the XDG base directory specification */
        gq_text_printf(out, "%s/gpuqueue", runtime);
    return out->len > 0 || out->failed;
}

static void folder_of_user(struct gq_text *out)
{
    const char *temporary = secure_getenv("TMPDIR");
    gq_text_clear(out);
    gq_text_printf(out, "%s/gpuqueue-%u", temporary && temporary[0] == '/' ? temporary : "/tmp", (unsigned)geteuid());
}

/* Opens this user's own folder. Anybody may make a name in /tmp, so whose it is, and who may write there, is looked at
 * on the descriptor, and no symbolic link is followed. */
static gq_status open_own(const char *path, int *fd)
{
    struct stat info;
    *fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (*fd < 0)
        return gq_error_errno(GQ_ERR_UNAVAILABLE, errno, "the folder for control sockets, %s, cannot be opened", path);
    const bool known = fstat(*fd, &info) == 0;
    if (known && info.st_uid == geteuid() && (info.st_mode & 077) == 0)
        return GQ_OK;
    const int err = errno;
    close(*fd);
    *fd = -1;
    if (!known)
        return gq_error_errno(GQ_ERR_UNAVAILABLE, err, "the folder for control sockets, %s", path);
    return gq_error_set(GQ_ERR_UNAVAILABLE,
                        "the folder for control sockets, %s, is not this user's alone (mode 0700); remove it, or name "
                        "another place with control.socket in the pipeline file",
                        path);
}

static gq_status make_folder(const char *path)
{
    if (mkdir(path, FOLDER_MODE) == 0 || errno == EEXIST)
        return GQ_OK;
    return gq_error_errno(GQ_ERR_UNAVAILABLE, errno, "the folder for control sockets, %s, cannot be made", path);
}

static gq_status open_default(struct gq_text *folder, int *fd)
{
    if (!folder_of_session(folder))
        folder_of_user(folder);
    gq_status status = folder->failed ? out_of_memory() : make_folder(gq_text_str(folder));
    return status == GQ_OK ? open_own(gq_text_str(folder), fd) : status;
}

/* The folder of a path that somebody chose, as it is. */
static gq_status open_chosen(const char *path, int *fd)
{
    char *folder = gq_path_folder(path);
    if (!folder)
        return out_of_memory();
    gq_status status = GQ_OK;
    *fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*fd < 0)
        status = gq_error_errno(GQ_ERR_UNAVAILABLE, errno,
                                "the control socket %s cannot be made: its folder %s cannot be opened", path, folder);
    free(folder);
    return status;
}

/* Those who make a socket in one folder do so one after another. A lock that a stranger holds is not waited for long:
 * without it two that start at the same moment may take each other's place, no more. */
static void lock_folder(int fd)
{
    uint64_t deadline = gq_clock_deadline(LOCK_WAIT_MS);
    while (flock(fd, LOCK_EX | LOCK_NB) != 0 && !gq_clock_past(deadline)) {
        struct timespec nap = {.tv_nsec = 5000000};
        nanosleep(&nap, NULL);
    }
}

/* --- what lies there already -------------------------------------------------------------------------------------- */

enum found { FOUND_NOTHING, FOUND_DEAD, FOUND_LIVE, FOUND_OTHER };

/* The address of a name in an open folder, however long the folder's own path is. */
static void address_in(int folder, const char *name, struct sockaddr_un *out)
{
    *out = (struct sockaddr_un){.sun_family = AF_UNIX};
    int n = snprintf(out->sun_path, sizeof out->sun_path, "/proc/self/fd/%d/%s", folder, name);
    gq_assert(n > 0);
}

static bool fits_in(int folder, const char *name)
{
    struct sockaddr_un address;
    return snprintf(NULL, 0, "/proc/self/fd/%d/%s", folder, name) < (int)sizeof address.sun_path;
}

/* Sockets have their names when they listen, not before, so one that refuses has no process behind it. */
static enum found look(int folder, const char *name)
{
    struct stat info;
    struct sockaddr_un address;
    if (fstatat(folder, name, &info, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? FOUND_NOTHING : FOUND_OTHER;
    if (!S_ISSOCK(info.st_mode) || !fits_in(folder, name))
        return FOUND_OTHER;
    address_in(folder, name, &address);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool dead = fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) != 0 && errno == ECONNREFUSED;
    if (fd >= 0)
        close(fd);
    return dead ? FOUND_DEAD : FOUND_LIVE;
}

static bool is_socket_name(const char *name)
{
    size_t n = strlen(name), ending = sizeof ENDING - 1;
    return name[0] != '.' && n > ending && strcmp(name + n - ending, ENDING) == 0;
}

/* Opens a folder's list. The descriptor stays the caller's. */
static DIR *list(int folder)
{
    int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir && fd >= 0)
        close(fd);
    return dir;
}

/* Removes what processes that were killed left in our own folder. */
static void sweep(int folder)
{
    DIR *dir = list(folder);
    for (struct dirent *entry; dir && (entry = readdir(dir));)
        if (is_socket_name(entry->d_name) && look(folder, entry->d_name) == FOUND_DEAD)
            unlinkat(folder, entry->d_name, 0);
    if (dir)
        closedir(dir);
}

/* --- making one --------------------------------------------------------------------------------------------------- */

static gq_status refuse_place(const char *path, enum found found)
{
    if (found == FOUND_LIVE)
        return gq_error_set(GQ_ERR_UNAVAILABLE, "the control socket %s belongs to a process that is running", path);
    return gq_error_set(GQ_ERR_UNAVAILABLE, "the control socket cannot be made: %s is there already, and no socket",
                        path);
}

/* Gives the bound socket `from` its name, unless a living one has it. */
static gq_status settle(struct gq_address *a, const char *from, const char *name)
{
    enum found found = look(a->folder, name);
    if (found == FOUND_DEAD) {
        unlinkat(a->folder, name, 0);
        found = FOUND_NOTHING;
    }
    if (found != FOUND_NOTHING)
        return refuse_place(a->path, found);
    if (linkat(a->folder, from, a->folder, name, 0) != 0)
        return gq_error_errno(GQ_ERR_UNAVAILABLE, errno, "the control socket %s cannot be made", a->path);
    return GQ_OK;
}

static gq_status bind_as(struct gq_address *a, const char *temporary)
{
    struct sockaddr_un address;
    struct stat info;
    address_in(a->folder, temporary, &address);
    unlinkat(a->folder, temporary, 0);
    /* The mode of the descriptor is that of the file to come, less the umask: it is never more open than asked. */
    bool made = fchmod(a->listener, SOCKET_MODE) == 0 &&
                bind(a->listener, (struct sockaddr *)&address, sizeof address) == 0 &&
                fchmodat(a->folder, temporary, SOCKET_MODE, 0) == 0 && listen(a->listener, BACKLOG) == 0 &&
                fstatat(a->folder, temporary, &info, AT_SYMLINK_NOFOLLOW) == 0;
    if (!made)
        return gq_error_errno(GQ_ERR_UNAVAILABLE, errno, "the control socket %s cannot be made", a->path);
    a->group = info.st_gid;
    a->device = info.st_dev;
    a->inode = info.st_ino;
    return GQ_OK;
}

/* `name` in the open folder. */
static gq_status listen_as(struct gq_address *a, const char *name)
{
    char temporary[32];
    snprintf(temporary, sizeof temporary, ".gpuq-%d", (int)getpid());
    a->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (a->listener < 0)
        return gq_error_errno(GQ_ERR_NO_MEMORY, errno, "a socket cannot be made");
    gq_status status = bind_as(a, temporary);
    if (status == GQ_OK)
        status = settle(a, temporary, name);
    unlinkat(a->folder, temporary, 0);
    return status;
}

static gq_status too_long(const char *folder, const char *name)
{
    return gq_error_set(GQ_ERR_INVALID_ARG,
                        "the control socket's path %s/%s is %zu bytes, and a socket's path has at most %zu; name a "
                        "shorter one with control.socket in the pipeline file",
                        folder, name, strlen(folder) + 1 + strlen(name), sizeof(((struct gq_address *)0)->path) - 1);
}

static gq_status set_path(struct gq_address *a, const char *folder, const char *name)
{
    int n = snprintf(a->path, sizeof a->path, "%s/%s", folder, name);
    return n < (int)sizeof a->path ? GQ_OK : too_long(folder, name);
}

static gq_status open_at(const char *chosen, struct gq_address *a)
{
    const char *slash = strrchr(chosen, '/'), *name = slash ? slash + 1 : chosen;
    gq_status status =
        *name ? GQ_OK : gq_error_set(GQ_ERR_INVALID_ARG, "the control socket's path %s names a folder", chosen);
    if (status == GQ_OK && strlen(chosen) >= sizeof a->path)
        status = gq_error_set(GQ_ERR_INVALID_ARG,
                              "the control socket's path %s is %zu bytes, and a socket's path has at most %zu", chosen,
                              strlen(chosen), sizeof a->path - 1);
    if (status == GQ_OK)
        status = open_chosen(chosen, &a->folder);
    if (status == GQ_OK) {
        snprintf(a->path, sizeof a->path, "%s", chosen);
        lock_folder(a->folder);
        status = listen_as(a, name);
        flock(a->folder, LOCK_UN);
    }
    return status;
}

/* NAME-PID.sock: a name's odd characters become _, and what is too long is cut. */
static void make_name(const char *name, size_t room, unsigned again, struct gq_text *out)
{
    char end[48];
    int n = again ? snprintf(end, sizeof end, "-%d-%u" ENDING, (int)getpid(), again)
                  : snprintf(end, sizeof end, "-%d" ENDING, (int)getpid());
    size_t left = room > (size_t)n ? room - (size_t)n : 0;
    gq_text_clear(out);
    for (size_t i = 0; name[i] && i < left; i++) {
        bool plain = (name[i] >= 'a' && name[i] <= 'z') || (name[i] >= 'A' && name[i] <= 'Z') ||
                     (name[i] >= '0' && name[i] <= '9') || (name[i] == '.' && i > 0) || strchr("_+-", name[i]);
        gq_text_add(out, plain ? &name[i] : "_", 1);
    }
    gq_text_puts(out, end);
}

static gq_status open_for(const char *name, struct gq_address *a)
{
    struct gq_text folder = {0}, file = {0};
    enum found found = FOUND_LIVE;
    gq_status status = open_default(&folder, &a->folder);
    size_t room = sizeof a->path - 1 > folder.len + 1 ? sizeof a->path - 1 - folder.len - 1 : 0;
    if (status == GQ_OK) {
        lock_folder(a->folder);
        sweep(a->folder);
        for (unsigned again = 0; again <= SAME_NAME_MAX && found == FOUND_LIVE && !file.failed; again++) {
            make_name(name, room, again, &file);
            found = look(a->folder, gq_text_str(&file));
        }
        status = file.failed ? out_of_memory() : GQ_OK;
        if (status == GQ_OK)
            status = set_path(a, gq_text_str(&folder), gq_text_str(&file));
        if (status == GQ_OK)
            status = listen_as(a, gq_text_str(&file));
        flock(a->folder, LOCK_UN);
    }
    gq_text_finish(&folder);
    gq_text_finish(&file);
    return status;
}

gq_status gq_address_open(const char *chosen, const char *name, struct gq_address *out)
{
    *out = (struct gq_address){.listener = -1, .folder = -1};
    gq_status status = chosen ? open_at(chosen, out) : open_for(name, out);
    if (status != GQ_OK)
        gq_address_close(out);
    return status;
}

void gq_address_close(struct gq_address *a)
{
    struct stat info;
    const char *slash = strrchr(a->path, '/'), *name = slash ? slash + 1 : a->path;
    if (a->inode && fstatat(a->folder, name, &info, AT_SYMLINK_NOFOLLOW) == 0 && info.st_dev == a->device &&
        info.st_ino == a->inode)
        unlinkat(a->folder, name, 0);
    if (a->listener >= 0)
        close(a->listener);
    if (a->folder >= 0)
        close(a->folder);
    *a = (struct gq_address){.listener = -1, .folder = -1};
}

/* --- connecting --------------------------------------------------------------------------------------------------- */

static gq_status connect_to(const struct sockaddr_un *address, const char *path, uint32_t timeout_ms, int *fd)
{
    struct timeval wait = {.tv_sec = timeout_ms / 1000, .tv_usec = (suseconds_t)(timeout_ms % 1000) * 1000};
    *fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (*fd < 0)
        return gq_error_errno(GQ_ERR_NO_MEMORY, errno, "a socket cannot be made");
    setsockopt(*fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait); /* a full backlog is waited for so long */
    int got;
    do
        got = connect(*fd, (const struct sockaddr *)address, sizeof *address);
    while (got != 0 && errno == EINTR);
    if (got == 0)
        return GQ_OK;
    int err = errno;
    struct stat info;
    close(*fd);
    *fd = -1;
    if (err == ECONNREFUSED && stat(address->sun_path, &info) == 0 && !S_ISSOCK(info.st_mode))
        return gq_error_set(GQ_ERR_UNAVAILABLE, "%s is no socket; without --socket those of this user are looked for",
                            path);
    if (err == ECONNREFUSED)
        return gq_error_set(GQ_ERR_UNAVAILABLE, "no process serves the control socket %s any more", path);
    return gq_error_errno(GQ_ERR_UNAVAILABLE, err, "the control socket %s", path);
}

gq_status gq_address_connect(const char *path, uint32_t timeout_ms, int *fd)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    *fd = -1;
    if (*path == '\0')
        return gq_error_set(GQ_ERR_INVALID_ARG, "the socket's path is empty");
    if (strlen(path) >= sizeof address.sun_path)
        return gq_error_set(GQ_ERR_INVALID_ARG, "the socket's path %s is %zu bytes; it has at most %zu", path,
                            strlen(path), sizeof address.sun_path - 1);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    return connect_to(&address, path, timeout_ms, fd);
}

/* What gq_address_find() has seen. */
struct search {
    struct gq_text *path; /* of the first that answers */
    int fd;
    unsigned count;
    struct gq_text all, looked;
    struct gq_text trouble; /* the first that kept us from looking somewhere */
};

static void note_trouble(struct search *s, const char *what)
{
    if (!s->trouble.len && !s->trouble.failed)
        gq_text_puts(&s->trouble, what);
}

static void found_one(struct search *s, const char *folder, const char *name, int fd)
{
    gq_text_printf(&s->all, "%s%s/%s", s->count ? ", " : "", folder, name);
    if (s->count++ == 0) {
        s->fd = fd;
        gq_text_clear(s->path);
        gq_text_printf(s->path, "%s/%s", folder, name);
    } else {
        close(fd);
    }
}

static void search_folder(struct search *s, const struct gq_text *path)
{
    int open_folder, fd;
    struct stat info;
    const char *folder = gq_text_str(path);
    gq_text_printf(&s->looked, "%s%s", s->looked.len ? " and " : "", folder);
    if (path->failed)
        note_trouble(s, "out of memory for its path");
    if (path->failed || (stat(folder, &info) != 0 && errno == ENOENT))
        return;
    if (open_own(folder, &open_folder) != GQ_OK) {
        note_trouble(s, gq_error_text());
        return;
    }
    DIR *dir = list(open_folder);
    if (!dir)
        note_trouble(s, strerror(errno));
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        struct sockaddr_un address;
        if (!is_socket_name(entry->d_name) || !fits_in(open_folder, entry->d_name))
            continue;
        address_in(open_folder, entry->d_name, &address);
        if (connect_to(&address, entry->d_name, ASK_WAIT_MS, &fd) == GQ_OK)
            found_one(s, folder, entry->d_name, fd);
        else if (look(open_folder, entry->d_name) != FOUND_DEAD)
            note_trouble(s, gq_error_text());
    }
    if (dir)
        closedir(dir);
    close(open_folder);
}

gq_status gq_address_find(struct gq_text *path, int *fd)
{
    struct search s = {.path = path, .fd = -1};
    struct gq_text folder = {0};
    gq_status status = GQ_OK;
    if (folder_of_session(&folder))
        search_folder(&s, &folder);
    folder_of_user(&folder);
    search_folder(&s, &folder);
    if (s.count == 0)
        status = gq_error_set(GQ_ERR_UNAVAILABLE,
                              "no pipeline of this user is running with a control socket (looked in %s%s%s); name its "
                              "socket with --socket PATH",
                              gq_text_str(&s.looked), s.trouble.len ? ": " : "", gq_text_str(&s.trouble));
    else if (path->failed || s.all.failed)
        status = out_of_memory();
    else if (s.count > 1)
        status =
            gq_error_set(GQ_ERR_INVALID_ARG, "%u pipelines of this user are running; choose one with --socket PATH: %s",
                         s.count, gq_text_str(&s.all));
    if (status != GQ_OK && s.fd >= 0)
        close(s.fd);
    *fd = status == GQ_OK ? s.fd : -1;
    gq_text_finish(&folder);
    gq_text_finish(&s.all);
    gq_text_finish(&s.looked);
    gq_text_finish(&s.trouble);
    return status;
}
