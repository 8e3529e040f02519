#include "build/nvrtc.h"
#include "base/dl.h"
#include "build/embedded.h"
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

/* NVRTC has no standard headers. */
static const char stdint_text[] = "#pragma once\n"
                                  "typedef signed char int8_t; typedef unsigned char uint8_t;\n"
                                  "typedef short int16_t; typedef unsigned short uint16_t;\n"
                                  "typedef int int32_t; typedef unsigned int uint32_t;\n"
                                  "typedef long long int64_t; typedef unsigned long long uint64_t;\n"
                                  "typedef unsigned long long uintptr_t; typedef long long intptr_t;\n";

/* --- the library
 * ------------------------------------------------------------------------------------------------------ */

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

void gq_nvrtc_find(char path[PATH_MAX])
{
    static const char *const names[] = {"libnvrtc.so.13", "libnvrtc.so.12"};
    const char *chosen = getenv("GPUQ_NVRTC");
    if (chosen && *chosen) {
        snprintf(path, PATH_MAX, "%s", chosen);
        return;
    }
    for (size_t n = 0; n < sizeof names / sizeof *names; n++)
        if (look_in_loader_path(names[n], path) || look_in_folders(names[n], path))
            return;
    snprintf(path, PATH_MAX, "%s", names[0]);
}

static gq_status missing(void)
{
    return gq_error_prefix(GQ_ERR_UNAVAILABLE,
                           "NVRTC 12 or 13 is needed to compile plugins for a GPU (install the CUDA "
                           "toolkit, or set GPUQ_NVRTC to libnvrtc.so.13): ");
}

gq_status gq_nvrtc_check(void)
{
    char path[PATH_MAX];
    void *object = NULL;
    gq_nvrtc_find(path);
    if (strchr(path, '/') && access(path, R_OK) == 0)
        return GQ_OK;
    gq_status status = gq_dl_open(path, &object);
    gq_dl_close(object);
    return status == GQ_OK ? GQ_OK : missing();
}

static gq_status open_library(const char *library)
{
    void *object = NULL;
    if (strcmp(nvrtc.opened, library) == 0)
        return GQ_OK;
    gq_status status = gq_dl_open(library, &object);
#define LOOK_UP(symbol, member, arguments)                                       \
    if (status == GQ_OK) {                                                       \
        void *found = NULL;                                                      \
        status = gq_dl_symbol(object, #symbol, &found);                          \
        __extension__ nvrtc.member = (__typeof__(nvrtc.member))(uintptr_t)found; \
    }
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

/* --- the log
 * ---------------------------------------------------------------------------------------------------------- */

/* `path(12): error: text` -> `path:12:COLUMN: error: text`; the caret two lines below says the column, two blanks in.
 */
static void add_line(struct gq_text *out, const char *line, size_t len, unsigned column)
{
    const char *open = NULL, *end = line + len;
    for (const char *s = line; s + 4 < end && !open; s++)
        if (*s == '(' && strspn(s + 1, "0123456789") > 0 && strncmp(s + 1 + strspn(s + 1, "0123456789"), "): ", 3) == 0)
            open = s;
    if (!open) {
        gq_text_add(out, line, len);
        gq_text_puts(out, "\n");
        return;
    }
    size_t digits = strspn(open + 1, "0123456789");
    gq_text_add(out, line, (size_t)(open - line));
    gq_text_printf(out, ":%.*s:%u%.*s\n", (int)digits, open + 1, column ? column : 1, (int)(end - (open + digits + 2)),
                   open + digits + 2);
}

/* The column that the caret line after the next line points at, 0 without one. */
static unsigned caret_column(const char *next)
{
    const char *caret_line = strchr(next, '\n');
    if (!caret_line)
        return 0;
    size_t blanks = strspn(caret_line + 1, " \t");
    return caret_line[1 + blanks] == '^' && blanks >= 2 ? (unsigned)blanks - 1 : 0;
}

/* The source and caret lines go: gq_log_clean() shows them again, from the text that was compiled. */
static void add_log(struct gq_text *out, const char *raw)
{
    for (const char *s = raw; *s;) {
        size_t len = strcspn(s, "\n");
        const char *next = s + len + (s[len] == '\n');
        unsigned column = caret_column(next);
        if (strstr(s, "detected in the compilation of") == NULL || strstr(s, "detected in the compilation of") > next)
            add_line(out, s, len, column);
        for (int skip = column ? 2 : 0; skip > 0 && *next; skip--)
            next += strcspn(next, "\n") + (next[strcspn(next, "\n")] == '\n');
        s = next;
    }
}

static void take_log(program p, struct gq_text *log)
{
    size_t size = 0;
    if (nvrtc.log_size(p, &size) != 0 || size <= 1 || size > LOG_MAX)
        return;
    char *raw = calloc(1, size + 1);
    if (raw && nvrtc.log(p, raw) == 0)
        add_log(log, raw);
    free(raw);
}

/* --- compiling
 * ---------------------------------------------------------------------------------------------------------- */

static gq_status create(const struct gq_text *unit, program *p)
{
    const char *text[HEADERS_MAX], *name[HEADERS_MAX];
    static const char *const standard[] = {"stdint.h", "cstdint", "stddef.h", "cstddef",
                                           "assert.h", "cassert", "stdio.h",  "cstdio"};
    int n = 0;
    for (size_t i = 0; i < sizeof standard / sizeof *standard; i++, n++) {
        name[n] = standard[i];
        text[n] = i < 2 ? stdint_text : "#pragma once\n"; /* the rest NVRTC declares by itself */
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

gq_status gq_nvrtc_compile(const char *library, const struct gq_text *unit, const char *folder, uint32_t arch,
                           bool *compiled, struct gq_text *log, struct gq_text *object)
{
    char target[32], include[PATH_MAX + 2];
    program p = NULL;
    *compiled = false;
    gq_status status = open_library(library);
    if (status == GQ_OK)
        status = check_arch(library, arch);
    if (status == GQ_OK)
        status = create(unit, &p);
    if (status != GQ_OK)
        return status;
    snprintf(target, sizeof target, "-arch=sm_%u", arch);
    snprintf(include, sizeof include, "-I%s", folder);
    /* Functions without __device__ are taken for device code, as the CPU backend takes them. */
    const char *options[] = {target,      include,     "-std=c++17",          "--device-as-default-execution-space",
                             "-lineinfo", "--minimal", "--no-source-include", "--ptxas-options=--warn-on-spills"};
    *compiled = nvrtc.compile(p, sizeof options / sizeof *options, options) == 0;
    take_log(p, log);
    if (*compiled)
        status = take_cubin(p, object);
    nvrtc.destroy(&p);
    return status;
}
