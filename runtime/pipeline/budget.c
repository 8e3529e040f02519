#include "pipeline/budget.h"
#include "base/clock.h"
#include "pipeline/suspects.h"
#include "ring/page.h"
#include <string.h>

#define LOOK_MS 5u        /* so soon after its time is over a message is known to hang */
#define DEVICE_LOOK_MS 2u /* a worker looks twice until it knows one, and then the host */
#define IDLE_LOOK_MS 100u
#define GAP_MS_MIN 10u
#define GAP_MS_MAX 200u
#define GAPS 5u /* within a timeout */
#define DYING_NS 60000000000u

static uint64_t shortest_ms(const struct gq_conf *conf)
{
    uint64_t ms = conf->source.timeout_ms ? conf->source.timeout_ms : UINT64_MAX;
    for (size_t i = 0; i < conf->stage_count; i++)
        if (conf->stages[i].timeout_ms && conf->stages[i].timeout_ms < ms)
            ms = conf->stages[i].timeout_ms;
    return ms;
}

uint64_t gq_budget_limit_ms(const struct gq_conf *conf, uint64_t stage)
{
    if (stage == GQ_CRUMB_SOURCE)
        return conf->source.timeout_ms;
    return stage < conf->stage_count ? conf->stages[stage].timeout_ms : 0;
}

uint32_t gq_budget_look_ms(const struct gq_conf *conf, enum gq_backend_kind backend)
{
    if (shortest_ms(conf) == UINT64_MAX)
        return IDLE_LOOK_MS;
    return backend == GQ_BACKEND_CUDA ? DEVICE_LOOK_MS : LOOK_MS;
}

/* What the time between two looks counts for at most. */
static uint64_t gap_ns(const struct gq_conf *conf)
{
    const uint64_t ms = shortest_ms(conf) / GAPS;
    return 1000000u * (ms < GAP_MS_MIN ? GAP_MS_MIN : ms < GAP_MS_MAX ? ms : GAP_MS_MAX);
}

void gq_budget_reset(struct gq_budget *budget) { memset(budget, 0, sizeof *budget); }

static struct gq_budget_block see(const struct gq_worker_page *page, uint32_t block)
{
    const struct gq_crumb c = gq_page_crumb(page, block);
    return (struct gq_budget_block){
        .current = c.current, .stage = c.stage, .done = c.done, .inside = gq_crumb_is_inside(&c)};
}

static bool same(const struct gq_budget_block *a, const struct gq_budget_block *b)
{
    return a->current == b->current && a->stage == b->stage && a->done == b->done;
}

/* Of a device's teams. */
static uint32_t look_at_runs(struct gq_budget *budget, const struct gq_worker_page *page, const struct gq_conf *conf,
                             uint64_t passed, bool *moved)
{
    const uint32_t runs = gq_page_runs(page);
    uint32_t over = GQ_BLOCK_NONE;
    for (uint32_t i = 0; i < runs; i++) {
        struct gq_budget_run *r = &budget->run[i], is = {0};
        is.id = gq_page_run(page, i, &is.data);
        const uint64_t limit_ms = gq_budget_limit_ms(conf, GQ_RUN_STAGE(is.data));
        const bool inside = is.id && is.id == r->id && is.data == r->data;
        *moved |= is.id != r->id || is.data != r->data;
        is.inside_ns = inside ? r->inside_ns + passed : 0;
        *r = is;
        if (inside && limit_ms && is.inside_ns > limit_ms * 1000000 && over == GQ_BLOCK_NONE)
            over = GQ_BLOCK_OF_RUN(i);
    }
    return over;
}

/* A thread has seen the signal that ends its worker, or nobody there has the channel any more. The system may write all
 * of it to a file before that, and no thread moves meanwhile: no time passes for what they hold. But a page may say so
 * of a worker that does not end, and a plugin may close the channel. */
static uint64_t without_dying(struct gq_budget *budget, const struct gq_worker_page *page, uint64_t passed)
{
    const uint32_t threads = gq_page_threads(page);
    bool dying = budget->is_cut;
    for (uint32_t i = 0; i < threads; i++)
        dying |= gq_page_crumb(page, i).signal != 0;
    if (!dying || budget->dying_ns > DYING_NS)
        return passed;
    budget->dying_ns += passed;
    return 0;
}

bool gq_budget_look(struct gq_budget *budget, const struct gq_worker_page *page, const struct gq_conf *conf,
                    uint32_t *block)
{
    const uint64_t now = gq_clock_ns(), most = gap_ns(conf);
    const uint64_t since = budget->look_ns ? now - budget->look_ns : 0;
    const uint64_t passed = without_dying(budget, page, since < most ? since : most);
    const uint32_t threads = gq_page_threads(page);
    bool over = false, moved = false;
    budget->look_ns = now;
    for (uint32_t i = 0; i < threads; i++) {
        struct gq_budget_block *b = &budget->block[i], is = see(page, i);
        const uint64_t limit_ms = gq_budget_limit_ms(conf, is.stage);
        const bool inside = is.inside && same(b, &is);
        moved |= !same(b, &is);
        is.inside_ns = inside ? b->inside_ns + passed : 0;
        *b = is;
        if (inside && limit_ms && is.inside_ns > limit_ms * 1000000 && !over) {
            over = true;
            *block = i;
        }
    }
    const uint32_t run = look_at_runs(budget, page, conf, passed, &moved);
    if (run != GQ_BLOCK_NONE && !over) {
        over = true;
        *block = run;
    }
    budget->moved_ns = moved ? 0 : budget->moved_ns + passed;
    return over;
}

bool gq_budget_is_still(const struct gq_budget *budget, const struct gq_worker_page *page, uint32_t block)
{
    uint64_t data;
    if (block < gq_page_threads(page))
        return see(page, block).current == budget->block[block].current;
    const uint32_t place = block - GQ_BLOCKS_MAX;
    return block >= GQ_BLOCKS_MAX && place < gq_page_runs(page) &&
           gq_page_run(page, place, &data) == budget->run[place].id;
}

bool gq_budget_is_silent(const struct gq_budget *budget, const struct gq_worker_page *page, uint32_t silent_ms)
{
    if (budget->moved_ns <= silent_ms * UINT64_C(1000000))
        return false;
    const uint32_t threads = gq_page_threads(page);
    for (uint32_t i = 0; i < threads; i++)
        if (budget->block[i].inside)
            return false;
    const uint32_t runs = gq_page_runs(page);
    for (uint32_t i = 0; i < runs; i++)
        if (budget->run[i].id)
            return false;
    return true;
}
