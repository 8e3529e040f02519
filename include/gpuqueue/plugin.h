/* gpuqueue/plugin.h - what a plugin .cu includes. Compiled by NVRTC, nvcc, clang and, on the CPU backend, by c++.
 *
 *     #include <gpuqueue/plugin.h>
 *     __device__ void process_message(const MsgView& in, ResultView* out)
 *     {
 *         for (uint32_t i = 0; i < in.len; i++) out->out[i] = in.payload[i] ^ GQ_PARAM(key, 0x20);
 *         *out->out_len = in.len;
 *     }
 *
 * Contract
 * - in.payload holds in.len bytes and is 16-byte aligned; it is read-only. in.len may be 0.
 * - out->out has room for out->cap bytes, 16-byte aligned, contents undefined. *out->out_len is 0 on entry; set it to
 *   the number of bytes written. More than out->cap fails the message (GQ_RESULT_OVERFLOW).
 * - in and out never overlap.
 * - With the default scope one thread serves one message. GQ_SCOPE(warp) or GQ_SCOPE(block, N) lets 32 or N threads
 *   serve it together: all of them enter, converged, with the same views; one of them sets *out->out_len.
 *   Threads may wait for each other (gq_sync, __syncthreads, __shfl_sync ...) only in those two scopes.
 * - Messages of one lane are started in order; several are processed at the same time by different threads.
 */
#ifndef GPUQUEUE_PLUGIN_H
#define GPUQUEUE_PLUGIN_H

#include <stdint.h>
#include <gpuqueue/version.h>

#if !defined(__CUDACC__) && !defined(__CUDACC_RTC__) && !defined(GQ_CPU_SHIM)
#error "gpuqueue/plugin.h is for plugins: compile with `gpuq plugin check FILE.cu`, with nvcc, or with clang -x cuda"
#endif

struct MsgView {
    const uint8_t *payload; /* in.len bytes */
    uint32_t len;
    uint64_t msg_id; /* of the message as the host knows it; grows within a lane */
};

struct ResultView {
    uint8_t *out;      /* room for cap bytes */
    uint32_t cap;      /* queue.slot_bytes */
    uint32_t *out_len; /* 0 on entry */
};

/* A stage defines the first, a source plugin the second. Indices run from source.plugin.first upwards; the same index
 * must always make the same message, so that a run can start again anywhere. */
__device__ void process_message(const MsgView &in, ResultView *out);
__device__ void generate_message(uint64_t index, ResultView *out);

/* A plugin that is compiled to PTX or to a cubin is read before any device sees it: it carries its mark, a few words
 * that say by which of these headers it was made, and what it declares. `gpuq` needs none where it compiles itself. */
#if defined(GQ_IMAGE_KIND) || defined(GQ_CPU_SHIM)
#define GQ_MARK(name, ...) static_assert(true, "")
#else
#define GQ_MARK(name, ...) extern "C" __device__ __constant__ const uint32_t name[] = {__VA_ARGS__}
#define GQ_MARK_MAGIC 0x4b4d5147u /* "GQMK" */
#endif
GQ_MARK(gq_plugin_mark, GQ_MARK_MAGIC, GQ_PLUGIN_ABI, sizeof(MsgView), sizeof(ResultView));

/* Who serves a message: GQ_SCOPE(thread), GQ_SCOPE(warp) or GQ_SCOPE(block, N) at file scope, N a multiple of 32 up to
 * 1024. Without it: thread. */
