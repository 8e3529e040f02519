/* Functions, codes and options: nvJitLink documentation, CUDA 12 and 13. */
#include "build/jitlink.h"
#include "base/dl.h"
#include "build/library.h"
#include "build/nvrtc_log.h"
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOG_MAX (1u << 20)

typedef void *handle;
enum { INPUT_CUBIN = 1, INPUT_PTX = 2 };

#define FUNCTIONS(X)                                                                                \
    X(nvJitLinkCreate, create, (handle * h, uint32_t count, const char **options))                  \
    X(nvJitLinkDestroy, destroy, (handle * h))                                                      \
    X(nvJitLinkAddData, add, (handle h, int kind, const void *data, size_t size, const char *name)) \
    X(nvJitLinkComplete, complete, (handle h))                                                      \
    X(nvJitLinkGetLinkedCubinSize, cubin_size, (handle h, size_t * size))                           \
    X(nvJitLinkGetLinkedCubin, cubin, (handle h, void *cubin))                                      \
    X(nvJitLinkGetErrorLogSize, error_log_size, (handle h, size_t * size))                          \
    X(nvJitLinkGetErrorLog, error_log, (handle h, char *log))                                       \
    X(nvJitLinkGetInfoLogSize, info_log_size, (handle h, size_t * size))                            \
    X(nvJitLinkGetInfoLog, info_log, (handle h, char *log))

static struct {
#define MEMBER(symbol, member, arguments) int(*member) arguments;
    FUNCTIONS(MEMBER)
#undef MEMBER
    char opened[PATH_MAX];
} jitlink;

/* --- the library -------------------------------------------------------------------------------------------------- */

void gq_jitlink_find(char path[PATH_MAX])
{
    gq_library_find("GPUQ_NVJITLINK", "libnvJitLink.so.13", "libnvJitLink.so.12", path);
}

static gq_status missing(void)
{
    return gq_error_prefix(GQ_ERR_UNAVAILABLE, "nvJitLink 12 or 13 is needed to link plugins for a GPU (install the "
                                               "CUDA toolkit, or set GPUQ_NVJITLINK to libnvJitLink.so.13): ");
}

gq_status gq_jitlink_check(void)
{
    char path[PATH_MAX];
    gq_jitlink_find(path);
    return gq_library_check(path) == GQ_OK ? GQ_OK : missing();
}

static gq_status open_library(const char *library)
{
    void *object = NULL;
    if (strcmp(jitlink.opened, library) == 0)
        return GQ_OK;
    gq_status status = gq_dl_open(library, &object);
#define LOOK_UP(symbol, member, arguments) GQ_DL_FUNCTION(status, object, #symbol, jitlink.member)
    FUNCTIONS(LOOK_UP)
#undef LOOK_UP
    if (status != GQ_OK)
        return missing();
    snprintf(jitlink.opened, sizeof jitlink.opened, "%s", library);
    return GQ_OK;
}

/* --- the log ------------------------------------------------------------------------------------------------------ */

static void take_log(handle h, const char *name, int (*size_of)(handle, size_t *), int (*log_of)(handle, char *),
                     struct gq_text *out)
{
    size_t size = 0;
    if (size_of(h, &size) != 0 || size <= 1 || size > LOG_MAX)
        return;
    char *raw = calloc(1, size + 1);
    if (raw && log_of(h, raw) == 0)
        gq_jitlink_log_add(out, name, raw);
    free(raw);
}

/* --- linking ------------------------------------------------------------------------------------------------------ */

static gq_status create(const struct gq_jitlink *link, handle *h)
{
    char target[32];
    const char *options[] = {target, "-lineinfo", "-Xptxas=--warn-on-spills"};
    const char suffix[2] = {(char)link->suffix, '\0'};
    snprintf(target, sizeof target, "-arch=sm_%u%s", link->arch, suffix);
    if (jitlink.create(h, sizeof options / sizeof *options, options) == 0)
        return GQ_OK;
    return gq_error_set(GQ_ERR_UNAVAILABLE, "%s does not link for sm_%u%s; another CUDA release may", link->library,
                        link->arch, suffix);
}

/* A part that is refused ends it: a linker that goes on says only that the part is missing. */
static bool join(const struct gq_jitlink *link, handle h)
{
    const struct gq_text *plugin = link->plugin, *template_cubin = link->template_cubin;
    return jitlink.add(h, INPUT_CUBIN, gq_text_str(template_cubin), template_cubin->len, "template") == 0 &&
           jitlink.add(h, link->plugin_is_ptx ? INPUT_PTX : INPUT_CUBIN, gq_text_str(plugin), plugin->len,
                       link->name) == 0 &&
           jitlink.complete(h) == 0;
}

static gq_status take_cubin(handle h, struct gq_text *object)
{
    size_t size = 0;
    if (jitlink.cubin_size(h, &size) != 0 || size == 0)
        return gq_error_set(GQ_ERR_INTERNAL, "nvJitLink linked the plugin and gives no cubin");
    char *bytes = malloc(size);
    if (!bytes)
        return gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for a cubin of %zu bytes", size);
    if (jitlink.cubin(h, bytes) == 0)
        gq_text_add(object, bytes, size);
    free(bytes);
    return object->len == size ? GQ_OK : gq_error_set(GQ_ERR_INTERNAL, "nvJitLinkGetLinkedCubin failed");
}

gq_status gq_jitlink_link(const struct gq_jitlink *link, bool *linked, struct gq_text *log, struct gq_text *object)
{
    handle h = NULL;
    *linked = false;
    gq_status status = open_library(link->library);
    if (status == GQ_OK)
        status = create(link, &h);
    if (status != GQ_OK)
        return status;
    *linked = join(link, h);
    take_log(h, link->name, jitlink.info_log_size, jitlink.info_log, log);
    take_log(h, link->name, jitlink.error_log_size, jitlink.error_log, log);
    if (*linked)
        status = take_cubin(h, object);
    jitlink.destroy(&h);
    return status;
}
