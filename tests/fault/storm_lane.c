/* Lanes of a storm: threads that send, threads that take, and what must have become of each message. */
#include "storm.h"

#define BATCH 16u
#define POISON_EVERY 5000u
#define HANGS 1u /* of a lane: each takes its stage's timeout, again and again */

static uint64_t key_of(const struct storm_lane *l, uint64_t number)
{
    return poison_key(l->s->seed, l->number, number);
}

static enum poison kind_of(struct storm_lane *l, uint64_t number)
{
    uint64_t dice = key_of(l, number) | 1;
    if (payload_dice(&dice) % POISON_EVERY != 0)
        return POISON_NONE;
    const enum poison kind = (enum poison)(POISON_ONCE + payload_dice(&dice) % (POISON_KINDS - POISON_ONCE));
    return kind == POISON_HANG && l->hangs++ >= HANGS ? POISON_SEGV : kind;
}

/* --- sending --------------------------------------------------------------------------------------------------------
 */

static void send_some(struct storm_lane *l)
{
    QClaim claims[BATCH];
    size_t got = 0;
    const QueueStatus status = q_claim(l->s->q, claims, payload_dice(&l->dice) % BATCH + 1, &got, 20);
    REQUIRE(status == Q_OK || status == Q_ERR_FULL || status == Q_ERR_TIMEOUT, "claim: %d", (int)status);
    const uint32_t floor = __atomic_load_n(&l->s->done, __ATOMIC_ACQUIRE);
    for (size_t i = 0; i < got; i++) {
        const uint64_t number = l->sent;
        const enum poison kind = kind_of(l, number);
        const struct poison_message m = poison_message_of(l->number, number, kind);
        storm_count(&l->count[kind], 1);
        l->flight[number % STORM_CAPACITY] = (struct storm_flight){floor, kind};
        claims[i].len = poison_fill(claims[i].data, &m, key_of(l, number));
        __atomic_store_n(&l->sent, number + 1, __ATOMIC_RELEASE);
    }
    REQUIRE(got == 0 || q_commit(l->s->q, claims, got) == Q_OK, "commit");
}

static void *run_lane(void *lane)
{
    struct storm_lane *l = lane;
    while (!__atomic_load_n(&l->s->enough, __ATOMIC_ACQUIRE))
        send_some(l);
    return NULL;
}

/* Each makes its lane before the next one begins, so that its number is known. */
void storm_start_lanes(struct storm *s)
{
    for (uint32_t i = 0; i < STORM_LANES; i++) {
        struct storm_lane *l = &s->lane[i];
        *l = (struct storm_lane){.s = s, .number = i, .dice = payload_mix(s->seed + i) | 1};
        REQUIRE(pthread_create(&l->thread, NULL, run_lane, l) == 0, "no thread");
        while (storm_load(&l->sent) == 0)
            usleep(100);
    }
}

void storm_join_lanes(struct storm *s)
{
    for (uint32_t i = 0; i < STORM_LANES; i++)
        pthread_join(s->lane[i].thread, NULL);
    __atomic_store_n(&s->all_sent, true, __ATOMIC_RELEASE);
}

uint64_t storm_poisons(const struct storm *s)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < STORM_LANES; i++)
        for (uint32_t kind = POISON_NONE + 1; kind < POISON_KINDS; kind++)
            sum += storm_load(&s->lane[i].count[kind]);
    return sum;
}

/* --- checking -------------------------------------------------------------------------------------------------------
 */

/* Code that was live when the message was sent, or that a change since then tried. */
static bool may_answer(const struct storm *s, uint32_t floor, uint32_t tag)
{
    const uint32_t begun = __atomic_load_n(&s->begun, __ATOMIC_ACQUIRE);
    if (s->change[floor].live == tag)
        return true;
    for (uint32_t i = floor + 1; i <= begun; i++)
        if (s->change[i].tag == tag)
            return true;
    return false;
}

static void check(struct storm_lane *l, const QResult *r)
{
    const uint64_t number = l->checked;
    REQUIRE((r->msg_id & 0x00ffffffffffffffu) == number + 1 && number < storm_load(&l->sent),
            "lane %u: id %" PRIx64 " came for message %" PRIu64, l->number, r->msg_id, number);
    const struct storm_flight flight = l->flight[number % STORM_CAPACITY];
    const struct poison_message m = poison_message_of(l->number, number, flight.kind);
    uint32_t tag = 0;
    l->checked++;
    if (r->status == Q_RESULT_FAULTED) {
        REQUIRE(poison_is_guilty(flight.kind), "lane %u: message %" PRIu64 " (%s) is innocent: code %u", l->number,
                number, poison_name[flight.kind], r->code);
        l->given_up++;
        return;
    }
    REQUIRE(r->status == Q_RESULT_OK && !poison_is_guilty(flight.kind),
            "lane %u: message %" PRIu64 " (%s) has status %u", l->number, number, poison_name[flight.kind], r->status);
    REQUIRE(poison_answers(r->data, r->len, &m, key_of(l, number), &tag),
            "lane %u: message %" PRIu64 " has another's result, or a part: %u bytes", l->number, number, r->len);
    REQUIRE(may_answer(l->s, flight.floor, tag), "lane %u: message %" PRIu64 " was answered by code %u", l->number,
            number, tag);
}

static void note_pause(struct storm *s)
{
    const uint64_t now = gq_clock_ns();
    if (s->last_ns && now - s->last_ns > s->pause_ns)
        s->pause_ns = now - s->last_ns;
    s->last_ns = now;
}

/* Handed out and checked by one thread at a time, so that their order is known; given back by all at once. */
static size_t take_some(struct storm *s)
{
    QResult results[BATCH];
    size_t count = 0;
    pthread_mutex_lock(&s->take_lock);
    const QueueStatus status = q_peek_any(s->q, results, BATCH, &count, 0);
    REQUIRE(status == Q_OK || status == Q_ERR_NOT_READY, "peek: %d", (int)status);
    if (count)
        note_pause(s);
    for (size_t i = 0; i < count; i++) {
        const uint64_t lane = results[i].msg_id >> 56;
        REQUIRE(lane < STORM_LANES, "id %" PRIx64, results[i].msg_id);
        check(&s->lane[lane], &results[i]);
    }
    __atomic_store_n(&s->checked, s->checked + count, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&s->take_lock);
    REQUIRE(count == 0 || q_release(s->q, results, count) == Q_OK, "release");
    return count;
}

static bool is_all_taken(const struct storm *s)
{
    uint64_t sent = 0;
    if (!__atomic_load_n(&s->all_sent, __ATOMIC_ACQUIRE))
        return false;
    for (uint32_t i = 0; i < STORM_LANES; i++)
        sent += storm_load(&s->lane[i].sent);
    return storm_load(&s->checked) == sent;
}

static void *take(void *storm)
{
    struct storm *s = storm;
    uint64_t deadline = gq_clock_deadline(STORM_PATIENCE_MS);
    while (!is_all_taken(s)) {
        if (take_some(s) > 0)
            deadline = gq_clock_deadline(STORM_PATIENCE_MS);
        else
            q_wait_completions(s->q, 20);
        REQUIRE(!gq_clock_past(deadline), "no result for %u ms", STORM_PATIENCE_MS);
    }
    return NULL;
}

void storm_start_takers(struct storm *s, pthread_t taker[STORM_TAKERS])
{
    for (uint32_t i = 0; i < STORM_TAKERS; i++)
        REQUIRE(pthread_create(&taker[i], NULL, take, s) == 0, "no thread");
}
