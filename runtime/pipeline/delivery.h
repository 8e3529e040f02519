/* delivery.h - delivery: exactly_once: what the source's thread and the sink's thread say to the checkpoint. The source
 * notes where it is behind each message; the sink, whose results come in the same order, has the newest place that it
 * was handed written down when the output is durable up to there.
 *
 * With any other delivery all of these do nothing.
 */
#ifndef GQ_PIPELINE_DELIVERY_H
#define GQ_PIPELINE_DELIVERY_H

#include "connect/checkpoint.h"
#include "connect/connect.h"
#include "pipeline/dead_letter.h"

struct gq_delivery {
    struct gq_checkpoint *checkpoint; /* NULL: not exactly once */
    struct gq_source *source;
    struct gq_sink *sink;
    struct gq_dead_file *dead_file;
    uint64_t resumed; /* messages that earlier runs were done with */
    uint32_t life;    /* that dead letters bear: those that no record speaks of are taken back; 0: not exactly once */
    uint32_t mask;
    struct gq_checkpoint_mark *marks; /* by slot of the source's lane: where the source is behind its message */
    /* the sink's: what it has and no record speaks of yet */
    bool pending;
    struct gq_checkpoint_mark newest;
    uint64_t due_ns, bytes;
};

/* Before the connectors are opened: takes the checkpoint, and says in `from` where they are to begin; `life` and
 * `resumed` are what the dead letters are opened with. */
gq_status gq_delivery_open(struct gq_delivery *d, const struct gq_conf *conf, struct gq_checkpoint_mark *from);
/* Lets both connectors begin there. `capacity` of the source's lane; all of them outlive `d`. */
gq_status gq_delivery_begin(struct gq_delivery *d, const struct gq_checkpoint_mark *from, struct gq_source *source,
                            struct gq_sink *sink, struct gq_dead_file *dead_file, uint32_t capacity);
void gq_delivery_close(struct gq_delivery *d);

/* The source's thread: message seq was read, and is not published yet. */
void gq_delivery_read(struct gq_delivery *d, uint64_t seq);
/* The sink's thread: it has the results up to message seq, `bytes` more; their slots are not released yet. Commits when
 * it is time. */
gq_status gq_delivery_written(struct gq_delivery *d, uint64_t seq, uint64_t bytes);
/* Commits what is pending: nothing else is there to be done. */
gq_status gq_delivery_commit(struct gq_delivery *d);

#endif
