/* cuda.h - inside the CUDA backend: one context, one persistent grid a step, and a thread that wakes waiting hosts. */
#ifndef GQ_BACKEND_CUDA_H
#define GQ_BACKEND_CUDA_H

#include <pthread.h>
#include <stdbool.h>
#include "backend/backend.h"
#include "backend/cuda_api.h"
#include "backend/cuda_fit.h"
#include "backend/cuda_xid.h"
#include "base/thread.h"
#include "device/grid.h"
#include "ring/head.h"

#define GQ_CUDA_STEPS_MAX (GQ_STAGES_MAX + 1)
#define GQ_CUDA_IN_ORDER UINT32_MAX /* no step's grid is launched behind those of later steps */
#define GQ_CUDA_STREAMS_MAX 3u /* of a step: two with grids that may hold a message, and one for those beside them */

/* A loaded image: one version of a step. */
struct gq_cuda_image {
    struct gq_cuda_image *next; /* of the step, newest first */
    uint32_t version;
    bool discarded; /* unloaded when nothing runs */
    gq_cu_library library;
    gq_cu_function function; /* NULL: its code is not on the device yet */
    bool launched;           /* its function was, and needs nothing more that would wait for others */
    uint32_t percent;        /* as its function was last told to divide an SM's memory; 0: it was not */
    bool migrates;
    uint32_t scope, threads, state_bytes, state_version;
    uint32_t registers;     /* of a thread */
    uint32_t static_shared; /* bytes a block, beside shared_bytes */
    uint32_t block_threads;
    uint32_t asked, blocks; /* asked: 0 leaves it to gq_cuda_fit */
    uint32_t staged;        /* stride of slots that a warp keeps in shared memory; 0: it does not */
    uint32_t express;       /* bytes of shared memory for an express message, and for its result */
    uint32_t shared_bytes;  /* what a block needs for both */
};

/* Memory of a plugin, which a step keeps while its images change. */
struct gq_cuda_state {
    gq_cu_ptr at; /* 0: none */
    uint32_t bytes, version;
};

/* A stream of a step: a grid in it starts when the one before has left. */
struct gq_cuda_stream {
    gq_cu_stream at; /* NULL: not made yet */
    uint32_t launch; /* of the newest grid in it; 0: it is known to be empty */
};

/* One step: the image that runs, and its grid. Beside it, while a message is held that a change waited for in vain,
 * there are blocks that were told to leave, and the grid has that many blocks fewer. */
struct gq_cuda_step {
    char name[64]; /* of the stage */
    struct gq_cuda_image *images, *live;
    struct gq_cuda_state state;
    uint32_t generation, stage;
    struct gq_cuda_stream stream[GQ_CUDA_STREAMS_MAX];
    uint32_t launch;          /* of the newest grid; 0: none yet */
    uint32_t told;            /* grids up to this launch were told to leave */
    uint32_t blocks_launched; /* of all grids so far */
    uint32_t blocks_told;     /* of those that were told to leave */
    uint32_t extra;           /* of these, how many the whole grid was launched beside */
};

/* A second image of a step, with a grid of its own, which serves some of the lanes. */
struct gq_cuda_canary {
    struct gq_cuda_image *image; /* NULL: there is none; one of the step's */
    uint32_t step, generation;
    gq_cu_stream stream;
    bool launched;
};

/* What is to be given back when nothing runs, for giving back waits for grids. */
struct gq_cuda_trash {
    struct gq_cuda_trash *next;
    gq_cu_ptr memory;
};

/* A lane's memory, to be let go at the end. */
struct gq_cuda_lane {
    void *in, *out; /* registered */
    gq_cu_ptr slots;
    struct gq_cuda_sources *sources; /* of copies that nobody has waited for */
};

/* A lane as the bell's thread looks at it. */
struct gq_cuda_seen {
    struct gq_lane_view view; /* the host's addresses */
    gq_cu_ptr hop, express;   /* between steps: gq_grid_lane's */
    gq_cu_ptr packs;          /* 0: packs are not told */
    struct gq_head head;
    uint64_t walked;      /* counted lanes: messages below it have left the last step */
    struct gq_unit found; /* the run that the page shows; zero: none */
    uint32_t step;        /* that is inside of it */
    uint32_t canary;      /* atomic, 1: the canary's grid serves the lane */
};

