/* queue.h - the lanes of one running pipeline, and which thread owns which. */
#ifndef GQ_PIPELINE_QUEUE_H
#define GQ_PIPELINE_QUEUE_H

#include <pthread.h>
#include "pipeline/journal.h"
#include "pipeline/remote.h"

struct gq_queue {
    struct gq_remote *remote; /* not owned */
    uint32_t capacity, slot_bytes;
    bool timed;
    struct gq_journal *journal;          /* not owned; NULL: there is none */
    const struct gq_lane_keeper *keeper; /* of the journal */
    pthread_mutex_t lock;                /* adding lanes, and owners */
    struct gq_lane *lane[GQ_LANES_MAX];
    bool owned[GQ_LANES_MAX]; /* a living thread produces into it */
    uint32_t lane_count;      /* atomic */
    uint64_t due;             /* atomic: what all lanes were last told to expect: stage << 32 | generation */
    uint32_t turn;            /* lane that gq_queue_take looks at first; a hint */
};

gq_status gq_queue_create(struct gq_remote *remote, bool timed, struct gq_queue **out);
void gq_queue_destroy(struct gq_queue *queue);

/* Lanes go on where those in the journal ended, and what these left is published again, with its numbers. *recovered:
 * messages whose results may be asked for. Before anybody else has the queue. */
gq_status gq_queue_recover(struct gq_queue *queue, struct gq_journal *journal, const struct gq_lane_keeper *keeper,
                           uint64_t *recovered);

/* A lane that no living thread owns: one whose thread ended, or a new one. */
gq_status gq_queue_own_lane(struct gq_queue *queue, struct gq_lane **out);
void gq_queue_disown_lane(struct gq_queue *queue, struct gq_lane *lane);
/* The lane of a source plugin, before the worker runs. */
gq_status gq_queue_add_generated(struct gq_queue *queue, uint64_t first_index, uint64_t count);
/* The same for results that are only counted (ring/counted.h). Nobody sees in which order they come, so the queue's
 * capacity is shared out among several lanes, each of which makes every n-th message. */
gq_status gq_queue_add_counted(struct gq_queue *queue, uint64_t first_index, uint64_t count);
void gq_queue_end_generation(struct gq_queue *queue);
/* Before the worker runs: none are made at all. */
void gq_queue_withdraw_generation(struct gq_queue *queue);

static inline uint32_t gq_queue_lanes(const struct gq_queue *queue)
{
    return __atomic_load_n(&queue->lane_count, __ATOMIC_ACQUIRE);
}
/* gq_lane_expect() of all lanes, and of those that come. By one thread at a time. */
void gq_queue_expect(struct gq_queue *queue, uint32_t stage, uint32_t generation);
/* gq_lane_distrust() of all lanes. */
void gq_queue_distrust(struct gq_queue *queue);
/* The lane of an id, NULL if the queue has none such. */
struct gq_lane *gq_queue_lane_of(const struct gq_queue *queue, uint64_t id);

/* Results of one lane, lanes in turn: returns how many, *lane whose. */
uint32_t gq_queue_take(struct gq_queue *queue, bool hold, struct gq_lane_result *results, uint32_t max,
                       struct gq_lane **lane);
/* Waits until gq_queue_take has something, the worker is dead, or the deadline has come: true if it has something. */
bool gq_queue_wait(struct gq_queue *queue, uint64_t deadline_ns);
/* Waits likewise, or until every message has been handed out: true then too. */
bool gq_queue_wait_spent(struct gq_queue *queue, uint64_t deadline_ns);
/* Waits likewise for one lane. */
bool gq_queue_wait_lane(struct gq_lane *lane, uint64_t deadline_ns);
bool gq_queue_idle(const struct gq_queue *queue); /* everything accepted is taken */
/* Waits until every accepted message is finished, taken or not; returns how many are not. */
uint64_t gq_queue_drain(struct gq_queue *queue, uint64_t deadline_ns);

/* Sums over all lanes; latency is merged into `latency` unless that is NULL. */
void gq_queue_get_counts(struct gq_queue *queue, struct gq_lane_counts *out, struct gq_histogram *latency);
uint64_t gq_queue_retries(const struct gq_queue *queue);

#endif
