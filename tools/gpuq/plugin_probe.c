#include "plugin_probe.h"
#include <stdio.h>
#include <string.h>
#include "base/assert.h"
#include "base/clock.h"

#define LANE_BYTES_MAX (32u << 20)
#define CAPACITY_MAX 64u
#define BATCH 32u
#define POLL_MS 5u /* a dropped message gives no result: how often to look for its count */

/* The sentence of the call that just failed, for those who ask base/error.h. */
static gq_status failed(gq_status status) { return gq_error_set(status, "%s", gq_last_error()); }

static uint32_t capacity_for(uint32_t slot_bytes)
{
    uint32_t capacity = CAPACITY_MAX;
    while (capacity > GQ_CAPACITY_MIN && capacity * slot_bytes > LANE_BYTES_MAX)
        capacity /= 2;
    return capacity;
}

static gq_status make_text(const struct probe_opts *opts, struct gq_text *out)
{
    struct plugin_text plugin = opts->text;
    plugin.capacity = capacity_for(plugin.slot_bytes);
    return plugin_text_write(&plugin, out);
}

/* Only the first death tells how it was: the later ones are trials of the same message. */
static void note_death(void *context, const char *sentence)
{
    static const char goes_on[] = "; another worker takes over";
    struct probe *probe = context;
    const char *end = strstr(sentence, goes_on);
    pthread_mutex_lock(&probe->lock);
    if (end && probe->death[0] == '\0')
        snprintf(probe->death, sizeof probe->death, "%.*s", (int)(end - sentence), sentence);
    pthread_mutex_unlock(&probe->lock);
}

static gq_status tell_death(struct probe *probe)
{
    pthread_mutex_lock(&probe->lock);
    gq_status status = gq_error_set(GQ_ERR_DEVICE, "%s", probe->death[0] ? probe->death : "the worker died");
    probe->death[0] = '\0';
    pthread_mutex_unlock(&probe->lock);
    return status;
}

static gq_status start(const struct probe_opts *opts, const char *text, struct probe *probe)
{
    const gq_open_opts open = {.size = sizeof open,
                               .path = PLUGIN_TEXT_NAME,
                               .text = text,
                               .backend = opts->backend,
                               .cpu_threads = 1, /* so that a mean time is that of one thread */
                               .no_cache = opts->no_cache,
                               .note = note_death,
                               .note_context = probe};
    gq_status status = gq_open(&open, &probe->pipeline);
    if (status == GQ_OK)
        status = gq_prepare(probe->pipeline);
    if (status == GQ_OK)
        status = gq_start(probe->pipeline);
    if (status != GQ_OK)
        return failed(status);
    probe->queue = gq_queue(probe->pipeline);
    gq_assert(probe->queue);
    return GQ_OK;
}

/* Closing may leave a sentence of its own; the one that matters came before. */
static void close_failed(struct probe *probe, gq_status status)
{
    char sentence[GQ_ERROR_TEXT_MAX];
    snprintf(sentence, sizeof sentence, "%s", gq_error_text());
    probe_close(probe);
    gq_error_set(status, "%s", sentence);
}

gq_status probe_open(const struct probe_opts *opts, struct probe *probe)
{
    *probe = (struct probe){.makes = opts->text.kind == GQ_IMAGE_SOURCE, .timeout_s = opts->timeout_s};
    pthread_mutex_init(&probe->lock, NULL);
    struct gq_text text = {0};
    gq_status status = make_text(opts, &text);
    if (status == GQ_OK)
        status = start(opts, gq_text_str(&text), probe);
    gq_text_finish(&text);
    if (status != GQ_OK)
        close_failed(probe, status);
    return status;
}

/* Messages that ended: dropped ones by themselves, others when their results were released. */
static uint64_t count_ended(const struct probe *probe)
{
    QueueStats stats = {0};
    return q_stats(probe->queue, &stats) == Q_OK ? stats.deq_count : 0;
}

static gq_status too_slow(const struct probe *probe)
{
    return gq_error_set(
        GQ_ERR_TIMEOUT,
        "the message did not end within %u s: does the plugin loop for ever? (--timeout gives it longer)",
        probe->timeout_s);
}

static enum gq_golden_ending ending_of(const QResult *result)
{
    switch (result->status) {
    case Q_RESULT_OK:
        return GQ_GOLDEN_OUT;
    case Q_RESULT_FAILED:
        return GQ_GOLDEN_FAILED;
    default:
        return GQ_GOLDEN_OVERFLOW;
    }
}

