#include "plugin_probe.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/assert.h"
#include "base/channel.h"
#include "base/clock.h"

#define LANE_BYTES_MAX (32u << 20)
#define CAPACITY_MAX 64u
#define BATCH 32u
#define POLL_MS 5u /* a dropped message gives no result: how often to look for its count */

/* A pipeline has at least one stage; behind a source it is this. */
static const char echo_plugin[] = "#include <gpuqueue/plugin.h>\n"
                                  "__device__ void process_message(const MsgView &in, ResultView *out)\n"
                                  "{\n"
                                  "    for (uint32_t i = 0; i < in.len; i++)\n"
                                  "        out->out[i] = in.payload[i];\n"
                                  "    *out->out_len = in.len;\n"
                                  "}\n";

/* The sentence of the call that just failed, for those who ask base/error.h. */
static gq_status failed(gq_status status) { return gq_error_set(status, "%s", gq_last_error()); }

static uint32_t capacity_for(uint32_t slot_bytes)
{
    uint32_t capacity = CAPACITY_MAX;
    while (capacity > GQ_CAPACITY_MIN && capacity * slot_bytes > LANE_BYTES_MAX)
        capacity /= 2;
    return capacity;
}

static gq_status make_text(const struct probe_opts *opts, struct probe *probe, struct gq_text *out)
{
    struct plugin_text plugin = opts->text;
    char echo[32] = "";
    if (plugin.kind == GQ_IMAGE_SOURCE) {
        gq_status status = gq_memfd_from("echo.cu", echo_plugin, sizeof echo_plugin - 1, &probe->echo_fd);
        if (status != GQ_OK)
            return status;
        snprintf(echo, sizeof echo, "/proc/self/fd/%d", probe->echo_fd);
    }
    plugin.echo = echo;
    plugin.capacity = capacity_for(plugin.slot_bytes);
    plugin_text_write(&plugin, out);
    return out->failed ? gq_error_set(GQ_ERR_NO_MEMORY, "memory ran out while the pipeline was written") : GQ_OK;
}

static gq_status start(const struct probe_opts *opts, const char *text, struct probe *probe)
{
    const gq_open_opts open = {.size = sizeof open,
                               .path = PLUGIN_TEXT_NAME,
                               .text = text,
                               .backend = opts->backend,
                               .cpu_threads = 1, /* so that a mean time is that of one thread */
                               .no_cache = opts->no_cache};
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
    *probe = (struct probe){.echo_fd = -1};
    struct gq_text text = {0};
    gq_status status = make_text(opts, probe, &text);
    if (status == GQ_OK)
        status = start(opts, gq_text_str(&text), probe);
    gq_text_finish(&text);
    if (status != GQ_OK)
        close_failed(probe, status);
    return status;
}

static uint64_t dropped_so_far(const struct probe *probe)
{
    gq_stats stats = {.size = sizeof stats};
    return gq_get_stats(probe->pipeline, &stats) == GQ_OK ? stats.dropped : 0;
}

