#include "ring/express.h"
#include <stdlib.h>
#include <string.h>

static uint64_t stamp_of(uint64_t seq) { return seq + 1; }
static uint32_t line_of(uint64_t seq) { return (uint32_t)(seq % GQ_EXPRESS_LINES); }

static uint64_t *room_of(struct gq_express *e, uint32_t line) { return e->room + (size_t)line * e->bytes / 8; }

struct gq_express *gq_express_make(uint32_t slot_bytes)
{
    const uint32_t bytes = gq_slot_stride(gq_express_bytes(slot_bytes));
    struct gq_express *e = calloc(1, sizeof *e + (size_t)GQ_EXPRESS_LINES * bytes);
    if (e)
        e->bytes = bytes;
    return e;
}

void gq_express_send(struct gq_express *e, const struct gq_lane_view *v, uint64_t seq, uint32_t len)
{
    const uint64_t stamp = stamp_of(seq), *words = (const uint64_t *)gq_slot_in(v, seq);
    struct gq_unit *unit = gq_express_line(v, v->in_express, seq);
    if (len > gq_express_bytes(v->slot_bytes))
        return;
    /* Before the line: an answer may come at once. */
    __atomic_store_n(&e->sent[line_of(seq)], stamp, __ATOMIC_RELEASE);
    const uint32_t units = gq_express_units(len);
    for (uint32_t i = GQ_EXPRESS_HEAD; i < units; i++)
        gq_store_unit(&unit[i], stamp, words[i - GQ_EXPRESS_HEAD]); /* R6 pairs A6 */
    gq_store_unit(&unit[1], stamp, len);
    gq_store_unit(&unit[0], stamp, 0); /* R6 pairs A6 */
}

static bool sent_by_express(const struct gq_express *e, uint64_t seq)
{
    return __atomic_load_n(&e->sent[line_of(seq)], __ATOMIC_ACQUIRE) == stamp_of(seq);
}

/* Reads unit i; true if it is of message seq. */
static bool load(const struct gq_unit *line, uint32_t i, uint64_t seq, uint64_t *data)
{
    uint64_t stamp;
    gq_load_unit(&line[i], &stamp, data); /* A6 pairs R6 */
    return stamp == stamp_of(seq);
}

bool gq_express_hint(const struct gq_express *e, const struct gq_lane_view *v, uint64_t seq)
{
    uint64_t data;
    return sent_by_express(e, seq) && load(gq_express_line(v, v->out_express, seq), 0, seq, &data);
}

bool gq_express_ready(struct gq_express *e, const struct gq_lane_view *v, uint64_t seq, uint32_t *len, uint64_t *meta)
{
    const uint32_t n = line_of(seq), most = gq_express_bytes(v->slot_bytes);
    const struct gq_unit *line = gq_express_line(v, v->out_express, seq);
    uint64_t len64, *to = room_of(e, n);
    if (!sent_by_express(e, seq))
        return false;
    if (e->taken[n] != stamp_of(seq)) {
        if (!load(line, 0, seq, &e->meta[n]) || !load(line, 1, seq, &len64))
            return false;
        const bool ok = gq_meta_status(e->meta[n]) == GQ_RESULT_OK;
        /* The device's words are not trusted: bytes beyond the line are reported as bytes beyond the slot. */
        e->len[n] = ok && len64 > most ? UINT32_MAX : (uint32_t)len64;
        for (uint32_t i = GQ_EXPRESS_HEAD; ok && len64 <= most && i < gq_express_units(e->len[n]); i++)
            if (!load(line, i, seq, &to[i - GQ_EXPRESS_HEAD]))
                return false;
        e->taken[n] = stamp_of(seq);
    }
    *len = e->len[n];
    *meta = e->meta[n];
    return true;
}

void gq_express_forget(struct gq_express *e, uint64_t seq)
{
    if (e->taken[line_of(seq)] == stamp_of(seq))
        e->taken[line_of(seq)] = 0;
}

const uint8_t *gq_express_data(struct gq_express *e, uint64_t seq) { return (const uint8_t *)room_of(e, line_of(seq)); }
