/* The host's side of a lane, against a worker played by the test. */
#include "base/clock.h"
#include "lane_support.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CAPACITY 4u
#define SLOT_BYTES 40u

static struct gq_link link_;
static struct gq_lane *lane;

static void set_up(void)
{
    struct gq_lane_opts opts = {.lane = 3, .capacity = CAPACITY, .slot_bytes = SLOT_BYTES};
    ck_assert_int_eq(gq_link_create(&link_), GQ_OK);
    ck_assert_int_eq(gq_lane_create(&opts, &link_, &lane), GQ_OK);
    writable(lane->view.out_head, lane->out_bytes);
}

static void tear_down(void)
{
    gq_lane_destroy(lane);
    gq_link_finish(&link_);
}

/* The producer: one message with this text. */
static bool put(const char *text)
{
    uint64_t seq;
    if (gq_lane_claim(lane, 1, 0, &seq) == 0)
        return false;
    memcpy(gq_lane_slot(lane, seq), text, strlen(text));
    uint32_t len = (uint32_t)strlen(text);
    gq_lane_publish(lane, &len, 1, 0);
    return true;
}

/* The worker: echoes message seq, or ends it otherwise. */
static void work(uint64_t seq, uint32_t status)
{
    uint32_t len;
    ck_assert(gq_slot_acquire(&lane->view, seq, &len));
    memcpy(gq_slot_out(&lane->view, seq), gq_slot_in(&lane->view, seq), len);
    gq_slot_finish(&lane->view, seq, status == GQ_RESULT_OK ? len : 0, gq_meta(1, 0, status, 7));
}

static gq_status fetch(uint64_t seq, char *text, size_t *len)
{
    uint64_t meta;
    gq_status status = gq_lane_fetch(lane, seq, text, len, &meta);
    if (status == GQ_OK)
        text[*len] = '\0';
    return status;
}

START_TEST(a_full_lane_refuses_and_has_room_again_after_a_release)
{
    struct gq_lane_result r;
    for (uint32_t i = 0; i < CAPACITY; i++)
        ck_assert(put("x"));
    ck_assert(!put("y"));
    work(0, GQ_RESULT_OK);
    ck_assert(!put("y"));
    ck_assert_uint_eq(gq_lane_take(lane, true, &r, 1), 1);
    ck_assert(!put("y"));
    ck_assert_int_eq(gq_lane_release(lane, &r.seq, 1), GQ_OK);
    ck_assert(put("y"));
    struct gq_lane_counts c;
    gq_lane_get_counts(lane, &c);
    ck_assert_uint_eq(c.submitted - c.taken, CAPACITY);
}
END_TEST

START_TEST(a_slot_is_free_only_when_all_before_it_are)
{
    struct gq_lane_result r[2];
    for (uint32_t i = 0; i < CAPACITY; i++)
        ck_assert(put("x"));
    work(0, GQ_RESULT_OK);
    work(1, GQ_RESULT_OK);
    ck_assert_uint_eq(gq_lane_take(lane, true, r, 2), 2);
    ck_assert_int_eq(gq_lane_release(lane, &r[1].seq, 1), GQ_OK);
    ck_assert(!put("y"));
    ck_assert_int_eq(gq_lane_release(lane, &r[0].seq, 1), GQ_OK);
    ck_assert(put("y") && put("y") && !put("y"));
}
END_TEST

START_TEST(results_come_in_order_though_they_finish_out_of_order)
{
    struct gq_lane_result r[4];
    put("a"), put("b"), put("c");
    work(1, GQ_RESULT_OK);
    ck_assert_uint_eq(gq_lane_take(lane, true, r, 4), 0);
    work(0, GQ_RESULT_OK);
    ck_assert_uint_eq(gq_lane_take(lane, true, r, 4), 2);
    ck_assert(r[0].seq == 0 && r[1].seq == 1 && r[0].data[0] == 'a' && r[1].data[0] == 'b');
}
END_TEST

