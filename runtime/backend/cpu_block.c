#include "backend/cpu.h"
#include "backend/fiber.h"
#include "base/assert.h"
#include "base/clock.h"
#include "device/grid.h"
#include <sched.h>

#define BATCH_NS 200000u /* a run should take no longer: results wake their waiter once a run */
#define SPIN_ROUNDS 64   /* looks at every lane before giving way */
#define YIELD_ROUNDS 8   /* and giving way, before sleeping */
#define REST_ROUNDS (SPIN_ROUNDS + YIELD_ROUNDS)
#define PRESSURE 32    /* full batches in a row before another thread is woken to help */
#define SLOW_NS 20000u /* a run that takes longer is worth an announcement */
#define SLEEP_NS 100000000u

/* One claimed run of messages. */
struct run {
    struct gq_cpu_lane *lane;
    const struct gq_cpu_table *table; /* serves it through all stages, whatever the lane leads to by then */
    uint64_t first;
    uint32_t count;
};

/* --- claiming -------------------------------------------------------------------------------------------------------
 */

/* Messages that stand ready from `next` on, at most `max`; their lengths go to the block's messages. */
static uint32_t count_ready(struct gq_cpu_block *b, const struct gq_cpu_lane *lane, uint32_t max)
{
    uint32_t n = 0;
    if (lane->generated) {
        uint64_t limit = gq_slot_limit(&lane->view);
        return limit - lane->next < max ? (uint32_t)(limit - lane->next) : max;
    }
    while (n < max && gq_slot_acquire(&lane->view, lane->next + n, &b->msgs[n].in_len))
        n++;
    return n;
}

/* How many of `ready` this block takes: few when a message takes long, and a share when others could help. */
static uint32_t share(const struct gq_cpu_block *b, uint32_t ready)
{
    uint64_t most = b->ns_a_message ? BATCH_NS / b->ns_a_message : 1;
    uint32_t part = ready;
    if (b->ns_a_message * ready > BATCH_NS / 8)
        part = (ready + b->grid->block_count - 1) / b->grid->block_count;
    if (most < part)
        part = most ? (uint32_t)most : 1;
    return part;
}

/* While a canary is on, a claim ends where the next of its runs, or of the live version's, may begin. */
static uint32_t choose_table(const struct gq_cpu_lane *lane, uint32_t most, const struct gq_cpu_table **table)
{
    *table = lane->table;
    if (!lane->canary)
        return most;
    if (gq_cpu_canary_has(lane->canary, lane->view.lane, lane->next))
        *table = lane->canary;
    const uint32_t left = GQ_CPU_CANARY_RUN - (uint32_t)(lane->next % GQ_CPU_CANARY_RUN);
    return left < most ? left : most;
}

/* In a lane of a worker that is not the lane's first: did a worker before this one end the message? */
static bool has_ended(const struct gq_cpu_lane *lane, uint64_t seq)
{
    uint32_t len;
    uint64_t meta;
    return seq < lane->mixed && gq_slot_ready(&lane->view, seq, &len, &meta);
}

static void pass_ended(struct gq_cpu_lane *lane)
{
    while (has_ended(lane, lane->next))
        __atomic_store_n(&lane->next, lane->next + 1, __ATOMIC_RELAXED);
}

/* Of those that stand ready, the ones before the next that has ended. */
static uint32_t count_open(const struct gq_cpu_lane *lane, uint32_t ready)
{
    uint32_t n = 0;
    if (lane->next >= lane->mixed)
        return ready;
    while (n < ready && !has_ended(lane, lane->next + n))
        n++;
    return n;
}

static bool is_over(const struct gq_cpu_lane *lane)
{
    return __atomic_load_n(&lane->next, __ATOMIC_RELAXED) >= lane->end;
}

static uint32_t bound(const struct gq_cpu_lane *lane, uint32_t most)
{
    return lane->end - lane->next < most ? (uint32_t)(lane->end - lane->next) : most;
}

