/* spare.h - a second worker, in which new code is tried before it may serve: one stage, one lane, small. It is paused
 * whenever nobody uses it, because two processes share a GPU by time slices. What breaks it costs nothing but it: the
 * next use starts another. One thread at a time.
 */
#ifndef GQ_PIPELINE_SPARE_H
#define GQ_PIPELINE_SPARE_H

#include "config/golden_result.h"
#include "pipeline/queue.h"
#include "pipeline/remote.h"

struct gq_spare {
    struct gq_conf conf; /* that of the pipeline but for the sizes; owns nothing */
    struct gq_conf_stage stage;
    enum gq_backend_kind backend;
    struct gq_remote *remote; /* NULL: none lives */
    struct gq_queue *queue;
    struct gq_lane *lane;
    uint32_t version; /* that is loaded */
    bool runs;
};

/* `conf` outlives the spare. Nothing is started. */
void gq_spare_init(struct gq_spare *spare, const struct gq_conf *conf, enum gq_backend_kind backend);
/* Starts the worker unless one lives. `image` is any that serves already: a worker starts with some code. */
gq_status gq_spare_warm(struct gq_spare *spare, const struct gq_image *image);
/* Loads code of the stage of that name, with fresh memory, and runs it. Each part that takes longer than `budget_ms`
 * ends the spare. */
gq_status gq_spare_load(struct gq_spare *spare, const char *stage_name, const struct gq_image *image,
                        uint64_t budget_ms);
/* Feeds one message and waits for its end. GQ_ERR_TIMEOUT, without a sentence: it did not come. */
gq_status gq_spare_feed(struct gq_spare *spare, const struct gq_golden_bytes *message, uint64_t budget_ms,
                        struct gq_golden_result *result);
/* Pauses it. An error says that its code broke it after all: a device tells of a fault late. */
gq_status gq_spare_rest(struct gq_spare *spare);
/* Ends the worker by force, and leaves no trace of it. Takes one that has none. */
void gq_spare_end(struct gq_spare *spare);

#endif
