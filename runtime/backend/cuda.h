/* cuda.h - inside the CUDA backend: one context, one persistent grid a step, and a thread that wakes waiting hosts. */
#ifndef GQ_BACKEND_CUDA_H
#define GQ_BACKEND_CUDA_H

#include <pthread.h>
#include <stdbool.h>
#include "backend/backend.h"
#include "backend/cuda_api.h"
#include "backend/cuda_fit.h"
#include "device/grid.h"

#define GQ_CUDA_STEPS_MAX (GQ_STAGES_MAX + 1)

/* One step: a loaded image and its grid. */
struct gq_cuda_step {
    char name[64]; /* of the stage */
    gq_cu_module module;
    gq_cu_function function;
    gq_cu_stream stream;
    gq_cu_ptr state; /* of the plugin, 0: none */
    uint32_t scope, threads, state_bytes;
    uint32_t generation, stage;
    int registers, occupancy; /* blocks of `block_threads` that an SM holds */
    int static_shared;        /* bytes a block, beside shared_bytes */
    uint32_t block_threads;
    uint32_t asked, blocks; /* asked: 0 leaves it to gq_cuda_fit */
    uint32_t staged;        /* stride of slots that a warp keeps in shared memory; 0: it does not */
    uint32_t express;       /* bytes of shared memory for an express message, and for its result */
    uint32_t shared_bytes;  /* what a block needs for both */
    bool launched;
};

/* A lane's memory, to be let go at the end. */
struct gq_cuda_lane {
    void *in, *out; /* registered */
    gq_cu_ptr slots;
};

struct gq_cuda {
    struct gq_backend_setup setup;
    const struct gq_cu_api *cu;
    int device;
    struct gq_fit_device room; /* what the device has */
    gq_cu_context context;
    gq_cu_stream copy;
    gq_cu_ptr host_page, worker_page; /* device addresses of the control pages */
    gq_cu_ptr shared, lanes;          /* struct gq_grid_shared, struct gq_grid_lane[GQ_LANES_MAX] */
    struct gq_cuda_step step[GQ_CUDA_STEPS_MAX];
    uint32_t steps;
    bool has_source;
    struct gq_cuda_lane lane[GQ_LANES_MAX];
    uint32_t lane_count; /* that the grids know */
    uint32_t lanes_held; /* records of `lane` in use: those, and what failed */
    pthread_t bell;
    bool bell_runs;
    uint32_t counted;  /* lanes' results are only counted */
    uint32_t stopping; /* atomic */
};

/* cuda_backend.c: opens the driver's device number setup.device and makes its context current. */
gq_status gq_cuda_take_device(struct gq_cuda *c);

/* cuda_grid.c */
gq_status gq_cuda_load(struct gq_cuda *c, int fd, enum gq_image_kind kind, const struct gq_backend_image *image);
/* Sizes the grids of all steps, so that all run at the same time. */
gq_status gq_cuda_fit(struct gq_cuda *c);
gq_status gq_cuda_launch(struct gq_cuda *c);
void gq_cuda_unload(struct gq_cuda *c);
/* GQ_OK while every grid runs; the sentence says which one ended, and how. */
gq_status gq_cuda_check_grids(struct gq_cuda *c);
/* After the stop word, once all have left: GQ_OK unless one of them left by a fault. */
gq_status gq_cuda_check_left(struct gq_cuda *c);

/* cuda_lane.c */
gq_status gq_cuda_map(struct gq_cuda *c, void *p, size_t bytes, bool read_only, gq_cu_ptr *out);
gq_status gq_cuda_zero(struct gq_cuda *c, gq_cu_ptr to, size_t bytes);
gq_status gq_cuda_add_lane(struct gq_cuda *c, const struct gq_lane_view *view);
void gq_cuda_free_lanes(struct gq_cuda *c);

/* Calls the driver; on failure the sentence names the call. */
#define GQ_CU(c, call) gq_cu_check((c)->cu, (c)->cu->call, #call)

#endif
