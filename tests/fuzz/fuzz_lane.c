/* Any bytes in what a worker may write, while the host uses a lane: results, counts, express lines, the control page.
 * Some inputs run once more, beside a thread that goes on changing them during the host's calls, so that a word that is
 * read twice may be two words. Nothing is read out of bounds, every message ends in one way, and no result is longer
 * than its slot.
 */
#include "fuzz.h"
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/assert.h"
#include "input.h"
#include "pipeline/budget.h"
#include "pipeline/dead_letter_format.h"
#include "pipeline/suspects.h"
#include "pipeline/version.h"
#include "ring/counted.h"

#define GENERATED 1u
#define COUNTED 2u /* with GENERATED */
#define EXPRESS 4u
#define TIMED 8u

#define MESSAGES_MAX 4096u /* of one input */
#define TAKE_MAX 8u
#define RACE_EVERY 4u           /* inputs: it takes long */
#define ROUNDS 12u              /* of the same calls beside the thread */
#define DRAIN_MAX 10000u        /* calls; a lane has 16 slots */
#define GUARD_BYTES (64u << 10) /* behind what the worker shares: an address there is a fault */

enum { WAITS, REPORTED, HELD, OVER, MUTE };

static struct gq_conf_stage stages[] = {{.name = "one", .timeout_ms = 50}, {.name = "two"}};
static const struct gq_conf conf = {.stages = stages, .stage_count = 2};
static struct gq_versions *versions; /* of all inputs */
static struct gq_budget budget;

static struct world {
    uint32_t mode, capacity, slot_bytes;
    struct gq_remote remote; /* its link alone */
    struct gq_queue queue;
    struct gq_lane *lane;
    uint8_t *egress; /* as the worker has it */
    struct gq_worker_page *page;
    uint8_t state[MESSAGES_MAX];
    uint64_t results; /* messages that were said to have one */
    bool broken;      /* what was counted did not add up */
    pthread_t writer;
    uint32_t writing; /* atomic: 1: go on, 2: it does */
} w;

/* What a thread happens to do beside an input says nothing of the input. */
#if defined(__clang__)
#define NO_COVERAGE __attribute__((no_sanitize("coverage")))
#else
#define NO_COVERAGE
#endif

/* --- the world -------------------------------------------------------------------------------------------------------
 */

