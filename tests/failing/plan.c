#include "plan.h"
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* The linker sends every call of these names to calls.c; here the system's are meant. */
int __real_open(const char *path, int flags, ...);
ssize_t __real_readlink(const char *path, char *to, size_t size);
void *__real_mmap(void *at, size_t len, int protection, int flags, int fd, off_t offset);

static struct failing_plan *plan;
static bool mine; /* do this process's calls count? */

static uint64_t offset_of(const void *place)
{
    extern const ElfW(Ehdr) __ehdr_start;
    return (uint64_t)((uintptr_t)place - (uintptr_t)&__ehdr_start);
}

__attribute__((constructor)) static void open_plan(int argc, char **argv)
{
    const char *path = getenv("GPUQ_FAILING");
    const size_t len = argc > 0 ? strlen(argv[0]) : 0;
    const bool child = len > 6 && strcmp(argv[0] + len - 6, "worker") == 0;
    int fd = path ? __real_open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *p = __real_mmap(NULL, sizeof *plan, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (p == MAP_FAILED)
        return;
    plan = p;
    mine = strcmp(plan->role, child && argc > 1 ? argv[1] : "host") == 0;
}

struct failing_plan *failing_plan(void)
{
    if (!plan) {
        fputs("GPUQ_FAILING names no plan\n", stderr);
        _exit(2);
    }
    mine = strcmp(plan->role, "host") == 0;
    return plan;
}

bool failing_here(const char *call, int err, bool waits, const void *from)
{
    if (!mine || (plan->interrupted ? !waits : !err))
        return false;
    const uint64_t number = __atomic_add_fetch(&plan->count, 1, __ATOMIC_RELAXED);
    if (number != __atomic_load_n(&plan->at, __ATOMIC_RELAXED))
        return false;
    errno = plan->interrupted ? EINTR : err;
    plan->place = offset_of(from);
    snprintf(plan->call, sizeof plan->call, "%s %s", call, strerrorname_np(errno));
    const ssize_t n = __real_readlink("/proc/self/exe", plan->program, sizeof plan->program - 1);
    plan->program[n > 0 ? n : 0] = '\0';
    __atomic_store_n(&plan->planted, 1, __ATOMIC_RELEASE);
    errno = plan->interrupted ? EINTR : err;
    return true;
}

/* --- what is not freed -------------------------------------------------------------------------------------------- */

#define SLOTS (1u << 16)

static struct {
    const void *p, *from;
} allocation[SLOTS];
static uint32_t lock; /* a spin lock: the code under test may run before and after main() */

static void take(void)
{
    while (__atomic_exchange_n(&lock, 1, __ATOMIC_ACQUIRE))
        ;
}

static void give(void) { __atomic_store_n(&lock, 0, __ATOMIC_RELEASE); }

static uint32_t slot_of(const void *p) { return (uint32_t)(((uintptr_t)p >> 4) * 2654435761u % SLOTS); }

/* A freed entry keeps its slot for another one: `from` stays, so that those behind it are found. */
void *failing_allocated(void *p, const void *from)
{
    const int kept = errno;
    take();
    for (uint32_t i = slot_of(p), n = 0; p && n < SLOTS; i = (i + 1) % SLOTS, n++)
        if (!allocation[i].p) {
            allocation[i].p = p;
            allocation[i].from = from;
            break;
        }
    give();
    errno = kept;
    return p;
}

void failing_freed(const void *p)
{
    take();
    for (uint32_t i = slot_of(p), n = 0; p && n < SLOTS && allocation[i].from; i = (i + 1) % SLOTS, n++)
        if (allocation[i].p == p) {
            allocation[i].p = NULL;
            break;
        }
    give();
}

uint32_t failing_allocations(bool (*stays)(const void *p), char *what, uint32_t size)
{
    uint32_t count = 0;
    take();
    for (uint32_t i = 0; i < SLOTS; i++)
        if (allocation[i].p && !stays(allocation[i].p) && count++ == 0)
            snprintf(what, size, "%#llx", (unsigned long long)offset_of(allocation[i].from));
    give();
    return count;
}

void failing_forget_allocations(void)
{
    take();
    memset(allocation, 0, sizeof allocation);
    give();
}
