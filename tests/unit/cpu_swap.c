/* The CPU backend changes code while messages flow: exactly at one message of each lane, and nothing is left behind. */
#include "swap_support.h"
#include <dirent.h>
#include <malloc.h>
#include <pthread.h>

#define TAGS 4u
#define SWAPS 300u
#define STORM 1000u

static int tagged[TAGS], second[2], counting;

static void build_all(void)
{
    char before[128];
    make_test_folder();
    struct gq_builder *builder = test_builder(NULL);
    for (uint32_t i = 0; i < TAGS; i++) {
        snprintf(before, sizeof before, "#define STAGE 0\n#define TAG %u\n", i + 1);
        tagged[i] = build_variant(builder, before);
    }
    for (uint32_t i = 0; i < 2; i++) {
        snprintf(before, sizeof before, "#define STAGE 1\n#define TAG %u\n", i + 1);
        second[i] = build_variant(builder, before);
    }
    counting = build_variant(builder, "#include <gpuqueue/plugin.h>\nGQ_STATE(8, 1);\n"
                                      "#define STAGE 0\n#define TAG 9\n#define COUNTS\n");
    gq_builder_destroy(builder);
    remove_test_folder();
}

static int image_of(uint32_t generation) { return tagged[generation % TAGS]; }
static uint32_t tag_of(uint32_t generation) { return generation % TAGS + 1; }

/* --- under load -----------------------------------------------------------------------------------------------------
 */

/* A thread with lanes of its own: sends and takes until told to end, and then takes the rest. */
struct side {
    pthread_t thread;
    uint32_t first_lane, end_lane;
    uint64_t sent[LANES_MAX], taken[LANES_MAX], seen;
    uint32_t newest[LANES_MAX];          /* generation of the last result */
    uint32_t least[LANES_MAX][CAPACITY]; /* by slot: the generation that was live when the message was sent */
};

static uint32_t ending, live; /* atomic */

static bool is_dropped(uint64_t number) { return number % 8 == 6; }

static void send_one(struct side *s, uint32_t l)
{
    const struct message m = {.number = s->sent[l], .fate = 1};
    if (s->sent[l] - s->taken[l] == CAPACITY)
        return;
    s->least[l][s->sent[l]++ % CAPACITY] = __atomic_load_n(&live, __ATOMIC_ACQUIRE);
    send(lane[l], &m);
}

static void check_result(struct side *s, uint32_t l, const struct gq_lane_result *r)
{
    const struct message *m = (const struct message *)(const void *)r->data;
    const uint32_t generation = gq_meta_generation(r->meta);
    while (is_dropped(s->taken[l]))
        s->taken[l]++;
    ck_assert_uint_eq(r->seq, s->taken[l]);
    ck_assert_uint_ge(generation, s->newest[l]);
    ck_assert_uint_ge(generation, s->least[l][r->seq % CAPACITY]);
    s->newest[l] = generation;
    s->taken[l]++;
    s->seen++;
    if (r->seq % 8 == 5) {
        ck_assert_uint_eq(gq_meta_status(r->meta), GQ_RESULT_FAILED);
        ck_assert_uint_eq(gq_meta_code(r->meta), tag_of(generation));
    } else {
        ck_assert_uint_eq(m->number, r->seq);
        ck_assert_uint_eq(m->tag[0], tag_of(generation));
    }
}

static uint32_t take_some(struct side *s, uint32_t l)
{
    struct gq_lane_result results[CAPACITY];
    const uint32_t n = gq_lane_take(lane[l], true, results, CAPACITY);
    for (uint32_t i = 0; i < n; i++) {
        check_result(s, l, &results[i]);
        ck_assert_int_eq(gq_lane_release(lane[l], &results[i].seq, 1), GQ_OK);
    }
    return n;
}

/* Messages that were dropped at the end of what was sent have no result to be seen by. */
static bool all_taken(const struct side *s, uint32_t l)
{
    uint64_t end = s->sent[l];
    while (end > 0 && is_dropped(end - 1))
        end--;
    return s->taken[l] >= end;
}

