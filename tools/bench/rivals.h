/* rivals.h - inside gpuq-rivals: other ways of using a GPU for messages, and the limits of its bus.
 *
 *   gpuq-rivals SECONDS PRODUCERS CASE     measures and prints rows, as tools/gpuq/bench_rivals.c reads them
 *   gpuq-rivals --compile ARCH             compiles the kernels, which needs NVRTC and no GPU
 *
 * A program of its own, with a table of the driver of its own: the library and gpuq hold no CUDA state. Every wait has
 * a deadline; whatever fails, all that was taken is given back. */
#ifndef GPUQ_RIVALS_H
#define GPUQ_RIVALS_H

#include <stdbool.h>
#include <stdint.h>
#include "backend/cuda_api.h"
#include "base/error.h"
#include "bench_times.h"

typedef struct rival_event_s *rival_event;
typedef struct rival_graph_s *rival_graph;
typedef struct rival_exec_s *rival_exec;

enum {
    RIVAL_EVENT_NO_TIMING = 2,
    RIVAL_CAPTURE_THREAD = 1,
};

/* member, symbol, arguments: as in backend/cuda_api.h */
#define RIVAL_FUNCTIONS(X)                                                                                             \
    X(init, cuInit, (unsigned flags))                                                                                  \
    X(error_name, cuGetErrorName, (int error, const char **name))                                                      \
    X(device_get, cuDeviceGet, (int *device, int ordinal))                                                             \
    X(device_attribute, cuDeviceGetAttribute, (int *value, int attribute, int device))                                 \
    X(primary_retain, cuDevicePrimaryCtxRetain, (gq_cu_context * context, int device))                                 \
    X(primary_release, cuDevicePrimaryCtxRelease_v2, (int device))                                                     \
    X(set_current, cuCtxSetCurrent, (gq_cu_context context))                                                           \
    X(module_load, cuModuleLoadData, (gq_cu_module * module, const void *image))                                       \
    X(module_unload, cuModuleUnload, (gq_cu_module module))                                                            \
    X(module_function, cuModuleGetFunction, (gq_cu_function * function, gq_cu_module module, const char *name))        \
    X(library_load, cuLibraryLoadData,                                                                                 \
      (gq_cu_library * library, const void *image, void *jit_options, void **jit_values, unsigned jit_count,           \
       void *options, void **values, unsigned count))                                                                  \
    X(library_unload, cuLibraryUnload, (gq_cu_library library))                                                        \
    X(library_kernel, cuLibraryGetKernel, (gq_cu_kernel * kernel, gq_cu_library library, const char *name))            \
    X(kernel_function, cuKernelGetFunction, (gq_cu_function * function, gq_cu_kernel kernel))                          \
    X(mem_alloc, cuMemAlloc_v2, (gq_cu_ptr * ptr, size_t bytes))                                                       \
    X(mem_free, cuMemFree_v2, (gq_cu_ptr ptr))                                                                         \
    X(host_register, cuMemHostRegister_v2, (void *ptr, size_t bytes, unsigned flags))                                  \
    X(host_unregister, cuMemHostUnregister, (void *ptr))                                                               \
    X(host_pointer, cuMemHostGetDevicePointer_v2, (gq_cu_ptr * ptr, void *host, unsigned flags))                       \
    X(copy_to_device, cuMemcpyHtoDAsync_v2, (gq_cu_ptr to, const void *from, size_t bytes, gq_cu_stream stream))       \
    X(copy_from_device, cuMemcpyDtoHAsync_v2, (void *to, gq_cu_ptr from, size_t bytes, gq_cu_stream stream))           \
    X(stream_create, cuStreamCreate, (gq_cu_stream * stream, unsigned flags))                                          \
    X(stream_destroy, cuStreamDestroy_v2, (gq_cu_stream stream))                                                       \
    X(stream_query, cuStreamQuery, (gq_cu_stream stream))                                                              \
    X(event_create, cuEventCreate, (rival_event * event, unsigned flags))                                              \
    X(event_destroy, cuEventDestroy_v2, (rival_event event))                                                           \
    X(event_record, cuEventRecord, (rival_event event, gq_cu_stream stream))                                           \
    X(event_query, cuEventQuery, (rival_event event))                                                                  \
    X(capture_begin, cuStreamBeginCapture_v2, (gq_cu_stream stream, int mode))                                         \
    X(capture_end, cuStreamEndCapture, (gq_cu_stream stream, rival_graph * graph))                                     \
    X(graph_make, cuGraphInstantiateWithFlags, (rival_exec * exec, rival_graph graph, unsigned long long flags))       \
    X(graph_launch, cuGraphLaunch, (rival_exec exec, gq_cu_stream stream))                                             \
    X(graph_destroy, cuGraphDestroy, (rival_graph graph))                                                              \
    X(exec_destroy, cuGraphExecDestroy, (rival_exec exec))                                                             \
    X(launch, cuLaunchKernel,                                                                                          \
      (gq_cu_function function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y, \
       unsigned block_z, unsigned shared_bytes, gq_cu_stream stream, void **params, void **extra))