START_TEST(one_result_by_its_number)
{
    char text[SLOT_BYTES + 1];
    size_t len = SLOT_BYTES;
    put("first"), put("second");
    ck_assert_int_eq(fetch(1, text, &len), GQ_ERR_NOT_READY);
    work(1, GQ_RESULT_OK);
    len = 3;
    ck_assert_int_eq(fetch(1, text, &len), GQ_ERR_INVALID_ARG);
    ck_assert_uint_eq(len, 6);
    ck_assert_int_eq(fetch(1, text, &len), GQ_OK);
    ck_assert_str_eq(text, "second");
    ck_assert_int_eq(fetch(1, text, &len), GQ_ERR_NOT_FOUND);
    ck_assert_int_eq(fetch(2, text, &len), GQ_ERR_NOT_FOUND);
    ck_assert_int_eq(fetch(0, text, &len), GQ_ERR_NOT_READY);
}
END_TEST

START_TEST(dropped_messages_free_their_slots_by_themselves)
{
    uint64_t meta;
    char text[SLOT_BYTES + 1];
    size_t len = SLOT_BYTES;
    for (uint32_t i = 0; i < CAPACITY; i++)
        ck_assert(put("x"));
    work(0, GQ_RESULT_DROPPED);
    work(1, GQ_RESULT_DROPPED);
    ck_assert(put("y") && put("y") && !put("y"));
    work(2, GQ_RESULT_DROPPED);
    ck_assert_int_eq(gq_lane_fetch(lane, 2, text, &len, &meta), GQ_ERR_NOT_FOUND);
    ck_assert_uint_eq(gq_meta_status(meta), GQ_RESULT_DROPPED);
    struct gq_lane_counts c;
    gq_lane_get_counts(lane, &c);
    ck_assert_uint_eq(c.dropped, 3);
}
END_TEST

START_TEST(a_failed_message_is_handed_out_once_without_bytes)
{
    uint64_t meta;
    char text[SLOT_BYTES + 1];
    size_t len = SLOT_BYTES;
    put("x");
    work(0, GQ_RESULT_FAILED);
    ck_assert_int_eq(gq_lane_fetch(lane, 0, text, &len, &meta), GQ_ERR_DEVICE);
    ck_assert(gq_meta_status(meta) == GQ_RESULT_FAILED && gq_meta_code(meta) == 7 && len == 0);
    ck_assert_int_eq(gq_lane_fetch(lane, 0, text, &len, &meta), GQ_ERR_NOT_FOUND);
}
END_TEST

START_TEST(words_that_no_worker_writes_are_no_result)
{
    const struct {
        uint32_t len, status;
    } words[] = {{1u << 30, GQ_RESULT_OK},
                 {SLOT_BYTES + 1, GQ_RESULT_OK},
                 {SLOT_BYTES, GQ_RESULT_OVERFLOW},
                 {5, 97},
                 {1u << 30, 97}};
    struct gq_lane_result r;
    put("x");
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        gq_slot_finish(&lane->view, 0, words[i].len, gq_meta(1, 0, words[i].status, 0));
        lane->link->foul = GQ_FOUL_NONE;
        ck_assert_uint_eq(gq_lane_take(lane, true, &r, 1), 0);
        ck_assert_uint_eq(lane->link->foul, GQ_FOUL_SCRAWLED);
        ck_assert_uint_eq(gq_lane_unfinished(lane), 1);
    }
    lane->link->foul = GQ_FOUL_NONE;
    gq_slot_finish(&lane->view, 0, SLOT_BYTES + 1, gq_meta(1, 0, GQ_RESULT_OVERFLOW, 0));
    ck_assert_uint_eq(gq_lane_take(lane, true, &r, 1), 1);
    ck_assert(gq_meta_status(r.meta) == GQ_RESULT_OVERFLOW && !lane->link->foul);
}
END_TEST