static void *side_main(void *arg)
{
    struct side *s = arg;
    while (!__atomic_load_n(&ending, __ATOMIC_ACQUIRE))
        for (uint32_t l = s->first_lane; l < s->end_lane; l++) {
            send_one(s, l);
            if (s->sent[l] % 16 == 0 || s->sent[l] - s->taken[l] == CAPACITY)
                take_some(s, l);
        }
    for (uint32_t l = s->first_lane; l < s->end_lane; l++) {
        const uint64_t deadline = gq_clock_deadline(20000);
        while (!all_taken(s, l))
            if (take_some(s, l) == 0) {
                ck_assert_msg(!gq_clock_past(deadline), "lane %u: results are missing", l);
                sched_yield();
            }
    }
    return NULL;
}

START_TEST(each_message_meets_one_version_whole_and_lanes_never_go_back)
{
    static struct side side[2];
    side[0].end_lane = side[1].first_lane = 2;
    side[1].end_lane = 3;
    open_backend(3);
    load_first(image_of(1));
    for (uint32_t i = 0; i < 3; i++)
        add_lane();
    start();
    live = 1;
    for (uint32_t i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&side[i].thread, NULL, side_main, &side[i]), 0);
    for (uint32_t g = 2; g <= SWAPS; g++) {
        if (g % 5 == 0) /* the version of TAGS changes ago runs the same code: switching to it is as good as loading */
            use(0, g - TAGS, g);
        else
            swap(0, image_of(g), g, g);
        __atomic_store_n(&live, g, __ATOMIC_RELEASE);
        ck_assert_uint_eq(times.park_ns, 0);
        if (g % 5 == 4 && g > 10)
            for (uint32_t v = g - 10; v < g - 5; v++)
                if (v % 5 != 0)
                    ck_assert_int_eq(gq_cpu_backend.discard(backend, 0, v), GQ_OK);
        usleep(500);
    }
    __atomic_store_n(&ending, 1, __ATOMIC_RELEASE);
    for (uint32_t i = 0; i < 2; i++) {
        pthread_join(side[i].thread, NULL);
        ck_assert_uint_gt(side[i].seen, 100);
    }
    close_backend();
}
END_TEST

struct footprint {
    uint32_t images, maps, files;
    size_t bytes;
};

/* With the blocks at rest, so that what was given up is gone. */
static struct footprint measure(void)
{
    struct footprint f = {0};
    pause_blocks();
    f.maps = count_maps(&f.images);
    DIR *open_files = opendir("/proc/self/fd");
    while (readdir(open_files))
        f.files++;
    closedir(open_files);
    f.bytes = mallinfo2().uordblks;
    start();
    return f;
}

START_TEST(a_thousand_swaps_leave_nothing_behind)
{
    struct footprint before = {0}, after;
    open_one(2, image_of(1));
    for (uint32_t g = 2; g <= STORM; g++) {
        swap(0, image_of(g), g, g);
        struct message m = ask(g);
        ck_assert_uint_eq(m.tag[0], tag_of(g));
        ck_assert_int_eq(gq_cpu_backend.discard(backend, 0, g - 1), GQ_OK);
        if (g == STORM / 10)
            before = measure();
    }
    after = measure();
    ck_assert_uint_eq(before.images, 1);
    ck_assert_uint_eq(after.images, 1);
    ck_assert_uint_eq(after.files, before.files);
    ck_assert_uint_le(after.maps, before.maps + 32); /* an allocator's come and go */
    ck_assert_uint_le(after.bytes, before.bytes + 16384);
    close_backend();
}
END_TEST

/* --- versions -------------------------------------------------------------------------------------------------------
 */

START_TEST(a_version_that_is_loaded_is_live_again_without_a_load)
{
    open_one(2, tagged[0]);
    ck_assert_uint_eq(ask(1).tag[0], 1);
    swap(0, tagged[1], 2, 2);
    ck_assert_uint_gt(times.load_ns, 0);
    ck_assert_uint_eq(ask(2).tag[0], 2);
    use(0, 1, 3);
    ck_assert_uint_eq(times.load_ns, 0);
    ck_assert_uint_eq(ask(3).tag[0], 1);
    use(0, 2, 4);
    ck_assert_uint_eq(ask(4).tag[0], 2);
    ck_assert_int_eq(try_use(0, 3, 5), GQ_ERR_NOT_FOUND);
    ck_assert_str_eq(gq_error_text(), "stage 'work' has no version 3 loaded");
    ck_assert_uint_eq(ask(4).tag[0], 2);
    close_backend();
}
END_TEST

