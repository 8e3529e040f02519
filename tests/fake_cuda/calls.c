/* The driver's functions, each with the rules that a real one holds its callers to. */
#include "fake.h"
#include "build/elf.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define DECLARE(member, symbol, arguments) __attribute__((visibility("default"))) int symbol arguments;
GQ_CU_FUNCTIONS(DECLARE)
#undef DECLARE

#define OBJECTS_MAX 4096
#define NAME "Imaginary 9000"
#define DEVICE_BYTES ((size_t)4 << 30)
#define REGISTERS 64
#define BLOCKS_AN_SM 32
#define SHARED_AN_SM (228 << 10)
#define SHARED_RESERVED 1024
#define SHARED_A_BLOCK (SHARED_AN_SM - SHARED_RESERVED)
#define SHARED_UNASKED (48u << 10) /* what a block may have without asking for more */
#define EVENT_LATE_MS 20u          /* what an event takes beside loads that take long */

/* What the rules ask of a call. */
enum { ANY = 0, CONTEXT = 1, WAITS = 2 };

struct gq_cu_context_s {
    int device;
};

struct gq_cu_function_s {
    struct gq_cu_module_s *module;
    size_t shared_max; /* bytes a launch may ask for */
    int percent;       /* of a multiprocessor's memory, to be shared memory */
    bool launched;
};

struct gq_cu_module_s {
    struct gq_cpu_image info;
    int tag; /* struct fake_code's */
    struct gq_cu_function_s main;
    bool bus; /* the kernels of `gpuq doctor`, which take no part in any ring: they do nothing */
};

/* Code that was read, and goes to the device when its kernel's function is asked for. */
struct gq_cu_library_s {
    struct gq_cu_module_s module;
    bool loaded;
};

struct gq_cu_event_s {
    uint64_t recorded_ms; /* 0: never */
    bool swallowed;
};

enum kind { NONE, MEMORY, HOST, MODULE, STREAM, EVENT };

/* What the caller owns: given back once, and all of it before it lets the device go. */
static struct {
    enum kind kind;
    void *at;
    size_t bytes;
} object[OBJECTS_MAX];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool initialized;
static struct gq_cu_context_s primary;
static bool retained;
static uint64_t loaded_ms; /* atomic: when a load ended, or will */
static _Thread_local gq_cu_context current;

/* --- rules ----------------------------------------------------------------------------------------------------------
 */

static int enter(const char *function, int rules)
{
    int error = fake_sticky();
    if (!error)
        error = fake_scripted(function);
    if (error >= FAKE_ILLEGAL_ADDRESS && error <= FAKE_LAST_STICKY)
        fake_set_sticky(error);
    if (error)
        return error;
    if (!initialized && strcmp(function, "cuInit") != 0 && strcmp(function, "cuDriverGetVersion") != 0)
        return FAKE_NOT_INITIALIZED;
    if ((rules & CONTEXT) && !current)
        return FAKE_INVALID_CONTEXT;
    if (rules & WAITS)
        fake_grid_wait_all(function);
    return 0;
}

#define ENTER(rules)                          \
    do {                                      \
        int refused = enter(__func__, rules); \
        if (refused)                          \
            return refused;                   \
    } while (0)

static void own(enum kind kind, void *at, size_t bytes)
{
    pthread_mutex_lock(&lock);
    size_t i = 0;
    while (i < OBJECTS_MAX && object[i].kind != NONE)
        i++;
    if (i == OBJECTS_MAX)
        fake_complain("more than %d objects are alive", OBJECTS_MAX);
    object[i].kind = kind;
    object[i].at = at;
    object[i].bytes = bytes;
    pthread_mutex_unlock(&lock);
}

static void disown(const char *function, enum kind kind, const void *at)
{
    pthread_mutex_lock(&lock);
    size_t i = 0;
    while (i < OBJECTS_MAX && (object[i].kind != kind || object[i].at != at))
        i++;
    if (i == OBJECTS_MAX)
        fake_complain("%s was given what is not alive", function);
    object[i].kind = NONE;
    pthread_mutex_unlock(&lock);
}

/* Does [at, at + bytes) lie in one object of the kind? */
static bool inside(enum kind kind, const void *at, size_t bytes)
{
    bool found = false;
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < OBJECTS_MAX && !found; i++)
        found = object[i].kind == kind && (const char *)at >= (const char *)object[i].at &&
                (const char *)at + bytes <= (const char *)object[i].at + object[i].bytes;
    pthread_mutex_unlock(&lock);
    return found;
}