START_TEST(what_is_held_cannot_be_released_twice_or_unseen)
{
    struct gq_lane_result r;
    uint64_t other = 1;
    put("x"), put("y");
    work(0, GQ_RESULT_OK);
    ck_assert_int_eq(gq_lane_release(lane, &other, 1), GQ_ERR_NOT_FOUND);
    ck_assert_uint_eq(gq_lane_take(lane, true, &r, 1), 1);
    ck_assert_int_eq(gq_lane_release_run(lane, r.seq, UINT64_MAX), GQ_ERR_NOT_FOUND); /* the first goes back */
    ck_assert_int_eq(gq_lane_release(lane, &r.seq, 1), GQ_ERR_NOT_FOUND);
    ck_assert_int_eq(gq_lane_release_run(lane, r.seq, 1), GQ_ERR_NOT_FOUND);
    ck_assert_int_eq(gq_lane_release_run(lane, UINT64_MAX, 1), GQ_ERR_NOT_FOUND);
}
END_TEST

START_TEST(a_dead_worker_loses_only_what_it_had_not_finished)
{
    struct gq_lane_result r[4];
    put("a"), put("b"), put("c");
    work(0, GQ_RESULT_OK);
    work(2, GQ_RESULT_OK);
    __atomic_store_n(&link_.dead, 1, __ATOMIC_RELEASE);
    ck_assert_uint_eq(gq_lane_take(lane, true, r, 4), 2);
    ck_assert(r[0].seq == 0 && r[1].seq == 2);
    struct gq_lane_counts c;
    gq_lane_get_counts(lane, &c);
    ck_assert_uint_eq(c.lost, 1);
}
END_TEST

START_TEST(waiting_for_room_ends_at_its_deadline)
{
    uint64_t seq, start = gq_clock_ns();
    for (uint32_t i = 0; i < CAPACITY; i++)
        ck_assert(put("x"));
    ck_assert_uint_eq(gq_lane_claim(lane, 1, gq_clock_deadline(30), &seq), 0);
    uint64_t took = gq_clock_ns() - start;
    ck_assert_uint_ge(took, 30000000u);
    ck_assert_uint_lt(took, 20000000000u);
}
END_TEST

START_TEST(the_stamp_of_the_lap_before_is_not_mistaken_after_four_billion_messages)
{
    /* Sequence numbers around 2^32, where the 32-bit stamp wraps. */
    uint64_t start = (1ull << 32) - 2;
    lane->claimed = lane->submitted = lane->seen = lane->released = start;
    lane->room_end = start + CAPACITY;
    for (uint64_t seq = start - CAPACITY; seq < start; seq++) { /* what the lap before left behind */
        gq_slot_submit(&lane->view, seq, 1);
        gq_slot_finish(&lane->view, seq, 1, gq_meta(1, 0, GQ_RESULT_OK, 0));
    }
    for (uint64_t seq = start; seq < start + 8; seq++) {
        struct gq_lane_result r;
        uint32_t len;
        ck_assert(put("wrap"));
        ck_assert(!gq_slot_acquire(&lane->view, seq + 1, &len));
        ck_assert_uint_eq(gq_lane_take(lane, true, &r, 1), 0);
        work(seq, GQ_RESULT_OK);
        ck_assert_uint_eq(gq_lane_take(lane, true, &r, 1), 1);
        ck_assert_uint_eq(r.seq, seq);
        ck_assert_int_eq(gq_lane_release(lane, &r.seq, 1), GQ_OK);
    }
}
END_TEST

START_TEST(nobody_but_the_host_can_write_the_ingress)
{
    void *p = mmap(NULL, lane->in_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, lane->in_fd, 0);
    ck_assert_ptr_eq(p, MAP_FAILED);
    p = mmap(NULL, sizeof *link_.host, PROT_READ | PROT_WRITE, MAP_SHARED, link_.host_fd, 0);
    ck_assert_ptr_eq(p, MAP_FAILED);
}
END_TEST

START_TEST(no_worker_can_shorten_what_the_host_looks_at)
{
    const int files[] = {link_.host_fd, link_.worker_fd, lane->in_fd, lane->out_fd};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        ck_assert_int_ne(ftruncate(files[i], 0), 0);
}
END_TEST

