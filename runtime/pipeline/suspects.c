#include "pipeline/suspects.h"
#include "ring/page.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#define NO_STAGE (GQ_CRUMB_SOURCE - 1) /* beyond every stage */
#define ROOM_MAX (1u << 20)            /* more suspects than a device has threads are a page that was written over */

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

static uint32_t add(const struct gq_suspect *suspect, struct gq_queue *queue, struct gq_suspect *out)
{
    struct gq_lane *lane = suspect->id ? gq_queue_lane_of(queue, suspect->id) : NULL;
    if (!lane || !gq_lane_is_open(lane, suspect->id))
        return 0;
    *out = *suspect;
    return 1;
}

static uint32_t add_crumb(const struct gq_crumb *c, struct gq_queue *queue, bool caused, struct gq_suspect *out)
{
    const uint32_t stage = c->stage <= GQ_CRUMB_SOURCE ? (uint32_t)c->stage : NO_STAGE;
    const struct gq_suspect suspect = {id_of(c, queue), stage, (uint32_t)c->generation, caused};
    return gq_crumb_is_inside(c) ? add(&suspect, queue, out) : 0;
}

/* A team serves a run's messages at a time or one after another: nobody knows which of them it was. */
static uint32_t add_run(const struct gq_worker_page *page, uint32_t place, struct gq_queue *queue, bool caused,
                        struct gq_suspect *out, uint32_t max)
{
    uint64_t data;
    const uint64_t first = gq_page_run(page, place, &data);
    const uint32_t count = first ? GQ_RUN_COUNT(data) : 0;
    uint32_t n = 0;
    for (uint32_t i = 0; i < count && n < max && gq_id_lane(first + i) == gq_id_lane(first); i++) {
        const struct gq_suspect suspect = {first + i, GQ_RUN_STAGE(data), GQ_RUN_GENERATION(data),
                                           caused && count == 1};
        n += add(&suspect, queue, out + n);
    }
    return n;
}

/* By id; of one message the latest of its steps first, for it has left the others. */
static int compare(const void *a, const void *b)
{
    const struct gq_suspect *x = a, *y = b;
    const uint32_t step_x = (x->stage + 1) % (GQ_CRUMB_SOURCE + 1), step_y = (y->stage + 1) % (GQ_CRUMB_SOURCE + 1);
    return x->id != y->id ? (x->id > y->id) - (x->id < y->id) : (step_y > step_x) - (step_y < step_x);
}

/* What is named twice is tried once. */
static uint32_t put_in_order(struct gq_suspect *list, uint32_t count)
{
    uint32_t n = 0;
    qsort(list, count, sizeof *list, compare);
    for (uint32_t i = 0; i < count; i++)
        if (n == 0 || list[n - 1].id != list[i].id)
            list[n++] = list[i];
    return n;
}

uint32_t gq_suspects_room(const struct gq_worker_page *page)
{
    const uint32_t runs = gq_page_runs(page);
    uint32_t room = GQ_BLOCKS_MAX;
    uint64_t data;
    for (uint32_t i = 0; i < runs; i++)
        room += gq_page_run(page, i, &data) ? GQ_RUN_COUNT(data) : 0;
    return room < ROOM_MAX ? room : ROOM_MAX;
}

uint32_t gq_suspects_find(const struct gq_worker_page *page, struct gq_queue *queue, uint32_t hung,
                          struct gq_suspect *out, uint32_t max)
{
    const uint32_t threads = gq_page_threads(page), runs = gq_page_runs(page);
    struct gq_crumb c;
    uint32_t n = 0;
    if (hung < threads) { /* nobody else is to blame, also when it ended at the last moment */
        c = gq_page_crumb(page, hung);
        return add_crumb(&c, queue, true, out);
    }
    if (hung >= GQ_BLOCKS_MAX && hung - GQ_BLOCKS_MAX < runs)
        return add_run(page, hung - GQ_BLOCKS_MAX, queue, true, out, max);
    for (uint32_t i = 0; i < threads; i++) {
        c = gq_page_crumb(page, i);
        if (c.signal && add_crumb(&c, queue, true, out))
            return 1;
    }
    for (uint32_t i = 0; i < threads && n < max; i++) {
        c = gq_page_crumb(page, i);
        n += add_crumb(&c, queue, false, out + n);
    }
    for (uint32_t i = 0; i < runs && n < max; i++)
        n += add_run(page, i, queue, false, out + n, max - n);
    return put_in_order(out, n);
}

uint32_t gq_suspects_all_room(const struct gq_queue *queue)
{
    uint64_t room = 1;
    for (uint32_t i = 0; i < gq_queue_lanes(queue); i++)
        room += (uint64_t)queue->lane[i]->view.mask + 1;
    return room < ROOM_MAX ? (uint32_t)room : ROOM_MAX;
}

uint32_t gq_suspects_all(struct gq_queue *queue, struct gq_suspect *out, uint32_t max)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < gq_queue_lanes(queue); i++) {
        struct gq_lane *lane = queue->lane[i];
        const uint64_t end = __atomic_load_n(&lane->submitted, __ATOMIC_ACQUIRE);
        for (uint64_t seq = __atomic_load_n(&lane->released, __ATOMIC_ACQUIRE); seq < end && n < max; seq++) {
            const struct gq_suspect suspect = {.id = gq_slot_id(lane->view.lane, seq), .stage = NO_STAGE};
            n += add(&suspect, queue, out + n);
        }
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
        if ((signal > 0 && signal < GQ_FAULT_EXIT) || (signal > GQ_FAULT_CUDA && signal <= GQ_FAULT_CUDA_MAX))
            return signal;
    }
    return WIFSIGNALED(wait_status) ? (uint32_t)WTERMSIG(wait_status)
                                    : GQ_FAULT_EXIT + (uint32_t)WEXITSTATUS(wait_status);
}

/* Those that device code causes; the driver, which knows the others, is in the worker. */
static const char *name_of_error(uint32_t error)
{
    switch (error) {
    case 700:
        return "CUDA_ERROR_ILLEGAL_ADDRESS";
    case 702:
        return "CUDA_ERROR_LAUNCH_TIMEOUT";
    case 710:
        return "CUDA_ERROR_ASSERT";
    case 714:
        return "CUDA_ERROR_HARDWARE_STACK_ERROR";
    case 715:
        return "CUDA_ERROR_ILLEGAL_INSTRUCTION";
    case 716:
        return "CUDA_ERROR_MISALIGNED_ADDRESS";
    case 717:
        return "CUDA_ERROR_INVALID_ADDRESS_SPACE";
    case 718:
        return "CUDA_ERROR_INVALID_PC";
    case 719:
        return "CUDA_ERROR_LAUNCH_FAILED";
    default:
        return "an error of the device";
    }
}

void gq_fault_describe(uint32_t code, char *text, size_t size)
{
    if (code == GQ_FAULT_TIME)
        snprintf(text, size, "did not end within its stage's timeout");
    else if (code < GQ_FAULT_EXIT)
        snprintf(text, size, "ended the worker with %s", gq_signal_name((int)code));
    else if (code > GQ_FAULT_CUDA)
        snprintf(text, size, "ended the worker with %s", name_of_error(code - GQ_FAULT_CUDA));
    else
        snprintf(text, size, "ended the worker with exit code %u", code - GQ_FAULT_EXIT);
}