static void expect_nothing_owned(void)
{
    static const char *const names[] = {"", "memory", "registered memory", "a module", "a stream", "an event"};
    if (fake_script()->spares)
        return;
    for (size_t i = 0; i < OBJECTS_MAX; i++)
        if (object[i].kind != NONE)
            fake_complain("the device was let go while %s was still alive", names[object[i].kind]);
}

/* Work for a device that has stopped. The driver does not know it yet: it takes it. */
static bool swallow(gq_cu_stream stream)
{
    if (!fake_stopped())
        return false;
    __atomic_store_n(&stream->swallowed, true, __ATOMIC_RELEASE);
    return true;
}

/* Who asks waits while code comes to the device, and with `silent` from a fault until the driver tells of it. */
static void await_answer(void)
{
    while ((fake_script()->silent && fake_stopped() && !fake_sticky()) || fake_stands_still() ||
           (fake_script()->load_ms && fake_now_ms() < __atomic_load_n(&loaded_ms, __ATOMIC_ACQUIRE)))
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static void *host_of(gq_cu_ptr ptr) { return (void *)(uintptr_t)ptr; }

/* --- the driver and its devices -------------------------------------------------------------------------------------
 */

int cuInit(unsigned flags)
{
    ENTER(ANY);
    if (flags)
        return FAKE_INVALID_VALUE;
    if (fake_script()->devices == 0)
        return 100; /* CUDA_ERROR_NO_DEVICE */
    initialized = true;
    return 0;
}

int cuDriverGetVersion(int *version)
{
    ENTER(ANY);
    *version = 13000;
    return 0;
}

int cuGetErrorName(int error, const char **name)
{
    *name = error == 100                    ? "CUDA_ERROR_NO_DEVICE"
            : error == 2                    ? "CUDA_ERROR_OUT_OF_MEMORY"
            : error == FAKE_ILLEGAL_ADDRESS ? "CUDA_ERROR_ILLEGAL_ADDRESS"
            : error == 999                  ? "CUDA_ERROR_UNKNOWN"
                                            : NULL;
    return *name ? 0 : FAKE_INVALID_VALUE;
}

int cuGetErrorString(int error, const char **text)
{
    *text = error == FAKE_ILLEGAL_ADDRESS ? "an illegal memory access was encountered"
            : error == 100                ? "no CUDA-capable device is detected"
                                          : NULL;
    return *text ? 0 : FAKE_INVALID_VALUE;
}

int cuDeviceGetCount(int *count)
{
    ENTER(ANY);
    *count = fake_script()->devices;
    return 0;
}

int cuDeviceGet(int *device, int ordinal)
{
    ENTER(ANY);
    *device = ordinal;
    return ordinal >= 0 && ordinal < fake_script()->devices ? 0 : FAKE_INVALID_DEVICE;
}

int cuDeviceGetName(char *name, int len, int device)
{
    ENTER(ANY);
    snprintf(name, (size_t)len, device ? NAME " (%d)" : NAME, device);
    return 0;
}

int cuDeviceGetAttribute(int *value, int attribute, int device)
{
    ENTER(ANY);
    (void)device;
    const int known[][2] = {{GQ_CU_ATTR_SM_COUNT, fake_script()->sms},
                            {GQ_CU_ATTR_SM_THREADS, fake_script()->threads},
                            {GQ_CU_ATTR_SM_REGISTERS, fake_script()->registers},
                            {GQ_CU_ATTR_SM_SHARED_BYTES, SHARED_AN_SM},
                            {GQ_CU_ATTR_SM_BLOCKS, BLOCKS_AN_SM},
                            {GQ_CU_ATTR_BLOCK_SHARED_RESERVED, SHARED_RESERVED},
                            {GQ_CU_ATTR_CC_MAJOR, 9},
                            {GQ_CU_ATTR_CC_MINOR, 0},
                            {GQ_CU_ATTR_HOST_REGISTER, 1},
                            {GQ_CU_ATTR_READ_ONLY_REGISTER, 1}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i][0] == attribute) {
            *value = known[i][1];
            return 0;
        }
    return FAKE_INVALID_VALUE;
}

int cuDeviceGetPCIBusId(char *bus_id, int len, int device)
{
    ENTER(ANY);
    snprintf(bus_id, (size_t)len, FAKE_BUS_ID, device + 1);
    return 0;
}