static gq_status too_slow(void)
{
    return gq_error_set(GQ_ERR_TIMEOUT, "the message did not end within %u s: does the plugin loop for ever?",
                        PROBE_PATIENCE_MS / 1000);
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

static gq_status keep(const QResult *from, struct probe_result *result)
{
    *result = (struct probe_result){.ending = ending_of(from), .code = from->code};
    if (result->ending != GQ_GOLDEN_OUT || from->len == 0)
        return GQ_OK;
    result->out.data = malloc(from->len);
    if (!result->out.data)
        return gq_error_set(GQ_ERR_NO_MEMORY, "memory ran out for a result of %u bytes", from->len);
    memcpy(result->out.data, from->data, from->len);
    result->out.len = from->len;
    return GQ_OK;
}

/* Waits until a result comes or the count of dropped messages passes `dropped`; *count is 0 for the latter. */
static gq_status wait_any(struct probe *probe, uint64_t dropped, QResult *results, size_t max, size_t *count)
{
    const uint64_t deadline = gq_clock_deadline(PROBE_PATIENCE_MS);
    do {
        QueueStatus status = q_peek_any(probe->queue, results, max, count, POLL_MS);
        if (status == Q_OK)
            return GQ_OK;
        *count = 0;
        if (status != Q_ERR_TIMEOUT && status != Q_ERR_NOT_READY)
            return failed((gq_status)status);
        if (dropped_so_far(probe) > dropped)
            return GQ_OK;
    } while (!gq_clock_past(deadline));
    return too_slow();
}

static gq_status take(struct probe *probe, uint64_t dropped, struct probe_result *result)
{
    QResult found;
    size_t count = 0;
    *result = (struct probe_result){.ending = GQ_GOLDEN_DROPPED};
    gq_status status = wait_any(probe, dropped, &found, 1, &count);
    if (status != GQ_OK || count == 0)
        return status;
    status = keep(&found, result);
    q_release(probe->queue, &found, 1);
    return status;
}

gq_status probe_feed(struct probe *probe, const void *bytes, size_t len, struct probe_result *result)
{
    const uint64_t dropped = dropped_so_far(probe);
    *result = (struct probe_result){0};
    QueueStatus status = q_enqueue(probe->queue, bytes, len, NULL, PROBE_PATIENCE_MS);
    return status == Q_OK ? take(probe, dropped, result) : failed((gq_status)status);
}

gq_status probe_take(struct probe *probe, struct probe_result *result) { return take(probe, 0, result); }

/* Messages on their way: how many were fed, and how many ended with a result. */
struct flight {
    EnqueueItem items[BATCH];
    uint64_t times, fed, taken, dropped_before;
};

static gq_status feed_more(struct probe *probe, struct flight *f)
{
    size_t accepted = 0;
    uint64_t left = f->times - f->fed;
    if (left == 0)
        return GQ_OK;
    QueueStatus status =
        q_enqueue_batch(probe->queue, f->items, left < BATCH ? (size_t)left : BATCH, NULL, &accepted, 0);
    f->fed += accepted;
    return status == Q_OK || status == Q_ERR_FULL ? GQ_OK : failed((gq_status)status);
}

static gq_status take_more(struct probe *probe, struct flight *f)
{
    QResult results[BATCH];
    size_t count = 0;
    const uint64_t dropped = dropped_so_far(probe);
    if (f->taken + dropped - f->dropped_before >= f->times)
        return GQ_OK;
    gq_status status = wait_any(probe, dropped, results, BATCH, &count);
    if (count)
        q_release(probe->queue, results, count);
    f->taken += count;
    return status;
}

static bool flying(struct probe *probe, const struct flight *f)
{
    return f->taken < f->times && f->taken + dropped_so_far(probe) - f->dropped_before < f->times;
}

gq_status probe_repeat(struct probe *probe, const void *bytes, size_t len, uint64_t times, double *mean_ns)
{
    const bool made = probe->echo_fd >= 0;
    struct flight f = {.times = times, .fed = made ? times : 0, .dropped_before = dropped_so_far(probe)};
    for (size_t i = 0; i < BATCH; i++)
        f.items[i] = (EnqueueItem){.data = bytes, .len = len};
    const uint64_t began = gq_clock_ns();
    gq_status status = GQ_OK;
    while (status == GQ_OK && flying(probe, &f)) {
        status = feed_more(probe, &f);
        if (status == GQ_OK)
            status = take_more(probe, &f);
    }
    *mean_ns = (double)(gq_clock_ns() - began) / (double)times;
    return status;
}

void probe_close(struct probe *probe)
{
    if (probe->queue)
        (void)gq_stop(probe->pipeline, 1); /* what is still in flight is of no interest */
    gq_close(probe->pipeline);
    if (probe->echo_fd >= 0)
        close(probe->echo_fd);
    *probe = (struct probe){.echo_fd = -1};
}

void probe_result_finish(struct probe_result *result)
{
    free(result->out.data);
    *result = (struct probe_result){0};
}
