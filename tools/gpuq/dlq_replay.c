/* gpuq dlq replay: letters through the stages of a pipeline, whose source and sink are this program. */
#include "dlq.h"
#include <errno.h>
#include <gpuqueue/runtime.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "connect/connect.h"
#include "pipeline/dead_letter_read.h"
#include "pipeline/pipeline.h"

#define BATCH 64u
#define PATIENCE_MS 100u

enum fate { NOT_TRIED, IN_FLIGHT, PASSED, FAILED };

struct outcome {
    enum fate fate;
    uint64_t number; /* of the letter */
    uint64_t id;     /* of the message that it became */
    uint16_t code, stage;
    uint16_t status; /* of its QResult */
    uint32_t generation;
};

struct replay {
    struct dlq_args *args;
    struct gq_conf *conf;
    gq_pipeline *pipeline;
    GpuQueue *queue;
    struct gq_sink *sink;
    struct outcome *tried; /* in the order in which they were sent, which is that of the file */
    size_t count, cap;
    size_t taken;  /* letters before this one have their results */
    size_t judged; /* the rewrite's place in `tried` */
    uint64_t passed, failed, not_tried;
    char reason[160]; /* of the letter that the rewrite is at */
    struct gq_version_name code;
};

/* --- the pipeline ------------------------------------------------------------------------------------------------- */

/* Its stages, with source and sink `api`, and nowhere for dead letters: those that fail again are this program's. A
 * journal is the application's, and what it holds is run for that alone. */
static gq_status open_stages(struct replay *r)
{
    struct gq_text errors = {0}, text = {0};
    size_t count;
    gq_status status = gq_conf_load(r->args->pipeline, &errors, &count, &r->conf);
    if (status != GQ_OK) {
        status = errors.len ? gq_error_set(status, "%.*s", (int)errors.len - 1, errors.data) : status;
        gq_text_finish(&errors);
        return status;
    }
    gq_text_finish(&errors);
    r->conf->source.kind = GQ_SOURCE_API;
    r->conf->sink.kind = GQ_SINK_API;
    r->conf->delivery = GQ_DELIVERY_AT_LEAST_ONCE;
    free(r->conf->dead_letter);
    r->conf->dead_letter = NULL;
    r->conf->durability = GQ_DURABILITY_NONE;
    free(r->conf->journal);
    r->conf->journal = NULL;
    gq_conf_print(r->conf, &text);
    if (text.failed)
        status = gq_error_set(GQ_ERR_NO_MEMORY, "%s: out of memory", r->args->pipeline);
    /* Paths in the text are as they are opened here, so the text's own name has no folder. */
    const char *slash = strrchr(r->args->pipeline, '/');
    gq_open_opts opts = {.size = sizeof opts,
                         .path = slash ? slash + 1 : r->args->pipeline,
                         .text = text.data,
                         .backend = r->args->backend};
    if (status == GQ_OK)
        status = gq_open(&opts, &r->pipeline);
    gq_text_finish(&text);
    return status;
}

static gq_status start(struct replay *r)
{
    gq_status status = open_stages(r);
    signal(SIGPIPE, SIG_IGN); /* a reader that went away is an error with a sentence */
    if (status == GQ_OK)
        status = gq_sink_find(GQ_SINK_STDOUT)->open(r->conf, &(struct gq_sink_run){-1, -1, NULL, NULL}, &r->sink);
    if (status == GQ_OK)
        status = gq_prepare(r->pipeline);
    if (status == GQ_OK)
        status = gq_start(r->pipeline);
    if (status == GQ_OK)
        r->queue = gq_queue(r->pipeline);
    return status;
}

/* --- messages ----------------------------------------------------------------------------------------------------- */

static gq_status queue_error(QueueStatus status) { return gq_error_set((gq_status)status, "%s", q_last_error()); }

/* Results come in the order of the letters; one that is passed over has none. */
static struct outcome *find(struct replay *r, uint64_t id)
{
    while (r->taken < r->count)
        if (r->tried[r->taken++].id == id)
            return &r->tried[r->taken - 1];
    return NULL;
}

static gq_status note(struct replay *r, const QResult *result)
{
    struct outcome *o = find(r, result->msg_id);
    if (!o)
        return gq_error_set(GQ_ERR_INTERNAL, "a result came for message %" PRIu64 ", which no letter is",
                            result->msg_id);
    o->fate = result->status == Q_RESULT_OK ? PASSED : FAILED;
    o->code = result->code;
    o->stage = result->stage;
    o->status = result->status;
    o->generation = result->generation;
    return o->fate == PASSED ? r->sink->ops->put(r->sink, result->data, result->len) : GQ_OK;
}

