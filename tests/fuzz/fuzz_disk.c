/* Any bytes where a disk should have kept ours: a checkpoint's records, an entry of the cache, a file of pins. What is
 * damaged counts for nothing, or is an error; what somebody forged, with a digest that holds, does no harm either.
 */
#include "fuzz.h"
#include <string.h>
#include "base/digest.h"
#include "build/cache.h"
#include "build/pin.h"
#include "connect/checkpoint.h"
#include "connect/connect.h"
#include "folder.h"
#include "input.h"

#define KEY "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static uint64_t length_of(const char *name)
{
    struct stat info;
    return stat(folder_path(name), &info) == 0 ? (uint64_t)info.st_size : 0;
}

static void add_text(const struct input *in, struct gq_text *out)
{
    gq_text_add(out, in->at, (size_t)(in->end - in->at));
    gq_assert(!out->failed);
}

/* --- checkpoints -----------------------------------------------------------------------------------------------------
 */

#define PLACE_BYTES 4096u
#define RECORD_BYTES 112u
#define DIGEST_BYTES 32u
#define IN_BYTES 40u
#define OUT_BYTES 30u

static struct gq_conf *conf;

static void make_conf(void)
{
    struct gq_text text = {0}, errors = {0};
    size_t count;
    folder_write("in.txt", "one\ntwo\nthree\nfour\nfive\nsix\nseven\neight\n", IN_BYTES);
    gq_text_printf(&text,
                   "version: 1\nsource: { file: { path: %s } }\nstages: [{ plugin: \"builtin:echo\" }]\n"
                   "sink: { file: { path: %s } }\ndelivery: exactly_once\n",
                   folder_path("in.txt"), folder_path("out.txt"));
    gq_status status = gq_conf_parse("fuzz.yaml", text.data, text.len, &errors, &count, &conf);
    gq_assert(status == GQ_OK);
    gq_text_finish(&text);
    gq_text_finish(&errors);
}

/* Two records as a run leaves them. */
static void commit_two(void)
{
    struct gq_checkpoint *c;
    struct gq_checkpoint_mark mark;
    unlink(folder_path("out.txt.checkpoint"));
    gq_status status = gq_checkpoint_open(conf, &c, &mark);
    for (uint64_t i = 1; i <= 2 && status == GQ_OK; i++) {
        mark = (struct gq_checkpoint_mark){4 * i, i, 3 * i, 7};
        status = gq_checkpoint_commit(c, &mark);
    }
    gq_assert(status == GQ_OK);
    gq_checkpoint_close(c);
}

/* Writes over them, and seals those that are to be forged. */
static void damage(struct input *in, bool forge)
{
    uint8_t file[PLACE_BYTES + RECORD_BYTES] = {0};
    struct gq_text text = {0};
    gq_status status = gq_file_read(folder_path("out.txt.checkpoint"), sizeof file, &text);
    gq_assert(status == GQ_OK);
    memcpy(file, text.data, text.len);
    while (!input_ended(in)) {
        const size_t place = input_choice(in, 2) * PLACE_BYTES, at = place + input_choice(in, RECORD_BYTES - 8);
        const uint64_t word = input_any(in);
        memcpy(file + at, &word, 8);
        if (forge)
            gq_digest_bytes(file + place, RECORD_BYTES - DIGEST_BYTES, file + place + RECORD_BYTES - DIGEST_BYTES);
    }
    folder_write("out.txt.checkpoint", file, sizeof file);
    gq_text_finish(&text);
}

static void go_on_from(const struct gq_checkpoint_mark *from)
{
    struct gq_source *source = NULL;
    struct gq_sink *sink = NULL;
    uint8_t line[256];
    uint32_t len, lines = 0;
    gq_status status = gq_source_file.open(conf, -1, &source);
    gq_assert(status == GQ_OK);
    if (source->ops->resume(source, from->position, from->records) == GQ_OK) {
        gq_assert(from->position <= IN_BYTES);
        while (source->ops->next(source, line, sizeof line, &len, true) == GQ_NEXT_MESSAGE)
            gq_assert(len <= sizeof line && ++lines <= IN_BYTES);
    }
    source->ops->close(source);
    status = gq_sink_file.open(conf, &(struct gq_sink_run){-1, -1, NULL, NULL}, &sink);
    gq_assert(status == GQ_OK);
    if (sink->ops->resume(sink, from->out_bytes) == GQ_OK)
        gq_assert(length_of("out.txt") == from->out_bytes && from->out_bytes <= OUT_BYTES);
    sink->ops->close(sink);
}

