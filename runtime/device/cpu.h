/* cpu.h - CUDA's words for an ordinary C++ compiler. The CPU backend compiles every plugin with `-include
 * device/cpu.h`.
 *
 * One block of CUDA threads is one OS thread of the worker; its threads run one after another and only change places
 * when one of them waits (runtime/backend/fiber.h). So `__shared__` is a static thread-local object, and whatever waits
 * is a call into the worker that carries the caller's file and line.
 *
 *   cpu.h         this file: keywords, indices, barriers, assert
 *   cpu_types.h   vector types
 *   cpu_warp.h    shuffles, votes, reductions
 *   cpu_atomic.h  atomics and fences
 *   cpu_math.h    bit and arithmetic intrinsics
 *
 * What is supported, and what is refused: docs/reference/cpu-backend.md.
 */
#ifndef GQ_DEVICE_CPU_H
#define GQ_DEVICE_CPU_H

#define GQ_CPU_SHIM 1

#include <limits.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <type_traits>
#include <device/image.h>

/* --- keywords ------------------------------------------------------------------------------------------------------
 */
#define __device__
#define __host__
#define __global__
#define __constant__
#define __managed__
#define __launch_bounds__(...)
#define __forceinline__ __attribute__((always_inline)) /* without `inline`, which users write too */
#define __noinline__ /* nothing: libstdc++ itself writes __attribute__((__noinline__)) */
#define __align__(n) __attribute__((aligned(n)))
#define __shared__ thread_local /* static in a function, and users may say so, too */
#if !defined(__clang__)
#define __builtin_assume(condition) ((condition) ? (void)0 : __builtin_unreachable())
#endif

/* Device printf goes to standard error: standard output belongs to the pipeline's data. */
#define printf(...) fprintf(stderr, __VA_ARGS__)

/* Parameters of every function that may wait or die: where the user called it. */
#define GQ_HERE const char *file = __builtin_FILE(), int line = __builtin_LINE()

#include <gpuqueue/plugin.h>
#include <device/cpu_types.h>

/* --- the worker's services -----------------------------------------------------------------------------------------
 */
static thread_local const gq_cpu_run *gq_cpu_now; /* the call this OS thread is in */

/* Defined in entry_cpu.h, which knows the plugin's scope: refuse to wait where nobody could come, and find this thread.
 */
static void gq_cpu_may_wait(const char *what, bool block_wide, const char *file, int line);
static const gq_cpu_thread &gq_cpu_self();

[[noreturn]] __attribute__((cold)) static inline void gq_cpu_die(const char *what, const char *file, int line)
{
    gq_cpu_now->services->die(what, file, line);
    __builtin_trap();
}

static inline uint3 gq_cpu_index(const gq_cpu_dim3 &d) { return uint3{d.x, d.y, d.z}; }
static inline dim3 gq_cpu_extent(const gq_cpu_dim3 &d) { return dim3(d.x, d.y, d.z); }
#define threadIdx (gq_cpu_index(gq_cpu_self().thread_idx))
#define blockIdx (gq_cpu_index(gq_cpu_self().block_idx))
#define blockDim (gq_cpu_extent(gq_cpu_self().block_dim))
#define gridDim (gq_cpu_extent(gq_cpu_self().grid_dim))
static constexpr int warpSize = 32;

/* --- barriers ------------------------------------------------------------------------------------------------------
 */
static inline uint64_t gq_cpu_barrier(gq_cpu_block_op op, uint64_t value, const char *what, const char *file, int line)
{
    gq_cpu_may_wait(what, true, file, line);
    return gq_cpu_now->services->block_op(op, value, file, line);
}
static inline void __syncthreads(GQ_HERE) { gq_cpu_barrier(GQ_CPU_SYNCTHREADS, 0, "__syncthreads()", file, line); }
static inline int __syncthreads_count(int p, GQ_HERE)
{
    return static_cast<int>(gq_cpu_barrier(GQ_CPU_SYNC_COUNT, p != 0, "__syncthreads_count()", file, line));
}
static inline int __syncthreads_and(int p, GQ_HERE)
{
    return static_cast<int>(gq_cpu_barrier(GQ_CPU_SYNC_AND, p != 0, "__syncthreads_and()", file, line));
}
static inline int __syncthreads_or(int p, GQ_HERE)
{
    return static_cast<int>(gq_cpu_barrier(GQ_CPU_SYNC_OR, p != 0, "__syncthreads_or()", file, line));
}

#include <device/cpu_warp.h>
#include <device/cpu_atomic.h>
#include <device/cpu_math.h>

/* --- stopping, time ------------------------------------------------------------------------------------------------
 */
[[noreturn]] static inline void __trap(GQ_HERE) { gq_cpu_die("__trap() was called", file, line); }
static inline long long clock64()
{
    timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return static_cast<long long>(t.tv_sec) * 1000000000 + t.tv_nsec;
}
static inline void __nanosleep(unsigned ns)
{
    timespec t = {static_cast<time_t>(ns / 1000000000u), static_cast<long>(ns % 1000000000u)};
    nanosleep(&t, nullptr);
}

#include <assert.h> /* ours: see cpu_assert.h */

#endif
