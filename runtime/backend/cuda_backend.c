/* The CUDA backend's ops (backend.h): order of life, and the thread that wakes waiting hosts. */
#include "backend/cuda.h"
#include "base/assert.h"
#include "base/clock.h"
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define BELL_NS 50000   /* how long a sleeping host may wait after its result is there */
#define CHECK_ROUNDS 20 /* bells between two looks at the grids */
#define SPIN_NS 100000  /* some copies of a few bytes */
#define WATCH_MS 200u   /* a fault that NVML does not tell of costs more */
#define STOP_MS 5000u   /* a grid leaves within this after the stop word, or its process is ended */

static struct gq_cuda *cuda_of(struct gq_backend *backend) { return (struct gq_cuda *)backend; }

/* Once in a process: a worker that was probed may serve later. Code goes to the device when it is asked for, and not
 * when it is read: cuda_image.c says why. The driver asks here whether that is wanted. */
static gq_status initialize(struct gq_cuda *c)
{
    static bool initialized;
    setenv("CUDA_MODULE_LOADING", "LAZY", 1);
    gq_status status = initialized ? GQ_OK : GQ_CU(c, init(0));
    initialized = status == GQ_OK;
    return status;
}

static gq_status find_device(struct gq_cuda *c)
{
    int count = 0;
    gq_status status = initialize(c);
    if (status == GQ_OK)
        status = GQ_CU(c, device_count(&count));
    if (status == GQ_OK && c->setup.device >= (uint32_t)count)
        return gq_error_set(GQ_ERR_UNAVAILABLE, "device %u was asked for, the driver shows %d", c->setup.device, count);
    return status == GQ_OK ? GQ_CU(c, device_get(&c->device, (int)c->setup.device)) : status;
}

/* What its SMs have, for grids that share them. */
static gq_status measure_device(struct gq_cuda *c)
{
    const struct {
        int attribute, *value;
    } asked[] = {{GQ_CU_ATTR_SM_COUNT, &c->room.sms},
                 {GQ_CU_ATTR_SM_THREADS, &c->room.threads},
                 {GQ_CU_ATTR_SM_BLOCKS, &c->room.blocks},
                 {GQ_CU_ATTR_SM_REGISTERS, &c->room.registers},
                 {GQ_CU_ATTR_SM_SHARED_BYTES, &c->room.shared_bytes},
                 {GQ_CU_ATTR_BLOCK_SHARED_RESERVED, &c->room.shared_reserved}};
    gq_status status = GQ_OK;
    for (size_t i = 0; i < sizeof asked / sizeof *asked && status == GQ_OK; i++)
        status = GQ_CU(c, device_attribute(asked[i].value, asked[i].attribute, c->device));
    return status;
}

/* Beside the context, which takes longer to make. NVML knows the device by its place on the bus alone: its own numbers
 * are not those of CUDA. */
static void watch_faults(const struct gq_cuda *c)
{
    char bus_id[32];
    if (c->cu->device_bus_id(bus_id, sizeof bus_id, c->device) == GQ_CU_OK)
        gq_xid_start(bus_id);
}

/* `status`: that of the last call. What the driver refuses, for whatever reason, is not available. */
static gq_status unless_refused(gq_status status, const char *what)
{
    const bool refused = status == GQ_ERR_DEVICE || status == GQ_ERR_NO_MEMORY;
    return refused ? gq_error_prefix(GQ_ERR_UNAVAILABLE, "%s: ", what) : status;
}

gq_status gq_cuda_take_device(struct gq_cuda *c)
{
    int read_only = 0;
    gq_status status = find_device(c);
    if (status == GQ_OK)
        status = measure_device(c);
    if (status == GQ_OK)
        status = GQ_CU(c, device_attribute(&read_only, GQ_CU_ATTR_READ_ONLY_REGISTER, c->device));
    if (status == GQ_OK && !read_only)
        return gq_error_set(GQ_ERR_UNAVAILABLE, "this device cannot read sealed host memory (attribute 113 is 0)");
    if (status == GQ_OK)
        watch_faults(c);
    if (status == GQ_OK)
        status = GQ_CU(c, primary_retain(&c->context, c->device));
    if (status == GQ_OK)
        status = GQ_CU(c, set_current(c->context));
    return unless_refused(status, "taking the GPU");
}