START_TEST(a_version_is_given_up_once_and_never_while_it_is_live)
{
    open_one(1, tagged[0]);
    ck_assert_int_eq(gq_cpu_backend.discard(backend, 0, 1), GQ_ERR_NOT_FOUND);
    ck_assert_str_eq(gq_error_text(), "stage 'work' has no version 1 that could be given up");
    swap(0, tagged[1], 2, 2);
    ck_assert_uint_eq(images_loaded(), 2);
    ck_assert_int_eq(gq_cpu_backend.discard(backend, 0, 1), GQ_OK);
    ck_assert_uint_eq(images_loaded(), 1);
    ck_assert_int_eq(gq_cpu_backend.discard(backend, 0, 1), GQ_ERR_NOT_FOUND);
    ck_assert_int_eq(try_use(0, 1, 3), GQ_ERR_NOT_FOUND);
    ck_assert_int_eq(gq_cpu_backend.discard(backend, 1, 1), GQ_ERR_INTERNAL);
    ck_assert_uint_eq(ask(2).tag[0], 2);
    close_backend();
}
END_TEST

START_TEST(a_version_that_still_serves_is_unloaded_after_it)
{
    uint32_t flag = 0;
    struct message m;
    open_one(2, tagged[0]);
    send_held(&flag);
    swap(0, tagged[1], 2, 2);
    ck_assert_int_eq(gq_cpu_backend.discard(backend, 0, 1), GQ_OK);
    ck_assert_uint_eq(images_loaded(), 2);
    const struct message next = {.number = 1};
    send(lane[0], &next);
    usleep(20000);
    uint32_t at_old = 0;
    for (uint32_t i = 0; i < 2; i++)
        at_old += holds(i) && link_.worker->crumb[i].generation == 1;
    ck_assert_uint_eq(at_old, 1); /* a crash would be told of the version that runs, not of the one that is live */
    let_go(&flag);
    ck_assert_uint_eq(receive(lane[0], &m), 1);
    ck_assert_uint_eq(m.tag[0], 1);
    ck_assert_uint_eq(receive(lane[0], &m), 2);
    ck_assert_uint_eq(m.tag[0], 2);
    pause_blocks();
    ck_assert_uint_eq(images_loaded(), 1);
    close_backend();
}
END_TEST

START_TEST(what_cannot_be_loaded_leaves_all_as_it_was)
{
    const char junk[] = "no image";
    int fd = memfd_create("junk", 0);
    ck_assert_int_eq(write(fd, junk, sizeof junk), (int)sizeof junk);
    open_one(1, tagged[0]);
    ck_assert_int_ne(try_swap(0, fd, 2, 2, false), GQ_OK);
    ck_assert_int_eq(times.step, GQ_STEP_LOAD);
    ck_assert_int_eq(try_swap(1, tagged[1], 2, 2, false), GQ_ERR_INTERNAL);
    ck_assert_int_eq(times.step, GQ_STEP_INSPECT);
    ck_assert_int_eq(try_swap(0, tagged[1], 1, 2, false), GQ_ERR_INTERNAL);
    ck_assert_str_eq(gq_error_text(), "stage 'work' has a version 1 already");
    ck_assert_uint_eq(ask(1).tag[0], 1);
    ck_assert_uint_eq(images_loaded(), 1);
    close_backend();
    close(fd);
}
END_TEST

/* --- blocks and lanes -----------------------------------------------------------------------------------------------
 */

START_TEST(nothing_runs_while_paused_and_code_changes_meanwhile)
{
    struct message m = {.number = 1};
    open_one(2, tagged[0]);
    ask(1);
    for (uint32_t g = 2; g < 20; g += 2) {
        pause_blocks();
        send(lane[0], &m);
        usleep(2000);
        ck_assert(!gq_lane_has_results(lane[0]));
        swap(0, image_of(g), g, g);
        use(0, g, g + 1);
        start();
        ck_assert_uint_eq(receive(lane[0], &m), g + 1);
        ck_assert_uint_eq(m.tag[0], tag_of(g));
    }
    close_backend();
}
END_TEST

