/* cpu.h - inside the CPU backend: blocks of threads that pull batches from lanes and walk them through the stages.
 *
 * What the stages run is a table, which never changes. A swap makes another table and lets one lane after another point
 * at it; a block reads the pointer where it claims a run, under the lane's lock, and serves that run with that table to
 * the end. So of each lane the messages below some number met the old table, and those above it the new one.
 *
 *   lane.table ----> table 7   <---- block.uses (0: this block serves nothing)
 *   lane.table ----> table 7
 *                    table 6   <---- block.uses   a run that was claimed before: table 6 is freed after it
 *
 * While a canary is on, lanes lead to its table too. Messages of a lane are then shared out by runs of
 * GQ_CPU_CANARY_RUN, as a hash of the run says, and no claim goes beyond such a run: it has one table.
 */
#ifndef GQ_BACKEND_CPU_H
#define GQ_BACKEND_CPU_H

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include "backend/backend.h"

/* A version of a stage's code, loaded. */
struct gq_cpu_version {
    struct gq_cpu_version *next; /* of the same stage */
    void *object;
    const struct gq_cpu_image *image;
    uint32_t number;
    bool discarded; /* unloaded when no table has it */
};

/* What a plugin asked for with GQ_STATE. One that another took the place of is freed when no table has it. */
struct gq_cpu_state {
    struct gq_cpu_state *next;
    uint32_t bytes, version;
    uint8_t *memory; /* the first line that begins in `room`: as plugin.h promises, and a GPU gives */
    uint8_t room[];
};

/* What outlives the versions of a stage. For the control thread alone. */
struct gq_cpu_stage {
    char name[64];
    struct gq_cpu_version *versions, *live;
    struct gq_cpu_state *states, *state; /* all that is not freed; the stage's own, NULL: no version had any */
};

/* What a block runs. */
struct gq_cpu_step {
    const struct gq_cpu_image *image; /* NULL: none */
    void *state;
};
struct gq_cpu_table {
    struct gq_cpu_table *next; /* an older one */
    uint32_t generation;       /* the highest of its steps */
    uint64_t below;            /* a canary's: its are the runs whose hash is lower */
    struct gq_cpu_step source, stage[GQ_STAGES_MAX];
};

/* A lane as all blocks share it. Claiming is by one block at a time. */
struct gq_cpu_lane {
    struct gq_lane_view view;
    bool generated;
    uint64_t first_index;
    uint64_t mixed, end;                   /* of a gq_lane_range */
    _Alignas(GQ_LINE_BYTES) uint32_t busy; /* a block is claiming, or the control thread holds the lane */
    uint64_t next;                         /* first seq not claimed by any block */
    const struct gq_cpu_table *table;      /* for the next run; under `busy` */
    const struct gq_cpu_table *canary;     /* for a share of the runs; under `busy`; NULL: there is none */
};

struct gq_cpu_grid;

struct gq_cpu_block {
    _Alignas(GQ_LINE_BYTES) struct gq_cpu_grid *grid;
    uint32_t index;
    pthread_t thread;
    struct gq_crumb *crumb;
    /* Atomic: the table of the run that this block has claimed. Set before the claim ends, so whoever takes the lane's
     * lock afterwards sees it; 0 once the block is done with table and images. */
    const struct gq_cpu_table *uses;
    uint8_t *scratch[2]; /* grid->batch slots each, between stages; NULL where one stage needs none */
    void *signal_stack;
    uint64_t ns_a_message; /* a moving mean, to keep batches short in time */
    uint32_t turn;         /* lane to look at first */
    uint32_t pressure;     /* full batches in a row */
    struct gq_cpu_msg msgs[GQ_BATCH_MAX];
};

/* A version that serves beside the live one of its stage. */
struct gq_cpu_canary {
    struct gq_cpu_table *table; /* one of those behind the newest; NULL: there is no canary */
    const struct gq_cpu_stage *stage;
    const struct gq_cpu_version *version;
};

struct gq_cpu_grid {
    struct gq_backend_setup setup;
    uint32_t stride, batch; /* bytes between slots; messages a block holds at a time */
    struct gq_cpu_stage source, stage[GQ_STAGES_MAX];
    uint32_t stage_count;
    struct gq_cpu_table *table; /* the newest, and behind it a canary's and those that blocks may still use */
    struct gq_cpu_canary canary;
    struct gq_cpu_lane *lane[GQ_LANES_MAX];
    uint32_t lane_count; /* atomic: grows while blocks run */
    struct gq_cpu_block *block;
    uint32_t block_count, started;
    uint32_t running; /* atomic: threads that have not left */
    uint32_t stop;    /* atomic; the host's stop word says the same */
};

