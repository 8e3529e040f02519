#include "config/schema.h"
#include <gpuqueue/layout.h>
#include <string.h>
#include "base/assert.h"
#include "config/near.h"
#include "config/value.h"

static const struct gq_schema_word backends[] = {
    {"auto", GQ_BACKEND_AUTO}, {"cuda", GQ_BACKEND_CUDA}, {"cpu", GQ_BACKEND_CPU}, {NULL, 0}};
static const struct gq_schema_word splits[] = {{"lines", GQ_FRAME_LINES},   {"length32", GQ_FRAME_LENGTH32},
                                               {"varint", GQ_FRAME_VARINT}, {"fixed", GQ_FRAME_FIXED},
                                               {"whole", GQ_FRAME_WHOLE},   {NULL, 0}};
static const struct gq_schema_word joins[] = {{"lines", GQ_FRAME_LINES},
                                              {"length32", GQ_FRAME_LENGTH32},
                                              {"varint", GQ_FRAME_VARINT},
                                              {"raw", GQ_FRAME_RAW},
                                              {NULL, 0}};
static const struct gq_schema_word patterns[] = {
    {"counter", GQ_PATTERN_COUNTER}, {"random", GQ_PATTERN_RANDOM}, {NULL, 0}};
static const struct gq_schema_word polls[] = {
    {"spin", GQ_POLL_SPIN}, {"adaptive", GQ_POLL_ADAPTIVE}, {"sleep", GQ_POLL_SLEEP}, {NULL, 0}};
static const struct gq_schema_word durabilities[] = {
    {"none", GQ_DURABILITY_NONE}, {"memory", GQ_DURABILITY_MEMORY}, {"fdatasync", GQ_DURABILITY_FDATASYNC}, {NULL, 0}};
static const struct gq_schema_word switches[] = {{"on", 1}, {"off", 0}, {NULL, 0}};
static const struct gq_schema_word never[] = {{"off", 0}, {NULL, 0}};
static const struct gq_schema_word deliveries[] = {
    {"at_least_once", GQ_DELIVERY_AT_LEAST_ONCE}, {"exactly_once", GQ_DELIVERY_EXACTLY_ONCE}, {NULL, 0}};
static const struct gq_schema_word trusts[] = {{"any", GQ_TRUST_ANY}, {"pinned", GQ_TRUST_PINNED}, {NULL, 0}};
static const struct gq_schema_word automatic[] = {{"auto", 0}, {NULL, 0}};

#define COUNT_MAX 1000000000000000u /* 10^15: a century at 300,000 messages a second */
#define DRAIN_MAX 86400000u         /* a day */
#define TIMEOUT_MAX 86400000u       /* a day */
#define BUDGET_MAX 600000u          /* ten minutes */
#define VERSIONS_MAX 16u
#define DEAD_LETTER_BYTES_MIN 4096u
#define DEAD_LETTER_BYTES_MAX ((uint64_t)1 << 50)
#define TEXT_DEAD_LETTER_BYTES "how long the file may grow; a letter that would make it longer stops the pipeline"
#define TEXT_SPLIT "how the bytes are cut into messages; fixed also needs record_bytes"
#define TEXT_RECORD "length of every message, with split: fixed"
#define TEXT_JOIN "how results are told apart in the output; raw writes them one after another"
#define TEXT_PARAMS "what GQ_PARAM(name, default) is in the plugin: true or false, a number, or text"

#define TEXT_BLOCKS \
    "blocks of threads of its grid on a GPU, all of them resident; auto takes as many as are of use and fit"
#define GRID_BLOCKS_MAX 65536u

#define AT(field) .offset = offsetof(struct gq_conf, field), .width = sizeof(((struct gq_conf *)0)->field)
#define AT_STAGE(field) \
    .offset = offsetof(struct gq_conf_stage, field), .width = sizeof(((struct gq_conf_stage *)0)->field)
#define BESIDE(field) .beside = offsetof(struct gq_conf, field)
#define BESIDE_STAGE(field) .beside = offsetof(struct gq_conf_stage, field)