/* What is known of an event on a stream that nothing else uses. Streams may share a way to the device: beside some
 * grids it might wait for them, and would then tell nothing. */
enum gq_pulse_is {
    GQ_PULSE_UNKNOWN, /* grids were launched since */
    GQ_PULSE_TRIED,   /* recorded, to see that it comes */
    GQ_PULSE_KNOWN,   /* it came beside these grids */
    GQ_PULSE_ASKED,   /* recorded after an Xid */
};

/* A thread that calls the driver, as NVML's thread looks at it. */
struct gq_cuda_caller {
    struct gq_thread_id thread; /* written before it is inside for the first time */
    uint64_t inside_ns; /* atomic: since when it is inside of the driver, which never keeps it for long; 0: it is not */
    bool reads;         /* atomic: code, which takes longer the more there is of it */
    uint64_t found_ns;  /* `inside_ns`, as it was seen last, */
    uint32_t looks;     /* before that, which had seen the same; not those at which it had no processor */
    uint64_t ran_ns;    /* what it had had of processors by then */
};

struct gq_cuda_pulse {
    gq_cu_stream stream;
    gq_cu_event event;
    enum gq_pulse_is is;
    uint32_t asked;    /* gq_xid_count() when the event was recorded */
    uint64_t deadline; /* for the event; 0: to be set at the next look. The bell's */
    uint32_t locks;    /* atomic: the bell has `grids` */
    uint32_t judged;   /* atomic: Xids of which it is known that they were somebody else's */
    struct gq_cuda_caller bell, change;
};

/* What serves a step, in one word for the bell's thread. */
#define GQ_CUDA_SERVES(generation, scope) ((uint64_t)(generation) << 32 | (scope))
#define GQ_CUDA_SERVES_GENERATION(word) ((uint32_t)((word) >> 32))
#define GQ_CUDA_SERVES_SCOPE(word) ((uint32_t)(word))

struct gq_cuda {
    struct gq_backend_setup setup;
    const struct gq_cu_api *cu;
    int device;
    struct gq_fit_device room; /* what the device has */
    gq_cu_context context;
    gq_cu_stream copy, look;          /* `look` is the bell's */
    gq_cu_ptr host_page, worker_page; /* device addresses of the control pages */
    gq_cu_ptr shared, lanes;          /* struct gq_grid_shared, struct gq_grid_lane[GQ_LANES_MAX] */
    struct gq_cuda_step step[GQ_CUDA_STEPS_MAX];
    uint32_t steps;
    struct gq_cuda_canary canary;
    uint32_t percent; /* as the images of a row of steps divide an SM's memory; 0: they do not say */
    uint32_t last;    /* the step whose grid is launched behind all others; GQ_CUDA_IN_ORDER */
    bool has_source;
    bool running; /* grids do, or are about to; under `grids` */
    struct gq_cuda_lane lane[GQ_LANES_MAX];
    struct gq_cuda_seen seen[GQ_LANES_MAX]; /* by their place in `lanes` */
    uint64_t serves[2][GQ_CUDA_STEPS_MAX];  /* atomic; GQ_CUDA_SERVES, of the step and of its canary */
    uint32_t lane_count;                    /* that the grids know; atomic */
    uint32_t lanes_held;                    /* records of `lane` in use: those, and what failed */
    struct gq_cuda_trash *trash;
    pthread_mutex_t grids;      /* who changes which grids run, and the bell's look at them */
    struct gq_cuda_pulse pulse; /* under `grids`, but for its deadline */
    pthread_t bell;
    bool bell_runs;
    bool copies;       /* for lanes, that nobody has waited for */
    uint32_t counted;  /* lanes' results are only counted */
    bool old;          /* a lane has messages that came before this worker */
    uint32_t rounds;   /* of the bell */
    uint32_t stopping; /* atomic */
    int lost;          /* atomic: the driver's error that it has not told of yet; 0: none */
};