/* A lane's lock: held for moments by blocks, for the time of a migration by the control thread. */
static inline bool gq_cpu_lane_try(struct gq_cpu_lane *lane)
{
    return __atomic_exchange_n(&lane->busy, 1, __ATOMIC_ACQUIRE) == 0;
}
static inline void gq_cpu_lane_leave(struct gq_cpu_lane *lane) { __atomic_store_n(&lane->busy, 0, __ATOMIC_RELEASE); }
static inline void gq_cpu_lane_enter(struct gq_cpu_lane *lane)
{
    while (!gq_cpu_lane_try(lane))
        sched_yield();
}

#define GQ_CPU_CANARY_RUN 64u /* messages of a lane that are all the canary's, or none */

/* Is this message the canary's? Of a lane's messages always the same ones are, whichever block claims them. The hash is
 * one step of splitmix64: runs that follow each other, and those of other lanes, fall anywhere. */
static inline bool gq_cpu_canary_has(const struct gq_cpu_table *canary, uint32_t lane, uint64_t seq)
{
    uint64_t h = (seq / GQ_CPU_CANARY_RUN + 1) * 0x9e3779b97f4a7c15u ^ (uint64_t)lane << 32;
    h = (h ^ h >> 30) * 0xbf58476d1ce4e5b9u;
    h = (h ^ h >> 27) * 0x94d049bb133111ebu;
    return (h ^ h >> 31) >> 32 < canary->below;
}

/* cpu_load.c */
gq_status gq_cpu_load(int fd, enum gq_image_kind kind, uint32_t number, struct gq_cpu_version **out);
void gq_cpu_unload(struct gq_cpu_version *version); /* takes NULL */

/* cpu_table.c: all by the control thread. */
/* Another table with the steps of the newest one, in no list yet: free() frees it. */
gq_status gq_cpu_table_copy(const struct gq_cpu_grid *grid, uint32_t generation, struct gq_cpu_table **out);
/* It is the newest from here on, and every lane's, which ends a canary: lanes are taken one after another, or, if
 * `held`, are the control thread's already, and are let go. */
void gq_cpu_table_install(struct gq_cpu_grid *grid, struct gq_cpu_table *table, bool held);
/* Every lane leads to it too from here on, for the runs that are below table->below. */
void gq_cpu_table_install_canary(struct gq_cpu_grid *grid, struct gq_cpu_table *table);
/* Does no block hold a message? */
bool gq_cpu_blocks_idle(const struct gq_cpu_grid *grid);
/* Frees what no block can come to any more: tables, discarded versions, memory that other memory took the place of. */
void gq_cpu_sweep(struct gq_cpu_grid *grid);
/* A stage (or source) begins with this version, which it takes. Before start. */
gq_status gq_cpu_begin(struct gq_cpu_grid *grid, struct gq_cpu_stage *stage, struct gq_cpu_version *version,
                       const struct gq_backend_image *image);
void gq_cpu_stage_finish(struct gq_cpu_stage *stage);

/* cpu_state.c */
/* The memory with which `image` is to run: *next, which is the stage's own, or new and in no list yet. *migrate: its
 * bytes have to be made from the stage's own first. */
gq_status gq_cpu_state_plan(const struct gq_cpu_stage *stage, const struct gq_cpu_image *image, bool fresh,
                            struct gq_cpu_state **next, bool *migrate);
/* Can `image` run beside the live version, with the stage's own memory? GQ_ERR_PLUGIN says why not. */
gq_status gq_cpu_state_share(const struct gq_cpu_stage *stage, const struct gq_cpu_image *image);
/* Runs the image's gq_migrate, while no block does anything; ends the process if it does not come back. */
gq_status gq_cpu_state_migrate(struct gq_cpu_grid *grid, const struct gq_cpu_stage *stage,
                               const struct gq_cpu_image *image, struct gq_cpu_state *to);

/* cpu_swap.c: of the ops table. */
gq_status gq_cpu_swap(struct gq_backend *backend, int fd, const struct gq_backend_image *image,
                      struct gq_swap_times *times);
gq_status gq_cpu_canary(struct gq_backend *backend, int fd, const struct gq_backend_image *image,
                        struct gq_swap_times *times);
gq_status gq_cpu_use(struct gq_backend *backend, const struct gq_backend_image *image, struct gq_swap_times *times);
gq_status gq_cpu_discard(struct gq_backend *backend, uint32_t stage, uint32_t version);

/* cpu_block.c: one block's life, a pthread start routine; takes a struct gq_cpu_block. */
void *gq_cpu_block_main(void *block);

/* cpu_fault.c: a fault signal leaves its name and address in the thread's crumb, then ends the process as it would
 * have. */
gq_status gq_cpu_fault_install(void);
/* Gives the calling thread a stack for signal handlers and says which crumb is its own; NULL: none. */
gq_status gq_cpu_fault_thread(struct gq_crumb *crumb, void **stack);
void gq_cpu_fault_thread_end(void *stack);
/* Ends the process with a sentence, on behalf of the block that runs on this thread. */
void gq_cpu_fault_set_die(void (*die)(const char *sentence));
void gq_cpu_die(const char *sentence);

#endif
