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

#endif

#endif
