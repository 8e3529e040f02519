/* connect.h - sources and sinks, for those who write one. A connector is one file and one row of the table in
 * connect.c.
 *
 * A source is used by one thread, a sink by one thread. Neither knows of lanes: a source fills a buffer, a sink takes
 * bytes.
 */
#ifndef GQ_CONNECT_CONNECT_H
#define GQ_CONNECT_CONNECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/error.h"
#include "config/conf.h"

enum gq_next {
    GQ_NEXT_MESSAGE, /* *len bytes are in the buffer */
    GQ_NEXT_WAIT,    /* nothing without waiting; asked with may_wait the answer is never this one */
    GQ_NEXT_END,     /* no more messages; also after an interrupt */
    GQ_NEXT_ERROR    /* the sentence is set; messages before it are whole */
};

struct gq_source {
    const struct gq_source_ops *ops;
};

struct gq_source_ops {
    enum gq_source_kind kind;
    /* `interrupt_fd` becomes readable when the run should end: a source that waits must watch it. */
    gq_status (*open)(const struct gq_conf *conf, int interrupt_fd, struct gq_source **out);
    enum gq_next (*next)(struct gq_source *source, uint8_t *buffer, uint32_t cap, uint32_t *len, bool may_wait);
    void (*close)(struct gq_source *source);
    /* For exactly-once delivery; NULL: the source cannot go on where an earlier run stopped. How much of it the
     * messages so far were, and a start behind as much, before the first message. GQ_ERR_DATA: there is not so much of
     * it. */
    void (*tell)(const struct gq_source *source, uint64_t *position, uint64_t *records);
    gq_status (*resume)(struct gq_source *source, uint64_t position, uint64_t records);
};

struct gq_sink {
    const struct gq_sink_ops *ops;
};

/* What a sink that waits for a reader must watch, and whom it tells what it waits for. */
struct gq_sink_run {
    int interrupt_fd; /* readable when the run should end; a reader who is not there by then is waited for no more */
    int abandon_fd;   /* readable when the time for the rest is over */
    void (*note)(void *context, const char *sentence); /* NULL: nobody */
    void *note_context;
};

struct gq_sink_ops {
    enum gq_sink_kind kind;
    gq_status (*open)(const struct gq_conf *conf, const struct gq_sink_run *run, struct gq_sink **out);
    /* The bytes are the sink's to copy; flush says that all of them have reached their place. */
    gq_status (*put)(struct gq_sink *sink, const uint8_t *bytes, uint32_t len);
    gq_status (*flush)(struct gq_sink *sink);
    gq_status (*close)(struct gq_sink *sink); /* flushes; frees in any case */
    /* For exactly-once delivery; NULL: the sink cannot. Whether it can start behind so many bytes, before it is opened,
     * which may make it. What was put is durable, and so long is all of it; and a start behind so many bytes, cutting
     * what is beyond, before the first put. GQ_ERR_DATA: it cannot, for there are not so many. */
    gq_status (*check)(const struct gq_conf *conf, uint64_t bytes);
    gq_status (*sync)(struct gq_sink *sink, uint64_t *bytes);
    gq_status (*resume)(struct gq_sink *sink, uint64_t bytes);
};

/* The ops of a kind; NULL for those that are no connector (api, plugin). */
const struct gq_source_ops *gq_source_find(enum gq_source_kind kind);
const struct gq_sink_ops *gq_sink_find(enum gq_sink_kind kind);

extern const struct gq_source_ops gq_source_file, gq_source_stdin, gq_source_generate;
extern const struct gq_sink_ops gq_sink_file, gq_sink_stdout, gq_sink_null;

/* True once the descriptor is readable; waits at most so long, below a second. */
bool gq_connect_interrupted(int interrupt_fd, uint32_t timeout_ns);

#endif