static bool claim_from(struct gq_cpu_block *b, struct gq_cpu_lane *lane, struct run *run)
{
    if (is_over(lane) || !gq_cpu_lane_try(lane))
        return false;
    const struct gq_cpu_table *table;
    pass_ended(lane);
    const uint32_t most = bound(lane, choose_table(lane, b->grid->batch, &table));
    const uint32_t ready = count_open(lane, count_ready(b, lane, most));
    *run = (struct run){lane, table, lane->next, ready ? share(b, ready) : 0};
    __atomic_store_n(&lane->next, lane->next + run->count, __ATOMIC_RELAXED);
    if (run->count != 0) /* before the lane is left: whoever replaces its table has to see this */
        __atomic_store_n(&b->uses, run->table, __ATOMIC_RELAXED);
    gq_cpu_lane_leave(lane);
    b->pressure = ready == most ? b->pressure + 1 : 0;
    if (run->count < ready || b->pressure >= PRESSURE) {
        b->pressure = 0;
        gq_link_recruit(b->grid->setup.link);
    }
    return run->count != 0;
}

static uint32_t lane_count(const struct gq_cpu_grid *grid)
{
    return __atomic_load_n(&grid->lane_count, __ATOMIC_ACQUIRE);
}

static bool claim(struct gq_cpu_block *b, struct run *run)
{
    uint32_t count = lane_count(b->grid);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = (b->turn + i) % count;
        struct gq_cpu_lane *lane = b->grid->lane[at];
        if (claim_from(b, lane, run)) {
            b->turn = at + 1;
            return true;
        }
    }
    return false;
}

static bool stopping(const struct gq_cpu_grid *grid)
{
    return __atomic_load_n(&grid->setup.link->host->stop, __ATOMIC_ACQUIRE) ||
           __atomic_load_n(&grid->stop, __ATOMIC_ACQUIRE);
}

/* Something to claim? The last look before sleeping; no claim is made. */
static bool work_waits(void *arg)
{
    struct gq_cpu_grid *grid = arg;
    if (stopping(grid))
        return true;
    uint32_t count = lane_count(grid), len;
    for (uint32_t i = 0; i < count; i++) {
        const struct gq_cpu_lane *lane = grid->lane[i];
        uint64_t next = __atomic_load_n(&lane->next, __ATOMIC_RELAXED);
        if (next >= lane->end)
            continue;
        if (lane->generated ? next < gq_slot_limit(&lane->view) : gq_slot_acquire(&lane->view, next, &len))
            return true;
    }
    return false;
}

/* --- serving --------------------------------------------------------------------------------------------------------
 */

static void aim(struct gq_cpu_block *b, const struct run *run, uint32_t stage, bool source)
{
    const struct gq_cpu_grid *grid = b->grid;
    bool last = !source && stage + 1 == grid->stage_count;
    for (uint32_t i = 0; i < run->count; i++) {
        struct gq_cpu_msg *m = &b->msgs[i];
        uint64_t seq = run->first + i;
        if (!source && (stage > 0 || run->lane->generated)) {
            m->in = m->out;
            m->in_len = m->out_len;
        } else {
            m->in = gq_slot_in(&run->lane->view, seq);
            m->status = GQ_RESULT_OK;
            m->tries = 0;
        }
        m->id = source ? run->lane->first_index + seq : gq_slot_id(run->lane->view.lane, seq);
        /* Stages alternate between the two scratch areas; a source before stage 0 counts as stage -1. */
        m->out =
            last ? gq_slot_out(&run->lane->view, seq) : b->scratch[(stage + 1 + source) & 1] + (size_t)i * grid->stride;
        if (m->status == GQ_RESULT_OK) /* of one that failed it stays what the plugin reported */
            m->out_len = 0;
    }
}

