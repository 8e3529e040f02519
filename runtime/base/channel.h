/* channel.h - packets with descriptors over a Unix SOCK_SEQPACKET socket: one send is one receive. Long texts travel as
 * sealed memfds, so a packet stays small. */
#ifndef GQ_BASE_CHANNEL_H
#define GQ_BASE_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/error.h"
#include "base/text.h"

#define GQ_CHANNEL_FDS_MAX 16
#define GQ_CHANNEL_BYTES_MAX 16384

/* Descriptors stay the sender's. */
gq_status gq_channel_send(int channel, const void *bytes, size_t len, const int *fds, size_t fd_count);
/* Waits until `timeout_ms`. *len is the packet's length, 0 when the other side has closed. Descriptors received are
 * close-on-exec and the caller's; *fd_count is how many. A packet longer than `cap` is GQ_ERR_INTERNAL. */
gq_status gq_channel_receive(int channel, void *bytes, size_t cap, size_t *len, int *fds, size_t *fd_count,
                             uint32_t timeout_ms);
/* Has the other side closed? */
bool gq_channel_is_cut(int channel);
/* Is a packet there, or has the other side closed? */
bool gq_channel_has_word(int channel);

/* A sealed memfd with these bytes, and the bytes of one. */
gq_status gq_memfd_from(const char *name, const void *bytes, size_t len, int *fd);
gq_status gq_memfd_read(int fd, size_t max, struct gq_text *out);

#endif
