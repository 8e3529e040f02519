/* cpu_atomic.h - CUDA's atomics and fences through the compiler's. Relaxed, as on the device; fences are full fences.
 */
#ifndef GQ_DEVICE_CPU_ATOMIC_H
#define GQ_DEVICE_CPU_ATOMIC_H

/* The type of the second argument is not deduced: atomicAdd(&counter, 1) converts, as it does in CUDA. */
template <typename T> struct gq_cpu_same {
    typedef T type;
};
template <typename T> using gq_cpu_same_t = typename gq_cpu_same<T>::type;

template <typename T>
static constexpr bool gq_cpu_atomic_type = std::is_arithmetic<T>::value && (sizeof(T) == 4 || sizeof(T) == 8);

/* Replaces *p by next(old) in one atomic step, and returns old. */
template <typename T, typename Next> static inline T gq_cpu_update(T *p, Next next)
{
    static_assert(gq_cpu_atomic_type<T>, "CUDA's atomics take numbers of 4 or 8 bytes");
    T old, wanted;
    __atomic_load(p, &old, __ATOMIC_RELAXED);
    do
        wanted = next(old);
    while (!__atomic_compare_exchange(p, &old, &wanted, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    return old;
}

template <typename T> static inline T gq_cpu_add(T *p, T v)
{
    if constexpr (std::is_integral<T>::value)
        return __atomic_fetch_add(p, v, __ATOMIC_RELAXED);
    else
        return gq_cpu_update(p, [v](T old) { return old + v; });
}

/* One row an atomic: it exists for the device, for the block and for the system, and on a CPU all three are one. */
#define GQ_CPU_ATOMIC(name, body)                                                                       \
    template <typename T> static inline T name(T *p, gq_cpu_same_t<T> v)                                \
    {                                                                                                   \
        static_assert(gq_cpu_atomic_type<T>, "CUDA's atomics take numbers of 4 or 8 bytes");            \
        return body;                                                                                    \
    }                                                                                                   \
    template <typename T> static inline T name##_block(T *p, gq_cpu_same_t<T> v) { return name(p, v); } \
    template <typename T> static inline T name##_system(T *p, gq_cpu_same_t<T> v) { return name(p, v); }

template <typename T> static inline T gq_cpu_exchange(T *p, T v)
{
    T old;
    __atomic_exchange(p, &v, &old, __ATOMIC_RELAXED);
    return old;
}

GQ_CPU_ATOMIC(atomicAdd, gq_cpu_add(p, v))
GQ_CPU_ATOMIC(atomicSub, gq_cpu_add(p, static_cast<T>(0 - v)))
GQ_CPU_ATOMIC(atomicExch, gq_cpu_exchange(p, v))
GQ_CPU_ATOMIC(atomicMin, gq_cpu_update(p, [v](T old) { return v < old ? v : old; }))
GQ_CPU_ATOMIC(atomicMax, gq_cpu_update(p, [v](T old) { return old < v ? v : old; }))
GQ_CPU_ATOMIC(atomicAnd, __atomic_fetch_and(p, v, __ATOMIC_RELAXED))
GQ_CPU_ATOMIC(atomicOr, __atomic_fetch_or(p, v, __ATOMIC_RELAXED))
GQ_CPU_ATOMIC(atomicXor, __atomic_fetch_xor(p, v, __ATOMIC_RELAXED))
GQ_CPU_ATOMIC(atomicInc, gq_cpu_update(p, [v](T old) { return old >= v ? T(0) : T(old + 1); }))
GQ_CPU_ATOMIC(atomicDec, gq_cpu_update(p, [v](T old) { return old == 0 || old > v ? T(v) : T(old - 1); }))
#undef GQ_CPU_ATOMIC

/* Returns what was there before. */
template <typename T> static inline T atomicCAS(T *p, gq_cpu_same_t<T> compare, gq_cpu_same_t<T> v)
{
    static_assert(std::is_integral<T>::value && (sizeof(T) == 2 || sizeof(T) == 4 || sizeof(T) == 8),
                  "atomicCAS takes integers of 2, 4 or 8 bytes");
    __atomic_compare_exchange_n(p, &compare, v, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
    return compare;
}
template <typename T> static inline T atomicCAS_block(T *p, gq_cpu_same_t<T> c, gq_cpu_same_t<T> v)
{
    return atomicCAS(p, c, v);
}
template <typename T> static inline T atomicCAS_system(T *p, gq_cpu_same_t<T> c, gq_cpu_same_t<T> v)
{
    return atomicCAS(p, c, v);
}

static inline void __threadfence() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
static inline void __threadfence_block() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
static inline void __threadfence_system() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }

#endif
