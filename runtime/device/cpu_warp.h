/* cpu_warp.h - what the 32 threads of a warp do together: each call waits for the lanes of its mask. */
#ifndef GQ_DEVICE_CPU_WARP_H
#define GQ_DEVICE_CPU_WARP_H

/* A value as the services carry it: its bytes, zero-extended. */
template <typename T> static inline uint64_t gq_cpu_bits(T value)
{
    static_assert(std::is_arithmetic<T>::value && sizeof(T) <= 8, "warp functions take numbers of 4 or 8 bytes");
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof value);
    return bits;
}
template <typename T> static inline T gq_cpu_value(uint64_t bits)
{
    T value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint64_t gq_cpu_warp(gq_cpu_warp_op op, unsigned mask, uint64_t value, unsigned arg, int width, int *pred,
                                   const char *what, const char *file, int line)
{
    gq_cpu_may_wait(what, false, file, line);
    return gq_cpu_now->services->warp_op(op, mask, value, arg, static_cast<uint32_t>(width), pred, file, line);
}

static inline void __syncwarp(unsigned mask = 0xffffffffu, GQ_HERE)
{
    gq_cpu_warp(GQ_CPU_SYNCWARP, mask, 0, 0, 32, nullptr, "__syncwarp()", file, line);
}

#define GQ_CPU_SHUFFLE(name, op, arg_type)                                                                    \
    template <typename T> static inline T name(unsigned mask, T value, arg_type arg, int width = 32, GQ_HERE) \
    {                                                                                                         \
        uint64_t bits = gq_cpu_bits(value);                                                                   \
        return gq_cpu_value<T>(                                                                               \
            gq_cpu_warp(op, mask, bits, static_cast<unsigned>(arg), width, nullptr, #name "()", file, line)); \
    }
GQ_CPU_SHUFFLE(__shfl_sync, GQ_CPU_SHFL, int)
GQ_CPU_SHUFFLE(__shfl_up_sync, GQ_CPU_SHFL_UP, unsigned)
GQ_CPU_SHUFFLE(__shfl_down_sync, GQ_CPU_SHFL_DOWN, unsigned)
GQ_CPU_SHUFFLE(__shfl_xor_sync, GQ_CPU_SHFL_XOR, int)
#undef GQ_CPU_SHUFFLE

#define GQ_CPU_VOTE(name, op, result)                                                                              \
    static inline result name(unsigned mask, int predicate, GQ_HERE)                                               \
    {                                                                                                              \
        return static_cast<result>(gq_cpu_warp(op, mask, predicate != 0, 0, 32, nullptr, #name "()", file, line)); \
    }
GQ_CPU_VOTE(__ballot_sync, GQ_CPU_BALLOT, unsigned)
GQ_CPU_VOTE(__any_sync, GQ_CPU_ANY, int)
GQ_CPU_VOTE(__all_sync, GQ_CPU_ALL, int)
#undef GQ_CPU_VOTE

template <typename T> static inline unsigned __match_any_sync(unsigned mask, T value, GQ_HERE)
{
    uint64_t bits = gq_cpu_bits(value);
    return static_cast<unsigned>(
        gq_cpu_warp(GQ_CPU_MATCH_ANY, mask, bits, 0, 32, nullptr, "__match_any_sync()", file, line));
}
template <typename T> static inline unsigned __match_all_sync(unsigned mask, T value, int *pred, GQ_HERE)
{
    uint64_t bits = gq_cpu_bits(value);
    return static_cast<unsigned>(
        gq_cpu_warp(GQ_CPU_MATCH_ALL, mask, bits, 0, 32, pred, "__match_all_sync()", file, line));
}

#define GQ_CPU_REDUCE(name, type, op)                                                                   \
    static inline type name(unsigned mask, type value, GQ_HERE)                                         \
    {                                                                                                   \
        uint64_t bits = gq_cpu_bits(value);                                                             \
        return gq_cpu_value<type>(gq_cpu_warp(op, mask, bits, 0, 32, nullptr, #name "()", file, line)); \
    }
GQ_CPU_REDUCE(__reduce_add_sync, unsigned, GQ_CPU_REDUCE_ADD)
GQ_CPU_REDUCE(__reduce_add_sync, int, GQ_CPU_REDUCE_ADD)
GQ_CPU_REDUCE(__reduce_min_sync, unsigned, GQ_CPU_REDUCE_MIN_U)
GQ_CPU_REDUCE(__reduce_min_sync, int, GQ_CPU_REDUCE_MIN_S)
GQ_CPU_REDUCE(__reduce_max_sync, unsigned, GQ_CPU_REDUCE_MAX_U)
GQ_CPU_REDUCE(__reduce_max_sync, int, GQ_CPU_REDUCE_MAX_S)
GQ_CPU_REDUCE(__reduce_and_sync, unsigned, GQ_CPU_REDUCE_AND)
GQ_CPU_REDUCE(__reduce_or_sync, unsigned, GQ_CPU_REDUCE_OR)
GQ_CPU_REDUCE(__reduce_xor_sync, unsigned, GQ_CPU_REDUCE_XOR)
#undef GQ_CPU_REDUCE

/* Approximate: the lanes that have not returned, not those that are converged with the caller. */
static inline unsigned __activemask() { return gq_cpu_now->services->active_mask(); }

#endif
