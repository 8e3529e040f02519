#include "ring/link.h"
#include "base/assert.h"
#include "base/mem.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static void futex_wait(const uint32_t *word, uint32_t expected, uint64_t timeout_ns)
{
    struct timespec t = {.tv_sec = (time_t)(timeout_ns / 1000000000u), .tv_nsec = (long)(timeout_ns % 1000000000u)};
    syscall(SYS_futex, word, FUTEX_WAIT, expected, &t, NULL, 0);
}

static void futex_wake(const uint32_t *word, int count) { syscall(SYS_futex, word, FUTEX_WAKE, count, NULL, NULL, 0); }

static void *map(int fd, size_t bytes, int protection)
{
    void *p = mmap(NULL, bytes, protection, MAP_SHARED, fd, 0);
    return p == MAP_FAILED ? NULL : p;
}

static gq_status make_file(const char *name, size_t bytes, int *fd)
{
    *fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (*fd < 0 || ftruncate(*fd, (off_t)bytes) != 0)
        return gq_error_errno(GQ_ERR_NO_MEMORY, errno, "making the control page %s", name);
    return GQ_OK;
}

/* A worker that shortened a page would end the host with SIGBUS at its next look, so the sizes are sealed. The host
 * keeps its own writable mapping of its page; FUTURE_WRITE refuses any other, so a worker cannot forge what the host
 * says. */
static gq_status seal_pages(const struct gq_link *link)
{
    const int size = F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL;
    if (fcntl(link->host_fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE | size) != 0 ||
        fcntl(link->worker_fd, F_ADD_SEALS, size) != 0)
        return gq_error_errno(GQ_ERR_UNAVAILABLE, errno, "sealing shared memory (Linux 5.1 or newer is needed)");
    return GQ_OK;
}

gq_status gq_link_create(struct gq_link *link)
{
    *link = (struct gq_link){.host_fd = -1, .worker_fd = -1};
    gq_status status = make_file("gpuq-host", sizeof *link->host, &link->host_fd);
    if (status == GQ_OK)
        status = make_file("gpuq-worker", sizeof *link->worker, &link->worker_fd);
    if (status == GQ_OK) {
        link->host = map(link->host_fd, sizeof *link->host, PROT_READ | PROT_WRITE);
        link->worker = map(link->worker_fd, sizeof *link->worker, PROT_READ);
        if (!link->host || !link->worker)
            status = gq_error_errno(GQ_ERR_NO_MEMORY, errno, "mapping the control pages");
    }
    if (status == GQ_OK)
        status = seal_pages(link);
    if (status != GQ_OK) {
        gq_link_finish(link);
        return status;
    }
    link->host->magic = GQ_LAYOUT_MAGIC;
    link->host->version = GQ_LAYOUT_VERSION;
    return GQ_OK;
}

gq_status gq_link_attach(struct gq_link *link, int host_fd, int worker_fd)
{
    *link = (struct gq_link){.host_fd = -1, .worker_fd = -1};
    link->host = map(host_fd, sizeof *link->host, PROT_READ);
    link->worker = map(worker_fd, sizeof *link->worker, PROT_READ | PROT_WRITE);
    if (!link->host || !link->worker) {
        gq_error_errno(GQ_ERR_NO_MEMORY, errno, "mapping the control pages");
        gq_link_finish(link);
        return GQ_ERR_NO_MEMORY;
    }
    if (link->host->magic != GQ_LAYOUT_MAGIC || link->host->version != GQ_LAYOUT_VERSION) {
        gq_error_set(GQ_ERR_UNAVAILABLE,
                     "the worker speaks layout %d, the host layout %u: install both from one release",
                     GQ_LAYOUT_VERSION, link->host->version);
        gq_link_finish(link);
        return GQ_ERR_UNAVAILABLE;
    }
    link->worker->version = GQ_LAYOUT_VERSION;
    link->worker->magic = GQ_LAYOUT_MAGIC;
    return GQ_OK;
}

/* Threads that look at the page meanwhile see the old one or the new one: the kernel puts one in the other's place at
 * once. One that sleeps on the old page's bell is woken, or wakes by itself soon. */