/* --- every order of everything, against a model --------------------------------------------------------------------
 */

#define MODEL_MESSAGES 400u

enum { M_LIVE, M_SEEN, M_HELD, M_TAKEN };

/* What a lane is to do, said without thrift: a state and an end for every message there ever was. */
static struct {
    uint64_t seed, dice, sent, seen, front;
    uint8_t state[MODEL_MESSAGES], over[MODEL_MESSAGES], end[MODEL_MESSAGES];
    uint64_t frugal, written; /* steps taken with messages in hand, without and with states written down */
} model;

#define AGREE(condition) ck_assert_msg(condition, "seed %llu: %s", (unsigned long long)model.seed, #condition)

static uint64_t roll(uint64_t sides)
{
    model.dice = model.dice * 6364136223846793005u + 1442695040888963407u;
    return (model.dice >> 33) % sides;
}

static void model_advance(void)
{
    while (model.front < model.sent && model.state[model.front] == M_TAKEN)
        model.front++;
}

static bool model_dropped(uint64_t seq) { return model.over[seq] && model.end[seq] == GQ_RESULT_DROPPED; }

static void step_put(void)
{
    if (model.sent == MODEL_MESSAGES)
        return;
    for (uint64_t seq = model.front; model.sent - model.front == CAPACITY && seq < model.sent; seq++) {
        if (model.state[seq] == M_LIVE && model_dropped(seq))
            model.state[seq] = M_TAKEN;
        if (model.state[seq] != M_TAKEN)
            break;
    }
    model_advance();
    const bool room = model.sent - model.front < CAPACITY;
    AGREE(put("x") == room);
    model.sent += room;
}

static void step_work(void)
{
    if (model.sent == model.front)
        return;
    const uint64_t seq = model.front + roll(model.sent - model.front), kind = roll(10);
    if (model.over[seq])
        return;
    model.over[seq] = 1;
    model.end[seq] = kind == 0 ? GQ_RESULT_DROPPED : kind == 1 ? GQ_RESULT_FAILED : GQ_RESULT_OK;
    work(seq, model.end[seq]);
}

static void step_take(bool hold)
{
    struct gq_lane_result r[CAPACITY];
    const uint32_t max = 1 + (uint32_t)roll(CAPACITY), got = gq_lane_take(lane, hold, r, max);
    uint32_t n = 0;
    if (model.seen < model.front)
        model.seen = model.front;
    for (; n < max && model.seen < model.sent; model.seen++) {
        const uint64_t seq = model.seen;
        if (model.state[seq] != M_LIVE)
            continue;
        if (!model.over[seq])
            break;
        model.state[seq] = model_dropped(seq) ? M_TAKEN : hold ? M_HELD : M_SEEN;
        if (model_dropped(seq))
            continue;
        AGREE(n < got && r[n].seq == seq && gq_meta_status(r[n].meta) == model.end[seq]);
        n++;
    }
    AGREE(n == got);
    model_advance();
}

/* Gives back what is held, in order, in reverse or at random, and at times what is not held. */
static void step_release(void)
{
    uint64_t seqs[CAPACITY];
    const uint64_t how = roll(4);
    uint32_t n = 0;
    for (uint64_t i = model.front; i < model.front + CAPACITY && n < CAPACITY; i++) {
        const uint64_t seq = how == 1   ? 2 * model.front + CAPACITY - 1 - i
                             : how == 2 ? model.front + roll(CAPACITY)
                                        : i;
        if (seq < model.sent && (model.state[seq] == M_HELD || roll(20) == 0))
            seqs[n++] = seq;
    }
    n = n ? 1 + (uint32_t)roll(n) : 0;
    gq_status expected = GQ_OK;
    for (uint32_t i = 0; i < n && expected == GQ_OK; i++) {
        expected = model.state[seqs[i]] == M_HELD ? GQ_OK : GQ_ERR_NOT_FOUND;
        if (expected == GQ_OK)
            model.state[seqs[i]] = M_TAKEN;
    }
    bool row = n != 0;
    for (uint32_t i = 1; i < n; i++)
        row = row && seqs[i] == seqs[0] + i;
    AGREE((row && roll(2) ? gq_lane_release_run(lane, seqs[0], n) : gq_lane_release(lane, seqs, n)) == expected);
    model_advance();
}