/* cuda_backend.c: opens the driver's device number setup.device and makes its context current. */
gq_status gq_cuda_take_device(struct gq_cuda *c);
/* The device, or what runs there, cannot go on: the worker ends with the error's sentence. Does not return. */
void gq_cuda_die(struct gq_cuda *c);
/* The bell's thread: waits for the copies that it put on `look`, and rings on if they take long. The driver's error. */
int gq_cuda_await_look(struct gq_cuda *c);

/* cuda_image.c */
/* Reads an image and measures what its blocks take; grids may run. It becomes the newest of the step. */
gq_status gq_cuda_image_open(struct gq_cuda *c, struct gq_cuda_step *step, const struct gq_backend_image *image,
                             struct gq_cuda_image **out);
/* Nothing runs: its code goes to the device, with what it takes to launch it beside grids of other steps. */
gq_status gq_cuda_image_load(struct gq_cuda *c, const struct gq_cuda_step *step, struct gq_cuda_image *image);
gq_status gq_cuda_load_step(struct gq_cuda *c, const struct gq_backend_image *image, enum gq_image_kind kind);
/* Nothing runs: unloads discarded images, and what else waited for that. */
void gq_cuda_sweep(struct gq_cuda *c);
void gq_cuda_unload(struct gq_cuda *c);

/* cuda_grid.c */
/* Nothing runs: of the lanes, `canary` are the canary's, evenly chosen, and the others are not. */
gq_status gq_cuda_share_lanes(struct gq_cuda *c, uint32_t canary);
/* Sizes the grids of all live images, and the canary's, so that all run at the same time. On failure sizes stay as they
 * were. *percent is how they then divide an SM's memory. */
gq_status gq_cuda_fit(struct gq_cuda *c, uint32_t *percent);
/* Do grids of these sizes fit, too, and divide an SM's memory so, if this step's is launched last? */
bool gq_cuda_fits_last(const struct gq_cuda *c, uint32_t step, uint32_t percent);
/* Nothing runs: all live images, and the canary's, divide an SM's memory so. On failure some do. */
gq_status gq_cuda_divide(struct gq_cuda *c, uint32_t percent);
/* Nothing runs: the grids of all steps, and the canary's. All of them, or none: what was launched before a launch that
 * failed has left again, or the worker ends. */
gq_status gq_cuda_launch(struct gq_cuda *c);
/* Is the step's grid in one stream, and nothing else of it there? */
bool gq_cuda_is_alone(const struct gq_cuda_step *s);
/* The live image's grid, behind the one that runs, which is told to leave later. */
gq_status gq_cuda_launch_behind(struct gq_cuda *c, uint32_t step);
/* Orders grids to leave between two messages, and waits: all steps, or one. GQ_ERR_PLUGIN: one holds a message for
 * longer than five seconds; then the live images serve on. */
gq_status gq_cuda_park(struct gq_cuda *c);
/* Of one step whose new grid was launched behind the old one. GQ_ERR_PLUGIN: then both were told to leave, the new one
 * without serving a message, and gq_cuda_launch_beside() is to be called with the image that is live again. */
gq_status gq_cuda_park_behind(struct gq_cuda *c, uint32_t step);
/* The live image serves beside blocks of the step that were told to leave, `waiting` of which have not started yet:
 * with all its blocks where there is room, else with as many as have left; the others follow. */
gq_status gq_cuda_launch_beside(struct gq_cuda *c, uint32_t step, uint32_t waiting);
/* Launches what is missing of grids whose room has become free. Under `grids`, beside changes. */
gq_status gq_cuda_top_up(struct gq_cuda *c);
/* Nothing runs: the canary's grid is not launched again. */
gq_status gq_cuda_end_canary(struct gq_cuda *c);
/* Does any grid run? */
bool gq_cuda_grids_left(const struct gq_cuda *c);
/* GQ_OK while every grid runs; the sentence says which one ended, and how. */
gq_status gq_cuda_check_grids(struct gq_cuda *c);
/* After the stop word, once all have left: GQ_OK unless one of them left by a fault. */
gq_status gq_cuda_check_left(struct gq_cuda *c);

