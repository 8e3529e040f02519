#include "pipeline/dead_letter_format.h"
#include <stdio.h>
#include <string.h>
#include "base/frame.h"
#include "pipeline/suspects.h"

#define FILE_MAGIC "GQDEADS\n"
#define LETTER_MAGIC 0x4c445147u /* "GQDL" */
#define BODILESS 1u
#define LIFE_SHIFT 1

const char *gq_dead_class_name(uint16_t kind)
{
    static const char *const names[] = {"?", "failed", "too_long", "fault", "hang"};
    _Static_assert(sizeof names / sizeof *names == GQ_DEAD_CLASS_END, "each class has a name");
    return names[kind < GQ_DEAD_CLASS_END ? kind : 0];
}

static void tell_fault(struct gq_dead_letter *letter, uint32_t code, char *text, size_t size)
{
    char how[64];
    gq_fault_describe(code, how, sizeof how);
    letter->kind = code == GQ_FAULT_TIME ? GQ_DEAD_HANG : GQ_DEAD_FAULT;
    snprintf(text, size, "the plugin %s each time the message was tried", how);
}

static void tell_length(struct gq_dead_letter *letter, uint32_t len, char *text, size_t size)
{
    letter->kind = GQ_DEAD_TOO_LONG;
    if (len > 0)
        snprintf(text, size, "the plugin reported a result of %u bytes, more than queue.slot_bytes", len);
    else
        snprintf(text, size, "the plugin reported a result of more bytes than queue.slot_bytes");
}

void gq_dead_tell(struct gq_dead_letter *letter, const struct gq_dead_end *end, char *text, size_t size)
{
    letter->code = (uint16_t)end->code;
    letter->reason = text;
    if (end->status == GQ_RESULT_FAULTED) {
        letter->attempts += gq_deaths_of(end->retries);
        tell_fault(letter, end->code, text, size);
    } else if (end->status == GQ_RESULT_FAILED) {
        letter->attempts += 1 + end->retries;
        letter->kind = GQ_DEAD_FAILED;
        snprintf(text, size, "the plugin failed the message with code %u", end->code);
    } else {
        letter->attempts += 1;
        tell_length(letter, end->len, text, size);
    }
}

/* --- writing ------------------------------------------------------------------------------------------------------ */

static void put_piece(struct gq_text *t, const void *bytes, size_t len)
{
    gq_frame_put_le(t, len, 4);
    gq_text_add(t, bytes, len);
}

static void put_string(struct gq_text *t, const char *s) { put_piece(t, s, strlen(s) + 1); }

void gq_dead_write_header(struct gq_text *out, uint64_t unix_ns)
{
    gq_frame_put_header(out, FILE_MAGIC, GQ_DEAD_VERSION, unix_ns);
}

static void put_body(struct gq_text *t, const struct gq_dead_letter *l)
{
    gq_frame_put_le(t, l->id, 8);
    gq_frame_put_le(t, l->position, 8);
    gq_frame_put_le(t, l->first_ns, 8);
    gq_frame_put_le(t, l->dead_ns, 8);
    gq_frame_put_le(t, l->attempts, 4);
    gq_frame_put_le(t, l->stage, 4);
    gq_frame_put_le(t, l->version, 4);
    gq_frame_put_le(t, l->kind, 2);
    gq_frame_put_le(t, l->code, 2);
    gq_frame_put_le(t, (uint64_t)l->life << LIFE_SHIFT | (l->bodiless ? BODILESS : 0), 4);
    put_string(t, l->stage_name);
    put_string(t, l->plugin);
    put_string(t, l->digest);
    put_string(t, l->reason);
    put_piece(t, l->message, l->message_len);
}

gq_status gq_dead_write_letter(struct gq_text *out, const struct gq_dead_letter *letter)
{
    const size_t begun = gq_frame_begin(out);
    put_body(out, letter);
    if (out->failed)
        return gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for a dead letter");
    if (out->len - begun - GQ_FRAME_BYTES > GQ_DEAD_BODY_MAX)
        return gq_error_set(GQ_ERR_INTERNAL, "a dead letter is larger than the %u bytes that it may have",
                            GQ_DEAD_BODY_MAX);
    gq_frame_end(out, begun, LETTER_MAGIC);
    return GQ_OK;
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

static const char *take_string(struct gq_frame_cursor *c)
{
    const size_t len = gq_frame_take_le(c, 4);
    const uint8_t *at = gq_frame_take(c, len);
    c->good = at && len > 0 && memchr(at, 0, len) == at + len - 1;
    return c->good ? (const char *)at : "";
}

gq_status gq_dead_read_header(const uint8_t bytes[GQ_DEAD_HEADER_BYTES])
{
    uint64_t unix_ns;
    return gq_frame_read_header(bytes, FILE_MAGIC, GQ_DEAD_VERSION, "file of dead letters", &unix_ns);
}

bool gq_dead_read_frame(const uint8_t bytes[GQ_DEAD_FRAME_BYTES], uint32_t *body_bytes, uint64_t *name)
{
    return gq_frame_read(bytes, LETTER_MAGIC, body_bytes, name) && *body_bytes <= GQ_DEAD_BODY_MAX;
}

bool gq_dead_read_body(const uint8_t *body, uint32_t len, uint64_t name, struct gq_dead_letter *out)
{
    struct gq_frame_cursor c = {body, len, true};
    if (gq_frame_checksum(body, len) != name)
        return false;
    *out = (struct gq_dead_letter){0};
    out->id = gq_frame_take_le(&c, 8);
    out->position = gq_frame_take_le(&c, 8);
    out->first_ns = gq_frame_take_le(&c, 8);
    out->dead_ns = gq_frame_take_le(&c, 8);
    out->attempts = (uint32_t)gq_frame_take_le(&c, 4);
    out->stage = (uint32_t)gq_frame_take_le(&c, 4);
    out->version = (uint32_t)gq_frame_take_le(&c, 4);
    out->kind = (uint16_t)gq_frame_take_le(&c, 2);
    out->code = (uint16_t)gq_frame_take_le(&c, 2);
    const uint32_t flags = (uint32_t)gq_frame_take_le(&c, 4);
    out->bodiless = flags & BODILESS;
    out->life = flags >> LIFE_SHIFT;
    out->stage_name = take_string(&c);
    out->plugin = take_string(&c);
    out->digest = take_string(&c);
    out->reason = take_string(&c);
    out->message_len = (uint32_t)gq_frame_take_le(&c, 4);
    out->message = gq_frame_take(&c, out->message_len);
    return c.good && c.left == 0;
}