gq_status gq_cuda_probe(uint32_t device, uint32_t *arch, char *name, size_t name_size)
{
    struct gq_cuda c = {.setup.device = device};
    int major = 0, minor = 0;
    gq_status status = gq_cu_open(&c.cu);
    if (status == GQ_OK)
        status = find_device(&c);
    if (status == GQ_OK)
        status = GQ_CU(&c, device_attribute(&major, GQ_CU_ATTR_CC_MAJOR, c.device));
    if (status == GQ_OK)
        status = GQ_CU(&c, device_attribute(&minor, GQ_CU_ATTR_CC_MINOR, c.device));
    if (status == GQ_OK)
        status = GQ_CU(&c, device_name(name, (int)name_size, c.device));
    *arch = (uint32_t)(10 * major + minor);
    if (status == GQ_OK && major < 7)
        return gq_error_set(GQ_ERR_UNAVAILABLE, "%s is sm_%u; sm_70 or newer is needed", name, *arch);
    return unless_refused(status, "asking the NVIDIA driver");
}

/* What a worker needs of its device, whatever it is to serve. */
static gq_status take_what_is_needed(struct gq_cuda *c)
{
    size_t lanes = GQ_LANES_MAX * sizeof(struct gq_grid_lane);
    gq_status status = gq_cu_open(&c->cu);
    if (status == GQ_OK)
        status = gq_cuda_take_device(c);
    if (status == GQ_OK)
        status = GQ_CU(c, stream_create(&c->copy, GQ_CU_STREAM_NON_BLOCKING));
    if (status == GQ_OK)
        status = GQ_CU(c, stream_create(&c->look, GQ_CU_STREAM_NON_BLOCKING));
    if (status == GQ_OK)
        status = gq_cuda_pulse_open(c);
    if (status == GQ_OK)
        status = GQ_CU(c, mem_alloc(&c->shared, sizeof(struct gq_grid_shared)));
    if (status == GQ_OK)
        status = gq_cuda_zero(c, c->shared, sizeof(struct gq_grid_shared));
    if (status == GQ_OK)
        status = GQ_CU(c, mem_alloc(&c->lanes, lanes));
    if (status == GQ_OK)
        status = gq_cuda_zero(c, c->lanes, lanes);
    return status;
}

static void cuda_close(struct gq_backend *backend)
{
    struct gq_cuda *c = cuda_of(backend);
    if (!c)
        return;
    gq_xid_close();
    if (c->context) {
        gq_cuda_pulse_close(c);
        gq_cuda_unload(c);
        gq_cuda_free_lanes(c);
        if (c->host_page)
            c->cu->host_unregister(c->setup.link->host);
        if (c->worker_page)
            c->cu->host_unregister(c->setup.link->worker);
        if (c->lanes)
            c->cu->mem_free(c->lanes);
        if (c->shared)
            c->cu->mem_free(c->shared);
        if (c->copy)
            c->cu->stream_destroy(c->copy);
        if (c->look)
            c->cu->stream_destroy(c->look);
        c->cu->primary_release(c->device);
    }
    pthread_mutex_destroy(&c->grids);
    free(c);
}

static gq_status open_on(uint32_t device, struct gq_cuda **out)
{
    *out = NULL;
    struct gq_cuda *c = calloc(1, sizeof *c);
    if (!c)
        return gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for the CUDA backend");
    c->setup.device = device;
    c->last = GQ_CUDA_IN_ORDER;
    pthread_mutex_init(&c->grids, NULL);
    gq_status status = take_what_is_needed(c);
    if (status == GQ_OK)
        *out = c;
    else
        cuda_close((struct gq_backend *)c);
    return status;
}

/* Of a worker in reserve. Beside a process that the device has not let go of each call takes two milliseconds, so all
 * that can be asked for before is. */
static struct gq_cuda *warm;

gq_status gq_cuda_warm(uint32_t device) { return warm ? GQ_OK : open_on(device, &warm); }

static gq_status cuda_open(const struct gq_backend_setup *setup, struct gq_backend **out)
{
    struct gq_cuda *c = warm && warm->setup.device == setup->device ? warm : NULL;
    gq_status status = GQ_OK;
    *out = NULL;
    if (c)
        warm = NULL;
    else
        status = open_on(setup->device, &c);
    if (status != GQ_OK)
        return status;
    c->setup = *setup;
    status = gq_cuda_map(c, setup->link->host, sizeof *setup->link->host, true, &c->host_page);
    if (status == GQ_OK)
        status = gq_cuda_map(c, setup->link->worker, sizeof *setup->link->worker, false, &c->worker_page);
    if (status == GQ_OK)
        *out = (struct gq_backend *)c;
    else
        cuda_close((struct gq_backend *)c);
    return status;
}

