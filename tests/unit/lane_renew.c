/* A lane that goes on with another worker, and what is read from the page that the last one left. */
#include "pipeline/budget.h"
#include "pipeline/suspects.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "lane_played.h" /* whose names those before have for their parameters */

START_TEST(what_was_finished_is_finished_and_what_is_held_stays_where_it_is)
{
    struct gq_lane_result r[CAPACITY];
    put(CAPACITY);
    for (uint64_t seq = 0; seq < 5; seq++)
        work(seq, seq == 3 ? GQ_RESULT_FAILED : GQ_RESULT_OK);
    work(6, GQ_RESULT_OK);
    ck_assert_uint_eq(gq_lane_take(lane, true, r, 3), 3);
    ck_assert_int_eq(gq_lane_release(lane, &r[0].seq, 1), GQ_OK);
    ck_assert_int_eq(gq_lane_release(lane, &r[2].seq, 1), GQ_OK); /* out of order */
    const int old_fd = dup(lane->out_fd);
    void *old = mmap(NULL, lane->out_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, old_fd, 0);
    const struct gq_lane_range range = renew(lane, NULL, 0);
    ck_assert_uint_eq(range.first, 1);
    ck_assert_uint_eq(range.mixed, CAPACITY);
    memset(old, 0xff, lane->out_bytes); /* whoever wrote the file before writes nothing that is seen any more */
    ck_assert_uint_eq(word_of(&r[1]), 1);
    ck_assert_int_eq(gq_lane_release(lane, &r[1].seq, 1), GQ_OK);
    ck_assert_uint_eq(gq_lane_take(lane, true, r, CAPACITY), 2);
    ck_assert(r[0].seq == 3 && gq_meta_status(r[0].meta) == GQ_RESULT_FAILED && gq_meta_code(r[0].meta) == 7);
    ck_assert(r[1].seq == 4 && word_of(&r[1]) == 4 && gq_meta_generation(r[1].meta) == 3);
    ck_assert(!gq_lane_is_open(lane, gq_slot_id(0, 6)) && gq_lane_is_open(lane, gq_slot_id(0, 5)));
    work(5, GQ_RESULT_OK);
    work(7, GQ_RESULT_OK);
    ck_assert_uint_eq(gq_lane_take(lane, true, r, CAPACITY), 3);
    ck_assert(r[0].seq == 5 && r[1].seq == 6 && word_of(&r[1]) == 6 && r[2].seq == 7);
    munmap(old, lane->out_bytes);
    close(old_fd);
}
END_TEST

/* As the lane is when its producer has raised `submitted` and not written the descriptor; returns that. */
static uint64_t hide(uint64_t seq)
{
    uint64_t *word = &lane->view.in_desc[gq_slot_index(&lane->view, seq)], was = *word;
    *word = 0;
    return was;
}

START_TEST(a_message_that_is_about_to_be_published_is_served_like_any_behind_the_renewal)
{
    struct gq_lane_result r[CAPACITY];
    uint8_t bytes[] = "elsewhere";
    const struct gq_lane_ending early = {.id = gq_slot_id(0, 2), .meta = gq_meta(2, 0, GQ_RESULT_OK, 0), .data = bytes};
    put(4); /* two, then two whose producer has written the last one's descriptor */
    work(0, GQ_RESULT_OK);
    const uint64_t word = hide(2);
    ck_assert(gq_lane_is_open(lane, gq_slot_id(0, 1)) && !gq_lane_is_open(lane, gq_slot_id(0, 2)));
    const struct gq_lane_range range = renew(lane, &early, 1);
    ck_assert(range.first == 0 && range.mixed == 2);
    ck_assert_uint_eq(gq_lane_take(lane, true, r, CAPACITY), 1);
    lane->view.in_desc[2] = word;
    ck_assert(gq_lane_is_open(lane, gq_slot_id(0, 2)) && gq_lane_is_open(lane, gq_slot_id(0, 3)));
    for (uint64_t seq = 1; seq < 4; seq++)
        work(seq, GQ_RESULT_OK);
    ck_assert_uint_eq(gq_lane_take(lane, true, r, CAPACITY), 3);
    ck_assert(word_of(&r[0]) == 1 && word_of(&r[1]) == 2 && word_of(&r[2]) == 3);
}
END_TEST