gq_status gq_link_renew(struct gq_link *link)
{
    int fd = -1;
    gq_status status = make_file("gpuq-worker", sizeof *link->worker, &fd);
    if (status != GQ_OK || fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) != 0 ||
        !gq_mem_replace(link->worker, sizeof *link->worker, fd)) {
        status = status == GQ_OK ? gq_error_errno(GQ_ERR_NO_MEMORY, errno, "making a control page") : status;
        if (fd >= 0)
            close(fd);
        return status;
    }
    gq_link_kick(link);
    close(link->worker_fd);
    link->worker_fd = fd;
    return GQ_OK;
}

void gq_link_finish(struct gq_link *link)
{
    if (link->host)
        munmap(link->host, sizeof *link->host);
    if (link->worker)
        munmap(link->worker, sizeof *link->worker);
    if (link->host_fd > 0)
        close(link->host_fd);
    if (link->worker_fd > 0)
        close(link->worker_fd);
    *link = (struct gq_link){.host_fd = -1, .worker_fd = -1};
}

static uint32_t load(const uint32_t *p) { return __atomic_load_n(p, __ATOMIC_RELAXED); }

void gq_link_ring_worker(struct gq_link *link)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* F1 pairs F2: descriptors before the look at `sleepers` */
    uint32_t sleepers = load(&link->worker->sleepers);
    if (__builtin_expect(sleepers == 0, 1) || sleepers + load(&link->worker->occupied) < load(&link->worker->threads))
        return;
    __atomic_fetch_add(&link->host->bell, 1, __ATOMIC_RELEASE);
    futex_wake(&link->host->bell, 1);
}

void gq_link_stop(struct gq_link *link)
{
    __atomic_store_n(&link->host->stop, 1, __ATOMIC_RELEASE);
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* F1 pairs F2, with `stop` as what is published */
    __atomic_fetch_add(&link->host->bell, 1, __ATOMIC_RELEASE);
    futex_wake(&link->host->bell, INT_MAX);
}

void gq_link_wait_work(struct gq_link *link, uint64_t timeout_ns, bool (*ready)(void *arg), void *arg)
{
    uint32_t bell = __atomic_load_n(&link->host->bell, __ATOMIC_ACQUIRE);
    __atomic_fetch_add(&link->worker->sleepers, 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* F2 pairs F1: `sleepers` before the last look at descriptors */
    if (!ready(arg))
        futex_wait(&link->host->bell, bell, timeout_ns);
    __atomic_fetch_sub(&link->worker->sleepers, 1, __ATOMIC_RELAXED);
}

void gq_link_occupy(struct gq_link *link, bool (*ready)(void *arg), void *arg)
{
    __atomic_fetch_add(&link->worker->occupied, 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* F2 pairs F1: `occupied` before the last look at descriptors */
    if (ready(arg))
        gq_link_recruit(link);
}

void gq_link_leave(struct gq_link *link) { __atomic_fetch_sub(&link->worker->occupied, 1, __ATOMIC_RELAXED); }

void gq_link_recruit(struct gq_link *link)
{
    /* A wake that comes too early is lost, and may be: the caller works on, and asks again at its next batch. */
    if (load(&link->worker->sleepers) != 0)
        futex_wake(&link->host->bell, 1);
}

void gq_link_ring_host(struct gq_link *link)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* F3 pairs F4: results before the look at `waiters` */
    if (__builtin_expect(load(&link->host->waiters) == 0, 1))
        return;
    __atomic_fetch_add(&link->worker->bell, 1, __ATOMIC_RELEASE);
    futex_wake(&link->worker->bell, INT_MAX);
}

void gq_link_wait_results(struct gq_link *link, uint64_t timeout_ns, bool (*ready)(void *arg), void *arg)
{
    uint32_t bell = __atomic_load_n(&link->worker->bell, __ATOMIC_ACQUIRE);
    __atomic_fetch_add(&link->host->waiters, 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* F4 pairs F3: `waiters` before the last look at results */
    if (!ready(arg) && !gq_link_dead(link) && !gq_link_closing(link))
        futex_wait(&link->worker->bell, bell, timeout_ns);
    __atomic_fetch_sub(&link->host->waiters, 1, __ATOMIC_RELAXED);
}

void gq_link_kick(struct gq_link *link)
{
    /* The host may not write the worker's bell, so a thread between its last look and its wait misses this; waits are
     * bounded by their callers for that reason. */
    futex_wake(&link->worker->bell, INT_MAX);
}
