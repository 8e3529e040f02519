/* entry.h - the entry of a played image: device/entry_cuda.h with words of a CPU, and a function that runs a block. */
#ifndef GQ_TESTS_PLAYED_ENTRY_H
#define GQ_TESTS_PLAYED_ENTRY_H

#define GQ_DEVICE_WORDS_CUDA_H /* in its place: */
static uint64_t gq_dev_acquire_u64(const uint64_t *p) { return gq_load_acquire_u64(p); }
static uint32_t gq_dev_relaxed_u32(const uint32_t *p) { return gq_load_relaxed_u32(p); }
static uint64_t gq_dev_relaxed_u64(const uint64_t *p) { return gq_load_relaxed_u64(p); }
static void gq_dev_release_u64(uint64_t *p, uint64_t v) { __atomic_store_n(p, v, __ATOMIC_RELEASE); }
static void gq_dev_store_u32(uint32_t *p, uint32_t v) { __atomic_store_n(p, v, __ATOMIC_RELAXED); }
static void gq_dev_release_u32(uint32_t *p, uint32_t v) { __atomic_store_n(p, v, __ATOMIC_RELEASE); }
static void gq_dev_release_pair(uint64_t *p, uint64_t first, uint64_t second)
{
    __atomic_thread_fence(__ATOMIC_RELEASE);
    gq_store_unit(p, first, second);
}
static uint64_t gq_dev_cas_u64(uint64_t *p, uint64_t expected, uint64_t v)
{
    __atomic_compare_exchange_n(p, &expected, v, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
    return expected;
}
static uint64_t gq_dev_add_u64(uint64_t *p, uint64_t v) { return __atomic_fetch_add(p, v, __ATOMIC_RELAXED); }
static uint64_t gq_globaltimer() { return (uint64_t)clock64(); }
static void gq_fence_gpu() { __atomic_thread_fence(__ATOMIC_ACQ_REL); }
static void gq_fence_sys() { __atomic_thread_fence(__ATOMIC_ACQ_REL); }
static uint4 gq_load_once(const uint8_t *p) { return *(const uint4 *)p; }

#include <device/entry_cuda.h>

thread_local uint4 gq_areas[2]; /* of express messages, of which there are none */

struct played_block {
    const gq_grid *grid;
    uint32_t block, blocks;
};

static void played_thread(void *arg)
{
    const played_block *b = static_cast<const played_block *>(arg);
    gq_cpu_thread *self = gq_cpu_now->services->self();
    self->block_idx.x = b->block;
    self->grid_dim.x = b->blocks;
    gq_grid_main(*b->grid);
}

extern "C" __attribute__((visibility("default"))) void played_grid(const gq_grid *grid, uint32_t block, uint32_t blocks,
                                                                   const gq_cpu_services *services,
                                                                   const played_rules *rules)
{
    played_given = services;
    played_services = *services;
    played_services.warp_op = played_warp_op;
    played_services.block_op = played_block_op;
    played_run.services = &played_services;
    gq_cpu_now = &played_run;
    played_by = rules;
    played_block b = {grid, block, blocks};
    services->run_block(played_thread, &b, 32);
}

#endif
