/* page.h - a worker's page as the host reads it. A plugin may write over it at any moment, also while the host looks:
 * each word is read once, and what was read is checked before it is used.
 */
#ifndef GQ_RING_PAGE_H
#define GQ_RING_PAGE_H

#include <gpuqueue/layout.h>
#include <stdbool.h>
#include <stdint.h>
#include "device/port.h"

/* How many crumbs count. */
static inline uint32_t gq_page_threads(const struct gq_worker_page *page)
{
    const uint32_t threads = __atomic_load_n(&page->threads, __ATOMIC_RELAXED);
    return threads < GQ_BLOCKS_MAX ? threads : GQ_BLOCKS_MAX;
}

/* What a block left; block < gq_page_threads(). The signal first: it was written last. */
struct gq_crumb gq_page_crumb(const struct gq_worker_page *page, uint32_t block);

/* Is somebody inside of a message? Index 0 is one; no message has the id 0. */
static inline bool gq_crumb_is_inside(const struct gq_crumb *c)
{
    return c->holds && (c->current || c->stage == GQ_CRUMB_SOURCE);
}

/* How many runs count, of those that a device's teams serve. */
static inline uint32_t gq_page_runs(const struct gq_worker_page *page)
{
    const uint32_t runs = __atomic_load_n(&page->runs, __ATOMIC_RELAXED);
    return runs < GQ_RUNS_MAX ? runs : GQ_RUNS_MAX;
}

/* The run of one place: the id of its first message, 0 for none, and what it is about (GQ_RUN_...). */
static inline uint64_t gq_page_run(const struct gq_worker_page *page, uint32_t place, uint64_t *data)
{
    uint64_t id;
    gq_load_unit(&page->run[place], &id, data); /* A9 pairs R9 */
    return id;
}

/* The sum over all blocks. */
uint64_t gq_page_retries(const struct gq_worker_page *page);

#endif
