#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "base/assert.h"
#include "base/file.h"
#include "config/golden.h"
#include "config/read.h"
#include "config/value.h"

#define LANE_BYTES_MAX ((uint64_t)8 << 30)

/* The node at a path of keys, NULL if the file does not have it. */
static struct gq_yaml *find(struct gq_yaml *node, const char *path)
{
    while (node && *path) {
        size_t len = strcspn(path, ".");
        struct gq_yaml *found = NULL;
        for (size_t i = 0; i < node->count && !found; i++)
            if (node->items[i]->key && strncmp(node->items[i]->key, path, len) == 0 && node->items[i]->key[len] == '\0')
                found = node->items[i];
        node = found;
        path += len + (path[len] == '.');
    }
    return node;
}

static struct gq_yaml *find_below(struct gq_yaml *node, const char *a, const char *b)
{
    struct gq_yaml *middle = find(node, a);
    return middle ? find(middle, b) : NULL;
}

/* Absent, or read without a problem: then the field behind it can be used. */
static bool is_good(const struct gq_yaml *node) { return !node || !node->bad; }

/* --- sizes ---------------------------------------------------------------------------------------------------------
 */

static void say_bytes(uint64_t bytes, struct gq_text *out)
{
    gq_value_print_bytes(bytes, out);
    gq_text_puts(out, bytes == 0 || bytes % 1024 != 0 ? " bytes" : "");
}

static void check_fits_slot(struct gq_reading *r, struct gq_yaml *root, struct gq_yaml *at, uint64_t bytes)
{
    if (!at || at->bad || !is_good(find(root, "queue.slot_bytes")) || bytes <= r->conf->slot_bytes)
        return;
    struct gq_text message = {0};
    gq_text_puts(&message, "messages of ");
    say_bytes(bytes, &message);
    gq_text_puts(&message, " do not fit a slot of ");
    say_bytes(r->conf->slot_bytes, &message);
    gq_read_refuse(r, at, false, "%s: lower it, or raise queue.slot_bytes", gq_text_str(&message));
    gq_text_finish(&message);
}

static void check_records(struct gq_reading *r, struct gq_yaml *root, struct gq_yaml *source)
{
    struct gq_yaml *split = find(source, "split"), *record = find(source, "record_bytes");
    if (!is_good(split))
        return;
    if (r->conf->source.split == GQ_FRAME_FIXED && !record && !source->cut)
        gq_read_refuse(r, split, false, "fixed needs the key 'record_bytes' beside it: the length of every message");
    else if (r->conf->source.split != GQ_FRAME_FIXED && record && !record->bad)
        gq_read_refuse(r, record, true, "only split: fixed takes it, and split is %s",
                       gq_framing_name(r->conf->source.split));
    else if (record)
        check_fits_slot(r, root, record, r->conf->source.record_bytes);
}

static void check_source(struct gq_reading *r, struct gq_yaml *root)
{
    static const char *const framed[] = {"source.file", "source.stdin"};
    if (!is_good(find(root, "source")))
        return;
    for (size_t i = 0; i < sizeof framed / sizeof *framed; i++) {
        struct gq_yaml *source = find(root, framed[i]);
        if (source && !source->bad)
            check_records(r, root, source);
    }
    struct gq_yaml *generate = find(root, "source.generate");
    struct gq_yaml *bytes = find(root, "source.generate.bytes");
    if (generate && !generate->bad && is_good(bytes))
        check_fits_slot(r, root, bytes ? bytes : generate, r->conf->source.bytes);
}

static void check_memory(struct gq_reading *r, struct gq_yaml *root)
{
    struct gq_yaml *queue = find(root, "queue");
    if (!queue || queue->bad || !is_good(find(queue, "capacity")) || !is_good(find(queue, "slot_bytes")))
        return;
    struct gq_conf_lane_bytes lane = gq_conf_lane_bytes(r->conf->capacity, r->conf->slot_bytes);
    if (lane.ingress + lane.egress > LANE_BYTES_MAX)
        gq_read_refuse(
            r, queue, false,
            "capacity %u with slot_bytes %u takes %llu MiB for each lane, %llu MiB are allowed: lower one of them",
            r->conf->capacity, r->conf->slot_bytes, (unsigned long long)((lane.ingress + lane.egress) >> 20),
            (unsigned long long)(LANE_BYTES_MAX >> 20));
}

/* --- names ---------------------------------------------------------------------------------------------------------
 */

static char *name_of_file(const char *path)
{
    const char *builtin = gq_builtin_name(path);
    char *stem = gq_path_stem(builtin ? builtin : path);
    char *name = stem ? gq_value_make_name(stem) : NULL;
    free(stem);
    return name;
}

