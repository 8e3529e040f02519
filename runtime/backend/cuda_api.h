/* cuda_api.h - the wall around libcuda: one table of functions, opened at run time, and the few types and numbers they
 * take.
 *
 * The declarations are our own, so that gpuqueue builds without a CUDA toolkit. Values are those of the CUDA Driver API
 * (cuda.h of CUDA 12 and 13; names without their prefix here). Functions are looked up under the name given, with the
 * version suffix that cuda.h itself would choose.
 */
#ifndef GQ_BACKEND_CUDA_API_H
#define GQ_BACKEND_CUDA_API_H

#include <stddef.h>
#include <stdint.h>
#include "base/error.h"

typedef struct gq_cu_context_s *gq_cu_context;
typedef struct gq_cu_module_s *gq_cu_module;
typedef struct gq_cu_library_s *gq_cu_library;
typedef struct gq_cu_kernel_s *gq_cu_kernel;
typedef struct gq_cu_function_s *gq_cu_function;
typedef struct gq_cu_stream_s *gq_cu_stream;
typedef struct gq_cu_event_s *gq_cu_event;
typedef uint64_t gq_cu_ptr; /* CUdeviceptr */

enum {
    GQ_CU_OK = 0,
    GQ_CU_OUT_OF_MEMORY = 2,
    GQ_CU_NOT_READY = 600,
    GQ_CU_STICKY_FIRST = 700,  /* what device code did: every call returns it from then on */
    GQ_CU_LAUNCH_FAILED = 719, /* a trap, and whatever has no error of its own */
    GQ_CU_STICKY_LAST = 799,
    GQ_CU_STREAM_NON_BLOCKING = 1,
    GQ_CU_EVENT_DISABLE_TIMING = 2,
    GQ_CU_HOST_PORTABLE = 1,
    GQ_CU_HOST_DEVICEMAP = 2,
    GQ_CU_HOST_READ_ONLY = 8,
    GQ_CU_CTX_SCHED_YIELD = 2,
    GQ_CU_CTX_MAP_HOST = 8,
    /* device attributes */
    GQ_CU_ATTR_SM_COUNT = 16,
    GQ_CU_ATTR_SM_THREADS = 39,
    GQ_CU_ATTR_CC_MAJOR = 75,
    GQ_CU_ATTR_CC_MINOR = 76,
    GQ_CU_ATTR_SM_SHARED_BYTES = 81,
    GQ_CU_ATTR_SM_REGISTERS = 82,
    GQ_CU_ATTR_HOST_REGISTER = 99,
    GQ_CU_ATTR_SM_BLOCKS = 106,
    GQ_CU_ATTR_BLOCK_SHARED_RESERVED = 111,
    GQ_CU_ATTR_READ_ONLY_REGISTER = 113,
    /* function attributes */
    GQ_CU_FUNC_DYNAMIC_SHARED_MAX = 8,
    GQ_CU_FUNC_SHARED_PERCENT = 9, /* of an SM's memory that is shared memory, the rest being cache */
    GQ_CU_SHARED_DEFAULT = -1,     /* a value of it */
};

/* member, symbol, arguments. */
#define GQ_CU_FUNCTIONS(X)                                                                                             \
    X(init, cuInit, (unsigned flags))                                                                                  \
    X(driver_version, cuDriverGetVersion, (int *version))                                                              \
    X(error_name, cuGetErrorName, (int error, const char **name))                                                      \
    X(error_text, cuGetErrorString, (int error, const char **text))                                                    \
    X(device_count, cuDeviceGetCount, (int *count))                                                                    \
    X(device_get, cuDeviceGet, (int *device, int ordinal))                                                             \
    X(device_name, cuDeviceGetName, (char *name, int len, int device))                                                 \
    X(device_attribute, cuDeviceGetAttribute, (int *value, int attribute, int device))                                 \
    X(device_bus_id, cuDeviceGetPCIBusId, (char *bus_id, int len, int device))                                         \
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
    X(function_set, cuFuncSetAttribute, (gq_cu_function function, int attribute, int value))                           \
    X(occupancy, cuOccupancyMaxActiveBlocksPerMultiprocessor,                                                          \
      (int *blocks, gq_cu_function function, int threads, size_t shared_bytes))                                        \
    X(mem_alloc, cuMemAlloc_v2, (gq_cu_ptr * ptr, size_t bytes))                                                       \
    X(mem_free, cuMemFree_v2, (gq_cu_ptr ptr))                                                                         \
    X(mem_info, cuMemGetInfo_v2, (size_t * free, size_t * total))                                                      \
    X(copy_to_device, cuMemcpyHtoDAsync_v2, (gq_cu_ptr to, const void *from, size_t bytes, gq_cu_stream stream))       \
    X(copy_from_device, cuMemcpyDtoHAsync_v2, (void *to, gq_cu_ptr from, size_t bytes, gq_cu_stream stream))           \
    X(write_value32, cuStreamWriteValue32_v2, (gq_cu_stream stream, gq_cu_ptr ptr, uint32_t value, unsigned flags))    \
    X(host_register, cuMemHostRegister_v2, (void *ptr, size_t bytes, unsigned flags))                                  \
    X(host_unregister, cuMemHostUnregister, (void *ptr))                                                               \
    X(host_pointer, cuMemHostGetDevicePointer_v2, (gq_cu_ptr * ptr, void *host, unsigned flags))                       \
    X(stream_create, cuStreamCreate, (gq_cu_stream * stream, unsigned flags))                                          \
    X(stream_destroy, cuStreamDestroy_v2, (gq_cu_stream stream))                                                       \
    X(stream_query, cuStreamQuery, (gq_cu_stream stream))                                                              \
    X(stream_wait, cuStreamSynchronize, (gq_cu_stream stream))                                                         \
    X(event_create, cuEventCreate, (gq_cu_event * event, unsigned flags))                                              \
    X(event_destroy, cuEventDestroy_v2, (gq_cu_event event))                                                           \
    X(event_record, cuEventRecord, (gq_cu_event event, gq_cu_stream stream))                                           \
    X(event_query, cuEventQuery, (gq_cu_event event))                                                                  \
    X(launch, cuLaunchKernel,                                                                                          \
      (gq_cu_function function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y, \
       unsigned block_z, unsigned shared_bytes, gq_cu_stream stream, void **params, void **extra))

struct gq_cu_api {
#define GQ_CU_MEMBER(member, symbol, arguments) int(*member) arguments;
    GQ_CU_FUNCTIONS(GQ_CU_MEMBER)
#undef GQ_CU_MEMBER
};

/* Opens the driver's library (base/dl.h) and looks every function up. GQ_ERR_UNAVAILABLE: no driver, or one that lacks
 * a function. The table is whole or not given; it is never closed. */
gq_status gq_cu_open(const struct gq_cu_api **out);

/* GQ_OK for 0; else the sentence names the call and the driver's error. GQ_ERR_NO_MEMORY: whoever has the memory may
 * give it back, as a worker that is ending does; GQ_ERR_DEVICE: any other. */
gq_status gq_cu_check(const struct gq_cu_api *cu, int error, const char *call);

#endif
