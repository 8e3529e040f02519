/* dead_letter_read.h - goes through a file of dead letters, one letter after another. The file is as long as it was at
 * the beginning, whoever appends to it meanwhile. */
#ifndef GQ_PIPELINE_DEAD_LETTER_READ_H
#define GQ_PIPELINE_DEAD_LETTER_READ_H

#include "pipeline/dead_letter.h"

struct gq_dead_reader {
    const char *path; /* not owned */
    int fd;
    bool own_fd;
    uint64_t size, at;   /* behind the letters that were read */
    uint64_t number;     /* of the letter read last, from 1 */
    uint64_t name;       /* and its name: the checksum of its body */
    uint64_t torn_bytes; /* known at the end */
    uint8_t *body;
    uint32_t body_cap;
};

/* GQ_ERR_IO, or GQ_ERR_DATA: no file of dead letters, or one of a version unknown here. Close it in any case. */
gq_status gq_dead_reader_open(struct gq_dead_reader *r, const char *path);
/* The same on a descriptor that stays the caller's. */
gq_status gq_dead_reader_begin(struct gq_dead_reader *r, int fd, const char *path);
/* The letter is valid until the next call. GQ_ERR_NOT_FOUND, without a sentence: that was all, but for torn_bytes that
 * a crash left behind. GQ_ERR_DATA: the file is damaged here; there is no way on. GQ_ERR_IO: also that it was cut, and
 * perhaps written on, since the reader began. */
gq_status gq_dead_read(struct gq_dead_reader *r, struct gq_dead_letter *out);
void gq_dead_reader_close(struct gq_dead_reader *r);

#endif
