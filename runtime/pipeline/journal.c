#include "pipeline/journal.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/assert.h"
#include "base/file.h"

const struct gq_hold_words gq_journal_words = {
    .name = "the journal",
    .kept = "a journal is kept",
    .busy = "another queue has this journal, in this process or in another: give each a file of its own, or wait until "
            "it has ended",
    .busy_status = GQ_ERR_FULL,
};

/* --- life --------------------------------------------------------------------------------------------------------- */

static void destroy(struct gq_journal *j)
{
    if (j->fd >= 0)
        gq_hold_close(j->fd);
    for (uint32_t i = 0; i < GQ_LANES_MAX; i++)
        free(j->lane[i].places);
    gq_text_finish(&j->buffer);
    pthread_cond_destroy(&j->synced_some);
    pthread_mutex_destroy(&j->lock);
    free(j->fresh_place);
    free(j->place);
    free(j->path);
    free(j);
}

static struct gq_journal *create(const struct gq_journal_opts *opts)
{
    struct gq_journal *j = calloc(1, sizeof *j);
    if (!j)
        return NULL;
    pthread_mutex_init(&j->lock, NULL);
    pthread_cond_init(&j->synced_some, NULL);
    j->fd = -1;
    j->opts = *opts;
    j->opts.spare_bytes = opts->spare_bytes ? opts->spare_bytes : GQ_JOURNAL_SPARE_BYTES;
    j->mask = opts->capacity - 1;
    j->path = strdup(opts->path);
    j->place = gq_path_absolute(opts->path);
    const size_t len = j->place ? strlen(j->place) : 0;
    j->fresh_place = malloc(len + sizeof GQ_JOURNAL_NEW_SUFFIX);
    if (!j->path || !j->place || !j->fresh_place) {
        destroy(j);
        return NULL;
    }
    memcpy(j->fresh_place, j->place, len);
    memcpy(j->fresh_place + len, GQ_JOURNAL_NEW_SUFFIX, sizeof GQ_JOURNAL_NEW_SUFFIX);
    j->opts.path = j->path;
    return j;
}

gq_status gq_journal_open(const struct gq_journal_opts *opts, struct gq_journal **out)
{
    gq_assert(opts->durability != GQ_DURABILITY_NONE);
    struct gq_journal *j = create(opts);
    *out = NULL;
    if (!j)
        return gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for a journal");
    gq_status status = gq_hold_open(j->path, O_CREAT, GQ_JOURNAL_MODE, &gq_journal_words, &j->fd);
    if (status == GQ_OK)
        status = gq_journal_load(j);
    if (status == GQ_OK)
        status = gq_journal_rewrite(j);
    if (status != GQ_OK) {
        destroy(j);
        return status;
    }
    *out = j;
    return GQ_OK;
}

void gq_journal_forget(struct gq_journal *j)
{
    if (!j || j->fd < 0)
        return;
    close(j->fd);
    j->fd = -1;
}

/* --- lanes -------------------------------------------------------------------------------------------------------- */

gq_status gq_journal_use_lane(struct gq_journal *j, uint32_t lane)
{
    gq_assert(lane < GQ_LANES_MAX);
    if (!j->lane[lane].places)
        j->lane[lane].places = calloc(j->mask + 1, sizeof(uint64_t));
    return j->lane[lane].places ? GQ_OK : gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for a lane's journal");
}

bool gq_journal_mark_taken(struct gq_journal *j, uint32_t i, uint64_t seq)
{
    struct gq_journal_lane *lane = &j->lane[i];
    if (seq < lane->first || seq >= lane->next)
        return false;
    *gq_journal_place(j, i, seq) |= GQ_JOURNAL_IS_TAKEN;
    while (lane->first < lane->next && *gq_journal_place(j, i, lane->first) & GQ_JOURNAL_IS_TAKEN)
        lane->first++;
    return true;
}

uint32_t gq_journal_lanes(const struct gq_journal *j)
{
    uint32_t count = GQ_LANES_MAX;
    while (count > 0 && j->lane[count - 1].first == j->lane[count - 1].next)
        count--;
    return count;
}