/* Maps a file that is mapped for reading once more, with nothing behind it, and gives the first mapping up. */
static void *guard(void *old, size_t bytes, int fd)
{
    uint8_t *room = mmap(NULL, bytes + GUARD_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    gq_assert(room != MAP_FAILED && mmap(room, bytes, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0) == room);
    munmap(old, bytes);
    return room;
}

static void *map_as_worker(int fd, size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    gq_assert(p != MAP_FAILED);
    return p;
}

static void make_versions(void)
{
    gq_status status = versions ? GQ_OK : gq_versions_create(2, true, &versions);
    for (uint32_t i = 0; i < 2 && !versions->stage[i].live; i++) {
        struct gq_image image = {.fd = -1};
        struct gq_code *code;
        versions->stage[i].name = stages[i].name;
        status = gq_versions_add(versions, i, "plugin.cu", &image, &code);
        gq_assert(status == GQ_OK);
        gq_versions_went_live(versions, i, code, NULL, 0);
    }
    gq_assert(status == GQ_OK);
}

static void open_world(struct input *in)
{
    w = (struct world){.mode = input_byte(in)};
    w.capacity = 2u << input_choice(in, 4);
    w.slot_bytes = 1 + input_byte(in);
    if (!(w.mode & GENERATED))
        w.mode &= ~COUNTED;
    gq_status status = gq_link_create(&w.remote.link);
    w.remote.link.express = w.mode & EXPRESS;
    w.remote.link.worker = guard(w.remote.link.worker, sizeof *w.page, w.remote.link.worker_fd);
    w.page = map_as_worker(w.remote.link.worker_fd, sizeof *w.page);
    const struct gq_lane_opts opts = {.capacity = w.capacity,
                                      .slot_bytes = w.slot_bytes,
                                      .generated = w.mode & GENERATED,
                                      .counted = w.mode & COUNTED,
                                      .index_step = 1 + input_choice(in, 3),
                                      .first_index = input_byte(in),
                                      .count = 2 * input_byte(in),
                                      .timed = w.mode & TIMED,
                                      .tell = gq_versions_tally,
                                      .tell_arg = versions};
    status = status == GQ_OK ? gq_lane_create(&opts, &w.remote.link, &w.lane) : status;
    gq_assert(status == GQ_OK);
    uint8_t *out = guard(w.lane->view.out_head, w.lane->out_bytes, w.lane->out_fd);
    gq_lane_view_fill(&w.lane->view, (uint8_t *)w.lane->view.in_head, out, w.capacity, w.slot_bytes);
    w.egress = map_as_worker(w.lane->out_fd, w.lane->out_bytes);
    w.queue = (struct gq_queue){.remote = &w.remote, .lane = {w.lane}, .lane_count = 1};
    gq_budget_reset(&budget);
}

static void close_world(void)
{
    uint8_t *lane_guard = (uint8_t *)w.lane->view.out_head + w.lane->out_bytes;
    uint8_t *page_guard = (uint8_t *)w.remote.link.worker + sizeof *w.page;
    munmap(w.egress, w.lane->out_bytes);
    munmap(w.page, sizeof *w.page);
    gq_lane_destroy(w.lane);
    gq_link_finish(&w.remote.link);
    munmap(lane_guard, GUARD_BYTES);
    munmap(page_guard, GUARD_BYTES);
}

/* --- the worker ------------------------------------------------------------------------------------------------------
 */

/* The lane as the worker sees it. */
static struct gq_lane_view view_of(uint8_t *egress)
{
    struct gq_lane_view view;
    gq_lane_view_fill(&view, (uint8_t *)w.lane->view.in_head, egress, w.capacity, w.slot_bytes);
    return view;
}

/* A message near those that are in flight. */
static uint64_t some_seq(struct input *in) { return w.lane->released + input_choice(in, w.capacity + 2); }

static uint64_t some_meta(struct input *in)
{
    const uint32_t b = input_byte(in);
    return b < 0xf0 ? gq_meta(1 + (b >> 6), (b >> 4) & 3, b & 7, input_byte(in)) : input_number(in, 8);
}

static void answer(struct input *in, uint8_t *egress)
{
    const struct gq_lane_view view = view_of(egress);
    const uint64_t seq = some_seq(in), meta = some_meta(in);
    gq_slot_finish(&view, seq, (uint32_t)input_any(in), meta);
}

/* A line, and behind it a few units as if it went on. */
static void answer_by_express(struct input *in)
{
    const struct gq_lane_view view = view_of(w.egress);
    const uint64_t seq = some_seq(in), meta = some_meta(in), len = input_any(in);
    struct gq_unit *line = gq_express_line(&view, view.out_express, seq);
    const uint32_t units = gq_express_units(gq_express_bytes(w.slot_bytes)) + 8, last = input_byte(in);
    const uint8_t *end = w.egress + w.lane->out_bytes;
    for (uint32_t i = 0; i < units && (uint8_t *)&line[i + 1] <= end; i++)
        gq_store_unit(&line[i], seq + (i != last), i == 0 ? meta : i == 1 ? len : i);
}

static void count(struct input *in)
{
    const struct gq_lane_view view = view_of(w.egress);
    const uint64_t stamp = w.lane->released + input_any(in), base = w.lane->counts[input_choice(in, GQ_COUNTS)];
    for (uint32_t i = 0; i < GQ_COUNTS; i++)
        gq_store_unit(&view.out_head->count[i], stamp, base + input_any(in));
}

/* What a worker that keeps to the protocol would count. */
static void count_truly(struct input *in)
{
    const struct gq_lane_view view = view_of(w.egress);
    const uint64_t *was = w.lane->counts, seq = w.lane->released, ended = input_choice(in, w.capacity + 3);
    const uint64_t failed = ended ? input_choice(in, (uint32_t)ended + 1) : 0;
    for (uint64_t i = 0; i < failed; i++) {
        gq_store_unit(gq_slot_out(&view, seq + i), seq + i + 1, 0);
        gq_slot_finish(&view, seq + i, 0, some_meta(in));
    }
    const uint64_t now[GQ_COUNTS] = {ended - failed, 0, failed, input_byte(in)};
    for (uint32_t i = 0; i < GQ_COUNTS; i++)
        gq_store_unit(&view.out_head->count[i], seq + ended, was[i] + now[i]);
}

static void scribble(struct input *in, uint8_t *to, size_t bytes)
{
    const size_t at = input_number(in, 4) % bytes, most = bytes - at;
    for (size_t i = 0, n = input_choice(in, 17); i < n && i < most; i++)
        __atomic_store_n(&to[at + i], (uint8_t)input_byte(in), __ATOMIC_RELAXED);
}

static void leave_crumb(struct input *in)
{
    const uint32_t block = input_choice(in, 4), stage = input_byte(in);
    const uint64_t seq = some_seq(in);
    w.page->threads = (uint32_t)input_any(in);
    w.page->crumb[block] = (struct gq_crumb){.holds = input_any(in),
                                             .first = gq_slot_id(0, seq) + input_any(in),
                                             .current = gq_slot_id(input_choice(in, 2), seq),
                                             .stage = stage < 0xf0 ? stage & 1 : stage,
                                             .done = input_byte(in),
                                             .retries = input_byte(in),
                                             .signal = input_choice(in, 4) == 3 ? (uint32_t)input_any(in) : 0,
                                             .address = seq,
                                             .generation = input_any(in)};
}

NO_COVERAGE static uint64_t draw(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Goes on writing words that could be true, and words that cannot, in turn and everywhere. */
NO_COVERAGE static void *write_on(void *seed)
{
    const struct gq_lane_view view = view_of(w.egress);
    uint64_t x = (uint64_t)(uintptr_t)seed | 1;
    __atomic_store_n(&w.writing, 2, __ATOMIC_RELEASE);
    while (__atomic_load_n(&w.writing, __ATOMIC_RELAXED)) {
        const uint64_t r = draw(&x), seq = __atomic_load_n(&w.lane->released, __ATOMIC_RELAXED) + r % w.capacity;
        const uint64_t meta = gq_meta(1, 0, (uint32_t)(r >> 8) % 6, 7);
        const uint32_t len = r & 64 ? (uint32_t)(r >> 32) : (uint32_t)(r >> 32) % (w.slot_bytes + 1);
        struct gq_unit *line = gq_express_line(&view, view.out_express, seq);
        struct gq_crumb *crumb = &w.page->crumb[r % 4];
        gq_slot_finish(&view, seq + (r >> 20) % 2, len, meta);
        gq_store_unit(&line[0], seq + 1, meta);
        gq_store_unit(&line[1], seq + 1, len);
        gq_store_unit(&view.out_head->count[r % GQ_COUNTS], seq, r >> 60);
        __atomic_store_n(&w.page->threads, r & 128 ? UINT32_MAX : 4, __ATOMIC_RELAXED);
        __atomic_store_n(&crumb->holds, r & 1, __ATOMIC_RELAXED);
        __atomic_store_n(&crumb->current, gq_slot_id(0, seq), __ATOMIC_RELAXED);
        __atomic_store_n(&crumb->stage, r & 256 ? r >> 40 : 1u, __ATOMIC_RELAXED);
        __atomic_store_n(&crumb->signal, r & 512 ? (uint32_t)(r >> 32) : SIGSEGV, __ATOMIC_RELAXED);
    }
    return NULL;
}

static void start_writer(uint64_t seed)
{
    w.writing = 1;
    int status = pthread_create(&w.writer, NULL, write_on, (void *)(uintptr_t)seed);
    gq_assert(status == 0);
    while (__atomic_load_n(&w.writing, __ATOMIC_ACQUIRE) != 2)
        sched_yield();
}

static void stop_writer(void)
{
    if (!w.writing)
        return;
    __atomic_store_n(&w.writing, 0, __ATOMIC_RELEASE);
    pthread_join(w.writer, NULL);
}

/* --- the host, and what must be true of its answers
 * -------------------------------------------------------------------
 */

static uint8_t *state_of(uint64_t seq)
{
    gq_assert(seq < w.lane->submitted && seq < MESSAGES_MAX);
    return &w.state[seq];
}

static void send(struct input *in)
{
    uint32_t len[4];
    uint64_t first;
    const uint32_t want = 1 + input_choice(in, 4);
    if ((w.mode & GENERATED) || w.lane->submitted + want > MESSAGES_MAX)
        return;
    const uint32_t n = gq_lane_claim(w.lane, want, 0, &first);
    for (uint32_t i = 0; i < n; i++) {
        len[i] = input_choice(in, w.slot_bytes + 1);
        memset(gq_lane_slot(w.lane, first + i), (int)i, len[i]);
    }
    gq_assert(n <= want && (n == 0 || first == w.lane->submitted));
    if (n && input_choice(in, 8) == 7) {
        gq_lane_mute_next(w.lane);
        w.state[first] = MUTE;
    }
    if (w.mode & EXPRESS) /* which takes one at a time */
        for (uint32_t i = 0; i < n; i++)
            gq_lane_publish(w.lane, &len[i], 1, 1);
    else
        gq_lane_publish(w.lane, len, n, 1);
    gq_link_ring_worker(&w.remote.link);
}

/* What a dead letter would say of it. */
static void tell_of(const struct gq_lane_result *r)
{
    char reason[160] = "";
    struct gq_version_name name;
    struct gq_dead_letter letter = {0};
    const struct gq_dead_end end = {gq_meta_status(r->meta), gq_meta_code(r->meta), r->len, 1};
    gq_dead_tell(&letter, &end, reason, sizeof reason);
    gq_versions_name(versions, gq_meta_stage(r->meta) % 2, gq_meta_generation(r->meta), &name);
    gq_assert(reason[0] && letter.kind > 0 && letter.kind < GQ_DEAD_CLASS_END && name.number > 0);
}

/* Reads what a user would, into just as many bytes. */
static void check_result(const struct gq_lane_result *r)
{
    const uint32_t status = gq_meta_status(r->meta);
    gq_assert(status != GQ_RESULT_DROPPED && status <= GQ_RESULT_FAULTED);
    if (status != GQ_RESULT_OK) {
        tell_of(r);
        return;
    }
    gq_assert(r->len <= w.slot_bytes);
    uint8_t *copy = malloc(r->len ? r->len : 1);
    gq_assert(copy);
    memcpy(copy, r->data, r->len);
    free(copy);
}

static void take(uint32_t max, bool hold)
{
    struct gq_lane_result results[TAKE_MAX];
    struct gq_lane *lane;
    const uint32_t n = gq_queue_take(&w.queue, hold, results, max, &lane);
    gq_assert(n <= max);
    for (uint32_t i = 0; i < n; i++) {
        uint8_t *state = state_of(results[i].seq);
        gq_assert(*state == WAITS);
        *state = hold ? HELD : REPORTED;
        w.results++;
        check_result(&results[i]);
    }
}

static void fetch(uint64_t seq, size_t room)
{
    uint64_t meta;
    size_t len = room;
    uint8_t *buffer = malloc(room ? room : 1);
    gq_assert(buffer);
    const gq_status status = gq_lane_fetch(w.lane, seq, buffer, &len, &meta);
    free(buffer);
    if (status == GQ_ERR_NOT_READY || (status == GQ_ERR_NOT_FOUND && !meta))
        return;
    uint8_t *state = state_of(seq);
    gq_assert(*state == WAITS || *state == REPORTED);
    gq_assert(len <= w.slot_bytes || len == room);
    if (status == GQ_ERR_INVALID_ARG) {
        gq_assert(len > room);
        return;
    }
    gq_assert(status == GQ_OK || status == GQ_ERR_DEVICE || status == GQ_ERR_NOT_FOUND);
    w.results += *state == WAITS && (status == GQ_OK || (status == GQ_ERR_DEVICE && meta));
    *state = OVER;
}

static void release(uint64_t first, uint64_t n, bool run)
{
    uint64_t seqs[TAKE_MAX], held = 0;
    while (held < n && first + held < w.lane->submitted && w.state[first + held] == HELD)
        held++;
    for (uint64_t i = 0; i < n; i++)
        seqs[i] = first + i;
    const gq_status status = run ? gq_lane_release_run(w.lane, first, n) : gq_lane_release(w.lane, seqs, (uint32_t)n);
    gq_assert((status == GQ_OK) == (held == n));
    for (uint64_t i = 0; i < held; i++)
        w.state[first + i] = OVER;
}

static void check_counts(void)
{
    struct gq_lane_counts c;
    gq_queue_get_counts(&w.queue, &c, NULL);
    gq_assert(c.taken <= c.submitted && c.submitted - c.taken <= w.capacity);
    gq_assert(gq_lane_unfinished(w.lane) <= w.capacity);
    gq_assert(gq_lane_unfinished_below(w.lane, UINT64_MAX) <= w.capacity);
    if (!(w.mode & COUNTED))
        gq_assert(w.results + c.dropped + c.lost <= c.submitted);
    gq_lane_has_good(w.lane, 2);
    gq_lane_has_results(w.lane);
    gq_queue_wait(&w.queue, 0);
    gq_queue_retries(&w.queue);
    gq_lane_tell(w.lane);
}

static void take_counted(void)
{
    struct gq_counted c;
    const gq_status status = gq_counted_take(w.lane, &c);
    if (status == GQ_ERR_NOT_READY)
        return;
    gq_assert(status == GQ_OK || status == GQ_ERR_DEVICE);
    w.broken |= status != GQ_OK;
    if (status != GQ_OK)
        return;
    gq_assert(c.first == w.lane->released && c.end > c.first && c.end <= w.lane->submitted);
    gq_assert(c.ok + c.dropped + c.failed == c.end - c.first && c.bytes <= c.ok * w.slot_bytes);
    for (uint64_t seq = c.first; seq < c.end; seq++) {
        struct gq_lane_result r;
        if (gq_counted_failed(w.lane, seq, &r))
            tell_of(&r);
    }
    gq_counted_release(w.lane, &c);
}

/* What a dead worker's page is read for. */
static void look_at_page(struct input *in)
{
    static struct gq_suspect suspects[GQ_BLOCKS_MAX];
    const uint32_t hung = input_choice(in, 4) == 3 ? (uint32_t)input_any(in) : GQ_BLOCK_NONE;
    const uint32_t n =
        gq_suspects_find(w.remote.link.worker, &w.queue, hung, suspects, 1 + input_choice(in, GQ_BLOCKS_MAX));
    char how[64];
    struct gq_text text = {0};
    for (uint32_t i = 0; i < n; i++)
        gq_assert(gq_id_lane(suspects[i].id) == 0 && gq_id_seq(suspects[i].id) < w.lane->submitted &&
                  suspects[i].stage <= GQ_CRUMB_SOURCE);
    for (uint32_t i = 1; i < n; i++)
        gq_assert(suspects[i].id != suspects[i - 1].id && suspects[i].id != suspects[0].id);
    gq_assert(n <= w.capacity); /* so many messages are in flight */
    const uint32_t code = gq_fault_code(w.remote.link.worker, false, SIGKILL);
    gq_assert(code > 0 && code <= 0xffff);
    gq_fault_describe(code, how, sizeof how);
    gq_post_mortem(&conf, versions, w.remote.link.worker, SIGSEGV, "", &text);
    gq_assert(text.len > 0 && text.len < 4000);
    gq_text_finish(&text);
}

static void look_at_budget(void)
{
    uint32_t block = GQ_BLOCKS_MAX;
    if (gq_budget_look(&budget, w.remote.link.worker, &conf, &block))
        gq_assert(block < GQ_BLOCKS_MAX);
}

/* Messages of a window, no more than a lap: it is opened for some of them. */
static uint32_t some_set(struct input *in, uint64_t seqs[4])
{
    const uint32_t count = 1 + input_choice(in, w.capacity < 4 ? w.capacity : 4);
    uint64_t seq = w.lane->released;
    for (uint32_t i = 0, room = w.capacity - count; i < count; i++, seq++) {
        const uint32_t hole = input_choice(in, room + 1);
        seqs[i] = seq += hole;
        room -= hole;
    }
    return count;
}

/* Another worker takes over; two messages were tried elsewhere. */
static void renew(struct input *in)
{
    struct gq_lane_range range;
    struct gq_lane_ending endings[2];
    const size_t bytes = w.lane->out_bytes;
    if (w.writing)
        return;
    for (unsigned i = 0; i < 2; i++) {
        struct gq_lane_window window;
        uint64_t seqs[4];
        const uint32_t count = some_set(in, seqs);
        gq_status status = gq_lane_window_open(&window, w.lane, seqs, count, &range);
        gq_assert(status == GQ_OK && range.first == seqs[0] && range.end == seqs[count - 1] + 1);
        uint8_t *egress = map_as_worker(window.out_fd, bytes);
        const uint64_t seq = seqs[input_choice(in, count)];
        answer(in, egress);
        if (!gq_lane_window_ending(&window, seq, &endings[i]))
            endings[i] = (struct gq_lane_ending){.id = input_any(in), .meta = some_meta(in) | 2u << 16};
        munmap(egress, bytes);
        gq_lane_window_close(&window);
    }
    gq_status status = gq_lane_renew(w.lane, endings, 2, &range);
    gq_assert(status == GQ_OK && range.first == (w.mode & COUNTED ? w.lane->seen : w.lane->released));
    gq_assert(range.mixed >= range.first && range.mixed <= w.lane->submitted);
    gq_assert((w.mode & COUNTED) || range.mixed == w.lane->submitted);
    for (unsigned i = 0; i < 2; i++)
        free(endings[i].data);
    munmap(w.egress, bytes);
    w.egress = map_as_worker(w.lane->out_fd, bytes);
}

/* --- inputs ------------------------------------------------------------------------------------------------------- */

static void worker_acts(struct input *in)
{
    switch (input_choice(in, 8)) {
    case 0:
    case 1:
        answer(in, w.egress);
        break;
    case 2:
        answer_by_express(in);
        break;
    case 3:
        count(in);
        break;
    case 4:
        count_truly(in);
        break;
    case 5:
        leave_crumb(in);
        break;
    case 6:
        scribble(in, w.egress, w.lane->out_bytes);
        break;
    default:
        scribble(in, (uint8_t *)w.page, sizeof *w.page);
    }
}

static void host_acts(struct input *in)
{
    const uint32_t call = input_choice(in, 10);
    if (call == 0 || call == 1)
        send(in);
    else if (call == 2 && (w.mode & COUNTED))
        take_counted();
    else if ((call == 2 || call == 3) && !(w.mode & COUNTED))
        take(1 + input_choice(in, TAKE_MAX), call == 2);
    else if (call == 4 && !(w.mode & COUNTED))
        fetch(some_seq(in), input_byte(in));
    else if (call == 5 && !(w.mode & COUNTED))
        release(some_seq(in), 1 + input_choice(in, TAKE_MAX), input_choice(in, 2));
    else if (call == 6)
        look_at_page(in);
    else if (call == 7)
        look_at_budget();
    else if (call == 8)
        renew(in);
    else
        check_counts();
}

/* The worker is dead: everything ends, and each message has ended once. */
static void drain(void)
{
    struct gq_lane_counts c;
    stop_writer();
    w.remote.link.dead = 1;
    if (w.mode & COUNTED)
        return;
    if (w.mode & GENERATED)
        gq_lane_end_generation(w.lane);
    for (uint32_t i = 0; !gq_lane_idle(w.lane); i++) {
        gq_assert(i < DRAIN_MAX);
        take(TAKE_MAX, true);
        for (uint64_t seq = w.lane->released; seq < w.lane->submitted; seq++)
            if (w.state[seq] == HELD)
                release(seq, 1, false);
            else if (w.state[seq] == REPORTED)
                fetch(seq, w.slot_bytes);
    }
    gq_lane_get_counts(w.lane, &c);
    gq_assert(w.results + c.dropped + c.lost == c.submitted);
}

static void play(struct input in, bool racing)
{
    const uint64_t seed = (uint64_t)(in.end - in.at) * 0x9e3779b97f4a7c15u;
    open_world(&in);
    const struct input calls = in;
    if (racing)
        start_writer(seed);
    for (uint32_t round = 0; round < (racing ? ROUNDS : 1); round++)
        for (in = calls; !input_ended(&in) && !w.broken;)
            if (input_byte(&in) & 1)
                worker_acts(&in);
            else
                host_acts(&in);
    drain();
    close_world();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static unsigned turn;
    const struct input in = {bytes, bytes + len};
    make_versions();
    play(in, false);
    if (turn++ % RACE_EVERY == 0)
        play(in, true);
    return 0;
}
