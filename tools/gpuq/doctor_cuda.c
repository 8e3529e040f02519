#include "doctor.h"
#include <stdint.h>
#include "backend/cuda_xid.h"
#include "base/dl.h"
#include "base/error.h"
#include "build/jitlink.h"
#include "build/nvrtc.h"
#include "pipeline/pipeline.h"

#define NO_GPU "plugins run on the CPU backend; nothing to mend if this machine has no NVIDIA GPU"
#define ARCHS_MAX 64
#define DEVICES_MAX 8u /* that are described */

/* Looks every row of a list of functions up in `object`; the row is (symbol, member, arguments). */
#define LOOK_UP(symbol, member, arguments) \
    if (status == GQ_OK)                   \
        status = gq_dl_symbol(object, #symbol, (void **)&api.member);
#define DECLARE(symbol, member, arguments) int(*member) arguments;

#define DRIVER_FUNCTIONS(X)                        \
    X(cuInit, init, (unsigned flags))              \
    X(cuDriverGetVersion, version, (int *version)) \
    X(cuDeviceGetCount, count, (int *count))

struct driver {
    DRIVER_FUNCTIONS(DECLARE)
};

static gq_status open_driver(struct driver *out)
{
    void *object;
    struct driver api = {0};
    gq_status status = gq_dl_open(gq_dl_driver_name(), &object);
    DRIVER_FUNCTIONS(LOOK_UP)
    *out = api;
    return status;
}

/* Asked of a worker process, the way every run asks: what it answers is what a run will meet. */
static void add_device(struct doctor *d, uint32_t ordinal)
{
    uint32_t arch = 0;
    char name[128] = "";
    if (gq_pipeline_find_gpu(ordinal, &arch, name, sizeof name, NULL) == GQ_OK) {
        doctor_add(d, DOCTOR_OK, "device", NULL, "%u: %s, sm_%u", ordinal, name, arch);
        if (d->gpus++ == 0) {
            d->device = ordinal;
            d->arch = arch;
        }
    } else {
        doctor_add(d, DOCTOR_NOTE, "device", "plugins cannot run on it; look at nvidia-smi", "%u: %s", ordinal,
                   gq_error_text());
    }
}

/* Opened here, and asked nothing: only a worker does that. */
static void add_faults(struct doctor *d)
{
    struct gq_nvml_api nvml;
    if (gq_nvml_open(&nvml) == GQ_OK)
        doctor_add(d, DOCTOR_OK, "faults", NULL, "told of by %s", gq_dl_nvml_name());
    else
        doctor_add(d, DOCTOR_NOTE, "faults", "a plugin's __trap() is known up to a second later",
                   "only the driver tells of them, there is no NVML: %s", gq_error_text());
}

void doctor_check_driver(struct doctor *d)
{
    struct driver api;
    int error, version = 0, count = 0;
    if (open_driver(&api) != GQ_OK) {
        doctor_add(d, DOCTOR_NOTE, "driver", NO_GPU, "no NVIDIA driver: %s", gq_error_text());
        return;
    }
    error = api.init(0);
    if (error != 0 || api.count(&count) != 0 || api.version(&version) != 0 || count <= 0) {
        doctor_add(d, DOCTOR_NOTE, "driver", NO_GPU, "%s is here but gives no device (cuInit: error %d)",
                   gq_dl_driver_name(), error);
        return;
    }
    doctor_add(d, DOCTOR_OK, "driver", NULL, "CUDA %d.%d, devices: %d", version / 1000, version % 1000 / 10, count);
    for (uint32_t i = 0; i < (uint32_t)count && i < DEVICES_MAX; i++)
        add_device(d, i);
    if (d->gpus)
        add_faults(d);
}

#define NVRTC_FUNCTIONS(X)                                 \
    X(nvrtcVersion, version, (int *major, int *minor))     \
    X(nvrtcGetNumSupportedArchs, arch_count, (int *count)) \
    X(nvrtcGetSupportedArchs, archs, (int *archs))

struct nvrtc {
    NVRTC_FUNCTIONS(DECLARE)
};

static gq_status open_nvrtc(char path[PATH_MAX], struct nvrtc *out)
{
    void *object;
    struct nvrtc api = {0};
    gq_nvrtc_find(path);
    gq_status status = gq_dl_open(path, &object);
    NVRTC_FUNCTIONS(LOOK_UP)
    *out = api;
    return status;
}

void doctor_check_nvrtc(struct doctor *d)
{
    char path[PATH_MAX];
    struct nvrtc api;
    int major = 0, minor = 0, count = 0, archs[ARCHS_MAX] = {0};
    if (open_nvrtc(path, &api) != GQ_OK) {
        doctor_add(d, DOCTOR_NOTE, "nvrtc",
                   d->gpus ? "the GPU cannot be used without it: install the CUDA toolkit, or set GPUQ_NVRTC to "
                             "libnvrtc.so.13 or .12"
                           : "needed for GPUs only: install the CUDA toolkit, or set GPUQ_NVRTC",
                   "no NVRTC 12 or 13: %s", gq_error_text());
        return;
    }
    d->nvrtc = api.version(&major, &minor) == 0 && api.arch_count(&count) == 0 && count > 0 && count <= ARCHS_MAX &&
               api.archs(archs) == 0;
    if (d->nvrtc)
        doctor_add(d, DOCTOR_OK, "nvrtc", NULL, "%s, CUDA %d.%d, compiles for sm_%d to sm_%d", path, major, minor,
                   archs[0], archs[count - 1]);
    else
        doctor_add(d, DOCTOR_NOTE, "nvrtc", "install the CUDA toolkit again", "%s does not say what it compiles for",
                   path);
}

void doctor_check_jitlink(struct doctor *d)
{
    char path[PATH_MAX];
    gq_jitlink_find(path);
    if (gq_jitlink_check() == GQ_OK)
        doctor_add(d, DOCTOR_OK, "nvjitlink", NULL, "%s", path);
    else
        doctor_add(d, DOCTOR_NOTE, "nvjitlink",
                   "plugins that are PTX or cubins need it; those that are source do without", "%s", gq_error_text());
}
