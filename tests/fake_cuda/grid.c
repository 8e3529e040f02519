/* A grid as a host thread: the messages of every lane, in order, through one step. */
#include "fake.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WAIT_MS 3000 /* how long a call that a real driver would block may wait for grids that leave */

struct player {
    gq_cu_stream stream;
    struct gq_grid g;
    uint32_t kind, blocks, threads;
    uint32_t turn; /* grids of its stream before it */
};

static uint32_t resident; /* atomic: threads of the grids that run */
static uint32_t launched; /* atomic: threads of all grids so far */
static uint32_t running;  /* atomic: grids */
static uint64_t served;   /* atomic: messages, by all grids */
static int sticky;        /* atomic */

int fake_sticky(void) { return __atomic_load_n(&sticky, __ATOMIC_ACQUIRE); }
void fake_set_sticky(int error) { __atomic_store_n(&sticky, error, __ATOMIC_RELEASE); }

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
    } else if (p->kind == GQ_IMAGE_SOURCE) {
        char text[32];
        len = (uint32_t)snprintf(text, sizeof text, "%llu", (unsigned long long)(l->first_index + seq * l->index_step));
        len = len < p->g.out_cap ? len : p->g.out_cap;
        memcpy(to, text, len);
        return len;
    }
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

/* Does this message end the grid? In a trial it is the one that the crumb names. */
static bool faults(const struct player *p, const struct gq_grid_lane *l, uint64_t seq, uint64_t meta)
{
    if (gq_meta_status(meta) != GQ_RESULT_OK)
        return false;
    if (p->g.run)
        gq_store_unit(&p->g.run[p->g.step], gq_slot_id(l->view.lane, seq),
                      GQ_RUN_DATA(p->g.stage, 1, p->g.generation)); /* R9 */
    while (seq == fake_script()->hangs && !fake_sticky())
        nap(1000000);
    return __atomic_add_fetch(&served, 1, __ATOMIC_RELAXED) > fake_script()->fault || seq == fake_script()->poison;
}

/* Everything that is there in one lane; false when nothing was, or the grid faulted. */
static bool serve_lane(const struct player *p, struct gq_grid_lane *l)
{
    struct gq_grid_cursor *cursor = &l->cursor[p->g.step];
    uint64_t meta;
    uint32_t len;
    bool any = false;
    for (uint64_t next; !fake_sticky() && there(p, l, next = next_of(cursor), &len, &meta); any = true) {
        claim(l, cursor, next);
        if (faults(p, l, next, meta)) {
            fake_set_sticky(FAKE_ILLEGAL_ADDRESS);
            return false;
        }
        pass(p, l, next, len, meta);
    }
    if (p->g.run)
        gq_store_unit(&p->g.run[p->g.step], 0, 0); /* R9 */
    return any;
}

/* One thread serves every lane in order, so at its boundary there are no gaps. */
static bool over(const struct player *p)
{
    if (fake_sticky() || fake_script()->ends)
        return true;
    if (!fake_script()->stuck && gq_load_acquire_u32(&p->g.host->stop))
        return true;
    return !fake_script()->holds &&
           __atomic_load_n(&p->g.shared->order[p->g.step].leave, __ATOMIC_ACQUIRE) >= p->g.launch;
}

/* Grids of one stream run one after another. */
static void await_turn(const struct player *p)
{
    while (__atomic_load_n(&p->stream->ended, __ATOMIC_ACQUIRE) != p->turn)
        nap(20000);
    if (__atomic_add_fetch(&resident, p->threads, __ATOMIC_RELAXED) >
        (uint32_t)(fake_script()->sms * fake_script()->threads))
        fake_complain("a grid was launched that has no room beside the others: it would wait for them for ever");
}

static bool serves(const struct player *p, const struct gq_grid_lane *l)
{
    return p->g.lanes == GQ_GRID_ALL_LANES || (p->g.lanes == GQ_GRID_CANARY_LANES) == (l->canary != 0);
}

static void *play(void *arg)
{
    struct player *p = arg;
    await_turn(p);
    while (!over(p)) {
        uint32_t lanes = __atomic_load_n(&p->g.shared->lane_count, __ATOMIC_ACQUIRE);
        bool any = false;
        for (uint32_t i = 0; i < lanes; i++)
            if (serves(p, &p->g.lane[i]))
                any |= serve_lane(p, &p->g.lane[i]);
        if (!any)
            nap(20000);
    }
    if (fake_script()->late)
        fake_set_sticky(FAKE_ILLEGAL_ADDRESS);
    __atomic_sub_fetch(&resident, p->threads, __ATOMIC_RELAXED);
    __atomic_add_fetch(&p->g.shared->order[p->g.step].left, p->blocks, __ATOMIC_RELEASE);
    __atomic_add_fetch(&p->stream->ended, 1, __ATOMIC_RELEASE);
    __atomic_sub_fetch(&running, 1, __ATOMIC_RELEASE);
    free(p);
    return NULL;
}

int fake_grid_start(gq_cu_stream stream, const struct gq_grid *grid, uint32_t kind, uint32_t blocks, uint32_t threads)
{
    pthread_t thread;
    struct player *p = malloc(sizeof *p);
    if (!p)
        return 2;
    *p = (struct player){stream, *grid, kind, blocks, threads, stream->launched};
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

uint32_t fake_grid_threads(void) { return __atomic_load_n(&launched, __ATOMIC_RELAXED); }

bool fake_stream_busy(const struct gq_cu_stream_s *stream)
{
    return __atomic_load_n(&stream->ended, __ATOMIC_ACQUIRE) != __atomic_load_n(&stream->launched, __ATOMIC_ACQUIRE);
}

void fake_grid_wait_all(const char *function)
{
    for (int ms = 0; __atomic_load_n(&running, __ATOMIC_ACQUIRE); ms++, nap(1000000))
        if (ms >= WAIT_MS)
            fake_complain("%s was called while a grid runs that does not leave: a driver waits for it for ever",
                          function);
}