START_TEST(what_was_tried_elsewhere_has_its_end_and_nothing_else_is_touched)
{
    struct gq_lane_result r[CAPACITY];
    uint8_t bytes[] = "elsewhere";
    const struct gq_lane_ending endings[] = {
        {.id = gq_slot_id(0, 1), .meta = gq_meta(2, 0, GQ_RESULT_OK, 0), .len = 9, .data = bytes},
        {.id = gq_slot_id(0, 2), .meta = gq_meta(2, 0, GQ_RESULT_FAULTED, SIGSEGV)},
        {.id = gq_slot_id(0, 0), .meta = gq_meta(2, 0, GQ_RESULT_FAULTED, 1)}, /* it had its result before */
        {.id = gq_slot_id(1, 3), .meta = gq_meta(2, 0, GQ_RESULT_FAULTED, 1)}, /* another lane's */
        {.id = gq_slot_id(0, 5), .meta = gq_meta(2, 0, GQ_RESULT_FAULTED, 1)}, /* not accepted */
    };
    put(5);
    work(0, GQ_RESULT_OK);
    renew(lane, endings, 5);
    ck_assert_uint_eq(gq_lane_take(lane, true, r, CAPACITY), 3);
    ck_assert(gq_meta_status(r[0].meta) == GQ_RESULT_OK && word_of(&r[0]) == 0);
    ck_assert(r[1].len == 9 && memcmp(r[1].data, "elsewhere", 9) == 0);
    ck_assert(gq_meta_status(r[2].meta) == GQ_RESULT_FAULTED && gq_meta_code(r[2].meta) == SIGSEGV);
    ck_assert(gq_lane_is_open(lane, gq_slot_id(0, 3)) && !gq_lane_is_open(lane, gq_slot_id(0, 5)));
    ck_assert(!gq_lane_has_good(lane, 4) && gq_lane_has_good(lane, 3));
    put(1);
    ck_assert(gq_lane_is_open(lane, gq_slot_id(0, 5)));
}
END_TEST

/* --- windows --------------------------------------------------------------------------------------------------------
 */

/* How a message stands in a window: -1 if it has not ended. */
static int status_in(const struct gq_lane_window *window, uint64_t seq)
{
    struct gq_lane_ending ending;
    if (!gq_lane_window_ending(window, seq, &ending))
        return -1;
    ck_assert(ending.id == gq_slot_id(0, seq) && ending.len == 0 && !ending.data);
    return (int)gq_meta_status(ending.meta);
}

/* Opens a window of the lane's messages for a set of them, and looks at every message that may be in it. */
static void check_set(const uint64_t *seqs, uint32_t count)
{
    struct gq_lane_window window;
    struct gq_lane_range range;
    ck_assert_int_eq(gq_lane_window_open(&window, lane, seqs, count, &range), GQ_OK);
    ck_assert(range.first == seqs[0] && range.mixed == seqs[count - 1] + 1 && range.end == range.mixed);
    for (uint64_t seq = lane->released, i = 0; seq < lane->submitted; seq++) {
        const bool between = seq > seqs[0] && seq < seqs[count - 1], member = i < count && seqs[i] == seq;
        ck_assert_int_eq(status_in(&window, seq), between && !member ? (int)GQ_RESULT_DROPPED : -1);
        i += member;
    }
    ck_assert(pread(window.out_fd, window.view.out_head, 1, 0) == -1 && errno == EFAULT); /* the host only reads it */
    gq_lane_window_close(&window);
}

START_TEST(a_window_is_open_for_its_set_alone)
{
    struct gq_lane_result r[CAPACITY];
    put(CAPACITY);
    check_set((const uint64_t[]){1, 3, 4, 7}, 4);
    check_set((const uint64_t[]){5}, 1);
    check_set((const uint64_t[]){0, 7}, 2);
    check_set((const uint64_t[]){0, 1, 2, 3, 4, 5, 6, 7}, 8);
    for (uint64_t seq = 0; seq < 5; seq++)
        work(seq, GQ_RESULT_OK);
    ck_assert_uint_eq(gq_lane_take(lane, true, r, 5), 5);
    ck_assert_int_eq(gq_lane_release_run(lane, 0, 5), GQ_OK);
    put(5); /* 8 and the rest lie where 0 and its followers did */
    check_set((const uint64_t[]){6, 7, 9, 12}, 4);
    check_set((const uint64_t[]){5, 8}, 2);
    check_set((const uint64_t[]){12}, 1);
}
END_TEST

