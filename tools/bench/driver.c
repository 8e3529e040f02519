#include "base/clock.h"
#include "base/dl.h"
#include "rivals.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#define WAIT_MS 10000u

gq_status rival_check(const struct rival *r, int error, const char *call)
{
    const char *name = NULL;
    if (error == GQ_CU_OK)
        return GQ_OK;
    r->cu.error_name(error, &name);
    return gq_error_set(GQ_ERR_DEVICE, "%s: %s (error %d)", call, name ? name : "unknown", error);
}

static gq_status look_up(struct rival_api *out)
{
    void *object = NULL;
    gq_status status = gq_dl_open(gq_dl_driver_name(), &object);
#define LOOK_UP(member, symbol, arguments) GQ_DL_FUNCTION(status, object, #symbol, out->member)
    RIVAL_FUNCTIONS(LOOK_UP)
#undef LOOK_UP
    return status == GQ_OK ? GQ_OK : gq_error_prefix(GQ_ERR_UNAVAILABLE, "no usable NVIDIA driver: ");
}

static gq_status open_device(struct rival *r)
{
    int major = 0, minor = 0;
    gq_status status = rival_check(r, r->cu.init(0), "cuInit");
    if (status == GQ_OK)
        status = rival_check(r, r->cu.device_get(&r->device, 0), "cuDeviceGet");
    if (status == GQ_OK)
        status = rival_check(r, r->cu.device_attribute(&r->processors, GQ_CU_ATTR_SM_COUNT, r->device),
                             "cuDeviceGetAttribute");
    if (status == GQ_OK)
        status = rival_check(r, r->cu.device_attribute(&major, GQ_CU_ATTR_CC_MAJOR, r->device), "cuDeviceGetAttribute");
    if (status == GQ_OK)
        status = rival_check(r, r->cu.device_attribute(&minor, GQ_CU_ATTR_CC_MINOR, r->device), "cuDeviceGetAttribute");
    if (status == GQ_OK)
        status = rival_check(r, r->cu.primary_retain(&r->context, r->device), "cuDevicePrimaryCtxRetain");
    r->retained = status == GQ_OK;
    if (status == GQ_OK)
        status = rival_check(r, r->cu.set_current(r->context), "cuCtxSetCurrent");
    r->arch = (uint32_t)(major * 10 + minor);
    return status;
}

static gq_status load_kernels(struct rival *r)
{
    const struct {
        const char *name;
        gq_cu_function *function;
    } kernels[] = {
        {"rival_echo", &r->echo}, {"rival_touch", &r->touch}, {"rival_flag", &r->flag}, {"rival_sha256", &r->sha256}};
    void *cubin = NULL;
    gq_status status = rival_compile(r->arch, &cubin);
    if (status == GQ_OK)
        status = rival_check(r, r->cu.module_load(&r->module, cubin), "cuModuleLoadData");
    free(cubin);
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels && status == GQ_OK; i++)
        status = rival_check(r, r->cu.module_function(kernels[i].function, r->module, kernels[i].name),
                             "cuModuleGetFunction");
    return status;
}

gq_status rival_open(struct rival *r)
{
    /* A kernel that is loaded while a stream is captured may end the capture. */
    setenv("CUDA_MODULE_LOADING", r->lazy ? "LAZY" : "EAGER", 1);
    gq_status status = look_up(&r->cu);
    if (status == GQ_OK)
        status = open_device(r);
    return status == GQ_OK ? load_kernels(r) : status;
}

void rival_close(struct rival *r)
{
    if (r->module)
        r->cu.module_unload(r->module);
    if (r->retained)
        r->cu.primary_release(r->device);
}

/* --- memory ------------------------------------------------------------------------------------------------------- */

gq_status rival_pages_take(const struct rival *r, size_t bytes, struct rival_pages *out)
{
    *out = (struct rival_pages){.bytes = bytes};
    void *host = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (host == MAP_FAILED)
        return gq_error_errno(GQ_ERR_NO_MEMORY, errno, "%zu bytes", bytes);
    out->host = host;
    gq_status status = rival_check(r, r->cu.host_register(host, bytes, GQ_CU_HOST_PORTABLE | GQ_CU_HOST_DEVICEMAP),
                                   "cuMemHostRegister");
    out->registered = status == GQ_OK;
    return status == GQ_OK ? rival_check(r, r->cu.host_pointer(&out->device, host, 0), "cuMemHostGetDevicePointer")
                           : status;
}

void rival_pages_give(const struct rival *r, struct rival_pages *pages)
{
    if (pages->registered)
        r->cu.host_unregister(pages->host);
    if (pages->host)
        munmap(pages->host, pages->bytes);
    *pages = (struct rival_pages){0};
}

/* --- work --------------------------------------------------------------------------------------------------------- */

gq_status rival_wait(const struct rival *r, gq_cu_stream stream)
{
    uint64_t deadline = gq_clock_deadline(WAIT_MS);
    int state = r->cu.stream_query(stream);
    while (state == GQ_CU_NOT_READY && !gq_clock_past(deadline))
        state = r->cu.stream_query(stream);
    if (state == GQ_CU_NOT_READY)
        return gq_error_set(GQ_ERR_TIMEOUT, "the device did not finish within %u s", WAIT_MS / 1000);
    return rival_check(r, state, "cuStreamQuery");
}

gq_status rival_launch(const struct rival *r, gq_cu_function function, uint32_t blocks, uint32_t threads,
                       gq_cu_stream stream, void **params)
{
    return rival_check(r, r->cu.launch(function, blocks, 1, 1, threads, 1, 1, 0, stream, params, NULL),
                       "cuLaunchKernel");
}