/* clang-format off */
const struct gq_schema_row gq_schema_rows[] = {
    {"version", GQ_SCHEMA_COUNT, .required = true, .min = 1, .max = 1, .example = "1",
     .sentence = "the version of this format"},
    {"name", GQ_SCHEMA_NAME, .otherwise = "the file's name without its ending", AT(name), .example = "quickstart",
     .sentence = "the pipeline's name in messages and metrics"},
    {"backend", GQ_SCHEMA_WORD, .fallback = "auto", .words = backends, AT(backend),
     .sentence = "where plugins run; auto takes a GPU if there is one and says why, cuda never falls back"},
    {"device", GQ_SCHEMA_COUNT, .fallback = "0", .max = 255, AT(device),
     .sentence = "number of the GPU"},

    {"source", GQ_SCHEMA_CHOICE, .fallback = "api", AT(source.kind),
     .sentence = "where messages come from"},
    {"source.file", GQ_SCHEMA_MAP, .sentence = "messages are cut from a file"},
    {"source.file.path", GQ_SCHEMA_INPUT, .required = true, AT(source.path), BESIDE(source.path_mark),
     .example = "in.txt", .sentence = "the file to read"},
    {"source.file.split", GQ_SCHEMA_WORD, .fallback = "lines", .words = splits, AT(source.split), .sentence = TEXT_SPLIT},
    {"source.file.record_bytes", GQ_SCHEMA_SIZE, .min = GQ_SLOT_BYTES_MIN, .max = GQ_SLOT_BYTES_MAX,
     AT(source.record_bytes), .example = "64", .sentence = TEXT_RECORD},
    {"source.stdin", GQ_SCHEMA_MAP, .sentence = "messages are cut from standard input"},
    {"source.stdin.split", GQ_SCHEMA_WORD, .fallback = "lines", .words = splits, AT(source.split), .sentence = TEXT_SPLIT},
    {"source.stdin.record_bytes", GQ_SCHEMA_SIZE, .min = GQ_SLOT_BYTES_MIN, .max = GQ_SLOT_BYTES_MAX,
     AT(source.record_bytes), .example = "64", .sentence = TEXT_RECORD},
    {"source.generate", GQ_SCHEMA_MAP, .sentence = "messages are made by the host, for tests and measurements"},
    {"source.generate.count", GQ_SCHEMA_COUNT, .required = true, .max = COUNT_MAX, AT(source.count),
     .example = "1000000", .sentence = "how many messages"},
    {"source.generate.bytes", GQ_SCHEMA_SIZE, .fallback = "64", .max = GQ_SLOT_BYTES_MAX, AT(source.bytes),
     .sentence = "length of every message"},
    {"source.generate.pattern", GQ_SCHEMA_WORD, .fallback = "counter", .words = patterns, AT(source.pattern),
     .sentence = "what the messages hold"},
    {"source.generate.seed", GQ_SCHEMA_COUNT, .fallback = "1", .max = UINT64_MAX, AT(source.seed),
     .sentence = "with pattern: random, the same seed gives the same messages"},
    {"source.generate.rate", GQ_SCHEMA_RATE, .otherwise = "as fast as it goes", .max = 1000000000, AT(source.rate_per_s),
     .example = "50000/s", .sentence = "messages a second"},
    {"source.plugin", GQ_SCHEMA_MAP, .sentence = "messages are made by a plugin's generate_message, where they are processed"},
    {"source.plugin.path", GQ_SCHEMA_PLUGIN, .required = true, AT(source.path), BESIDE(source.path_mark),
     .example = "../plugins/counter.cu", .sentence = "the plugin's file"},
    {"source.plugin.count", GQ_SCHEMA_COUNT, .required = true, .max = COUNT_MAX, AT(source.count),
     .example = "1000000", .sentence = "how many messages"},
    {"source.plugin.first", GQ_SCHEMA_COUNT, .fallback = "0", .max = INT64_MAX, AT(source.first),
     .sentence = "index of the first message; a run can start again at any index"},
    {"source.plugin.blocks", GQ_SCHEMA_COUNT, .fallback = "auto", .min = 1, .max = GRID_BLOCKS_MAX, .words = automatic,
     AT(source.blocks), .sentence = TEXT_BLOCKS},
    {"source.plugin.timeout", GQ_SCHEMA_DURATION, .fallback = "1s", .min = 10, .max = TIMEOUT_MAX, .words = never,
     AT(source.timeout_ms),
     .sentence = "how long the plugin may take for one index; then the index is tried alone, and given up if it never ends"},
    {"source.plugin.params", GQ_SCHEMA_PARAMS, AT(source.params), BESIDE(source.param_count),
     .example = "{ step: 2 }", .sentence = TEXT_PARAMS},
    {"source.api", GQ_SCHEMA_MAP, .sentence = "messages come through q_enqueue"},

    {"queue", GQ_SCHEMA_MAP, .sentence = "the memory between host and plugins; every lane (one for each producing thread) has as much"},
    {"queue.capacity", GQ_SCHEMA_POWER, .fallback = "4096", .min = GQ_CAPACITY_MIN, .max = GQ_CAPACITY_MAX, AT(capacity),
     .sentence = "messages that a lane holds, a power of two"},
    {"queue.slot_bytes", GQ_SCHEMA_SIZE, .fallback = "1KiB", .min = GQ_SLOT_BYTES_MIN, .max = GQ_SLOT_BYTES_MAX, AT(slot_bytes),
     .sentence = "the longest message and the longest result"},
    {"queue.poll", GQ_SCHEMA_WORD, .fallback = "adaptive", .words = polls, AT(poll),
     .sentence = "how host and workers wait for messages: spin answers soonest and never rests, sleep takes the least power"},
    {"queue.durability", GQ_SCHEMA_WORD, .fallback = "none", .words = durabilities, AT(durability),
     .sentence = "how safe an accepted message is: fdatasync, on the disk; memory, it survives the application, not a power loss"},
    {"queue.journal", GQ_SCHEMA_OUTPUT, .otherwise = "none", AT(journal), BESIDE(journal_mark), .example = "queue.journal",
     .sentence = "the file that keeps accepted messages until their results are taken; for source and sink api"},

    {"stages", GQ_SCHEMA_LIST, .required = true, .min = 1, .max = GQ_STAGES_MAX, AT(stages), BESIDE(stage_count),
     .sentence = "the plugins that each message passes, in order"},
    {"stages[].name", GQ_SCHEMA_NAME, .otherwise = "the plugin's file name without its ending", AT_STAGE(name),
     .example = "hash", .sentence = "the stage's name; no two stages have the same"},
    {"stages[].plugin", GQ_SCHEMA_PLUGIN, .required = true, AT_STAGE(plugin), BESIDE_STAGE(plugin_mark),
     .example = "../plugins/sha256.cu", .sentence = "the plugin's file; builtin:echo is one that needs no file"},
    {"stages[].blocks", GQ_SCHEMA_COUNT, .fallback = "auto", .min = 1, .max = GRID_BLOCKS_MAX, .words = automatic,
     AT_STAGE(blocks), .sentence = TEXT_BLOCKS},
    {"stages[].timeout", GQ_SCHEMA_DURATION, .fallback = "1s", .min = 10, .max = TIMEOUT_MAX, .words = never,
     AT_STAGE(timeout_ms),
     .sentence = "how long the stage may take for one message; then the message is tried alone, and given up if it never ends"},
    {"stages[].params", GQ_SCHEMA_PARAMS, AT_STAGE(params), BESIDE_STAGE(param_count),
     .example = "{ uppercase: false }", .sentence = TEXT_PARAMS},

    {"sink", GQ_SCHEMA_CHOICE, .fallback = "api", AT(sink.kind), .sentence = "where results go"},
    {"sink.file", GQ_SCHEMA_MAP, .sentence = "results are written to a file, which is emptied first"},
    {"sink.file.path", GQ_SCHEMA_OUTPUT, .required = true, AT(sink.path), BESIDE(sink.path_mark), .example = "out.txt",
     .sentence = "the file to write"},
    {"sink.file.join", GQ_SCHEMA_WORD, .fallback = "lines", .words = joins, AT(sink.join), .sentence = TEXT_JOIN},
    {"sink.stdout", GQ_SCHEMA_MAP, .sentence = "results are written to standard output"},
    {"sink.stdout.join", GQ_SCHEMA_WORD, .fallback = "lines", .words = joins, AT(sink.join), .sentence = TEXT_JOIN},
    {"sink.null", GQ_SCHEMA_MAP, .sentence = "results are counted and forgotten"},
    {"sink.api", GQ_SCHEMA_MAP, .sentence = "results are taken by q_poll_completions and q_try_dequeue_result"},

    {"delivery", GQ_SCHEMA_WORD, .fallback = "at_least_once", .words = deliveries, AT(delivery),
     .sentence = "what a run does that is started again after a kill: begin anew, or go on, from a file to a file, as if "
                 "nothing had been"},

    {"on_error", GQ_SCHEMA_MAP, .sentence = "what happens to a message that fails"},
    {"on_error.retries", GQ_SCHEMA_COUNT, .fallback = "3", .max = 1000, AT(retries),
     .sentence = "how often a failed message is tried again"},
    {"on_error.dead_letter", GQ_SCHEMA_CHOICE, .otherwise = "a file NAME.dlq beside the pipeline file; none with sink api",
     .sentence = "where a message goes that failed to the end"},
    {"on_error.dead_letter.file", GQ_SCHEMA_MAP, .sentence = "into a file, with its error"},
    {"on_error.dead_letter.file.path", GQ_SCHEMA_OUTPUT, .required = true, AT(dead_letter), BESIDE(dead_letter_mark), .example = "out.dlq",
     .sentence = "the file to append to"},
    {"on_error.dead_letter.file.max_bytes", GQ_SCHEMA_SIZE, .fallback = "1GiB", .min = DEAD_LETTER_BYTES_MIN,
     .max = DEAD_LETTER_BYTES_MAX, AT(dead_bytes), .sentence = TEXT_DEAD_LETTER_BYTES},

    {"cpu", GQ_SCHEMA_MAP, .sentence = "the CPU backend"},
    {"cpu.threads", GQ_SCHEMA_COUNT, .fallback = "auto", .min = 1, .max = GQ_BLOCKS_MAX, .words = automatic, AT(cpu_threads),
     .sentence = "threads that run plugins; auto is one for each processor"},
    {"spare", GQ_SCHEMA_WORD, .fallback = "on", .words = switches, AT(spare),
     .sentence = "on a GPU: whether a worker waits to take the place of one that dies, with 500 MiB of it; four after a fault"},
    {"drain", GQ_SCHEMA_DURATION, .fallback = "10s", .max = DRAIN_MAX, AT(drain_ms),
     .sentence = "how long a stop waits for messages in flight"},

    {"swap", GQ_SCHEMA_MAP, .sentence = "how new code takes the place of a stage's code while messages flow"},
    {"swap.rehearse", GQ_SCHEMA_WORD, .fallback = "on", .words = switches, AT(swap.rehearse),
     .sentence = "whether the plugin's golden vectors run in a spare worker process before its code goes live"},
    {"swap.keep_versions", GQ_SCHEMA_COUNT, .fallback = "3", .min = 1, .max = VERSIONS_MAX, AT(swap.keep_versions),
     .sentence = "how many versions of a stage stay loaded beside the live one, to go back to"},
    {"swap.budget", GQ_SCHEMA_DURATION, .fallback = "2s", .min = 1, .max = BUDGET_MAX, AT(swap.budget_ms),
     .sentence = "how long one golden vector may take, and the loading of the code in the spare worker"},
    {"plugins", GQ_SCHEMA_MAP, .sentence = "which plugins may run"},
    {"plugins.trust", GQ_SCHEMA_WORD, .otherwise = "pinned beside `pins`, else any", .words = trusts, AT(plugin_trust),
     .example = "pinned", .sentence = "any: every plugin may run; pinned: only what the file of pins has"},
    {"plugins.pins", GQ_SCHEMA_INPUT, .otherwise = "with `trust: pinned` the file `" GQ_PINS_FILE "` beside the pipeline file, else none",
     AT(plugin_pins), .example = GQ_PINS_FILE, .make = "gpuq plugin pin FILE.cu",
     .sentence = "a file of SHA-256 digests, as gpuq plugin pin prints them; what it does not pin does not run"},
    {"control", GQ_SCHEMA_MAP, .sentence = "the socket through which gpuq swap and its kin reach a running pipeline"},
    {"control.socket", GQ_SCHEMA_SOCKET, .otherwise = "gpuq run makes one in the user's runtime folder",
     AT(control_socket), .example = "control.sock", .sentence = "where it lies; off: there is none"},
};
/* clang-format on */
const size_t gq_schema_count = sizeof gq_schema_rows / sizeof *gq_schema_rows;

