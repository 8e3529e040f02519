/* A lane that goes on with another worker. The host's addresses stay: behind them comes another file, with the same
 * bytes in every slot that somebody may be reading. */
#include "ring/lane.h"
#include "base/assert.h"
#include "base/mem.h"
#include "ring/counted.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static uint32_t bytes_of(const struct gq_lane_view *view, uint64_t meta, uint32_t len)
{
    return gq_meta_status(meta) == GQ_RESULT_OK && len <= view->slot_bytes ? len : 0;
}

/* Somebody may be reading the bytes, whatever the descriptor says by now. The message is done with in any case. */
static bool copy_held(const struct gq_lane *lane, const struct gq_lane_view *to, uint64_t seq)
{
    memcpy(gq_slot_out(to, seq), gq_slot_out(&lane->view, seq), to->slot_bytes);
    gq_slot_finish(to, seq, 0, gq_meta(lane->dues.last[0].generation, 0, GQ_RESULT_DROPPED, 0));
    return true;
}

/* The words of a dead worker are read once, and checked by who takes the result. Has it finished? */
static bool copy_finished(struct gq_lane *lane, const struct gq_lane_view *to, uint64_t seq)
{
    struct gq_lane_result r;
    const bool held = gq_lane_is_held(lane, seq);
    if (!gq_lane_ready(lane, seq, &r)) {
        if (held)
            return copy_held(lane, to, seq);
        if (lane->express)
            gq_express_forget(lane->express, seq);
        return false;
    }
    const bool whole = held && r.data == gq_slot_out(&lane->view, seq); /* its length may be another's too */
    memcpy(gq_slot_out(to, seq), r.data, whole ? to->slot_bytes : bytes_of(to, r.meta, r.len));
    gq_slot_finish(to, seq, r.len, r.meta);
    return true;
}

/* Is the descriptor there? A producer raises `submitted` before, and may lose its processor in between. */
static bool is_published(const struct gq_lane *lane, uint64_t seq)
{
    uint32_t len;
    return lane->generated || gq_slot_acquire(&lane->view, seq, &len); /* A1 pairs R1 */
}

static bool is_of(const struct gq_lane *lane, const struct gq_lane_ending *ending)
{
    return gq_id_lane(ending->id) == lane->view.lane;
}

/* Is it of a message that the next worker finds with an end? */
static bool is_to_put(const struct gq_lane *lane, const struct gq_lane_ending *ending,
                      const struct gq_lane_range *range)
{
    const uint64_t seq = gq_id_seq(ending->id);
    return is_of(lane, ending) && seq >= range->first && seq < range->mixed;
}

static void put_ending(const struct gq_lane *lane, const struct gq_lane_view *to, const struct gq_lane_ending *ending,
                       const struct gq_lane_range *range)
{
    const uint64_t seq = gq_id_seq(ending->id);
    uint32_t len;
    uint64_t meta;
    if (!is_to_put(lane, ending, range) || gq_slot_ready(to, seq, &len, &meta))
        return;
    const uint32_t bytes = bytes_of(to, ending->meta, ending->len);
    if (bytes)
        memcpy(gq_slot_out(to, seq), ending->data, bytes);
    gq_slot_finish(to, seq, ending->len, ending->meta);
}

/* Before anything is changed: has this lane endings, and no memory to mark them? */
static bool can_mark(struct gq_lane *lane, const struct gq_lane_ending *endings, uint32_t count)
{
    bool any = false;
    for (uint32_t i = 0; i < count && !lane->counted; i++)
        any |= is_of(lane, &endings[i]);
    if (any && !lane->put)
        __atomic_store_n(&lane->put, calloc((size_t)lane->view.mask + 1, sizeof *lane->put), __ATOMIC_RELEASE);
    return !any || lane->put;
}

static void mark_endings(struct gq_lane *lane, const struct gq_lane_ending *endings, uint32_t count,
                         const struct gq_lane_range *range)
{
    for (uint32_t i = 0; i < count && lane->put; i++) {
        const uint64_t seq = gq_id_seq(endings[i].id);
        if (is_to_put(lane, &endings[i], range))
            __atomic_store_n(&lane->put[gq_slot_index(&lane->view, seq)], seq + 1, __ATOMIC_RELAXED);
    }
}

bool gq_lane_was_put(const struct gq_lane *lane, uint64_t seq)
{
    const uint64_t *put = __atomic_load_n(&lane->put, __ATOMIC_ACQUIRE);
    return put && __atomic_load_n(&put[gq_slot_index(&lane->view, seq)], __ATOMIC_RELAXED) == seq + 1;
}

