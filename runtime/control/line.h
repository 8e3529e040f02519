/* line.h - lines over a stream socket, each way within a deadline. A peer that is slow, silent or gone costs its own
 * connection and nothing else. */
#ifndef GQ_CONTROL_LINE_H
#define GQ_CONTROL_LINE_H

#include <stdint.h>
#include "base/error.h"
#include "base/text.h"

#define GQ_LINE_BYTES_MAX 65536u

struct gq_line_reader {
    int fd;
    struct gq_text bytes; /* received; the lines before `used` were given out */
    size_t used;
};

void gq_line_init(struct gq_line_reader *r, int fd);
void gq_line_finish(struct gq_line_reader *r);
/* The next line, without its newline, NUL behind it; valid until the next call. *line is NULL when the peer has closed
 * between two lines. GQ_ERR_TIMEOUT, GQ_ERR_IO, and GQ_ERR_INVALID_ARG for a line longer than GQ_LINE_BYTES_MAX. */
gq_status gq_line_read(struct gq_line_reader *r, uint64_t deadline_ns, size_t max, char **line, size_t *len);
/* All bytes, or GQ_ERR_TIMEOUT or GQ_ERR_IO. No SIGPIPE. */
gq_status gq_line_send(int fd, const void *bytes, size_t len, uint64_t deadline_ns);

#endif
