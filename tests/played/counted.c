/* A source plugin, a stage and who counts, as a GPU runs them, played on a CPU: warps find, claim, hand on in packs and
 * in descriptors, and the host is told of every message once. */
#include "played/played.h"
#include "backend/fiber.h"
#include "base/clock.h"
#include "ring/counted.h"
#include "unit/lane_support.h"
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define BLOCKS 2u /* warps of a step */
#define STEPS 2u
#define CAPACITY_MOST 8192u

static struct gq_link link_;
static struct gq_lane *lane;
static struct gq_host_page host;
static _Alignas(GQ_LINE_BYTES) struct gq_worker_page page;
static _Alignas(GQ_LINE_BYTES) struct gq_grid_shared shared;
static _Alignas(GQ_LINE_BYTES) struct gq_grid_lane grid_lane;
static struct gq_out_desc hop[STEPS * CAPACITY_MOST];
static _Alignas(16) struct gq_unit packs[STEPS * CAPACITY_MOST / GQ_PACK];
static _Alignas(16) uint8_t slots[2][CAPACITY_MOST * PLAYED_BYTES];
static uint64_t words[CAPACITY_MOST];
static uint32_t ended[CAPACITY_MOST / 32 + 1];
static struct played_rules rules;
static struct gq_counted sum; /* of what the host took */

/* --- grids ------------------------------------------------------------------------------------------------------- */

static played_grid_fn images[STEPS];
static struct gq_grid grids[STEPS];

struct block {
    pthread_t thread;
    uint32_t step, block;
    struct gq_grid grid;
};
static struct block blocks[STEPS][BLOCKS];

static void *run_block(void *arg)
{
    const struct block *b = arg;
    images[b->step](&b->grid, b->block, BLOCKS, &gq_fiber_services, &rules);
    return NULL;
}

static void launch(uint32_t step)
{
    grids[step].launch++;
    grids[step].generation++;
    for (uint32_t i = 0; i < BLOCKS; i++) {
        blocks[step][i] = (struct block){.step = step, .block = i, .grid = grids[step]};
        ck_assert_int_eq(pthread_create(&blocks[step][i].thread, NULL, run_block, &blocks[step][i]), 0);
    }
}

static void join(uint32_t step)
{
    for (uint32_t i = 0; i < BLOCKS; i++)
        pthread_join(blocks[step][i].thread, NULL);
}

/* New code of a step: the grid that runs leaves between two messages, and another goes on. */
static void swap(uint32_t step)
{
    __atomic_store_n(&shared.order[step].leave, grids[step].launch, __ATOMIC_RELEASE);
    join(step);
    launch(step);
}

/* --- a lane ------------------------------------------------------------------------------------------------------ */

static played_grid_fn open_image(const char *path)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    ck_assert_msg(library != NULL, "%s", dlerror());
    void *symbol = dlsym(library, PLAYED_SYMBOL);
    played_grid_fn fn;
    memcpy(&fn, &symbol, sizeof fn);
    ck_assert_ptr_nonnull(symbol);
    return fn;
}

/* As gq_cuda_add_lane() would. */
static void begin(uint32_t capacity, uint64_t first, uint64_t count)
{
    memset(&shared, 0, sizeof shared);
    memset(hop, 0, sizeof hop);
    memset(packs, 0, sizeof packs);
    sum = (struct gq_counted){0};
    ck_assert_int_eq(gq_link_create(&link_), GQ_OK);
    ck_assert_int_eq(gq_lane_create(&(struct gq_lane_opts){.lane = 5,
                                                           .capacity = capacity,
                                                           .slot_bytes = PLAYED_BYTES,
                                                           .first_seq = first,
                                                           .generated = true,
                                                           .counted = true,
                                                           .index_step = 1,
                                                           .count = count},
                                    &link_, &lane),
                     GQ_OK);
    writable(lane->view.out_head, lane->out_bytes);
    grid_lane = (struct gq_grid_lane){.view = lane->view,
                                      .desc = words,
                                      .slot = {slots[0], slots[1]},
                                      .hop = hop,
                                      .packs = capacity < GQ_PACK ? NULL : packs,
                                      .index_step = 1,
                                      .generated = 1,
                                      .block_shift = gq_block_shift(lane->view.stride),
                                      .known = first,
                                      .ended = ended};
    for (uint32_t i = 0; i <= STEPS; i++)
        grid_lane.cursor[i].ready = first;
    for (uint32_t i = 0; i < STEPS; i++)
        for (uint32_t n = 0; n < GQ_SHARES; n++)
            grid_lane.cursor[i].share[n].next = gq_share_first(grid_lane.block_shift, n, first);
    shared.lane_count = 1;
    images[0] = open_image(PLAYED_SOURCE);
    images[1] = open_image(PLAYED_STAGE);
    for (uint32_t i = 0; i < STEPS; i++)
        grids[i] = (struct gq_grid){.host = &host,
                                    .worker = &page,
                                    .shared = &shared,
                                    .lane = &grid_lane,
                                    .step = i,
                                    .steps = STEPS,
                                    .stage = i,
                                    .out_cap = PLAYED_BYTES,
                                    .counted = 1};
}

