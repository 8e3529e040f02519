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

gq_status gq_cpu_load(int fd, enum gq_image_kind kind, uint32_t number, struct gq_cpu_version **out)
{
    void *symbol = NULL;
    struct gq_cpu_version *version = calloc(1, sizeof *version);
    *out = NULL;
    if (!version)
        return gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for an image");
    version->number = number;
    gq_status status = gq_dl_open_fd(fd, &version->object);
    if (status == GQ_OK)
        status = gq_dl_symbol(version->object, GQ_CPU_IMAGE_SYMBOL, &symbol);
    if (status == GQ_OK)
        status = check(symbol, kind);
    if (status != GQ_OK) {
        gq_cpu_unload(version);
        return status;
    }
    version->image = symbol;
    *out = version;
    return GQ_OK;
}

void gq_cpu_unload(struct gq_cpu_version *version)
{
    if (version)
        gq_dl_close(version->object);
    free(version);
}
