/* suspects.h - which messages a worker may have died of, read from what it left. */
#ifndef GQ_PIPELINE_SUSPECTS_H
#define GQ_PIPELINE_SUSPECTS_H

#include <gpuqueue/layout.h>
#include "pipeline/queue.h"

#define GQ_BLOCK_NONE UINT32_MAX
/* Who is inside of messages: a thread with a crumb, by its number, or a team of a device, by its run's place behind
 * those. */
#define GQ_BLOCK_OF_RUN(place) (GQ_BLOCKS_MAX + (place))

struct gq_suspect {
    uint64_t id;
    uint32_t stage;      /* in which it was then; GQ_CRUMB_SOURCE: in the source plugin */
    uint32_t generation; /* of the code; 0: not said */
    bool caused; /* the worker ended because of this one, as far as anybody can say: by its signal, or its time */
};

/* The suspects of a dead worker, at most `max`, by their ids: the messages of the block `hung`, unless that is
 * GQ_BLOCK_NONE; else the message of the thread that a signal ended; else every message that a thread or team was
 * inside of. Ids that are no message's, or of messages that have ended, are left out. */
uint32_t gq_suspects_find(const struct gq_worker_page *page, struct gq_queue *queue, uint32_t hung,
                          struct gq_suspect *out, uint32_t max);

/* Room that is enough for all of them, or for as many as anybody tries. */
uint32_t gq_suspects_room(const struct gq_worker_page *page);

/* After a device's fault, which says of nobody that it was: every message that has not ended, the oldest of each lane
 * first, `max` at most. Nobody knows their stages; gq_suspects_find() does, of a worker that serves one at a time. */
uint32_t gq_suspects_all(struct gq_queue *queue, struct gq_suspect *out, uint32_t max);
uint32_t gq_suspects_all_room(const struct gq_queue *queue);

/* How often it has to end its worker before it is given up. */
uint32_t gq_deaths_of(uint32_t retries);

/* `code` of GQ_RESULT_FAULTED for a worker that ended so. */
uint32_t gq_fault_code(const struct gq_worker_page *page, bool hung, int wait_status);
/* "ended the worker with SIGSEGV", "did not end within its stage's timeout". */
void gq_fault_describe(uint32_t code, char *text, size_t size);

#endif
