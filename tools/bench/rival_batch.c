/* The ways that copy messages to the device and launch kernels for them: a launch a message, batches on one stream, and
 * CUDA graphs over batches on three. The producer writes, and checks, what a producer of gpuqueue does. */
#include "base/clock.h"
#include "bench_message.h"
#include "rivals.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BYTES 64u
#define DEPTH_MAX 3u
#define FULL_CHECK 64u
#define WAIT_MS 10000u
#define COPY_THREADS 256u

enum how {
    PER_MESSAGE, /* each message is copied in, launched and copied out by itself; nobody waits in between */
    PER_BATCH,   /* copy in, launch, copy out for a whole batch */
    GRAPH        /* the same three, captured once */
};

/* A batch: filled while others are under way. */
struct lot {
    struct rival_pages in, out;
    gq_cu_ptr device_in, device_out;
    gq_cu_stream stream; /* of its own with GRAPH, else that of lot 0 */
    rival_event done;
    rival_graph graph;
    rival_exec exec;
    bool filled, flying;
    uint64_t first, begun_ns;
};

struct line {
    const struct rival *r;
    enum how how;
    uint32_t bytes, batch, depth;
    struct lot lot[DEPTH_MAX];
    uint64_t sent, taken, wrong;
    struct bench_times *times;
    double seconds, rate;
    pthread_t thread;
    gq_status status;
    char why[256];
};

/* --- one batch to the device and back ----------------------------------------------------------------------------- */

/* `count` messages from number `at` of the lot on. */
static gq_status submit_part(const struct line *l, const struct lot *lot, uint32_t at, uint32_t count)
{
    const struct rival *r = l->r;
    size_t from = (size_t)at * l->bytes, bytes = (size_t)count * l->bytes;
    gq_cu_ptr in = lot->device_in + from, out = lot->device_out + from;
    uint32_t words = (uint32_t)(bytes / 16), blocks = (words + COPY_THREADS - 1) / COPY_THREADS;
    void *params[] = {&in, &out, &words};
    gq_status status = rival_check(
        r, r->cu.copy_to_device(in, (const uint8_t *)lot->in.host + from, bytes, lot->stream), "cuMemcpyHtoDAsync");
    if (status == GQ_OK)
        status = rival_launch(r, r->echo, blocks, words < COPY_THREADS ? 32 : COPY_THREADS, lot->stream, params);
    if (status == GQ_OK)
        status = rival_check(r, r->cu.copy_from_device((uint8_t *)lot->out.host + from, out, bytes, lot->stream),
                             "cuMemcpyDtoHAsync");
    return status;
}

static gq_status submit(const struct line *l, struct lot *lot)
{
    gq_status status = GQ_OK;
    if (l->how == GRAPH)
        status = rival_check(l->r, l->r->cu.graph_launch(lot->exec, lot->stream), "cuGraphLaunch");
    else if (l->how == PER_BATCH)
        status = submit_part(l, lot, 0, l->batch);
    for (uint32_t i = 0; l->how == PER_MESSAGE && i < l->batch && status == GQ_OK; i++)
        status = submit_part(l, lot, i, 1);
    if (status == GQ_OK)
        status = rival_check(l->r, l->r->cu.event_record(lot->done, lot->stream), "cuEventRecord");
    lot->flying = status == GQ_OK;
    return status;
}

static void fill(struct line *l, struct lot *lot)
{
    uint8_t *to = lot->in.host;
    lot->begun_ns = gq_clock_ns();
    lot->first = l->sent;
    for (uint32_t i = 0; i < l->batch; i++, to += l->bytes)
        if (lot->filled)
            bench_message_number(to, l->bytes, l->sent++);
        else
            bench_message_fill(to, l->bytes, i, l->sent++);
    lot->filled = true;
}

static void check(struct line *l, const struct lot *lot)
{
    const uint8_t *got = lot->out.host;
    for (uint32_t i = 0; i < l->batch; i++, got += l->bytes) {
        uint64_t n = lot->first + i;
        l->wrong += n % FULL_CHECK ? !bench_message_ends(got, l->bytes, n) : !bench_message_whole(got, l->bytes, i, n);
    }
    l->taken += l->batch;
}

/* From the moment at which the first message of the batch began to be written, the filling of the others included, to
 * that at which its results were seen; for each of its messages. */
static gq_status collect(struct line *l, struct lot *lot)
{
    uint64_t deadline = gq_clock_deadline(WAIT_MS);
    int state = l->r->cu.event_query(lot->done);
    while (state == GQ_CU_NOT_READY && !gq_clock_past(deadline))
        state = l->r->cu.event_query(lot->done);
    if (state == GQ_CU_NOT_READY)
        return gq_error_set(GQ_ERR_TIMEOUT, "a batch of %u did not come back within %u s", l->batch, WAIT_MS / 1000);
    bench_times_add(l->times, gq_clock_ns() - lot->begun_ns, l->batch);
    lot->flying = false;
    check(l, lot);
    return rival_check(l->r, state, "cuEventQuery");
}

