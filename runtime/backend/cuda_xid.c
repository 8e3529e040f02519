#include "backend/cuda_xid.h"
#include "base/clock.h"
#include "base/dl.h"
#include "base/thread.h"
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#define SLICE_MS 5u /* nothing wakes who waits for an event: so long a stop may have to wait */
#define REST_MS 20u /* the same where nobody looks: a worker in reserve */

/* Of the process: a worker that has waited in reserve with its device serves later, and the thread goes on. */
static struct {
    pthread_t thread;
    bool started;
    char bus_id[32];
    uint32_t settled;        /* atomic: it counts, or has ended */
    uint32_t stopping;       /* atomic */
    uint64_t seen;           /* atomic; how many << 32 | the last one's number: the thread writes it */
    void (*look)(void *arg); /* atomic, behind `arg` */
    void *arg;
} watch;

static gq_status look_up(void *object, struct gq_nvml_api *out)
{
    gq_status status = GQ_OK;
#define LOOK_UP(member, symbol, arguments) GQ_DL_FUNCTION(status, object, #symbol, out->member)
    GQ_NVML_FUNCTIONS(LOOK_UP)
#undef LOOK_UP
    return status;
}

gq_status gq_nvml_open(struct gq_nvml_api *out)
{
    void *object = NULL;
    gq_status status = gq_dl_open(gq_dl_nvml_name(), &object);
    return status == GQ_OK ? look_up(object, out) : status;
}

static bool stopping(void) { return __atomic_load_n(&watch.stopping, __ATOMIC_ACQUIRE) != 0; }

static void settle(void) { __atomic_store_n(&watch.settled, 1, __ATOMIC_RELEASE); }

static void count(uint32_t number)
{
    const uint64_t seen = __atomic_load_n(&watch.seen, __ATOMIC_RELAXED);
    __atomic_store_n(&watch.seen, ((seen >> 32) + 1) << 32 | number, __ATOMIC_RELEASE);
}

/* Until the stop, or until NVML has an error: it would have it again at once. */
static void count_all(const struct gq_nvml_api *nvml, gq_nvml_set set)
{
    int error = GQ_NVML_OK;
    settle();
    while ((error == GQ_NVML_OK || error == GQ_NVML_TIMEOUT) && !stopping()) {
        struct gq_nvml_event event = {0};
        void (*look)(void *arg) = __atomic_load_n(&watch.look, __ATOMIC_ACQUIRE);
        error = nvml->set_wait(set, &event, look ? SLICE_MS : REST_MS);
        if (error == GQ_NVML_OK && event.type == GQ_NVML_EVENT_XID)
            count((uint32_t)event.data);
        if (look && gq_xid_count(NULL))
            look(watch.arg);
    }
}

static void follow(void)
{
    struct gq_nvml_api nvml = {0};
    gq_nvml_device device = NULL;
    gq_nvml_set set = NULL;
    if (gq_nvml_open(&nvml) != GQ_OK || stopping() || nvml.init() != GQ_NVML_OK)
        return;
    if (nvml.device_of_bus(watch.bus_id, &device) == GQ_NVML_OK && nvml.set_create(&set) == GQ_NVML_OK) {
        if (nvml.set_register(device, GQ_NVML_EVENT_XID, set) == GQ_NVML_OK)
            count_all(&nvml, set);
        nvml.set_free(set);
    }
    nvml.shutdown();
}

static void *run(void *arg)
{
    (void)arg;
    follow();
    settle();
    return NULL;
}

void gq_xid_start(const char *bus_id)
{
    if (watch.started)
        return;
    snprintf(watch.bus_id, sizeof watch.bus_id, "%s", bus_id);
    __atomic_store_n(&watch.stopping, 0, __ATOMIC_RELEASE);
    watch.started = gq_thread_start(&watch.thread, run, NULL, "the device's faults") == GQ_OK;
}

void gq_xid_call(void (*look)(void *arg), void *arg)
{
    watch.arg = arg;
    __atomic_store_n(&watch.look, look, __ATOMIC_RELEASE);
}

void gq_xid_await(uint32_t at_most_ms)
{
    const uint64_t deadline = gq_clock_deadline(at_most_ms);
    while (watch.started && !__atomic_load_n(&watch.settled, __ATOMIC_ACQUIRE) && !gq_clock_past(deadline))
        usleep(500);
}

uint32_t gq_xid_count(uint32_t *number)
{
    const uint64_t seen = __atomic_load_n(&watch.seen, __ATOMIC_ACQUIRE);
    if (number)
        *number = (uint32_t)seen;
    return (uint32_t)(seen >> 32);
}

void gq_xid_stop(void) { __atomic_store_n(&watch.stopping, 1, __ATOMIC_RELEASE); }

void gq_xid_close(void)
{
    gq_xid_stop();
    if (watch.started)
        pthread_join(watch.thread, NULL);
    watch.started = false;
    watch.look = NULL;
}