int cuDevicePrimaryCtxRetain(gq_cu_context *context, int device)
{
    ENTER(ANY);
    primary.device = device;
    retained = true;
    *context = &primary;
    return 0;
}

int cuDevicePrimaryCtxRelease_v2(int device)
{
    ENTER(WAITS);
    if (!retained || device != primary.device)
        return FAKE_INVALID_CONTEXT;
    expect_nothing_owned();
    if (fake_script()->launched >= 0 && fake_grid_threads() != (uint32_t)fake_script()->launched)
        fake_complain("grids of %u threads were launched", fake_grid_threads());
    retained = false;
    return 0;
}

int cuCtxSetCurrent(gq_cu_context context)
{
    ENTER(ANY);
    current = context;
    return 0;
}

/* --- modules --------------------------------------------------------------------------------------------------------
 */

int cuModuleLoadData(gq_cu_module *module, const void *image)
{
    ENTER(CONTEXT | WAITS);
    if (strncmp(image, ".version", 8) != 0)
        return FAKE_INVALID_IMAGE;
    struct gq_cu_module_s *m = calloc(1, sizeof *m);
    if (!m)
        return 2;
    m->bus = true;
    m->main.module = m;
    own(MODULE, m, sizeof *m);
    *module = m;
    return 0;
}

int cuModuleUnload(gq_cu_module module)
{
    ENTER(CONTEXT | WAITS);
    disown(__func__, MODULE, module);
    free(module);
    return 0;
}

int cuModuleGetFunction(gq_cu_function *function, gq_cu_module module, const char *name)
{
    ENTER(CONTEXT | WAITS);
    (void)name;
    *function = &module->main;
    return 0;
}

int cuLibraryLoadData(gq_cu_library *library, const void *image, void *jit_options, void **jit_values,
                      unsigned jit_count, void *options, void **values, unsigned count)
{
    struct gq_cpu_image info;
    const char *when = getenv("CUDA_MODULE_LOADING");
    ENTER(CONTEXT | (when && strcmp(when, "LAZY") == 0 ? 0 : WAITS));
    if (jit_options || jit_values || jit_count || options || values || count)
        return FAKE_INVALID_VALUE;
    if (gq_elf_cuda_image(image, fake_image_bytes(image), &info) != GQ_OK)
        return FAKE_INVALID_IMAGE;
    struct gq_cu_library_s *l = calloc(1, sizeof *l);
    if (!l)
        return 2;
    l->module.info = info;
    l->module.tag = fake_image_tag(image);
    l->module.main =
        (struct gq_cu_function_s){.module = &l->module, .shared_max = SHARED_UNASKED, .percent = GQ_CU_SHARED_DEFAULT};
    own(MODULE, l, sizeof *l);
    *library = l;
    return 0;
}

int cuLibraryUnload(gq_cu_library library)
{
    ENTER(CONTEXT | (library->loaded ? WAITS : 0));
    disown(__func__, MODULE, library);
    free(library);
    return 0;
}

int cuLibraryGetKernel(gq_cu_kernel *kernel, gq_cu_library library, const char *name)
{
    ENTER(CONTEXT);
    *kernel = (gq_cu_kernel)library;
    return strcmp(name, "gq_grid_main") == 0 ? 0 : FAKE_NOT_FOUND;
}

int cuKernelGetFunction(gq_cu_function *function, gq_cu_kernel kernel)
{
    ENTER(CONTEXT | WAITS);
    struct gq_cu_library_s *l = (struct gq_cu_library_s *)kernel;
    for (uint64_t until = fake_now_ms() + (uint64_t)fake_script()->load_ms; !l->loaded && fake_now_ms() < until;) {
        __atomic_store_n(&loaded_ms, until, __ATOMIC_RELEASE);
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    l->loaded = true;
    *function = &l->module.main;
    return 0;
}

__attribute__((visibility("default"))) int cuFuncSetAttribute(gq_cu_function function, int attribute, int value);
int cuFuncSetAttribute(gq_cu_function function, int attribute, int value)
{
    ENTER(CONTEXT);
    const bool shared_max = attribute == GQ_CU_FUNC_DYNAMIC_SHARED_MAX;
    if ((!shared_max && attribute != GQ_CU_FUNC_SHARED_PERCENT) || value < (shared_max ? 0 : GQ_CU_SHARED_DEFAULT) ||
        value > (shared_max ? SHARED_A_BLOCK : 100))
        return FAKE_INVALID_VALUE;
    if (shared_max)
        function->shared_max = (size_t)value;
    else
        function->percent = value;
    return 0;
}

int cuOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, gq_cu_function function, int threads, size_t shared_bytes)
{
    ENTER(CONTEXT);
    *blocks = threads > 0 ? fake_script()->threads / threads : 0;
    return shared_bytes <= function->shared_max ? 0 : FAKE_INVALID_VALUE;
}

