#include "nvrtc.h"
#include "base/dl.h"
#include "base/error.h"
#include "base/text.h"
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef void *program;
typedef int result; /* nvrtcResult: 0 is success */

#define NVRTC_FUNCTIONS(X)                                                                      \
    X(CreateProgram, result,                                                                    \
      (program * p, const char *source, const char *name, int headers, const char *const *text, \
       const char *const *names))                                                               \
    X(DestroyProgram, result, (program * p))                                                    \
    X(CompileProgram, result, (program p, int count, const char *const *options))               \
    X(GetProgramLogSize, result, (program p, size_t * size))                                    \
    X(GetProgramLog, result, (program p, char *log))                                            \
    X(GetPTXSize, result, (program p, size_t * size))                                           \
    X(GetPTX, result, (program p, char *bytes))                                                 \
    X(GetCUBINSize, result, (program p, size_t * size))                                         \
    X(GetCUBIN, result, (program p, char *bytes))                                               \
    X(GetNumSupportedArchs, result, (int *count))                                               \
    X(GetSupportedArchs, result, (int *archs))

static struct {
#define FUNCTION_MEMBER(name, type, arguments) type(*name) arguments;
    NVRTC_FUNCTIONS(FUNCTION_MEMBER)
#undef FUNCTION_MEMBER
} nvrtc;

/* NVRTC has no standard headers; a plugin sees this one. */
static const char stdint_text[] = "#pragma once\n"
                                  "typedef signed char int8_t; typedef unsigned char uint8_t;\n"
                                  "typedef short int16_t; typedef unsigned short uint16_t;\n"
                                  "typedef int int32_t; typedef unsigned int uint32_t;\n"
                                  "typedef long long int64_t; typedef unsigned long long uint64_t;\n"
                                  "typedef unsigned long long uintptr_t; typedef long long intptr_t;\n";

static gq_status open_library(void **object)
{
    static const char *const names[] = {"libnvrtc.so.13", "libnvrtc.so.12", "/usr/local/cuda/lib64/libnvrtc.so",
                                        "/usr/local/cuda/lib/libnvrtc.so"};
    gq_status status = GQ_ERR_UNAVAILABLE;
    for (size_t i = 0; i < sizeof names / sizeof *names && status != GQ_OK; i++)
        status = gq_dl_open(names[i], object);
    return status;
}

bool nvrtc_open(void)
{
    void *object = NULL;
    gq_status status = open_library(&object);
#define FUNCTION_LOOKUP(name, type, arguments) \
    if (status == GQ_OK)                       \
        status = gq_dl_symbol(object, "nvrtc" #name, (void **)&nvrtc.name);
    NVRTC_FUNCTIONS(FUNCTION_LOOKUP)
#undef FUNCTION_LOOKUP
    if (status != GQ_OK)
        printf("NVRTC is not here: %s\n", gq_error_text());
    return status == GQ_OK;
}

bool nvrtc_knows(int arch)
{
    int count = 0;
    if (nvrtc.GetNumSupportedArchs(&count) != 0 || count <= 0)
        return false;
    int *archs = calloc((size_t)count, sizeof *archs);
    bool known = false;
    if (archs && nvrtc.GetSupportedArchs(archs) == 0)
        for (int i = 0; i < count; i++)
            known = known || archs[i] == arch;
    free(archs);
    return known;
}

/* False when the compiler had nothing to say. */
static bool print_log(program p)
{
    size_t size = 0;
    char *log = nvrtc.GetProgramLogSize(p, &size) == 0 ? calloc(size + 1, 1) : NULL;
    bool said = log && nvrtc.GetProgramLog(p, log) == 0 && *log;
    if (said)
        puts(log);
    free(log);
    return said;
}

/* What is to be linked calls by the ABI, which saves registers in memory; all else keeps to its registers. */
static result compile(program p, const char *root, int arch, enum nvrtc_output output, bool linked)
{
    struct gq_text text[4] = {{0}, {0}, {0}, {0}};
    gq_text_printf(&text[0], "--gpu-architecture=%s_%d", output == NVRTC_PTX ? "compute" : "sm", arch);
    gq_text_printf(&text[1], "--include-path=%s/include", root);
    gq_text_printf(&text[2], "--include-path=%s/runtime", root);
    gq_text_printf(&text[3], "--include-path=%s/tests", root);
    const char *options[] = {text[0].data,
                             text[1].data,
                             text[2].data,
                             text[3].data,
                             "--std=c++17",
                             linked ? "--relocatable-device-code=true" : "--ptxas-options=--warn-on-spills",
                             "--device-as-default-execution-space"};
    result r = nvrtc.CompileProgram(p, sizeof options / sizeof *options, options);
    for (size_t i = 0; i < 4; i++)
        gq_text_finish(&text[i]);
    return r;
}

static char *take_output(program p, enum nvrtc_output output, size_t *len)
{
    bool ptx = output == NVRTC_PTX;
    if ((ptx ? nvrtc.GetPTXSize : nvrtc.GetCUBINSize)(p, len) != 0 || *len == 0)
        return NULL;
    char *bytes = calloc(*len + 1, 1);
    if (bytes && (ptx ? nvrtc.GetPTX : nvrtc.GetCUBIN)(p, bytes) != 0) {
        free(bytes);
        bytes = NULL;
    }
    return bytes;
}

/* What the compiler had nothing to say of; else NULL. */
static program compiled(const char *root, const char *name, const char *source, int arch, enum nvrtc_output output)
{
    static const char *const header_texts[] = {stdint_text};
    static const char *const header_names[] = {"stdint.h"};
    program p = NULL;
    if (nvrtc.CreateProgram(&p, source, name, 1, header_texts, header_names) != 0)
        return NULL;
    const bool failed = compile(p, root, arch, output, strstr(source, "#define GQ_LINKED") != NULL) != 0;
    if (print_log(p) || failed)
        nvrtc.DestroyProgram(&p);
    return p;
}

char *nvrtc_compile(const char *root, const char *name, const char *source, int arch, enum nvrtc_output output,
                    size_t *len)
{
    program p = compiled(root, name, source, arch, output);
    char *bytes = p ? take_output(p, output, len) : NULL;
    if (p)
        nvrtc.DestroyProgram(&p);
    return bytes;
}

char *nvrtc_compile_both(const char *root, const char *name, const char *source, int arch, size_t *len, char **ptx)
{
    size_t ptx_len;
    program p = compiled(root, name, source, arch, NVRTC_CUBIN);
    char *bytes = p ? take_output(p, NVRTC_CUBIN, len) : NULL;
    *ptx = p ? take_output(p, NVRTC_PTX, &ptx_len) : NULL;
    if (p)
        nvrtc.DestroyProgram(&p);
    return bytes;
}
