/* image.h - what a compiled CPU image exports, and what it asks of the worker that loads it. C11 and C++17.
 *
 * An image is a shared object made from one plugin and kernel.cu. It exports one object, `gq_cpu_image`; everything
 * it needs from the worker comes through `gq_cpu_services`, so it has no undefined symbol but those of libc and libm.
 */
#ifndef GQ_DEVICE_IMAGE_H
#define GQ_DEVICE_IMAGE_H

#include <stdint.h>
#include <gpuqueue/layout.h>
#include <gpuqueue/version.h>
#include "device/slot.h"

#ifdef __cplusplus
extern "C" {
#endif

#define GQ_CPU_IMAGE_MAGIC 0x494d4751u /* "QGMI" */
#define GQ_CPU_IMAGE_SYMBOL "gq_cpu_image"

/* One message at one stage. `in`/`in_len`/`id` are given; the image fills the rest. For a source image `id` is the
 * index and `in` is NULL. A message whose status is not GQ_RESULT_OK on entry is passed over. */
struct gq_cpu_msg {
    const uint8_t *in;
    uint8_t *out;
    uint64_t id;
    uint32_t in_len;
    uint32_t out_len;
    uint32_t status; /* GQ_RESULT_* */
    uint32_t code;   /* of gq_fail() */
    uint32_t stage;  /* that made `status` other than GQ_RESULT_OK */
    uint32_t tries;  /* attempts so far beyond the first, over all stages: the image adds its own */
};

/* What a logical CUDA thread knows of itself. Lives in the worker; the image reads it through services->self(). */
struct gq_cpu_dim3 {
    unsigned x, y, z;
};
struct gq_cpu_thread {
    struct gq_cpu_dim3 thread_idx, block_idx, block_dim, grid_dim;
};

enum gq_cpu_warp_op {
    GQ_CPU_SYNCWARP,
    GQ_CPU_SHFL,      /* arg: source lane */
    GQ_CPU_SHFL_UP,   /* arg: delta */
    GQ_CPU_SHFL_DOWN, /* arg: delta */
    GQ_CPU_SHFL_XOR,  /* arg: lane mask */
    GQ_CPU_BALLOT,
    GQ_CPU_ANY,
    GQ_CPU_ALL,
    GQ_CPU_MATCH_ANY,
    GQ_CPU_MATCH_ALL,
    GQ_CPU_REDUCE_ADD,
    GQ_CPU_REDUCE_MIN_U,
    GQ_CPU_REDUCE_MAX_U,
    GQ_CPU_REDUCE_MIN_S,
    GQ_CPU_REDUCE_MAX_S,
    GQ_CPU_REDUCE_AND,
    GQ_CPU_REDUCE_OR,
    GQ_CPU_REDUCE_XOR
};

enum gq_cpu_block_op { GQ_CPU_SYNCTHREADS, GQ_CPU_SYNC_COUNT, GQ_CPU_SYNC_AND, GQ_CPU_SYNC_OR };

/* The worker's side. Every function is called on the OS thread that called gq_cpu_image.run, from within it. `file` and
 * `line` name the user's line and are kept by pointer: string literals. */
struct gq_cpu_services {
    /* Runs entry(arg) once for each of `threads` logical threads of one block, returning when all have returned.
     * Threads run one after another on the caller's stack; one takes a stack of its own only when it waits. */
    void (*run_block)(void (*entry)(void *arg), void *arg, unsigned threads);
    struct gq_cpu_thread *(*self)(void);
    /* Waits until every thread of the block is here; returns the count, AND or OR of `value` for the ops that have one.
     */
    uint64_t (*block_op)(enum gq_cpu_block_op op, uint64_t value, const char *file, int line);
    /* Waits until every lane of `mask` is here. `pred` is set for MATCH_ALL. Values of up to 8 bytes, zero-extended. */
    uint64_t (*warp_op)(enum gq_cpu_warp_op op, uint32_t mask, uint64_t value, uint32_t arg, uint32_t width, int *pred,
                        const char *file, int line);
    uint32_t (*active_mask)(void);
    /* assert() and __trap() of device code, and uses the CPU backend cannot serve: ends the worker with a sentence. */
    void (*die)(const char *what, const char *file, int line);
};

/* One call: `count` messages, in order, by one block. */
struct gq_cpu_run {
    struct gq_cpu_msg *msgs;
    uint32_t count;
    uint32_t stage, generation; /* for the result's meta word */
    const struct gq_lane_view
        *lane;          /* the last stage: publish each message, whatever its status, with gq_slot_finish() */
    uint64_t first_seq; /* as soon as it has been served; seq of msgs[0]. NULL at the stages before it */
    uint32_t out_cap;   /* bytes behind each out */
    uint32_t retries;   /* further attempts of a message that fails */
    uint32_t block, blocks;
    struct gq_crumb *crumb; /* `current` is written before each message */
    void *state;            /* image->state_bytes, shared by all blocks; NULL if 0 */
    const struct gq_cpu_services *services;
};

enum gq_image_kind { GQ_IMAGE_STAGE = 0, GQ_IMAGE_SOURCE = 1 };

struct gq_cpu_image {
    uint32_t magic;      /* GQ_CPU_IMAGE_MAGIC */
    uint32_t plugin_abi; /* GQ_PLUGIN_ABI */
    uint32_t kind;       /* enum gq_image_kind */
    uint32_t scope;      /* 0 thread, 1 warp, 2 block */
    uint32_t threads;    /* threads that serve one message */
    uint32_t state_bytes, state_version;
    uint32_t msg_view_bytes, result_view_bytes; /* layout witnesses: sizeof MsgView, sizeof ResultView */
    uint32_t migrates;                          /* 1: it takes over the memory of another state version */
    void (*run)(const struct gq_cpu_run *run);
    /* NULL unless it migrates. One call, on one thread, while no message is served. */
    void (*migrate)(const void *old_state, uint32_t old_bytes, uint32_t old_version, void *state,
                    const struct gq_cpu_services *services);
};

#ifdef __cplusplus
}
#endif

#endif