static void renew_results(struct gq_lane *lane, const struct gq_lane_view *to, const struct gq_lane_ending *endings,
                          uint32_t count, struct gq_lane_range *range)
{
    const uint64_t end = __atomic_load_n(&lane->submitted, __ATOMIC_ACQUIRE);
    while (range->mixed < end && (copy_finished(lane, to, range->mixed) || is_published(lane, range->mixed)))
        range->mixed++; /* it looks at no descriptor of these: one that is not there would be a message without bytes */
    for (uint32_t i = 0; i < count; i++)
        put_ending(lane, to, &endings[i], range);
}

/* --- counted lanes --------------------------------------------------------------------------------------------------
 */

static bool is_given_up(uint64_t meta) { return gq_meta_status(meta) == GQ_RESULT_FAULTED; }

/* As the worker does it. */
static void put_failed(const struct gq_lane_view *to, uint64_t seq, uint32_t len, uint64_t meta,
                       struct gq_lane_range *range)
{
    gq_store_unit(gq_slot_out(to, seq), seq + 1, 0); /* R6 pairs A6 */
    gq_slot_finish(to, seq, len, meta);
    range->mixed = range->mixed > seq ? range->mixed : seq + 1;
}

/* Of what was not taken, only who was given up has ended: nobody would find that out again without another death. */
static void renew_counted(const struct gq_lane *lane, const struct gq_lane_view *to,
                          const struct gq_lane_ending *endings, uint32_t count, struct gq_lane_range *range)
{
    const uint64_t end = __atomic_load_n(&lane->submitted, __ATOMIC_ACQUIRE);
    struct gq_lane_result r;
    range->first = range->mixed = lane->seen;
    for (uint64_t seq = lane->released; seq < end; seq++)
        if (gq_counted_failed(lane, seq, &r) && (seq < range->first || is_given_up(r.meta)))
            put_failed(to, seq, r.len, r.meta, range);
    for (uint32_t i = 0; i < count; i++) {
        const uint64_t seq = gq_id_seq(endings[i].id);
        if (is_of(lane, &endings[i]) && seq >= range->first && seq < end && is_given_up(endings[i].meta))
            put_failed(to, seq, endings[i].len, endings[i].meta, range);
    }
    for (uint32_t i = 0; i < GQ_COUNTS; i++)
        gq_store_unit(&to->out_head->count[i], range->first, lane->counts[i]); /* R8 pairs A8 */
}

/* --- a fresh egress -------------------------------------------------------------------------------------------------
 */

static struct gq_lane_view view_of(const struct gq_lane *lane, uint8_t *out)
{
    struct gq_lane_view view;
    gq_lane_view_fill(&view, (uint8_t *)lane->view.in_head, out, lane->view.mask + 1, lane->view.slot_bytes);
    view.lane = lane->view.lane;
    return view;
}

static void close_file(int fd)
{
    if (fd >= 0)
        close(fd);
}

/* Under the lane's lock: nothing is released meanwhile, and so nothing that ended is passed over. */
static gq_status renew_locked(struct gq_lane *lane, const struct gq_lane_ending *endings, uint32_t count,
                              struct gq_lane_range *range)
{
    int fd = -1;
    uint8_t *out = can_mark(lane, endings, count)
                       ? gq_lane_make_file("gpuq-egress", lane->out_bytes, PROT_READ | PROT_WRITE, 0, &fd)
                       : NULL;
    const struct gq_lane_view next = out ? view_of(lane, out) : (struct gq_lane_view){0};
    const bool started = out && gq_lane_start_egress(&next, fd) == GQ_OK;
    *range = (struct gq_lane_range){lane->released, lane->released, UINT64_MAX};
    if (started && lane->counted)
        renew_counted(lane, &next, endings, count, range);
    else if (started)
        renew_results(lane, &next, endings, count, range);
    if (!started || !gq_mem_replace(lane->view.out_head, lane->out_bytes, fd)) {
        gq_error_errno(GQ_ERR_NO_MEMORY, errno, "making a lane's egress of %zu bytes", lane->out_bytes);
        if (out)
            munmap(out, lane->out_bytes);
        close_file(fd);
        return GQ_ERR_NO_MEMORY;
    }
    munmap(out, lane->out_bytes);
    close_file(lane->out_fd);
    lane->out_fd = fd;
    mark_endings(lane, endings, count, range);
    if (lane->distrusted)
        lane->renewed = range->mixed;
    __atomic_store_n(&lane->distrusted, 0, __ATOMIC_RELEASE);
    return GQ_OK;
}

gq_status gq_lane_renew(struct gq_lane *lane, const struct gq_lane_ending *endings, uint32_t count,
                        struct gq_lane_range *range)
{
    pthread_mutex_lock(&lane->lock);
    gq_status status = renew_locked(lane, endings, count, range);
    pthread_mutex_unlock(&lane->lock);
    return status;
}

