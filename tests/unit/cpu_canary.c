/* The CPU backend lets a new version serve a share of the messages beside the live one: exactly so many as was said,
 * each message whole by one of the two, and then all or none. */
#include "swap_support.h"
#include <math.h>
#include <pthread.h>

#define MILLION 1000000u
#define RUN 64u /* messages of a lane that one of the two versions has */
#if SANITIZED
#define RUNS 300u    /* of each lane, in the tests of shares */
#define CANARIES 60u /* begun and ended under load */
#else
#define RUNS 800u
#define CANARIES 120u
#endif
#define MESSAGES (RUNS * RUN) /* likewise */
#define GENERATIONS 1024u

static int tagged[3], second[2], counting, counting_too, alien;

static void build_all(void)
{
    char before[128];
    make_test_folder();
    struct gq_builder *builder = test_builder(NULL);
    for (uint32_t i = 0; i < 3; i++) {
        snprintf(before, sizeof before, "#define STAGE 0\n#define TAG %u\n", i + 1);
        tagged[i] = build_variant(builder, before);
    }
    for (uint32_t i = 0; i < 2; i++) {
        snprintf(before, sizeof before, "#define STAGE 1\n#define TAG %u\n", i + 1);
        second[i] = build_variant(builder, before);
    }
    const char state[] = "#include <gpuqueue/plugin.h>\n#define STAGE 0\n#define COUNTS\n";
    const char *const rest[] = {"GQ_STATE(8, 1);\n#define TAG 8", "GQ_STATE(8, 1);\n#define TAG 9",
                                "GQ_STATE(16, 2);\n#define TAG 7"};
    int *const out[] = {&counting, &counting_too, &alien};
    for (uint32_t i = 0; i < 3; i++) {
        snprintf(before, sizeof before, "%s%s\n", state, rest[i]);
        *out[i] = build_variant(builder, before);
    }
    gq_builder_destroy(builder);
    remove_test_folder();
}

/* --- load -----------------------------------------------------------------------------------------------------------
 */

/* What one thread sends to a lane of its own and takes from it. */
struct load {
    struct gq_lane *lane;
    uint64_t sent, taken, end; /* the last is atomic */
    uint32_t state;            /* of a generator: batches of any size, so that claims begin anywhere */
    void (*check)(struct load *load, const struct gq_lane_result *r, const struct message *m);
    uint32_t generation[MESSAGES];  /* of each message's result; 0: dropped, or not taken */
    uint32_t rolled_back[CAPACITY]; /* by slot: the last generation that was rolled back before it was sent */
};

static bool is_dropped(uint64_t number) { return number % 8 == 6; }

static uint32_t next_size(struct load *load)
{
    load->state = load->state * 1664525u + 1013904223u;
    return (load->state >> 16) % CAPACITY + 1;
}

static uint32_t rolled_back; /* atomic */

static void send_some(struct load *load)
{
    uint64_t first;
    const uint64_t end = __atomic_load_n(&load->end, __ATOMIC_ACQUIRE), left = end > load->sent ? end - load->sent : 0;
    uint32_t len[CAPACITY], want = next_size(load);
    if (left < want)
        want = (uint32_t)left;
    const uint32_t n = want ? gq_lane_claim(load->lane, want, 0, &first) : 0;
    for (uint32_t i = 0; i < n; i++) {
        const struct message m = {.number = first + i, .fate = 1};
        memcpy(gq_lane_slot(load->lane, first + i), &m, sizeof m);
        len[i] = sizeof m;
        load->rolled_back[(first + i) % CAPACITY] = __atomic_load_n(&rolled_back, __ATOMIC_ACQUIRE);
    }
    if (n == 0)
        return;
    gq_lane_publish(load->lane, len, n, 0);
    gq_link_ring_worker(load->lane->link);
    load->sent += n;
}

/* Results come in the order of their messages, each once; those of dropped messages are passed over. */
static uint32_t take_some(struct load *load)
{
    struct gq_lane_result r[CAPACITY];
    const uint32_t n = gq_lane_take(load->lane, true, r, CAPACITY);
    for (uint32_t i = 0; i < n; i++) {
        while (is_dropped(load->taken))
            load->taken++;
        ck_assert_uint_eq(r[i].seq, load->taken);
        load->check(load, &r[i], (const struct message *)(const void *)r[i].data);
        if (r[i].seq < MESSAGES)
            load->generation[r[i].seq] = gq_meta_generation(r[i].meta);
        load->taken++;
        ck_assert_int_eq(gq_lane_release(load->lane, &r[i].seq, 1), GQ_OK);
    }
    return n;
}

