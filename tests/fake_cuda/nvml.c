/* A libnvidia-ml.so.1 whose events are bytes of the script's file `xid`: the faults of every process that has the same
 * script, and what a test writes there. With FAKE_NVML_OLD, one from before nvmlEventSetWait_v2. */
#include "fake.h"
#include "backend/cuda_xid.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define DECLARE(member, symbol, arguments) __attribute__((visibility("default"))) int symbol arguments;
GQ_NVML_FUNCTIONS(DECLARE)
#undef DECLARE

enum { UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_FOUND = 6 };

struct gq_nvml_device_s {
    char bus_id[32];
};

struct gq_nvml_set_s {
    bool watches;
    long seen; /* bytes of the file */
};

static bool initialized;
static struct gq_nvml_device_s device;

static int enter(const char *function)
{
    const int error = fake_scripted(function);
    return error || initialized ? error : UNINITIALIZED;
}

#define ENTER()                              \
    do {                                     \
        const int refused = enter(__func__); \
        if (refused)                         \
            return refused;                  \
    } while (0)

static long size_of_events(void)
{
    struct stat info;
    return fake_script()->xid[0] && stat(fake_script()->xid, &info) == 0 ? (long)info.st_size : 0;
}

int nvmlInit_v2(void)
{
    const int error = fake_scripted(__func__);
    nanosleep(&(struct timespec){.tv_nsec = fake_script()->init_ms * 1000000}, NULL);
    initialized = error == 0;
    return error;
}

int nvmlShutdown(void)
{
    ENTER();
    initialized = false;
    return 0;
}

int nvmlDeviceGetHandleByPciBusId_v2(const char *bus_id, gq_nvml_device *out)
{
    ENTER();
    for (int i = 0; i < fake_script()->devices; i++) {
        snprintf(device.bus_id, sizeof device.bus_id, FAKE_BUS_ID, i + 1);
        *out = &device;
        if (strcmp(device.bus_id, bus_id) == 0)
            return 0;
    }
    return NOT_FOUND;
}

int nvmlEventSetCreate(gq_nvml_set *set)
{
    ENTER();
    *set = calloc(1, sizeof **set);
    return *set ? 0 : INVALID_ARGUMENT;
}

int nvmlEventSetFree(gq_nvml_set set)
{
    free(set);
    ENTER();
    return 0;
}

int nvmlDeviceRegisterEvents(gq_nvml_device of, unsigned long long types, gq_nvml_set set)
{
    ENTER();
    if (of != &device || types != GQ_NVML_EVENT_XID)
        return INVALID_ARGUMENT;
    set->watches = true;
    set->seen = size_of_events();
    return 0;
}

#ifndef FAKE_NVML_OLD
int nvmlEventSetWait_v2(gq_nvml_set set, struct gq_nvml_event *event, unsigned ms)
{
    ENTER();
    if (!set->watches)
        return INVALID_ARGUMENT;
    for (unsigned waited = 0; size_of_events() <= set->seen; waited++) {
        if (waited >= ms)
            return GQ_NVML_TIMEOUT;
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    set->seen++;
    *event = (struct gq_nvml_event){.device = &device, .type = GQ_NVML_EVENT_XID, .data = FAKE_XID};
    return 0;
}
#endif
