#include "pipeline/suspects.h"
#include <stdio.h>
#include <sys/wait.h>

/* A source plugin's crumb names an index; the run that it belongs to names the lane. */
static uint64_t id_of(const struct gq_crumb *c, const struct gq_queue *queue)
{
    if (c->stage != GQ_CRUMB_SOURCE)
        return c->current;
    const struct gq_lane *lane = gq_queue_lane_of(queue, c->first);
    if (!lane || !lane->generated)
        return 0;
    const struct gq_in_head *head = lane->view.in_head;
    return gq_slot_id(lane->view.lane, (c->current - head->first_index) / head->index_step);
}

static bool is_inside(const struct gq_crumb *c) { return c->holds && (c->current || c->stage == GQ_CRUMB_SOURCE); }

static uint32_t add(const struct gq_crumb *c, struct gq_queue *queue, bool caused, struct gq_suspect *out)
{
    const struct gq_suspect suspect = {id_of(c, queue), (uint32_t)c->stage, (uint32_t)c->generation, caused};
    struct gq_lane *lane = is_inside(c) && suspect.id ? gq_queue_lane_of(queue, suspect.id) : NULL;
    if (!lane || !gq_lane_is_open(lane, suspect.id))
        return 0;
    *out = suspect;
    return 1;
}

uint32_t gq_suspects_find(const struct gq_worker_page *page, struct gq_queue *queue, uint32_t hung,
                          struct gq_suspect *out, uint32_t max)
{
    const uint32_t threads = page->threads < GQ_BLOCKS_MAX ? page->threads : GQ_BLOCKS_MAX;
    uint32_t n = 0;
    if (hung < threads) /* nobody else is to blame, also when it ended at the last moment */
        return add(&page->crumb[hung], queue, true, out);
    for (uint32_t i = 0; i < threads; i++)
        if (__atomic_load_n(&page->crumb[i].signal, __ATOMIC_ACQUIRE) && add(&page->crumb[i], queue, true, out))
            return 1;
    for (uint32_t i = 0; i < threads && n < max; i++)
        n += add(&page->crumb[i], queue, false, &out[n]);
    return n;
}

uint32_t gq_deaths_of(uint32_t retries) { return (retries ? retries : 1) + 1; }

uint32_t gq_fault_code(const struct gq_worker_page *page, bool hung, int wait_status)
{
    if (hung)
        return GQ_FAULT_TIME;
    for (uint32_t i = 0; i < page->threads && i < GQ_BLOCKS_MAX; i++)
        if (page->crumb[i].signal > 0 && page->crumb[i].signal < GQ_FAULT_EXIT)
            return page->crumb[i].signal;
    return WIFSIGNALED(wait_status) ? (uint32_t)WTERMSIG(wait_status)
                                    : GQ_FAULT_EXIT + (uint32_t)WEXITSTATUS(wait_status);
}

void gq_fault_describe(uint32_t code, char *text, size_t size)
{
    if (code == GQ_FAULT_TIME)
        snprintf(text, size, "did not end within its stage's timeout");
    else if (code < GQ_FAULT_EXIT)
        snprintf(text, size, "ended the worker with %s", gq_signal_name((int)code));
    else
        snprintf(text, size, "ended the worker with exit code %u", code - GQ_FAULT_EXIT);
}