static gq_status keep(struct probe *probe, const QResult *from, struct gq_golden_result *result)
{
    if (from->status == Q_RESULT_FAULTED)
        return tell_death(probe);
    *result = (struct gq_golden_result){.ending = ending_of(from), .code = from->code};
    return result->ending == GQ_GOLDEN_OUT ? gq_golden_result_keep(result, from->data, from->len) : GQ_OK;
}

/* A short wait. A dropped message gives no result to wait for, but once nothing is in flight the wait is over; what a
 * source has in flight is not counted so, and its results are waited for. */
static QueueStatus peek(struct probe *probe, QResult *results, size_t max, size_t *count)
{
    if (probe->makes)
        return q_peek_any(probe->queue, results, max, count, POLL_MS);
    (void)q_wait_completions(probe->queue, POLL_MS);
    return q_peek_any(probe->queue, results, max, count, 0);
}

/* Waits until results are there or a message was dropped; *count is 0 for the latter. */
static gq_status wait_any(struct probe *probe, QResult *results, size_t max, size_t *count)
{
    const uint64_t deadline = gq_clock_deadline(probe->timeout_s * 1000);
    do {
        QueueStatus status = peek(probe, results, max, count);
        if (status == Q_OK)
            return GQ_OK;
        *count = 0;
        if (status != Q_ERR_TIMEOUT && status != Q_ERR_NOT_READY)
            return failed((gq_status)status);
        if (count_ended(probe) > probe->ended)
            return GQ_OK;
    } while (!gq_clock_past(deadline));
    return too_slow(probe);
}

static void release(struct probe *probe, const QResult *results, size_t count)
{
    if (count)
        q_release(probe->queue, results, count);
    probe->ended = count_ended(probe);
}

gq_status probe_take(struct probe *probe, struct gq_golden_result *result)
{
    QResult found;
    size_t count = 0;
    *result = (struct gq_golden_result){.ending = GQ_GOLDEN_DROPPED};
    gq_status status = wait_any(probe, &found, 1, &count);
    if (status == GQ_OK && count)
        status = keep(probe, &found, result);
    release(probe, &found, count);
    return status;
}

gq_status probe_feed(struct probe *probe, const void *bytes, size_t len, struct gq_golden_result *result)
{
    *result = (struct gq_golden_result){0};
    QueueStatus status = q_enqueue(probe->queue, bytes, len, NULL, probe->timeout_s * 1000);
    return status == Q_OK ? probe_take(probe, result) : failed((gq_status)status);
}

static gq_status feed_some(struct probe *probe, const EnqueueItem *items, uint64_t *left)
{
    size_t accepted = 0;
    if (*left == 0)
        return GQ_OK;
    QueueStatus status =
        q_enqueue_batch(probe->queue, items, *left < BATCH ? (size_t)*left : BATCH, NULL, &accepted, 0);
    *left -= accepted;
    return status == Q_OK || status == Q_ERR_FULL ? GQ_OK : failed((gq_status)status);
}

static gq_status take_some(struct probe *probe)
{
    QResult results[BATCH];
    size_t count = 0;
    gq_status status = wait_any(probe, results, BATCH, &count);
    release(probe, results, count);
    return status;
}

gq_status probe_repeat(struct probe *probe, const void *bytes, size_t len, uint64_t times, double *mean_ns)
{
    EnqueueItem items[BATCH];
    for (size_t i = 0; i < BATCH; i++)
        items[i] = (EnqueueItem){.data = bytes, .len = len};
    uint64_t left = probe->makes ? 0 : times;
    const uint64_t last = probe->ended + times, began = gq_clock_ns();
    gq_status status = GQ_OK;
    while (status == GQ_OK && probe->ended < last) {
        status = feed_some(probe, items, &left);
        if (status == GQ_OK)
            status = take_some(probe);
    }
    *mean_ns = (double)(gq_clock_ns() - began) / (double)times;
    return status;
}

gq_status probe_close(struct probe *probe)
{
    const gq_status status = probe->queue ? gq_stop(probe->pipeline, 1) : GQ_OK;
    gq_close(probe->pipeline);
    pthread_mutex_destroy(&probe->lock);
    *probe = (struct probe){0};
    return status == GQ_ERR_TIMEOUT ? GQ_OK : status; /* what is still in flight is of no interest */
}
