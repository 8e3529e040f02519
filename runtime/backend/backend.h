/* backend.h - what a device must be able to do, for those who implement one. Runs in the worker process only.
 *
 * One backend, one control thread: every call below is made by the worker's control thread, one at a time. All may
 * block except where noted. On failure a call has set the error sentence and left the backend as it was.
 */
#ifndef GQ_BACKEND_BACKEND_H
#define GQ_BACKEND_BACKEND_H

#include <stdbool.h>
#include "base/error.h"
#include "base/text.h"
#include "device/image.h"
#include "device/slot.h"
#include "ring/link.h"
#include "ring/packets.h"

struct gq_backend; /* each backend's own */

struct gq_backend_setup {
    struct gq_link *link; /* outlives the backend */
    uint32_t device, threads, capacity, slot_bytes, retries;
    uint32_t poll;    /* GQ_GRID_ADAPTIVE, ...: how those wait who have nothing to do */
    uint32_t look_ms; /* how often the host looks at crumbs */
    bool journal;     /* lanes with messages that came before this worker may be added while it runs */
    bool single;      /* one message at a time, whatever `threads` and the images say */
    /* Called at most once, from any thread, when the device or a plugin cannot go on; does not return. */
    void (*die)(const char *sentence);
};

/* Messages that one block holds at a time: fewer when they are large, so that what lies between two stages stays small.
 */
#define GQ_BATCH_BYTES (4u << 20)
static inline uint32_t gq_batch_messages(uint32_t stride)
{
    uint32_t most = GQ_BATCH_BYTES / stride;
    return most == 0 ? 1 : most < GQ_BATCH_MAX ? most : GQ_BATCH_MAX;
}

/* Machine code for a device, and what it says of itself. */
struct gq_backend_code {
    struct gq_text bytes;
    struct gq_cpu_image info;
    uint32_t registers, shared_bytes; /* of a thread; of a block */
};

/* What an image is to be, beside its bytes. */
struct gq_backend_image {
    const char *name;    /* of the stage, for sentences; not kept by pointer */
    uint32_t stage;      /* for swap: which one; for load_stage it is the next */
    uint32_t version;    /* of the stage; no two of one stage are the same */
    uint32_t generation; /* of the change: results of messages that meet this image carry it, or a higher one */
    uint32_t blocks;     /* of its grid; 0: as many as are of use and fit. The CPU backend has no grids. */
    uint32_t share;      /* for canary: of a million messages, how many */
    bool fresh;          /* for swap: the stage's memory is zero again */
    const struct gq_backend_code *code; /* of the descriptor's bytes; NULL for a backend that does not ask for it */
};

struct gq_backend_ops {
    const char *name;
    bool reads_code; /* images come with their `code` */
    bool naps;       /* requests are to find a processor that was awake lately */
    /* Takes the device. Nothing runs yet. */
    gq_status (*open)(const struct gq_backend_setup *setup, struct gq_backend **out);
    /* Loads the source's image, or the image of the next stage, from `fd`, which stays the caller's. Before start only.
     */
    gq_status (*load_source)(struct gq_backend *backend, int fd, const struct gq_backend_image *image);
    gq_status (*load_stage)(struct gq_backend *backend, int fd, const struct gq_backend_image *image);
    /* All images are loaded, and nothing runs: can they run together? GQ_ERR_PLUGIN says with numbers why not. NULL:
     * they always can. */
    gq_status (*fit)(struct gq_backend *backend);
    /* Serves one more lane, or those of its messages that `range` names; before start or while running. The memory
     * behind `view` outlives the backend. GQ_ERR_UNAVAILABLE: it serves whole lanes only. */
    gq_status (*add_lane)(struct gq_backend *backend, const struct gq_lane_view *view,
                          const struct gq_lane_range *range);
    /* Messages flow from here on. */
    gq_status (*start)(struct gq_backend *backend);
    /* Nothing runs when it returns; start() goes on where it stopped. */
    gq_status (*pause)(struct gq_backend *backend);
    /* Loads another image for a stage and makes it live, running or paused: of each lane, messages from some sequence
     * on meet it, and those below met the one before, which stays loaded. The stage's memory is kept: zeroed if
     * `fresh`, taken over as it is if both declare the same size and version, else handed to the image's gq_migrate;
     * an image that has none was refused before. On failure the image before is live, and serves. Returns when the new
     * one serves; messages that met the old one may still be with it. */
    gq_status (*swap)(struct gq_backend *backend, int fd, const struct gq_backend_image *image,
                      struct gq_swap_times *times);
    /* Loads another image for a stage and gives it image->share of a million messages, beside the live one, which keeps
     * the others: some of a lane's, in runs, or all those of some lanes; times->share is how many it really gets. Both
     * have the stage's memory, so one that cannot take it over as it is is refused. use() of either version makes it
     * the only one. One at a time, while running. NULL: it has none. */
    gq_status (*canary)(struct gq_backend *backend, int fd, const struct gq_backend_image *image,
                        struct gq_swap_times *times);
    /* The same with a version that is loaded: `image` has its stage, version and generation. GQ_ERR_NOT_FOUND: it is
     * not. */
    gq_status (*use)(struct gq_backend *backend, const struct gq_backend_image *image, struct gq_swap_times *times);
    /* A version that is not live will not be used again: it is unloaded when nothing holds it, which may be later.
     * GQ_ERR_NOT_FOUND: it is not loaded. */
    gq_status (*discard)(struct gq_backend *backend, uint32_t stage, uint32_t version);
    /* After a call that failed with GQ_ERR_DEVICE: does not return if no other can succeed. NULL: there is no such
     * state.
     */
    void (*check)(struct gq_backend *backend);
    /* Returns when no thread or grid of the backend holds a message. Takes a backend that was never started. */
    void (*stop)(struct gq_backend *backend);
    /* Frees everything; after stop. Takes NULL. */
    void (*close)(struct gq_backend *backend);
};

extern const struct gq_backend_ops gq_cpu_backend, gq_cuda_backend;

/* What device number `device` is: compute capability (90 for sm_90) and name. GQ_ERR_UNAVAILABLE: why there is none. */
gq_status gq_cuda_probe(uint32_t device, uint32_t *arch, char *name, size_t name_size);
/* Takes the device and what every worker needs of it, so that open() for it takes little time; for good. */
gq_status gq_cuda_warm(uint32_t device);
/* What moves between the host and device number `device`: less than a second of copies and small kernels, which end by
 * themselves. */
gq_status gq_cuda_bus(uint32_t device, struct gq_bus *out);

#endif
