#include "build/nvrtc.h"
#include "base/dl.h"
#include "build/embedded.h"
#include "build/library.h"
#include "build/nvrtc_headers.h"
#include "build/nvrtc_log.h"
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADERS_MAX 64
#define LOG_MAX (1u << 20)
#define ARCHS_MAX 64

typedef void *program;

#define FUNCTIONS(X)                                                                             \
    X(nvrtcCreateProgram, create,                                                                \
      (program * p, const char *source, const char *name, int count, const char *const *headers, \
       const char *const *names))                                                                \
    X(nvrtcDestroyProgram, destroy, (program * p))                                               \
    X(nvrtcCompileProgram, compile, (program p, int count, const char *const *options))          \
    X(nvrtcGetProgramLogSize, log_size, (program p, size_t * size))                              \
    X(nvrtcGetProgramLog, log, (program p, char *log))                                           \
    X(nvrtcGetCUBINSize, cubin_size, (program p, size_t * size))                                 \
    X(nvrtcGetCUBIN, cubin, (program p, char *bytes))                                            \
    X(nvrtcGetNumSupportedArchs, arch_count, (int *count))                                       \
    X(nvrtcGetSupportedArchs, archs, (int *archs))

static struct {
#define MEMBER(symbol, member, arguments) int(*member) arguments;
    FUNCTIONS(MEMBER)
#undef MEMBER
    char opened[PATH_MAX];
} nvrtc;

/* --- the library -------------------------------------------------------------------------------------------------- */

void gq_nvrtc_find(char path[PATH_MAX]) { gq_library_find("GPUQ_NVRTC", "libnvrtc.so.13", "libnvrtc.so.12", path); }

static gq_status missing(void)
{
    return gq_error_prefix(GQ_ERR_UNAVAILABLE,
                           "NVRTC 12 or 13 is needed to compile plugins for a GPU (install the CUDA "
                           "toolkit, or set GPUQ_NVRTC to libnvrtc.so.13): ");
}

gq_status gq_nvrtc_check(void)
{
    char path[PATH_MAX];
    gq_nvrtc_find(path);
    return gq_library_check(path) == GQ_OK ? GQ_OK : missing();
}

static gq_status open_library(const char *library)
{
    void *object = NULL;
    if (strcmp(nvrtc.opened, library) == 0)
        return GQ_OK;
    gq_status status = gq_dl_open(library, &object);
#define LOOK_UP(symbol, member, arguments) GQ_DL_FUNCTION(status, object, #symbol, nvrtc.member)
    FUNCTIONS(LOOK_UP)
#undef LOOK_UP
    if (status != GQ_OK)
        return missing();
    snprintf(nvrtc.opened, sizeof nvrtc.opened, "%s", library);
    return GQ_OK;
}

static gq_status check_arch(const char *library, uint32_t arch)
{
    int archs[ARCHS_MAX] = {0}, count = 0;
    if (nvrtc.arch_count(&count) != 0 || count < 1 || count > ARCHS_MAX || nvrtc.archs(archs) != 0)
        return gq_error_set(GQ_ERR_UNAVAILABLE, "%s does not say what it compiles for", library);
    for (int i = 0; i < count; i++)
        if ((uint32_t)archs[i] == arch)
            return GQ_OK;
    return gq_error_set(GQ_ERR_UNAVAILABLE,
                        "%s compiles for sm_%d to sm_%d and not for sm_%u; another CUDA release may", library, archs[0],
                        archs[count - 1], arch);
}

/* --- the log ------------------------------------------------------------------------------------------------------ */

static void take_log(program p, struct gq_text *log)
{
    size_t size = 0;
    if (nvrtc.log_size(p, &size) != 0 || size <= 1 || size > LOG_MAX)
        return;
    char *raw = calloc(1, size + 1);
    if (raw && nvrtc.log(p, raw) == 0)
        gq_nvrtc_log_add(log, raw);
    free(raw);
}

/* --- compiling ---------------------------------------------------------------------------------------------------- */

static gq_status create(const struct gq_text *unit, program *p)
{
    const char *text[HEADERS_MAX], *name[HEADERS_MAX];
    int n = 0;
    for (const struct gq_nvrtc_header *h = gq_nvrtc_headers; h->name; h++, n++) {
        name[n] = h->name;
        text[n] = h->text;
    }
    for (size_t i = 0; i < gq_embedded_count && n < HEADERS_MAX; i++) {
        if (strncmp(gq_embedded[i].name, "gpuqueue/", 9) != 0 && strncmp(gq_embedded[i].name, "device/", 7) != 0)
            continue;
        name[n] = gq_embedded[i].name;
        text[n++] = (const char *)gq_embedded[i].bytes; /* NUL-terminated by embed.cmake */
    }
    return nvrtc.create(p, gq_text_str(unit), "<gpuqueue>/unit", n, text, name) == 0
               ? GQ_OK
               : gq_error_set(GQ_ERR_INTERNAL, "nvrtcCreateProgram failed");
}

static gq_status take_cubin(program p, struct gq_text *object)
{
    size_t size = 0;
    if (nvrtc.cubin_size(p, &size) != 0 || size == 0)
        return gq_error_set(GQ_ERR_INTERNAL, "NVRTC compiled the plugin and gives no cubin");
    char *bytes = malloc(size);
    if (!bytes)
        return gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for a cubin of %zu bytes", size);
    if (nvrtc.cubin(p, bytes) == 0)
        gq_text_add(object, bytes, size);
    free(bytes);
    return object->len == size ? GQ_OK : gq_error_set(GQ_ERR_INTERNAL, "nvrtcGetCUBIN failed");
}

/* Functions without __device__ are taken for device code, as the CPU backend takes them. */
static bool compile(const struct gq_nvrtc_unit *u, program p)
{
    char target[32], include[PATH_MAX + 2], registers[32];
    const char *options[] = {target,
                             include,
                             "-std=c++17",
                             "--device-as-default-execution-space",
                             "-lineinfo",
                             "--minimal",
                             "--device-int128",
                             "--no-source-include",
                             "--no-display-error-number",
                             u->registers ? registers : "--ptxas-options=--warn-on-spills",
                             "-rdc=true"};
    const int count = sizeof options / sizeof *options;
    snprintf(target, sizeof target, "-arch=sm_%u", u->arch);
    snprintf(include, sizeof include, "-I%s", u->folder);
    snprintf(registers, sizeof registers, "-maxrregcount=%u", u->registers);
    return nvrtc.compile(p, u->relocatable ? count : count - 1, options) == 0;
}

gq_status gq_nvrtc_compile(const struct gq_nvrtc_unit *u, bool *compiled, struct gq_text *log, struct gq_text *object)
{
    program p = NULL;
    *compiled = false;
    gq_status status = open_library(u->library);
    if (status == GQ_OK)
        status = check_arch(u->library, u->arch);
    if (status == GQ_OK)
        status = create(u->text, &p);
    if (status != GQ_OK)
        return status;
    *compiled = compile(u, p);
    take_log(p, log);
    if (*compiled)
        status = take_cubin(p, object);
    nvrtc.destroy(&p);
    return status;
}
