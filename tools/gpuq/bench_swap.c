/* Changes of code under load: the gap in service that a lane sees, and the time from an edit to its being live. */
#include "base/clock.h"
#include "bench_load.h"
#include <errno.h>
#include <gpuqueue/swap.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CAPACITY 4096u
#define CODES 8u        /* more than a worker keeps: each is loaded again when its turn comes */
#define LEAST 8u        /* changes, however short the measurement */
#define SETTLE_US 2000u /* between two changes, for lanes to fill again */
#define PADDING 62500u  /* words: half a megabyte */

#define PACE 50e6 /* messages a second of all lanes */

/* Messages are copied sixteen bytes at a time, as plugins/echo.cu does. No message has the length that tells codes
 * apart. */
static const char plugin_text[] = "#include <gpuqueue/plugin.h>\n"
                                  "__device__ static const uint64_t padding[%u] = {%" PRIu64 "u};\n"
                                  "__device__ void process_message(const MsgView &in, ResultView *out)\n"
                                  "{\n"
                                  "    if (in.len == %" PRIu64 "u)\n"
                                  "        return gq_fail(out, (uint16_t)padding[in.payload[0] %% %u]);\n"
                                  "    *out->out_len = in.len;\n"
                                  "    for (uint32_t i = 0; i < in.len / 16; i++)\n"
                                  "        ((uint4 *)out->out)[i] = ((const uint4 *)in.payload)[i];\n"
                                  "}\n";
static const char golden_text[] = "- { name: one line, in: \"sixteen letters.\", out: \"sixteen letters.\" }\n";

struct lane {
    struct bench_load load;
    pthread_t thread;
    double gap_ns;   /* between two bursts; 0: as many messages as the lane takes */
    const bool *end; /* atomic */
    gq_status status;
    char why[256];
};

struct swapping {
    struct bench *b;
    gq_pipeline *p;
    struct bench_plugin plugin;
    char cache[128], golden[128];
    double pace; /* 0: lanes are full */
    uint32_t padding, count;
    struct lane lane[BENCH_PRODUCERS_MAX];
    bool end;
    uint64_t turn, unique; /* of codes that come again; of those that never were */
};

enum way { AGAIN, NEVER_BUILT, LOADED };

/* --- files -----------------------------------------------------------------------------------------------------------
 */

static gq_status write_file(const char *path, const char *format, ...) __attribute__((format(printf, 2, 3)));
static gq_status write_file(const char *path, const char *format, ...)
{
    va_list args;
    FILE *file = fopen(path, "w");
    va_start(args, format);
    int failed = !file || vfprintf(file, format, args) < 0;
    va_end(args);
    failed |= file && fclose(file) != 0;
    return failed ? gq_error_errno(GQ_ERR_IO, errno, "%s", path) : GQ_OK;
}

static gq_status write_code(const struct swapping *s, uint64_t number)
{
    return write_file(s->plugin.path, plugin_text, s->padding, number, number + (1u << 20), s->padding);
}

static gq_status make_files(struct swapping *s)
{
    gq_status status = bench_plugin_write(&s->plugin, "");
    if (status != GQ_OK)
        return status;
    snprintf(s->cache, sizeof s->cache, "%s/cache", s->plugin.folder);
    snprintf(s->golden, sizeof s->golden, "%.*s.golden.yaml", (int)strlen(s->plugin.path) - 3, s->plugin.path);
    status = write_file(s->golden, "%s", golden_text);
    return status == GQ_OK ? write_code(s, 0) : status;
}

/* --- load ------------------------------------------------------------------------------------------------------------
 */

static void keep_pace(struct lane *l, uint64_t start_ns)
{
    bench_load_send_due(&l->load, start_ns, l->gap_ns, gq_clock_ns());
    bench_load_take(&l->load, 0);
}

static void *keep_busy(void *arg)
{
    struct lane *l = arg;
    const uint64_t start = gq_clock_ns();
    while (!__atomic_load_n(l->end, __ATOMIC_ACQUIRE))
        l->gap_ns > 0 ? keep_pace(l, start) : (void)bench_load_drive(&l->load, 0.001);
    l->status = bench_load_drain(&l->load);
    snprintf(l->why, sizeof l->why, "%s", l->status == GQ_OK ? "" : gq_error_text());
    return NULL;
}

static gq_status start_lanes(struct swapping *s)
{
    gq_status status = GQ_OK;
    const uint32_t wanted = s->pace > 0 ? (uint32_t)(s->pace / BENCH_PACE_A_PRODUCER) : bench_most_producers(s->b);
    for (s->count = 0; s->count < wanted && status == GQ_OK; s->count += status == GQ_OK) {
        struct lane *l = &s->lane[s->count];
        *l = (struct lane){.end = &s->end, .gap_ns = s->pace > 0 ? wanted * BENCH_BURST * 1e9 / s->pace : 0};
        status = bench_load_init(&l->load, gq_queue(s->p), 64, CAPACITY, BENCH_ECHO, false);
        if (status == GQ_OK && pthread_create(&l->thread, NULL, keep_busy, l) != 0)
            status = gq_error_set(GQ_ERR_NO_MEMORY, "bench: no thread could be started");
    }
    return status;
}