static void run_image(struct gq_cpu_block *b, const struct run *run, const struct gq_cpu_step *step, uint32_t stage,
                      bool source)
{
    const struct gq_cpu_grid *grid = b->grid;
    aim(b, run, stage, source);
    struct gq_cpu_run call = {
        .msgs = b->msgs,
        .count = run->count,
        .stage = source ? GQ_CRUMB_SOURCE : stage,
        .generation = run->table->generation,
        .lane = !source && stage + 1 == grid->stage_count ? &run->lane->view : NULL,
        .first_seq = run->first,
        .out_cap = grid->setup.slot_bytes,
        .retries = grid->setup.retries,
        .block = b->index,
        .blocks = grid->block_count,
        .crumb = b->crumb,
        .state = step->state,
        .services = &gq_fiber_services,
    };
    __atomic_store_n(&b->crumb->stage, source ? GQ_CRUMB_SOURCE : stage, __ATOMIC_RELAXED);
    step->image->run(&call);
}

/* A moving mean. One batch that took far longer than the others was most likely interrupted: it counts for little, and
 * a plugin that has really become slower is believed after some more. */
static void learn(struct gq_cpu_block *b, uint64_t ns)
{
    uint64_t mean = b->ns_a_message;
    if (mean == 0)
        b->ns_a_message = ns + 1;
    else if (ns > 4 * mean)
        b->ns_a_message = mean + mean / 4 + 1;
    else
        b->ns_a_message = (7 * mean + ns + 7) / 8;
}

static void serve(struct gq_cpu_block *b, const struct run *run)
{
    struct gq_cpu_grid *grid = b->grid;
    uint64_t start = gq_clock_ns();
    bool slow = b->ns_a_message == 0 || b->ns_a_message * run->count > SLOW_NS; /* 0: not known yet */
    if (slow)
        gq_link_occupy(grid->setup.link, work_waits, grid);
    b->crumb->first = gq_slot_id(run->lane->view.lane, run->first);
    b->crumb->generation = run->table->generation;
    __atomic_store_n(&b->crumb->holds, run->count, __ATOMIC_RELEASE);
    if (run->lane->generated)
        run_image(b, run, &run->table->source, 0, true);
    for (uint32_t stage = 0; stage < grid->stage_count; stage++)
        run_image(b, run, &run->table->stage[stage], stage, false);
    uint64_t tries = 0;
    for (uint32_t i = 0; i < run->count; i++)
        tries += b->msgs[i].tries;
    __atomic_store_n(&b->uses, NULL, __ATOMIC_RELEASE); /* nothing of the table or its images from here on */
    __atomic_store_n(&b->crumb->current, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&b->crumb->holds, 0, __ATOMIC_RELEASE);
    __atomic_store_n(&b->crumb->done, b->crumb->done + run->count, __ATOMIC_RELAXED);
    __atomic_store_n(&b->crumb->retries, b->crumb->retries + tries, __ATOMIC_RELAXED);
    gq_link_ring_host(grid->setup.link);
    if (slow)
        gq_link_leave(grid->setup.link);
    learn(b, (gq_clock_ns() - start) / run->count);
}

/* Looks again, gives its turn away, sleeps: in that order, or only one of the latter two. */
static void rest(struct gq_cpu_grid *grid, uint32_t idle)
{
    const uint32_t poll = grid->setup.poll;
    if (poll == GQ_GRID_SLEEP || (poll == GQ_GRID_ADAPTIVE && idle % REST_ROUNDS == 0))
        gq_link_wait_work(grid->setup.link, SLEEP_NS, work_waits, grid);
    else if (idle % REST_ROUNDS < SPIN_ROUNDS)
        gq_cpu_relax();
    else
        sched_yield(); /* a thread that spins may share its processor with the host */
}

void *gq_cpu_block_main(void *arg)
{
    struct gq_cpu_block *b = arg;
    struct gq_cpu_grid *grid = b->grid;
    struct run run;
    if (gq_cpu_fault_thread(b->crumb, &b->signal_stack) != GQ_OK)
        grid->setup.die(gq_error_text());
    uint32_t idle = 0;
    while (!stopping(grid)) {
        if (claim(b, &run)) {
            serve(b, &run);
            idle = 0;
        } else {
            rest(grid, ++idle);
        }
    }
    gq_cpu_fault_thread_end(b->signal_stack);
    __atomic_fetch_sub(&grid->running, 1, __ATOMIC_RELEASE);
    return NULL;
}