static gq_status cuda_load_source(struct gq_backend *backend, int fd, const struct gq_backend_image *image)
{
    (void)fd;
    return gq_cuda_load_step(cuda_of(backend), image, GQ_IMAGE_SOURCE);
}

static gq_status cuda_load_stage(struct gq_backend *backend, int fd, const struct gq_backend_image *image)
{
    (void)fd;
    return gq_cuda_load_step(cuda_of(backend), image, GQ_IMAGE_STAGE);
}

static gq_status cuda_fit(struct gq_backend *backend)
{
    uint32_t percent = 0;
    gq_status status = gq_cuda_fit(cuda_of(backend), &percent);
    return status == GQ_OK ? gq_cuda_divide(cuda_of(backend), percent) : status;
}

static gq_status cuda_add_lane(struct gq_backend *backend, const struct gq_lane_view *view,
                               const struct gq_lane_range *range)
{
    struct gq_cuda *c = cuda_of(backend);
    if (c->lanes_held == GQ_LANES_MAX)
        return gq_error_set(GQ_ERR_NO_MEMORY, "a queue has at most %u lanes", GQ_LANES_MAX);
    pthread_mutex_lock(&c->grids); /* the bell may launch a grid, which is told what lanes there are */
    gq_status status = gq_cuda_add_lane(c, view, range);
    pthread_mutex_unlock(&c->grids);
    return status;
}

/* Not while a change stops them. */
static gq_status look_at_grids(struct gq_cuda *c)
{
    if (pthread_mutex_trylock(&c->grids) != 0) {
        gq_cuda_pulse_wait(c);
        return GQ_OK;
    }
    __atomic_store_n(&c->pulse.locks, 1, __ATOMIC_RELEASE);
    gq_status status = gq_cuda_check_grids(c);
    if (status == GQ_OK)
        status = gq_cuda_top_up(c);
    if (status == GQ_OK && c->running)
        status = gq_cuda_pulse_look(c);
    else
        gq_cuda_pulse_rest(c);
    __atomic_store_n(&c->pulse.locks, 0, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&c->grids);
    return status;
}

/* What the device reported once, every call of the driver returns from then on; or what it will report. 0: nothing. */
static int error_of(const struct gq_cuda *c)
{
    const int lost = __atomic_load_n(&c->lost, __ATOMIC_ACQUIRE);
    const int error = c->copy && !lost ? c->cu->stream_query(c->copy) : lost;
    return error >= GQ_CU_STICKY_FIRST && error <= GQ_CU_STICKY_LAST ? error : 0;
}

void gq_cuda_die(struct gq_cuda *c)
{
    char why[GQ_ERROR_TEXT_MAX];
    snprintf(why, sizeof why, "%s", gq_error_text());
    const int error = error_of(c);
    if (error)
        __atomic_store_n(&c->setup.link->worker->crumb[0].signal, GQ_FAULT_CUDA + (uint32_t)error, __ATOMIC_RELEASE);
    c->setup.die(why);
}

static bool stopping(const struct gq_cuda *c) { return __atomic_load_n(&c->stopping, __ATOMIC_ACQUIRE) != 0; }

/* Once round: sleeping hosts, and now and then the grids. */
static void ring_once(struct gq_cuda *c)
{
    const struct timespec nap = {.tv_nsec = BELL_NS};
    gq_link_ring_host(c->setup.link);
    bool stop = __atomic_load_n(&c->setup.link->host->stop, __ATOMIC_ACQUIRE) != 0;
    if (++c->rounds % CHECK_ROUNDS == 0 && !stop) {
        gq_cuda_enter(&c->pulse.bell);
        const gq_status status = look_at_grids(c);
        gq_cuda_leave(&c->pulse.bell);
        if (status != GQ_OK && !__atomic_load_n(&c->setup.link->host->stop, __ATOMIC_ACQUIRE))
            gq_cuda_die(c);
    }
    nanosleep(&nap, NULL);
}

/* On a device that stopped, and of which the driver does not know it yet, copies never end: who only waited for them
 * would learn of it last. */
int gq_cuda_await_look(struct gq_cuda *c)
{
    const uint64_t spin = gq_clock_ns() + SPIN_NS;
    gq_cuda_enter(&c->pulse.bell); /* it was inside already: each wait counts for itself */
    while (c->cu->stream_query(c->look) == GQ_CU_NOT_READY && !stopping(c)) {
        if (gq_clock_past(spin))
            ring_once(c);
        gq_cuda_enter(&c->pulse.bell);
    }
    return c->cu->stream_wait(c->look);
}