static bool all_taken(const struct load *load)
{
    uint64_t end = load->sent;
    while (end > 0 && is_dropped(end - 1))
        end--;
    return load->taken >= end;
}

/* Until `end` messages were sent, which another thread may say later, and their results were taken. */
static void *run_load(void *arg)
{
    struct load *load = arg;
    uint64_t deadline = gq_clock_deadline(20000);
    while (load->sent < __atomic_load_n(&load->end, __ATOMIC_ACQUIRE) || !all_taken(load)) {
        send_some(load);
        if (take_some(load) != 0)
            deadline = gq_clock_deadline(20000);
        else
            sched_yield();
        ck_assert_msg(!gq_clock_past(deadline), "results are missing");
    }
    return NULL;
}

static void expect_tag(const struct gq_lane_result *r, const struct message *m, uint32_t tag)
{
    if (r->seq % 8 == 5) {
        ck_assert_uint_eq(gq_meta_status(r->meta), GQ_RESULT_FAILED);
        ck_assert_uint_eq(gq_meta_code(r->meta), tag);
    } else {
        ck_assert_uint_eq(gq_meta_status(r->meta), GQ_RESULT_OK);
        ck_assert_uint_eq(m->number, r->seq);
        ck_assert_uint_eq(m->tag[0], tag);
    }
}

/* --- shares ---------------------------------------------------------------------------------------------------------
 */

/* Generation 1 is of tag 1, and the canary, 2, of tag 2. */
static void check_pair(struct load *load, const struct gq_lane_result *r, const struct message *m)
{
    const uint32_t generation = gq_meta_generation(r->meta);
    (void)load;
    ck_assert(generation == 1 || generation == 2);
    expect_tag(r, m, generation);
}

static struct load load[3];

static void run_loads(uint32_t count)
{
    pthread_t thread[3];
    for (uint32_t i = 0; i < count; i++) {
        load[i].lane = lane[i];
        load[i].state = i + 1;
        ck_assert_int_eq(pthread_create(&thread[i], NULL, run_load, &load[i]), 0);
    }
    for (uint32_t i = 0; i < count; i++)
        pthread_join(thread[i], NULL);
}

static bool is_canarys(const struct load *of, uint32_t run) { return of->generation[(size_t)run * RUN] == 2; }

/* Runs of a lane that the canary had; each is whole. */
static uint32_t count_runs(const struct load *of)
{
    uint32_t runs = 0;
    for (uint32_t i = 0; i < MESSAGES; i++)
        if (!is_dropped(i))
            ck_assert_uint_eq(of->generation[i], of->generation[i / RUN * RUN]);
    for (uint32_t run = 0; run < RUNS; run++)
        runs += is_canarys(of, run);
    return runs;
}

static void open_pair(uint32_t share)
{
    open_backend(2);
    load_first(tagged[0]);
    for (uint32_t i = 0; i < 2; i++)
        add_lane();
    start();
    canary(0, tagged[1], 2, 2, share);
    ck_assert_uint_eq(times.park_ns, 0);
    ck_assert_uint_gt(times.load_ns, 0);
    for (uint32_t i = 0; i < 2; i++) {
        load[i].check = check_pair;
        load[i].end = MESSAGES;
    }
    run_loads(2);
}

/* In each lane and in both together within four standard deviations of what chance would give. */
static void expect_share(uint32_t share)
{
    const double p = (double)share / MILLION, spread = 4 * sqrt(RUNS * p * (1 - p));
    double both = 0;
    open_pair(share);
    for (uint32_t i = 0; i < 2; i++) {
        const double runs = count_runs(&load[i]);
        ck_assert_double_le(fabs(runs - RUNS * p), spread);
        both += runs;
    }
    ck_assert_double_le(fabs(both - 2 * RUNS * p), spread * sqrt(2));
    close_backend(); /* with the canary on */
}

START_TEST(one_percent_is_one_percent) { expect_share(10000); }
END_TEST
START_TEST(five_percent_are_five_percent) { expect_share(50000); }
END_TEST
START_TEST(half_is_half) { expect_share(500000); }
END_TEST

START_TEST(all_are_all_and_the_smallest_share_is_nearly_none)
{
    open_pair(MILLION);
    ck_assert_uint_eq(count_runs(&load[0]) + count_runs(&load[1]), 2 * RUNS);
    close_backend();
    memset(load, 0, sizeof load);
    open_pair(1);
    ck_assert_uint_le(count_runs(&load[0]) + count_runs(&load[1]), 1);
    close_backend();
}
END_TEST

