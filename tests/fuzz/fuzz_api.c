/* Any bytes as calls of gpuqueue.h, in any order, with arguments that are right and wrong. One thread: a model says
 * what each call must answer. Two threads: each message comes to one of them, once, with its bytes.
 */
#include "fuzz.h"
#include "actor.h"
#include "base/clock.h"

#define CAPACITY 8u
#define LONGEST 64u
#define DRAIN_MS 30000u

enum { FREE, WAITS, REPORTED, HELD };

struct message {
    uint32_t state, len;
    uint64_t key;
};

/* The main thread's lane of the queue that all inputs share, which no input leaves anything in. */
static struct lane {
    GpuQueue *q;
    uint64_t first;   /* id of the oldest that is not free; lane 0's are plain numbers */
    uint64_t next;    /* the next to be given */
    uint64_t claimed; /* the next to be claimed */
    struct message message[CAPACITY];
    QClaim claim[CAPACITY];
} own = {.first = 1, .next = 1, .claimed = 1};

static uint64_t accepted, taken; /* by and from the shared queue, of all threads */

/* --- the queue that all inputs share --------------------------------------------------------------------------------
 */

static void shut_own(void) { q_shutdown(own.q); }

static void open_own(void)
{
    if (own.q)
        return;
    size_t none;
    own.q = open_queue();
    expect(q_claim(own.q, NULL, 0, &none, 0), Q_OK); /* lane 0 is this thread's */
    const int failed = atexit(shut_own);
    gq_assert(!failed);
}

/* --- one thread: what each call must answer --------------------------------------------------------------------------
 */

static struct message *message_of(uint64_t id) { return &own.message[id % CAPACITY]; }

static bool is_there(uint64_t id) { return id >= own.first && id < own.next; }

static uint64_t room(void) { return CAPACITY - (own.claimed - own.first); }

static void set_free(uint64_t id)
{
    message_of(id)->state = FREE;
    taken++;
    while (own.first < own.next && message_of(own.first)->state == FREE)
        own.first++;
}

static void accept(uint64_t id, uint32_t len, uint64_t key)
{
    gq_assert(id == own.next);
    *message_of(id) = (struct message){WAITS, len, key};
    own.next++;
    accepted++;
}

/* Some id: mostly one of those in flight, or near them. */
static uint64_t some_id(struct input *in)
{
    const uint32_t b = input_byte(in);
    return b < 0xf0 ? own.first - 2 + b % (CAPACITY + 4) : input_any(in);
}

static void call_enqueue(struct input *in)
{
    uint8_t bytes[LONGEST];
    uint64_t id = 0;
    const uint32_t len = input_choice(in, LONGEST), key = input_byte(in), timeout_ms = input_choice(in, 8) / 7;
    const bool null = key == 0;
    payload_fill(bytes, len, key);
    const QueueStatus status = q_enqueue(own.q, null ? NULL : bytes, len, key & 1 ? &id : NULL, timeout_ms);
    if (len > SLOT_BYTES || (null && len) || own.claimed != own.next) {
        expect(status, Q_ERR_INVALID_ARG);
    } else if (room() == 0) {
        expect(status, timeout_ms ? Q_ERR_TIMEOUT : Q_ERR_FULL);
    } else {
        expect(status, Q_OK);
        gq_assert(!(key & 1) || id == own.next);
        own.claimed++;
        accept(own.next, len, key);
    }
}

static void call_enqueue_batch(struct input *in)
{
    uint8_t bytes[CAPACITY][LONGEST];
    EnqueueItem items[CAPACITY];
    uint64_t ids[CAPACITY];
    size_t done = 99;
    const uint32_t count = input_choice(in, CAPACITY + 1), key = input_byte(in), free = (uint32_t)room();
    uint32_t bad = count;
    for (uint32_t i = 0; i < count; i++) {
        items[i] = (EnqueueItem){bytes[i], input_choice(in, SLOT_BYTES + 2)};
        payload_fill(bytes[i], (uint32_t)items[i].len, key + i);
        bad = bad == count && items[i].len > SLOT_BYTES ? i : bad;
    }
    const QueueStatus status = q_enqueue_batch(own.q, items, count, key & 1 ? ids : NULL, &done, 0);
    if (own.claimed != own.next) {
        expect(status, Q_ERR_INVALID_ARG);
        gq_assert(done == 0);
        return;
    }
    gq_assert(done == (bad < free ? bad : free < count ? free : count));
    expect(status, done == count ? Q_OK : bad < free ? Q_ERR_INVALID_ARG : Q_ERR_FULL);
    own.claimed += done;
    for (uint32_t i = 0; i < done; i++)
        accept(own.next, (uint32_t)items[i].len, key + i);
}

