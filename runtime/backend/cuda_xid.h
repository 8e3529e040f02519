/* cuda_xid.h - the wall around NVML, which tells of faults on a device: one table of functions, opened at run time, and
 * a thread that counts Xids.
 *
 * An event of NVML comes to every process that waits for one, 40 to 60 ms after a kernel's trap; the driver tells the
 * process whose kernel it was after 380 to 850 ms. The event does not say whose it was (cuda_pulse.c finds out).
 *
 * Declarations and values are those of nvml.h, as of the driver's releases 450 and newer.
 */
#ifndef GQ_BACKEND_CUDA_XID_H
#define GQ_BACKEND_CUDA_XID_H

#include <stdint.h>
#include "base/error.h"

typedef struct gq_nvml_device_s *gq_nvml_device;
typedef struct gq_nvml_set_s *gq_nvml_set;

struct gq_nvml_event {
    gq_nvml_device device;
    unsigned long long type; /* one bit */
    unsigned long long data; /* of an Xid: its number */
    unsigned gpu_instance, compute_instance;
};

enum {
    GQ_NVML_OK = 0,
    GQ_NVML_TIMEOUT = 10,
    GQ_NVML_EVENT_XID = 8, /* nvmlEventTypeXidCriticalError */
};

/* member, symbol, arguments. */
#define GQ_NVML_FUNCTIONS(X)                                                                                      \
    X(init, nvmlInit_v2, (void))                                                                                  \
    X(shutdown, nvmlShutdown, (void))                                                                             \
    X(device_of_bus, nvmlDeviceGetHandleByPciBusId_v2, (const char *bus_id, gq_nvml_device *device))              \
    X(set_create, nvmlEventSetCreate, (gq_nvml_set * set))                                                        \
    X(set_free, nvmlEventSetFree, (gq_nvml_set set))                                                              \
    X(set_register, nvmlDeviceRegisterEvents, (gq_nvml_device device, unsigned long long types, gq_nvml_set set)) \
    X(set_wait, nvmlEventSetWait_v2, (gq_nvml_set set, struct gq_nvml_event * event, unsigned ms))

struct gq_nvml_api {
#define GQ_NVML_MEMBER(member, symbol, arguments) int(*member) arguments;
    GQ_NVML_FUNCTIONS(GQ_NVML_MEMBER)
#undef GQ_NVML_MEMBER
};

/* Opens NVML's library (base/dl.h) and looks every function up; it is never closed. */
gq_status gq_nvml_open(struct gq_nvml_api *out);

/* Starts a thread that opens NVML and counts the Xids of the device at this PCI bus id: of one device in a process, and
 * once. Where the library, a function, a right or the device is missing, nothing is ever counted. By one thread, as
 * gq_xid_close. */
void gq_xid_start(const char *bus_id);
/* Waits until they are counted, or never will be, and for no longer than that. */
void gq_xid_await(uint32_t at_most_ms);
/* The thread calls look(arg) every few milliseconds, from the first Xid on. NULL ends that, with the watch. */
void gq_xid_call(void (*look)(void *arg), void *arg);
/* How many came since, of all processes' work on the device; *number, unless NULL, is the last one's, 0 for none. */
uint32_t gq_xid_count(uint32_t *number);
/* The thread is to end, which takes it some milliseconds; while NVML starts, longer. */
void gq_xid_stop(void);
/* Stops it and waits for its end. */
void gq_xid_close(void);

#endif
