#include "doctor.h"
#include "base/dl.h"
#include "base/error.h"

#define NO_GPU "plugins run on the CPU backend; nothing to mend if this machine has no NVIDIA GPU"
#define GPU_UNUSED "this release of gpuqueue runs plugins on the CPU backend only"
#define CC_MAJOR 75 /* CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR */
#define CC_MINOR 76
#define ARCHS_MAX 64

/* Looks every row of a list of functions up in `object`; the row is (symbol, member, arguments). */
#define LOOK_UP(symbol, member, arguments) \
    if (status == GQ_OK)                   \
        status = gq_dl_symbol(object, #symbol, (void **)&api.member);
#define DECLARE(symbol, member, arguments) int(*member) arguments;

#define DRIVER_FUNCTIONS(X)                                     \
    X(cuInit, init, (unsigned flags))                           \
    X(cuDriverGetVersion, version, (int *version))              \
    X(cuDeviceGetCount, count, (int *count))                    \
    X(cuDeviceGet, device, (int *device, int ordinal))          \
    X(cuDeviceGetName, name, (char *name, int len, int device)) \
    X(cuDeviceGetAttribute, attribute, (int *value, int attribute, int device))

struct driver {
    DRIVER_FUNCTIONS(DECLARE)
};

static gq_status open_driver(struct driver *out)
{
    void *object;
    struct driver api = {0};
    gq_status status = gq_dl_open("libcuda.so.1", &object);
    DRIVER_FUNCTIONS(LOOK_UP)
    *out = api;
    return status;
}

static void add_device(struct doctor *d, const struct driver *api, int ordinal)
{
    char name[128] = "unnamed";
    int device = 0, major = 0, minor = 0;
    bool known = api->device(&device, ordinal) == 0 && api->name(name, sizeof name, device) == 0 &&
                 api->attribute(&major, CC_MAJOR, device) == 0 && api->attribute(&minor, CC_MINOR, device) == 0;
    if (known)
        doctor_add(d, DOCTOR_NOTE, "device", GPU_UNUSED, "%d: %s, sm_%d%d", ordinal, name, major, minor);
    else
        doctor_add(d, DOCTOR_NOTE, "device", "look at nvidia-smi", "%d: the driver cannot describe it", ordinal);
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
    if (error != 0 || api.count(&count) != 0 || api.version(&version) != 0 || count == 0) {
        doctor_add(d, DOCTOR_NOTE, "driver", NO_GPU, "libcuda.so.1 is here but gives no device (cuInit: error %d)",
                   error);
        return;
    }
    doctor_add(d, DOCTOR_OK, "driver", NULL, "CUDA %d.%d, devices: %d", version / 1000, version % 1000 / 10, count);
    for (int i = 0; i < count && i < 8; i++)
        add_device(d, &api, i);
}

#define NVRTC_FUNCTIONS(X)                                 \
    X(nvrtcVersion, version, (int *major, int *minor))     \
    X(nvrtcGetNumSupportedArchs, arch_count, (int *count)) \
    X(nvrtcGetSupportedArchs, archs, (int *archs))

struct nvrtc {
    NVRTC_FUNCTIONS(DECLARE)
};

static gq_status open_nvrtc(const char **name, struct nvrtc *out)
{
    static const char *const names[] = {"libnvrtc.so.13", "libnvrtc.so.12"};
    void *object;
    struct nvrtc api = {0};
    gq_status status = GQ_ERR_UNAVAILABLE;
    for (size_t i = 0; i < sizeof names / sizeof *names && status != GQ_OK; i++) {
        *name = names[i];
        status = gq_dl_open(names[i], &object);
    }
    NVRTC_FUNCTIONS(LOOK_UP)
    *out = api;
    return status;
}

void doctor_check_nvrtc(struct doctor *d)
{
    const char *name;
    struct nvrtc api;
    int major = 0, minor = 0, count = 0, archs[ARCHS_MAX] = {0};
    if (open_nvrtc(&name, &api) != GQ_OK) {
        doctor_add(d, DOCTOR_NOTE, "nvrtc", "needed for GPUs only", "neither libnvrtc.so.13 nor .12: %s",
                   gq_error_text());
        return;
    }
    bool known = api.version(&major, &minor) == 0 && api.arch_count(&count) == 0 && count > 0 && count <= ARCHS_MAX &&
                 api.archs(archs) == 0;
    if (known)
        doctor_add(d, DOCTOR_OK, "nvrtc", NULL, "%s, CUDA %d.%d, compiles for sm_%d to sm_%d", name, major, minor,
                   archs[0], archs[count - 1]);
    else
        doctor_add(d, DOCTOR_NOTE, "nvrtc", "install the CUDA toolkit again", "%s does not say what it compiles for",
                   name);
}
