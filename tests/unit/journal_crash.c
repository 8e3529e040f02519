/* A journal is written by a process that ends before, in the middle of, or behind any of its system calls, and by a
 * machine that loses whatever was not made durable. What the process was told was accepted is there when the journal is
 * opened again, with its number and its bytes; what it was told was recorded as taken is not.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "crash_disk.h"
#include "journal_support.h"
#include "unit.h"

#define LANES 2u
#define CAPACITY 8u
#define SLOT_BYTES 64u
#define MOST 4096u
#define SPARE 500u /* the file is written anew every few steps */
#define STEPS 12u

/* What the application knows. It outlives its processes. */
struct ledger {
    uint32_t begun[LANES]; /* messages that it tried to enqueue */
    uint32_t accepted[LANES];
    uint8_t take_begun[LANES][MOST], taken[LANES][MOST]; /* recorded */
    uint32_t step, rewrites;
    bool power_lost; /* since the journal was opened last: what was taken may come again */
};

static char folder[64], path[128];
static struct ledger *app;
static enum gq_durability durability;
static uint8_t slots[LANES][CAPACITY * SLOT_BYTES];
static struct gq_lane_view view[LANES];

static struct gq_journal_opts opts(void)
{
    return (struct gq_journal_opts){path, durability, CAPACITY, SLOT_BYTES, SPARE};
}

/* The bytes of a message follow from its number. */
static uint32_t make(uint32_t lane, uint64_t seq, uint8_t bytes[SLOT_BYTES])
{
    const uint32_t len = (uint32_t)(seq * 7 + lane) % (SLOT_BYTES + 1);
    for (uint32_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)(seq * 31 + lane * 101 + i);
    return len;
}

/* --- what is there ------------------------------------------------------------------------------------------------ */

static gq_status wrong(uint32_t lane, uint64_t seq, const char *what)
{
    return gq_error_set(GQ_ERR_INTERNAL, "message %" PRIu64 " of lane %u %s", seq, lane, what);
}

static gq_status check_message(struct gq_journal *j, uint32_t lane, uint64_t seq, bool *there)
{
    uint8_t bytes[SLOT_BYTES], expected[SLOT_BYTES];
    uint32_t len;
    bool taken;
    gq_status status = gq_journal_read(j, lane, seq, bytes, &len, &taken);
    *there = !taken;
    if (status == GQ_OK && (len != make(lane, seq, expected) || memcmp(bytes, expected, len) != 0))
        return wrong(lane, seq, "has other bytes");
    if (status == GQ_OK && taken && !app->take_begun[lane][seq])
        return wrong(lane, seq, "is said to be taken");
    return status;
}

static gq_status check_lane(struct gq_journal *j, uint32_t lane)
{
    const struct gq_journal_lane *left = &j->lane[lane];
    if (left->next > app->begun[lane])
        return wrong(lane, left->next, "was never enqueued");
    for (uint64_t seq = 0; seq < app->begun[lane]; seq++) {
        bool there = false;
        if (seq >= left->first && seq < left->next) {
            gq_status status = check_message(j, lane, seq, &there);
            if (status != GQ_OK)
                return status;
        }
        const bool promised = durability == GQ_DURABILITY_FDATASYNC || !app->power_lost;
        if (promised && seq < app->accepted[lane] && !there && !app->take_begun[lane][seq])
            return wrong(lane, seq, "was accepted, and is lost");
        if (there && !app->power_lost && app->taken[lane][seq])
            return wrong(lane, seq, "was recorded as taken, and comes again");
        if (promised && seq < app->accepted[lane] && seq >= left->next)
            return wrong(lane, seq, "has a number that would be given again");
    }
    return GQ_OK;
}

/* The application learns what became of what it did not hear the end of. */
static gq_status look(struct gq_journal *j)
{
    gq_status status = GQ_OK;
    for (uint32_t lane = 0; lane < LANES && status == GQ_OK; lane++) {
        status = check_lane(j, lane);
        app->begun[lane] = app->accepted[lane] = (uint32_t)j->lane[lane].next;
        for (uint64_t seq = 0; seq < MOST; seq++) {
            const bool open = journal_has(j, lane, seq);
            app->take_begun[lane][seq] = app->taken[lane][seq] = seq < j->lane[lane].next && !open;
        }
    }
    app->power_lost = false;
    return status;
}

/* --- a run -------------------------------------------------------------------------------------------------------- */

static gq_status enqueue(struct gq_journal *j, uint32_t lane, uint32_t count)
{
    uint32_t len[CAPACITY];
    const uint64_t first = j->lane[lane].next;
    for (uint32_t i = 0; i < count; i++)
        len[i] = make(lane, first + i, gq_slot_in(&view[lane], first + i));
    app->begun[lane] = (uint32_t)first + count;
    gq_status status = gq_journal_accept(j, &view[lane], first, len, count);
    if (status == GQ_OK)
        app->accepted[lane] = app->begun[lane];
    return status;
}

static void take(struct gq_journal *j, uint32_t lane, uint64_t seq, bool flush)
{
    app->take_begun[lane][seq] = 1;
    gq_journal_take(j, lane, seq, 1);
    if (!flush)
        return;
    gq_journal_flush(j);
    for (uint32_t other = 0; other < LANES; other++)
        memcpy(app->taken[other], app->take_begun[other], MOST);
}

