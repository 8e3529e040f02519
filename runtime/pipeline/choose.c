/* Which backend, and why: the caller's word, then the environment's, then the file's, then what this machine has. */
#include "base/dl.h"
#include "build/nvrtc.h"
#include "pipeline/pipeline.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static gq_status parse_backend(const char *name, const char *where, enum gq_backend_kind *out)
{
    for (enum gq_backend_kind kind = GQ_BACKEND_AUTO; kind <= GQ_BACKEND_CPU; kind++)
        if (strcmp(name, gq_backend_name(kind)) == 0) {
            *out = kind;
            return GQ_OK;
        }
    return gq_error_set(GQ_ERR_INVALID_ARG, "%s is '%s'; expected auto, cuda or cpu", where, name);
}

/* The caller's word, then the environment's, then the file's. `where` says who spoke. */
static gq_status wanted_backend(const struct gq_pipeline *p, const char *asked, enum gq_backend_kind *kind,
                                const char **where)
{
    const char *env = getenv("GPUQ_BACKEND");
    *kind = p->conf->backend;
    *where = "the pipeline file";
    if (asked) {
        *where = "--backend";
        return parse_backend(asked, "the backend asked for", kind);
    }
    if (env && *env) {
        *where = "GPUQ_BACKEND";
        return parse_backend(env, "GPUQ_BACKEND", kind);
    }
    return GQ_OK;
}

/* A process of its own asks the driver: this one must stay free of CUDA, and the question costs nothing where there is
 * no driver at all. */
gq_status gq_pipeline_find_gpu(uint32_t device, uint32_t *arch, char *name, size_t size, struct gq_process *keep)
{
    void *driver = NULL;
    gq_status status = gq_dl_open(gq_dl_driver_name(), &driver);
    gq_dl_close(driver);
    if (status != GQ_OK)
        return gq_error_prefix(GQ_ERR_UNAVAILABLE, "no NVIDIA driver: ");
    return gq_remote_probe(device, arch, name, size, keep);
}

/* auto takes a GPU only with a compiler for it; who asks for cuda gets the compiler's absence as an error. */
static gq_status look_for_gpu(struct gq_pipeline *p, enum gq_backend_kind kind, uint32_t *arch, char *name, size_t size)
{
    gq_status status = gq_pipeline_find_gpu(p->conf->device, arch, name, size, &p->probed);
    return status == GQ_OK && kind == GQ_BACKEND_AUTO ? gq_nvrtc_check() : status;
}

gq_status gq_pipeline_choose(struct gq_pipeline *p, const char *asked)
{
    enum gq_backend_kind kind;
    const char *where;
    char name[128] = "";
    gq_status status = wanted_backend(p, asked, &kind, &where);
    if (status != GQ_OK)
        return status;
    p->backend = GQ_BACKEND_CPU;
    if (kind == GQ_BACKEND_CPU) {
        snprintf(p->backend_reason, sizeof p->backend_reason, "asked for by %s", where);
        return GQ_OK;
    }
    status = look_for_gpu(p, kind, &p->arch, name, sizeof name);
    if (status == GQ_OK) {
        p->backend = GQ_BACKEND_CUDA;
        snprintf(p->backend_reason, sizeof p->backend_reason, "%s, sm_%u; %s", name, p->arch,
                 kind == GQ_BACKEND_AUTO ? "auto" : where);
        return GQ_OK;
    }
    if (kind == GQ_BACKEND_CUDA) {
        char why[GQ_ERROR_TEXT_MAX];
        snprintf(why, sizeof why, "%s", gq_error_text());
        return gq_error_set(GQ_ERR_UNAVAILABLE,
                            "backend cuda was asked for by %s and is not available: %s; use cpu or auto", where, why);
    }
    p->arch = 0;
    snprintf(p->backend_reason, sizeof p->backend_reason, "auto: %s", gq_error_text());
    gq_process_end(&p->probed, 100);
    return GQ_OK;
}