static gq_status take_results(struct replay *r)
{
    QResult results[BATCH];
    size_t n = 0;
    QueueStatus queue_status = q_peek(r->queue, results, BATCH, &n, PATIENCE_MS);
    if (queue_status == Q_ERR_TIMEOUT || queue_status == Q_ERR_NOT_READY)
        return GQ_OK;
    if (queue_status != Q_OK)
        return queue_error(queue_status);
    gq_status status = GQ_OK;
    for (size_t i = 0; i < n && status == GQ_OK; i++)
        status = note(r, &results[i]);
    return status == GQ_OK ? (q_release(r->queue, results, n), GQ_OK) : status;
}

static gq_status add_outcome(struct replay *r, uint64_t number, struct outcome **out)
{
    if (r->count == r->cap) {
        size_t cap = r->cap ? 2 * r->cap : 256;
        struct outcome *more = realloc(r->tried, cap * sizeof *more);
        if (!more)
            return gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for the letters");
        r->tried = more;
        r->cap = cap;
    }
    *out = &r->tried[r->count++];
    **out = (struct outcome){.fate = NOT_TRIED, .number = number, .id = UINT64_MAX};
    return GQ_OK;
}

static gq_status send_letter(struct replay *r, const struct gq_dead_letter *letter, uint64_t number)
{
    struct outcome *o = NULL;
    gq_status status = add_outcome(r, number, &o);
    if (status != GQ_OK || letter->bodiless || letter->message_len > r->conf->slot_bytes)
        return status;
    for (;;) {
        QueueStatus queued = q_enqueue(r->queue, letter->message, letter->message_len, &o->id, 0);
        if (queued == Q_OK)
            break;
        status = queued == Q_ERR_FULL ? take_results(r) : queue_error(queued);
        if (status != GQ_OK)
            return status;
    }
    o->fate = IN_FLIGHT;
    return GQ_OK;
}

/* Dropped messages have no result: a stage wanted them gone, and so they passed. Neither have those that are lost when
 * no worker is left, which the next look for results says. */
static gq_status finish_all(struct replay *r)
{
    struct gq_lane_counts counts = {.submitted = 1};
    while (counts.submitted > counts.taken || counts.lost > 0) {
        gq_status status = take_results(r);
        if (status != GQ_OK)
            return status;
        gq_queue_get_counts(r->pipeline->queue, &counts, NULL);
    }
    for (size_t i = 0; i < r->count; i++)
        if (r->tried[i].fate == IN_FLIGHT)
            r->tried[i].fate = PASSED;
    return GQ_OK;
}

static gq_status send_all(struct replay *r, struct gq_dead_file *file)
{
    struct gq_dead_reader reader;
    struct gq_dead_letter letter;
    gq_status status = gq_dead_reader_begin(&reader, file->fd, file->path);
    while (status == GQ_OK && (status = gq_dead_read(&reader, &letter)) == GQ_OK)
        if (dlq_picked(r->args, reader.name, reader.number))
            status = send_letter(r, &letter, reader.number);
    gq_dead_reader_close(&reader);
    return status == GQ_ERR_NOT_FOUND ? finish_all(r) : status;
}

/* Letters may go when what came of them is safe. */
static gq_status close_output(struct replay *r)
{
    if (!r->sink)
        return GQ_OK;
    gq_status status = r->sink->ops->close(r->sink);
    r->sink = NULL;
    if (status == GQ_OK && fsync(STDOUT_FILENO) != 0 && errno != EINVAL && errno != EROFS && errno != ENOTSUP)
        status = gq_error_errno(GQ_ERR_IO, errno, "standard output");
    return status;
}

/* --- the file ----------------------------------------------------------------------------------------------------- */

static void update(struct replay *r, const struct outcome *o, struct gq_dead_letter *letter)
{
    const struct gq_dead_end end = {o->status, o->code, 0, r->conf->retries};
    gq_dead_tell(letter, &end, r->reason, sizeof r->reason);
    letter->dead_ns = gq_clock_unix_ns();
    if (o->stage >= r->conf->stage_count)
        return;
    gq_versions_name(r->pipeline->versions, o->stage, o->generation, &r->code);
    letter->stage = o->stage;
    letter->stage_name = r->conf->stages[o->stage].name;
    letter->version = r->code.number;
    letter->plugin = r->code.plugin;
    letter->digest = r->code.digest;
}

