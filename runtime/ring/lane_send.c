/* The producer's side of a lane. */
#include "base/assert.h"
#include "base/clock.h"
#include "ring/counted.h"
#include "ring/lane.h"
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define ROOM_WAIT_NS 1000000u /* longest sleep for room: messages that a plugin drops make room without a wake */
#define SPINS 256

static uint64_t load(const uint64_t *p) { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }

/* Looks again at what consumers released; true when there is room behind `claimed`. */
static bool find_room(struct gq_lane *lane)
{
    lane->room_end = load(&lane->released) + lane->view.mask + 1;
    if (lane->claimed < lane->room_end)
        return true;
    /* Messages at the front may have been dropped by a plugin: nobody takes those, so the producer does. */
    if (pthread_mutex_trylock(&lane->lock) == 0) {
        gq_lane_reap(lane);
        pthread_mutex_unlock(&lane->lock);
    }
    lane->room_end = load(&lane->released) + lane->view.mask + 1;
    return lane->claimed < lane->room_end;
}

static void sleep_for_room(struct gq_lane *lane, uint64_t deadline_ns)
{
    uint64_t now = gq_clock_ns();
    uint64_t wait = deadline_ns - now < ROOM_WAIT_NS ? deadline_ns - now : ROOM_WAIT_NS;
    uint32_t bell = __atomic_load_n(&lane->room_bell, __ATOMIC_ACQUIRE);
    __atomic_fetch_add(&lane->room_waiters, 1, __ATOMIC_SEQ_CST);
    if (!find_room(lane) && now < deadline_ns) {
        struct timespec t = {.tv_nsec = (long)wait};
        syscall(SYS_futex, &lane->room_bell, FUTEX_WAIT_PRIVATE, bell, &t, NULL, 0);
    }
    __atomic_fetch_sub(&lane->room_waiters, 1, __ATOMIC_SEQ_CST);
}

static bool wait_room(struct gq_lane *lane, uint64_t deadline_ns)
{
    if (find_room(lane))
        return true;
    if (deadline_ns == 0)
        return false;
    for (int i = 0; i < SPINS; i++) {
        gq_cpu_relax();
        if (lane->claimed < load(&lane->released) + lane->view.mask + 1)
            return find_room(lane);
    }
    while (!find_room(lane)) {
        if (gq_clock_past(deadline_ns) || gq_link_dead(lane->link) || gq_link_closing(lane->link))
            return false;
        sleep_for_room(lane, deadline_ns);
    }
    return true;
}

uint32_t gq_lane_claim(struct gq_lane *lane, uint32_t want, uint64_t deadline_ns, uint64_t *first)
{
    gq_assert(!lane->generated && want > 0);
    if (lane->claimed >= lane->room_end && !wait_room(lane, deadline_ns))
        return 0;
    uint64_t room = lane->room_end - lane->claimed;
    uint32_t got = room < want ? (uint32_t)room : want;
    *first = lane->claimed;
    __atomic_store_n(&lane->claimed, *first + got, __ATOMIC_RELAXED);
    return got;
}

void gq_lane_refuse(struct gq_lane *lane)
{
    __atomic_store_n(&lane->refused_full, lane->refused_full + 1, __ATOMIC_RELAXED);
}

/* May message seq go by express? Its answer may then come by its line, and leaves the descriptor of its slot as it was.
 * Descriptors have stamps of 32 bits, so each is written anew, by a lap without express, before its stamp comes again.
 */
static bool may_go_by_express(const struct gq_lane *lane, uint64_t seq)
{
    const uint64_t capacity = (uint64_t)lane->view.mask + 1, lap_every = 1ull << 31;
    return lane->express && seq - load(&lane->released) < GQ_EXPRESS_LINES && (seq + capacity) % lap_every >= capacity;
}

/* Descriptors are written from the last to the first: a worker that looks at the first sees all of them or none, and
 * does not fight for the lines that the rest lie in while they are being written. */
void gq_lane_publish(struct gq_lane *lane, const uint32_t *len, uint32_t count, uint64_t now_ns)
{
    const struct gq_lane_view view = lane->view; /* a copy stays in registers over the stores below */
    uint64_t first = lane->submitted;
    gq_assert(first + count <= lane->claimed);
    for (uint32_t i = 0; lane->sent_ns && i < count; i++)
        lane->sent_ns[gq_slot_index(&view, first + i)] = now_ns;
    if (count == 1 && may_go_by_express(lane, first))
        gq_express_send(lane->express, &lane->view, first, len[0]);
    /* First: a result that came before its message counts as submitted would wake a waiter who then sees nothing. */
    __atomic_store_n(&lane->submitted, first + count, __ATOMIC_RELEASE);
    for (uint32_t i = count; i-- > 0;) {
        gq_assert(len[i] <= view.slot_bytes);
        gq_slot_submit(&view, first + i, len[i]);
    }
}

void gq_lane_grant(struct gq_lane *lane)
{
    uint64_t limit = lane->released + lane->view.mask + 1;
    if (limit > lane->generate_count)
        limit = lane->generate_count;
    uint64_t now = lane->sent_ns ? gq_clock_ns() : 0, step = gq_counted_step(lane);
    for (uint64_t seq = (lane->submitted + step - 1) & ~(step - 1); lane->sent_ns && seq < limit; seq += step)
        lane->sent_ns[gq_slot_index(&lane->view, seq)] = now;
    __atomic_store_n(&lane->submitted, limit, __ATOMIC_RELEASE);
    gq_slot_grant(&lane->view, limit);
}
