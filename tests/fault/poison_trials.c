/* Poison among many: in each trial some messages end their worker whenever they are served, somewhere among others that
 * do not, or do so once, or leave harm for the next. All that are to blame are given up, each with what it did, and no
 * other; everything else has its result, once and in order.
 *
 *   poison_trials [TRIALS [SEED]]     prints its seed
 *
 * Pipelines differ in threads, lanes, capacity and retries; each lane has a thread that makes one trial after another.
 */
#include <gpuqueue/runtime.h>
#include <pthread.h>
#include <signal.h>
#include "poison.h"
#include "support.h"
#include "stress/place.h"

#define TRIALS_EACH 50u /* of a pipeline */
#define PIPELINES_MIN 6u
#define LANES_MAX 3u
#define HANGS_EVERY 7u /* pipelines */
#define MESSAGES_MAX 300u
#define POISONS_MAX 8u
#define BATCH 32u
#define HANG_MS 500u   /* timeout of the pipelines in which messages hang: each takes it, again and again */
#define LONG_MS 20000u /* of the others: no machine is so slow */
#define ROUND_S 220u

struct setting {
    uint32_t lanes, capacity, threads, retries;
    bool hangs;
    bool once; /* some messages end their worker once; else some leave harm: what meets both may be given up */
};

struct tester {
    const struct setting *setting;
    pthread_barrier_t *done;
    GpuQueue *q;
    pthread_t thread;
    uint32_t lane, trials;
    uint64_t dice, key;
    uint64_t before;                /* messages of earlier trials */
    uint64_t sent;                  /* atomic */
    uint64_t hangs;                 /* so far */
    enum poison kind[MESSAGES_MAX]; /* of the trial's messages */
    uint64_t count[POISON_KINDS], given_up;
};

static char folder[64];

static uint32_t roll(struct tester *t, uint32_t sides) { return (uint32_t)(payload_dice(&t->dice) >> 33) % sides; }

/* --- a trial --------------------------------------------------------------------------------------------------------
 */

/* One per pipeline's lane hangs, for each takes so long. */
static enum poison roll_kind(struct tester *t)
{
    const enum poison kind = (enum poison)(POISON_LATER + roll(t, POISON_KINDS - POISON_LATER));
    if (kind == POISON_LATER && t->setting->once)
        return POISON_ONCE;
    if (kind == POISON_HANG && (!t->setting->hangs || t->hangs++ > 0))
        return POISON_SEGV;
    return kind;
}

/* None, one, few or many; alone or one behind another; most often anywhere, and often enough at an end. */
static uint32_t plan(struct tester *t)
{
    static const uint32_t many[] = {0, 1, 1, 1, 1, 2, 2, 3};
    const uint32_t messages = 1 + roll(t, roll(t, 4) ? MESSAGES_MAX / 4 : MESSAGES_MAX);
    const bool in_a_row = roll(t, 4) == 0;
    uint32_t poisons = roll(t, 20) ? many[roll(t, 8)] : POISONS_MAX;
    memset(t->kind, 0, sizeof t->kind);
    uint32_t at = roll(t, 4) ? roll(t, messages) : roll(t, 2) * (messages - 1);
    for (; poisons > 0; poisons--) {
        t->kind[at] = roll_kind(t);
        at = in_a_row ? (at + 1) % messages : roll(t, messages);
    }
    for (uint32_t i = 0; i < messages; i++)
        t->count[t->kind[i]]++;
    return messages;
}

static struct poison_message message_of(const struct tester *t, uint32_t i)
{
    const uint64_t number = t->before + i;
    return (struct poison_message){number, t->kind[i], t->key ^ number};
}

static QueueStatus send_batch(struct tester *t, uint32_t first, uint32_t count, size_t *done)
{
    uint8_t bytes[BATCH][POISON_SLOT_BYTES];
    EnqueueItem items[BATCH];
    for (uint32_t i = 0; i < count; i++) {
        const struct poison_message m = message_of(t, first + i);
        items[i] = (EnqueueItem){bytes[i], poison_fill(bytes[i], &m, t->key + m.number)};
    }
    return q_enqueue_batch(t->q, items, count, NULL, done, 0);
}

