#include "build/jail.h"
#include "base/file.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Linux's include/uapi/linux/landlock.h, of which older systems have older copies. */
#define EXECUTE (1u << 0)
#define WRITE_FILE (1u << 1)
#define READ_FILE (1u << 2)
#define READ_FOLDER (1u << 3)
#define MAKE_DEVICES (1u << 6 | 1u << 9 | 1u << 11) /* character devices, sockets, block devices */
#define TRUNCATE (1u << 14)
#define CONTROL_DEVICE (1u << 15)
#define BIND_TCP (1u << 0)
#define CONNECT_TCP (1u << 1)
#define SCOPE_SOCKETS (1u << 0) /* no abstract Unix socket of a process outside */
#define SCOPE_SIGNALS (1u << 1) /* no signal to a process outside */
#define CREATE_VERSION 1u
#define RULE_PATH 1
#define OF_FILES (EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | CONTROL_DEVICE)

struct rules {
    uint64_t files, network, scopes;
};
struct path_rule {
    uint64_t allowed;
    int32_t parent;
} __attribute__((packed));

/* Rights by version: 1 has 13 of files; 2 moves between folders; 3 truncates; 4 has TCP; 5 devices; 6 scopes. */
static struct rules rules_of(int version, size_t *size)
{
    struct rules r = {.files = (1u << 13) - 1};
    *size = version < 4 ? 8 : version < 6 ? 16 : 24;
    if (version >= 2)
        r.files |= 1u << 13;
    if (version >= 3)
        r.files |= TRUNCATE;
    if (version >= 4)
        r.network = BIND_TCP | CONNECT_TCP;
    if (version >= 5)
        r.files |= CONTROL_DEVICE;
    if (version >= 6)
        r.scopes = SCOPE_SOCKETS | SCOPE_SIGNALS;
    return r;
}

int gq_jail_version(void)
{
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_VERSION);
    return version > 0 ? (int)version : 0;
}

/* What is not there needs no rule. */
static bool allow(int fd, const char *path, uint64_t rights)
{
    struct stat info;
    struct path_rule rule = {.allowed = rights, .parent = open(path, O_PATH | O_CLOEXEC)};
    if (rule.parent < 0)
        return errno == ENOENT || errno == EACCES || errno == ENOTDIR;
    bool known = fstat(rule.parent, &info) == 0;
    if (known && !S_ISDIR(info.st_mode))
        rule.allowed &= OF_FILES;
    bool added = known && syscall(SYS_landlock_add_rule, fd, RULE_PATH, &rule, 0) == 0;
    close(rule.parent);
    return added;
}

static bool allow_system(int fd, uint64_t handled)
{
    static const char *const readable[] = {"/usr",
                                           "/bin",
                                           "/sbin",
                                           "/lib",
                                           "/lib32",
                                           "/lib64",
                                           "/libx32",
                                           "/opt",
                                           "/nix/store",
                                           "/gnu/store",
                                           "/etc/alternatives",
                                           "/etc/ld.so.cache",
                                           "/etc/ld.so.conf",
                                           "/etc/ld.so.conf.d",
                                           "/proc/cpuinfo",
                                           "/proc/meminfo",
                                           "/proc/sys/vm",
                                           "/sys/devices/system/cpu",
                                           "/dev/zero",
                                           "/dev/urandom"};
    bool fine = allow(fd, "/dev/null", handled & (READ_FILE | WRITE_FILE | TRUNCATE));
    for (size_t i = 0; i < sizeof readable / sizeof *readable && fine; i++)
        fine = allow(fd, readable[i], EXECUTE | READ_FILE | READ_FOLDER);
    return fine;
}

/* The compiler's own folder; and, of PREFIX/bin, the folders beside it that a compiler keeps its parts in. */
static bool allow_program(int fd, const char *program)
{
    static const char *const parts[] = {"lib", "lib64", "libexec", "include"};
    char real[PATH_MAX], part[PATH_MAX + 16];
    if (!realpath(program, real))
        return errno == ENOENT; /* a library that the loader finds by its name */
    char *slash = strrchr(real, '/');
    if (!slash || slash == real)
        return true;
    *slash = '\0';
    bool fine = allow(fd, real, EXECUTE | READ_FILE | READ_FOLDER);
    slash = strrchr(real, '/');
    if (strcmp(slash, "/bin") != 0)
        return fine;
    *slash = '\0';
    for (size_t i = 0; i < sizeof parts / sizeof *parts && fine; i++) {
        snprintf(part, sizeof part, "%s/%s", real, parts[i]);
        fine = allow(fd, part, EXECUTE | READ_FILE | READ_FOLDER);
    }
    return fine;
}

