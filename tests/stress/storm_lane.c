/* A lane of a storm: its own thread sends, takes and checks. */
#include "base/clock.h"
#include "payload.h"
#include "require.h"
#include "storm.h"
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#define BATCH 32u
#define LEN_MAX (STORM_SLOT_BYTES - STORM_STAGES_MAX * STORM_SIGNATURE)
#define STALL_S 30u

static uint64_t key_of(const struct storm_lane *l, uint64_t seq)
{
    return payload_mix(l->s->seed ^ ((uint64_t)l->number << 56) ^ (seq << 11));
}

static uint32_t length_of(uint64_t key) { return (uint32_t)(payload_mix(key ^ 1) >> 32) % (LEN_MAX + 1); }

/* --- sending ---------------------------------------------------------------------------------------------------------
 */

/* What is committed after a swap was answered is the new version's. */
static void send_some(struct storm_lane *l)
{
    QClaim claims[BATCH];
    size_t got = 0;
    const uint64_t room = STORM_CAPACITY - (l->sent - l->checked);
    const uint64_t want = payload_dice(&l->dice) % BATCH + 1;
    if (room == 0)
        return;
    const QueueStatus status = q_claim(l->s->q, claims, want < room ? want : room, &got, 0);
    REQUIRE(status == Q_OK || status == Q_ERR_FULL, "claim gave %d", status);
    for (size_t i = 0; i < got; i++) {
        const uint64_t key = key_of(l, l->sent + i);
        claims[i].len = length_of(key);
        payload_fill(claims[i].data, claims[i].len, key);
    }
    const uint32_t floor = __atomic_load_n(&l->s->done, __ATOMIC_ACQUIRE);
    for (size_t i = 0; i < got; i++)
        l->floor[(l->sent + i) % STORM_CAPACITY] = floor;
    REQUIRE(q_commit(l->s->q, claims, got) == Q_OK, "commit of %zu", got);
    l->sent += got;
}

/* --- checking --------------------------------------------------------------------------------------------------------
 */

static void check_generation(struct storm_lane *l, uint32_t generation)
{
    const uint32_t begun = __atomic_load_n(&l->s->begun, __ATOMIC_ACQUIRE);
    const uint32_t floor = l->floor[l->checked % STORM_CAPACITY];
    REQUIRE(generation >= l->newest, "lane %u, message %" PRIu64 ": generation %u after %u", l->number, l->checked,
            generation, l->newest);
    REQUIRE(generation >= floor, "lane %u, message %" PRIu64 ": generation %u, and it was sent when %u was live",
            l->number, l->checked, generation, floor);
    REQUIRE(generation <= begun, "lane %u, message %" PRIu64 ": generation %u, and the newest is %u", l->number,
            l->checked, generation, begun);
}

/* The code that a stage ran must be that of `generation`, or, at a stage before the one which that changed and if
 * stages change one by one, that of an earlier one, but never of one before what the lane has met there. */
static void check_code(struct storm_lane *l, uint32_t stage, uint32_t generation, uint32_t tag)
{
    const struct storm_generation *all = l->s->generation;
    const bool exact = l->s->whole || stage >= all[generation].stage;
    uint32_t at = exact ? generation : l->reached[stage];
    while (at < generation && all[at].tag[stage] != tag)
        at++;
    REQUIRE(all[at].tag[stage] == tag,
            "lane %u, message %" PRIu64 ", stage %u: generation %u is code %u, and code %u ran", l->number, l->checked,
            stage, generation, all[at].tag[stage], tag);
    l->reached[stage] = at;
}

