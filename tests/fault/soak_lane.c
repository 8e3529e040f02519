/* A lane of a soak: its own thread sends, takes and checks, and sees how long each fault held it up. */
#include "soak.h"

#define BATCH 32u

/* --- sending --------------------------------------------------------------------------------------------------------
 */

/* Loaded before the messages are committed: it holds for them whatever happens meanwhile. */
static struct soak_flight flight_now(const struct soak *s)
{
    const uint32_t settled = __atomic_load_n(&s->settled, __ATOMIC_ACQUIRE);
    return (struct soak_flight){.change = __atomic_load_n(&s->done, __ATOMIC_ACQUIRE),
                                .generation = __atomic_load_n(&s->least, __ATOMIC_ACQUIRE),
                                .calm =
                                    settled == __atomic_load_n(&s->fault, __ATOMIC_ACQUIRE) ? settled : SOAK_FAULTY};
}

static void send_some(struct soak_lane *l)
{
    QClaim claims[BATCH];
    size_t got = 0;
    const uint64_t room = SOAK_CAPACITY - (l->sent - l->checked), want = payload_dice(&l->dice) % BATCH + 1;
    if (room == 0)
        return;
    const QueueStatus status = q_claim(l->s->q, claims, want < room ? want : room, &got, 0);
    REQUIRE(status == Q_OK || status == Q_ERR_FULL, "claim: %d", (int)status);
    if (got == 0)
        return;
    struct soak_flight flight = flight_now(l->s);
    flight.kind = (enum poison)__atomic_exchange_n(&l->order, POISON_NONE, __ATOMIC_ACQUIRE);
    if (flight.kind != POISON_NONE) {
        l->guilty_number = l->sent;
        l->sight.sent_ns = gq_clock_ns();
        __atomic_store_n(&l->guilty, l->guilty + 1, __ATOMIC_RELEASE);
    }
    for (size_t i = 0; i < got; i++, flight.kind = POISON_NONE) {
        const uint64_t number = l->sent + i;
        const struct poison_message m = poison_message_of(l->number, number, flight.kind);
        l->flight[number % SOAK_CAPACITY] = flight;
        claims[i].len = poison_fill(claims[i].data, &m, poison_key(l->s->seed, l->number, number));
    }
    REQUIRE(q_commit(l->s->q, claims, got) == Q_OK, "commit of %zu", got);
    l->sent += got;
}

/* --- checking -------------------------------------------------------------------------------------------------------
 */

/* Behind the death of a worker generations may fall, so they are compared among messages that no fault came between.
 * False: no code with it may have answered. */
static bool check_generation(struct soak_lane *l, const struct soak_flight *f, uint32_t generation)
{
    if (generation < f->generation || generation > __atomic_load_n(&l->s->most, __ATOMIC_ACQUIRE))
        return false;
    if (f->calm != __atomic_load_n(&l->s->fault, __ATOMIC_ACQUIRE))
        return true;
    REQUIRE(l->calm != f->calm || generation >= l->newest, "lane %u, message %" PRIu64 ": generation %u after %u",
            l->number, l->checked, generation, l->newest);
    l->calm = f->calm;
    l->newest = generation;
    return true;
}

/* Code that was live when the message was sent, or that a change since then tried. */
static bool may_answer(const struct soak *s, uint32_t change, uint32_t tag)
{
    const uint32_t begun = __atomic_load_n(&s->begun, __ATOMIC_ACQUIRE);
    if (s->change[change].live == tag)
        return true;
    for (uint32_t i = change + 1; i <= begun; i++)
        if (s->change[i].tag == tag)
            return true;
    return false;
}

static void check_bytes(struct soak_lane *l, const struct soak_flight *f, const struct poison_message *m,
                        const QResult *r, bool due)
{
    const uint64_t key = poison_key(l->s->seed, l->number, l->checked);
    uint32_t tag = 0;
    REQUIRE(r->len > POISON_MARKS && poison_answers(r->data, r->len - POISON_MARKS, m, key, &tag),
            "lane %u: message %" PRIu64 " has another's result, or a part: %u bytes, of generation %u", l->number,
            l->checked, r->len, r->generation);
    const struct soak_answer a = {.ns = l->last_ns,
                                  .number = l->checked,
                                  .lane = l->number,
                                  .tag = tag,
                                  .generation = r->generation,
                                  .marks = poison_read_marks((const uint8_t *)r->data + r->len - POISON_MARKS),
                                  .flight = *f};
    if (!due || a.marks.tag != tag || !may_answer(l->s, f->change, tag) || !soak_is_code(l->s, r->generation, tag))
        soak_answer_wrong(&a);
    else
        soak_answer_right(l, &a);
}

/* Of one that never ended there is no signal, exit code or error. A device may report a trap, and a sanitizer end its
 * process, so late that it is over its stage's timeout and looks the same. */
static bool is_code_of(enum poison kind, uint32_t code)
{
    return (code == 0) == (kind == POISON_HANG) || (code == 0 && (SANITIZED || fault_on_gpu()));
}

static void check_given_up(struct soak_lane *l, const struct soak_flight *f, const QResult *r)
{
    REQUIRE(f->kind != POISON_NONE, "lane %u: message %" PRIu64 " is innocent, and was given up with code %u",
            l->number, l->checked, r->code);
    REQUIRE(r->len == 0 && is_code_of(f->kind, r->code),
            "lane %u: message %" PRIu64 " (%s) was given up with code %u and %u bytes", l->number, l->checked,
            poison_name[f->kind], r->code, r->len);
    __atomic_store_n(&l->given_up, l->given_up + 1, __ATOMIC_RELEASE);
}