gq_status gq_journal_read(struct gq_journal *j, uint32_t lane, uint64_t seq, void *slot, uint32_t *len, bool *taken)
{
    struct gq_journal_image image;
    struct gq_journal_record r;
    uint64_t end;
    gq_status status = gq_journal_map(j, &image);
    if (status != GQ_OK)
        return status;
    const uint64_t place = *gq_journal_place(j, lane, seq);
    *taken = place & GQ_JOURNAL_IS_TAKEN;
    if (!gq_journal_get(image.bytes, image.size, j->stamp, place & ~GQ_JOURNAL_IS_TAKEN, &r, &end))
        status = gq_error_set(GQ_ERR_IO, "%s: somebody else wrote into the journal", j->path);
    else if (r.len > j->opts.slot_bytes)
        status = gq_error_set(GQ_ERR_CONFIG,
                              "%s: message %" PRIu64
                              ", which an earlier run accepted, is %u bytes, and queue.slot_bytes is %u: raise it",
                              j->path, gq_slot_id(lane, seq), r.len, j->opts.slot_bytes);
    else if (r.len)
        memcpy(slot, r.bytes, r.len);
    *len = status == GQ_OK ? r.len : 0;
    gq_journal_unmap(&image);
    return status;
}

/* --- writing: with the lock ----------------------------------------------------------------------------------------
 */

/* Nobody knows what of the file is on the disk. It is not asked again: the answer might be that all is well. */
static gq_status break_off(struct gq_journal *j, const char *what, int err)
{
    j->broken = true;
    snprintf(
        j->why, sizeof j->why,
        "%s: %s failed (%s), and nobody knows what of the journal is on the disk: the queue takes no more messages; "
        "start it again, and what was accepted is run",
        j->path, what, strerror(err));
    pthread_cond_broadcast(&j->synced_some);
    return gq_error_set(GQ_ERR_IO, "%s", j->why);
}

static gq_status refuse(const struct gq_journal *j, int err)
{
    return gq_error_set(GQ_ERR_FULL, "%s: the journal has no room (%s): nothing was accepted; make room and try again",
                        j->path, strerror(err));
}

/* Sends the buffer off. What arrived of it, and of what was sent since the file was `start` long, is taken back if the
 * rest does not. */
static gq_status send(struct gq_journal *j, uint64_t start, uint64_t *at)
{
    struct gq_text *buffer = &j->buffer;
    const size_t len = buffer->len;
    gq_status status = buffer->failed ? gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for a journal")
                                      : gq_file_write_all(j->fd, gq_text_str(buffer), len);
    const int err = errno;
    gq_text_clear(buffer);
    *at += len;
    if (status == GQ_OK)
        return GQ_OK;
    if (ftruncate(j->fd, (off_t)start) != 0)
        return break_off(j, "taking back what did not fit", errno);
    if (status == GQ_ERR_NO_MEMORY)
        return status;
    return gq_journal_status_of(err) == GQ_ERR_FULL ? refuse(j, err) : break_off(j, "writing", err);
}

static uint64_t safe_bytes(const struct gq_journal *j, uint64_t at)
{
    return j->opts.durability == GQ_DURABILITY_FDATASYNC ? j->safe_bytes : at;
}

static void put_pending(struct gq_journal *j)
{
    if (j->pending_count)
        gq_journal_put_taken(&j->buffer, j->stamp, j->bytes, safe_bytes(j, j->bytes), j->pending, j->pending_count);
}

static void sent(struct gq_journal *j, uint64_t at)
{
    j->bytes = at;
    j->written++;
    j->pending_count = 0;
}

static gq_status write_pending(struct gq_journal *j)
{
    uint64_t at = j->bytes;
    if (j->pending_count == 0 || j->broken || j->due)
        return GQ_OK;
    put_pending(j);
    gq_status status = send(j, j->bytes, &at);
    if (status == GQ_OK)
        sent(j, at);
    return status;
}

/* What was taken is written before the messages that may have its slots. */
static gq_status write_messages(struct gq_journal *j, const struct gq_lane_view *view, uint64_t first,
                                const uint32_t *len, uint32_t count)
{
    uint64_t at = j->bytes;
    gq_status status = GQ_OK;
    put_pending(j);
    for (uint32_t i = 0; i < count && status == GQ_OK; i++) {
        const uint64_t here = at + j->buffer.len;
        const struct gq_journal_record r = {.kind = GQ_JOURNAL_MESSAGE,
                                            .safe = safe_bytes(j, here),
                                            .lane = view->lane,
                                            .first = first + i,
                                            .bytes = gq_slot_in(view, first + i),
                                            .len = len[i]};
        gq_journal_put(&j->buffer, j->stamp, here, &r);
        *gq_journal_place(j, view->lane, first + i) = here;
        if (j->buffer.len >= GQ_JOURNAL_BUFFER)
            status = send(j, j->bytes, &at);
    }
    if (status == GQ_OK)
        status = send(j, j->bytes, &at);
    if (status != GQ_OK)
        return status;
    j->lane[view->lane].next += count;
    sent(j, at);
    return GQ_OK;
}