static void call_claim(struct input *in)
{
    QClaim claims[IDS_MAX];
    size_t got = 99;
    const uint32_t count = input_choice(in, IDS_MAX);
    const uint64_t most = room() < count ? room() : count;
    const QueueStatus status = q_claim(own.q, claims, count, &got, 0);
    expect(status, most || count == 0 ? Q_OK : Q_ERR_FULL);
    gq_assert(got <= most && (got > 0 || most == 0)); /* fewer where the room is not looked for anew */
    for (size_t i = 0; i < got; i++) {
        gq_assert(claims[i].msg_id == own.claimed && claims[i].cap == SLOT_BYTES);
        own.claim[own.claimed++ % CAPACITY] = claims[i];
    }
}

static void call_commit(struct input *in)
{
    QClaim claims[CAPACITY + 1];
    const uint32_t count = input_choice(in, CAPACITY + 2), wrong = input_byte(in), key = input_byte(in);
    bool good = count <= own.claimed - own.next;
    for (uint32_t i = 0; i < count; i++) {
        claims[i] = own.claim[(own.next + i) % CAPACITY];
        claims[i].len = i == wrong ? SLOT_BYTES + 1 : input_choice(in, SLOT_BYTES + 1);
        claims[i].msg_id += i + 100 == wrong;
        if (good && i != wrong)
            payload_fill(claims[i].data, claims[i].len, key + i);
    }
    good = good && wrong >= count && (wrong < 100 || wrong >= 100 + count);
    expect(q_commit(own.q, claims, count), good ? Q_OK : Q_ERR_INVALID_ARG);
    for (uint32_t i = 0; good && i < count; i++)
        accept(own.next, claims[i].len, key + i);
}

static void take_by_id(uint64_t id, size_t size)
{
    uint8_t *buffer = malloc(size ? size : 1);
    size_t len = size;
    gq_assert(buffer);
    const QueueStatus status = q_try_dequeue_result(own.q, id, buffer, &len);
    const struct message *m = message_of(id);
    if (!is_there(id) || m->state == FREE || m->state == HELD) {
        expect(status, Q_ERR_NOT_FOUND);
    } else if (status == Q_ERR_NOT_READY) {
        gq_assert(m->state == WAITS);
    } else {
        expect(status, size < m->len ? Q_ERR_INVALID_ARG : Q_OK);
        gq_assert(len == m->len && (size < m->len || payload_is(buffer, m->len, m->key)));
        if (status == Q_OK)
            set_free(id);
    }
    free(buffer);
}

static void call_poll(struct input *in)
{
    uint64_t ids[IDS_MAX];
    size_t count = 99;
    const uint32_t max = input_choice(in, IDS_MAX);
    expect(q_poll_completions(own.q, ids, max, &count), Q_OK);
    gq_assert(count <= max);
    for (size_t i = 0; i < count; i++) {
        gq_assert(is_there(ids[i]) && message_of(ids[i])->state == WAITS && (i == 0 || ids[i] > ids[i - 1]));
        message_of(ids[i])->state = REPORTED;
    }
}

static void peek(bool any, uint32_t max, uint32_t timeout_ms)
{
    QResult results[IDS_MAX];
    size_t count = 99;
    const QueueStatus status =
        any ? q_peek_any(own.q, results, max, &count, timeout_ms) : q_peek(own.q, results, max, &count, timeout_ms);
    gq_assert(count <= max);
    if (count == 0)
        expect(status, max == 0 ? Q_OK : timeout_ms ? Q_ERR_TIMEOUT : Q_ERR_NOT_READY);
    for (size_t i = 0; i < count; i++) {
        struct message *m = message_of(results[i].msg_id);
        gq_assert(is_there(results[i].msg_id) && m->state == WAITS && results[i].status == Q_RESULT_OK);
        gq_assert(results[i].len == m->len && payload_is(results[i].data, m->len, m->key));
        m->state = HELD;
    }
}

static void call_release(struct input *in)
{
    QResult results[IDS_MAX] = {0};
    const uint32_t count = input_choice(in, IDS_MAX);
    const uint64_t run = input_choice(in, 2) ? some_id(in) : 0; /* in a row, or any */
    for (uint32_t i = 0; i < count; i++)
        results[i].msg_id = run ? run + i : some_id(in);
    const QueueStatus status = q_release(own.q, results, count);
    uint32_t held = 0;
    for (; held < count; held++) {
        const uint64_t id = results[held].msg_id;
        if (!is_there(id) || message_of(id)->state != HELD)
            break;
        set_free(id);
    }
    expect(status, held == count ? Q_OK : Q_ERR_NOT_FOUND);
}

static void call_stats(void)
{
    QueueStats s;
    expect(q_stats(own.q, &s), Q_OK);
    gq_assert(s.enq_count == accepted && s.deq_count == taken && s.queue_depth == accepted - taken);
}

