/* folder.h - one folder of a fuzz target's process, for what is read from files; it goes when the process ends. */
#ifndef GQ_TESTS_FUZZ_FOLDER_H
#define GQ_TESTS_FUZZ_FOLDER_H

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/assert.h"
#include "base/file.h"

static char folder[64];

static int folder_remove_one(const char *path, const struct stat *info, int kind, struct FTW *where)
{
    (void)info, (void)kind, (void)where;
    return remove(path);
}

static void folder_remove(void) { nftw(folder, folder_remove_one, 8, FTW_DEPTH | FTW_PHYS); }

static inline void folder_make(void)
{
    if (folder[0])
        return;
    /* In memory, where there is a place for that: nothing has to be durable. */
    snprintf(folder, sizeof folder, "%s/gpuq-fuzz-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    if (!mkdtemp(folder) || atexit(folder_remove) != 0)
        abort();
}

/* Of one of two names at a time. */
static inline const char *folder_path(const char *name)
{
    static char path[2][256];
    static unsigned turn;
    char *out = path[turn++ % 2];
    snprintf(out, sizeof path[0], "%s/%s", folder, name);
    return out;
}

static inline void folder_write(const char *name, const void *bytes, size_t len)
{
    const int fd = open(folder_path(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    gq_status status = fd < 0 ? GQ_ERR_IO : gq_file_write_all(fd, bytes, len);
    gq_assert(status == GQ_OK);
    close(fd);
}

#endif