struct gq_scope_default {
    enum : unsigned { kind = 0, threads = 1 };
};
__device__ gq_scope_default gq_scope_of(long); /* the less fitting of two, where there are two */
#define GQ_SCOPE_KIND_thread 0
#define GQ_SCOPE_KIND_warp 1
#define GQ_SCOPE_KIND_block 2
#define GQ_SCOPE_THREADS_thread(...) 1
#define GQ_SCOPE_THREADS_warp(...) 32
#define GQ_SCOPE_THREADS_block(n, ...) n
#define GQ_SCOPE(scope_kind, ...)                                                                                    \
    struct gq_scope_chosen {                                                                                         \
        enum : unsigned { kind = GQ_SCOPE_KIND_##scope_kind, threads = GQ_SCOPE_THREADS_##scope_kind(__VA_ARGS__) }; \
        static_assert(kind != 2 || (threads % 32 == 0 && threads >= 32 && threads <= 1024),                          \
                      "GQ_SCOPE(block, N): N is a multiple of 32, from 32 to 1024");                                 \
    };                                                                                                               \
    GQ_MARK(gq_plugin_scope, GQ_MARK_MAGIC, gq_scope_chosen::kind, gq_scope_chosen::threads);                        \
    __device__ gq_scope_chosen gq_scope_of(int);                                                                     \
    static_assert(+decltype(::gq_scope_of(0))::threads == +gq_scope_chosen::threads,                                 \
                  "GQ_SCOPE stands at file scope, outside of functions and namespaces")

/* This thread among those that serve the message: 0 to gq_size() - 1. gq_sync() lets them all meet. */
#if !defined(GQ_HERE)
#define GQ_HERE                                                                                          \
    void /* the CPU backend passes the caller's file and line, so that a divergent gq_sync() has a place \
          */
#endif
__device__ uint32_t gq_rank(void);
__device__ uint32_t gq_size(void);
__device__ void gq_sync(GQ_HERE);

/* Memory of the stage, shared by all its threads, 128-byte aligned, zero at first, kept across swaps. A plugin that
 * uses it says once, at file scope, GQ_STATE(bytes, version); gq_state(bytes) then points at it. Asking for more than
 * was declared, or without a declaration, gives a null pointer. */
struct gq_state_default {
    enum : uint32_t { bytes = 0, version = 0 };
};
__device__ gq_state_default gq_state_of(long);
#define GQ_STATE(state_bytes, state_version)                                                   \
    struct gq_state_chosen {                                                                   \
        enum : uint32_t { bytes = (state_bytes), version = (state_version) };                  \
    };                                                                                         \
    GQ_MARK(gq_plugin_state, GQ_MARK_MAGIC, gq_state_chosen::bytes, gq_state_chosen::version); \
    __device__ gq_state_chosen gq_state_of(int);                                               \
    static_assert(+decltype(::gq_state_of(0))::bytes == +gq_state_chosen::bytes,               \
                  "GQ_STATE(bytes, version) stands at file scope, outside of functions and namespaces")
__device__ void *gq_state(uint32_t bytes);

/* What becomes of the memory when a version with another size or version number takes over: a plugin that defines
 *
 *     __device__ void gq_migrate(const void *old_state, uint32_t old_bytes, uint32_t old_version, void *state)
 *
 * is called once, by one thread, while no message is served, with the memory of the version before and its own, which
 * is zero. The old memory is given up when the new version is live. Without it such a swap is refused. */
struct gq_migrate_none {
};
struct gq_anything {
    template <typename Given> __device__ gq_anything(const Given &);
};
__device__ gq_migrate_none gq_migrate(gq_anything, gq_anything, gq_anything, gq_anything); /* fits less than its own */

/* The message ends here without a result; or it fails with a code of the plugin's own (0 to 65535), is tried again
 * on_error.retries times and then goes to the dead letters. Both are recorded in *out->out_len, as lengths that no
 * mistake leads to: one subtracted from nothing, 0xffffffff, is a result that does not fit. Return after calling one.
 */
#define GQ_LEN_DROPPED 0x80010000u
#define GQ_LEN_FAILED 0x80000000u
__device__ inline void gq_drop(ResultView *out) { *out->out_len = GQ_LEN_DROPPED; }
__device__ inline void gq_fail(ResultView *out, uint32_t code) { *out->out_len = GQ_LEN_FAILED | (code & 0xffffu); }

/* GQ_PARAM(name, default): the value of stages[].params.name in the pipeline file, else the default; a compile-time
 * constant of the type written: an integer, true or false, a floating-point number, or a string literal. */
#define GQ_PARAM_PICK_(first, second, ...) second
#define GQ_PARAM_PICK(...) GQ_PARAM_PICK_(__VA_ARGS__)
#define GQ_PARAM(name, default_value) GQ_PARAM_PICK(GQ_PARAM_##name, default_value, 0)

#endif
