#include "build/library.h"
#include "base/dl.h"
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Where this process's loader would find it: the builder's environment is its own. */
static bool look_in_loader_path(const char *name, char path[PATH_MAX])
{
    const char *folders = secure_getenv("LD_LIBRARY_PATH");
    for (const char *at = folders ? folders : ""; *at; at += strcspn(at, ":"), at += *at == ':') {
        snprintf(path, PATH_MAX, "%.*s/%s", (int)strcspn(at, ":"), at, name);
        if (path[0] == '/' && access(path, R_OK) == 0)
            return true;
    }
    return false;
}

static bool look_in_folders(const char *name, char path[PATH_MAX])
{
    static const char *const folders[] = {"/usr/local/cuda/lib64",      "/usr/lib/x86_64-linux-gnu",
                                          "/usr/lib/aarch64-linux-gnu", "/usr/lib64",
                                          "/usr/lib/cuda/lib64",        "/opt/cuda/lib64"};
    for (size_t f = 0; f < sizeof folders / sizeof *folders; f++) {
        snprintf(path, PATH_MAX, "%s/%s", folders[f], name);
        if (access(path, R_OK) == 0)
            return true;
    }
    return false;
}

void gq_library_find(const char *variable, const char *first, const char *second, char path[PATH_MAX])
{
    const char *const names[] = {first, second};
    const char *chosen = getenv(variable);
    if (chosen && *chosen) {
        if (strchr(chosen, '/') || !gq_dl_find(chosen, path, PATH_MAX))
            snprintf(path, PATH_MAX, "%s", chosen);
        return;
    }
    for (size_t n = 0; n < sizeof names / sizeof *names; n++)
        if (look_in_loader_path(names[n], path) || look_in_folders(names[n], path))
            return;
    if (!gq_dl_find(first, path, PATH_MAX) && !gq_dl_find(second, path, PATH_MAX))
        snprintf(path, PATH_MAX, "%s", first);
}

gq_status gq_library_check(const char *path)
{
    void *object = NULL;
    if (strchr(path, '/') && access(path, R_OK) == 0)
        return GQ_OK;
    gq_status status = gq_dl_open(path, &object);
    gq_dl_close(object);
    return status;
}
