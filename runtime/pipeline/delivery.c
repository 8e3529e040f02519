#include "pipeline/delivery.h"
#include "base/clock.h"
#include <stdlib.h>

#define COMMIT_MS 5u              /* between two records, as long as messages flow */
#define COMMIT_BYTES (1ull << 20) /* of results between two records, about */

gq_status gq_delivery_open(struct gq_delivery *d, const struct gq_conf *conf, struct gq_checkpoint_mark *from)
{
    *d = (struct gq_delivery){0};
    *from = (struct gq_checkpoint_mark){0};
    if (conf->delivery != GQ_DELIVERY_EXACTLY_ONCE)
        return GQ_OK;
    gq_status status = gq_checkpoint_open(conf, &d->checkpoint, from);
    if (status == GQ_OK)
        status = gq_sink_find(conf->sink.kind)->check(conf, from->out_bytes);
    d->resumed = from->records;
    d->life = status == GQ_OK ? ((uint32_t)from->life & GQ_LIFE_MAX) | 1 : 0;
    return status;
}

gq_status gq_delivery_begin(struct gq_delivery *d, const struct gq_checkpoint_mark *from, struct gq_source *source,
                            struct gq_sink *sink, struct gq_dead_file *dead_file, uint32_t capacity)
{
    if (!d->checkpoint)
        return GQ_OK;
    d->source = source;
    d->sink = sink;
    d->dead_file = dead_file;
    d->mask = capacity - 1;
    d->marks = calloc(capacity, sizeof *d->marks);
    if (!d->marks)
        return gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for the positions of %u messages", capacity);
    gq_status status = source->ops->resume(source, from->position, from->records);
    if (status == GQ_ERR_DATA) /* a source knows of no checkpoint */
        gq_error_prefix(status, "going on behind %s: ", gq_checkpoint_path(d->checkpoint));
    if (status == GQ_OK)
        status = sink->ops->resume(sink, from->out_bytes);
    /* Letters of this life that no record speaks of will be written again. */
    return status == GQ_OK ? gq_dead_take_back(dead_file) : status;
}

void gq_delivery_close(struct gq_delivery *d)
{
    gq_checkpoint_close(d->checkpoint);
    free(d->marks);
    *d = (struct gq_delivery){0};
}

void gq_delivery_read(struct gq_delivery *d, uint64_t seq)
{
    if (!d->checkpoint)
        return;
    struct gq_checkpoint_mark *mark = &d->marks[seq & d->mask];
    d->source->ops->tell(d->source, &mark->position, &mark->records);
}

gq_status gq_delivery_written(struct gq_delivery *d, uint64_t seq, uint64_t bytes)
{
    if (!d->checkpoint)
        return GQ_OK;
    if (!d->pending)
        d->due_ns = gq_clock_deadline(COMMIT_MS);
    d->pending = true;
    d->newest = d->marks[seq & d->mask];
    d->newest.life = d->life;
    d->bytes += bytes;
    return d->bytes >= COMMIT_BYTES || gq_clock_past(d->due_ns) ? gq_delivery_commit(d) : GQ_OK;
}

/* Letters and output first: a record never speaks of what could be lost. */
gq_status gq_delivery_commit(struct gq_delivery *d)
{
    if (!d->pending)
        return GQ_OK;
    gq_status status = gq_dead_sync(d->dead_file);
    if (status == GQ_OK)
        status = d->sink->ops->sync(d->sink, &d->newest.out_bytes);
    if (status == GQ_OK)
        status = gq_checkpoint_commit(d->checkpoint, &d->newest);
    d->pending = false;
    d->bytes = 0;
    return status;
}