/* One thread makes durable what all have written; those that come meanwhile are the next one's. */
static gq_status wait_durable(struct gq_journal *j, uint64_t group)
{
    while (j->durable < group && !j->broken) {
        if (j->syncing) {
            pthread_cond_wait(&j->synced_some, &j->lock);
            continue;
        }
        const uint64_t written = j->written, bytes = j->bytes;
        j->syncing = true;
        pthread_mutex_unlock(&j->lock);
        const int err = fdatasync(j->fd) == 0 ? 0 : errno;
        pthread_mutex_lock(&j->lock);
        j->syncing = false;
        if (err) {
            break_off(j, "fdatasync", err);
            break;
        }
        j->durable = written;
        j->safe_bytes = bytes;
        pthread_cond_broadcast(&j->synced_some);
    }
    return j->durable >= group ? GQ_OK : gq_error_set(GQ_ERR_IO, "%s", j->why);
}

static gq_status write_anew(struct gq_journal *j)
{
    gq_status status = gq_journal_rewrite(j);
    if (status == GQ_OK) {
        j->durable = j->written;
        pthread_cond_broadcast(&j->synced_some);
    } else if (status == GQ_ERR_IO) {
        j->broken = true;
        snprintf(j->why, sizeof j->why, "%s", gq_error_text());
        pthread_cond_broadcast(&j->synced_some);
    }
    return status;
}

/* Without room for a second file the first one goes on growing, if it can. */
static gq_status keep_short(struct gq_journal *j)
{
    while (j->syncing && !j->broken && (j->due || j->bytes >= j->rewrite_at))
        pthread_cond_wait(&j->synced_some, &j->lock);
    if (j->broken)
        return gq_error_set(GQ_ERR_IO, "%s", j->why);
    if (!j->due && j->bytes < j->rewrite_at)
        return GQ_OK;
    gq_status status = write_anew(j);
    if (status == GQ_OK || status == GQ_ERR_IO || j->due)
        return status;
    j->rewrite_at = j->bytes + j->opts.spare_bytes;
    return GQ_OK;
}

/* --- calls -------------------------------------------------------------------------------------------------------- */

gq_status gq_journal_accept(struct gq_journal *j, const struct gq_lane_view *view, uint64_t first, const uint32_t *len,
                            uint32_t count)
{
    pthread_mutex_lock(&j->lock);
    gq_status status = keep_short(j);
    if (status == GQ_OK)
        status = gq_journal_use_lane(j, view->lane);
    if (status == GQ_OK) {
        gq_assert(j->lane[view->lane].next == first);
        status = write_messages(j, view, first, len, count);
    }
    if (status == GQ_OK && j->opts.durability == GQ_DURABILITY_FDATASYNC)
        status = wait_durable(j, j->written);
    pthread_mutex_unlock(&j->lock);
    return status;
}

static void note_taken(struct gq_journal *j, uint32_t lane, uint64_t first, uint64_t count)
{
    struct gq_journal_range *last = j->pending_count ? &j->pending[j->pending_count - 1] : NULL;
    if (last && last->lane == lane && last->first + last->count == first) {
        last->count += count;
        return;
    }
    if (j->pending_count == GQ_JOURNAL_PENDING && write_pending(j) != GQ_OK)
        j->due = true; /* the lanes know what was taken: it is written with them */
    if (j->pending_count == GQ_JOURNAL_PENDING)
        j->pending_count = 0;
    j->pending[j->pending_count++] = (struct gq_journal_range){lane, first, count};
}

void gq_journal_take(struct gq_journal *j, uint32_t lane, uint64_t first, uint64_t count)
{
    pthread_mutex_lock(&j->lock);
    for (uint64_t i = 0; i < count; i++) {
        const bool known = gq_journal_mark_taken(j, lane, first + i);
        gq_assert(known);
    }
    note_taken(j, lane, first, count);
    pthread_mutex_unlock(&j->lock);
}

void gq_journal_flush(struct gq_journal *j)
{
    pthread_mutex_lock(&j->lock);
    write_pending(j);
    pthread_mutex_unlock(&j->lock);
}

gq_status gq_journal_close(struct gq_journal *j)
{
    gq_status status = GQ_OK;
    if (!j)
        return GQ_OK;
    pthread_mutex_lock(&j->lock);
    if (!j->broken && j->fd >= 0 && write_anew(j) != GQ_OK) {
        status = j->broken || j->due ? GQ_ERR_IO : write_pending(j);
        if (status == GQ_OK)
            status = wait_durable(j, j->written);
    }
    pthread_mutex_unlock(&j->lock);
    destroy(j);
    return status;
}