/* --- memory ---------------------------------------------------------------------------------------------------------
 */

int cuMemAlloc_v2(gq_cu_ptr *ptr, size_t bytes)
{
    ENTER(CONTEXT);
    if (fake_script()->scarce[0] && access(fake_script()->scarce, F_OK) == 0)
        return 2; /* CUDA_ERROR_OUT_OF_MEMORY */
    void *p = bytes && bytes <= DEVICE_BYTES ? aligned_alloc(256, (bytes + 255) & ~(size_t)255) : NULL;
    if (!p)
        return bytes ? 2 : FAKE_INVALID_VALUE;
    memset(p, 0xa5, bytes); /* what comes from the driver is not zero */
    own(MEMORY, p, bytes);
    *ptr = (gq_cu_ptr)(uintptr_t)p;
    return 0;
}

int cuMemFree_v2(gq_cu_ptr ptr)
{
    ENTER(CONTEXT | WAITS);
    disown(__func__, MEMORY, host_of(ptr));
    free(host_of(ptr));
    return 0;
}

int cuMemGetInfo_v2(size_t *free_bytes, size_t *total)
{
    ENTER(CONTEXT);
    *free_bytes = *total = DEVICE_BYTES;
    return 0;
}

int cuMemcpyHtoDAsync_v2(gq_cu_ptr to, const void *from, size_t bytes, gq_cu_stream stream)
{
    ENTER(CONTEXT);
    if (!stream || !inside(MEMORY, host_of(to), bytes))
        fake_complain("a copy of %zu bytes to where no device memory is", bytes);
    if (!swallow(stream))
        memcpy(host_of(to), from, bytes);
    return 0;
}

int cuMemcpyDtoHAsync_v2(void *to, gq_cu_ptr from, size_t bytes, gq_cu_stream stream)
{
    ENTER(CONTEXT);
    if (!stream || !(inside(MEMORY, host_of(from), bytes) || inside(MODULE, host_of(from), bytes)))
        fake_complain("a copy of %zu bytes from where no device memory is", bytes);
    await_answer();
    if (!swallow(stream))
        memcpy(to, host_of(from), bytes);
    return 0;
}

int cuStreamWriteValue32_v2(gq_cu_stream stream, gq_cu_ptr ptr, uint32_t value, unsigned flags)
{
    ENTER(CONTEXT);
    if (!stream || flags || !inside(MEMORY, host_of(ptr), sizeof value))
        fake_complain("a word was written to where no device memory is");
    if (!swallow(stream))
        __atomic_store_n((uint32_t *)host_of(ptr), value, __ATOMIC_RELEASE);
    return 0;
}

int cuMemHostRegister_v2(void *ptr, size_t bytes, unsigned flags)
{
    ENTER(CONTEXT);
    if (!(flags & GQ_CU_HOST_DEVICEMAP) || inside(HOST, ptr, 1))
        return FAKE_INVALID_VALUE;
    own(HOST, ptr, bytes);
    return 0;
}

int cuMemHostUnregister(void *ptr)
{
    ENTER(CONTEXT | WAITS);
    disown(__func__, HOST, ptr);
    return 0;
}

int cuMemHostGetDevicePointer_v2(gq_cu_ptr *ptr, void *host, unsigned flags)
{
    ENTER(CONTEXT);
    *ptr = (gq_cu_ptr)(uintptr_t)host;
    return flags == 0 && inside(HOST, host, 1) ? 0 : FAKE_INVALID_VALUE;
}

/* --- streams and grids ----------------------------------------------------------------------------------------------
 */

int cuStreamCreate(gq_cu_stream *stream, unsigned flags)
{
    ENTER(CONTEXT);
    if (flags != GQ_CU_STREAM_NON_BLOCKING)
        fake_complain("a stream that waits for the default stream would wait for the grids");
    *stream = calloc(1, sizeof **stream);
    if (!*stream)
        return 2;
    own(STREAM, *stream, sizeof **stream);
    return 0;
}