/* Length of the part of a row's path that names its parent. */
static size_t parent_length(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot ? (size_t)(dot - path) : 0;
}

static bool is_below(const struct gq_schema_row *row, const struct gq_schema_row *parent)
{
    size_t len = parent_length(row->path);
    if (!parent)
        return len == 0;
    size_t want = strlen(parent->path);
    if (parent->type == GQ_SCHEMA_LIST)
        return len == want + 2 && strncmp(row->path, parent->path, want) == 0 &&
               strncmp(row->path + want, "[]", 2) == 0;
    return len == want && strncmp(row->path, parent->path, want) == 0;
}

const struct gq_schema_row *gq_schema_next(const struct gq_schema_row *parent, const struct gq_schema_row *previous)
{
    const struct gq_schema_row *row = previous ? previous + 1 : gq_schema_rows;
    for (; row < gq_schema_rows + gq_schema_count; row++)
        if (is_below(row, parent))
            return row;
    return NULL;
}

const char *gq_schema_key(const struct gq_schema_row *row)
{
    const char *dot = strrchr(row->path, '.');
    return dot ? dot + 1 : row->path;
}

const struct gq_schema_row *gq_schema_find(const struct gq_schema_row *parent, const char *key)
{
    const struct gq_schema_row *row = NULL;
    while ((row = gq_schema_next(parent, row)))
        if (strcmp(gq_schema_key(row), key) == 0)
            return row;
    return NULL;
}

