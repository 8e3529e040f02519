/* A grid as a host thread: the messages of every lane, in order, through one step. */
#include "fake.h"
#include "fault/poison.h"
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define TELL_NAPS 5000 /* some tenths of a second */
#define REST_NAPS 1000
#define WAIT_MS 3000 /* how long a call that a real driver would block may wait for grids that leave */

struct player {
    gq_cu_stream stream;
    struct gq_grid g;
    struct fake_code code;
    uint32_t blocks, threads;
    uint32_t each; /* threads that each of its blocks takes of the device */
    int percent;
    uint32_t turn;   /* grids of its stream before it */
    uint32_t behind; /* launch of the last of these; 0: there was none */
    uint32_t held;   /* atomic: of its blocks that are inside of a message for long */
};

/* A message that a block is inside of. */
struct held {
    struct player *player;
    struct gq_grid_lane *lane;
    uint64_t seq, meta;
    uint32_t len;
    bool hangs; /* for good */
};

/* Grids of one step play in turns: each claims a message and serves it. */
static pthread_mutex_t turns[GQ_STAGES_MAX + 1] = {[0 ... GQ_STAGES_MAX] = PTHREAD_MUTEX_INITIALIZER};
static pthread_mutex_t room = PTHREAD_MUTEX_INITIALIZER;
static uint32_t resident; /* under `room`: threads of the grids that run */
static int divided;       /* how they divide a multiprocessor's memory */
static uint32_t holding;  /* atomic: a message is held */
static uint32_t launched; /* atomic: threads of all grids so far */
static uint32_t running;  /* atomic: grids */
static uint64_t served;   /* atomic: messages, by all grids */
static int sticky;        /* atomic */
static uint64_t told_ms;  /* atomic: when the driver tells of it */

uint64_t fake_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

int fake_sticky(void)
{
    const int error = __atomic_load_n(&sticky, __ATOMIC_ACQUIRE);
    return error && fake_now_ms() >= __atomic_load_n(&told_ms, __ATOMIC_ACQUIRE) ? error : 0;
}

void fake_set_sticky(int error) { __atomic_store_n(&sticky, error, __ATOMIC_RELEASE); }

bool fake_stopped(void) { return __atomic_load_n(&sticky, __ATOMIC_ACQUIRE) != 0; }

void fake_fault(void)
{
    __atomic_store_n(&told_ms, fake_now_ms() + (uint64_t)fake_script()->report_ms, __ATOMIC_RELEASE);
    fake_set_sticky(FAKE_ILLEGAL_ADDRESS);
    if (fake_script()->xid[0] && fake_grow(fake_script()->xid) < 0)
        fake_complain("%s cannot be written", fake_script()->xid);
}

bool fake_stands_still(void)
{
    static uint64_t next_ms, still; /* atomic: the next look at the file, and what the last one found */
    const uint64_t now_ms = fake_now_ms();
    struct timespec now;
    struct stat info;
    if (!fake_script()->still_ms || now_ms < __atomic_load_n(&next_ms, __ATOMIC_ACQUIRE))
        return __atomic_load_n(&still, __ATOMIC_ACQUIRE) != 0;
    clock_gettime(CLOCK_REALTIME, &now);
    const bool fault = stat(fake_script()->xid, &info) == 0 && info.st_size > 0;
    const long ago_ms =
        fault ? (long)(now.tv_sec - info.st_mtim.tv_sec) * 1000 + (long)(now.tv_nsec - info.st_mtim.tv_nsec) / 1000000
              : fake_script()->still_ms;
    const bool stands = ago_ms >= 0 && ago_ms < fake_script()->still_ms; /* a clock may be set back */
    __atomic_store_n(&still, stands, __ATOMIC_RELEASE);
    __atomic_store_n(&next_ms, now_ms + 1, __ATOMIC_RELEASE);
    return stands;
}

static void nap(long ns) { nanosleep(&(struct timespec){.tv_nsec = ns}, NULL); }

static struct gq_out_desc *hop_of(const struct gq_grid_lane *l, uint32_t step, uint64_t seq)
{
    return l->hop + (uint64_t)step * (l->view.mask + 1) + gq_slot_index(&l->view, seq);
}