int cuStreamDestroy_v2(gq_cu_stream stream)
{
    ENTER(CONTEXT);
    disown(__func__, STREAM, stream);
    if (!fake_stream_busy(stream))
        free(stream);
    return 0;
}

int cuStreamQuery(gq_cu_stream stream)
{
    ENTER(CONTEXT);
    if (fake_stands_still())
        return GQ_CU_NOT_READY;
    await_answer();
    return fake_stream_busy(stream) ? GQ_CU_NOT_READY : fake_sticky();
}

int cuStreamSynchronize(gq_cu_stream stream)
{
    ENTER(CONTEXT);
    await_answer();
    if (fake_stream_busy(stream))
        fake_grid_wait_all(__func__);
    return fake_sticky();
}

int cuEventCreate(gq_cu_event *event, unsigned flags)
{
    ENTER(CONTEXT);
    *event = flags == GQ_CU_EVENT_DISABLE_TIMING ? calloc(1, sizeof **event) : NULL;
    if (!*event)
        return flags == GQ_CU_EVENT_DISABLE_TIMING ? 2 : FAKE_INVALID_VALUE;
    own(EVENT, *event, sizeof **event);
    return 0;
}

int cuEventDestroy_v2(gq_cu_event event)
{
    ENTER(CONTEXT);
    disown(__func__, EVENT, event);
    free(event);
    return 0;
}

int cuEventRecord(gq_cu_event event, gq_cu_stream stream)
{
    ENTER(CONTEXT);
    if (__atomic_load_n(&stream->launched, __ATOMIC_ACQUIRE))
        fake_complain("an event behind a grid says nothing until it ends");
    event->recorded_ms = fake_now_ms();
    event->swallowed = swallow(stream);
    return 0;
}

int cuEventQuery(gq_cu_event event)
{
    ENTER(CONTEXT);
    if (!event->recorded_ms)
        fake_complain("an event that was never recorded has come");
    if (fake_stands_still())
        return GQ_CU_NOT_READY;
    await_answer();
    const uint64_t loaded = __atomic_load_n(&loaded_ms, __ATOMIC_ACQUIRE);
    const uint64_t from = loaded > event->recorded_ms ? loaded : event->recorded_ms;
    const bool late = fake_script()->load_ms && fake_now_ms() < from + EVENT_LATE_MS;
    const bool waits = fake_script()->queued && fake_grids();
    return event->swallowed || waits || late ? GQ_CU_NOT_READY : 0;
}

/* The fake's gq_migrate: as much of the old memory as the new one holds. */
static int take_over(const struct gq_grid *g, const struct gq_cpu_image *info)
{
    const uint32_t bytes = g->old_bytes < info->state_bytes ? g->old_bytes : info->state_bytes;
    if (!g->state)
        return 0;
    if (!info->migrates || !inside(MEMORY, g->old_state, g->old_bytes) || !inside(MEMORY, g->state, info->state_bytes))
        fake_complain("gq_migrate was given what is no memory of that size");
    memcpy(g->state, g->old_state, bytes);
    return 0;
}

static bool sees(const void *p, size_t bytes) { return inside(MEMORY, p, bytes) || inside(HOST, p, bytes); }

int cuLaunchKernel(gq_cu_function function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                   unsigned block_y, unsigned block_z, unsigned shared_bytes, gq_cu_stream stream, void **params,
                   void **extra)
{
    ENTER(CONTEXT);
    const struct gq_grid *g = params[0];
    if (!grid_x || grid_y != 1 || grid_z != 1 || block_x % 32 || !block_x || block_x > 1024 || block_y != 1 ||
        block_z != 1 || shared_bytes > function->shared_max || extra)
        return FAKE_INVALID_VALUE;
    if (function->module->bus)
        return 0;
    if (!function->launched)
        fake_grid_wait_all("the first cuLaunchKernel of a function");
    function->launched = true;
    if (g->old_state)
        return take_over(g, &function->module->info);
    if (!sees(g->host, sizeof *g->host) || !sees(g->worker, sizeof *g->worker) || !sees(g->shared, sizeof *g->shared) ||
        !sees(g->lane, GQ_LANES_MAX * sizeof *g->lane))
        fake_complain("a grid was given memory that the device does not see");
    if (swallow(stream))
        return 0;
    const struct fake_code code = {function->module->info.kind, function->module->tag};
    return fake_grid_start(stream, g, code, grid_x, grid_x * block_x, function->percent);
}
