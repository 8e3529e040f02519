/* reply.h - what a worker answers, received and checked. A plugin may have written over the worker's memory, so an
 * answer is one of those that a worker gives, or the worker is taken for broken.
 */
#ifndef GQ_PIPELINE_REPLY_H
#define GQ_PIPELINE_REPLY_H

#include <stdbool.h>
#include "base/error.h"
#include "ring/packets.h"

/* Receives the answer to a packet of the type `asked`. The status is the worker's own, with its sentence, when
 * reply->type is GQ_PACKET_REPLY. Otherwise that is GQ_PACKET_DIED, or as it was; and *astray says whether the worker
 * has to be ended, because it did not answer in time (GQ_ERR_TIMEOUT), or with something else (GQ_ERR_DEVICE): what it
 * says next would be taken for the answer to the next request. */
gq_status gq_reply_receive(int channel, uint32_t asked, uint32_t timeout_ms, struct gq_packet *reply, bool *astray);

/* The worker's last word, which may lie unread in the socket of one that is reaped; "": there is none. */
void gq_reply_last_word(int channel, char *text, size_t size);

#endif