/* Is message seq there for this step? `meta` is its fate so far. */
static bool there(const struct player *p, const struct gq_grid_lane *l, uint64_t seq, uint32_t *len, uint64_t *meta)
{
    *len = 0;
    *meta = gq_meta(p->g.generation, p->g.stage, GQ_RESULT_OK, 0);
    const uint64_t at = gq_slot_index(&l->view, seq);
    if (seq < l->known && (l->ended[at / 32] >> at % 32 & 1)) { /* before this worker came */
        *meta = gq_meta(0, 0, GQ_RESULT_PASSED, 0);
        return true;
    }
    if (p->g.step == 0 && seq < l->known) {
        *len = (uint32_t)l->desc[at];
        return true;
    }
    if (p->g.step == 0 && l->cursor[0].scout) /* for good: there is nothing behind it for this worker */
        return false;
    if (p->g.step == 0)
        return l->generated ? seq < gq_slot_limit(&l->view) : gq_slot_acquire(&l->view, seq, len) != 0;
    const struct gq_out_desc *hop = hop_of(l, p->g.step - 1, seq);
    uint64_t state = gq_load_acquire_u64(&hop->state); /* A5 */
    *len = (uint32_t)state;
    *meta = hop->meta;
    return (uint32_t)(state >> 32) == gq_slot_stamp(seq);
}

static uint32_t serve(const struct player *p, const struct gq_grid_lane *l, uint64_t seq, uint32_t len, uint8_t *to)
{
    const uint64_t at = gq_slot_index(&l->view, seq) * l->view.stride;
    const uint8_t *from = l->slot[p->g.step & 1] + at;
    if (p->g.step == 0 && !l->generated) {
        memcpy(l->slot[0] + at, gq_slot_in(&l->view, seq), len);
    } else if (p->code.kind == GQ_IMAGE_SOURCE) {
        char text[32];
        len = (uint32_t)snprintf(text, sizeof text, "%llu", (unsigned long long)(l->first_index + seq * l->index_step));
        len = len < p->g.out_cap ? len : p->g.out_cap;
        memcpy(to, text, len);
        return len;
    }
    if (p->code.tag >= 0)
        return poison_answer_to(from, len, (uint32_t)p->code.tag, to);
    memcpy(to, from, len);
    return len;
}

/* A counted lane's message has ended. One thread plays the last step: nobody else writes these words. */
static void count(const struct gq_grid_lane *l, uint64_t seq, uint32_t len, uint64_t meta)
{
    struct gq_unit *at = l->view.out_head->count;
    const uint32_t status = gq_meta_status(meta);
    uint64_t total[GQ_COUNTS], stamp;
    for (uint32_t i = 0; i < GQ_COUNTS; i++)
        gq_load_unit(&at[i], &stamp, &total[i]);
    total[GQ_COUNT_OK] += status == GQ_RESULT_OK;
    total[GQ_COUNT_DROPPED] += status == GQ_RESULT_DROPPED;
    total[GQ_COUNT_FAILED] += status != GQ_RESULT_OK && status != GQ_RESULT_DROPPED;
    total[GQ_COUNT_BYTES] += status == GQ_RESULT_OK ? len : 0;
    for (uint32_t i = 0; i < GQ_COUNTS; i++)
        gq_store_unit(&at[i], seq + 1, total[i]); /* R8 */
}

static void pass(const struct player *p, const struct gq_grid_lane *l, uint64_t seq, uint32_t len, uint64_t meta)
{
    uint8_t *to = l->slot[(p->g.step + 1) & 1] + gq_slot_index(&l->view, seq) * l->view.stride;
    if (gq_meta_status(meta) == GQ_RESULT_OK) {
        len = serve(p, l, seq, len, to);
        const uint32_t met = gq_meta_generation(meta); /* as the kernel has it: the newest code on the way */
        meta = gq_meta(met > p->g.generation ? met : p->g.generation, p->g.stage, GQ_RESULT_OK, 0);
    }
    if (p->g.step + 1 == p->g.steps && p->g.counted) {
        count(l, seq, len, meta);
        return;
    }
    if (gq_meta_status(meta) == GQ_RESULT_PASSED)
        return;
    if (p->g.step + 1 == p->g.steps) {
        memcpy(gq_slot_out(&l->view, seq), to, len);
        gq_slot_finish(&l->view, seq, len, meta);
        return;
    }
    struct gq_out_desc *hop = hop_of(l, p->g.step, seq);
    gq_store_release_pair(&hop->meta, meta, ((uint64_t)gq_slot_stamp(seq) << 32) | len); /* R5 */
}

