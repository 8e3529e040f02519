/* Any bytes as a file of dead letters: letters, then an end that is torn, damaged or neither; and a letter that was
 * read is written as it was. */
#include "fuzz.h"
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/assert.h"
#include "base/file.h"
#include "pipeline/dead_letter_format.h"
#include "pipeline/dead_letter_read.h"

static int file_of(const uint8_t *bytes, size_t len)
{
    int fd = memfd_create("dead", MFD_CLOEXEC);
    gq_assert(fd >= 0);
    gq_status status = gq_file_write_all(fd, bytes, len);
    gq_assert(status == GQ_OK);
    return fd;
}

/* A flag or a class of a later version reads as none of ours, so the bytes may differ; the letter does not. */
static void check_written(const struct gq_dead_letter *l)
{
    struct gq_text out = {0};
    struct gq_dead_letter again;
    uint32_t len;
    uint64_t name;
    gq_status status = gq_dead_write_letter(&out, l);
    gq_assert(status == GQ_OK);
    const uint8_t *bytes = (const uint8_t *)out.data;
    bool good = gq_dead_read_frame(bytes, &len, &name) && len == out.len - GQ_DEAD_FRAME_BYTES &&
                gq_dead_read_body(bytes + GQ_DEAD_FRAME_BYTES, len, name, &again);
    gq_assert(good && again.id == l->id && again.message_len == l->message_len && again.kind == l->kind);
    gq_assert(strcmp(again.reason, l->reason) == 0 && memcmp(again.message, l->message, l->message_len) == 0);
    gq_text_finish(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct gq_dead_reader r;
    struct gq_dead_letter letter;
    int fd = file_of(bytes, len);
    gq_error_clear();
    gq_status status = gq_dead_reader_begin(&r, fd, "dead");
    while (status == GQ_OK && (status = gq_dead_read(&r, &letter)) == GQ_OK)
        check_written(&letter);
    gq_assert(status == GQ_ERR_NOT_FOUND || status == GQ_ERR_DATA);
    gq_assert((status == GQ_ERR_DATA) == (*gq_error_text() != '\0'));
    gq_assert(status == GQ_ERR_DATA || r.at + r.torn_bytes == len);
    gq_dead_reader_close(&r);
    close(fd);
    return 0;
}
