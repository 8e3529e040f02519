/* A libcuda.so.1, and a libnvrtc, for gpuq-rivals: device memory is host memory, a stream does at once what it is told,
 * a kernel is a C function that does what rivals.cu says. So rows, checks and every error path run without a GPU.
 *
 *   FAKE_FAIL_AT=N   the Nth call that can fail fails
 *   FAKE_WRONG=1     kernels write a wrong byte
 *
 * What NVRTC makes here is four bytes, and quick; that the kernels compile is another test.
 * When the context is given back, all that was taken must have been given back: if not, the process ends with code 3.
 */
#include "base/digest.h"
#include "rivals.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FAILED 999
#define NODES_MAX 8

#define EXPORT __attribute__((visibility("default")))

enum kernel { ECHO = 1, TOUCH, FLAG, SHA256, OURS };

/* What a stream was told: a copy, or a kernel with its arguments. */
struct node {
    void *to;
    const void *from;
    size_t bytes;
    enum kernel kernel; /* 0: a copy */
    uint64_t argument[6];
};

struct rival_graph_s {
    struct node node[NODES_MAX];
    unsigned count;
};

struct rival_exec_s {
    struct rival_graph_s graph;
};

struct gq_cu_stream_s {
    struct rival_graph_s *capture; /* NULL: nodes run at once */
    pthread_t thread;
    int busy; /* atomic; a kernel that runs until it is told to stop */
    bool started;
};

static const char cubin[] = "\177ELF"; /* what our NVRTC makes, and all that our driver loads */

static int calls, taken;

/* True for the call that is to fail. */
static bool fails(void)
{
    const char *at = getenv("FAKE_FAIL_AT");
    int number = __atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED);
    return at && number == (int)strtol(at, NULL, 10);
}

static int take(void)
{
    if (fails())
        return FAILED;
    __atomic_add_fetch(&taken, 1, __ATOMIC_RELAXED);
    return 0;
}

static int give(void)
{
    __atomic_sub_fetch(&taken, 1, __ATOMIC_RELAXED);
    return 0;
}

static int maybe(void) { return fails() ? FAILED : 0; }

#define FAKE(type, member, arguments) \
    EXPORT type member arguments;     \
    EXPORT type member arguments

/* --- the device --------------------------------------------------------------------------------------------------- */

FAKE(int, cuInit, (unsigned flags)) { return flags ? FAILED : maybe(); }
FAKE(int, cuGetErrorName, (int error, const char **name))
{
    *name = error == FAILED ? "CUDA_ERROR_FAKE" : NULL;
    return 0;
}
FAKE(int, cuDeviceGet, (int *device, int ordinal))
{
    *device = ordinal;
    return maybe();
}
FAKE(int, cuDeviceGetAttribute, (int *value, int attribute, int device))
{
    *value = attribute == GQ_CU_ATTR_CC_MAJOR ? 9 : attribute == GQ_CU_ATTR_CC_MINOR ? 0 : 2 + device;
    return maybe();
}
FAKE(int, cuDevicePrimaryCtxRetain, (gq_cu_context * context, int device))
{
    *context = NULL;
    return device ? FAILED : take();
}
FAKE(int, cuDevicePrimaryCtxRelease_v2, (int device))
{
    give();
    if (taken != 0) {
        fprintf(stderr, "fake driver: %d things were not given back before the context of device %d\n", taken, device);
        _exit(3);
    }
    return 0;
}
FAKE(int, cuCtxSetCurrent, (gq_cu_context context)) { return context ? FAILED : maybe(); }

/* --- modules ------------------------------------------------------------------------------------------------------ */

FAKE(int, cuModuleLoadData, (gq_cu_module * module, const void *image))
{
    int error = memcmp(image, cubin, sizeof cubin) == 0 ? take() : FAILED;
    *module = (gq_cu_module)(uintptr_t)!error;
    return error;
}
FAKE(int, cuModuleUnload, (gq_cu_module module)) { return module ? give() : FAILED; }
FAKE(int, cuModuleGetFunction, (gq_cu_function * function, gq_cu_module module, const char *name))
{
    static const char *const names[] = {"rival_echo", "rival_touch", "rival_flag", "rival_sha256"};
    for (uintptr_t i = 0; module && i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i], name) == 0) {
            *function = (gq_cu_function)(i + 1);
            return maybe();
        }
    return FAILED;
}

FAKE(int, cuLibraryLoadData,
     (gq_cu_library * library, const void *image, void *jit_options, void **jit_values, unsigned jit_count,
      void *options, void **values, unsigned count))
{
    const bool plain = !jit_options && !jit_values && !jit_count && !options && !values && !count;
    int error = plain && memcmp(image, cubin, sizeof cubin) == 0 ? take() : FAILED;
    *library = (gq_cu_library)(uintptr_t)!error;
    return error;
}
FAKE(int, cuLibraryUnload, (gq_cu_library library)) { return library ? give() + maybe() : FAILED; }
FAKE(int, cuLibraryGetKernel, (gq_cu_kernel * kernel, gq_cu_library library, const char *name))
{
    *kernel = (gq_cu_kernel)library;
    return strcmp(name, "gq_grid_main") == 0 ? maybe() : FAILED;
}
FAKE(int, cuKernelGetFunction, (gq_cu_function * function, gq_cu_kernel kernel))
{
    *function = (gq_cu_function)(uintptr_t)OURS;
    return kernel ? maybe() : FAILED;
}