struct rival_api {
#define RIVAL_MEMBER(member, symbol, arguments) int(*member) arguments;
    RIVAL_FUNCTIONS(RIVAL_MEMBER)
#undef RIVAL_MEMBER
};

struct rival {
    struct rival_api cu;
    int device, processors; /* multiprocessors */
    uint32_t arch;
    bool lazy; /* code goes to the device when it is asked for, as in gpuqueue */
    bool retained;
    gq_cu_context context;
    gq_cu_module module;
    gq_cu_function echo, touch, flag, sha256;
    double seconds;
    uint32_t producers;
};

/* Memory of the host that the device sees, on whole pages. */
struct rival_pages {
    void *host;
    gq_cu_ptr device;
    size_t bytes;
    bool registered;
};

/* driver.c */
gq_status rival_open(struct rival *r);
void rival_close(struct rival *r);
/* GQ_OK for 0; else the sentence names the call and the driver's error. */
gq_status rival_check(const struct rival *r, int error, const char *call);
gq_status rival_pages_take(const struct rival *r, size_t bytes, struct rival_pages *out);
void rival_pages_give(const struct rival *r, struct rival_pages *pages);
/* Until all that the stream was given is done. */
gq_status rival_wait(const struct rival *r, gq_cu_stream stream);
gq_status rival_launch(const struct rival *r, gq_cu_function function, uint32_t blocks, uint32_t threads,
                       gq_cu_stream stream, void **params);

/* kernels.c */
gq_status rival_compile(uint32_t arch, void **cubin);      /* to be freed */
gq_status rival_compile_ours(uint32_t arch, void **cubin); /* gpuqueue's own image of builtin:echo; to be freed */

/* A row, as bench_rivals.c reads it: 0 where nothing was measured. */
void rival_row(const char *test, const char *what, double rate, const struct bench_times *times, uint32_t bytes,
               const char *note);

/* rival_batch.c */
gq_status rival_per_message(struct rival *r); /* copy in, launch, copy out, one message at a time: its round trip */
gq_status rival_batches(struct rival *r);     /* one thread: a launch a message, and batches */
gq_status rival_many_graphs(struct rival *r); /* graphs by as many threads as there are producers */
/* rival_bus.c */
gq_status rival_copy_engine(struct rival *r);
gq_status rival_zero_copy(struct rival *r);
gq_status rival_zero_copy_read(struct rival *r); /* beside one way in */
gq_status rival_zero_copy_both(struct rival *r); /* beside echo */
/* rival_plain.c */
gq_status rival_flags(struct rival *r);
gq_status rival_hash(struct rival *r);
/* rival_load.c */
gq_status rival_load(struct rival *r);

#endif