START_TEST(a_pause_lets_the_message_at_hand_end)
{
    uint32_t flag = 1;
    struct message m = {.flag = (uint64_t)(uintptr_t)&flag};
    open_one(2, tagged[0]);
    for (uint32_t i = 0; i < 200; i++) {
        send(lane[0], &m);
        pause_blocks();
        for (uint32_t b = 0; b < 2; b++)
            ck_assert(!holds(b));
        start();
        ck_assert_uint_eq(receive(lane[0], &m), 1);
        ck_assert(!gq_lane_has_results(lane[0]));
    }
    close_backend();
}
END_TEST

START_TEST(code_changes_before_the_first_message_and_new_lanes_meet_the_newest)
{
    struct message m = {.number = 1};
    open_backend(2);
    load_first(tagged[0]);
    add_lane();
    swap(0, tagged[1], 2, 2);
    ck_assert_uint_eq(times.park_ns, 0);
    start();
    ck_assert_uint_eq(ask(2).tag[0], 2);
    swap(0, tagged[2], 3, 3);
    add_lane();
    send(lane[1], &m);
    ck_assert_uint_eq(receive(lane[1], &m), 3);
    ck_assert_uint_eq(m.tag[0], 3);
    close_backend();
}
END_TEST

START_TEST(a_stage_keeps_code_and_memory_when_another_changes)
{
    open_backend(2);
    load_first(counting);
    load_first(second[0]);
    add_lane();
    start();
    ck_assert_uint_eq(ask(1).count[0], 0);
    swap(1, second[1], 2, 2);
    struct message m = ask(2);
    ck_assert_uint_eq(m.tag[0], 9);
    ck_assert_uint_eq(m.tag[1], 2);
    ck_assert_uint_eq(m.count[0], 1);
    swap(0, tagged[0], 2, 3);
    m = ask(3);
    ck_assert_uint_eq(m.tag[0], 1);
    ck_assert_uint_eq(m.tag[1], 2);
    use(1, 1, 4);
    use(0, 1, 5);
    m = ask(5);
    ck_assert_uint_eq(m.tag[0], 9);
    ck_assert_uint_eq(m.tag[1], 1);
    ck_assert_uint_eq(m.count[0], 2);
    close_backend();
}
END_TEST

/* --- ranges ---------------------------------------------------------------------------------------------------------
 */

#define RANGE_FIRST 3u
#define RANGE_MIXED 20u
#define RANGE_END 26u
#define RANGE_SENT 40u

/* The generation of a message's result; 0: it has none. */
static uint32_t generation_in(const struct gq_lane_view *view, uint64_t seq)
{
    uint32_t len;
    uint64_t meta;
    return gq_slot_ready(view, seq, &len, &meta) ? gq_meta_generation(meta) : 0;
}

static uint32_t generation_at(uint64_t seq) { return generation_in(&lane[0]->view, seq); }

/* What a worker before it has ended, at the front, at the mark and in between, stays as that one left it. */
START_TEST(a_worker_serves_what_another_left_and_no_more)
{
    const struct gq_lane_opts opts = {.lane = 0, .capacity = CAPACITY, .slot_bytes = SLOT_BYTES};
    const struct gq_lane_range range = {RANGE_FIRST, RANGE_MIXED, RANGE_END};
    const uint64_t deadline = gq_clock_deadline(20000);
    open_backend(2);
    load_first(tagged[0]);
    ck_assert_int_eq(gq_lane_create(&opts, &link_, &lane[lanes++]), GQ_OK);
    writable(lane[0]->view.out_head, lane[0]->out_bytes);
    for (uint64_t i = 0; i < RANGE_SENT; i++)
        send(lane[0], &(struct message){.number = i});
    for (uint64_t i = RANGE_FIRST; i < RANGE_SENT; i++)
        if (i % 4 == 3 || i + 1 == RANGE_MIXED || i == 8) /* those above the mark are of no meaning */
            gq_slot_finish(&lane[0]->view, i, 0, gq_meta(9, 0, GQ_RESULT_FAULTED, 0));
    ck_assert_int_eq(gq_cpu_backend.add_lane(backend, &lane[0]->view, &range), GQ_OK);
    start();
    while (generation_at(RANGE_END - 1) != 1 || generation_at(RANGE_END - 2) != 1)
        ck_assert_msg(!gq_clock_past(deadline), "message %u has no result", RANGE_END - 1);
    pause_blocks();
    for (uint64_t i = 0; i < RANGE_SENT; i++) {
        const bool ended = i >= RANGE_FIRST && (i % 4 == 3 || i + 1 == RANGE_MIXED || i == 8);
        const bool served = i >= RANGE_FIRST && i < RANGE_END && !(ended && i < RANGE_MIXED);
        ck_assert_uint_eq(generation_at(i), served ? 1 : ended ? 9 : 0);
    }
    close_backend();
}
END_TEST

