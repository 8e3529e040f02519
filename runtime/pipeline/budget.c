#include "pipeline/budget.h"
#include "base/clock.h"
#include "ring/page.h"
#include <string.h>

#define LOOK_MS_MIN 5u
#define LOOK_MS_MAX 100u
#define LOOKS 10u /* within a timeout */

uint32_t gq_budget_look_ms(const struct gq_conf *conf)
{
    uint64_t ms = LOOK_MS_MAX;
    for (size_t i = 0; i < conf->stage_count; i++)
        if (conf->stages[i].timeout_ms && conf->stages[i].timeout_ms / LOOKS < ms)
            ms = conf->stages[i].timeout_ms / LOOKS;
    return ms < LOOK_MS_MIN ? LOOK_MS_MIN : (uint32_t)ms;
}

void gq_budget_reset(struct gq_budget *budget) { memset(budget, 0, sizeof *budget); }

static struct gq_budget_block see(const struct gq_worker_page *page, uint32_t block)
{
    const struct gq_crumb c = gq_page_crumb(page, block);
    return (struct gq_budget_block){.current = c.current, .stage = c.stage, .done = c.done};
}

static bool same(const struct gq_budget_block *a, const struct gq_budget_block *b)
{
    return a->current == b->current && a->stage == b->stage && a->done == b->done;
}

bool gq_budget_look(struct gq_budget *budget, const struct gq_worker_page *page, const struct gq_conf *conf,
                    uint32_t *block)
{
    const uint64_t now = gq_clock_ns(), most = 2000000u * (uint64_t)gq_budget_look_ms(conf);
    const uint64_t since = budget->look_ns ? now - budget->look_ns : 0, passed = since < most ? since : most;
    const uint32_t threads = gq_page_threads(page);
    bool over = false, moved = false;
    budget->look_ns = now;
    for (uint32_t i = 0; i < threads; i++) {
        struct gq_budget_block *b = &budget->block[i], is = see(page, i);
        const uint64_t limit_ms = is.stage < conf->stage_count ? conf->stages[is.stage].timeout_ms : 0;
        const bool inside = is.current && same(b, &is);
        moved |= !same(b, &is);
        is.inside_ns = inside ? b->inside_ns + passed : 0;
        *b = is;
        if (inside && limit_ms && is.inside_ns > limit_ms * 1000000 && !over) {
            over = true;
            *block = i;
        }
    }
    budget->moved_ns = moved ? 0 : budget->moved_ns + passed;
    return over;
}

bool gq_budget_is_silent(const struct gq_budget *budget, const struct gq_worker_page *page, uint32_t silent_ms)
{
    if (budget->moved_ns <= silent_ms * UINT64_C(1000000))
        return false;
    const uint32_t threads = gq_page_threads(page);
    for (uint32_t i = 0; i < threads; i++)
        if (budget->block[i].current)
            return false;
    return true;
}