START_TEST(lanes_do_not_give_the_same_runs_and_neighbours_do_not_go_together)
{
    uint32_t same = 0, as_next = 0;
    open_pair(500000);
    for (uint32_t run = 0; run < RUNS; run++) {
        same += is_canarys(&load[0], run) == is_canarys(&load[1], run);
        as_next += run > 0 && is_canarys(&load[0], run) == is_canarys(&load[0], run - 1);
    }
    const double spread = 4 * sqrt(RUNS * 0.25);
    ck_assert_double_le(fabs(same - RUNS * 0.5), spread);
    ck_assert_double_le(fabs(as_next - RUNS * 0.5), spread);
    close_backend();
}
END_TEST

/* --- under load -----------------------------------------------------------------------------------------------------
 */

static uint32_t tag_of[GENERATIONS]; /* atomic, as the next */
static bool was_rolled_back[GENERATIONS];

static void check_any(struct load *of, const struct gq_lane_result *r, const struct message *m)
{
    const uint32_t generation = gq_meta_generation(r->meta);
    ck_assert_uint_lt(generation, GENERATIONS);
    expect_tag(r, m, __atomic_load_n(&tag_of[generation], __ATOMIC_ACQUIRE));
    if (generation <= of->rolled_back[r->seq % CAPACITY]) /* what had ended when it was sent did not serve it */
        ck_assert(!__atomic_load_n(&was_rolled_back[generation], __ATOMIC_ACQUIRE));
}

/* One canary, watched for a moment: every second one is made live, with its own generation; the others are rolled back,
 * to the live version's old generation or to one of their own. */
static void try_one(uint32_t i, uint32_t *live, uint32_t *generation, uint32_t *live_generation)
{
    const uint32_t version = i + 2, g = ++*generation;
    __atomic_store_n(&tag_of[g], version % 3 + 1, __ATOMIC_RELEASE);
    canary(0, tagged[version % 3], version, g, 100000 + i % 9 * 100000);
    usleep(1000);
    uint32_t given_up = *live;
    if (i % 2 == 0) {
        use(0, version, g);
        *live = version;
        *live_generation = g;
    } else {
        given_up = version;
        if (i % 4 == 1)
            *live_generation = ++*generation;
        __atomic_store_n(&tag_of[*live_generation], *live % 3 + 1, __ATOMIC_RELEASE);
        use(0, *live, *live_generation);
        __atomic_store_n(&was_rolled_back[g], true, __ATOMIC_RELEASE);
        __atomic_store_n(&rolled_back, g, __ATOMIC_RELEASE);
    }
    ck_assert_uint_eq(times.load_ns + times.park_ns, 0);
    ck_assert_int_eq(gq_cpu_backend.discard(backend, 0, given_up), GQ_OK);
}

START_TEST(canaries_end_in_all_or_none_under_load_and_lose_nothing)
{
    pthread_t thread[3];
    uint32_t live = 1, generation = 1, live_generation = 1;
    open_backend(2);
    load_first(tagged[1]);
    tag_of[1] = 2;
    for (uint32_t i = 0; i < 3; i++) {
        add_lane();
        load[i] = (struct load){.lane = lane[i], .state = i, .check = check_any, .end = UINT64_MAX};
    }
    start();
    for (uint32_t i = 0; i < 3; i++)
        ck_assert_int_eq(pthread_create(&thread[i], NULL, run_load, &load[i]), 0);
    for (uint32_t i = 0; i < CANARIES; i++)
        try_one(i, &live, &generation, &live_generation);
    for (uint32_t i = 0; i < 3; i++)
        __atomic_store_n(&load[i].end, 0, __ATOMIC_RELEASE);
    for (uint32_t i = 0; i < 3; i++) {
        pthread_join(thread[i], NULL);
        ck_assert_uint_gt(load[i].taken, 100);
    }
    pause_blocks();
    ck_assert_uint_eq(images_loaded(), 1);
    close_backend();
}
END_TEST

/* --- two stages, and memory -----------------------------------------------------------------------------------------
 */

static uint32_t tag_below, counts_seen;
static bool counted[2 * MESSAGES]; /* by what the stage's counter was */

static void check_stages(struct load *of, const struct gq_lane_result *r, const struct message *m)
{
    const uint32_t generation = gq_meta_generation(r->meta);
    (void)of;
    if (r->seq % 8 == 5)
        return;
    ck_assert_uint_eq(m->number, r->seq);
    ck_assert_uint_eq(m->tag[0], generation == 3 ? 9 : 8);
    ck_assert_uint_eq(m->tag[1], generation == 1 ? 1 : tag_below);
    ck_assert_uint_lt(m->count[0], 2 * MESSAGES);
    ck_assert(!counted[m->count[0]]);
    counted[m->count[0]] = true;
    counts_seen++;
}

