#include "pipeline/suspects.h"
#include "ring/page.h"
#include <stdio.h>
#include <sys/wait.h>

#define NO_STAGE (GQ_CRUMB_SOURCE - 1) /* beyond every stage */

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

/* A thread is inside of one message, so no two of them name the same; what is named twice is tried once. */
static bool is_listed(const struct gq_suspect *list, uint32_t count, uint64_t id)
{
    for (uint32_t i = 0; i < count; i++)
        if (list[i].id == id)
            return true;
    return false;
}

static uint32_t add(const struct gq_crumb *c, struct gq_queue *queue, bool caused, struct gq_suspect *list,
                    uint32_t count)
{
    const uint32_t stage = c->stage <= GQ_CRUMB_SOURCE ? (uint32_t)c->stage : NO_STAGE;
    const struct gq_suspect suspect = {id_of(c, queue), stage, (uint32_t)c->generation, caused};
    struct gq_lane *lane = is_inside(c) && suspect.id ? gq_queue_lane_of(queue, suspect.id) : NULL;
    if (!lane || is_listed(list, count, suspect.id) || !gq_lane_is_open(lane, suspect.id))
        return 0;
    list[count] = suspect;
    return 1;
}

uint32_t gq_suspects_find(const struct gq_worker_page *page, struct gq_queue *queue, uint32_t hung,
                          struct gq_suspect *out, uint32_t max)
{
    const uint32_t threads = gq_page_threads(page);
    struct gq_crumb c;
    uint32_t n = 0;
    if (hung < threads) { /* nobody else is to blame, also when it ended at the last moment */
        c = gq_page_crumb(page, hung);
        return add(&c, queue, true, out, 0);
    }
    for (uint32_t i = 0; i < threads; i++) {
        c = gq_page_crumb(page, i);
        if (c.signal && add(&c, queue, true, out, 0))
            return 1;
    }
    for (uint32_t i = 0; i < threads && n < max; i++) {
        c = gq_page_crumb(page, i);
        n += add(&c, queue, false, out, n);
    }
    return n;
}

uint32_t gq_deaths_of(uint32_t retries) { return (retries ? retries : 1) + 1; }

uint32_t gq_fault_code(const struct gq_worker_page *page, bool hung, int wait_status)
{
    if (hung)
        return GQ_FAULT_TIME;
    const uint32_t threads = gq_page_threads(page);
    for (uint32_t i = 0; i < threads; i++) {
        const uint32_t signal = gq_page_crumb(page, i).signal;
        if (signal > 0 && signal < GQ_FAULT_EXIT)
            return signal;
    }
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