bool gq_schema_is_path(const struct gq_schema_row *row)
{
    return row->type == GQ_SCHEMA_PLUGIN || row->type == GQ_SCHEMA_INPUT || row->type == GQ_SCHEMA_OUTPUT ||
           row->type == GQ_SCHEMA_SOCKET;
}

unsigned gq_schema_choice(const struct gq_schema_row *row, const struct gq_schema_row *chosen)
{
    unsigned number = 0;
    for (const struct gq_schema_row *one = NULL; (one = gq_schema_next(row, one)) && one != chosen;)
        number++;
    return number;
}

const struct gq_schema_row *gq_schema_chosen(const struct gq_schema_row *row, unsigned number)
{
    const struct gq_schema_row *one = gq_schema_next(row, NULL);
    while (number-- > 0)
        one = gq_schema_next(row, one);
    gq_assert(one);
    return one;
}

/* "a, b or c" */
static void add_to_list(struct gq_text *out, const char *word, bool first, bool last)
{
    gq_text_printf(out, "%s%s", first ? "" : last ? " or " : ", ", word);
}

void gq_schema_keys(const struct gq_schema_row *row, struct gq_text *out)
{
    const struct gq_schema_row *one = gq_schema_next(row, NULL), *first = one;
    for (const struct gq_schema_row *next; one; one = next) {
        next = gq_schema_next(row, one);
        add_to_list(out, gq_schema_key(one), one == first, !next);
    }
}