/* The worker of a window writes into its own mapping. */
START_TEST(what_ends_in_a_window_is_an_ending_with_its_bytes)
{
    struct gq_lane_window window;
    struct gq_lane_range range;
    struct gq_lane_ending ending;
    struct gq_lane_view view;
    put(5);
    ck_assert_int_eq(gq_lane_window_open(&window, lane, (const uint64_t[]){1, 3, 4}, 3, &range), GQ_OK);
    uint8_t *out = mmap(NULL, window.out_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, window.out_fd, 0);
    ck_assert(out != MAP_FAILED);
    gq_lane_view_fill(&view, (uint8_t *)lane->view.in_head, out, CAPACITY, SLOT_BYTES);
    memcpy(gq_slot_out(&view, 3), "three", 5);
    gq_slot_finish(&view, 3, 5, gq_meta(2, 0, GQ_RESULT_OK, 0));
    gq_slot_finish(&view, 4, 0, gq_meta(2, 0, GQ_RESULT_FAILED, 6));
    ck_assert_int_eq(status_in(&window, 1), -1);
    ck_assert_int_eq(status_in(&window, 4), GQ_RESULT_FAILED);
    ck_assert(gq_lane_window_ending(&window, 3, &ending) && ending.len == 5 && memcmp(ending.data, "three", 5) == 0);
    munmap(out, window.out_bytes);
    gq_lane_window_close(&window);
    renew(lane, &ending, 1);
    ck_assert(!gq_lane_is_open(lane, gq_slot_id(0, 3)) && gq_lane_is_open(lane, gq_slot_id(0, 2)));
    ck_assert_mem_eq(gq_slot_out(&lane->view, 3), "three", 5);
    free(ending.data);
}
END_TEST

/* --- the page of a dead worker --------------------------------------------------------------------------------------
 */

static struct gq_queue queue;
static struct gq_worker_page page;

static void hold(uint32_t block, uint64_t seq, uint32_t signal)
{
    page.crumb[block] =
        (struct gq_crumb){.holds = 4, .first = gq_slot_id(0, seq), .current = gq_slot_id(0, seq), .signal = signal};
}

static uint32_t find(uint32_t hung, struct gq_suspect *out) { return gq_suspects_find(&page, &queue, hung, out, 4); }

START_TEST(suspects_are_messages_that_somebody_was_inside_of)
{
    struct gq_suspect s[4];
    queue = (struct gq_queue){.lane = {lane}, .lane_count = 1};
    memset(&page, 0, sizeof page);
    page.threads = 4;
    put(6);
    work(1, GQ_RESULT_OK);
    hold(0, 0, 0);
    hold(1, 1, 0); /* which has ended */
    hold(2, 2, 0);
    hold(3, 600, 0); /* none */
    ck_assert_uint_eq(find(GQ_BLOCK_NONE, s), 2);
    ck_assert(s[0].id == gq_slot_id(0, 0) && s[1].id == gq_slot_id(0, 2));
    ck_assert(!s[0].caused && !s[1].caused); /* it may have been the other, or neither */
    ck_assert(find(2, s) == 1 && s[0].id == gq_slot_id(0, 2) && s[0].caused);
    page.crumb[0].signal = SIGSEGV;
    ck_assert(find(GQ_BLOCK_NONE, s) == 1 && s[0].id == gq_slot_id(0, 0) && s[0].caused);
    ck_assert_uint_eq(gq_fault_code(&page, false, SIGKILL), SIGSEGV);
    ck_assert_uint_eq(gq_fault_code(&page, true, SIGKILL), GQ_FAULT_TIME);
    page.crumb[0].holds = 0; /* a signal beside the messages leaves all of them suspect */
    ck_assert(find(GQ_BLOCK_NONE, s) == 1 && s[0].id == gq_slot_id(0, 2));
    page.threads = UINT32_MAX;
    for (uint32_t i = 0; i < GQ_BLOCKS_MAX; i++)
        page.crumb[i] = (struct gq_crumb){1, UINT64_MAX, UINT64_MAX, GQ_CRUMB_SOURCE, 0, 0, 0, 0, 0, 0, {0}};
    ck_assert_uint_eq(find(UINT32_MAX - 1, s), 0);
    page.crumb[0].signal = 0;
    ck_assert_uint_eq(gq_fault_code(&page, false, 3 << 8), GQ_FAULT_EXIT + 3);
}
END_TEST

static void run(uint32_t place, uint64_t seq, uint32_t count, uint32_t stage)
{
    page.run[place] = (struct gq_unit){gq_slot_id(0, seq), GQ_RUN_DATA(stage, count, 7)};
}

