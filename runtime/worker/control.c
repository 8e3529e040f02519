#include "worker/worker.h"
#include "backend/backend.h"
#include "base/assert.h"
#include "base/channel.h"
#include "base/clock.h"
#include "build/elf.h"
#include "device/grid.h"
#include "ring/lane.h"
#include "ring/packets.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHANNEL 3
#define LINGER_S 1 /* after the host is gone */
#define NAP_NS 50000

/* One per process: the die hook takes no argument. */
static struct worker {
    struct gq_link link;
    const struct gq_backend_ops *ops; /* NULL before SETUP */
    struct gq_backend *backend;
    bool runs;
    uint32_t capacity, slot_bytes, poll;
    char *role; /* the argument that this process was started with */
} worker;

/* The last word: the sentence goes to the host, and the process ends without unwinding anything. */
static void die(const char *sentence)
{
    static uint32_t died;
    if (__atomic_exchange_n(&died, 1, __ATOMIC_ACQ_REL) == 0) {
        struct gq_packet packet = {.type = GQ_PACKET_DIED};
        snprintf(packet.text, sizeof packet.text, "%s", sentence);
        gq_channel_send(CHANNEL, &packet, sizeof packet, NULL, 0);
        _exit(GQ_WORKER_DIED);
    }
    for (;;)
        pause(); /* another thread is dying already */
}

static gq_status setup(const struct gq_packet *p, const int *fds, size_t fd_count)
{
    if (worker.ops || fd_count != 2)
        return gq_error_set(GQ_ERR_INTERNAL, "SETUP came twice, or with %zu descriptors", fd_count);
    if (p->setup.layout_version != GQ_LAYOUT_VERSION)
        return gq_error_set(GQ_ERR_UNAVAILABLE,
                            "the worker speaks layout %d, the host layout %u: install both from one release",
                            GQ_LAYOUT_VERSION, p->setup.layout_version);
    if (p->setup.backend > GQ_PACKET_CUDA)
        return gq_error_set(GQ_ERR_UNAVAILABLE, "this worker has no backend %u", p->setup.backend);
    gq_status status = gq_link_attach(&worker.link, fds[0], fds[1]);
    if (status != GQ_OK)
        return status;
    memcpy(worker.role, "worker",
           sizeof "worker"); /* who waited in reserve is what others are, to who lists processes */
    worker.capacity = p->setup.capacity;
    worker.slot_bytes = p->setup.slot_bytes;
    worker.poll = p->setup.poll;
    struct gq_backend_setup s = {
        .link = &worker.link,
        .device = p->setup.device,
        .threads = p->setup.threads,
        .capacity = p->setup.capacity,
        .slot_bytes = p->setup.slot_bytes,
        .retries = p->setup.retries,
        .poll = p->setup.poll,
        .look_ms = p->setup.look_ms,
        .journal = p->setup.journal != 0,
        .single = p->setup.single != 0,
        .die = die,
    };
    worker.ops = p->setup.backend == GQ_PACKET_CUDA ? &gq_cuda_backend : &gq_cpu_backend;
    return worker.ops->open(&s, &worker.backend);
}

static gq_status map_file(int fd, size_t bytes, int protection, uint8_t **out)
{
    struct stat info;
    if (fstat(fd, &info) != 0)
        return gq_error_errno(GQ_ERR_INTERNAL, errno, "a lane's file");
    if ((size_t)info.st_size < bytes)
        return gq_error_set(GQ_ERR_INTERNAL, "a lane's file is smaller than its %zu bytes", bytes);
    void *p = mmap(NULL, bytes, protection, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED)
        return gq_error_errno(GQ_ERR_NO_MEMORY, errno, "mapping a lane of %zu bytes", bytes);
    *out = p;
    return GQ_OK;
}

static gq_status add_lane(const struct gq_packet *p, const int *fds, size_t fd_count)
{
    const uint32_t capacity = p->lane.capacity;
    if (fd_count != 2)
        return gq_error_set(GQ_ERR_INTERNAL, "LANE came with %zu descriptors", fd_count);
    if (capacity < GQ_CAPACITY_MIN || capacity > worker.capacity || (capacity & (capacity - 1)) != 0)
        return gq_error_set(GQ_ERR_INTERNAL, "LANE of %u messages in a queue of %u", capacity, worker.capacity);
    uint8_t *in = NULL, *out = NULL;
    gq_status status = map_file(fds[0], gq_lane_in_bytes(capacity, worker.slot_bytes), PROT_READ, &in);
    if (status == GQ_OK)
        status = map_file(fds[1], gq_lane_out_bytes(capacity, worker.slot_bytes), PROT_READ | PROT_WRITE, &out);
    if (status != GQ_OK)
        return status;
    struct gq_lane_view view;
    gq_lane_view_fill(&view, in, out, capacity, worker.slot_bytes);
    if (view.in_head->magic != GQ_LAYOUT_MAGIC || view.in_head->stride != view.stride ||
        view.in_head->capacity != capacity)
        return gq_error_set(GQ_ERR_INTERNAL, "a lane's head does not agree with the queue's geometry");
    view.lane = view.in_head->lane;
    status = worker.ops->add_lane(worker.backend, &view, &p->lane.range);
    if (status == GQ_OK) {
        view.out_head->version = GQ_LAYOUT_VERSION;
        view.out_head->magic = GQ_LAYOUT_MAGIC;
    }
    return status;
}