static gq_status end_lanes(struct swapping *s, gq_status status)
{
    __atomic_store_n(&s->end, true, __ATOMIC_RELEASE);
    for (uint32_t i = 0; i < s->count; i++) {
        struct lane *l = &s->lane[i];
        pthread_join(l->thread, NULL);
        if (status == GQ_OK && l->status != GQ_OK)
            status = gq_error_set(l->status, "%s", l->why);
    }
    s->count = 0;
    s->end = false;
    return status;
}

/* --- changes ---------------------------------------------------------------------------------------------------------
 */

static gq_status change(struct swapping *s, enum way way, bool rehearse, uint64_t *took_ns)
{
    static gq_swap_result result;
    const gq_swap_opts opts = {.size = sizeof opts, .plugin = s->plugin.path, .rehearse = rehearse ? 1 : 2};
    gq_status status = GQ_OK;
    result.size = sizeof result;
    if (way != LOADED)
        status = write_code(s, way == AGAIN ? s->turn++ % CODES : s->unique++);
    if (status == GQ_OK)
        status = way == LOADED ? gq_rollback(s->p, "s", &result) : gq_swap(s->p, "s", &opts, &result);
    *took_ns = result.total_ns;
    return status;
}

/* From here on lanes add to `gaps`; NULL: they do not. Each has its own, one after another. */
static void watch_gaps(struct swapping *s, struct bench_times *gaps)
{
    for (uint32_t i = 0; i < s->count; i++)
        __atomic_store_n(&s->lane[i].load.gaps, gaps ? &gaps[i] : NULL, __ATOMIC_RELEASE);
}

static gq_status changes(struct swapping *s, enum way way, bool rehearse, struct bench_times *live)
{
    const uint64_t end = gq_clock_ns() + (uint64_t)(s->b->seconds * 1e9);
    gq_status status = GQ_OK;
    for (uint64_t took; status == GQ_OK && (live->total < LEAST || gq_clock_ns() < end);) {
        status = change(s, way, rehearse, &took);
        if (status == GQ_OK)
            bench_times_add(live, took, 1);
        usleep(SETTLE_US);
    }
    return status;
}

static void add_row(const struct swapping *s, const char *test, const char *what, const struct bench_times *times,
                    double rate)
{
    struct bench_row row = {.rate_per_s = rate};
    snprintf(row.test, sizeof row.test, "%s, 64 B at %s", test, s->pace > 0 ? "50 M/s" : "full rate");
    snprintf(row.what, sizeof row.what, "%s", what);
    snprintf(row.note, sizeof row.note, "max %.0f us, n %" PRIu64, (double)times->max * 1e-3, times->total);
    bench_row_times(&row, times);
    bench_add(s->b, row);
}

/* NULL for a row that is not wanted. The first of these changes is not measured: spare and builder are warm after it.
 */
static gq_status measure(struct swapping *s, enum way way, bool rehearse, const char *gap_row, const char *live_row)
{
    struct bench_times *gaps = calloc(BENCH_PRODUCERS_MAX, sizeof *gaps), *live = calloc(1, sizeof *live);
    QueueStats before = {0}, after = {0};
    uint64_t took, start = 0;
    gq_status status = gaps && live ? GQ_OK : gq_error_set(GQ_ERR_NO_MEMORY, "bench: out of memory");
    if (status == GQ_OK)
        status = change(s, way, rehearse, &took);
    if (status == GQ_OK) {
        watch_gaps(s, gaps);
        q_stats(gq_queue(s->p), &before);
        start = gq_clock_ns();
        status = changes(s, way, rehearse, live);
        q_stats(gq_queue(s->p), &after);
        const double rate = (double)(after.deq_count - before.deq_count) * 1e9 / (double)(gq_clock_ns() - start);
        status = end_lanes(s, status); /* nobody adds to the gaps any more */
        for (uint32_t i = 1; i < BENCH_PRODUCERS_MAX; i++)
            bench_times_merge(&gaps[0], &gaps[i]);
        if (status == GQ_OK && gap_row)
            add_row(s, "gap in service", gap_row, gaps, rate);
        if (status == GQ_OK && live_row)
            add_row(s, "from a changed file to live", live_row, live, 0);
    }
    free(gaps);
    free(live);
    return status == GQ_OK ? start_lanes(s) : status;
}

static gq_status fill_cache(struct swapping *s)
{
    gq_status status = GQ_OK;
    uint64_t took;
    for (uint32_t i = 0; i < CODES && status == GQ_OK; i++)
        status = change(s, AGAIN, false, &took);
    return status;
}