/* --- the host ---------------------------------------------------------------------------------------------------- */

static void ck_failed(uint64_t seq, const struct gq_lane_result *r)
{
    const uint32_t code = gq_meta_code(r->meta);
    if (gq_meta_status(r->meta) == GQ_RESULT_FAULTED)
        ck_assert(ended[seq / 32 % (CAPACITY_MOST / 32)] >> seq % 32 & 1);
    else if (played_fails_early(&rules, seq))
        ck_assert_uint_eq(code, PLAYED_CODE_SOURCE);
    else
        ck_assert_msg(code == PLAYED_CODE_STAGE && played_fails_late(&rules, seq), "message %lu failed with %u", seq,
                      code);
}

static bool take(void)
{
    struct gq_counted c;
    struct gq_lane_result r;
    const gq_status status = gq_counted_take(lane, &c);
    if (status == GQ_ERR_NOT_READY)
        return false;
    ck_assert_int_eq(status, GQ_OK);
    uint64_t failed = 0;
    for (uint64_t seq = c.first; seq < c.end; seq++)
        if (gq_counted_failed(lane, seq, &r)) {
            failed++;
            ck_failed(seq, &r);
        }
    ck_assert_uint_eq(failed, c.failed);
    gq_counted_release(lane, &c);
    sum.end = c.end;
    sum.ok += c.ok, sum.dropped += c.dropped, sum.failed += c.failed, sum.bytes += c.bytes;
    return true;
}

/* Takes until all messages up to `end` have ended, and swaps the steps in turn meanwhile. */
static void take_all(uint64_t end, uint64_t swap_every)
{
    const uint64_t deadline = gq_clock_ns() + 20000000000ull;
    uint64_t next = sum.end + swap_every;
    for (uint32_t turn = 0; sum.end < end;) {
        ck_assert_msg(gq_clock_ns() < deadline, "message %lu of %lu, and no further", sum.end, end);
        const bool some = take();
        if (swap_every && (sum.end >= next || !some)) { /* and whenever a warp may hold what it has not told */
            swap(turn++ % STEPS);
            next = sum.end + swap_every;
        }
    }
    for (uint32_t i = 0; i < STEPS; i++)
        __atomic_store_n(&shared.order[i].leave, GQ_GRID_NOW, __ATOMIC_RELEASE);
    for (uint32_t i = 0; i < STEPS; i++)
        join(i);
}

/* What messages [first, end) that came to this worker have to amount to, with `faulted` among them. */
static void ck_sum(uint64_t first, uint64_t end, uint64_t faulted)
{
    uint64_t ok = 0, dropped = 0, failed = 0, bytes = 0;
    for (uint64_t seq = first; seq < end; seq++) {
        const bool gone = seq < grid_lane.known && ended[seq / 32] >> seq % 32 & 1;
        const bool fails = gone || played_fails_early(&rules, seq) || played_fails_late(&rules, seq);
        const bool drops = !fails && played_drops(&rules, seq);
        failed += fails;
        dropped += drops;
        ok += !fails && !drops;
        bytes += fails || drops ? 0 : played_len(&rules, seq);
        faulted -= gone;
    }
    ck_assert_uint_eq(faulted, 0);
    ck_assert_uint_eq(sum.ok, ok);
    ck_assert_uint_eq(sum.dropped, dropped);
    ck_assert_uint_eq(sum.failed, failed);
    ck_assert_uint_eq(sum.bytes, bytes);
}

/* How many of the units behind a step are of its last lap, in hundredths. */
static uint32_t packs_told(uint32_t step, uint64_t end)
{
    const uint32_t capacity = lane->view.mask + 1, count = capacity / GQ_PACK;
    uint32_t told = 0;
    for (uint32_t i = 0; i < count; i++) {
        const uint64_t stamp = packs[step * count + i].stamp;
        told += stamp > 0 && stamp - 1 + capacity >= end;
        ck_assert(stamp == 0 || ((stamp - 1) % GQ_PACK == 0 && stamp - 1 < end));
    }
    return told * 100 / count;
}

static void play(uint32_t capacity, uint64_t count, uint64_t swap_every)
{
    begin(capacity, 0, count);
    for (uint32_t i = 0; i < STEPS; i++)
        launch(i);
    take_all(count, swap_every);
    ck_sum(0, count, 0);
}

/* --- promises ---------------------------------------------------------------------------------------------------- */

START_TEST(messages_of_one_length_go_in_packs)
{
    play(4096, 65536, 0);
    ck_assert_uint_ge(packs_told(0, 65536), 90);
    ck_assert_uint_ge(packs_told(1, 65536), 90);
}
END_TEST

