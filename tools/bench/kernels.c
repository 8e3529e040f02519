/* The kernels: the text of plugins/sha256.cu, which the library carries as builtin:sha256, and rivals.cu behind it. */
#include "base/text.h"
#include "build/embedded.h"
#include "build/nvrtc.h"
#include "build/scan.h"
#include "build/unit.h"
#include "rival_kernels.h"
#include "rivals.h"
#include <stdlib.h>
#include <string.h>

static gq_status add_plugin(struct gq_text *unit)
{
    for (size_t i = 0; i < gq_embedded_count; i++)
        if (strcmp(gq_embedded[i].name, "builtin/sha256.cu") == 0) {
            gq_text_add(unit, gq_embedded[i].bytes, gq_embedded[i].len);
            return GQ_OK;
        }
    return gq_error_set(GQ_ERR_INTERNAL, "the library does not carry plugins/sha256.cu");
}

static gq_status make_cubin(const struct gq_text *unit, uint32_t arch, struct gq_text *cubin)
{
    char library[PATH_MAX];
    struct gq_text log = {0};
    bool compiled = false;
    gq_nvrtc_find(library);
    const struct gq_nvrtc_unit compile = {.library = library, .folder = "/", .text = unit, .arch = arch};
    gq_status status = gq_nvrtc_compile(&compile, &compiled, &log, cubin);
    if (status == GQ_OK && (!compiled || log.len)) /* a warning, too, is our own mistake */
        status = gq_error_set(GQ_ERR_INTERNAL, "the kernels do not compile cleanly: %s", gq_text_str(&log));
    gq_text_finish(&log);
    return status;
}

static gq_status write_ours(uint32_t arch, struct gq_text *unit)
{
    struct gq_scan *scan = calloc(1, sizeof *scan);
    const struct gq_build_request request = {.path = "builtin:echo", .kind = GQ_IMAGE_STAGE, .arch = arch};
    if (!scan)
        return gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for a plugin's text");
    gq_status status = gq_scan_plugin(request.path, GQ_SCAN_CUDA, scan);
    if (status == GQ_OK)
        status = gq_unit_write(&request, scan, GQ_UNIT_WHOLE, unit);
    gq_scan_finish(scan);
    free(scan);
    return status;
}

static gq_status write_rivals(uint32_t arch, struct gq_text *unit)
{
    (void)arch;
    gq_status status = add_plugin(unit);
    gq_text_puts(unit, rival_rivals_cu);
    return status == GQ_OK && unit->failed ? gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for the kernels") : status;
}

static gq_status compile(gq_status (*write)(uint32_t arch, struct gq_text *unit), uint32_t arch, void **cubin)
{
    struct gq_text unit = {0}, object = {0};
    gq_status status = write(arch, &unit);
    if (status == GQ_OK)
        status = make_cubin(&unit, arch, &object);
    gq_text_finish(&unit);
    if (status != GQ_OK)
        gq_text_finish(&object);
    *cubin = object.data;
    return status;
}

gq_status rival_compile(uint32_t arch, void **cubin) { return compile(write_rivals, arch, cubin); }
gq_status rival_compile_ours(uint32_t arch, void **cubin) { return compile(write_ours, arch, cubin); }