/* --- a line of batches -------------------------------------------------------------------------------------------- */

static gq_status capture(struct line *l, struct lot *lot)
{
    const struct rival_api *cu = &l->r->cu;
    gq_status status = rival_check(l->r, cu->capture_begin(lot->stream, RIVAL_CAPTURE_THREAD), "cuStreamBeginCapture");
    if (status != GQ_OK)
        return status;
    status = submit_part(l, lot, 0, l->batch);
    int ended = cu->capture_end(lot->stream, &lot->graph);
    if (status == GQ_OK)
        status = rival_check(l->r, ended, "cuStreamEndCapture");
    if (status == GQ_OK)
        status = rival_check(l->r, cu->graph_make(&lot->exec, lot->graph, 0), "cuGraphInstantiateWithFlags");
    return status;
}

static gq_status take_lot(struct line *l, uint32_t at)
{
    const struct rival *r = l->r;
    struct lot *lot = &l->lot[at];
    size_t bytes = ((size_t)l->batch * l->bytes + 4095) / 4096 * 4096;
    gq_status status = rival_pages_take(r, bytes, &lot->in);
    if (status == GQ_OK)
        status = rival_pages_take(r, bytes, &lot->out);
    if (status == GQ_OK)
        status = rival_check(r, r->cu.mem_alloc(&lot->device_in, bytes), "cuMemAlloc");
    if (status == GQ_OK)
        status = rival_check(r, r->cu.mem_alloc(&lot->device_out, bytes), "cuMemAlloc");
    if (status == GQ_OK)
        status = rival_check(r, r->cu.event_create(&lot->done, RIVAL_EVENT_NO_TIMING), "cuEventCreate");
    if (status == GQ_OK && at > 0 && l->how != GRAPH)
        lot->stream = l->lot[0].stream;
    else if (status == GQ_OK)
        status = rival_check(r, r->cu.stream_create(&lot->stream, GQ_CU_STREAM_NON_BLOCKING), "cuStreamCreate");
    return status == GQ_OK && l->how == GRAPH ? capture(l, lot) : status;
}

static void give_lot(struct line *l, uint32_t at)
{
    const struct rival *r = l->r;
    struct lot *lot = &l->lot[at];
    if (lot->exec)
        r->cu.exec_destroy(lot->exec);
    if (lot->graph)
        r->cu.graph_destroy(lot->graph);
    if (lot->stream && (at == 0 || l->how == GRAPH))
        r->cu.stream_destroy(lot->stream);
    if (lot->done)
        r->cu.event_destroy(lot->done);
    if (lot->device_out)
        r->cu.mem_free(lot->device_out);
    if (lot->device_in)
        r->cu.mem_free(lot->device_in);
    rival_pages_give(r, &lot->out);
    rival_pages_give(r, &lot->in);
}

static gq_status turn(struct line *l, struct lot *lot)
{
    gq_status status = lot->flying ? collect(l, lot) : GQ_OK;
    if (status != GQ_OK)
        return status;
    fill(l, lot);
    return submit(l, lot);
}

/* Runs for `seconds`; all lots are back when it returns with GQ_OK. */
static gq_status drive(struct line *l, double seconds)
{
    uint64_t before = l->taken, start = gq_clock_ns(), end = start + (uint64_t)(seconds * 1e9);
    gq_status status = GQ_OK;
    for (uint32_t i = 0; status == GQ_OK && gq_clock_ns() < end; i = (i + 1) % l->depth)
        status = turn(l, &l->lot[i]);
    l->rate = (double)(l->taken - before) * 1e9 / (double)(gq_clock_ns() - start);
    for (uint32_t i = 0; i < l->depth; i++)
        if (l->lot[i].flying && status == GQ_OK)
            status = collect(l, &l->lot[i]);
    return status;
}

static gq_status run_line(struct line *l)
{
    const struct rival *r = l->r;
    gq_status status = rival_check(r, r->cu.set_current(r->context), "cuCtxSetCurrent");
    for (uint32_t i = 0; i < l->depth && status == GQ_OK; i++)
        status = take_lot(l, i);
    if (status == GQ_OK)
        status = drive(l, l->seconds / 5); /* caches and clocks warm up, the slots are filled */
    *l->times = (struct bench_times){0};
    if (status == GQ_OK)
        status = drive(l, l->seconds);
    if (status == GQ_OK && l->wrong)
        status = gq_error_set(GQ_ERR_INTERNAL, "%llu replies were wrong", (unsigned long long)l->wrong);
    for (uint32_t i = 0; i < l->depth; i++)
        give_lot(l, i);
    return status;
}

/* --- several lines at once ---------------------------------------------------------------------------------------- */