static void one_pass(uint64_t end)
{
    load[0].end = end;
    run_loads(1);
}

START_TEST(a_canary_of_one_of_two_stages_leaves_the_other_and_shares_the_memory)
{
    open_backend(2);
    load_first(counting);
    load_first(second[0]);
    add_lane();
    start();
    load[0].check = check_stages;
    tag_below = 2;
    canary(1, second[1], 2, 2, 300000);
    one_pass(MESSAGES / 4);
    use(1, 2, 2);
    canary(0, counting_too, 2, 3, 300000);
    one_pass(MESSAGES / 2);
    use(0, 1, 2);
    /* Three of four messages have a number to be seen: every eighth fails, and every eighth is dropped in stage 0. */
    ck_assert_uint_eq(counts_seen, MESSAGES / 2 / 8 * 6);
    const struct message m = ask(2);
    ck_assert_uint_eq(m.count[0], MESSAGES / 2); /* both counted in one place */
    close_backend();
}
END_TEST

START_TEST(a_state_that_cannot_be_shared_as_it_is_is_refused)
{
    open_one(2, counting);
    ask(1);
    ck_assert_int_eq(try_canary(0, alien, 2, 2, 500000), GQ_ERR_PLUGIN);
    ck_assert_str_eq(gq_error_text(), "a canary shares the state of stage 'work', which is version 1 of 8 bytes, and "
                                      "the new plugin's is version 2 of 16 bytes");
    ck_assert_int_eq(times.step, GQ_STEP_INSPECT);
    ck_assert_uint_eq(images_loaded(), 1);
    canary(0, tagged[0], 2, 2, MILLION); /* one without state does not touch it */
    ck_assert_uint_eq(ask(2).tag[0], 1);
    use(0, 2, 2);
    canary(0, counting_too, 3, 3, MILLION); /* and it lies there for the next one that has it */
    ck_assert_uint_eq(ask(3).count[0], 1);
    close_backend();
    open_one(1, tagged[0]);
    ck_assert_int_eq(try_canary(0, counting, 2, 2, 500000), GQ_ERR_PLUGIN);
    ck_assert_str_eq(gq_error_text(), "a canary shares the state of stage 'work', which has none, and the new plugin's "
                                      "is version 1 of 8 bytes");
    ck_assert_uint_eq(ask(1).tag[0], 1);
    close_backend();
}
END_TEST

/* --- one at a time --------------------------------------------------------------------------------------------------
 */

static void expect_one_at_a_time(gq_status status)
{
    ck_assert_int_eq(status, GQ_ERR_INTERNAL);
    ck_assert_str_eq(gq_error_text(), "a canary runs: one of its two versions is to be used first");
    ck_assert_int_eq(times.step, GQ_STEP_INSPECT);
}

START_TEST(nothing_else_changes_while_a_canary_is_on)
{
    open_backend(2);
    load_first(tagged[0]);
    load_first(second[0]);
    add_lane();
    start();
    swap(0, tagged[1], 2, 2);
    canary(0, tagged[2], 3, 3, MILLION);
    expect_one_at_a_time(try_swap(0, tagged[0], 4, 4, false));
    expect_one_at_a_time(try_swap(1, second[1], 2, 4, false));
    expect_one_at_a_time(try_canary(0, tagged[0], 4, 4, MILLION));
    expect_one_at_a_time(try_canary(1, second[1], 2, 4, MILLION));
    expect_one_at_a_time(try_use(0, 1, 4)); /* neither of the two */
    expect_one_at_a_time(try_use(1, 1, 4));
    ck_assert_int_eq(try_use(0, 4, 4), GQ_ERR_NOT_FOUND);
    for (uint32_t version = 2; version <= 3; version++) {
        ck_assert_int_eq(gq_cpu_backend.discard(backend, 0, version), GQ_ERR_NOT_FOUND);
        ck_assert_uint_eq(ask(3).tag[0], 3);
    }
    ck_assert_int_eq(gq_cpu_backend.discard(backend, 0, 1), GQ_OK); /* one that has no part in it may go */
    ck_assert_uint_eq(ask(3).tag[0], 3);
    use(0, 2, 4);
    ck_assert_uint_eq(ask(4).tag[0], 2);
    ck_assert_int_eq(gq_cpu_backend.discard(backend, 0, 3), GQ_OK);
    swap(1, second[1], 2, 5);
    const struct message m = ask(5);
    ck_assert_uint_eq(m.tag[0], 2);
    ck_assert_uint_eq(m.tag[1], 2);
    close_backend();
}
END_TEST

