#include "plugin_target.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/channel.h"
#include "build/nvrtc.h"
#include "pipeline/pipeline.h"

#define CUBIN_BYTES_MAX (256u << 20)

static gq_status read_backend(const struct plugin_args *args, enum gq_backend_kind *out)
{
    const char *name = args->backend ? args->backend : getenv("GPUQ_BACKEND");
    *out = GQ_BACKEND_AUTO;
    if (!name || !*name)
        return GQ_OK;
    for (enum gq_backend_kind kind = GQ_BACKEND_AUTO; kind <= GQ_BACKEND_CPU; kind++)
        if (strcmp(name, gq_backend_name(kind)) == 0) {
            *out = kind;
            return GQ_OK;
        }
    return gq_error_set(GQ_ERR_INVALID_ARG, "GPUQ_BACKEND is '%s'; expected auto, cuda or cpu", name);
}

/* The architecture of this machine's GPU. */
static gq_status ask_gpu(enum gq_backend_kind backend, uint32_t *arch)
{
    char name[128];
    gq_status status = gq_pipeline_find_gpu(0, arch, name, sizeof name, NULL);
    if (backend == GQ_BACKEND_AUTO && (status != GQ_OK || gq_nvrtc_check() != GQ_OK)) {
        *arch = 0;
        return GQ_OK;
    }
    if (status == GQ_OK)
        return GQ_OK;
    char why[GQ_ERROR_TEXT_MAX];
    snprintf(why, sizeof why, "%s", gq_error_text());
    return gq_error_set(GQ_ERR_UNAVAILABLE,
                        "no GPU says what to compile for (%s); name it, as in --backend cuda --arch 90", why);
}

gq_status plugin_target_choose(const struct plugin_args *args, uint32_t *arch)
{
    enum gq_backend_kind backend;
    *arch = 0;
    gq_status status = read_backend(args, &backend);
    if (status != GQ_OK)
        return status;
    if (args->arch && backend != GQ_BACKEND_CUDA)
        return gq_error_set(GQ_ERR_INVALID_ARG, "--arch goes with --backend cuda");
    *arch = args->arch;
    return backend == GQ_BACKEND_CPU || args->arch ? GQ_OK : ask_gpu(backend, arch);
}

void plugin_target_name(uint32_t arch, struct gq_text *out)
{
    if (arch)
        gq_text_printf(out, "cuda (sm_%u)", arch);
    else
        gq_text_puts(out, "cpu");
}

/* The compiler warns of spills, with their bytes, and the image keeps its warnings. */
static void find_spills(const char *log, struct plugin_usage *out)
{
    const char *at = strstr(log, " bytes spill stores, ");
    if (!at)
        return;
    while (at > log && at[-1] >= '0' && at[-1] <= '9')
        at--;
    out->spill_stores = (uint32_t)strtoul(at, NULL, 10);
    out->spill_loads = (uint32_t)strtoul(strstr(at, ", ") + 2, NULL, 10);
}

gq_status plugin_target_usage(const struct gq_image *image, struct plugin_usage *out)
{
    struct gq_text bytes = {0};
    *out = (struct plugin_usage){0};
    gq_status status = gq_memfd_read(image->fd, CUBIN_BYTES_MAX, &bytes);
    if (status == GQ_OK)
        status = gq_elf_cuda_usage(gq_text_str(&bytes), bytes.len, &out->cuda);
    gq_text_finish(&bytes);
    find_spills(gq_text_str(&image->log), out);
    return status;
}