/* --- memory ------------------------------------------------------------------------------------------------------- */

FAKE(int, cuMemAlloc_v2, (gq_cu_ptr * ptr, size_t bytes))
{
    int error = take();
    *ptr = error ? 0 : (gq_cu_ptr)(uintptr_t)malloc(bytes);
    return error;
}
FAKE(int, cuMemFree_v2, (gq_cu_ptr ptr))
{
    free((void *)(uintptr_t)ptr);
    return give();
}
FAKE(int, cuMemHostRegister_v2, (void *ptr, size_t bytes, unsigned flags))
{
    return ptr && bytes && flags == (GQ_CU_HOST_PORTABLE | GQ_CU_HOST_DEVICEMAP) ? take() : FAILED;
}
FAKE(int, cuMemHostUnregister, (void *ptr)) { return ptr ? give() : FAILED; }
FAKE(int, cuMemHostGetDevicePointer_v2, (gq_cu_ptr * ptr, void *host, unsigned flags))
{
    *ptr = (gq_cu_ptr)(uintptr_t)host;
    return flags ? FAILED : maybe();
}

/* --- kernels ------------------------------------------------------------------------------------------------------ */

static void *pointer(uint64_t value) { return (void *)(uintptr_t)value; }

static void spoil(void *byte)
{
    if (getenv("FAKE_WRONG"))
        *(uint8_t *)byte ^= 1;
}

static void hash(const struct node *k)
{
    for (uint64_t i = 0; i < k->argument[3]; i += 64) { /* those that are looked at */
        uint8_t digest[32];
        char *hex = (char *)pointer(k->argument[1]) + i * 64, last[3];
        gq_digest_bytes((uint8_t *)pointer(k->argument[0]) + i * k->argument[2], k->argument[2], digest);
        for (unsigned b = 0; b < 32; b++) {
            snprintf(last, sizeof last, "%02x", digest[b]);
            memcpy(hex + (size_t)b * 2, last, 2);
        }
    }
    spoil(pointer(k->argument[1]));
}

static void run(const struct node *k)
{
    if (k->kernel == ECHO) {
        memcpy(pointer(k->argument[1]), pointer(k->argument[0]), k->argument[2] * 16);
        spoil(pointer(k->argument[1]));
    } else if (k->kernel == SHA256) {
        hash(k);
    } else if (k->kernel == 0) {
        memcpy(k->to, k->from, k->bytes);
    }
}

struct flags {
    uint32_t *ask, *answer;
    gq_cu_stream stream;
};

static void *answer_flags(void *arg)
{
    struct flags f = *(struct flags *)arg;
    free(arg);
    for (uint32_t word = 0; word != UINT32_MAX;) {
        word = __atomic_load_n(f.ask, __ATOMIC_ACQUIRE);
        __atomic_store_n(f.answer, word, __ATOMIC_RELEASE);
    }
    __atomic_store_n(&f.stream->busy, 0, __ATOMIC_RELEASE);
    return NULL;
}

static int start_flags(const struct node *k, gq_cu_stream stream)
{
    struct flags *f = malloc(sizeof *f);
    *f = (struct flags){pointer(k->argument[0]), pointer(k->argument[1]), stream};
    stream->busy = 1;
    stream->started = pthread_create(&stream->thread, NULL, answer_flags, f) == 0;
    return stream->started ? 0 : FAILED;
}

/* --- streams, events, graphs -------------------------------------------------------------------------------------- */

static int tell(gq_cu_stream stream, const struct node *node)
{
    if (fails() || !stream || (stream->capture && stream->capture->count == NODES_MAX))
        return FAILED;
    if (stream->capture)
        stream->capture->node[stream->capture->count++] = *node;
    else if (node->kernel == FLAG)
        return start_flags(node, stream);
    else
        run(node);
    return 0;
}

