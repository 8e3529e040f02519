/* cpu.h - inside the CPU backend: blocks of threads that pull batches from lanes and walk them through the stages. */
#ifndef GQ_BACKEND_CPU_H
#define GQ_BACKEND_CPU_H

#include <pthread.h>
#include <stdbool.h>
#include "backend/backend.h"

/* A loaded image, and the state that its plugin keeps. */
struct gq_cpu_loaded {
    void *object;
    const struct gq_cpu_image *image; /* NULL: none */
    void *state;
    uint32_t generation;
};

/* A lane as all blocks share it. Claiming is by one block at a time. */
struct gq_cpu_lane {
    struct gq_lane_view view;
    bool generated;
    uint64_t first_index;
    _Alignas(GQ_LINE_BYTES) uint32_t busy; /* a block is claiming */
    uint64_t next;                         /* first seq not claimed by any block */
};

struct gq_cpu_grid;

struct gq_cpu_block {
    _Alignas(GQ_LINE_BYTES) struct gq_cpu_grid *grid;
    uint32_t index;
    pthread_t thread;
    struct gq_crumb *crumb;
    uint8_t *scratch[2]; /* grid->batch slots each, between stages; NULL where one stage needs none */
    void *signal_stack;
    uint64_t ns_a_message; /* a moving mean, to keep batches short in time */
    uint32_t turn;         /* lane to look at first */
    uint32_t pressure;     /* full batches in a row */
    struct gq_cpu_msg msgs[GQ_BATCH_MAX];
};

struct gq_cpu_grid {
    struct gq_backend_setup setup;
    uint32_t stride, batch; /* bytes between slots; messages a block holds at a time */
    struct gq_cpu_loaded source;
    struct gq_cpu_loaded stage[GQ_STAGES_MAX];
    uint32_t stage_count;
    struct gq_cpu_lane *lane[GQ_LANES_MAX];
    uint32_t lane_count; /* atomic: grows while blocks run */
    struct gq_cpu_block *block;
    uint32_t block_count, started;
    uint32_t stop; /* atomic; the host's stop word says the same */
};

/* cpu_load.c */
gq_status gq_cpu_load(int fd, enum gq_image_kind kind, uint32_t generation, struct gq_cpu_loaded *out);
void gq_cpu_unload(struct gq_cpu_loaded *loaded);

/* cpu_block.c: one block's life, a pthread start routine; takes a struct gq_cpu_block. */
void *gq_cpu_block_main(void *block);

/* cpu_fault.c: a fault signal leaves its name and address in the thread's crumb, then ends the process as it would
 * have. */
gq_status gq_cpu_fault_install(void);
/* Gives the calling thread a stack for signal handlers and says which crumb is its own. */
gq_status gq_cpu_fault_thread(struct gq_crumb *crumb, void **stack);
void gq_cpu_fault_thread_end(void *stack);
/* Ends the process with a sentence, on behalf of the block that runs on this thread. */
void gq_cpu_fault_set_die(void (*die)(const char *sentence));
void gq_cpu_die(const char *sentence);

#endif
