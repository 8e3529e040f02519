#include "backend/cpu.h"
#include "base/assert.h"
#include "base/dl.h"
#include <stdlib.h>

static gq_status check(const struct gq_cpu_image *image, enum gq_image_kind kind)
{
    if (image->magic != GQ_CPU_IMAGE_MAGIC || image->plugin_abi != GQ_PLUGIN_ABI)
        return gq_error_set(GQ_ERR_PLUGIN,
                            "the image has plugin ABI %u, this worker speaks %d: build it again with this release",
                            image->plugin_abi, GQ_PLUGIN_ABI);
    if (image->kind != (uint32_t)kind)
        return gq_error_set(GQ_ERR_PLUGIN, "the image is a %s, a %s was expected", image->kind ? "source" : "stage",
                            kind ? "source" : "stage");
    return GQ_OK;
}

gq_status gq_cpu_load(int fd, enum gq_image_kind kind, uint32_t generation, struct gq_cpu_loaded *out)
{
    *out = (struct gq_cpu_loaded){.generation = generation};
    void *symbol = NULL;
    gq_status status = gq_dl_open_fd(fd, &out->object);
    if (status == GQ_OK)
        status = gq_dl_symbol(out->object, GQ_CPU_IMAGE_SYMBOL, &symbol);
    if (status == GQ_OK)
        status = check(symbol, kind);
    if (status == GQ_OK) {
        out->image = symbol;
        if (out->image->state_bytes && !(out->state = calloc(1, out->image->state_bytes)))
            status =
                gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for %u bytes of plugin state", out->image->state_bytes);
    }
    if (status != GQ_OK)
        gq_cpu_unload(out);
    return status;
}

void gq_cpu_unload(struct gq_cpu_loaded *loaded)
{
    free(loaded->state);
    gq_dl_close(loaded->object);
    *loaded = (struct gq_cpu_loaded){0};
}
