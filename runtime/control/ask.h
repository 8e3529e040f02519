/* ask.h - the other end of a control socket: one request, its answer. */
#ifndef GQ_CONTROL_ASK_H
#define GQ_CONTROL_ASK_H

#include "control/record.h"

#define GQ_ANSWER_ROWS_MAX 1024
#define GQ_ANSWER_BYTES_MAX (4u << 20)

/* An answer is the line `done`, then a line for each row of a list, then an empty line. */
struct gq_answer {
    struct gq_record done;
    struct gq_record *row;
    size_t count;
    char **line; /* what the records point into */
    size_t lines;
};

/* Sends `request`, a line with its newline, and waits for the answer: for at most `timeout_ms`, and as long as it takes
 * for GQ_MS_FOREVER, for a swap answers when it is done. GQ_ERR_TIMEOUT. */
gq_status gq_ask(int fd, const struct gq_text *request, uint32_t timeout_ms, struct gq_answer *out);
void gq_answer_finish(struct gq_answer *a);
/* The whole of it as one JSON object; rows, if `rows` is not NULL, as a list of this name. */
void gq_answer_json(const struct gq_answer *a, const char *rows, struct gq_text *out);
/* The status that the answer says: GQ_ERR_INTERNAL if it says none that we know. */
gq_status gq_answer_status(const struct gq_answer *a);

#endif