/* The host grants up to the middle of a pack once: it is made in two runs, and in the laps behind it in one again. */
START_TEST(a_pack_in_two_parts_is_whole_again_some_laps_later)
{
    begin(1024, 0, 65536);
    gq_slot_grant(&lane->view, 1000);
    for (uint32_t i = 0; i < STEPS; i++)
        launch(i);
    take_all(65536, 0);
    ck_sum(0, 65536, 0);
    ck_assert_uint_eq(packs_told(0, 65536), 100);
    ck_assert_uint_eq(packs_told(1, 65536), 100);
}
END_TEST

START_TEST(the_last_messages_are_no_pack) { play(1024, 10007, 0); }
END_TEST

START_TEST(messages_of_many_lengths_go_in_packs_where_they_are_only_counted)
{
    rules.varied = 1;
    play(2048, 20000, 0);
    ck_assert_uint_eq(packs_told(0, 20000), 0);
    ck_assert_uint_ge(packs_told(1, 20000), 80);
}
END_TEST

START_TEST(what_is_dropped_and_what_fails_is_counted_so)
{
    rules = (struct played_rules){.drop = 5, .fail = 97};
    play(2048, 20000, 0);
}
END_TEST

START_TEST(a_lane_may_be_less_than_a_pack)
{
    rules.fail = 31;
    play(16, 2000, 0);
}
END_TEST

START_TEST(a_lane_may_be_one_pack) { play(32, 2000, 0); }
END_TEST

START_TEST(code_changes_among_packs)
{
    rules = (struct played_rules){.drop = 7, .fail = 1009};
    play(4096, 60011, 500);
}
END_TEST

/* Who counts has to leave when it has counted the last of them, and may not have told of it. */
START_TEST(the_last_messages_are_told_of_beside_a_change)
{
    for (uint32_t i = 0; i < 50; i++) {
        begin(64, 0, 43);
        for (uint32_t step = 0; step < STEPS; step++)
            launch(step);
        while (__atomic_load_n(&hop[64 + 42].state, __ATOMIC_ACQUIRE) >> 32 != 43)
            ;
        swap(1);
        take_all(43, 0);
        ck_sum(0, 43, 0);
        gq_lane_destroy(lane);
        gq_link_finish(&link_);
    }
}
END_TEST

START_TEST(another_worker_goes_on_in_the_middle_of_a_pack)
{
    const uint64_t count = 10000;
    begin(1024, 0, count);
    grid_lane.known = 77; /* of these, some had been given up */
    grid_lane.cursor[0].ready = 77;
    const uint64_t gone[] = {5, 31, 32, 33};
    for (uint32_t i = 0; i < sizeof gone / sizeof *gone; i++) {
        ended[gone[i] / 32] |= 1u << gone[i] % 32;
        gq_store_unit(gq_slot_out(&lane->view, gone[i]), gone[i] + 1, 0);
        gq_slot_finish(&lane->view, gone[i], 0, gq_meta(1, 1, GQ_RESULT_FAULTED, 0));
    }
    for (uint32_t i = 0; i < STEPS; i++) {
        grids[i].old = 1;
        launch(i);
    }
    take_all(count, 0);
    ck_sum(0, count, 4);
    ck_assert_uint_ge(packs_told(0, count), 60);
}
END_TEST

/* Those stamps are of 32 bits: none may be left from long before. */
START_TEST(descriptors_are_written_in_the_lap_before_a_multiple_of_2_to_the_31)
{
    const uint32_t capacity = 1024;
    const uint64_t turn = 1ull << 31, first = turn - 4096, end = turn + 4096;
    begin(capacity, first, end);
    for (uint32_t n = 0; n < GQ_COUNTS; n++)
        gq_store_unit(&lane->view.out_head->count[n], first, 0);
    sum.end = first;
    for (uint32_t i = 0; i < STEPS; i++)
        launch(i);
    take_all(end, 0);
    ck_sum(first, end, 0);
    for (uint32_t i = 0; i < STEPS * capacity; i++) {
        const uint32_t stamp = (uint32_t)(hop[i].state >> 32);
        ck_assert_msg(stamp > (uint32_t)turn - capacity, "descriptor %u has the stamp %u", i, stamp);
    }
    ck_assert_uint_ge(packs_told(0, end), 80);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {messages_of_one_length_go_in_packs,
                                  a_pack_in_two_parts_is_whole_again_some_laps_later,
                                  the_last_messages_are_no_pack,
                                  messages_of_many_lengths_go_in_packs_where_they_are_only_counted,
                                  what_is_dropped_and_what_fails_is_counted_so,
                                  a_lane_may_be_less_than_a_pack,
                                  a_lane_may_be_one_pack,
                                  code_changes_among_packs,
                                  the_last_messages_are_told_of_beside_a_change,
                                  another_worker_goes_on_in_the_middle_of_a_pack,
                                  descriptors_are_written_in_the_lap_before_a_multiple_of_2_to_the_31};
    return unit_run("played", tests, sizeof tests / sizeof *tests, NULL, NULL);
}
