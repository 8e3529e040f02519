#include "pipeline/dead_letter.h"
#include "base/digest.h"
#include "base/file.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define MAGIC 0x31445147u /* "GQD1" */

static void put_le(struct gq_text *t, uint64_t value, size_t bytes)
{
    unsigned char le[8];
    for (size_t i = 0; i < bytes; i++)
        le[i] = (unsigned char)(value >> (8 * i));
    gq_text_add(t, le, bytes);
}

static void put_piece(struct gq_text *t, const void *bytes, size_t len)
{
    put_le(t, len, 4);
    gq_text_add(t, bytes, len);
}

static void put_body(struct gq_text *t, const struct gq_dead_letter *l)
{
    put_le(t, l->id, 8);
    put_le(t, l->unix_ns, 8);
    put_le(t, l->attempts, 4);
    put_le(t, l->status, 2);
    put_le(t, l->code, 2);
    put_le(t, l->stage, 4);
    put_piece(t, l->stage_name, strlen(l->stage_name));
    put_piece(t, l->plugin, strlen(l->plugin));
    put_piece(t, l->digest, strlen(l->digest));
    put_piece(t, l->reason, strlen(l->reason));
    put_piece(t, l->message, l->message_len);
}

static gq_status open_once(struct gq_dead_file *file)
{
    if (file->fd >= 0)
        return GQ_OK;
    file->fd = open(file->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    return file->fd >= 0 ? GQ_OK : gq_error_errno(GQ_ERR_IO, errno, "opening the dead letters %s", file->path);
}

gq_status gq_dead_put(struct gq_dead_file *file, const struct gq_dead_letter *letter)
{
    gq_status status = open_once(file);
    if (status != GQ_OK)
        return status;
    struct gq_text body = {0}, record = {0};
    uint8_t digest[32];
    put_body(&body, letter);
    gq_digest_bytes(gq_text_str(&body), body.len, digest);
    put_le(&record, MAGIC, 4);
    put_le(&record, body.len, 4);
    gq_text_add(&record, digest, 8);
    gq_text_add(&record, gq_text_str(&body), body.len);
    if (body.failed || record.failed)
        status = gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for a dead letter");
    else if ((status = gq_file_write_all(file->fd, record.data, record.len)) != GQ_OK)
        gq_error_prefix(status, "%s: ", file->path);
    else
        __atomic_store_n(&file->written, file->written + 1, __ATOMIC_RELAXED);
    gq_text_finish(&body);
    gq_text_finish(&record);
    return status;
}

gq_status gq_dead_sync(struct gq_dead_file *file)
{
    if (file->fd < 0 || fdatasync(file->fd) == 0 || errno == EINVAL) /* no letter, or a file that is none */
        return GQ_OK;
    return gq_error_errno(GQ_ERR_IO, errno, "%s", file->path);
}

gq_status gq_dead_close(struct gq_dead_file *file)
{
    gq_status status = gq_dead_sync(file);
    if (file->fd >= 0)
        close(file->fd);
    file->fd = -1;
    return status;
}