#define WINDOW_FIRST 50u /* so that the set lies on both sides of the ring's end */

/* A lane's window for a set, as the worker has it; what is in it afterwards is the set's results and no others. */
static void serve_set(const uint64_t *seqs, uint32_t count)
{
    struct gq_lane_window window;
    struct gq_lane_range range;
    struct gq_lane_view view;
    const uint64_t deadline = gq_clock_deadline(20000);
    ck_assert_int_eq(gq_lane_window_open(&window, lane[0], seqs, count, &range), GQ_OK);
    uint8_t *out = mmap(NULL, window.out_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, window.out_fd, 0);
    ck_assert(out != MAP_FAILED);
    gq_lane_view_fill(&view, (uint8_t *)lane[0]->view.in_head, out, CAPACITY, SLOT_BYTES);
    ck_assert_int_eq(gq_cpu_backend.add_lane(backend, &view, &range), GQ_OK);
    start();
    for (uint32_t i = 0; i < count; i++)
        while (generation_in(&window.view, seqs[i]) != 1)
            ck_assert_msg(!gq_clock_past(deadline), "message %u has no result", (unsigned)seqs[i]);
    pause_blocks();
    for (uint64_t seq = WINDOW_FIRST, i = 0; seq < WINDOW_FIRST + CAPACITY; seq++) {
        const bool member = i < count && seqs[i] == seq;
        ck_assert_uint_eq(generation_in(&window.view, seq), member);
        i += member;
    }
    gq_lane_window_close(&window);
}

START_TEST(a_worker_serves_exactly_the_set_of_a_window)
{
    const struct gq_lane_opts opts = {
        .lane = 0, .capacity = CAPACITY, .slot_bytes = SLOT_BYTES, .first_seq = WINDOW_FIRST};
    uint64_t others[CAPACITY / 2];
    open_backend(2);
    load_first(tagged[0]);
    ck_assert_int_eq(gq_lane_create(&opts, &link_, &lane[lanes++]), GQ_OK);
    for (uint64_t i = 0; i < CAPACITY; i++)
        send(lane[0], &(struct message){.number = i});
    for (uint64_t i = 0; i < CAPACITY / 2; i++)
        others[i] = WINDOW_FIRST + 2 * i;
    serve_set((const uint64_t[]){52, 53, 60, 64, 71, 101}, 6);
    serve_set((const uint64_t[]){63}, 1);
    serve_set((const uint64_t[]){63, 64}, 2);
    serve_set(others, CAPACITY / 2);
    for (uint64_t i = 0; i < CAPACITY; i++)
        ck_assert_uint_eq(generation_at(WINDOW_FIRST + i), 0);
    close_backend();
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {each_message_meets_one_version_whole_and_lanes_never_go_back,
                                  a_thousand_swaps_leave_nothing_behind,
                                  a_version_that_is_loaded_is_live_again_without_a_load,
                                  a_version_is_given_up_once_and_never_while_it_is_live,
                                  a_version_that_still_serves_is_unloaded_after_it,
                                  what_cannot_be_loaded_leaves_all_as_it_was,
                                  nothing_runs_while_paused_and_code_changes_meanwhile,
                                  a_pause_lets_the_message_at_hand_end,
                                  code_changes_before_the_first_message_and_new_lanes_meet_the_newest,
                                  a_stage_keeps_code_and_memory_when_another_changes,
                                  a_worker_serves_what_another_left_and_no_more,
                                  a_worker_serves_exactly_the_set_of_a_window};
    return swap_suite("cpu swap", tests, sizeof tests / sizeof *tests, build_all);
}
