/* remote_ask.h - how requests reach the worker, for those that make them. */
#ifndef GQ_PIPELINE_REMOTE_ASK_H
#define GQ_PIPELINE_REMOTE_ASK_H

#include "pipeline/remote.h"

/* One request and its answer, once there is a worker to be asked. `reply` has a type of its own when there is none. */
gq_status gq_remote_ask(struct gq_remote *remote, const struct gq_packet *packet, const int *fds, size_t fd_count,
                        struct gq_packet *reply);
/* A worker that ended instead of answering leaves a better sentence behind, once it is buried. */
gq_status gq_remote_explain_death(struct gq_remote *remote, gq_status status, uint32_t deaths);
/* Until a worker serves, none will, or it is the caller's turn with one that is to. */
void gq_remote_await_worker(struct gq_remote *remote);
/* Has another worker taken the place of one that died since there were so many deaths? Waits until one has, or until
 * it is the caller's turn with it. */
bool gq_remote_was_replaced(struct gq_remote *remote, uint32_t deaths);

#endif