static void step_fetch(void)
{
    char text[SLOT_BYTES + 1];
    size_t len = SLOT_BYTES;
    const uint64_t seq = (model.front > 2 ? model.front - 2 : 0) + roll(CAPACITY + 3);
    gq_status expected = GQ_ERR_NOT_FOUND;
    if (seq < model.sent && model.state[seq] <= M_SEEN) {
        expected = !model.over[seq]                     ? GQ_ERR_NOT_READY
                   : model_dropped(seq)                 ? GQ_ERR_NOT_FOUND
                   : model.end[seq] == GQ_RESULT_FAILED ? GQ_ERR_DEVICE
                                                        : GQ_OK;
        if (model.over[seq])
            model.state[seq] = M_TAKEN;
    }
    AGREE(fetch(seq, text, &len) == expected);
    model_advance();
}

static void step(void)
{
    const uint64_t kind = roll(12);
    kind < 4 ? step_put() : kind < 8 ? step_work() : kind < 9 ? step_release() : (void)0;
    if (kind == 9)
        step_take(true);
    if (kind == 10)
        step_take(roll(8) != 0);
    if (kind == 11)
        step_fetch();
    AGREE(lane->released == model.front);
    model.frugal += lane->marks == 0 && lane->seen > lane->released;
    model.written += lane->marks != 0;
}

START_TEST(any_order_of_peeks_releases_polls_fetches_and_drops_agrees_with_a_model)
{
    uint64_t frugal = 0, written = 0, sent = 0;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        memset(&model, 0, sizeof model);
        model.seed = model.dice = seed;
        for (uint32_t i = 0; i < 1500; i++)
            step();
        sent += model.sent;
        frugal += model.frugal;
        written += model.written;
        tear_down();
        set_up();
    }
    ck_assert_uint_gt(sent, 30000);
    ck_assert_uint_gt(frugal, 10000);
    ck_assert_uint_gt(written, 10000);
}
END_TEST

START_TEST(a_lane_forgets_its_states_once_nothing_out_of_order_is_left)
{
    struct gq_lane_result r[3];
    put("a"), put("b"), put("c");
    for (uint64_t seq = 0; seq < 3; seq++)
        work(seq, GQ_RESULT_OK);
    ck_assert_uint_eq(gq_lane_take(lane, true, r, 3), 3);
    ck_assert_uint_eq(lane->marks, 0);
    ck_assert_int_eq(gq_lane_release(lane, &r[2].seq, 1), GQ_OK);
    ck_assert_uint_eq(lane->marks, 3);
    ck_assert_int_eq(gq_lane_release(lane, &r[2].seq, 1), GQ_ERR_NOT_FOUND);
    ck_assert_int_eq(gq_lane_release(lane, &r[0].seq, 1), GQ_OK);
    ck_assert_uint_eq(lane->marks, 2);
    ck_assert_int_eq(gq_lane_release(lane, &r[1].seq, 1), GQ_OK);
    ck_assert_uint_eq(lane->marks, 0);
    ck_assert(gq_lane_idle(lane));
}
END_TEST

/* --- lanes that go on where others ended, and those that keep
 * --------------------------------------------------------- */

static uint64_t told[8], told_count;

static gq_status accept_all(void *arg, const struct gq_lane *l, uint64_t first, const uint32_t *len, uint32_t count)
{
    (void)arg, (void)l, (void)first, (void)len, (void)count;
    return GQ_OK;
}

static void tell(void *arg, uint32_t of, uint64_t first, uint64_t count)
{
    (void)arg;
    ck_assert_uint_eq(of, 3);
    for (uint64_t i = 0; i < count; i++)
        told[told_count++] = first + i;
}