static void expected_words(const struct gq_schema_word *words, struct gq_text *out)
{
    for (const struct gq_schema_word *w = words; w->word; w++)
        add_to_list(out, w->word, w == words, !w[1].word);
}

static void expected_number(const struct gq_schema_row *row, const char *what, struct gq_text *out)
{
    if (row->min == row->max) {
        gq_value_print_number(row, row->min, out);
        return;
    }
    gq_text_puts(out, what);
    if (row->max == UINT64_MAX) {
        gq_text_puts(out, " of 64 bits");
    } else {
        gq_text_puts(out, " from ");
        gq_value_print_number(row, row->min, out);
        gq_text_puts(out, " to ");
        gq_value_print_number(row, row->max, out);
    }
    if (row->words) {
        gq_text_puts(out, ", or ");
        expected_words(row->words, out);
    }
}

void gq_schema_expected(const struct gq_schema_row *row, struct gq_text *out)
{
    switch (row->type) {
    case GQ_SCHEMA_MAP:
        gq_text_puts(out, "a mapping");
        break;
    case GQ_SCHEMA_CHOICE:
        gq_text_puts(out, gq_schema_next(row, gq_schema_next(row, NULL)) ? "a mapping with exactly one of "
                                                                         : "a mapping with the key ");
        gq_schema_keys(row, out);
        break;
    case GQ_SCHEMA_LIST:
        gq_text_printf(out, "a list of %u to %u stages", (unsigned)row->min, (unsigned)row->max);
        break;
    case GQ_SCHEMA_PARAMS:
        gq_text_puts(out, "a mapping of names to values");
        break;
    case GQ_SCHEMA_NAME:
        gq_text_puts(out, "1 to 64 letters, digits, '_', '-' and '.', beginning with a letter or digit");
        break;
    case GQ_SCHEMA_PLUGIN:
    case GQ_SCHEMA_INPUT:
    case GQ_SCHEMA_OUTPUT:
        gq_text_puts(out, "the path of a file");
        break;
    case GQ_SCHEMA_SOCKET:
        gq_text_puts(out, "the path of a socket, or " GQ_SOCKET_OFF);
        break;
    case GQ_SCHEMA_WORD:
        expected_words(row->words, out);
        break;
    case GQ_SCHEMA_COUNT:
        expected_number(row, "a whole number", out);
        break;
    case GQ_SCHEMA_POWER:
        expected_number(row, "a power of two", out);
        break;
    case GQ_SCHEMA_SIZE:
        expected_number(row, "a size such as 1KiB,", out);
        break;
    case GQ_SCHEMA_DURATION:
        expected_number(row, "a duration with its unit, such as 30s,", out);
        break;
    case GQ_SCHEMA_RATE:
        gq_text_puts(out, "a rate such as 50000/s, above 0 and up to 1000000000/s");
        break;
    }
}

const char *gq_schema_nearest_key(const struct gq_schema_row *row, const char *written)
{
    struct gq_near near = gq_near_start(written);
    for (const struct gq_schema_row *one = NULL; (one = gq_schema_next(row, one));)
        gq_near_offer(&near, gq_schema_key(one));
    return near.best;
}

const char *gq_schema_nearest_word(const struct gq_schema_row *row, const char *written)
{
    struct gq_near near = gq_near_start(written);
    for (const struct gq_schema_word *w = row->words; w && w->word; w++)
        gq_near_offer(&near, w->word);
    return near.best;
}

bool gq_schema_elsewhere(const char *key, struct gq_text *out)
{
    bool found = false;
    for (size_t i = 0; i < gq_schema_count; i++)
        if (strcmp(gq_schema_key(&gq_schema_rows[i]), key) == 0) {
            gq_text_printf(out, "%s%s", found ? " and " : "", gq_schema_rows[i].path);
            found = true;
        }
    return found;
}
