#include "bench_load.h"
#include "base/clock.h"
#include "base/digest.h"
#include "bench_message.h"
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* --- one reply ---------------------------------------------------------------------------------------------------- */

static uint32_t reply_bytes(const struct bench_load *l)
{
    return l->reply == BENCH_ECHO ? l->bytes : l->reply == BENCH_SUM ? 8 : 64;
}

static uint64_t slot_of(const struct bench_load *l, uint64_t n) { return l->copied ? 0 : n % l->capacity; }

static bool right_sum(const struct bench_load *l, const void *got, uint64_t n)
{
    uint64_t sum;
    memcpy(&sum, got, sizeof sum);
    return sum == bench_message_sum(l->bytes, slot_of(l, n), n);
}

static bool right_sha256(const struct bench_load *l, const char *got, uint64_t n)
{
    uint8_t message[BENCH_MESSAGE_MAX], digest[32];
    char hex[3];
    bool right = true;
    bench_message_fill(message, l->bytes, slot_of(l, n), n);
    gq_digest_bytes(message, l->bytes, digest);
    for (uint32_t i = 0; i < 32 && right; i++) {
        snprintf(hex, sizeof hex, "%02x", digest[i]);
        right = memcmp(hex, got + (size_t)i * 2, 2) == 0;
    }
    return right;
}

static bool right_whole(const struct bench_load *l, const void *got, uint64_t n)
{
    if (l->reply == BENCH_SHA256)
        return right_sha256(l, got, n);
    return l->reply == BENCH_SUM || bench_message_whole(got, l->bytes, slot_of(l, n), n);
}

static bool right(const struct bench_load *l, const QResult *r, uint64_t n)
{
    if (r->status != Q_RESULT_OK || r->msg_id != l->first_id + n || r->len != reply_bytes(l))
        return false;
    uint8_t copy[BENCH_MESSAGE_MAX];
    const void *got = l->copied ? memcpy(copy, r->data, l->bytes) : r->data;
    if (l->reply == BENCH_ECHO ? !bench_message_ends(got, l->bytes, n) : l->reply == BENCH_SUM && !right_sum(l, got, n))
        return false;
    return n % BENCH_FULL_CHECK != 0 || right_whole(l, got, n);
}

/* --- one producer ------------------------------------------------------------------------------------------------- */

gq_status bench_load_init(struct bench_load *l, GpuQueue *q, uint32_t bytes, uint32_t capacity, enum bench_reply reply,
                          bool timed)
{
    *l = (struct bench_load){.q = q, .bytes = bytes, .capacity = capacity, .reply = reply};
    if (timed) {
        l->due_ns = calloc(capacity / BENCH_FULL_CHECK, sizeof *l->due_ns);
        l->times = calloc(1, sizeof *l->times);
    }
    return !timed || (l->due_ns && l->times) ? GQ_OK : gq_error_set(GQ_ERR_NO_MEMORY, "bench: out of memory");
}

void bench_load_finish(struct bench_load *l)
{
    free(l->due_ns);
    free(l->times);
}

static uint64_t *due_of(struct bench_load *l, uint64_t n)
{
    return &l->due_ns[n / BENCH_FULL_CHECK % (l->capacity / BENCH_FULL_CHECK)];
}

static void make(struct bench_load *l, QClaim *claim, uint64_t now_ns)
{
    if (l->copied)
        memcpy(claim->data, l->copied, l->bytes);
    else if (l->sent < l->capacity)
        bench_message_fill(claim->data, l->bytes, l->sent, l->sent);
    bench_message_number(claim->data, l->bytes, l->sent);
    if (l->due_ns && l->sent % BENCH_FULL_CHECK == 0)
        *due_of(l, l->sent) = now_ns;
    claim->len = l->bytes;
}

uint32_t bench_load_send(struct bench_load *l, uint32_t want, uint64_t now_ns)
{
    QClaim claims[BENCH_BATCH];
    size_t n;
    if (want == 0 || q_claim(l->q, claims, want < BENCH_BATCH ? want : BENCH_BATCH, &n, 0) != Q_OK)
        return 0;
    if (l->sent == 0)
        l->first_id = claims[0].msg_id;
    for (size_t i = 0; i < n; i++, l->sent++)
        make(l, &claims[i], now_ns);
    q_commit(l->q, claims, n);
    return (uint32_t)n;
}

void bench_load_send_due(struct bench_load *l, uint64_t start_ns, double gap_ns, uint64_t now_ns)
{
    const uint64_t due = ((uint64_t)((double)(now_ns - start_ns) / gap_ns) + 1) * BENCH_BURST;
    if (due > l->sent)
        bench_load_send(l, due - l->sent < BENCH_BATCH ? (uint32_t)(due - l->sent) : BENCH_BATCH, now_ns);
}

static void check(struct bench_load *l, const QResult *r)
{
    uint64_t n = l->taken;
    if (!right(l, r, n))
        l->wrong++;
    if (l->due_ns && n % BENCH_FULL_CHECK == 0)
        bench_times_add(l->times, l->seen_ns - *due_of(l, n), 1);
}

/* `before_ns`: when the replies before these were found. */
static void note_generation(struct bench_load *l, uint32_t generation, uint64_t before_ns)
{
    struct bench_times *gaps = __atomic_load_n(&l->gaps, __ATOMIC_ACQUIRE);
    if (gaps && l->generation && generation != l->generation)
        bench_times_add(gaps, l->seen_ns - before_ns, 1);
    l->generation = generation;
}