START_TEST(a_devices_teams_are_inside_of_runs)
{
    struct gq_suspect s[4];
    queue = (struct gq_queue){.lane = {lane}, .lane_count = 1};
    memset(&page, 0, sizeof page);
    put(6);
    work(1, GQ_RESULT_OK);
    run(5, 0, 3, 2);
    run(GQ_RUNS_MAX - 1, 2, 1, 3); /* it has left stage 2 since */
    ck_assert_uint_eq(find(GQ_BLOCK_NONE, s), 0);
    page.runs = UINT32_MAX;
    ck_assert_uint_eq(find(GQ_BLOCK_NONE, s), 2);
    ck_assert(s[0].id == gq_slot_id(0, 0) && s[0].stage == 2 && s[0].generation == 7 && !s[0].caused);
    ck_assert(s[1].id == gq_slot_id(0, 2) && s[1].stage == 3);
    ck_assert(find(GQ_BLOCK_OF_RUN(5), s) == 2 && !s[0].caused && !s[1].caused); /* one of them */
    ck_assert(find(GQ_BLOCK_OF_RUN(GQ_RUNS_MAX - 1), s) == 1 && s[0].caused);
    ck_assert_uint_eq(gq_suspects_room(&page), GQ_BLOCKS_MAX + 4);
    page.crumb[0].signal = GQ_FAULT_CUDA + 700; /* of the device, and of no message */
    page.threads = 1;
    ck_assert_uint_eq(find(GQ_BLOCK_NONE, s), 2);
    ck_assert_uint_eq(gq_fault_code(&page, false, 86 << 8), GQ_FAULT_CUDA + 700);
    page.crumb[0].signal = GQ_FAULT_CUDA_MAX + 1;
    ck_assert_uint_eq(gq_fault_code(&page, false, 86 << 8), GQ_FAULT_EXIT + 86);
    for (uint32_t i = 0; i < GQ_RUNS_MAX; i++)
        page.run[i] = (struct gq_unit){UINT64_MAX, UINT64_MAX};
    ck_assert(find(GQ_BLOCK_NONE, s) == 0 && gq_suspects_room(&page) == GQ_BLOCKS_MAX + GQ_RUNS_MAX * 256);
    ck_assert(gq_suspects_all(&queue, s, 4) == 4 && gq_suspects_all_room(&queue) >= 6);
    ck_assert(s[0].id == gq_slot_id(0, 0) && s[1].id == gq_slot_id(0, 2) && s[3].id == gq_slot_id(0, 4));
}
END_TEST

START_TEST(a_run_is_over_its_stages_time)
{
    static struct gq_budget budget;
    struct gq_conf_stage stages[2] = {{.timeout_ms = 0}, {.timeout_ms = 50}};
    struct gq_conf conf = {.stages = stages, .stage_count = 2};
    uint32_t block = 9;
    memset(&page, 0, sizeof page);
    gq_budget_reset(&budget);
    page.runs = GQ_RUNS_MAX;
    run(3, 0, 32, 0); /* as long as it likes */
    run(4, 32, 32, 1);
    gq_budget_look(&budget, &page, &conf, &block);
    for (uint64_t i = 0; i < 8; i++, usleep(10000)) { /* always another */
        run(4, 64 + i, 32, 1);
        ck_assert(!gq_budget_look(&budget, &page, &conf, &block));
        ck_assert(!gq_budget_is_silent(&budget, &page, 1));
    }
    for (int i = 0; i < 20 && block == 9; i++, usleep(10000))
        gq_budget_look(&budget, &page, &conf, &block);
    ck_assert_uint_eq(block, GQ_BLOCK_OF_RUN(4));
    page.run[3] = page.run[4] = (struct gq_unit){0, 0};
    for (int i = 0; i < 3; i++, usleep(10000))
        ck_assert(!gq_budget_look(&budget, &page, &conf, &block));
    ck_assert(gq_budget_is_silent(&budget, &page, 1)); /* nobody moves, and nobody is inside of anything */
}
END_TEST