/* The first message of the lane that no grid of this step has met: shares are claimed in turns, and here by one thread,
 * in order. */
static uint64_t next_of(const struct gq_grid_cursor *c)
{
    uint64_t next = UINT64_MAX;
    for (uint32_t n = 0; n < GQ_SHARES; n++)
        next = c->share[n].next < next ? c->share[n].next : next;
    return next;
}

static void claim(const struct gq_grid_lane *l, struct gq_grid_cursor *c, uint64_t seq)
{
    if (c->ready <= seq)
        gq_store_relaxed_u64(&c->ready, seq + 1);
    gq_store_relaxed_u64(&c->share[(seq >> l->block_shift) % GQ_SHARES].next, gq_share_after(l->block_shift, seq + 1));
}

/* What the message does to its worker, for the code that looks. */
static enum poison poison_of(const struct player *p, const struct gq_grid_lane *l, uint64_t seq)
{
    struct poison_message m = {0};
    if (p->code.tag >= 0 && p->g.step == 0)
        memcpy(&m, gq_slot_in(&l->view, seq), sizeof m);
    return (enum poison)m.kind;
}

/* Does this message end the grid? In a trial it is the one that the crumb names. */
static bool faults(const struct player *p, const struct gq_grid_lane *l, uint64_t seq, uint64_t meta)
{
    if (gq_meta_status(meta) != GQ_RESULT_OK)
        return false;
    if (p->g.run)
        gq_store_unit(&p->g.run[p->g.step], gq_slot_id(l->view.lane, seq),
                      GQ_RUN_DATA(p->g.stage, 1, p->g.generation)); /* R9 */
    const struct fake_script *s = fake_script();
    const enum poison poison = poison_of(p, l, seq);
    while ((seq == s->hangs || poison == POISON_HANG) && !fake_stopped())
        nap(1000000);
    return poison == POISON_SEGV || poison == POISON_ABORT ||
           __atomic_add_fetch(&served, 1, __ATOMIC_RELAXED) > s->fault || seq == s->poison || seq >= s->from ||
           (seq + 1) % s->every == 0;
}

/* A block is inside of the message for as long as the script wants, or for good; the others of its grid go on, and may
 * leave. */
static void *hold(void *arg)
{
    struct held *h = arg;
    struct player *p = h->player;
    const int told = open(fake_script()->held, O_WRONLY | O_APPEND | O_CLOEXEC);
    if (told >= 0 && write(told, ".", 1) != 1)
        fake_complain("%s cannot be written", fake_script()->held);
    close(told);
    while ((h->hangs || access(fake_script()->held, F_OK) == 0) && !fake_stopped())
        nap(1000000);
    pthread_mutex_lock(&turns[p->g.step]);
    if (!h->hangs)
        pass(p, h->lane, h->seq, h->len, h->meta);
    pthread_mutex_unlock(&turns[p->g.step]);
    __atomic_sub_fetch(&p->held, 1, __ATOMIC_RELEASE);
    __atomic_store_n(&holding, 0, __ATOMIC_RELEASE);
    free(h);
    return NULL;
}

static bool is_held(struct player *p, struct gq_grid_lane *l, uint64_t seq, uint32_t len, uint64_t meta)
{
    const char *path = fake_script()->held;
    const bool hangs = !p->g.run && gq_meta_status(meta) == GQ_RESULT_OK && poison_of(p, l, seq) == POISON_HANG;
    pthread_t thread;
    if (!hangs && (!*path || p->g.step != fake_script()->held_step || access(path, F_OK) != 0))
        return false;
    if (__atomic_exchange_n(&holding, 1, __ATOMIC_RELAXED))
        return false;
    struct held *h = malloc(sizeof *h);
    if (!h)
        fake_complain("out of memory");
    *h = (struct held){p, l, seq, meta, len, hangs};
    __atomic_add_fetch(&p->held, 1, __ATOMIC_RELAXED);
    if (pthread_create(&thread, NULL, hold, h) != 0)
        fake_complain("no thread for a message");
    pthread_detach(thread);
    return true;
}