static void check(struct storm_lane *l, const QResult *r)
{
    uint8_t bytes[STORM_SLOT_BYTES];
    uint32_t len = r->len, tag;
    uint64_t count;
    const uint64_t key = key_of(l, l->checked), seq = (r->msg_id & 0x00ffffffffffffffu) - 1;
    REQUIRE(seq == l->checked, "lane %u: message %" PRIu64 " came, %" PRIu64 " was next", l->number, seq, l->checked);
    REQUIRE(r->status == Q_RESULT_OK && len <= sizeof bytes, "lane %u, message %" PRIu64 ": status %u, %u bytes",
            l->number, seq, r->status, len);
    check_generation(l, r->generation);
    memcpy(bytes, r->data, len);
    for (uint32_t stage = l->s->stages; stage-- > 0;) {
        storm_undo(bytes, &len, &tag, &count);
        check_code(l, stage, r->generation, tag);
        l->counts[stage] += payload_mix(count);
    }
    REQUIRE(len == length_of(key) && payload_is(bytes, len, key), "lane %u, message %" PRIu64 ": wrong bytes",
            l->number, seq);
}

static void note_gap(struct storm_lane *l, uint32_t generation, uint64_t now)
{
    if (generation != l->newest && l->last_ns) {
        gq_histogram_add(&l->gap, now - l->last_ns, 1);
        l->switches++;
    }
    l->newest = generation;
}

static bool take(struct storm_lane *l, uint32_t timeout_ms)
{
    QResult results[BATCH];
    size_t count = 0;
    const QueueStatus status = q_peek(l->s->q, results, BATCH, &count, timeout_ms);
    const uint64_t now = gq_clock_ns();
    REQUIRE(status == Q_OK || status == Q_ERR_NOT_READY || status == Q_ERR_TIMEOUT, "peek gave %d", status);
    for (size_t i = 0; i < count; i++) {
        check(l, &results[i]);
        note_gap(l, results[i].generation, now);
        __atomic_store_n(&l->checked, l->checked + 1, __ATOMIC_RELAXED);
    }
    if (count)
        l->last_ns = now;
    REQUIRE(q_release(l->s->q, results, count) == Q_OK, "release of %zu", count);
    return count > 0;
}

static void take_all(struct storm_lane *l)
{
    for (uint32_t vain = 0; l->checked < l->sent;) {
        vain = take(l, 1000) ? 0 : vain + 1;
        REQUIRE(vain < STALL_S, "lane %u waited %u s for message %" PRIu64, l->number, vain, l->checked);
    }
}

/* Now and then a lane has nothing to do, and a change finds it and the worker asleep. */
static void rest(struct storm_lane *l)
{
    take_all(l);
    usleep((useconds_t)(payload_dice(&l->dice) % 3000));
    l->last_ns = 0;
}

/* --- the thread ------------------------------------------------------------------------------------------------------
 */

static void *run(void *lane)
{
    struct storm_lane *l = lane;
    while (!__atomic_load_n(&l->s->end, __ATOMIC_RELAXED)) {
        send_some(l);
        take(l, l->sent - l->checked < STORM_CAPACITY ? 0 : 1000);
        if (payload_dice(&l->dice) % 4096 == 0)
            rest(l);
    }
    take_all(l);
    return NULL;
}

void storm_start(struct storm_lane *l, struct storm *s, uint32_t number)
{
    *l = (struct storm_lane){.s = s, .number = number, .dice = payload_mix(s->seed + 31 * number) | 1, .newest = 1};
    for (uint32_t i = 0; i < STORM_STAGES_MAX; i++)
        l->reached[i] = 1;
    REQUIRE(pthread_create(&l->thread, NULL, run, l) == 0, "lane %u has no thread", number);
}

void storm_join(struct storm_lane *l) { REQUIRE(pthread_join(l->thread, NULL) == 0, "lane %u", l->number); }

void storm_check_counts(const struct storm *s, const struct storm_lane *lanes)
{
    uint64_t messages = 0, expected = 0;
    for (uint32_t i = 0; i < s->producers; i++)
        messages += lanes[i].checked;
    for (uint64_t i = 0; i < messages; i++)
        expected += payload_mix(i);
    for (uint32_t stage = 0; stage < s->stages; stage++) {
        uint64_t sum = 0;
        for (uint32_t i = 0; i < s->producers; i++)
            sum += lanes[i].counts[stage];
        REQUIRE(sum == expected, "stage %u lost its memory: its counts are not 0 to %" PRIu64, stage, messages - 1);
    }
}
