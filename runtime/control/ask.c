#include "control/ask.h"
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include "base/clock.h"
#include "control/line.h"

#define SEND_MS 5000u

static gq_status not_understood(void)
{
    return gq_error_set(GQ_ERR_INTERNAL, "what answered at the control socket is no pipeline of this release");
}

static gq_status keep_line(struct gq_answer *a, const char *line, size_t len)
{
    struct gq_record *row = realloc(a->row, (a->count + 1) * sizeof *row);
    if (row)
        a->row = row;
    char **lines = realloc(a->line, (a->count + 2) * sizeof *lines);
    if (lines)
        a->line = lines;
    char *copy = malloc(len + 1);
    if (!row || !lines || !copy) {
        free(copy);
        return gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for an answer");
    }
    memcpy(copy, line, len + 1);
    bool first = a->lines == 0;
    a->line[a->lines++] = copy;
    struct gq_record *record = first ? &a->done : &a->row[a->count++];
    return gq_record_parse(copy, len, record) == GQ_OK ? GQ_OK : not_understood();
}

static bool is_answer(const struct gq_answer *a)
{
    return a->lines > 0 && strcmp(a->done.word, "done") == 0 && gq_record_value(&a->done, "status");
}

static gq_status read_answer(struct gq_line_reader *reader, uint64_t deadline_ns, struct gq_answer *out)
{
    char *line;
    size_t len, bytes = 0;
    for (;;) {
        gq_status status = gq_line_read(reader, deadline_ns, GQ_ANSWER_BYTES_MAX, &line, &len);
        if (status != GQ_OK)
            return status;
        if (!line)
            return gq_error_set(GQ_ERR_IO, "the pipeline ended before it answered");
        if (len == 0)
            return is_answer(out) ? GQ_OK : not_understood();
        bytes += len;
        if (out->count == GQ_ANSWER_ROWS_MAX || bytes > GQ_ANSWER_BYTES_MAX)
            return not_understood();
        status = keep_line(out, line, len);
        if (status != GQ_OK)
            return status;
    }
}

static gq_status silent(int fd, uint32_t waited_ms)
{
    struct ucred peer = {0};
    socklen_t len = sizeof peer;
    (void)getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len);
    return gq_error_set(GQ_ERR_TIMEOUT,
                        "the pipeline has not answered for %u s: its process, %d, is stopped, or gets no time to run",
                        waited_ms / 1000, (int)peer.pid);
}

gq_status gq_ask(int fd, const struct gq_text *request, uint32_t timeout_ms, struct gq_answer *out)
{
    struct gq_line_reader reader;
    *out = (struct gq_answer){0};
    gq_line_init(&reader, fd);
    /* One that refuses us answers without a question, and may be gone before it was asked. */
    const uint64_t deadline = gq_clock_deadline(timeout_ms);
    gq_status sent = gq_line_send(fd, gq_text_str(request), request->len, gq_clock_deadline(SEND_MS));
    gq_status status = sent == GQ_ERR_TIMEOUT ? sent : read_answer(&reader, deadline, out);
    gq_line_finish(&reader);
    return status == GQ_ERR_TIMEOUT ? silent(fd, sent == GQ_ERR_TIMEOUT ? SEND_MS : timeout_ms) : status;
}

void gq_answer_finish(struct gq_answer *a)
{
    for (size_t i = 0; i < a->lines; i++)
        free(a->line[i]);
    free(a->line);
    free(a->row);
    *a = (struct gq_answer){0};
}

void gq_answer_json(const struct gq_answer *a, const char *rows, struct gq_text *out)
{
    gq_text_puts(out, "{");
    gq_record_members(&a->done, out);
    if (rows)
        gq_text_printf(out, ", \"%s\": [", rows);
    for (size_t i = 0; rows && i < a->count; i++) {
        gq_text_puts(out, i ? ",\n  {" : "\n  {");
        gq_record_members(&a->row[i], out);
        gq_text_puts(out, "}");
    }
    gq_text_puts(out, rows ? "]}\n" : "}\n");
}

gq_status gq_answer_status(const struct gq_answer *a)
{
    static const struct {
        gq_status status;
        const char *name;
    } statuses[] = {
#define ROW(name, value, exit_code, text) {name, #name},
        GQ_STATUS_LIST(ROW)
#undef ROW
    };
    const char *said = gq_record_value(&a->done, "status");
    for (size_t i = 0; said && i < sizeof statuses / sizeof *statuses; i++)
        if (strcmp(statuses[i].name, said) == 0)
            return statuses[i].status;
    return GQ_ERR_INTERNAL;
}
