/* words_cuda.h - words of device memory, at device scope, and fences: what the device code spells in PTX, beside
 * port.h. A test that plays a device has its own.
 */
#ifndef GQ_DEVICE_WORDS_CUDA_H
#define GQ_DEVICE_WORDS_CUDA_H

#include <stdint.h>

static __device__ __forceinline__ uint64_t gq_dev_acquire_u64(const uint64_t *p)
{
    uint64_t v;
    asm volatile("ld.acquire.gpu.global.u64 %0, [%1];" : "=l"(v) : "l"(p) : "memory");
    return v;
}
static __device__ __forceinline__ void gq_dev_release_u64(uint64_t *p, uint64_t v)
{
    asm volatile("st.release.gpu.global.u64 [%0], %1;" ::"l"(p), "l"(v) : "memory");
}
static __device__ __forceinline__ uint32_t gq_dev_relaxed_u32(const uint32_t *p)
{
    uint32_t v;
    asm volatile("ld.relaxed.gpu.global.u32 %0, [%1];" : "=r"(v) : "l"(p) : "memory");
    return v;
}
static __device__ __forceinline__ uint64_t gq_dev_relaxed_u64(const uint64_t *p)
{
    uint64_t v;
    asm volatile("ld.relaxed.gpu.global.u64 %0, [%1];" : "=l"(v) : "l"(p) : "memory");
    return v;
}
static __device__ __forceinline__ void gq_dev_store_u32(uint32_t *p, uint32_t v)
{
    asm volatile("st.relaxed.gpu.global.u32 [%0], %1;" ::"l"(p), "r"(v) : "memory");
}
static __device__ __forceinline__ void gq_dev_release_u32(uint32_t *p, uint32_t v)
{
    asm volatile("st.release.gpu.global.u32 [%0], %1;" ::"l"(p), "r"(v) : "memory");
}
static __device__ __forceinline__ void gq_dev_release_pair(uint64_t *p, uint64_t first, uint64_t second)
{
    asm volatile("{ .reg .b128 pair; mov.b128 pair, {%1, %2}; st.release.gpu.global.b128 [%0], pair; }" ::"l"(p),
                 "l"(first), "l"(second)
                 : "memory");
}

/* The built-in functions for 64 bits bring a variable along, and every variable makes a module slower to load. */
static __device__ __forceinline__ uint64_t gq_dev_cas_u64(uint64_t *p, uint64_t expected, uint64_t v)
{
    uint64_t was;
    asm volatile("atom.relaxed.gpu.global.cas.b64 %0, [%1], %2, %3;"
                 : "=l"(was)
                 : "l"(p), "l"(expected), "l"(v)
                 : "memory");
    return was;
}
static __device__ __forceinline__ uint64_t gq_dev_add_u64(uint64_t *p, uint64_t v)
{
    uint64_t was;
    asm volatile("atom.relaxed.gpu.global.add.u64 %0, [%1], %2;" : "=l"(was) : "l"(p), "l"(v) : "memory");
    return was;
}

static __device__ __forceinline__ uint64_t gq_globaltimer()
{
    uint64_t t;
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(t));
    return t;
}

static __device__ __forceinline__ void gq_fence_gpu() { asm volatile("fence.acq_rel.gpu;" ::: "memory"); }
static __device__ __forceinline__ void gq_fence_sys() { asm volatile("fence.acq_rel.sys;" ::: "memory"); }

/* From the host's memory: read once, so there is no reason to keep it in a cache. */
static __device__ __forceinline__ uint4 gq_load_once(const uint8_t *p)
{
    uint4 v;
    asm volatile("ld.global.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                 : "l"(p)
                 : "memory");
    return v;
}

#endif