START_TEST(an_index_of_a_source_is_over_its_time_too)
{
    static struct gq_budget budget;
    struct gq_conf conf = {.source = {.kind = GQ_SOURCE_PLUGIN, .timeout_ms = 50}};
    ck_assert_uint_eq(gq_budget_look_ms(&conf, GQ_BACKEND_CPU), 5);
    ck_assert_uint_eq(gq_budget_look_ms(&conf, GQ_BACKEND_CUDA), 2);
    for (uint64_t index = 0; index < 2; index++)
        for (uint32_t where = 0; where < 2; where++) { /* a thread, and a device's team */
            uint32_t block = 9;
            memset(&page, 0, sizeof page);
            gq_budget_reset(&budget);
            page.threads = 1;
            page.runs = GQ_RUNS_MAX;
            if (where)
                run(4, index, 1, GQ_CRUMB_SOURCE);
            else
                page.crumb[0] = (struct gq_crumb){.holds = 4, .current = index, .stage = GQ_CRUMB_SOURCE};
            for (int i = 0; i < 20 && block == 9; i++, usleep(10000)) {
                gq_budget_look(&budget, &page, &conf, &block);
                ck_assert(!gq_budget_is_silent(&budget, &page, 1));
            }
            ck_assert_uint_eq(block, where ? GQ_BLOCK_OF_RUN(4) : 0);
            conf.source.timeout_ms = 0;
            ck_assert(!gq_budget_look(&budget, &page, &conf, &block));
            conf.source.timeout_ms = 50;
            page.crumb[0].holds = 0; /* between runs */
            page.run[4] = (struct gq_unit){0, 0};
            gq_budget_look(&budget, &page, &conf, &block);
            ck_assert(!gq_budget_look(&budget, &page, &conf, &block));
        }
}
END_TEST

/* Two threads, of a stage whose messages may take 50 ms; nobody holds one. */
static struct gq_conf watch_two(struct gq_budget *budget)
{
    static struct gq_conf_stage stage;
    stage = (struct gq_conf_stage){.timeout_ms = 50};
    memset(&page, 0, sizeof page);
    gq_budget_reset(budget);
    page.threads = 2;
    return (struct gq_conf){.stages = &stage, .stage_count = 1};
}

START_TEST(a_worker_that_is_ending_of_a_signal_does_not_hang)
{
    static struct gq_budget budget;
    const struct gq_conf conf = watch_two(&budget);
    uint32_t block = 9;
    hold(0, 3, 0);
    page.crumb[1].signal = SIGSEGV;
    for (int i = 0; i < 20; i++, usleep(10000))
        ck_assert(!gq_budget_look(&budget, &page, &conf, &block));
    page.crumb[0].holds = 0;
    gq_budget_look(&budget, &page, &conf, &block);
    ck_assert(!gq_budget_is_silent(&budget, &page, 0)); /* no time has passed at all */
    hold(0, 3, 0);
    budget.dying_ns = UINT64_MAX; /* for ever: it only says so */
    for (int i = 0; i < 2000 && block == 9; i++, usleep(10000))
        gq_budget_look(&budget, &page, &conf, &block);
    ck_assert_uint_eq(block, 0);
}
END_TEST

START_TEST(a_message_is_over_its_time_by_what_was_seen_of_it)
{
    static struct gq_budget budget;
    const struct gq_conf conf = watch_two(&budget);
    uint32_t block = 9;
    hold(1, 3, 0);
    ck_assert_uint_eq(gq_budget_look_ms(&conf, GQ_BACKEND_CPU), 5);
    ck_assert_uint_eq(gq_budget_look_ms(&conf, GQ_BACKEND_CUDA), 2);
    ck_assert(!gq_budget_look(&budget, &page, &conf, &block));
    usleep(200000); /* the host stood still: that counts for two looks */
    ck_assert(!gq_budget_look(&budget, &page, &conf, &block));
    page.crumb[1].current++; /* another message */
    for (int i = 0; i < 4; i++, usleep(10000))
        ck_assert(!gq_budget_look(&budget, &page, &conf, &block));
    for (int i = 0; i < 12 && block == 9; i++, usleep(10000))
        gq_budget_look(&budget, &page, &conf, &block);
    ck_assert_uint_eq(block, 1);
    conf.stages[0].timeout_ms = 0;
    ck_assert(!gq_budget_look(&budget, &page, &conf, &block));
}
END_TEST

/* --- a worker whose results are not believed ------------------------------------------------------------------------
 */

int main(void)
{
    const TTest *const tests[] = {what_was_finished_is_finished_and_what_is_held_stays_where_it_is,
                                  a_message_that_is_about_to_be_published_is_served_like_any_behind_the_renewal,
                                  what_was_tried_elsewhere_has_its_end_and_nothing_else_is_touched,
                                  a_window_is_open_for_its_set_alone,
                                  what_ends_in_a_window_is_an_ending_with_its_bytes,
                                  suspects_are_messages_that_somebody_was_inside_of,
                                  a_devices_teams_are_inside_of_runs,
                                  a_run_is_over_its_stages_time,
                                  an_index_of_a_source_is_over_its_time_too,
                                  a_worker_that_is_ending_of_a_signal_does_not_hang,
                                  a_message_is_over_its_time_by_what_was_seen_of_it};
    return unit_run("lane_renew", tests, sizeof tests / sizeof *tests, set_up, tear_down);
}
