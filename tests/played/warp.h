/* warp.h - included first by a played image: CUDA's words for a CPU, and loads as a warp makes them.
 *
 * A warp of a GPU loads a word once for all threads that load it together, and goes one way where all of them
 * compare it. The threads of a played one come one after another, and the word may change between two of them: so what
 * one has loaded of an address is what all get, until the warp meets again.
 */
#ifndef GQ_TESTS_PLAYED_WARP_H
#define GQ_TESTS_PLAYED_WARP_H

#include "device/port.h"

typedef uint64_t played_load(const void *p);
static uint64_t played_once(const void *p, played_load *load);

static uint64_t played_acquire_u64(const void *p) { return gq_load_acquire_u64((const uint64_t *)p); }
static uint64_t played_relaxed_u64(const void *p) { return gq_load_relaxed_u64((const uint64_t *)p); }
static uint64_t played_relaxed_u32(const void *p) { return __atomic_load_n((const uint32_t *)p, __ATOMIC_RELAXED); }
#define gq_load_acquire_u64(p) played_once(p, played_acquire_u64)
#define gq_load_relaxed_u64(p) played_once(p, played_relaxed_u64)
#define gq_load_relaxed_u32(p) ((uint32_t)played_once(p, played_relaxed_u32))

#include <device/cpu.h>
#include "played/played.h"
#undef __shared__
#define __shared__ thread_local /* the device code says static itself */

static thread_local gq_cpu_run played_run;
static thread_local gq_cpu_services played_services;
static thread_local const gq_cpu_services *played_given;
static thread_local uint64_t played_meetings[32]; /* of each thread, so far */

static void gq_cpu_may_wait(const char *, bool, const char *, int) {}
static const gq_cpu_thread &gq_cpu_self() { return *gq_cpu_now->services->self(); }

static uint64_t played_warp_op(gq_cpu_warp_op op, uint32_t mask, uint64_t value, uint32_t arg, uint32_t width,
                               int *pred, const char *file, int line)
{
    const uint64_t result = played_given->warp_op(op, mask, value, arg, width, pred, file, line);
    played_meetings[threadIdx.x]++;
    return result;
}
static uint64_t played_block_op(gq_cpu_block_op op, uint64_t value, const char *file, int line)
{
    const uint64_t result = played_given->block_op(op, value, file, line);
    played_meetings[threadIdx.x]++;
    return result;
}

static uint64_t played_once(const void *p, played_load *load)
{
    static thread_local struct {
        const void *p;
        uint64_t value;
    } loaded[1024];
    static thread_local uint64_t since, count;
    if (played_meetings[threadIdx.x] != since) {
        since = played_meetings[threadIdx.x];
        count = 0;
    }
    for (uint64_t i = 0; i < count; i++)
        if (loaded[i].p == p)
            return loaded[i].value;
    const uint64_t value = load(p);
    if (count < sizeof loaded / sizeof *loaded) {
        loaded[count].p = p;
        loaded[count++].value = value;
    }
    return value;
}

static uint64_t played_clock(const void *) { return (uint64_t)clock64(); }
static long long played_clock64() { return (long long)played_once(&played_run, played_clock); }
#define clock64 played_clock64

static const played_rules *played_by;

#endif