uint32_t bench_load_take(struct bench_load *l, uint32_t timeout_ms)
{
    QResult results[BENCH_BATCH];
    size_t n;
    if (q_peek(l->q, results, BENCH_BATCH, &n, timeout_ms) != Q_OK)
        return 0;
    const uint64_t before = l->seen_ns;
    l->seen_ns = gq_clock_ns();
    note_generation(l, results[n - 1].generation, before);
    for (size_t i = 0; i < n; i++, l->taken++)
        check(l, &results[i]);
    q_release(l->q, results, n);
    return (uint32_t)n;
}

double bench_load_drive(struct bench_load *l, double seconds)
{
    uint64_t before = l->taken, start = gq_clock_ns(), end = start + (uint64_t)(seconds * 1e9), now = start;
    for (; now < end; now = gq_clock_ns()) {
        bench_load_send(l, BENCH_BATCH, now);
        bench_load_take(l, l->sent - l->taken > l->capacity - BENCH_BATCH ? 1 : 0);
    }
    return (double)(l->taken - before) * 1e9 / (double)(now - start);
}

gq_status bench_load_drain(struct bench_load *l)
{
    uint64_t deadline = gq_clock_deadline(10000);
    while (l->taken < l->sent && !gq_clock_past(deadline))
        bench_load_take(l, 10);
    if (l->wrong || l->taken != l->sent)
        return gq_error_set(GQ_ERR_INTERNAL,
                            "bench: %" PRIu64 " of %" PRIu64 " results were wrong, %" PRIu64 " are missing", l->wrong,
                            l->taken, l->sent - l->taken);
    return GQ_OK;
}

/* --- several at once ---------------------------------------------------------------------------------------------- */

/* What producers measure is added up, so they measure at the same time: from the moment at which the last is ready. */
struct start_line {
    uint32_t arrived, wanted; /* atomic */
};

static void line_up(struct start_line *line)
{
    __atomic_add_fetch(&line->arrived, 1, __ATOMIC_ACQ_REL);
    while (__atomic_load_n(&line->arrived, __ATOMIC_ACQUIRE) < __atomic_load_n(&line->wanted, __ATOMIC_ACQUIRE))
        usleep(10);
}

struct producer {
    struct bench_load load;
    struct start_line *line;
    pthread_t thread;
    double seconds, rate;
    gq_status status;
    char why[256];
};

static void *produce(void *arg)
{
    struct producer *p = arg;
    struct bench_times *times = p->load.times;
    bench_load_drive(&p->load, p->seconds < 0.5 ? p->seconds / 4 : 0.1);
    line_up(p->line);
    *times = (struct bench_times){0}; /* what was measured while others still started */
    p->rate = bench_load_drive(&p->load, p->seconds);
    p->status = bench_load_drain(&p->load);
    snprintf(p->why, sizeof p->why, "%s", p->status == GQ_OK ? "" : gq_error_text());
    return NULL;
}

static gq_status start_producer(struct producer *p, GpuQueue *q, const struct bench_spec *spec, double seconds,
                                struct start_line *line)
{
    p->seconds = seconds;
    p->line = line;
    gq_status status = bench_load_init(&p->load, q, spec->bytes, spec->capacity, spec->reply, true);
    if (status == GQ_OK && pthread_create(&p->thread, NULL, produce, p) != 0)
        status = gq_error_set(GQ_ERR_NO_MEMORY, "bench: no thread could be started");
    if (status != GQ_OK)
        bench_load_finish(&p->load);
    return status;
}

static gq_status join_producer(struct producer *p, gq_status status, struct bench_times *all, double *rate)
{
    pthread_join(p->thread, NULL);
    *rate += p->rate;
    bench_times_merge(all, p->load.times);
    bench_load_finish(&p->load);
    return status == GQ_OK && p->status != GQ_OK ? gq_error_set(p->status, "%s", p->why) : status;
}

gq_status bench_run_producers(GpuQueue *q, const struct bench_spec *spec, double seconds, struct bench_row *row)
{
    struct producer *p = calloc(spec->count, sizeof *p);
    struct bench_times *all = calloc(1, sizeof *all);
    gq_status status = p && all ? GQ_OK : gq_error_set(GQ_ERR_NO_MEMORY, "bench: out of memory");
    struct start_line line = {.wanted = spec->count};
    uint32_t started = 0;
    while (status == GQ_OK && started < spec->count) {
        status = start_producer(&p[started], q, spec, seconds, &line);
        started += status == GQ_OK;
    }
    if (status != GQ_OK)
        __atomic_store_n(&line.wanted, 0, __ATOMIC_RELEASE); /* nobody waits for those that there are not */
    row->rate_per_s = 0;
    for (uint32_t i = 0; i < started; i++)
        status = join_producer(&p[i], status, all, &row->rate_per_s);
    if (status == GQ_OK)
        bench_row_times(row, all);
    free(all);
    free(p);
    return status;
}

void bench_name(struct bench_row *row, const char *who, uint32_t producers)
{
    snprintf(row->what, sizeof row->what, "%s, %" PRIu32 " producer%s", who, producers, producers == 1 ? "" : "s");
}

gq_status bench_each_count(struct bench *b, GpuQueue *q, struct bench_spec spec, const char *test, uint32_t shown_bytes)
{
    gq_status status = GQ_OK;
    for (size_t i = 0; i < sizeof bench_producers / sizeof *bench_producers && status == GQ_OK; i++) {
        struct bench_row row = {.bytes = shown_bytes};
        spec.count = bench_producers[i];
        bench_name(&row, "gpuqueue", spec.count);
        snprintf(row.test, sizeof row.test, "%s", test);
        snprintf(row.skipped, sizeof row.skipped, "%s", bench_too_many(b, spec.count));
        if (!row.skipped[0])
            status = bench_run_producers(q, &spec, b->seconds, &row);
        if (status == GQ_OK)
            bench_add(b, row);
    }
    return status;
}
