/* What an earlier process left in a journal. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include "base/assert.h"
#include "pipeline/journal.h"

gq_status gq_journal_map(const struct gq_journal *j, struct gq_journal_image *out)
{
    struct stat info;
    *out = (struct gq_journal_image){0};
    if (fstat(j->fd, &info) != 0)
        return gq_error_errno(GQ_ERR_IO, errno, "the journal %s", j->path);
    if (info.st_size == 0)
        return GQ_OK;
    void *bytes = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_SHARED, j->fd, 0);
    if (bytes == MAP_FAILED)
        return gq_error_errno(GQ_ERR_NO_MEMORY, errno, "reading the journal %s", j->path);
    *out = (struct gq_journal_image){bytes, (uint64_t)info.st_size};
    return GQ_OK;
}

void gq_journal_unmap(struct gq_journal_image *image)
{
    if (image->bytes)
        munmap(image->bytes, (size_t)image->size);
    *image = (struct gq_journal_image){0};
}

/* --- records ------------------------------------------------------------------------------------------------------ */

struct reading {
    struct gq_journal *j;
    const struct gq_journal_image *image;
    uint64_t at, number; /* of the record that is read */
    uint32_t capacity;   /* of the lanes, as the file says */
    bool sealed;
};

static bool is_power(uint32_t n) { return n >= GQ_CAPACITY_MIN && n <= GQ_CAPACITY_MAX && (n & (n - 1)) == 0; }

static bool begin(struct reading *r, const struct gq_journal_record *record)
{
    if (r->number != 0 || !is_power(record->capacity))
        return false;
    r->capacity = record->capacity;
    if (r->j->mask < record->capacity - 1)
        r->j->mask = record->capacity - 1;
    return true;
}

static bool begin_lane(struct reading *r, const struct gq_journal_record *record)
{
    if (r->sealed || record->lane >= GQ_LANES_MAX || r->j->lane[record->lane].places || record->first > record->next ||
        record->next - record->first > r->capacity || record->next > GQ_JOURNAL_SEQ_END)
        return false;
    r->j->lane[record->lane].first = r->j->lane[record->lane].next = record->first;
    return true;
}

static bool add_message(struct reading *r, const struct gq_journal_record *record)
{
    if (record->lane >= GQ_LANES_MAX)
        return false;
    struct gq_journal_lane *lane = &r->j->lane[record->lane];
    if (record->first != lane->next || lane->next - lane->first >= r->capacity || lane->next >= GQ_JOURNAL_SEQ_END)
        return false;
    *gq_journal_place(r->j, record->lane, record->first) = r->at;
    lane->next++;
    return true;
}

static bool take_messages(struct reading *r, struct gq_journal_record *record)
{
    struct gq_journal_range range;
    while (gq_journal_get_range(record, &range)) {
        if (range.lane >= GQ_LANES_MAX || range.count > r->capacity)
            return false;
        for (uint64_t i = 0; i < range.count; i++)
            if (!gq_journal_mark_taken(r->j, range.lane, range.first + i))
                return false;
    }
    return true;
}

/* False: no journal says this here. GQ_ERR_NO_MEMORY is left in *status. */
static bool apply(struct reading *r, struct gq_journal_record *record, gq_status *status)
{
    if ((r->number == 0) != (record->kind == GQ_JOURNAL_BEGIN))
        return false;
    switch (record->kind) {
    case GQ_JOURNAL_BEGIN:
        return begin(r, record);
    case GQ_JOURNAL_LANE:
        return begin_lane(r, record) && (*status = gq_journal_use_lane(r->j, record->lane)) == GQ_OK;
    case GQ_JOURNAL_MESSAGE:
        return record->lane < GQ_LANES_MAX && (*status = gq_journal_use_lane(r->j, record->lane)) == GQ_OK &&
               add_message(r, record);
    case GQ_JOURNAL_TAKEN:
        return take_messages(r, record);
    case GQ_JOURNAL_SEAL:
        r->sealed = true;
        return true;
    case GQ_JOURNAL_KIND_END:
        break;
    }
    return false;
}

/* --- damage ------------------------------------------------------------------------------------------------------- */

/* Is there a record further on that was made when what is here was safe? */
static bool was_safe(const struct reading *r)
{
    struct gq_journal_record record;
    uint64_t end;
    for (uint64_t at = r->at + 1; at < r->image->size; at++)
        if (gq_journal_get(r->image->bytes, r->image->size, r->j->stamp, at, &record, &end) && record.safe > r->at)
            return true;
    return false;
}

static gq_status refuse(const struct reading *r)
{
    if (!r->sealed)
        return gq_error_set(GQ_ERR_DATA,
                            "%s: the journal is damaged at byte %" PRIu64
                            ", in the part that is never written twice: put a copy in its place, or move it out of the "
                            "way, which gives up the messages in it",
                            r->j->path, r->at);
    return gq_error_set(GQ_ERR_DATA,
                        "%s: the journal is damaged at byte %" PRIu64 ", behind %" PRIu64
                        " whole records and before others: put a copy in its place, or give up what follows with "
                        "truncate -s %" PRIu64 " %s",
                        r->j->path, r->at, r->number, r->at, r->j->path);
}

/* A file gets its name when it is sealed and durable, so before the seal there is nothing that a crash could tear. */
static gq_status end_reading(const struct reading *r)
{
    if (r->at == r->image->size && r->sealed)
        return GQ_OK;
    if (!r->sealed || was_safe(r))
        return refuse(r);
    r->j->torn_bytes = r->image->size - r->at;
    return GQ_OK;
}

static gq_status read_records(struct reading *r)
{
    struct gq_journal_record record;
    uint64_t end;
    gq_status status = GQ_OK;
    while (gq_journal_get(r->image->bytes, r->image->size, r->j->stamp, r->at, &record, &end)) {
        if (!apply(r, &record, &status))
            return status == GQ_OK ? refuse(r) : status;
        r->at = end;
        r->number++;
    }
    return end_reading(r);
}

static gq_status read_image(struct gq_journal *j, const struct gq_journal_image *image)
{
    if (image->size == 0)
        return GQ_OK;
    if (image->size < GQ_FRAME_HEADER_BYTES)
        return gq_error_set(GQ_ERR_DATA, "%s: is no journal: name another", j->path);
    gq_status status = gq_journal_get_header(image->bytes, &j->stamp);
    if (status != GQ_OK)
        return gq_error_prefix(status, "%s: ", j->path);
    struct reading r = {.j = j, .image = image, .at = GQ_FRAME_HEADER_BYTES};
    return read_records(&r);
}

/* --- what fits ---------------------------------------------------------------------------------------------------- */

static gq_status check_fits(const struct gq_journal *j)
{
    for (uint32_t i = 0; i < GQ_LANES_MAX; i++) {
        const uint64_t held = j->lane[i].next - j->lane[i].first;
        uint64_t enough = j->opts.capacity;
        while (enough < held)
            enough *= 2;
        if (held > j->opts.capacity)
            return gq_error_set(
                GQ_ERR_CONFIG,
                "%s: a lane holds %" PRIu64
                " messages that an earlier run accepted, and queue.capacity is %u: raise it to %" PRIu64,
                j->path, held, j->opts.capacity, enough);
    }
    return GQ_OK;
}

gq_status gq_journal_load(struct gq_journal *j)
{
    struct gq_journal_image image;
    gq_status status = gq_journal_map(j, &image);
    if (status == GQ_OK)
        status = read_image(j, &image);
    gq_journal_unmap(&image);
    return status == GQ_OK ? check_fits(j) : status;
}
