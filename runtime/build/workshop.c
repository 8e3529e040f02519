#include "build/workshop.h"
#include "base/file.h"
#include "build/embedded.h"
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static gq_status write_header(const struct gq_workshop *w, const struct gq_embedded *e)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", w->folder, e->name);
    char *folder = gq_path_folder(path);
    gq_status status = folder ? gq_file_make_folders(folder, 0700) : gq_error_set(GQ_ERR_NO_MEMORY, "out of memory");
    if (status == GQ_OK)
        status = gq_file_write_atomic(path, e->bytes, e->len, 0600);
    free(folder);
    return status;
}

static void name_files(struct gq_workshop *w)
{
    snprintf(w->shim, sizeof w->shim, "%s/device/cpu.h", w->folder);
    snprintf(w->unit, sizeof w->unit, "%s/unit.cpp", w->folder);
    snprintf(w->object, sizeof w->object, "%s/image.so", w->folder);
    snprintf(w->depends, sizeof w->depends, "%s/depends", w->folder);
    snprintf(w->log, sizeof w->log, "%s/log", w->folder);
}

gq_status gq_workshop_open(struct gq_workshop *w)
{
    const char *base = getenv("TMPDIR");
    base = base && *base == '/' ? base : "/tmp";
    w->folder[0] = '\0';
    char folder[sizeof w->folder];
    if (snprintf(folder, sizeof folder, "%s/gpuqueue-build-XXXXXX", base) >= (int)sizeof folder)
        return gq_error_set(GQ_ERR_UNAVAILABLE, "TMPDIR=%s is too long a path to build in", base);
    if (!mkdtemp(folder))
        return gq_error_errno(GQ_ERR_UNAVAILABLE, errno,
                              "making a folder to build in, %s; set TMPDIR to one that can be written", folder);
    memcpy(w->folder, folder, sizeof folder);
    name_files(w);
    gq_status status = GQ_OK;
    for (size_t i = 0; i < gq_embedded_count && status == GQ_OK; i++)
        status = write_header(w, &gq_embedded[i]);
    if (status != GQ_OK)
        gq_workshop_close(w);
    return status;
}

void gq_workshop_clear(const struct gq_workshop *w)
{
    unlink(w->unit);
    unlink(w->object);
    unlink(w->depends);
    unlink(w->log);
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *where)
{
    (void)info, (void)kind, (void)where;
    return remove(path);
}

void gq_workshop_close(struct gq_workshop *w)
{
    if (w->folder[0])
        nftw(w->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    w->folder[0] = '\0';
}
