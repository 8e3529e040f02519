/* plant.h - the faults: what a planted kernel calls instead of the accessors of port.h and find_cuda.h. Included after
 * those headers, and before slot.h, whose functions then use the planted ones. PLANT is the number of a row of
 * litmus.h, and every row is defined as PLANT_<name>.
 */
#ifndef TESTS_LITMUS_PLANT_H
#define TESTS_LITMUS_PLANT_H

#pragma nv_diag_suppress 177 /* each row uses some of these functions */

#include "device/port.h"

#define PLANT_STORE_PAIR(name, how)                                                                            \
    static __device__ __forceinline__ void name(uint64_t *p, uint64_t first, uint64_t second)                  \
    {                                                                                                          \
        asm volatile("{ .reg .b128 pair; mov.b128 pair, {%1, %2}; " how ".global.b128 [%0], pair; }" ::"l"(p), \
                     "l"(first), "l"(second)                                                                   \
                     : "memory");                                                                              \
    }
#define PLANT_STORE(name, how)                                                 \
    static __device__ __forceinline__ void name(uint64_t *p, uint64_t v)       \
    {                                                                          \
        asm volatile(how ".global.u64 [%0], %1;" ::"l"(p), "l"(v) : "memory"); \
    }
#define PLANT_LOAD(name, how)                                                    \
    static __device__ __forceinline__ uint64_t name(const uint64_t *p)           \
    {                                                                            \
        uint64_t v;                                                              \
        asm volatile(how ".global.u64 %0, [%1];" : "=l"(v) : "l"(p) : "memory"); \
        return v;                                                                \
    }

PLANT_STORE_PAIR(plant_pair_relaxed_sys, "st.relaxed.sys")
PLANT_STORE_PAIR(plant_pair_release_gpu, "st.release.gpu")
PLANT_STORE_PAIR(plant_pair_release_cta, "st.release.cta")
PLANT_STORE_PAIR(plant_pair_relaxed_gpu, "st.relaxed.gpu")
PLANT_STORE(plant_store_relaxed_gpu, "st.relaxed.gpu")
PLANT_STORE(plant_store_release_cta, "st.release.cta")
PLANT_LOAD(plant_load_relaxed_sys, "ld.relaxed.sys")
PLANT_LOAD(plant_load_relaxed_gpu, "ld.relaxed.gpu")
PLANT_LOAD(plant_load_acquire_cta, "ld.acquire.cta")

static __device__ __forceinline__ uint64_t plant_load_nc(const uint64_t *p)
{
    uint64_t v;
    asm volatile("ld.global.nc.u64 %0, [%1];" : "=l"(v) : "l"(p) : "memory");
    return v;
}

#if PLANT == PLANT_FINISH_RELAXED
#define gq_store_release_pair plant_pair_relaxed_sys
#elif PLANT == PLANT_FINISH_GPU
#define gq_store_release_pair plant_pair_release_gpu
#elif PLANT == PLANT_FINISH_CTA
#define gq_store_release_pair plant_pair_release_cta
#elif PLANT == PLANT_ACQUIRE_RELAXED
#define gq_load_acquire_u64 plant_load_relaxed_sys
#elif PLANT == PLANT_ACQUIRE_CTA
#define gq_load_acquire_u64 plant_load_acquire_cta
#endif

#endif