FAKE(int, cuMemcpyHtoDAsync_v2, (gq_cu_ptr to, const void *from, size_t bytes, gq_cu_stream stream))
{
    return tell(stream, &(struct node){.to = pointer(to), .from = from, .bytes = bytes});
}
FAKE(int, cuMemcpyDtoHAsync_v2, (void *to, gq_cu_ptr from, size_t bytes, gq_cu_stream stream))
{
    return tell(stream, &(struct node){.to = to, .from = pointer(from), .bytes = bytes});
}
FAKE(int, cuLaunchKernel,
     (gq_cu_function function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y,
      unsigned block_z, unsigned shared_bytes, gq_cu_stream stream, void **params, void **extra))
{
    /* bytes of each argument, as rivals.cu declares them */
    static const uint8_t sizes[][6] = {{0}, {8, 8, 4}, {8, 8, 8, 4, 4, 8}, {8, 8, 8}, {8, 8, 4, 4}, {0}};
    struct node k = {.kernel = (enum kernel)(uintptr_t)function};
    if (!grid_x || grid_y * grid_z * block_y * block_z != 1 || !block_x || block_x > 1024 || shared_bytes || extra)
        return FAILED;
    for (unsigned i = 0; i < 6; i++)
        memcpy(&k.argument[i], sizes[k.kernel][i] ? params[i] : &k.argument[i], sizes[k.kernel][i]);
    return tell(stream, &k);
}
FAKE(int, cuStreamCreate, (gq_cu_stream * stream, unsigned flags))
{
    int error = flags == GQ_CU_STREAM_NON_BLOCKING ? take() : FAILED;
    *stream = error ? NULL : calloc(1, sizeof **stream);
    return error;
}
FAKE(int, cuStreamDestroy_v2, (gq_cu_stream stream))
{
    if (stream->started)
        pthread_join(stream->thread, NULL);
    free(stream);
    return give();
}
FAKE(int, cuStreamQuery, (gq_cu_stream stream))
{
    return __atomic_load_n(&stream->busy, __ATOMIC_ACQUIRE) ? GQ_CU_NOT_READY : maybe();
}
FAKE(int, cuEventCreate, (rival_event * event, unsigned flags))
{
    int error = flags == RIVAL_EVENT_NO_TIMING ? take() : FAILED;
    *event = (rival_event)(uintptr_t)!error;
    return error;
}
FAKE(int, cuEventDestroy_v2, (rival_event event)) { return event ? give() : FAILED; }
FAKE(int, cuEventRecord, (rival_event event, gq_cu_stream stream)) { return event && stream ? maybe() : FAILED; }
FAKE(int, cuEventQuery, (rival_event event)) { return event ? maybe() : FAILED; }
FAKE(int, cuStreamBeginCapture_v2, (gq_cu_stream stream, int mode))
{
    int error = mode == RIVAL_CAPTURE_THREAD ? maybe() : FAILED;
    if (!error)
        stream->capture = calloc(1, sizeof *stream->capture);
    return error;
}
FAKE(int, cuStreamEndCapture, (gq_cu_stream stream, rival_graph *graph))
{
    int error = take();
    *graph = error ? NULL : stream->capture;
    if (error)
        free(stream->capture);
    stream->capture = NULL;
    return error;
}
FAKE(int, cuGraphInstantiateWithFlags, (rival_exec * exec, rival_graph graph, unsigned long long flags))
{
    int error = flags || graph->count != 3 ? FAILED : take();
    *exec = error ? NULL : malloc(sizeof **exec);
    if (!error)
        (*exec)->graph = *graph;
    return error;
}
FAKE(int, cuGraphLaunch, (rival_exec exec, gq_cu_stream stream))
{
    for (unsigned i = 0; i < exec->graph.count; i++)
        run(&exec->graph.node[i]);
    return stream ? maybe() : FAILED;
}
FAKE(int, cuGraphDestroy, (rival_graph graph))
{
    free(graph);
    return give();
}
FAKE(int, cuGraphExecDestroy, (rival_exec exec))
{
    free(exec);
    return give();
}

/* --- NVRTC -------------------------------------------------------------------------------------------------------- */

FAKE(int, nvrtcCreateProgram,
     (void **program, const char *source, const char *name, int count, const char *const *headers,
      const char *const *names))
{
    const bool known = strstr(source, "rival_sha256") || strstr(source, "device/kernel.cu");
    *program = known && name && count && headers && names ? (void *)(uintptr_t)source : NULL;
    return *program ? 0 : FAILED;
}
FAKE(int, nvrtcDestroyProgram, (void **program))
{
    *program = NULL;
    return 0;
}
FAKE(int, nvrtcCompileProgram, (void *program, int count, const char *const *options))
{
    return program && count && options ? 0 : FAILED;
}
FAKE(int, nvrtcGetProgramLogSize, (void *program, size_t *size))
{
    *size = 1;
    return program ? 0 : FAILED;
}
FAKE(int, nvrtcGetProgramLog, (void *program, char *log))
{
    *log = '\0';
    return program ? 0 : FAILED;
}
FAKE(int, nvrtcGetCUBINSize, (void *program, size_t *size))
{
    *size = sizeof cubin;
    return program ? 0 : FAILED;
}
FAKE(int, nvrtcGetCUBIN, (void *program, char *bytes))
{
    memcpy(bytes, cubin, sizeof cubin);
    return program ? 0 : FAILED;
}
FAKE(int, nvrtcGetNumSupportedArchs, (int *count))
{
    *count = 1;
    return 0;
}
FAKE(int, nvrtcGetSupportedArchs, (int *archs))
{
    *archs = 90;
    return 0;
}