static bool stays(struct gq_dead_letter *letter, uint64_t name, uint64_t number, void *context)
{
    struct replay *r = context;
    if (r->judged == r->count || r->tried[r->judged].number != number)
        return true;
    const struct outcome *o = &r->tried[r->judged++];
    r->passed += o->fate == PASSED;
    r->failed += o->fate == FAILED;
    r->not_tried += o->fate != PASSED && o->fate != FAILED;
    if (o->fate == FAILED)
        update(r, o, letter);
    dlq_tell_letter(r->args, name, number,
                    o->fate == PASSED   ? "passed"
                    : o->fate == FAILED ? "failed"
                                        : "not tried",
                    o->fate == FAILED ? r->reason : NULL);
    return o->fate != PASSED;
}

static void tell_counts(const struct replay *r)
{
    dlq_tell_counts(r->args, "\"passed\": %" PRIu64 ", \"failed\": %" PRIu64 ", \"not_tried\": %" PRIu64, r->passed,
                    r->failed, r->not_tried);
}

static gq_status say_why_they_stay(const struct replay *r, const struct gq_dead_file *file)
{
    char not_tried[128] = "";
    if (r->not_tried > 0)
        snprintf(not_tried, sizeof not_tried, "%s not tried have no bytes, or more than the %u of queue.slot_bytes",
                 r->failed > 0 ? "; those" : "those", r->conf->slot_bytes);
    return gq_error_set(GQ_ERR_DEVICE, "%s: letters stay: %s%s", file->path,
                        r->failed > 0 ? "those that failed have a new reason in `gpuq dlq ls`" : "", not_tried);
}

/* What ended before a failure ended all the same, so its letters go; the failure is what is reported. */
static gq_status settle(struct replay *r, struct gq_dead_file *file, gq_status sent)
{
    char sentence[GQ_ERROR_TEXT_MAX];
    snprintf(sentence, sizeof sentence, "%s", sent == GQ_OK ? "" : gq_error_text());
    gq_status status = close_output(r);
    if (status == GQ_OK && sent == GQ_OK && r->count == 0 && r->args->json)
        tell_counts(r);
    else if (status == GQ_OK && sent == GQ_OK && r->count == 0)
        fprintf(stderr, "%s has no letters: nothing was replayed\n", file->path);
    if (status != GQ_OK || r->count == 0)
        return sent == GQ_OK ? status : gq_error_set(sent, "%s", sentence);
    status = gq_dead_rewrite(file, stays, r);
    if (status != GQ_OK)
        gq_text_clear(&r->args->object); /* the letters are as they were */
    else if (r->args->json)
        tell_counts(r);
    else
        fprintf(stderr,
                "%" PRIu64 " passed and left the file; %" PRIu64 " failed again and stay; %" PRIu64
                " could not be tried and stay\n",
                r->passed, r->failed, r->not_tried);
    if (sent != GQ_OK)
        return gq_error_set(sent, "%s", sentence);
    if (status == GQ_OK && r->failed + r->not_tried > 0)
        status = say_why_they_stay(r, file);
    return status;
}

/* Results among the letters would be damage to them. */
static gq_status check_apart(const struct gq_dead_file *file)
{
    struct stat letters, out;
    if (fstat(file->fd, &letters) != 0 || fstat(STDOUT_FILENO, &out) != 0 || !gq_file_same(&letters, &out))
        return GQ_OK;
    return gq_error_set(GQ_ERR_INVALID_ARG,
                        "%s: the dead letters and standard output are one file: write the results to another",
                        file->path);
}

/* A queue knows that its worker is gone, the pipeline what no other could start for. */
static gq_status look_behind(const struct replay *r, gq_status status)
{
    if (status != GQ_ERR_DEVICE)
        return status;
    char sentence[GQ_ERROR_TEXT_MAX];
    snprintf(sentence, sizeof sentence, "%s", gq_error_text());
    const gq_status end = gq_wait(r->pipeline, 0);
    return gq_error_set(end == GQ_ERR_NO_MEMORY || end == GQ_ERR_UNAVAILABLE ? end : status, "%s", sentence);
}

gq_status dlq_replay(struct dlq_args *args)
{
    struct gq_dead_file file;
    struct replay r = {.args = args};
    gq_status status = dlq_open(args, &file);
    if (status != GQ_OK)
        return status;
    status = check_apart(&file);
    if (status == GQ_OK)
        status = dlq_find(args, &file);
    if (status == GQ_OK)
        status = start(&r);
    if (status == GQ_OK) {
        status = look_behind(&r, send_all(&r, &file));
        status = settle(&r, &file, status);
    } else {
        char sentence[GQ_ERROR_TEXT_MAX];
        snprintf(sentence, sizeof sentence, "%s", gq_error_text());
        close_output(&r);
        gq_error_set(status, "%s", sentence);
    }
    gq_close(r.pipeline);
    gq_conf_destroy(r.conf);
    free(r.tried);
    gq_status closed = gq_dead_close(&file);
    return status == GQ_OK ? closed : status;
}