/* What is wrong whatever the queue holds. `q`: NULL. */
static void call_wrongly(struct input *in)
{
    uint64_t id = 1;
    size_t n = 1;
    QClaim claim;
    QResult result;
    QueueStats stats;
    const bool no_queue = input_choice(in, 2);
    GpuQueue *q = no_queue ? NULL : own.q;
    expect(q_enqueue_batch(q, NULL, 1, &id, &n, 0), Q_ERR_INVALID_ARG);
    expect(q_try_dequeue_result(q, id, NULL, no_queue ? &n : NULL), Q_ERR_INVALID_ARG);
    expect(q_poll_completions(q, NULL, 1, &n), Q_ERR_INVALID_ARG);
    expect(q_poll_completions(q, &id, 1, NULL), Q_ERR_INVALID_ARG);
    expect(q_claim(q, &claim, 1, NULL, 0), Q_ERR_INVALID_ARG);
    expect(q_commit(q, NULL, 1), Q_ERR_INVALID_ARG);
    expect(q_peek(q, &result, 1, NULL, 0), Q_ERR_INVALID_ARG);
    expect(q_peek_any(q, NULL, 1, &n, 0), Q_ERR_INVALID_ARG);
    expect(q_release(q, NULL, 1), Q_ERR_INVALID_ARG);
    expect(q_stats(q, no_queue ? &stats : NULL), Q_ERR_INVALID_ARG);
    gq_assert(*q_last_error());
}

static void call_one(struct input *in)
{
    const uint32_t call = input_choice(in, 12);
    uint64_t id;
    switch (call) {
    case 0:
    case 1:
        call_enqueue(in);
        break;
    case 2:
        call_enqueue_batch(in);
        break;
    case 3:
        call_claim(in);
        break;
    case 4:
        call_commit(in);
        break;
    case 5:
        id = some_id(in);
        take_by_id(id, input_choice(in, LONGEST));
        break;
    case 6:
        call_poll(in);
        break;
    case 7:
        id = input_byte(in);
        peek(id & 1, (uint32_t)(id >> 1) % IDS_MAX, (uint32_t)(id >> 6));
        break;
    case 8:
        call_release(in);
        break;
    case 9:
        id = some_id(in);
        expect(q_wait_enqueue(own.q, id, 0), id >> 56 == 0 && id > 0 && id < own.next ? Q_OK : Q_ERR_NOT_FOUND);
        break;
    case 10:
        q_wait_completions(own.q, input_choice(in, 3));
        call_stats();
        break;
    default:
        call_wrongly(in);
    }
}

/* Leaves nothing in the lane: what was claimed is committed, and every result comes. */
static void empty_own(void)
{
    const uint64_t deadline = gq_clock_deadline(DRAIN_MS);
    for (; own.next < own.claimed; accept(own.next, 0, 0)) {
        QClaim claim = own.claim[own.next % CAPACITY];
        claim.len = 0;
        expect(q_commit(own.q, &claim, 1), Q_OK);
    }
    while (own.first < own.next) {
        gq_assert(!gq_clock_past(deadline));
        for (uint64_t id = own.first; id < own.next; id++) {
            const QResult result = {.msg_id = id};
            if (message_of(id)->state == HELD) {
                expect(q_release(own.q, &result, 1), Q_OK);
                set_free(id);
            } else if (message_of(id)->state != FREE) {
                take_by_id(id, SLOT_BYTES);
            }
        }
        q_wait_completions(own.q, 1);
    }
    call_stats();
}

/* --- two threads -----------------------------------------------------------------------------------------------------
 */

static void run_two(struct input *in)
{
    const size_t half = (size_t)(in->end - in->at) / 2;
    struct actor here = {.q = own.q, .in = {in->at, in->at + half}};
    struct actor there = {.q = own.q, .in = {in->at + half, in->end}};
    const uint64_t deadline = gq_clock_deadline(DRAIN_MS);
    QueueStats s = {.queue_depth = 1};
    pthread_t thread;
    begin_keys();
    const int failed = pthread_create(&thread, NULL, act_on, &there);
    gq_assert(!failed);
    act_on(&here);
    pthread_join(thread, NULL);
    while (s.queue_depth) {
        gq_assert(!gq_clock_past(deadline));
        take_in_place(&here, true, IDS_MAX, 1);
        q_stats(own.q, &s);
    }
    uint64_t sum = 0;
    for (uint32_t i = 0; i < keys && i < KEYS_MAX; i++)
        sum += delivered[i];
    gq_assert(sum == here.sent + there.sent);
    accepted += sum;
    taken = accepted;
    own.first = own.next = own.claimed = own.next + here.sent;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct input in = {bytes, bytes + len};
    const bool two = input_byte(&in) & 0x80;
    open_own();
    if (two)
        run_two(&in);
    for (uint32_t i = 0; !two && i < CALLS_MAX && !input_ended(&in); i++)
        call_one(&in);
    if (!two)
        empty_own();
    return 0;
}
