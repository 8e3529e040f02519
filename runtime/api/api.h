/* api.h - shared by the entry points. */
#ifndef GQ_API_API_H
#define GQ_API_API_H

#include <gpuqueue.h>
#include "base/error.h"

struct gq_pipeline;

/* May this process make the call on this pipeline? Not on none, and not on one that it inherited by a fork: a child has
 * none of its threads, and would stop its parent's worker. */
gq_status gq_check_pipeline(const struct gq_pipeline *p, const char *call);
/* A struct that starts with its size, of an older or newer caller: shorter ones are filled up with zeroes; of longer
 * ones the part that we do not know must be zero, or the caller asks for something that this library cannot do.
 * `least`: bytes that every caller has. */
gq_status gq_read_struct(const void *given, size_t least, void *known, size_t known_size, const char *what);

/* Statuses past the seed's seven become the nearest of them. */
QueueStatus gq_to_queue_status(gq_status status);

#endif
