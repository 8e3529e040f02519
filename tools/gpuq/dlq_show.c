#include "dlq.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "base/text.h"
#include "pipeline/dead_letter_read.h"

#define SHOWN_BYTES 1024u

/* What a file says goes to a terminal only so: no byte of it moves the cursor. */
static void add_safe(struct gq_text *out, const void *bytes, size_t len)
{
    const unsigned char *at = bytes;
    for (size_t i = 0; i < len; i++)
        if (at[i] >= 0x20 && at[i] < 0x7f && at[i] != '\\')
            gq_text_add(out, &at[i], 1);
        else
            gq_text_printf(out, "\\x%02x", at[i]);
}

static void add_string(struct gq_text *out, const char *s) { add_safe(out, s, strlen(s)); }

static const char *utc(uint64_t unix_ns, char text[32])
{
    const time_t seconds = (time_t)(unix_ns / 1000000000u);
    struct tm when;
    if (unix_ns == 0 || !gmtime_r(&seconds, &when) || !strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", &when))
        snprintf(text, 32, "unknown");
    return text;
}

/* --- JSON --------------------------------------------------------------------------------------------------------- */

static void json_string(struct gq_text *out, const char *name, const char *value)
{
    gq_text_printf(out, ", \"%s\": ", name);
    gq_text_json(out, value, strlen(value));
}

static void json_letter(struct gq_text *out, const struct gq_dead_reader *r, const struct gq_dead_letter *l)
{
    gq_text_printf(out, "{\"number\": %" PRIu64 ", \"letter\": \"%016" PRIx64 "\", \"id\": %" PRIu64, r->number,
                   r->name, l->id);
    gq_text_printf(out, ", \"position\": %" PRIu64 ", \"first_ns\": %" PRIu64 ", \"dead_ns\": %" PRIu64, l->position,
                   l->first_ns, l->dead_ns);
    gq_text_printf(out, ", \"attempts\": %" PRIu32 ", \"stage\": %" PRIu32 ", \"version\": %" PRIu32 ", \"code\": %u",
                   l->attempts, l->stage, l->version, l->code);
    json_string(out, "class", gq_dead_class_name(l->kind));
    json_string(out, "stage_name", l->stage_name);
    json_string(out, "plugin", l->plugin);
    json_string(out, "digest", l->digest);
    json_string(out, "reason", l->reason);
    gq_text_printf(out, ", \"bodiless\": %s, \"bytes\": %" PRIu32, l->bodiless ? "true" : "false", l->message_len);
}

static void json_message(struct gq_text *out, const struct gq_dead_letter *l)
{
    const uint8_t *at = l->message;
    gq_text_puts(out, ", \"message_hex\": \"");
    for (uint32_t i = 0; i < l->message_len; i++)
        gq_text_printf(out, "%02x", at[i]);
    gq_text_puts(out, "\"");
}

/* --- text --------------------------------------------------------------------------------------------------------- */

static void text_row(struct gq_text *out, const struct gq_dead_reader *r, const struct gq_dead_letter *l)
{
    char when[32];
    gq_text_printf(out, "%6" PRIu64 "  %016" PRIx64 "  %s  %-8s %5u  %4" PRIu32 "  %8" PRIu32 "  ", r->number, r->name,
                   utc(l->dead_ns, when), gq_dead_class_name(l->kind), l->code, l->attempts, l->message_len);
    add_string(out, l->stage_name);
    gq_text_puts(out, ": ");
    add_string(out, l->reason);
    gq_text_puts(out, "\n");
}

static void text_head(struct gq_text *out)
{
    gq_text_printf(out, "%6s  %-16s  %-20s  %-8s %5s  %4s  %8s  %s\n", "number", "letter", "dead", "class", "code",
                   "tries", "bytes", "stage: reason");
}

static void text_line(struct gq_text *out, const char *name, const char *value)
{
    gq_text_printf(out, "%-9s ", name);
    add_string(out, value);
    gq_text_puts(out, "\n");
}

static void text_message(struct gq_text *out, const struct gq_dead_letter *l)
{
    const uint32_t shown = l->message_len < SHOWN_BYTES ? l->message_len : SHOWN_BYTES;
    if (l->bodiless) {
        gq_text_puts(out, "message   made by a source plugin, which makes it again from its position\n");
        return;
    }
    gq_text_printf(out, "message   %" PRIu32 " bytes%s\n", l->message_len,
                   shown < l->message_len ? ", the first 1024; --raw writes all" : "");
    add_safe(out, l->message, shown);
    gq_text_puts(out, "\n");
}

static void text_letter(struct gq_text *out, const struct gq_dead_reader *r, const struct gq_dead_letter *l)
{
    char first[32], dead[32];
    gq_text_printf(out, "letter    %016" PRIx64 ", number %" PRIu64 "\n", r->name, r->number);
    gq_text_printf(out, "message   id %" PRIu64, l->id);
    if (l->position > 0 || l->bodiless)
        gq_text_printf(out, ", number %" PRIu64 " of its source", l->position);
    gq_text_printf(out, "\nclass     %s, code %u, after %" PRIu32 " attempt%s\n", gq_dead_class_name(l->kind), l->code,
                   l->attempts, l->attempts == 1 ? "" : "s");
    text_line(out, "reason", l->reason);
    text_line(out, "stage", l->stage_name);
    text_line(out, "plugin", l->plugin);
    gq_text_printf(out, "version   %" PRIu32 ", ", l->version);
    add_string(out, l->digest);
    gq_text_printf(out, "\naccepted  %s\ndead      %s\n", utc(l->first_ns, first), utc(l->dead_ns, dead));
    text_message(out, l);
}

/* --- verbs -------------------------------------------------------------------------------------------------------- */

/* What became of the output is told by main(), which knows why, and when it needs no sentence. */
static gq_status not_written(void) { return gq_error_set(GQ_ERR_IO, "%s", ""); }

/* Prints what was put together so far and forgets it: a file may be larger than memory. */
static gq_status print(struct gq_text *out)
{
    const bool good = !out->failed && fwrite(gq_text_str(out), 1, out->len, stdout) == out->len;
    const bool memory = out->failed;
    gq_text_clear(out);
    if (memory)
        return gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for a letter");
    return good ? GQ_OK : not_written();
}

static void say_torn(const struct gq_dead_reader *r)
{
    if (r->torn_bytes)
        fprintf(stderr,
                "gpuq dlq: %s: the last %" PRIu64
                " bytes are no whole letter: it is being written, or a crash left them\n",
                r->path, r->torn_bytes);
}

static gq_status finish(struct gq_dead_reader *r, struct gq_text *out, gq_status status)
{
    gq_text_finish(out);
    gq_dead_reader_close(r);
    if (fflush(stdout) != 0 && status == GQ_OK)
        status = not_written();
    return status;
}

gq_status dlq_ls(struct dlq_args *args)
{
    struct gq_dead_reader r;
    struct gq_dead_letter letter;
    struct gq_text out = {0};
    gq_status status = gq_dead_reader_open(&r, args->file), end = status;
    if (status == GQ_OK && args->json) {
        gq_text_puts(&out, "{\"file\": ");
        gq_text_json(&out, args->file, strlen(args->file));
        gq_text_puts(&out, ", \"letters\": [");
        args->listing = true;
    }
    while (status == GQ_OK && (status = end = gq_dead_read(&r, &letter)) == GQ_OK) {
        if (args->json) {
            gq_text_puts(&out, r.number > 1 ? ",\n " : "\n ");
            json_letter(&out, &r, &letter);
            gq_text_puts(&out, "}");
        } else {
            if (r.number == 1)
                text_head(&out);
            text_row(&out, &r, &letter);
        }
        status = print(&out);
    }
    if (end == GQ_ERR_NOT_FOUND) {
        say_torn(&r);
        if (args->json)
            gq_text_printf(&out, "], \"torn_bytes\": %" PRIu64 "}\n", r.torn_bytes);
        status = print(&out);
    }
    if (status != GQ_OK && out.len > 0 && !out.failed) /* the head of a list without a letter */
        (void)fwrite(gq_text_str(&out), 1, out.len, stdout);
    return finish(&r, &out, status);
}

static gq_status show_letter(const struct dlq_args *args, const struct gq_dead_reader *r,
                             const struct gq_dead_letter *l, struct gq_text *out)
{
    if (args->raw && l->bodiless)
        return gq_error_set(GQ_ERR_NOT_FOUND,
                            "%s: letter %s has no bytes: a source plugin made its message, number %" PRIu64, args->file,
                            args->picks[0].word, l->position);
    if (args->raw) {
        gq_text_add(out, l->message, l->message_len);
    } else if (args->json) {
        json_letter(out, r, l);
        json_message(out, l);
        gq_text_puts(out, "}\n");
    } else {
        text_letter(out, r, l);
    }
    return print(out);
}

gq_status dlq_show(struct dlq_args *args)
{
    struct gq_dead_reader r;
    struct gq_dead_letter letter;
    struct gq_text out = {0};
    if (args->json && args->raw)
        return gq_error_set(GQ_ERR_INVALID_ARG, "show takes --json or --raw, not both");
    gq_status status = gq_dead_reader_open(&r, args->file);
    while (status == GQ_OK && (status = gq_dead_read(&r, &letter)) == GQ_OK)
        if (dlq_picked(args, r.name, r.number))
            return finish(&r, &out, show_letter(args, &r, &letter, &out));
    return finish(&r, &out, status == GQ_ERR_NOT_FOUND ? dlq_check_found(args) : status);
}