static void begin_at(uint64_t first)
{
    static const struct gq_lane_keeper keeper = {NULL, accept_all, tell};
    const struct gq_lane_opts opts = {
        .lane = 3, .capacity = CAPACITY, .slot_bytes = SLOT_BYTES, .first_seq = first, .keeper = &keeper};
    gq_lane_destroy(lane);
    told_count = 0;
    ck_assert_int_eq(gq_lane_create(&opts, &link_, &lane), GQ_OK);
    writable(lane->view.out_head, lane->out_bytes);
}

/* Fresh files are zeroes, and 0 is the stamp of the last message before a multiple of 2^32. */
START_TEST(a_lane_begins_at_any_number)
{
    char text[SLOT_BYTES + 1];
    for (uint64_t before = 0; before < 6; before++) {
        const uint64_t first = (3ull << 32) - before;
        begin_at(first);
        for (uint64_t seq = first; seq < first + 2 * CAPACITY; seq++) {
            uint32_t len;
            size_t room = SLOT_BYTES;
            ck_assert(!gq_slot_acquire(&lane->view, seq, &len));
            ck_assert(put("x"));
            ck_assert_int_eq(fetch(seq, text, &room), GQ_ERR_NOT_READY);
            work(seq, GQ_RESULT_OK);
            ck_assert_int_eq(fetch(seq, text, &room), GQ_OK);
            ck_assert_int_eq(gq_lane_release(lane, &seq, 1), GQ_OK);
        }
        struct gq_lane_counts c;
        gq_lane_get_counts(lane, &c);
        ck_assert(c.submitted == 2 * CAPACITY && c.taken == 2 * CAPACITY);
    }
}
END_TEST

START_TEST(a_message_that_is_tried_alone_has_not_ended_because_its_egress_is_new)
{
    for (uint64_t before = 0; before < 6; before++) {
        struct gq_lane_window window;
        struct gq_lane_range range;
        struct gq_lane_ending ending;
        begin_at((3ull << 32) - before);
        for (uint64_t seq = lane->released; seq < lane->released + CAPACITY; seq++) {
            ck_assert_int_eq(gq_lane_window_open(&window, lane, &seq, 1, &range), GQ_OK);
            ck_assert(!gq_lane_window_ending(&window, seq, &ending));
            gq_lane_window_close(&window);
        }
    }
}
END_TEST

START_TEST(a_keeper_is_told_what_nobody_may_ask_for_again)
{
    char text[SLOT_BYTES + 1];
    size_t room = SLOT_BYTES;
    struct gq_lane_result r[4];
    begin_at(100);
    put("a"), put("b"), put("c"), put("d");
    work(100, GQ_RESULT_OK), work(101, GQ_RESULT_DROPPED), work(102, GQ_RESULT_OK), work(103, GQ_RESULT_FAILED);
    ck_assert_int_eq(fetch(102, text, &room), GQ_OK);
    ck_assert_uint_eq(told_count, 0); /* held */
    room = SLOT_BYTES;
    ck_assert_int_eq(fetch(102, text, &room), GQ_ERR_NOT_FOUND);
    ck_assert_int_eq(gq_lane_release(lane, &(uint64_t){102}, 1), GQ_OK);
    ck_assert(told_count == 1 && told[0] == 102);
    ck_assert_uint_eq(gq_lane_take(lane, true, r, 4), 2);
    ck_assert(told_count == 2 && told[1] == 101); /* dropped */
    ck_assert_int_eq(gq_lane_release_run(lane, 100, 1), GQ_OK);
    ck_assert_int_eq(gq_lane_release_run(lane, 103, 1), GQ_OK);
    ck_assert(told_count == 4 && told[2] == 100 && told[3] == 103);
    ck_assert(gq_lane_idle(lane));
}
END_TEST