static void default_name(struct gq_reading *r, char **name, const char *path)
{
    if (*name || !path)
        return;
    *name = name_of_file(path);
    r->no_memory = r->no_memory || !*name;
}

static void check_stage_name(struct gq_reading *r, struct gq_yaml *stage, size_t i)
{
    const struct gq_conf_stage *stages = r->conf->stages;
    for (size_t j = 0; j < i && stages[i].name; j++) {
        if (!stages[j].name || strcmp(stages[i].name, stages[j].name) != 0)
            continue;
        struct gq_yaml *name = find(stage, "name");
        gq_read_refuse(r, name ? name : stage, false,
                       "the name '%s' is taken by stages[%zu]: give each stage a name of its own", stages[i].name, j);
        return;
    }
}

static void check_names(struct gq_reading *r, struct gq_yaml *root)
{
    struct gq_conf *conf = r->conf;
    struct gq_yaml *stages = find(root, "stages");
    if (is_good(find(root, "name")))
        default_name(r, &conf->name, conf->file);
    for (size_t i = 0; i < conf->stage_count; i++) {
        struct gq_yaml *stage = stages->items[i];
        if (stage->bad || !is_good(find(stage, "name")))
            continue;
        default_name(r, &conf->stages[i].name, conf->stages[i].plugin);
        check_stage_name(r, stage, i);
    }
}

/* --- files ---------------------------------------------------------------------------------------------------------
 */