/* The newest that is open, or the oldest. */
static void take_some(struct gq_journal *j, uint32_t lane, bool newest, bool flush)
{
    const struct gq_journal_lane *l = &j->lane[lane];
    uint64_t found = UINT64_MAX;
    for (uint64_t seq = l->first; seq < l->next; seq++)
        if (journal_has(j, lane, seq) && (newest || found == UINT64_MAX))
            found = seq;
    if (found != UINT64_MAX)
        take(j, lane, found, flush);
}

static gq_status step(struct gq_journal *j)
{
    const uint32_t n = app->step++, lane = n / 3 % LANES,
                   room = CAPACITY - (uint32_t)(j->lane[lane].next - j->lane[lane].first);
    gq_status status = GQ_OK;
    if (room > 0 && app->begun[lane] + 3 < MOST)
        status = enqueue(j, lane, n % 3 + 1 < room ? n % 3 + 1 : room);
    if (status == GQ_OK && n % 2)
        take_some(j, lane, n % 5 == 0, n % 4 == 1);
    if (status == GQ_OK && n % 3)
        take_some(j, lane, false, true);
    return status;
}

static gq_status run_for(uint32_t steps)
{
    struct gq_journal *j;
    const struct gq_journal_opts how = opts();
    gq_status status = gq_journal_open(&how, &j);
    if (status != GQ_OK)
        return status;
    status = look(j);
    for (uint32_t i = 0; i < steps && status == GQ_OK; i++) {
        const uint64_t stamp = j->stamp;
        status = step(j);
        app->rewrites += j->stamp != stamp;
    }
    gq_status closed = gq_journal_close(j);
    return status == GQ_OK ? closed : status;
}

static gq_status run(void) { return run_for(STEPS); }

static gq_status only_look(void) { return run_for(0); }

/* --- tests -------------------------------------------------------------------------------------------------------- */

static void forget(void)
{
    unlink(path);
    memset(app, 0, sizeof *app);
}

static int run_until(uint32_t last, bool torn, enum loss loss)
{
    const int ended = disk_run(folder, last, torn, loss, run);
    app->power_lost |= ended == CRASHED && loss != KEPT;
    return ended;
}

static void set_up(void)
{
    snprintf(folder, sizeof folder, "/tmp/gpuq-journal-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/q.journal", folder);
    app = mmap(NULL, sizeof *app, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    for (uint32_t i = 0; i < LANES; i++)
        view[i] = journal_view(slots[i], i, CAPACITY, SLOT_BYTES);
}

static void tear_down(void)
{
    unlink(path);
    strcat(path, ".new");
    unlink(path); /* a crash may leave it; the next journal writes over it */
    ck_assert_int_eq(rmdir(folder), 0);
    munmap(app, sizeof *app);
}

/* At least 170 points for each kind of loss, and 280 below: 960 in all. */
static void end_at_every_call(enum loss loss)
{
    uint32_t points = 0, violations = 0;
    for (int kind = 0; kind < 4; kind++) {
        const bool torn = kind & 1;
        int ended = CRASHED;
        durability = kind & 2 ? GQ_DURABILITY_FDATASYNC : GQ_DURABILITY_MEMORY;
        for (uint32_t call = 0; ended == CRASHED; call++) {
            forget();
            ended = run_until(call, torn, loss);
            ck_assert_msg(ended == CRASHED || ended == 0, "call %u: exit code %d", call, ended);
            points += ended == CRASHED;
            if (disk_run(folder, UINT32_MAX, false, KEPT, only_look) != 0) {
                printf("call %u, torn %d, loss %d, durability %d\n", call, torn, loss, durability);
                violations++;
            }
        }
        ck_assert_uint_ge(app->rewrites, 2);
    }
    printf("%u points, %u violations\n", points, violations);
    ck_assert_uint_ge(points, 170);
    ck_assert_uint_eq(violations, 0);
}

START_TEST(a_kill_at_any_call_loses_nothing) { end_at_every_call(KEPT); }
END_TEST

START_TEST(a_power_loss_that_cuts_loses_nothing) { end_at_every_call(CUT); }
END_TEST

START_TEST(a_power_loss_that_leaves_zeroes_loses_nothing) { end_at_every_call(ZEROED); }
END_TEST

START_TEST(a_power_loss_that_leaves_half_loses_nothing) { end_at_every_call(HALF); }
END_TEST

/* The next process ends, too, before it has done anything new, or while it does. */
START_TEST(ends_in_a_row_lose_nothing)
{
    uint32_t random = 4711, points = 0, violations = 0;
    for (uint32_t round = 0; round < 60; round++) {
        forget();
        durability = round & 1 ? GQ_DURABILITY_FDATASYNC : GQ_DURABILITY_MEMORY;
        for (int in_a_row = 0; in_a_row < 5; in_a_row++) {
            random = random * 1664525u + 1013904223u;
            const int ended = run_until(random >> 8 & 31, random >> 20 & 1, (enum loss)(random >> 24 & 3));
            violations += ended != CRASHED && ended != 0;
            points += ended == CRASHED;
        }
        violations += disk_run(folder, UINT32_MAX, false, KEPT, only_look) != 0;
    }
    printf("%u points, %u violations\n", points, violations);
    ck_assert_uint_ge(points, 280);
    ck_assert_uint_eq(violations, 0);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {a_kill_at_any_call_loses_nothing, a_power_loss_that_cuts_loses_nothing,
                                  a_power_loss_that_leaves_zeroes_loses_nothing,
                                  a_power_loss_that_leaves_half_loses_nothing, ends_in_a_row_lose_nothing};
    return unit_run("crash points of a journal", tests, sizeof tests / sizeof *tests, set_up, tear_down);
}