/* How many more are sent; the lane may be full. */
static uint32_t send_some(struct tester *t, uint32_t first, uint32_t messages)
{
    uint32_t count = roll(t, 2) ? 1 : 1 + roll(t, BATCH);
    size_t done = 0;
    if (count > messages - first)
        count = messages - first;
    const QueueStatus status = count ? send_batch(t, first, count, &done) : Q_OK;
    REQUIRE(status == Q_OK || status == Q_ERR_FULL, "enqueue: %d", (int)status);
    __atomic_store_n(&t->sent, t->before + first + done, __ATOMIC_RELEASE);
    return (uint32_t)done;
}

static uint32_t code_of(enum poison kind)
{
    static const uint32_t codes[POISON_KINDS] = {[POISON_SEGV] = SIGSEGV,
                                                 [POISON_ABORT] = SIGABRT,
                                                 [POISON_EXIT] = 256 + 5,
                                                 [POISON_KILL] = SIGKILL,
                                                 [POISON_WILD] = SIGSEGV};
    return codes[kind];
}

static void check(struct tester *t, uint32_t i, const QResult *r)
{
    const struct poison_message m = message_of(t, i);
    const enum poison kind = t->kind[i];
    uint32_t tag;
    REQUIRE(r->msg_id == ((uint64_t)t->lane << 56 | (m.number + 1)), "lane %u: id %" PRIx64 " came for %" PRIu64,
            t->lane, r->msg_id, m.number);
    REQUIRE((r->status == Q_RESULT_FAULTED) == poison_is_guilty(kind),
            "lane %u: message %" PRIu64 " (%s): status %u, code %u", t->lane, m.number, poison_name[kind], r->status,
            r->code);
    if (r->status == Q_RESULT_FAULTED) {
        /* A sanitizer has exit codes of its own; and where messages hang, any may be too slow. */
        const bool exact = !(SANITIZED && kind == POISON_EXIT) && (r->code != 0 || !t->setting->hangs);
        REQUIRE(!exact || r->code == code_of(kind), "lane %u: message %" PRIu64 " (%s) has code %u", t->lane, m.number,
                poison_name[kind], r->code);
        t->given_up++;
        return;
    }
    REQUIRE(r->status == Q_RESULT_OK && poison_answers(r->data, r->len, &m, t->key + m.number, &tag),
            "lane %u: message %" PRIu64 " has status %u, %u bytes", t->lane, m.number, r->status, r->len);
}

static void try_once(struct tester *t)
{
    QResult results[BATCH];
    const uint32_t messages = plan(t);
    for (uint32_t sent = 0, taken = 0; taken < messages;) {
        size_t count = 0;
        sent += send_some(t, sent, messages);
        const QueueStatus status = q_peek(t->q, results, 1 + roll(t, BATCH), &count, sent < messages ? 0 : 60000);
        REQUIRE(status == Q_OK || (status == Q_ERR_NOT_READY && sent < messages), "peek: %d", (int)status);
        for (size_t i = 0; i < count; i++)
            check(t, taken++, &results[i]);
        REQUIRE(count == 0 || q_release(t->q, results, count) == Q_OK, "release");
    }
    t->before += messages;
}

static void *run_trials(void *tester)
{
    struct tester *t = tester;
    for (uint32_t i = 0; i < t->trials; i++)
        try_once(t);
    pthread_barrier_wait(t->done); /* a lane whose thread has ended is the next one's */
    return NULL;
}

/* --- a pipeline -----------------------------------------------------------------------------------------------------
 */

static gq_pipeline *open_pipeline(const struct setting *s)
{
    char text[512];
    snprintf(text, sizeof text,
             "version: 1\nbackend: cpu\nqueue: { capacity: %u, slot_bytes: %u }\ncpu: { threads: %u }\n"
             "stages: [{ plugin: '%s/plain.cu', timeout: %ums }]\non_error: { retries: %u }\n",
             s->capacity, POISON_SLOT_BYTES, s->threads, folder, s->hangs ? HANG_MS : LONG_MS, s->retries);
    const gq_open_opts opts = {.size = sizeof opts, .path = "trials", .text = text};
    return fault_start(&opts);
}