/* The file is there without its section, and so is the section's default. */
static void default_dead_letter_bytes(struct gq_conf *conf)
{
    const struct gq_schema_row *row = NULL;
    static const char *const keys[] = {"on_error", "dead_letter", "file", "max_bytes"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        row = gq_schema_find(row, keys[i]);
    struct gq_text why = {0};
    const bool good = gq_value_number(row, row->fallback, &conf->dead_bytes, &why);
    gq_assert(good);
    gq_text_finish(&why);
}

static void default_dead_letter(struct gq_reading *r, struct gq_yaml *root)
{
    struct gq_conf *conf = r->conf;
    conf->own_letters = find(root, "on_error.dead_letter") != NULL;
    if (conf->sink.kind == GQ_SINK_API || !conf->name || conf->own_letters)
        return;
    struct gq_text file = {0};
    gq_text_printf(&file, "%s.dlq", conf->name);
    conf->dead_letter = file.failed ? NULL : gq_path_join(conf->folder, file.data);
    r->no_memory = r->no_memory || !conf->dead_letter;
    default_dead_letter_bytes(conf);
    gq_text_finish(&file);
}

static void check_apart(struct gq_reading *r, struct gq_yaml *at, const char *what, const char *path,
                        const char *other_what, const char *other)
{
    if (path && other && !at->bad && gq_path_same(path, other))
        gq_read_refuse(r, at, false, "%s and %s are one file: name another", what, other_what);
}

/* The vectors beside a plugin, which need not be there: what is written would be taken for them. */
static void check_golden(struct gq_reading *r, struct gq_yaml *at, const char *what, const char *path,
                         const char *plugin)
{
    if (!plugin || gq_builtin_name(plugin))
        return;
    char *golden = gq_golden_path(plugin);
    r->no_memory = r->no_memory || !golden;
    check_apart(r, at, what, path, "a plugin's golden file", golden);
    free(golden);
}

/* Nothing that is read may be overwritten. */
static void check_output(struct gq_reading *r, struct gq_yaml *at, const char *what, const char *path)
{
    const struct gq_conf *conf = r->conf;
    if (conf->source.kind == GQ_SOURCE_FILE || conf->source.kind == GQ_SOURCE_PLUGIN)
        check_apart(r, at, what, path, "the source", conf->source.path);
    if (conf->source.kind == GQ_SOURCE_PLUGIN)
        check_golden(r, at, what, path, conf->source.path);
    for (size_t i = 0; i < conf->stage_count; i++) {
        check_apart(r, at, what, path, "a plugin", conf->stages[i].plugin);
        check_golden(r, at, what, path, conf->stages[i].plugin);
    }
    check_apart(r, at, what, path, "the file of plugins.pins", conf->plugin_pins);
    check_apart(r, at, what, path, "this pipeline file", conf->file);
}

/* A run writes it where nobody named it. */
static void check_checkpoint(struct gq_reading *r, struct gq_yaml *sink, struct gq_yaml *letters, const char *more)
{
    const struct gq_conf *conf = r->conf;
    struct gq_text path = {0};
    if (conf->delivery != GQ_DELIVERY_EXACTLY_ONCE || !conf->sink.path)
        return;
    gq_text_printf(&path, "%s" GQ_CHECKPOINT_SUFFIX "%s", conf->sink.path, more);
    r->no_memory = r->no_memory || path.failed;
    check_output(r, sink, "the sink's checkpoint", path.failed ? NULL : path.data);
    check_apart(r, letters && !letters->bad ? letters : sink, "the dead letters", conf->dead_letter,
                "the sink's checkpoint", path.failed ? NULL : path.data);
    gq_text_finish(&path);
}

static void check_files(struct gq_reading *r, struct gq_yaml *root)
{
    const struct gq_conf *conf = r->conf;
    struct gq_yaml *source = find_below(root, "source.file", "path"), *sink = find_below(root, "sink.file", "path");
    struct gq_yaml *letters = find(root, "on_error.dead_letter.file.path");
    if (letters)
        check_output(r, letters, "the dead letters", conf->dead_letter);
    else if (source) /* they have a place where nobody named one */
        check_apart(r, source, "the source", conf->source.path, "the dead letters", conf->dead_letter);
    if (!sink)
        return;
    check_output(r, sink, "the sink", conf->sink.path);
    check_apart(r, letters && !letters->bad ? letters : sink, "the dead letters", conf->dead_letter, "the sink",
                conf->sink.path);
    check_checkpoint(r, sink, letters, "");
    check_checkpoint(r, sink, letters, GQ_CHECKPOINT_NEW_SUFFIX);
}

/* One problem is enough for a key, as in the reading of a file. */
static bool has_problem(const struct gq_problems *problems, const char *key)
{
    bool has = false;
    for (size_t i = 0; i < problems->kept; i++)
        has |= problems->list[i].path && strcmp(problems->list[i].path, key) == 0;
    return has;
}

static void check_read(const char *path, const char *what, const char *written, const char *suffix,
                       const char *written_what, const char *key, struct gq_mark mark, struct gq_problems *out)
{
    struct gq_text name = {0};
    if (!written || has_problem(out, key))
        return;
    gq_text_printf(&name, "%s%s", written, suffix);
    if (!name.failed && gq_path_same(path, name.data))
        gq_problem_add(out, mark, key, "%s and %s are one file: name another", written_what, what);
    gq_text_finish(&name);
}

void gq_conf_check_read(const struct gq_conf *conf, const char *path, const char *what, struct gq_problems *out)
{
    static const char sink[] = "sink.file.path", checkpoint[] = "the sink's checkpoint";
    const struct gq_mark at = conf->sink.path_mark;
    check_read(path, what, conf->sink.path, "", "the sink", sink, at, out);
    if (conf->delivery == GQ_DELIVERY_EXACTLY_ONCE) {
        check_read(path, what, conf->sink.path, GQ_CHECKPOINT_SUFFIX, checkpoint, sink, at, out);
        check_read(path, what, conf->sink.path, GQ_CHECKPOINT_SUFFIX GQ_CHECKPOINT_NEW_SUFFIX, checkpoint, sink, at,
                   out);
    }
    check_read(path, what, conf->dead_letter, "", "the dead letters", "on_error.dead_letter.file.path",
               conf->dead_letter_mark, out);
    check_read(path, what, conf->journal, "", "the journal", "queue.journal", conf->journal_mark, out);
    check_read(path, what, conf->journal, GQ_JOURNAL_NEW_SUFFIX, "the journal", "queue.journal", conf->journal_mark,
               out);
}

/* --- delivery ------------------------------------------------------------------------------------------------------
 */

static void check_regular(struct gq_reading *r, struct gq_yaml *at, const char *path)
{
    struct stat info;
    if (at && !at->bad && path && stat(path, &info) == 0 && !S_ISREG(info.st_mode))
        gq_read_refuse(r, at, false,
                       "delivery: exactly_once goes on in the middle of a file, and this is no regular file: name "
                       "another, or leave delivery out");
}

static void check_delivery(struct gq_reading *r, struct gq_yaml *root)
{
    const struct gq_conf *conf = r->conf;
    struct gq_yaml *at = find(root, "delivery");
    if (!at || at->bad || conf->delivery != GQ_DELIVERY_EXACTLY_ONCE || !is_good(find(root, "source")) ||
        !is_good(find(root, "sink")))
        return;
    if (conf->source.kind != GQ_SOURCE_FILE || conf->sink.kind != GQ_SINK_FILE) {
        gq_read_refuse(r, at, false,
                       "exactly_once is for source file with sink file, and these are %s and %s: name files, or leave "
                       "it out",
                       gq_source_name(conf->source.kind), gq_sink_name(conf->sink.kind));
        return;
    }
    check_regular(r, find(root, "source.file.path"), conf->source.path);
    check_regular(r, find(root, "sink.file.path"), conf->sink.path);
}

/* --- journal -------------------------------------------------------------------------------------------------------
 */

static void check_journal_pair(struct gq_reading *r, struct gq_yaml *durability, struct gq_yaml *journal)
{
    const struct gq_conf *conf = r->conf;
    if (conf->durability == GQ_DURABILITY_NONE && journal && !journal->bad)
        gq_read_refuse(r, journal, true,
                       "nothing is kept in it: set queue.durability to fdatasync or memory, or leave it out");
    else if (conf->durability != GQ_DURABILITY_NONE && !journal)
        gq_read_refuse(r, durability, false,
                       "%s needs the key 'journal' beside it: the file that keeps accepted messages",
                       gq_durability_name(conf->durability));
}

static bool is_for_journal(const struct gq_conf *conf)
{
    return conf->source.kind == GQ_SOURCE_API && conf->sink.kind == GQ_SINK_API;
}

static void check_journal_file(struct gq_reading *r, struct gq_yaml *journal, bool letters, const char *suffix)
{
    struct gq_text path = {0};
    gq_text_printf(&path, "%s%s", r->conf->journal, suffix);
    r->no_memory = r->no_memory || path.failed;
    check_output(r, journal, "the journal", path.failed ? NULL : path.data);
    check_apart(r, journal, "the journal", path.failed ? NULL : path.data, "the dead letters",
                letters ? r->conf->dead_letter : NULL);
    gq_text_finish(&path);
}

static void check_journal(struct gq_reading *r, struct gq_yaml *root)
{
    const struct gq_conf *conf = r->conf;
    struct gq_yaml *durability = find(root, "queue.durability"), *journal = find(root, "queue.journal");
    struct gq_yaml *letters = find(root, "on_error.dead_letter.file.path");
    if (!is_good(find(root, "queue")) || !is_good(durability))
        return;
    const bool known = is_good(find(root, "source")) && is_good(find(root, "sink"));
    if (conf->durability == GQ_DURABILITY_NONE || !known || is_for_journal(conf))
        check_journal_pair(r, durability, journal);
    if (conf->durability == GQ_DURABILITY_NONE || !known)
        return;
    if (!is_for_journal(conf))
        gq_read_refuse(r, durability, false,
                       "a journal is for source api with sink api, and these are %s and %s: it keeps what only the "
                       "application has; leave it out",
                       gq_source_name(conf->source.kind), gq_sink_name(conf->sink.kind));
    if (!journal || !conf->journal)
        return;
    check_journal_file(r, journal, letters, "");
    check_journal_file(r, journal, letters, GQ_JOURNAL_NEW_SUFFIX);
}

/* --- trust ---------------------------------------------------------------------------------------------------------
 */

static void default_pins(struct gq_reading *r, struct gq_yaml *trust)
{
    struct gq_text why = {0};
    r->conf->plugin_pins = gq_path_join(r->conf->folder, GQ_PINS_FILE);
    if (r->conf->plugin_pins &&
        !gq_path_check(gq_schema_find(gq_schema_find(NULL, "plugins"), "pins"), r->conf->plugin_pins, &why))
        gq_read_refuse(r, trust, false, "%s", gq_text_str(&why));
    r->no_memory = r->no_memory || !r->conf->plugin_pins || why.failed;
    gq_text_finish(&why);
}

static void check_trust(struct gq_reading *r, struct gq_yaml *root)
{
    struct gq_conf *conf = r->conf;
    struct gq_yaml *trust = find(root, "plugins.trust"), *pins = find(root, "plugins.pins");
    if (!is_good(find(root, "plugins")) || !is_good(trust) || !is_good(pins))
        return;
    if (!trust)
        conf->plugin_trust = pins ? GQ_TRUST_PINNED : GQ_TRUST_ANY;
    else if (conf->plugin_trust == GQ_TRUST_PINNED && !pins)
        default_pins(r, trust);
    else if (conf->plugin_trust == GQ_TRUST_ANY && pins)
        gq_read_refuse(r, pins, true,
                       "nothing is checked by it, for trust is any: set plugins.trust to pinned, or leave pins out");
}

void gq_read_check(struct gq_reading *r, struct gq_yaml *root)
{
    check_source(r, root);
    check_memory(r, root);
    check_names(r, root);
    check_trust(r, root); /* before files are compared, and that of pins is one */
    default_dead_letter(r, root);
    check_delivery(r, root);
    check_journal(r, root);
    check_files(r, root);
}
