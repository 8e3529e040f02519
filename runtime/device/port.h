/* port.h - the one place that knows which compiler reads the shared code: C11 host, C++17 CPU backend, or a CUDA
 * device.
 *
 * Below this file there is no #ifdef on the compiler. Loads and stores here are single accesses of naturally aligned
 * 4- or 8-byte words; acquire and release hold between the host and the device (system scope), which on the device
 * means mapped host memory only (PTX ISA, memory consistency model; facts in docs/internals/memory-order.md).
 */
#ifndef GQ_DEVICE_PORT_H
#define GQ_DEVICE_PORT_H

#include <stdint.h>

#if defined(__CUDACC_RTC__) || defined(__CUDA_ARCH__)

#define GQ_FN __device__ __forceinline__

GQ_FN uint64_t gq_load_acquire_u64(const uint64_t *p)
{
    uint64_t v;
    asm volatile("ld.acquire.sys.global.u64 %0, [%1];" : "=l"(v) : "l"(p) : "memory");
    return v;
}
GQ_FN uint32_t gq_load_acquire_u32(const uint32_t *p)
{
    uint32_t v;
    asm volatile("ld.acquire.sys.global.u32 %0, [%1];" : "=r"(v) : "l"(p) : "memory");
    return v;
}
GQ_FN uint32_t gq_load_relaxed_u32(const uint32_t *p)
{
    uint32_t v;
    asm volatile("ld.relaxed.sys.global.u32 %0, [%1];" : "=r"(v) : "l"(p) : "memory");
    return v;
}
GQ_FN uint64_t gq_load_relaxed_u64(const uint64_t *p)
{
    uint64_t v;
    asm volatile("ld.relaxed.sys.global.u64 %0, [%1];" : "=l"(v) : "l"(p) : "memory");
    return v;
}
GQ_FN void gq_store_release_u64(uint64_t *p, uint64_t v)
{
    asm volatile("st.release.sys.global.u64 [%0], %1;" ::"l"(p), "l"(v) : "memory");
}
GQ_FN void gq_store_relaxed_u64(uint64_t *p, uint64_t v)
{
    asm volatile("st.relaxed.sys.global.u64 [%0], %1;" ::"l"(p), "l"(v) : "memory");
}

/* Two words that appear together, with release order: 16-byte accesses of the PTX memory model (PTX ISA 8.3, sm_70). */
GQ_FN void gq_store_release_pair(uint64_t *p, uint64_t first, uint64_t second)
{
    asm volatile("{ .reg .b128 pair; mov.b128 pair, {%1, %2}; st.release.sys.global.b128 [%0], pair; }" ::"l"(p),
                 "l"(first), "l"(second)
                 : "memory");
}

/* One 16-byte access each, relaxed. */
GQ_FN void gq_store_unit(void *p, uint64_t stamp, uint64_t data)
{
    asm volatile("{ .reg .b128 unit; mov.b128 unit, {%1, %2}; st.relaxed.sys.global.b128 [%0], unit; }" ::"l"(p),
                 "l"(stamp), "l"(data)
                 : "memory");
}
GQ_FN void gq_load_unit(const void *p, uint64_t *stamp, uint64_t *data)
{
    asm volatile("{ .reg .b128 unit; ld.relaxed.sys.global.b128 unit, [%2]; mov.b128 {%0, %1}, unit; }"
                 : "=l"(*stamp), "=l"(*data)
                 : "l"(p)
                 : "memory");
}

#else

#define GQ_FN static inline

GQ_FN uint64_t gq_load_acquire_u64(const uint64_t *p) { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }
GQ_FN uint32_t gq_load_acquire_u32(const uint32_t *p) { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }
GQ_FN uint64_t gq_load_relaxed_u64(const uint64_t *p) { return __atomic_load_n(p, __ATOMIC_RELAXED); }
GQ_FN void gq_store_release_u64(uint64_t *p, uint64_t v) { __atomic_store_n(p, v, __ATOMIC_RELEASE); }
GQ_FN void gq_store_relaxed_u64(uint64_t *p, uint64_t v) { __atomic_store_n(p, v, __ATOMIC_RELAXED); }

/* The second word carries the release: who sees it sees the first. */
GQ_FN void gq_store_release_pair(uint64_t *p, uint64_t first, uint64_t second)
{
    __atomic_store_n(p, first, __ATOMIC_RELAXED);
    __atomic_store_n(p + 1, second, __ATOMIC_RELEASE);
}

/* One 16-byte access each, aligned: single on every x86 processor with AVX (Intel SDM vol. 3A, 9.1.1; AMD APM vol. 2,
 * 7.3.2). gq_units_are_single() says whether this processor is one. */
#if defined(__x86_64__)
GQ_FN int gq_units_are_single(void) { return __builtin_cpu_supports("avx"); }
GQ_FN void gq_store_unit(void *p, uint64_t stamp, uint64_t data)
{
    typedef long long pair __attribute__((vector_size(16)));
    const pair unit = {(long long)stamp, (long long)data};
    __asm__ volatile("movdqa %1, %0" : "=m"(*(pair *)p) : "x"(unit) : "memory");
}
GQ_FN void gq_load_unit(const void *p, uint64_t *stamp, uint64_t *data)
{
    typedef long long pair __attribute__((vector_size(16)));
    pair unit;
    __asm__ volatile("movdqa %1, %0" : "=x"(unit) : "m"(*(const pair *)p) : "memory");
    *stamp = (uint64_t)unit[0];
    *data = (uint64_t)unit[1];
}
#else
GQ_FN int gq_units_are_single(void) { return 0; }
GQ_FN void gq_store_unit(void *p, uint64_t stamp, uint64_t data)
{
    ((uint64_t *)p)[0] = stamp;
    ((uint64_t *)p)[1] = data;
}
GQ_FN void gq_load_unit(const void *p, uint64_t *stamp, uint64_t *data)
{
    *stamp = ((const uint64_t *)p)[0];
    *data = ((const uint64_t *)p)[1];
}
#endif

#endif

#endif
