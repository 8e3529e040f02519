/* page.h - a worker's page as the host reads it. A plugin may write over it at any moment, also while the host looks:
 * each word is read once, and what was read is checked before it is used.
 */
#ifndef GQ_RING_PAGE_H
#define GQ_RING_PAGE_H

#include <gpuqueue/layout.h>
#include <stdint.h>

/* How many crumbs count. */
static inline uint32_t gq_page_threads(const struct gq_worker_page *page)
{
    const uint32_t threads = __atomic_load_n(&page->threads, __ATOMIC_RELAXED);
    return threads < GQ_BLOCKS_MAX ? threads : GQ_BLOCKS_MAX;
}

/* What a block left; block < gq_page_threads(). The signal first: it was written last. */
struct gq_crumb gq_page_crumb(const struct gq_worker_page *page, uint32_t block);

/* The sum over all blocks. */
uint64_t gq_page_retries(const struct gq_worker_page *page);

#endif