static bool has_ended(struct gq_lane *lane, uint64_t seq)
{
    struct gq_lane_result r;
    if (lane->counted)
        return gq_counted_end(lane) > seq || gq_counted_failed(lane, seq, &r);
    return gq_lane_ready(lane, seq, &r) || gq_lane_is_held(lane, seq);
}

bool gq_lane_is_open(struct gq_lane *lane, uint64_t id)
{
    const uint64_t seq = gq_id_seq(id);
    pthread_mutex_lock(&lane->lock);
    const bool open = gq_id_lane(id) == lane->view.lane && seq >= lane->released &&
                      seq < __atomic_load_n(&lane->submitted, __ATOMIC_ACQUIRE) && is_published(lane, seq) &&
                      !has_ended(lane, seq);
    pthread_mutex_unlock(&lane->lock);
    return open;
}

bool gq_lane_has_good(struct gq_lane *lane, uint32_t generation)
{
    struct gq_lane_result r;
    pthread_mutex_lock(&lane->lock);
    const uint64_t end = __atomic_load_n(&lane->submitted, __ATOMIC_ACQUIRE);
    bool good = lane->counted && gq_counted_good(lane, generation);
    for (uint64_t seq = lane->counted ? end : lane->released; seq < end && !good; seq++)
        good = gq_lane_answered(lane, seq, &r) && gq_meta_status(r.meta) == GQ_RESULT_OK &&
               gq_meta_generation(r.meta) >= generation;
    pthread_mutex_unlock(&lane->lock);
    return good;
}

/* --- windows --------------------------------------------------------------------------------------------------------
 */

/* All that lie between those of the set have ended. Then the host reads only. */
static gq_status fill_window(struct gq_lane_window *window, const uint64_t *seqs, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) {
        gq_assert(seqs[i] > seqs[i - 1] && seqs[i] - seqs[0] <= window->view.mask);
        for (uint64_t seq = seqs[i - 1] + 1; seq < seqs[i]; seq++)
            gq_slot_finish(&window->view, seq, 0, gq_meta(0, 0, GQ_RESULT_DROPPED, 0));
    }
    if (mprotect(window->view.out_head, window->out_bytes, PROT_READ) == 0)
        return GQ_OK;
    return gq_error_errno(GQ_ERR_NO_MEMORY, errno, "closing an egress of %zu bytes to writes", window->out_bytes);
}

gq_status gq_lane_window_open(struct gq_lane_window *window, const struct gq_lane *lane, const uint64_t *seqs,
                              uint32_t count, struct gq_lane_range *range)
{
    gq_assert(count > 0);
    *range = (struct gq_lane_range){seqs[0], seqs[count - 1] + 1, seqs[count - 1] + 1};
    *window = (struct gq_lane_window){.out_fd = -1, .out_bytes = lane->out_bytes};
    uint8_t *out = gq_lane_make_file("gpuq-egress", lane->out_bytes, PROT_READ | PROT_WRITE, 0, &window->out_fd);
    if (!out) {
        gq_error_errno(GQ_ERR_NO_MEMORY, errno, "making an egress of %zu bytes", lane->out_bytes);
        close_file(window->out_fd);
        window->out_fd = -1;
        return GQ_ERR_NO_MEMORY;
    }
    window->view = view_of(lane, out);
    gq_status status = gq_lane_start_egress(&window->view, window->out_fd);
    if (status == GQ_OK)
        status = fill_window(window, seqs, count);
    if (status != GQ_OK)
        gq_lane_window_close(window);
    return status;
}

void gq_lane_window_close(struct gq_lane_window *window)
{
    if (window->out_fd < 0)
        return;
    munmap(window->view.out_head, window->out_bytes);
    close(window->out_fd);
    window->out_fd = -1;
}

static bool counts_it(const struct gq_lane_view *view, uint64_t seq)
{
    uint64_t stamp, data;
    gq_load_unit(&view->out_head->count[0], &stamp, &data); /* A8 pairs R8 */
    return stamp > seq;
}

bool gq_lane_window_ending(const struct gq_lane_window *window, uint64_t seq, struct gq_lane_ending *ending)
{
    const struct gq_lane_view *view = &window->view;
    const bool counted = view->in_head->counted && counts_it(view, seq); /* a failed one has its descriptor by then */
    *ending = (struct gq_lane_ending){.id = gq_slot_id(view->lane, seq)};
    if (!gq_slot_ready(view, seq, &ending->len, &ending->meta))
        return counted;
    const uint32_t bytes = bytes_of(view, ending->meta, ending->len);
    ending->data = bytes ? malloc(bytes) : NULL;
    if (bytes && !ending->data)
        return false;
    if (bytes)
        memcpy(ending->data, gq_slot_out(view, seq), bytes);
    return true;
}