START_TEST(a_keeper_is_told_of_releases_in_order)
{
    struct gq_lane_result r[4];
    begin_at(7);
    for (uint64_t seq = 7; seq < 11; seq++) {
        put("x");
        work(seq, GQ_RESULT_OK);
    }
    ck_assert_uint_eq(gq_lane_take(lane, true, r, 4), 4);
    ck_assert_int_eq(gq_lane_release_run(lane, 7, 2), GQ_OK);
    ck_assert(told_count == 2 && told[0] == 7 && told[1] == 8);
    ck_assert_int_eq(gq_lane_release(lane, (uint64_t[]){9, 10}, 2), GQ_OK);
    ck_assert(told_count == 4 && told[2] == 9 && told[3] == 10);
}
END_TEST

START_TEST(a_keeper_is_not_told_of_what_is_lost)
{
    struct gq_lane_result r[4];
    begin_at(100);
    put("a"), put("b");
    work(100, GQ_RESULT_OK);
    __atomic_store_n(&link_.dead, 1, __ATOMIC_RELEASE);
    ck_assert_uint_eq(gq_lane_take(lane, true, r, 4), 1);
    ck_assert_int_eq(gq_lane_release_run(lane, 100, 1), GQ_OK);
    ck_assert(gq_lane_idle(lane) && told_count == 1 && told[0] == 100);
}
END_TEST

START_TEST(a_mute_message_is_run_and_nobody_hears_of_it)
{
    char text[SLOT_BYTES + 1];
    size_t room = SLOT_BYTES;
    struct gq_lane_result r[4];
    struct gq_lane_counts c;
    begin_at(100);
    put("a");
    gq_lane_mute_next(lane);
    put("b");
    put("c");
    work(100, GQ_RESULT_OK), work(102, GQ_RESULT_OK);
    ck_assert_int_eq(fetch(101, text, &room), GQ_ERR_NOT_FOUND);
    ck_assert_uint_eq(gq_lane_take(lane, true, r, 4), 1);
    ck_assert_int_eq(gq_lane_release_run(lane, 100, 1), GQ_OK);
    ck_assert_uint_eq(lane->released, 101); /* the worker has its slot */
    work(101, GQ_RESULT_OK);
    ck_assert_uint_eq(gq_lane_take(lane, true, r, 4), 1);
    ck_assert_uint_eq(r[0].seq, 102);
    ck_assert_int_eq(gq_lane_release_run(lane, 102, 1), GQ_OK);
    ck_assert(gq_lane_idle(lane) && told_count == 2); /* it was recorded long ago */
    gq_lane_get_counts(lane, &c);
    ck_assert(c.submitted == 2 && c.taken == 2 && c.dropped == 0);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {a_full_lane_refuses_and_has_room_again_after_a_release,
                                  a_slot_is_free_only_when_all_before_it_are,
                                  results_come_in_order_though_they_finish_out_of_order,
                                  one_result_by_its_number,
                                  dropped_messages_free_their_slots_by_themselves,
                                  a_failed_message_is_handed_out_once_without_bytes,
                                  words_that_no_worker_writes_are_no_result,
                                  what_is_held_cannot_be_released_twice_or_unseen,
                                  a_dead_worker_loses_only_what_it_had_not_finished,
                                  waiting_for_room_ends_at_its_deadline,
                                  the_stamp_of_the_lap_before_is_not_mistaken_after_four_billion_messages,
                                  nobody_but_the_host_can_write_the_ingress,
                                  no_worker_can_shorten_what_the_host_looks_at,
                                  any_order_of_peeks_releases_polls_fetches_and_drops_agrees_with_a_model,
                                  a_lane_forgets_its_states_once_nothing_out_of_order_is_left,
                                  a_lane_begins_at_any_number,
                                  a_message_that_is_tried_alone_has_not_ended_because_its_egress_is_new,
                                  a_keeper_is_told_what_nobody_may_ask_for_again,
                                  a_keeper_is_told_of_releases_in_order,
                                  a_keeper_is_not_told_of_what_is_lost,
                                  a_mute_message_is_run_and_nobody_hears_of_it};
    return unit_run("lane", tests, sizeof tests / sizeof *tests, set_up, tear_down);
}