static void check(struct soak_lane *l, const QResult *r)
{
    const uint64_t number = l->checked;
    const struct soak_flight f = l->flight[number % SOAK_CAPACITY];
    const struct poison_message m = poison_message_of(l->number, number, f.kind);
    REQUIRE((r->msg_id & 0x00ffffffffffffffu) == number + 1 && number < l->sent,
            "lane %u: id %" PRIx64 " came for message %" PRIu64 " of %" PRIu64, l->number, r->msg_id, number, l->sent);
    const bool due = check_generation(l, &f, r->generation);
    if (r->status == Q_RESULT_FAULTED) {
        REQUIRE(due, "lane %u: message %" PRIu64 " is given up by generation %u", l->number, number, r->generation);
        check_given_up(l, &f, r);
    } else {
        REQUIRE(r->status == Q_RESULT_OK && f.kind == POISON_NONE, "lane %u: message %" PRIu64 " (%s) has status %u",
                l->number, number, poison_name[f.kind], r->status);
        check_bytes(l, &f, &m, r, due);
    }
    __atomic_store_n(&l->checked, number + 1, __ATOMIC_RELAXED);
}

/* --- what it sees of a fault ----------------------------------------------------------------------------------------
 */

static void note_pause(struct soak_lane *l, uint64_t now)
{
    const uint32_t fault = __atomic_load_n(&l->s->fault, __ATOMIC_ACQUIRE);
    if (fault != l->seen) {
        const uint64_t sent_ns = l->guilty > l->given_up ? l->sight.sent_ns : 0;
        l->seen = fault;
        l->sight = (struct soak_sight){.sent_ns = sent_ns};
    }
    if (now - l->last_ns > l->sight.pause_ns) {
        l->sight.pause_ns = now - l->last_ns;
        l->sight.resumed_ns = now;
    }
    l->last_ns = now;
}

/* A fault is over for a lane when a message has its result that was sent after another worker had come. */
static void note_end(struct soak_lane *l)
{
    const uint32_t settled = __atomic_load_n(&l->s->settled, __ATOMIC_ACQUIRE);
    if (l->over == settled)
        return;
    if (l->settling != settled) {
        l->settling = settled;
        l->settled_from = l->sent;
    }
    if (l->checked <= l->settled_from || l->seen != settled)
        return;
    l->told = l->sight;
    __atomic_store_n(&l->over, settled, __ATOMIC_RELEASE);
}

static bool take(struct soak_lane *l, uint32_t timeout_ms)
{
    QResult results[BATCH];
    size_t count = 0;
    const QueueStatus status = q_peek(l->s->q, results, BATCH, &count, timeout_ms);
    const uint64_t now = gq_clock_ns();
    REQUIRE(status == Q_OK || status == Q_ERR_NOT_READY || status == Q_ERR_TIMEOUT, "peek: %d", (int)status);
    if (count == 0) {
        REQUIRE(l->checked == l->sent || now - l->last_ns < SOAK_PATIENCE_MS * 1000000ull,
                "lane %u: message %" PRIu64 " has had no result for %u ms", l->number, l->checked, SOAK_PATIENCE_MS);
        return false;
    }
    note_pause(l, now);
    for (size_t i = 0; i < count; i++) {
        check(l, &results[i]);
        if (l->sight.sent_ns && !l->sight.behind_ns && l->checked == l->guilty_number + 2)
            l->sight.behind_ns = now;
    }
    REQUIRE(q_release(l->s->q, results, count) == Q_OK, "release");
    return true;
}

/* --- the thread -----------------------------------------------------------------------------------------------------
 */

static void *run(void *lane)
{
    struct soak_lane *l = lane;
    while (!__atomic_load_n(&l->s->end, __ATOMIC_ACQUIRE)) {
        soak_require_right(l->s, false);
        send_some(l);
        take(l, l->sent - l->checked < SOAK_CAPACITY ? 0 : 1000);
        note_end(l);
    }
    while (l->checked < l->sent)
        take(l, 1000);
    return NULL;
}

/* Each has a result before the next one begins, so that its number is known. */
void soak_start_lane(struct soak *s, uint32_t index)
{
    struct soak_lane *l = &s->lane[index];
    const uint64_t deadline = gq_clock_deadline(SOAK_PATIENCE_MS);
    *l = (struct soak_lane){
        .s = s, .number = index, .dice = payload_mix(s->seed + 31 * index) | 1, .last_ns = gq_clock_ns()};
    REQUIRE(pthread_create(&l->thread, NULL, run, l) == 0, "lane %u has no thread", index);
    while (__atomic_load_n(&l->checked, __ATOMIC_RELAXED) == 0) {
        REQUIRE(!gq_clock_past(deadline), "lane %u has no result", index);
        usleep(100);
    }
    s->lanes = index + 1;
}

void soak_join_lanes(struct soak *s)
{
    __atomic_store_n(&s->end, true, __ATOMIC_RELEASE);
    for (uint32_t i = 0; i < s->lanes; i++)
        REQUIRE(pthread_join(s->lane[i].thread, NULL) == 0, "lane %u", i);
}
