/* jail.h - what a compiler may touch, kept by the kernel (Landlock): it reads system folders, its own folders and the
 * plugin's, writes its scratch folder, and opens no TCP connection. docs/security.md has the list. */
#ifndef GQ_BUILD_JAIL_H
#define GQ_BUILD_JAIL_H

#include <stdbool.h>
#include <sys/resource.h>
#include "base/error.h"

/* Folders, separated by ':', that plugins may include from beside their own. */
#define GQ_JAIL_FOLDERS_VARIABLE "GPUQ_READ_FOLDERS"

#define GQ_JAIL_MEMORY_MAX ((rlim_t)8 << 30) /* address space: a compiler that needs more is lost */
#define GQ_JAIL_FILE_MAX ((rlim_t)256 << 20)

struct gq_jail {
    const char *program; /* the compiler, or the compiler's library */
    const char *linker;  /* a library, too; NULL: none */
    const char *plugin;  /* folder */
    bool alone;          /* $GPUQ_READ_FOLDERS is not for this plugin */
    const char *scratch; /* folder, the only one that may be written; NULL: none */
};

/* Landlock's version in this kernel; 0: it has none, and children are held by everything else alone. */
int gq_jail_version(void);
/* *fd: the rules, for gq_jail_enter(); -1 where the kernel has no Landlock. */
gq_status gq_jail_open(const struct gq_jail *jail, int *fd);
/* For this process and all that it starts, also between fork and exec: no new privileges, and from here on the rules.
 */
bool gq_jail_enter(int fd);

/* Lowers a limit of this process for good. */
void gq_jail_limit(int resource, rlim_t most);
/* Bytes of address space that this process has now. */
rlim_t gq_jail_own_memory(void);

/* Does this file lie, with its links resolved, in the plugin's folder or in one of $GPUQ_READ_FOLDERS? */
bool gq_jail_is_users(const char *path, const char *plugin_folder);

#endif