/* --- pipelines -------------------------------------------------------------------------------------------------------
 */

static gq_status open_it(struct swapping *s)
{
    return bench_open(s->b, &s->p,
                      "queue: { capacity: %u, slot_bytes: 64 }\nswap: { rehearse: off }\n"
                      "stages: [{ name: s, plugin: '%s' }]\n",
                      CAPACITY, s->plugin.path);
}

static gq_status small_code(struct swapping *s)
{
    gq_status status = measure(s, AGAIN, false, "gpuqueue, code never loaded", "gpuqueue, from the cache");
    if (status == GQ_OK)
        status = measure(s, AGAIN, true, "gpuqueue, the same, rehearsed", "gpuqueue, from the cache, rehearsed");
    if (status == GQ_OK)
        status = measure(s, LOADED, false, "gpuqueue, a version that is loaded", NULL);
    if (status == GQ_OK)
        status = measure(s, NEVER_BUILT, false, NULL, "gpuqueue, a warm builder");
    if (status == GQ_OK)
        status = measure(s, NEVER_BUILT, true, NULL, "gpuqueue, a warm builder, rehearsed");
    return status;
}

static gq_status large_code(struct swapping *s)
{
    return measure(s, AGAIN, false, "gpuqueue, code never loaded, 500 KB of it", NULL);
}

/* `cases` on a pipeline of its own. */
static gq_status with_load(struct swapping *s, double pace, uint32_t padding, gq_status (*cases)(struct swapping *s))
{
    s->pace = pace;
    s->padding = padding;
    s->turn = 0;
    gq_status status = write_code(s, CODES - 1);
    if (status == GQ_OK)
        status = open_it(s);
    if (status != GQ_OK)
        return status;
    status = start_lanes(s);
    if (status == GQ_OK)
        status = fill_cache(s);
    if (status == GQ_OK)
        status = cases(s);
    status = bench_close(s->p, end_lanes(s, status));
    s->p = NULL;
    return status;
}

/* --- what people do today --------------------------------------------------------------------------------------------
 */

static gq_status one_message(struct swapping *s, struct bench_load *l)
{
    gq_status status = bench_load_init(l, gq_queue(s->p), 64, CAPACITY, BENCH_ECHO, false);
    if (status == GQ_OK && bench_load_send(l, 1, gq_clock_ns()) == 1)
        status = bench_load_drain(l);
    return status;
}

/* From the last result of a pipeline to the first of the next, which runs other code; that is in the cache. */
static gq_status restart(struct swapping *s, struct bench_times *times)
{
    struct bench_load load;
    gq_status status = write_code(s, s->turn++ % CODES);
    const uint64_t start = gq_clock_ns();
    if (status == GQ_OK)
        status = bench_close(s->p, GQ_OK);
    s->p = NULL;
    if (status == GQ_OK)
        status = open_it(s);
    if (status == GQ_OK)
        status = one_message(s, &load);
    if (status == GQ_OK)
        bench_times_add(times, gq_clock_ns() - start, 1);
    return status;
}

static gq_status restarts(struct swapping *s)
{
    struct bench_times *times = calloc(1, sizeof *times);
    const uint64_t end = gq_clock_ns() + (uint64_t)(s->b->seconds * 1e9);
    gq_status status = times ? open_it(s) : gq_error_set(GQ_ERR_NO_MEMORY, "bench: out of memory");
    while (status == GQ_OK && (times->total < LEAST || gq_clock_ns() < end))
        status = restart(s, times);
    if (status == GQ_OK) {
        add_row(s, "gap in service", "close the queue, open it again", times, 0);
        s->b->rows[s->b->row_count - 1].competitor = true;
    }
    free(times);
    status = bench_close(s->p, status);
    s->p = NULL;
    return status;
}

static bool keeps_pace(const struct bench *b)
{
    return b->cuda && bench_most_producers(b) >= (uint32_t)(PACE / BENCH_PACE_A_PRODUCER);
}

gq_status bench_swap(struct bench *b)
{
    static struct swapping s;
    s = (struct swapping){.b = b, .padding = 1, .unique = gq_clock_ns() >> 10};
    gq_status status = make_files(&s);
    if (status != GQ_OK)
        return status;
    b->cache_folder = s.cache;
    status = with_load(&s, 0, 1, small_code);
    if (status == GQ_OK)
        status = restarts(&s);
    if (status == GQ_OK)
        status = with_load(&s, 0, PADDING, large_code);
    if (status == GQ_OK && keeps_pace(b))
        status = with_load(&s, PACE, 1, small_code);
    if (status == GQ_OK && keeps_pace(b))
        status = with_load(&s, PACE, PADDING, large_code);
    b->cache_folder = NULL;
    bench_plugin_remove(&s.plugin);
    if (status == GQ_OK)
        bench_rivals(b, "swap", "gap in service, 64 B at 50 M/s");
    return status;
}