/* Descriptors stay as they are: nothing tells that the bytes are others. */
static void scrawl(const struct player *p)
{
    const uint32_t lanes = __atomic_load_n(&p->g.shared->lane_count, __ATOMIC_ACQUIRE);
    for (uint32_t i = 0; i < lanes; i++) {
        const struct gq_lane_view *view = &p->g.lane[i].view;
        for (size_t at = 0; at < (size_t)(view->mask + 1) * view->stride; at++)
            view->out_payload[at] ^= 0xff;
    }
}

/* The next message of a lane, if it is there; false if not, or the grid faulted. */
static bool serve_next(struct player *p, struct gq_grid_lane *l)
{
    struct gq_grid_cursor *cursor = &l->cursor[p->g.step];
    const uint64_t next = next_of(cursor);
    uint64_t meta;
    uint32_t len;
    if (!there(p, l, next, &len, &meta))
        return false;
    claim(l, cursor, next);
    if (is_held(p, l, next, len, meta))
        return true;
    if (faults(p, l, next, meta)) {
        if (fake_script()->scrawl && !p->g.run) /* a trial's grid is the only one of its worker */
            scrawl(p);
        fake_fault();
        return false;
    }
    pass(p, l, next, len, meta);
    if (next == fake_script()->after && gq_meta_status(meta) == GQ_RESULT_OK) {
        fake_fault();
        return false;
    }
    return true;
}

static bool serves(const struct player *p, const struct gq_grid_lane *l)
{
    return p->g.lanes == GQ_GRID_ALL_LANES || (p->g.lanes == GQ_GRID_CANARY_LANES) == (l->canary != 0);
}

/* All lanes' messages that are there, but no more than `most` of one; false when there were none. */
static bool serve_lanes(struct player *p, uint32_t most)
{
    const uint32_t lanes = __atomic_load_n(&p->g.shared->lane_count, __ATOMIC_ACQUIRE);
    bool any = false;
    for (uint32_t i = 0; i < lanes; i++) {
        struct gq_grid_lane *l = &p->g.lane[i];
        bool more = serves(p, l);
        for (uint32_t n = 0; n < most && more && !fake_stopped() && !fake_stands_still(); n++) {
            more = false;
            pthread_mutex_lock(&turns[p->g.step]);
            if (__atomic_load_n(&p->held, __ATOMIC_ACQUIRE) < p->blocks)
                more = serve_next(p, l);
            pthread_mutex_unlock(&turns[p->g.step]);
            any |= more;
        }
        if (p->g.run && !fake_stopped())
            gq_store_unit(&p->g.run[p->g.step], 0, 0); /* R9 */
    }
    return any;
}

/* Grids serve every lane in order, so at their boundary there are no gaps. */
static bool over(const struct player *p)
{
    if (fake_stopped() || fake_script()->ends)
        return true;
    if (!fake_script()->stuck && gq_load_acquire_u32(&p->g.host->stop))
        return true;
    return !fake_script()->holds &&
           __atomic_load_n(&p->g.shared->order[p->g.step].leave, __ATOMIC_ACQUIRE) >= p->g.launch;
}

/* Grids of one stream run one after another. Blocks of one that is told to leave already follow each other: one at a
 * time has room. */
static void await_turn(struct player *p)
{
    const uint32_t *told = &p->g.shared->order[p->g.step].leave;
    for (int naps = 0; __atomic_load_n(&p->stream->ended, __ATOMIC_ACQUIRE) != p->turn; naps++, nap(20000))
        if (naps > TELL_NAPS && __atomic_load_n(told, __ATOMIC_ACQUIRE) < p->behind)
            fake_complain("a grid was launched behind one that nobody tells to leave: it waits for it for ever");
    pthread_mutex_lock(&room);
    if (resident > 0 && divided != p->percent)
        fake_complain(
            "a grid divides an SM's memory by %d percent, those that run by %d: it would wait for them for ever",
            p->percent, divided);
    divided = p->percent;
    p->each = p->threads / p->blocks / (over(p) ? p->blocks : 1);
    resident += p->each * p->blocks;
    if (resident > (uint32_t)(fake_script()->sms * fake_script()->threads))
        fake_complain("a grid was launched that has no room beside the others: it would wait for them for ever");
    pthread_mutex_unlock(&room);
}