static void *line_main(void *arg)
{
    struct line *l = arg;
    l->status = run_line(l);
    snprintf(l->why, sizeof l->why, "%s", l->status == GQ_OK ? "" : gq_error_text());
    return NULL;
}

static gq_status start_line(struct line *l, const struct line *like)
{
    *l = *like;
    l->times = calloc(1, sizeof *l->times);
    if (l->times && pthread_create(&l->thread, NULL, line_main, l) == 0)
        return GQ_OK;
    free(l->times);
    return gq_error_set(GQ_ERR_NO_MEMORY, "no thread could be started");
}

static gq_status join_line(struct line *l, gq_status status, struct bench_times *times, double *rate)
{
    pthread_join(l->thread, NULL);
    *rate += l->rate;
    bench_times_merge(times, l->times);
    free(l->times);
    return status == GQ_OK && l->status != GQ_OK ? gq_error_set(l->status, "%s", l->why) : status;
}

/* `count` threads, each with a line like this one: the sum of their rates, and the times of all. */
static gq_status run_lines(const struct line *like, uint32_t count, struct bench_times *times, double *rate)
{
    struct line *lines = calloc(count, sizeof *lines);
    gq_status status = lines ? GQ_OK : gq_error_set(GQ_ERR_NO_MEMORY, "out of memory");
    uint32_t started = 0;
    *times = (struct bench_times){0};
    *rate = 0;
    while (status == GQ_OK && started < count) {
        status = start_line(&lines[started], like);
        started += status == GQ_OK;
    }
    for (uint32_t i = 0; i < started; i++)
        status = join_line(&lines[i], status, times, rate);
    free(lines);
    return status;
}

/* --- rows --------------------------------------------------------------------------------------------------------- */

static gq_status one_row(const struct line *like, const char *test, const char *what)
{
    static struct bench_times times;
    double rate;
    char note[64];
    snprintf(note, sizeof note, "batch %u, p99 with its filling", like->batch);
    gq_status status = run_lines(like, 1, &times, &rate);
    if (status == GQ_OK)
        rival_row(test, what, rate, like->how == PER_MESSAGE ? NULL : &times, like->bytes,
                  like->how == PER_MESSAGE ? "" : note);
    return status;
}

#define BATCH_LEAST 256u
#define BATCH_MOST 65536u

/* Graphs over batches of every size: the row is that with the best rate. */
static gq_status best_graphs(struct rival *r, uint32_t threads, const char *test)
{
    static struct bench_times times, best_times;
    struct line like = {.r = r, .how = GRAPH, .bytes = BYTES, .depth = 3, .seconds = r->seconds / 4};
    double rate, best = 0;
    uint32_t batch = 0;
    char what[64], note[64];
    gq_status status = GQ_OK;
    for (like.batch = BATCH_LEAST; like.batch <= BATCH_MOST && status == GQ_OK; like.batch *= 2) {
        status = run_lines(&like, threads, &times, &rate);
        if (status == GQ_OK && rate > best) {
            best = rate, batch = like.batch;
            best_times = times;
        }
    }
    snprintf(what, sizeof what, "CUDA graph, triple-buffered, %u thread%s", threads, threads == 1 ? "" : "s");
    snprintf(note, sizeof note, "best batch %u, p99 with its filling", batch);
    if (status == GQ_OK)
        rival_row(test, what, best, &best_times, BYTES, note);
    return status;
}

gq_status rival_batches(struct rival *r)
{
    static const char test[] = "echo 64 B, batches";
    struct line like = {.r = r, .how = PER_MESSAGE, .bytes = BYTES, .batch = 64, .depth = 3, .seconds = r->seconds};
    gq_status status = one_row(&like, test, "copy, launch, copy for each message");
    like.how = PER_BATCH, like.batch = 4096, like.depth = 2;
    if (status == GQ_OK)
        status = one_row(&like, test, "copy, launch, copy for a batch, one stream");
    return status == GQ_OK ? best_graphs(r, 1, test) : status;
}

gq_status rival_many_graphs(struct rival *r) { return best_graphs(r, r->producers, "echo 64 B"); }

/* One lot of one message: sent off, waited for, and only then the next. */
static gq_status round_trips(struct rival *r, uint32_t bytes, const char *test)
{
    static struct bench_times times;
    double rate;
    struct line like = {.r = r, .how = PER_BATCH, .bytes = bytes, .batch = 1, .depth = 1, .seconds = r->seconds};
    gq_status status = run_lines(&like, 1, &times, &rate);
    if (status == GQ_OK)
        rival_row(test, "copy, launch, copy, wait", rate, &times, 0, "");
    return status;
}

gq_status rival_per_message(struct rival *r)
{
    gq_status status = round_trips(r, 64, "round trip 64 B");
    return status == GQ_OK ? round_trips(r, 1024, "round trip 1 KiB") : status;
}