/* Results are published by the device, which can wake nobody; this thread does, and notices a grid that ended. */
static void *ring_the_bell(void *arg)
{
    struct gq_cuda *c = arg;
    c->cu->set_current(c->context);
    uint64_t next_look = gq_clock_ns();
    c->pulse.bell.thread = gq_thread_self();
    while (!stopping(c)) {
        if (gq_clock_past(next_look)) {
            gq_cuda_enter(&c->pulse.bell);
            gq_cuda_show_runs(c);
            gq_cuda_leave(&c->pulse.bell);
            next_look = gq_clock_ns() + c->setup.look_ms * UINT64_C(1000000);
        }
        ring_once(c);
    }
    return NULL;
}

static gq_status start_bell(struct gq_cuda *c)
{
    if (pthread_create(&c->bell, NULL, ring_the_bell, c) != 0)
        return gq_error_set(GQ_ERR_NO_MEMORY, "no thread could be started to wake the host");
    c->bell_runs = true;
    c->pulse.change.thread = gq_thread_self();
    gq_xid_call(gq_cuda_pulse_watch, c);
    return GQ_OK;
}

/* A message that is tried may fault at once. Who is to notice comes first: NVML's thread, which is told of nothing that
 * was before, an event beside the grids, which would not come after it, and the bell. */
static gq_status launch_watched(struct gq_cuda *c)
{
    gq_xid_await(WATCH_MS);
    gq_status status = gq_cuda_show_lanes(c, 0);
    if (status == GQ_OK)
        status = gq_cuda_launch(c);
    return status == GQ_OK ? gq_cuda_pulse_await(c) : status;
}

static gq_status cuda_start(struct gq_backend *backend)
{
    struct gq_cuda *c = cuda_of(backend);
    gq_assert(c->steps > 0 && !c->running);
    c->setup.link->worker->threads = 1;
    c->setup.link->worker->runs = GQ_RUNS_MAX;
    pthread_mutex_lock(&c->grids);
    gq_status status = c->setup.single ? launch_watched(c) : gq_cuda_launch(c);
    pthread_mutex_unlock(&c->grids);
    if (status == GQ_OK && !c->bell_runs) /* it goes on after a pause */
        status = start_bell(c);
    if (status == GQ_OK && c->setup.single) {
        pthread_mutex_lock(&c->grids);
        status = gq_cuda_show_lanes(c, c->lane_count);
        pthread_mutex_unlock(&c->grids);
    }
    return status;
}

static void cuda_check(struct gq_backend *backend)
{
    struct gq_cuda *c = cuda_of(backend);
    if (error_of(c))
        gq_cuda_die(c);
}

static gq_status cuda_pause(struct gq_backend *backend)
{
    struct gq_cuda *c = cuda_of(backend);
    pthread_mutex_lock(&c->grids);
    gq_status status = c->running ? gq_cuda_park(c) : GQ_OK;
    if (status == GQ_OK)
        gq_cuda_sweep(c);
    pthread_mutex_unlock(&c->grids);
    return status;
}

static void cuda_stop(struct gq_backend *backend)
{
    struct gq_cuda *c = cuda_of(backend);
    uint64_t deadline = gq_clock_deadline(STOP_MS);
    __atomic_store_n(&c->stopping, 1, __ATOMIC_RELEASE);
    gq_xid_stop();
    if (c->bell_runs)
        pthread_join(c->bell, NULL);
    c->bell_runs = false;
    while (gq_cuda_grids_left(c) && !gq_clock_past(deadline))
        usleep(50);
    /* What frees memory waits for running grids: a grid that does not leave is left to the end of the process. */
    if (gq_cuda_grids_left(c))
        _exit(0);
    /* A store to nowhere does not hold up its message: the fault may show when every result has been delivered. */
    if (gq_cuda_check_left(c) != GQ_OK)
        gq_cuda_die(c);
    gq_link_ring_host(c->setup.link);
}

const struct gq_backend_ops gq_cuda_backend = {
    .name = "cuda",
    .reads_code = true,
    .naps = true,
    .open = cuda_open,
    .load_source = cuda_load_source,
    .load_stage = cuda_load_stage,
    .fit = cuda_fit,
    .add_lane = cuda_add_lane,
    .start = cuda_start,
    .pause = cuda_pause,
    .check = cuda_check,
    .swap = gq_cuda_swap,
    .canary = gq_cuda_canary,
    .use = gq_cuda_use,
    .discard = gq_cuda_discard,
    .stop = cuda_stop,
    .close = cuda_close,
};
