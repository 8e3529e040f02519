#include "pipeline/dead_letter_format.h"
#include <stdio.h>
#include <string.h>
#include "base/digest.h"
#include "pipeline/suspects.h"

#define FILE_MAGIC "GQDEADS\n"
#define LETTER_MAGIC 0x4c445147u /* "GQDL" */
#define BODILESS 1u

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

static uint64_t checksum(const void *bytes, size_t len)
{
    uint8_t digest[32];
    uint64_t sum = 0;
    gq_digest_bytes(bytes, len, digest);
    for (size_t i = 0; i < 8; i++)
        sum |= (uint64_t)digest[i] << (8 * i);
    return sum;
}

/* --- writing ------------------------------------------------------------------------------------------------------ */

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

static void put_string(struct gq_text *t, const char *s) { put_piece(t, s, strlen(s) + 1); }

void gq_dead_write_header(struct gq_text *out, uint64_t unix_ns)
{
    struct gq_text head = {0};
    gq_text_add(&head, FILE_MAGIC, 8);
    put_le(&head, GQ_DEAD_VERSION, 4);
    put_le(&head, GQ_DEAD_HEADER_BYTES, 4);
    put_le(&head, unix_ns, 8);
    gq_text_add(out, gq_text_str(&head), head.len);
    put_le(out, checksum(gq_text_str(&head), head.len), 8);
    out->failed = out->failed || head.failed;
    gq_text_finish(&head);
}

static void put_body(struct gq_text *t, const struct gq_dead_letter *l)
{
    put_le(t, l->id, 8);
    put_le(t, l->position, 8);
    put_le(t, l->first_ns, 8);
    put_le(t, l->dead_ns, 8);
    put_le(t, l->attempts, 4);
    put_le(t, l->stage, 4);
    put_le(t, l->version, 4);
    put_le(t, l->kind, 2);
    put_le(t, l->code, 2);
    put_le(t, l->bodiless ? BODILESS : 0, 4);
    put_string(t, l->stage_name);
    put_string(t, l->plugin);
    put_string(t, l->digest);
    put_string(t, l->reason);
    put_piece(t, l->message, l->message_len);
}

gq_status gq_dead_write_letter(struct gq_text *out, const struct gq_dead_letter *letter)
{
    struct gq_text body = {0};
    put_body(&body, letter);
    const bool fits = body.len <= GQ_DEAD_BODY_MAX;
    if (fits) {
        put_le(out, LETTER_MAGIC, 4);
        put_le(out, body.len, 4);
        put_le(out, ~(uint32_t)body.len, 4);
        put_le(out, checksum(gq_text_str(&body), body.len), 8);
        gq_text_add(out, gq_text_str(&body), body.len);
    }
    const bool failed = body.failed || out->failed;
    gq_text_finish(&body);
    if (failed)
        return gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for a dead letter");
    return fits ? GQ_OK
                : gq_error_set(GQ_ERR_INTERNAL, "a dead letter is larger than the %u bytes that it may have",
                               GQ_DEAD_BODY_MAX);
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

struct cursor {
    const uint8_t *at;
    size_t left;
    bool good;
};

static const uint8_t *take(struct cursor *c, size_t len)
{
    c->good = c->good && len <= c->left;
    if (!c->good)
        return NULL;
    const uint8_t *at = c->at;
    c->at += len;
    c->left -= len;
    return at;
}

static uint64_t take_le(struct cursor *c, size_t bytes)
{
    const uint8_t *at = take(c, bytes);
    uint64_t value = 0;
    for (size_t i = 0; at && i < bytes; i++)
        value |= (uint64_t)at[i] << (8 * i);
    return value;
}

static const char *take_string(struct cursor *c)
{
    const size_t len = take_le(c, 4);
    const uint8_t *at = take(c, len);
    c->good = at && len > 0 && memchr(at, 0, len) == at + len - 1;
    return c->good ? (const char *)at : "";
}

gq_status gq_dead_read_header(const uint8_t bytes[GQ_DEAD_HEADER_BYTES])
{
    struct cursor c = {bytes, GQ_DEAD_HEADER_BYTES, true};
    const uint8_t *magic = take(&c, 8);
    const uint32_t version = (uint32_t)take_le(&c, 4), len = (uint32_t)take_le(&c, 4);
    take(&c, 8);
    if (memcmp(magic, FILE_MAGIC, 8) != 0)
        return gq_error_set(GQ_ERR_DATA, "is no file of dead letters: name another");
    if (version != GQ_DEAD_VERSION)
        return gq_error_set(GQ_ERR_DATA,
                            "is a file of dead letters of version %u, and this release reads version %u: use the gpuq "
                            "that wrote it",
                            version, GQ_DEAD_VERSION);
    if (len != GQ_DEAD_HEADER_BYTES || take_le(&c, 8) != checksum(bytes, GQ_DEAD_HEADER_BYTES - 8))
        return gq_error_set(GQ_ERR_DATA, "is a file of dead letters with a damaged header");
    return GQ_OK;
}

bool gq_dead_read_frame(const uint8_t bytes[GQ_DEAD_FRAME_BYTES], uint32_t *body_bytes, uint64_t *name)
{
    struct cursor c = {bytes, GQ_DEAD_FRAME_BYTES, true};
    const bool magic = take_le(&c, 4) == LETTER_MAGIC;
    *body_bytes = (uint32_t)take_le(&c, 4);
    const bool whole = (uint32_t)take_le(&c, 4) == ~*body_bytes;
    *name = take_le(&c, 8);
    return magic && whole && *body_bytes <= GQ_DEAD_BODY_MAX;
}

bool gq_dead_read_body(const uint8_t *body, uint32_t len, uint64_t name, struct gq_dead_letter *out)
{
    struct cursor c = {body, len, true};
    if (checksum(body, len) != name)
        return false;
    *out = (struct gq_dead_letter){0};
    out->id = take_le(&c, 8);
    out->position = take_le(&c, 8);
    out->first_ns = take_le(&c, 8);
    out->dead_ns = take_le(&c, 8);
    out->attempts = (uint32_t)take_le(&c, 4);
    out->stage = (uint32_t)take_le(&c, 4);
    out->version = (uint32_t)take_le(&c, 4);
    out->kind = (uint16_t)take_le(&c, 2);
    out->code = (uint16_t)take_le(&c, 2);
    out->bodiless = (take_le(&c, 4) & BODILESS) != 0;
    out->stage_name = take_string(&c);
    out->plugin = take_string(&c);
    out->digest = take_string(&c);
    out->reason = take_string(&c);
    out->message_len = (uint32_t)take_le(&c, 4);
    out->message = take(&c, out->message_len);
    return c.good && c.left == 0;
}
