/* gpuq dlq: dead letters, seen, replayed and dropped. */
#include "commands.h"
#include "dlq.h"
#include "refuse.h"
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_DIGITS 16

/* --- letters ------------------------------------------------------------------------------------------------------ */

bool dlq_picked(struct dlq_args *args, uint64_t name, uint64_t number)
{
    bool any = args->pick_count == 0;
    for (size_t i = 0; i < args->pick_count; i++) {
        struct dlq_pick *pick = &args->picks[i];
        if (pick->value != (pick->by_name ? name : number))
            continue;
        pick->found = true;
        any = true;
    }
    return any;
}

gq_status dlq_check_found(const struct dlq_args *args)
{
    for (size_t i = 0; i < args->pick_count; i++)
        if (!args->picks[i].found)
            return gq_error_set(GQ_ERR_NOT_FOUND, "%s: has no letter %s: `gpuq dlq ls` lists those that it has",
                                args->file, args->picks[i].word);
    return GQ_OK;
}

static bool mark(struct gq_dead_letter *letter, uint64_t name, uint64_t number, void *context)
{
    (void)letter;
    return dlq_picked(context, name, number);
}

gq_status dlq_find(struct dlq_args *args, struct gq_dead_file *file)
{
    gq_status status = args->pick_count > 0 ? gq_dead_walk(file, mark, args) : GQ_OK;
    return status == GQ_OK ? dlq_check_found(args) : status;
}

gq_status dlq_open(const struct dlq_args *args, struct gq_dead_file *file)
{
    *file = (struct gq_dead_file){.path = args->file, .max_bytes = UINT64_MAX};
    gq_status status = gq_dead_open(file);
    if (status == GQ_OK && file->fd < 0) {
        gq_dead_close(file);
        status = gq_error_errno(GQ_ERR_IO, ENOENT, "%s", args->file);
    }
    if (status == GQ_OK && file->torn_bytes)
        fprintf(stderr,
                "gpuq dlq: %s: a crash had left %" PRIu64 " bytes of an unfinished letter, which were cut off\n",
                args->file, file->torn_bytes);
    return status;
}

static void begin_object(struct dlq_args *args)
{
    if (!args->json || args->object.len > 0)
        return;
    gq_text_puts(&args->object, "{\"file\": ");
    gq_text_json(&args->object, args->file, strlen(args->file));
    gq_text_puts(&args->object, ", \"letters\": [");
}

void dlq_tell_letter(struct dlq_args *args, uint64_t name, uint64_t number, const char *fate, const char *reason)
{
    if (!args->json)
        return;
    const bool first = args->object.len == 0;
    begin_object(args);
    gq_text_printf(&args->object, "%s{\"number\": %" PRIu64 ", \"letter\": \"%016" PRIx64 "\", \"fate\": \"%s\"",
                   first ? "\n " : ",\n ", number, name, fate);
    if (reason) {
        gq_text_puts(&args->object, ", \"reason\": ");
        gq_text_json(&args->object, reason, strlen(reason));
    }
    gq_text_puts(&args->object, "}");
}

void dlq_tell_counts(struct dlq_args *args, const char *format, ...)
{
    char counts[256];
    va_list words;
    if (!args->json)
        return;
    begin_object(args);
    va_start(words, format);
    vsnprintf(counts, sizeof counts, format, words);
    va_end(words);
    gq_text_printf(&args->object, "], %s", counts);
}

/* --- drop --------------------------------------------------------------------------------------------------------- */

struct drop {
    struct dlq_args *args;
    uint64_t dropped, kept;
};

static bool stays(struct gq_dead_letter *letter, uint64_t name, uint64_t number, void *context)
{
    struct drop *drop = context;
    const bool stay = !dlq_picked(drop->args, name, number);
    if (!stay)
        dlq_tell_letter(drop->args, name, number, "dropped", NULL);
    (void)letter;
    drop->dropped += !stay;
    drop->kept += stay;
    return stay;
}

static gq_status drop(struct dlq_args *args)
{
    struct gq_dead_file file;
    struct drop counts = {.args = args};
    if (args->all == (args->pick_count > 0))
        return gq_error_set(GQ_ERR_INVALID_ARG, "drop takes the letters to drop, or --all");
    gq_status status = dlq_open(args, &file);
    if (status != GQ_OK)
        return status;
    status = dlq_find(args, &file);
    if (status == GQ_OK)
        status = gq_dead_rewrite(&file, stays, &counts);
    gq_status closed = gq_dead_close(&file);
    if (status == GQ_OK)
        status = closed;
    if (status != GQ_OK)
        gq_text_clear(&args->object); /* the letters are as they were */
    else if (args->json)
        dlq_tell_counts(args, "\"dropped\": %" PRIu64 ", \"kept\": %" PRIu64, counts.dropped, counts.kept);
    else
        fprintf(stderr, "dropped %" PRIu64 " letter%s, %" PRIu64 " stay%s\n", counts.dropped,
                counts.dropped == 1 ? "" : "s", counts.kept, counts.kept == 1 ? "s" : "");
    return status;
}

/* --- arguments ---------------------------------------------------------------------------------------------------- */