static void leave(const struct player *p, uint32_t blocks)
{
    pthread_mutex_lock(&room);
    resident -= p->each * blocks;
    pthread_mutex_unlock(&room);
    __atomic_add_fetch(&p->g.shared->order[p->g.step].left, blocks, __ATOMIC_RELEASE);
}

/* Who leaves claims what lies below the last message that somebody has claimed. That may be one of a lane, or none:
 * here it is one, for which a grid waits a moment that started when it was told already. */
static void serve_rest(struct player *p, bool late)
{
    const struct gq_grid_order *order = &p->g.shared->order[p->g.step];
    int tries = late ? REST_NAPS : 1;
    if (__atomic_load_n(&order->leave, __ATOMIC_ACQUIRE) != GQ_GRID_NOW && !gq_load_acquire_u32(&p->g.host->stop) &&
        !fake_script()->ends)
        while (tries-- > 0 && !serve_lanes(p, 1))
            nap(20000);
}

static void *play(void *arg)
{
    struct player *p = arg;
    await_turn(p);
    const bool late = over(p);
    const bool refused = __atomic_load_n(&p->g.shared->order[p->g.step].refused, __ATOMIC_ACQUIRE) == p->g.launch;
    const uint64_t idle_ms = p->g.run ? 0 : (uint64_t)fake_script()->idle_ms, faults_ms = fake_now_ms() + idle_ms;
    while (!refused && !over(p)) {
        if (!serve_lanes(p, UINT32_MAX))
            nap(20000);
        if (idle_ms && fake_now_ms() >= faults_ms)
            fake_fault();
    }
    if (!refused)
        serve_rest(p, late);
    if (fake_script()->late)
        fake_fault();
    while (fake_stopped() && !fake_sticky())
        nap(1000000);
    const uint32_t held = __atomic_load_n(&p->held, __ATOMIC_ACQUIRE);
    if (held < p->blocks)
        leave(p, p->blocks - held);
    while (__atomic_load_n(&p->held, __ATOMIC_ACQUIRE))
        nap(1000000);
    if (held)
        leave(p, held);
    __atomic_add_fetch(&p->stream->ended, 1, __ATOMIC_RELEASE);
    __atomic_sub_fetch(&running, 1, __ATOMIC_RELEASE);
    free(p);
    return NULL;
}

int fake_grid_start(gq_cu_stream stream, const struct gq_grid *grid, struct fake_code code, uint32_t blocks,
                    uint32_t threads, int percent)
{
    pthread_t thread;
    struct player *p = malloc(sizeof *p);
    if (!p)
        return 2;
    *p = (struct player){.stream = stream,
                         .g = *grid,
                         .code = code,
                         .blocks = blocks,
                         .threads = threads,
                         .percent = percent,
                         .turn = stream->launched,
                         .behind = stream->newest};
    stream->newest = grid->launch;
    if (fake_script()->poll >= 0 && grid->poll != (uint32_t)fake_script()->poll)
        fake_complain("a grid is told to wait in way %u", grid->poll);
    __atomic_add_fetch(&launched, threads, __ATOMIC_RELAXED);
    __atomic_add_fetch(&stream->launched, 1, __ATOMIC_RELEASE);
    __atomic_add_fetch(&running, 1, __ATOMIC_ACQUIRE);
    if (pthread_create(&thread, NULL, play, p) != 0)
        fake_complain("no thread for a grid");
    pthread_detach(thread);
    return 0;
}

uint32_t fake_grids(void) { return __atomic_load_n(&running, __ATOMIC_ACQUIRE); }

uint32_t fake_grid_threads(void) { return __atomic_load_n(&launched, __ATOMIC_RELAXED); }

bool fake_stream_busy(const struct gq_cu_stream_s *stream)
{
    if (__atomic_load_n(&stream->swallowed, __ATOMIC_ACQUIRE) && !fake_sticky())
        return true;
    return __atomic_load_n(&stream->ended, __ATOMIC_ACQUIRE) != __atomic_load_n(&stream->launched, __ATOMIC_ACQUIRE);
}

void fake_grid_wait_all(const char *function)
{
    while (fake_stopped() && !fake_sticky())
        nap(1000000);
    for (int ms = 0; __atomic_load_n(&running, __ATOMIC_ACQUIRE); ms++, nap(1000000))
        if (ms >= WAIT_MS)
            fake_complain("%s was called while a grid runs that does not leave: a driver waits for it for ever",
                          function);
}
