#include "ring/page.h"
#include "base/assert.h"

static uint64_t load(const uint64_t *word) { return __atomic_load_n(word, __ATOMIC_RELAXED); }

struct gq_crumb gq_page_crumb(const struct gq_worker_page *page, uint32_t block)
{
    gq_assert(block < GQ_BLOCKS_MAX);
    const struct gq_crumb *c = &page->crumb[block];
    struct gq_crumb crumb = {.signal = __atomic_load_n(&c->signal, __ATOMIC_ACQUIRE)};
    crumb.holds = load(&c->holds);
    crumb.first = load(&c->first);
    crumb.current = load(&c->current);
    crumb.stage = load(&c->stage);
    crumb.done = load(&c->done);
    crumb.retries = load(&c->retries);
    crumb.overflow = __atomic_load_n(&c->overflow, __ATOMIC_RELAXED);
    crumb.address = load(&c->address);
    crumb.generation = load(&c->generation);
    return crumb;
}

uint64_t gq_page_retries(const struct gq_worker_page *page)
{
    const uint32_t threads = gq_page_threads(page);
    uint64_t sum = 0;
    for (uint32_t i = 0; i < threads; i++)
        sum += load(&page->crumb[i].retries);
    return sum;
}
