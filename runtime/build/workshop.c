#include "build/workshop.h"
#include "base/file.h"
#include "build/embedded.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static gq_status write_header(const struct gq_workshop *w, const struct gq_embedded *e)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", w->scratch.folder, e->name);
    char *folder = gq_path_folder(path);
    gq_status status = folder ? gq_file_make_folders(folder, 0700) : gq_error_set(GQ_ERR_NO_MEMORY, "out of memory");
    if (status == GQ_OK)
        status = gq_file_write_atomic(path, e->bytes, e->len, 0600);
    free(folder);
    return status;
}

static void name_files(struct gq_workshop *w)
{
    snprintf(w->shim, sizeof w->shim, "%s/device/cpu.h", w->scratch.folder);
    snprintf(w->unit, sizeof w->unit, "%s/unit.cpp", w->scratch.folder);
    snprintf(w->object, sizeof w->object, "%s/image.so", w->scratch.folder);
    snprintf(w->depends, sizeof w->depends, "%s/depends", w->scratch.folder);
    snprintf(w->log, sizeof w->log, "%s/log", w->scratch.folder);
}

gq_status gq_workshop_open(struct gq_workshop *w)
{
    gq_status status = gq_scratch_make(GQ_WORKSHOP_KIND, &w->scratch);
    if (status != GQ_OK)
        return status;
    name_files(w);
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

void gq_workshop_close(struct gq_workshop *w) { gq_scratch_remove(&w->scratch); }