#define CODE_BYTES_MAX (128u << 20)

/* Reads an image for a backend that takes it as code; takes what was read in part. */
static gq_status read_code(int fd, struct gq_backend_code *out)
{
    struct gq_cuda_usage usage = {0};
    *out = (struct gq_backend_code){0};
    gq_status status = gq_memfd_read(fd, CODE_BYTES_MAX, &out->bytes);
    if (status == GQ_OK)
        status = gq_elf_cuda_image(gq_text_str(&out->bytes), out->bytes.len, &out->info);
    if (status == GQ_OK)
        status = gq_elf_cuda_usage(gq_text_str(&out->bytes), out->bytes.len, &usage);
    out->registers = usage.registers;
    out->shared_bytes = usage.shared_bytes;
    return status;
}

static struct gq_backend_image describe(const struct gq_packet *p, char name[sizeof p->stage.name])
{
    snprintf(name, sizeof p->stage.name, "%.*s", (int)sizeof p->stage.name - 1, p->stage.name);
    return (struct gq_backend_image){.name = name,
                                     .stage = p->stage.stage,
                                     .version = p->stage.version,
                                     .generation = p->stage.generation,
                                     .blocks = p->stage.blocks,
                                     .share = p->stage.share,
                                     .fresh = p->stage.fresh != 0};
}

/* What host and worker make of an image must be the same. */
static gq_status check_kind(const struct gq_backend_code *code, bool source)
{
    if (code->info.kind == (uint32_t)(source ? GQ_IMAGE_SOURCE : GQ_IMAGE_STAGE))
        return GQ_OK;
    return gq_error_set(GQ_ERR_PLUGIN, "the image is a %s, a %s was expected", source ? "stage" : "source",
                        source ? "source" : "stage");
}

static gq_status load_stage(const struct gq_packet *p, const int *fds, size_t fd_count, bool source)
{
    char name[sizeof p->stage.name];
    struct gq_backend_image image = describe(p, name);
    struct gq_backend_code code = {0};
    gq_status status = GQ_OK;
    if (fd_count != 1)
        return gq_error_set(GQ_ERR_INTERNAL, "an image came with %zu descriptors", fd_count);
    if (worker.ops->reads_code) {
        image.code = &code;
        status = read_code(fds[0], &code);
    }
    if (status == GQ_OK && image.code)
        status = check_kind(&code, source);
    if (status == GQ_OK)
        status = source ? worker.ops->load_source(worker.backend, fds[0], &image)
                        : worker.ops->load_stage(worker.backend, fds[0], &image);
    gq_text_finish(&code.bytes);
    return status;
}

static gq_status swap_stage(const struct gq_packet *p, const int *fds, size_t fd_count, struct gq_swap_times *times)
{
    char name[sizeof p->stage.name];
    struct gq_backend_image image = describe(p, name);
    struct gq_backend_code code = {0};
    gq_status status = GQ_OK;
    times->step = GQ_STEP_INSPECT;
    if (fd_count != 1)
        return gq_error_set(GQ_ERR_INTERNAL, "a new image came with %zu descriptors", fd_count);
    if (worker.ops->reads_code) {
        image.code = &code;
        status = read_code(fds[0], &code);
    }
    if (status == GQ_OK && image.code)
        status = check_kind(&code, false);
    if (status == GQ_OK && p->type == GQ_PACKET_CANARY && !worker.ops->canary)
        status = gq_error_set(GQ_ERR_UNAVAILABLE, "the %s backend has no canaries", worker.ops->name);
    else if (status == GQ_OK && p->type == GQ_PACKET_CANARY)
        status = worker.ops->canary(worker.backend, fds[0], &image, times);
    else if (status == GQ_OK)
        status = worker.ops->swap(worker.backend, fds[0], &image, times);
    gq_text_finish(&code.bytes);
    return status;
}

/* The reply's times take the request's place. */
static gq_status change_stage(struct gq_packet *p, const int *fds, size_t fd_count)
{
    struct gq_swap_times times = {0};
    gq_status status;
    if (p->type != GQ_PACKET_USE) {
        status = swap_stage(p, fds, fd_count, &times);
    } else {
        char name[sizeof p->stage.name];
        const struct gq_backend_image image = describe(p, name);
        status = worker.ops->use(worker.backend, &image, &times);
    }
    p->step = times.step;
    p->swap = times;
    return status;
}

static gq_status probe(struct gq_packet *p)
{
    uint32_t device = p->setup.device;
    memset(&p->device, 0, sizeof p->device);
    return gq_cuda_probe(device, &p->device.arch, p->device.name, sizeof p->device.name);
}

static gq_status measure_bus(struct gq_packet *p)
{
    uint32_t device = p->setup.device;
    memset(&p->bus, 0, sizeof p->bus);
    return gq_cuda_bus(device, &p->bus);
}