/* The next folder of $GPUQ_READ_FOLDERS from *list on; false after the last. Relative ones are none. */
static bool next_folder(const char **list, char folder[PATH_MAX])
{
    while (*list && **list) {
        size_t len = strcspn(*list, ":");
        const char *start = *list;
        *list += len + (start[len] == ':');
        if (*start == '/' && len < PATH_MAX) {
            snprintf(folder, PATH_MAX, "%.*s", (int)len, start);
            return true;
        }
    }
    return false;
}

static bool allow_users(int fd, const char *plugin, bool alone)
{
    char folder[PATH_MAX];
    const char *list = alone ? NULL : secure_getenv(GQ_JAIL_FOLDERS_VARIABLE);
    bool fine = allow(fd, plugin, READ_FILE | READ_FOLDER);
    while (fine && next_folder(&list, folder))
        fine = allow(fd, folder, READ_FILE | READ_FOLDER);
    return fine;
}

static bool allow_all(int fd, const struct gq_jail *jail, uint64_t handled)
{
    const uint64_t all = handled & ~(uint64_t)(EXECUTE | MAKE_DEVICES);
    return allow_system(fd, handled) && allow_program(fd, jail->program) &&
           (!jail->linker || allow_program(fd, jail->linker)) && allow_users(fd, jail->plugin, jail->alone) &&
           (!jail->scratch || allow(fd, jail->scratch, all));
}

gq_status gq_jail_open(const struct gq_jail *jail, int *fd)
{
    size_t size;
    const struct rules rules = rules_of(gq_jail_version(), &size);
    *fd = -1;
    if (gq_jail_version() == 0)
        return GQ_OK;
    int made = (int)syscall(SYS_landlock_create_ruleset, &rules, size, 0);
    if (made >= 0 && allow_all(made, jail, rules.files)) {
        *fd = made;
        return GQ_OK;
    }
    gq_error_errno(GQ_ERR_UNAVAILABLE, errno, "the compiler's jail cannot be made with Landlock");
    if (made >= 0)
        close(made);
    return GQ_ERR_UNAVAILABLE;
}

bool gq_jail_enter(int fd)
{
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && (fd < 0 || syscall(SYS_landlock_restrict_self, fd, 0) == 0);
}

void gq_jail_limit(int resource, rlim_t most)
{
    struct rlimit l = {most, most};
    if (getrlimit((__rlimit_resource_t)resource, &l) == 0 && l.rlim_max < most)
        most = l.rlim_max;
    l.rlim_max = most;
    if (l.rlim_cur > most)
        l.rlim_cur = most;
    setrlimit((__rlimit_resource_t)resource, &l);
}

rlim_t gq_jail_own_memory(void)
{
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    char pages[32] = "";
    if (fd >= 0 && read(fd, pages, sizeof pages - 1) < 0)
        pages[0] = '\0';
    if (fd >= 0)
        close(fd);
    return strtoull(pages, NULL, 10) * (rlim_t)sysconf(_SC_PAGESIZE);
}

/* --- whose file ----------------------------------------------------------------------------------------------------
 */

static bool lies_in(const char *real, const char *folder)
{
    char root[PATH_MAX];
    if (!realpath(folder, root))
        return false;
    size_t len = strlen(root);
    return strcmp(root, "/") == 0 || (strncmp(real, root, len) == 0 && real[len] == '/');
}

bool gq_jail_is_users(const char *path, const char *plugin_folder)
{
    char real[PATH_MAX], folder[PATH_MAX];
    const char *list = secure_getenv(GQ_JAIL_FOLDERS_VARIABLE);
    if (!realpath(path, real))
        return false;
    bool found = lies_in(real, plugin_folder);
    while (!found && next_folder(&list, folder))
        found = lies_in(real, folder);
    return found;
}