/* cuda_pulse.c */
gq_status gq_cuda_pulse_open(struct gq_cuda *c);
void gq_cuda_pulse_close(struct gq_cuda *c);
/* Grids were launched: does an event come beside them? Under `grids`. */
void gq_cuda_pulse_try(struct gq_cuda *c);
/* Until it is known, or for as long as no event takes. Under `grids`. */
gq_status gq_cuda_pulse_await(struct gq_cuda *c);
/* Somebody changes the grids: silence counts from the next look on. */
void gq_cuda_pulse_wait(struct gq_cuda *c);
/* Grids run, under `grids`: GQ_OK unless an Xid was told of and the device has been silent since. Does not wait. */
gq_status gq_cuda_pulse_look(struct gq_cuda *c);

/* Nothing runs that a fault could have stopped. */
void gq_cuda_pulse_rest(struct gq_cuda *c);
/* The caller is about to call the driver, for no longer than a moment, or to call it again; it has come back. */
void gq_cuda_enter(struct gq_cuda_caller *caller);
void gq_cuda_leave(struct gq_cuda_caller *caller);
/* By NVML's thread: do the bell, and a change, come back from the driver, after an Xid? */
void gq_cuda_pulse_watch(void *cuda);

/* cuda_run.c */
/* Tells in the worker's page what each lane that stands still is inside of, and whether any moves. By one thread,
 * beside all others. */
void gq_cuda_show_runs(struct gq_cuda *c);

/* cuda_state.c */
/* What the step's memory will be under an image: its own, another that is zero, or (*migrate) another to be filled by
 * the image's gq_migrate. GQ_ERR_PLUGIN: it cannot take over what is there. */
gq_status gq_cuda_state_plan(struct gq_cuda *c, const struct gq_cuda_step *step, const struct gq_cpu_image *info,
                             bool fresh, struct gq_cuda_state *next, bool *migrate);
/* Nothing runs. */
gq_status gq_cuda_state_migrate(struct gq_cuda *c, const struct gq_cuda_image *image, const struct gq_cuda_state *from,
                                const struct gq_cuda_state *to);
/* Given back as soon as nothing runs. */
void gq_cuda_state_drop(struct gq_cuda *c, gq_cu_ptr memory);

/* cuda_swap.c: backend.h has the contracts. */
gq_status gq_cuda_swap(struct gq_backend *backend, int fd, const struct gq_backend_image *image,
                       struct gq_swap_times *times);
gq_status gq_cuda_canary(struct gq_backend *backend, int fd, const struct gq_backend_image *image,
                         struct gq_swap_times *times);
gq_status gq_cuda_use(struct gq_backend *backend, const struct gq_backend_image *image, struct gq_swap_times *times);
gq_status gq_cuda_discard(struct gq_backend *backend, uint32_t stage, uint32_t version);

/* cuda_lane.c */
/* Nothing runs. */
gq_status gq_cuda_map(struct gq_cuda *c, void *p, size_t bytes, bool read_only, gq_cu_ptr *out);
/* Beside grids; what is read of `from` was read when it returns. */
gq_status gq_cuda_copy_in(struct gq_cuda *c, gq_cu_ptr to, const void *from, size_t bytes);
gq_status gq_cuda_zero(struct gq_cuda *c, gq_cu_ptr to, size_t bytes);
/* Waits for copies that nobody has waited for, and frees what they read: those of lanes that were added while nothing
 * runs. Beside what ends, and fills the device, each wait is for its turn there. */
gq_status gq_cuda_copied(struct gq_cuda *c);
/* A lane, or those of its messages that `range` names: then the host has put all of them into their slots. */
gq_status gq_cuda_add_lane(struct gq_cuda *c, const struct gq_lane_view *view, const struct gq_lane_range *range);
/* So many of the first lanes are the grids' from here on. Does not wait. */
gq_status gq_cuda_show_lanes(struct gq_cuda *c, uint32_t count);
/* Grids that are launched now may meet messages that came before this worker. */
bool gq_cuda_meets_old(const struct gq_cuda *c);
void gq_cuda_free_lanes(struct gq_cuda *c);

/* Calls the driver; on failure the sentence names the call. */
#define GQ_CU(c, call) gq_cu_check((c)->cu, (c)->cu->call, #call)

#endif