static void read_checkpoint(struct input *in, bool forge)
{
    struct gq_checkpoint *c;
    struct gq_checkpoint_mark from;
    if (!conf)
        make_conf();
    folder_write("out.txt", "results of twenty and ten bytes", OUT_BYTES);
    commit_two();
    damage(in, forge);
    const gq_status status = gq_checkpoint_open(conf, &c, &from);
    gq_assert(status == GQ_OK || status == GQ_ERR_CONFIG || status == GQ_ERR_DATA);
    if (status != GQ_OK)
        return;
    gq_assert(forge || (from.records <= 2 && from.position == 4 * from.records && from.out_bytes == 3 * from.records));
    go_on_from(&from);
    gq_checkpoint_close(c);
}

/* --- the cache -------------------------------------------------------------------------------------------------------
 */

#define SUM_AT 16u /* in an entry: behind its format */
#define SUMMED_AT (SUM_AT + DIGEST_BYTES)

static void use_entry(const struct gq_entry *e)
{
    uint8_t sum[DIGEST_BYTES];
    gq_digest_bytes(e->object, e->object_len, sum); /* reads them all */
    gq_digest_bytes(e->headers, e->headers_len, sum);
    gq_digest_bytes(e->header_digests, (size_t)e->header_count * DIGEST_BYTES, sum);
    gq_assert(strlen(e->plugin) + strlen(e->log) < SIZE_MAX / 2);
}

static bool show(const struct gq_cache_item *item, void *shown)
{
    gq_assert(strcmp(item->key, KEY) == 0 && item->plugin);
    ++*(unsigned *)shown;
    return true;
}

static void read_entry(struct input *in, bool forge)
{
    struct gq_text bytes = {0}, read = {0};
    struct gq_entry entry = {.plugin = "plugin.cu", .log = "", .object = "object", .object_len = 6};
    unsigned shown = 0;
    gq_entry_pack(&entry, &bytes);
    const size_t head = bytes.len;
    while (!input_ended(in) && input_byte(in) < 0xf0) { /* over the head, and then what follows */
        const uint64_t at = input_byte(in), word = input_any(in);
        if (SUMMED_AT + at + 8 <= head)
            memcpy(bytes.data + SUMMED_AT + at, &word, 8);
    }
    add_text(in, &bytes);
    if (forge)
        gq_digest_bytes(bytes.data + SUMMED_AT, bytes.len - SUMMED_AT, (uint8_t *)bytes.data + SUM_AT);
    folder_write(KEY ".gpuq", bytes.data, bytes.len);
    if (gq_cache_get(folder, KEY, &read, &entry)) {
        gq_assert(forge || bytes.len == head);
        use_entry(&entry);
    }
    gq_status status = gq_cache_list(folder, show, &shown);
    gq_assert(status == GQ_OK && shown == 1);
    gq_text_finish(&bytes);
    gq_text_finish(&read);
}

/* --- pins ------------------------------------------------------------------------------------------------------------
 */

#define PLUGIN "void process_message() {}\n"

static const char *digest_of_plugin(void)
{
    static char hex[2 * DIGEST_BYTES + 1];
    uint8_t raw[DIGEST_BYTES];
    gq_digest_bytes(PLUGIN, sizeof PLUGIN - 1, raw);
    for (size_t i = 0; i < sizeof raw; i++)
        snprintf(hex + 2 * i, 3, "%02x", raw[i]);
    return hex;
}

static bool has(const struct gq_text *text, const char *part)
{
    return memmem(text->data, text->len, part, strlen(part)) != NULL;
}

/* The plugin's own pin, behind whatever there is: it counts if all that is before it is pins and remarks. */
static void read_pins(struct input *in, bool pinned)
{
    static struct gq_scan scan;
    struct gq_text pins = {0}, own_pin = {0};
    add_text(in, &pins);
    gq_text_puts(&pins, "\n");
    folder_write("plugin.cu", PLUGIN, sizeof PLUGIN - 1);
    gq_status status = gq_scan_plugin(folder_path("plugin.cu"), GQ_SCAN_CPU, &scan);
    gq_assert(status == GQ_OK);
    if (pinned)
        gq_pins_print(folder_path("plugin.cu"), &own_pin);
    gq_text_puts(&pins, gq_text_str(&own_pin));
    folder_write("pins", pins.data, pins.len);
    status = gq_pins_check(folder_path("pins"), &scan);
    const bool own = has(&pins, "plugin.cu") && has(&pins, digest_of_plugin());
    const bool wrong = status != GQ_OK && strstr(gq_error_text(), ":1: error: this line is no pin: ");
    gq_assert(status == GQ_OK || status == GQ_ERR_PLUGIN);
    gq_assert(status != GQ_OK || own);
    gq_assert(!pinned || wrong || status == GQ_OK);
    gq_scan_finish(&scan);
    gq_text_finish(&own_pin);
    gq_text_finish(&pins);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct input in = {bytes, bytes + len};
    const uint32_t kind = input_byte(&in);
    folder_make();
    if (kind % 3 == 0)
        read_checkpoint(&in, kind & 4);
    else if (kind % 3 == 1)
        read_entry(&in, kind & 4);
    else
        read_pins(&in, kind & 4);
    return 0;
}