static void close_pipeline(gq_pipeline *p, const struct tester *testers, uint32_t lanes)
{
    gq_stats stats = {.size = sizeof stats};
    uint64_t given_up = 0, messages = 0;
    REQUIRE(gq_stop(p, 20000) == GQ_OK && gq_get_stats(p, &stats) == GQ_OK, "%s", gq_last_error());
    for (uint32_t i = 0; i < lanes; i++) {
        given_up += testers[i].given_up;
        messages += testers[i].before;
    }
    REQUIRE(stats.failed == given_up && stats.messages_in == messages, "%" PRIu64 " failed, %" PRIu64 " in",
            stats.failed, stats.messages_in);
    gq_close(p);
    REQUIRE(fault_find_child() == 0, "a process is left");
}

/* Each makes its lane before the next one begins, so that its number is known, and keeps it until all are done. */
/* Returns how many trials there were. */
static uint32_t try_pipeline(uint64_t *dice, uint32_t number, uint32_t trials, uint64_t count[POISON_KINDS])
{
    static struct tester testers[LANES_MAX];
    pthread_barrier_t done;
    struct setting s = {.lanes = 1 + (uint32_t)(payload_dice(dice) % LANES_MAX),
                        .capacity = 8u << payload_dice(dice) % 6,
                        .threads = 1 + (uint32_t)(payload_dice(dice) % 4),
                        .retries = (uint32_t)(payload_dice(dice) % 3),
                        .hangs = number % HANGS_EVERY == 0,
                        .once = number % 2 == 0};
    if (s.hangs)
        s.retries = 2; /* what is slow by chance is not so each of three times */
    gq_pipeline *p = open_pipeline(&s);
    REQUIRE(pthread_barrier_init(&done, NULL, s.lanes) == 0, "no barrier");
    for (uint32_t i = 0; i < s.lanes; i++) {
        testers[i] =
            (struct tester){.setting = &s, .done = &done, .q = gq_queue(p), .lane = i, .dice = payload_dice(dice) | 1};
        testers[i].trials = (trials + s.lanes - 1) / s.lanes; /* one at least, which makes the lane */
        testers[i].key = payload_dice(dice);
        REQUIRE(pthread_create(&testers[i].thread, NULL, run_trials, &testers[i]) == 0, "no thread");
        while (__atomic_load_n(&testers[i].sent, __ATOMIC_ACQUIRE) == 0)
            usleep(100);
    }
    for (uint32_t i = 0; i < s.lanes; i++) {
        pthread_join(testers[i].thread, NULL);
        for (uint32_t kind = 0; kind < POISON_KINDS; kind++)
            count[kind] += testers[i].count[kind];
    }
    pthread_barrier_destroy(&done);
    close_pipeline(p, testers, s.lanes);
    return s.lanes * testers[0].trials;
}

int main(int argc, char **argv)
{
    const uint32_t trials = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 1000;
    const uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : gq_clock_ns(), start = gq_clock_ns();
    uint64_t dice = payload_mix(seed) | 1, count[POISON_KINDS] = {0};
    const uint32_t most = trials / TRIALS_EACH, pipelines = most > PIPELINES_MIN ? most : PIPELINES_MIN;
    uint32_t made = 0;
    printf("seed %" PRIu64 "\n", seed);
    fflush(stdout);
    REQUIRE(place_make(folder, sizeof folder, "gpuq-trials"), "a folder");
    poison_write_plugin(folder, "plain", 3);
    alarm(ROUND_S);
    for (uint32_t i = 0; i < pipelines; i++)
        made += try_pipeline(&dice, i, trials / pipelines, count);
    for (uint32_t kind = POISON_NONE; kind < POISON_KINDS; kind++)
        printf("%-28s %8" PRIu64 "%s\n", poison_name[kind], count[kind],
               poison_is_guilty((enum poison)kind) ? ", all given up" : "");
    printf("%u trials, %.1f s\n", made, (double)(gq_clock_ns() - start) * 1e-9);
    return place_remove(folder) ? 0 : 1;
}