START_TEST(a_canary_that_makes_no_sense_is_refused_and_leaves_nothing)
{
    const char junk[] = "no image";
    int fd = memfd_create("junk", 0);
    ck_assert_int_eq(write(fd, junk, sizeof junk), (int)sizeof junk);
    open_one(1, tagged[0]);
    ck_assert_int_ne(try_canary(0, fd, 2, 2, MILLION), GQ_OK);
    ck_assert_int_eq(times.step, GQ_STEP_LOAD);
    ck_assert_int_eq(try_canary(1, tagged[1], 2, 2, MILLION), GQ_ERR_INTERNAL);
    ck_assert_int_eq(try_canary(0, tagged[1], 1, 2, MILLION), GQ_ERR_INTERNAL);
    ck_assert_str_eq(gq_error_text(), "stage 'work' has a version 1 already");
    ck_assert_int_eq(try_canary(0, tagged[1], 2, 2, 0), GQ_ERR_INTERNAL);
    ck_assert_str_eq(gq_error_text(), "a canary was to have 0 of a million messages");
    ck_assert_int_eq(try_canary(0, tagged[1], 2, 2, MILLION + 1), GQ_ERR_INTERNAL);
    ck_assert_int_eq(try_canary(0, tagged[1], 2, 1, MILLION), GQ_ERR_INTERNAL);
    ck_assert_str_eq(gq_error_text(), "a canary was to be generation 1 beside generation 1");
    pause_blocks();
    ck_assert_int_eq(try_canary(0, tagged[1], 2, 2, MILLION), GQ_ERR_INTERNAL);
    ck_assert_str_eq(gq_error_text(), "a canary was to begin while nothing runs");
    start();
    ck_assert_uint_eq(ask(1).tag[0], 1);
    ck_assert_uint_eq(images_loaded(), 1);
    swap(0, tagged[1], 2, 2); /* no trace of one that would be in the way */
    close_backend();
    close(fd);
}
END_TEST

START_TEST(a_canary_outlives_pauses_and_new_lanes_meet_it)
{
    struct message m = {.number = 1};
    open_one(2, tagged[0]);
    canary(0, tagged[1], 2, 2, MILLION);
    for (uint32_t i = 0; i < 3; i++) {
        pause_blocks();
        ck_assert_uint_eq(images_loaded(), 2);
        start();
        ck_assert_uint_eq(ask(2).tag[0], 2);
    }
    add_lane();
    send(lane[1], &m);
    ck_assert_uint_eq(receive(lane[1], &m), 2);
    ck_assert_uint_eq(m.tag[0], 2);
    pause_blocks();
    use(0, 1, 1); /* it ends while paused, too */
    start();
    add_lane();
    for (uint32_t i = 0; i < 3; i++) {
        send(lane[i], &m);
        ck_assert_uint_eq(receive(lane[i], &m), 1);
        ck_assert_uint_eq(m.tag[0], 1);
    }
    close_backend();
}
END_TEST

START_TEST(a_canary_that_still_serves_when_it_is_rolled_back_is_unloaded_after_it)
{
    uint32_t flag = 0;
    struct message m;
    open_one(2, tagged[0]);
    canary(0, tagged[1], 2, 2, MILLION);
    send_held(&flag);
    use(0, 1, 1);
    ck_assert_int_eq(gq_cpu_backend.discard(backend, 0, 2), GQ_OK);
    ck_assert_uint_eq(images_loaded(), 2);
    let_go(&flag);
    ck_assert_uint_eq(receive(lane[0], &m), 2);
    ck_assert_uint_eq(m.tag[0], 2);
    ck_assert_uint_eq(ask(1).tag[0], 1);
    pause_blocks();
    ck_assert_uint_eq(images_loaded(), 1);
    close_backend();
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {one_percent_is_one_percent,
                                  five_percent_are_five_percent,
                                  half_is_half,
                                  all_are_all_and_the_smallest_share_is_nearly_none,
                                  lanes_do_not_give_the_same_runs_and_neighbours_do_not_go_together,
                                  canaries_end_in_all_or_none_under_load_and_lose_nothing,
                                  a_canary_of_one_of_two_stages_leaves_the_other_and_shares_the_memory,
                                  a_state_that_cannot_be_shared_as_it_is_is_refused,
                                  nothing_else_changes_while_a_canary_is_on,
                                  a_canary_that_makes_no_sense_is_refused_and_leaves_nothing,
                                  a_canary_outlives_pauses_and_new_lanes_meet_it,
                                  a_canary_that_still_serves_when_it_is_rolled_back_is_unloaded_after_it};
    return swap_suite("cpu canary", tests, sizeof tests / sizeof *tests, build_all);
}