static const struct verb {
    const char *name;
    gq_status (*run)(struct dlq_args *args);
    const char *options; /* those that it takes, as in `options` below */
    const char *words;
    int words_min, words_max; /* INT_MAX: any letters */
} verbs[] = {{"ls", dlq_ls, "j", "one file of dead letters", 1, 1},
             {"show", dlq_show, "jr", "a file of dead letters and one letter of it", 2, 2},
             {"replay", dlq_replay, "bj", "a file of dead letters and a pipeline file", 2, INT_MAX},
             {"drop", drop, "aj", "a file of dead letters", 1, INT_MAX}};

static const struct option options[] = {{"json", no_argument, NULL, 'j'},
                                        {"raw", no_argument, NULL, 'r'},
                                        {"all", no_argument, NULL, 'a'},
                                        {"backend", required_argument, NULL, 'b'},
                                        {0}};

static gq_status read_pick(const char *word, struct dlq_pick *pick)
{
    char *end;
    *pick = (struct dlq_pick){.word = word, .by_name = strlen(word) == NAME_DIGITS};
    const bool good = strspn(word, pick->by_name ? "0123456789abcdef" : "0123456789") == strlen(word) && *word;
    pick->value = strtoull(word, &end, pick->by_name ? 16 : 10);
    return good && strlen(word) <= NAME_DIGITS
               ? GQ_OK
               : gq_error_set(
                     GQ_ERR_INVALID_ARG,
                     "'%s' is no letter: a number of `gpuq dlq ls`, or a name there of %d digits, was expected", word,
                     NAME_DIGITS);
}

static gq_status take_options(int argc, char **argv, const char *allowed, struct dlq_args *args)
{
    gq_status status = GQ_OK;
    opterr = 0;
    optind = 1;
    for (int c, option; (c = getopt_long(argc, argv, "", options, &option)) != -1;) {
        args->json = args->json || (c == 'j' && strchr(allowed, c));
        if (status != GQ_OK)
            continue; /* what is refused is refused in JSON wherever --json stands */
        if (c == '?')
            status = gpuq_refuse_option("dlq", argv);
        else if (!strchr(allowed, c))
            status = gq_error_set(GQ_ERR_INVALID_ARG, "%s does not take --%s; try `gpuq help dlq`", args->verb,
                                  options[option].name);
        args->raw = args->raw || c == 'r';
        args->all = args->all || c == 'a';
        if (c == 'b')
            args->backend = optarg;
    }
    return status;
}

static gq_status take_words(int count, char **words, const struct verb *verb, struct dlq_args *args)
{
    const bool replay = strcmp(args->verb, "replay") == 0;
    if (count < verb->words_min || count > verb->words_max)
        return gq_error_set(GQ_ERR_INVALID_ARG, "%s takes %s; try `gpuq help dlq`", args->verb, verb->words);
    args->file = words[0];
    if (*args->file == '\0')
        return gq_error_set(GQ_ERR_INVALID_ARG, "the path of the file of dead letters is empty");
    args->pipeline = replay ? words[1] : NULL;
    args->pick_count = (size_t)(count - 1 - replay);
    args->picks = calloc(args->pick_count + 1, sizeof *args->picks);
    if (!args->picks)
        return gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for the command line");
    gq_status status = GQ_OK;
    for (size_t i = 0; i < args->pick_count && status == GQ_OK; i++)
        status = read_pick(words[1 + replay + (int)i], &args->picks[i]);
    return status;
}

static gq_status run(int argc, char **argv, struct dlq_args *args)
{
    for (size_t i = 0; argc > 0 && i < sizeof verbs / sizeof *verbs; i++) {
        if (strcmp(argv[0], verbs[i].name) != 0)
            continue;
        args->verb = argv[0];
        gq_status status = take_options(argc, argv, verbs[i].options, args);
        if (status == GQ_OK)
            status = take_words(argc - optind, argv + optind, &verbs[i], args);
        return status == GQ_OK ? verbs[i].run(args) : status;
    }
    return gq_error_set(GQ_ERR_INVALID_ARG, "ls, show, replay or drop was expected; try `gpuq help dlq`");
}

/* What --json has begun ends here. Results of a replay have standard output, so its object goes where its words would.
 */
static void end_object(struct dlq_args *args, gq_status status)
{
    FILE *to = args->verb && strcmp(args->verb, "replay") == 0 ? stderr : stdout;
    if (status == GQ_OK) {
        if (args->object.len > 0)
            fprintf(to, "%s}\n", gq_text_str(&args->object));
        return;
    }
    const bool begun = args->object.len > 0;
    if (begun)
        gq_text_puts(&args->object, ", ");
    gpuq_report_json(to, begun ? gq_text_str(&args->object) : args->listing ? "], " : "{", status);
}

int cmd_dlq(int argc, char **argv)
{
    struct dlq_args args = {0};
    gq_status status = run(argc - 1, argv + 1, &args);
    const bool replay = args.verb && strcmp(args.verb, "replay") == 0;
    free(args.picks);
    if (args.json && args.object.failed)
        status = gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for what became of the letters");
    if (args.json)
        end_object(&args, status);
    if (status != GQ_OK && *gq_error_text() && !(replay && args.json))
        gpuq_report("dlq", status);
    gq_text_finish(&args.object);
    return gq_status_exit_code(status);
}
