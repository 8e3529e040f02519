/* api.h - shared by the entry points. */
#ifndef GQ_API_API_H
#define GQ_API_API_H

#include <gpuqueue.h>
#include "base/error.h"

/* Statuses past the seed's seven become the nearest of them. */
QueueStatus gq_to_queue_status(gq_status status);

#endif