/* The host may have meant a worker before this one, whose place this one took, running. */
static gq_status start(void)
{
    const gq_status status = worker.runs ? GQ_OK : worker.ops->start(worker.backend);
    worker.runs = status == GQ_OK;
    return status;
}

static gq_status rest(void)
{
    gq_status status = worker.ops->pause(worker.backend);
    worker.runs = worker.runs && status != GQ_OK;
    return status;
}

static gq_status serve(struct gq_packet *p, const int *fds, size_t fd_count)
{
    if (p->type == GQ_PACKET_PROBE)
        return probe(p);
    if (p->type == GQ_PACKET_WARM)
        return gq_cuda_warm(p->setup.device);
    if (p->type == GQ_PACKET_BUS)
        return measure_bus(p);
    if (p->type != GQ_PACKET_SETUP && !worker.backend)
        return gq_error_set(GQ_ERR_INTERNAL, "packet %u came before SETUP", p->type);
    switch (p->type) {
    case GQ_PACKET_SETUP:
        return setup(p, fds, fd_count);
    case GQ_PACKET_SOURCE:
        return load_stage(p, fds, fd_count, true);
    case GQ_PACKET_STAGE:
        return load_stage(p, fds, fd_count, false);
    case GQ_PACKET_FIT:
        return worker.ops->fit ? worker.ops->fit(worker.backend) : GQ_OK;
    case GQ_PACKET_LANE:
        return add_lane(p, fds, fd_count);
    case GQ_PACKET_START:
        return start();
    case GQ_PACKET_PAUSE:
        return rest();
    case GQ_PACKET_SWAP:
    case GQ_PACKET_CANARY:
    case GQ_PACKET_USE:
        return change_stage(p, fds, fd_count);
    case GQ_PACKET_DISCARD:
        return worker.ops->discard(worker.backend, p->stage.stage, p->stage.version);
    case GQ_PACKET_STOP:
        worker.ops->stop(worker.backend);
        worker.ops->close(worker.backend);
        return GQ_OK;
    default:
        return gq_error_set(GQ_ERR_INTERNAL, "packet %u is not known", p->type);
    }
}

static bool changes_stage(uint32_t type)
{
    return type == GQ_PACKET_SWAP || type == GQ_PACKET_CANARY || type == GQ_PACKET_USE;
}

/* Answers that are more than a status were put into the request. */
static gq_status answer(gq_status status, const struct gq_packet *request)
{
    struct gq_packet reply = {.type = GQ_PACKET_REPLY, .status = status};
    if (status == GQ_OK && request->type == GQ_PACKET_PROBE)
        reply.device = request->device;
    if (status == GQ_OK && request->type == GQ_PACKET_BUS)
        reply.bus = request->bus;
    if (changes_stage(request->type)) {
        reply.step = request->step;
        reply.swap = request->swap;
    }
    if (status != GQ_OK)
        snprintf(reply.text, sizeof reply.text, "%s", gq_error_text());
    return gq_channel_send(CHANNEL, &reply, sizeof reply, NULL, 0);
}

/* The host may end while this process is inside a call that never returns: a plugin that loops, a driver that waits for
 * it. Then nobody would read the channel's end. */
static void *follow_host(void *arg)
{
    struct pollfd p = {.fd = CHANNEL};
    (void)arg;
    while (poll(&p, 1, -1) < 0 && errno == EINTR)
        continue;
    sleep(LINGER_S);
    _exit(0);
}

/* A swap's calls of the driver take twice as long on a processor that has slept for 20 ms, its caches cold, and
 * messages wait meanwhile: so this thread sleeps for no longer than the one that wakes the host, unless power is to be
 * saved. */
static void nap_until_request(void)
{
    struct pollfd p = {.fd = CHANNEL, .events = POLLIN};
    const struct timespec nap = {.tv_nsec = NAP_NS};
    if (!worker.ops || !worker.ops->naps || worker.poll == GQ_GRID_SLEEP)
        return;
    while (ppoll(&p, 1, &nap, NULL) == 0)
        continue;
}

int gq_worker_main(char *role)
{
    pthread_t follower;
    worker.role = role;
    if (pthread_create(&follower, NULL, follow_host, NULL) == 0)
        pthread_detach(follower);
    for (;;) {
        struct gq_packet packet;
        int fds[GQ_CHANNEL_FDS_MAX];
        size_t len, fd_count;
        nap_until_request();
        gq_status status = gq_channel_receive(CHANNEL, &packet, sizeof packet, &len, fds, &fd_count, GQ_MS_FOREVER);
        if (status != GQ_OK || len != sizeof packet)
            _exit(0); /* the host is gone: nothing here is worth keeping, and other threads still run */
        status = serve(&packet, fds, fd_count);
        if (status == GQ_ERR_DEVICE && worker.backend && worker.ops->check)
            worker.ops->check(worker.backend);
        status = answer(status, &packet);
        for (size_t i = 0; i < fd_count; i++)
            close(fds[i]);
        if (status != GQ_OK || packet.type == GQ_PACKET_STOP)
            return 0;
    }
}
