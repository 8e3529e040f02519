/* What the CPU backend refuses, and what to do instead: docs/reference/cpu-backend.md shows the same rows. */
#include "build/scan.h"
#include <string.h>

#define INSTEAD "; write it in CUDA C++, put it behind #ifndef GQ_CPU_SHIM, or run with backend: cuda"

enum match { WHOLE, START, SCOPE }; /* the word itself; the start of a word; a namespace: the word before :: */

static const struct {
    const char *word;
    enum match match;
    const char *sentence;
} words[] = {
    {"asm", WHOLE, "inline PTX is machine code for a GPU" INSTEAD},
    {"__asm__", WHOLE, "inline PTX is machine code for a GPU" INSTEAD},
    {"__asm", WHOLE, "inline PTX is machine code for a GPU" INSTEAD},
    {"nvcuda", SCOPE, "tensor cores (wmma) exist on a GPU only" INSTEAD},
    {"wmma", SCOPE, "tensor cores (wmma) exist on a GPU only" INSTEAD},
    {"__mma_", START, "tensor cores (mma) exist on a GPU only" INSTEAD},
    {"__wmma", START, "tensor cores (wmma) exist on a GPU only" INSTEAD},
    {"cooperative_groups", WHOLE,
     "cooperative groups are not there on a CPU; use gq_rank(), gq_size(), gq_sync() and __*_sync()"},
    {"cuda", SCOPE, "libcu++ is not there on a CPU; use CUDA's own functions and the C library's"},
    {"cub", SCOPE, "CUB is not there on a CPU; use warp shuffles and shared memory"},
    {"thrust", SCOPE, "Thrust is not there on a CPU; use loops, warp shuffles and shared memory"},
    {"cudaTextureObject_t", WHOLE, "textures exist on a GPU only; read memory instead"},
    {"cudaSurfaceObject_t", WHOLE, "surfaces exist on a GPU only; read and write memory instead"},
    {"tex1Dfetch", WHOLE, "textures exist on a GPU only; read memory instead"},
    {"tex2D", WHOLE, "textures exist on a GPU only; read memory instead"},
    {"tex3D", WHOLE, "textures exist on a GPU only; read memory instead"},
    {"surf2Dread", WHOLE, "surfaces exist on a GPU only; read and write memory instead"},
    {"surf2Dwrite", WHOLE, "surfaces exist on a GPU only; read and write memory instead"},
    {"__half", START, "half precision is not there on a CPU; use float"},
    {"__nv_bfloat16", START, "bfloat16 is not there on a CPU; use float"},
    {"__nv_bfloat162", START, "bfloat16 is not there on a CPU; use float"},
    {"__nv_fp8", START, "8-bit floating point is not there on a CPU; use float"},
    {"__pipeline_", START, "asynchronous copies (cp.async) exist on a GPU only; copy with a loop and __syncthreads()"},
    {"__cluster_dims__", WHOLE, "thread block clusters exist on a GPU only; use GQ_SCOPE(block, N)"},
    {"__cluster", START, "thread block clusters exist on a GPU only; use GQ_SCOPE(block, N)"},
    {"cudaLaunchKernel", START, "a plugin cannot start kernels; do the work in process_message"},
    {"cudaMalloc", START, "a plugin cannot call the CUDA runtime; use GQ_STATE(bytes, version) for memory that lasts"},
    {"cudaFree", START, "a plugin cannot call the CUDA runtime; use GQ_STATE(bytes, version) for memory that lasts"},
    {"cudaMemcpy", START, "a plugin cannot call the CUDA runtime; copy with a loop"},
    {"cudaDeviceSynchronize", WHOLE, "a plugin cannot call the CUDA runtime; use gq_sync()"},
};

static const struct {
    const char *start; /* of the header's name */
    const char *sentence;
} headers[] = {
    {"cuda/", "libcu++ is not there on a CPU; use CUDA's own functions and the C library's"},
    {"cub/", "CUB is not there on a CPU; use warp shuffles and shared memory"},
    {"thrust/", "Thrust is not there on a CPU; use loops, warp shuffles and shared memory"},
    {"cooperative_groups", "cooperative groups are not there on a CPU; use gq_rank(), gq_size() and gq_sync()"},
    {"mma.h", "tensor cores (wmma) exist on a GPU only" INSTEAD},
    {"cuda_fp16", "half precision is not there on a CPU; use float"},
    {"cuda_bf16", "bfloat16 is not there on a CPU; use float"},
    {"cuda_fp8", "8-bit floating point is not there on a CPU; use float"},
    {"cuda_pipeline", "asynchronous copies (cp.async) exist on a GPU only; copy with a loop and __syncthreads()"},
    {"cuda_runtime", "CUDA's words are there without a header; remove this line"},
    {"device_launch_parameters.h", "CUDA's words are there without a header; remove this line"},
    {"device_functions.h", "CUDA's words are there without a header; remove this line"},
    {"cuda.h", "a plugin cannot call the CUDA driver; remove this line"},
    {"curand", "cuRAND is not there on a CPU; compute random numbers from the message id"},
};

static bool matches(const struct gq_token *t, const char *word, enum match match, const struct gq_token *next)
{
    size_t n = strlen(word);
    if (match == START)
        return t->len >= n && memcmp(t->text, word, n) == 0;
    return gq_token_is(t, word) && (match == WHOLE || (gq_token_is(next, ":") && next->text[1] == ':'));
}

const char *gq_refuse_word(const struct gq_token *word, const struct gq_token *next)
{
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (matches(word, words[i].word, words[i].match, next))
            return words[i].sentence;
    return NULL;
}

const char *gq_refuse_header(const char *name, size_t len)
{
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        size_t n = strlen(headers[i].start);
        if (len >= n && memcmp(name, headers[i].start, n) == 0)
            return headers[i].sentence;
    }
    return NULL;
}
