/* A lane that goes on with another worker. The host's addresses stay: behind them comes another file, with the same
 * bytes in every slot that somebody may be reading. */
#include "ring/lane.h"
#include "base/assert.h"
#include "base/mem.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static uint32_t bytes_of(const struct gq_lane_view *view, uint64_t meta, uint32_t len)
{
    return gq_meta_status(meta) == GQ_RESULT_OK && len <= view->slot_bytes ? len : 0;
}

/* The words of a dead worker are read once, and checked by who takes the result. */
static void copy_finished(const struct gq_lane_view *from, const struct gq_lane_view *to, uint64_t seq)
{
    uint32_t len;
    uint64_t meta;
    if (!gq_slot_ready(from, seq, &len, &meta))
        return;
    memcpy(gq_slot_out(to, seq), gq_slot_out(from, seq), bytes_of(from, meta, len));
    gq_slot_finish(to, seq, len, meta);
}

static void put_ending(const struct gq_lane *lane, const struct gq_lane_view *to, const struct gq_lane_ending *ending,
                       const struct gq_lane_range *range)
{
    const uint64_t seq = gq_id_seq(ending->id);
    uint32_t len;
    uint64_t meta;
    if (gq_id_lane(ending->id) != lane->view.lane || seq < range->first || seq >= range->mixed ||
        gq_slot_ready(to, seq, &len, &meta))
        return;
    const uint32_t bytes = bytes_of(to, ending->meta, ending->len);
    if (bytes)
        memcpy(gq_slot_out(to, seq), ending->data, bytes);
    gq_slot_finish(to, seq, ending->len, ending->meta);
}

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
    uint8_t *out = gq_lane_make_file("gpuq-egress", lane->out_bytes, PROT_READ | PROT_WRITE, 0, &fd);
    const struct gq_lane_view next = out ? view_of(lane, out) : (struct gq_lane_view){0};
    *range = (struct gq_lane_range){lane->released, __atomic_load_n(&lane->submitted, __ATOMIC_ACQUIRE), UINT64_MAX};
    const bool started = out && gq_lane_start_egress(&next, fd, range->first) == GQ_OK;
    for (uint64_t seq = range->first; started && seq < range->mixed; seq++)
        copy_finished(&lane->view, &next, seq);
    for (uint32_t i = 0; started && i < count; i++)
        put_ending(lane, &next, &endings[i], range);
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
    return GQ_OK;
}

gq_status gq_lane_renew(struct gq_lane *lane, const struct gq_lane_ending *endings, uint32_t count,
                        struct gq_lane_range *range)
{
    gq_assert(!lane->counted && !lane->express);
    pthread_mutex_lock(&lane->lock);
    gq_status status = renew_locked(lane, endings, count, range);
    pthread_mutex_unlock(&lane->lock);
    return status;
}

bool gq_lane_is_open(struct gq_lane *lane, uint64_t id)
{
    const uint64_t seq = gq_id_seq(id);
    uint32_t len;
    uint64_t meta;
    pthread_mutex_lock(&lane->lock);
    const bool open = gq_id_lane(id) == lane->view.lane && seq >= lane->released &&
                      seq < __atomic_load_n(&lane->submitted, __ATOMIC_ACQUIRE) &&
                      !gq_slot_ready(&lane->view, seq, &len, &meta);
    pthread_mutex_unlock(&lane->lock);
    return open;
}

bool gq_lane_has_good(struct gq_lane *lane, uint32_t generation)
{
    bool good = false;
    uint32_t len;
    uint64_t meta;
    pthread_mutex_lock(&lane->lock);
    const uint64_t end = __atomic_load_n(&lane->submitted, __ATOMIC_ACQUIRE);
    for (uint64_t seq = lane->released; seq < end && !good; seq++)
        good = gq_slot_ready(&lane->view, seq, &len, &meta) && gq_meta_status(meta) == GQ_RESULT_OK &&
               gq_meta_generation(meta) >= generation;
    pthread_mutex_unlock(&lane->lock);
    return good;
}

gq_status gq_lane_window_open(struct gq_lane_window *window, const struct gq_lane *lane)
{
    *window = (struct gq_lane_window){.out_fd = -1, .out_bytes = lane->out_bytes};
    uint8_t *out = gq_lane_make_file("gpuq-egress", lane->out_bytes, PROT_READ, 0, &window->out_fd);
    if (!out) {
        gq_error_errno(GQ_ERR_NO_MEMORY, errno, "making an egress of %zu bytes", lane->out_bytes);
        close_file(window->out_fd);
        window->out_fd = -1;
        return GQ_ERR_NO_MEMORY;
    }
    window->view = view_of(lane, out);
    gq_status status = gq_lane_start_egress(&window->view, window->out_fd, lane->released);
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

bool gq_lane_window_ending(const struct gq_lane_window *window, uint64_t seq, struct gq_lane_ending *ending)
{
    const struct gq_lane_view *view = &window->view;
    *ending = (struct gq_lane_ending){.id = gq_slot_id(view->lane, seq)};
    if (!gq_slot_ready(view, seq, &ending->len, &ending->meta))
        return false;
    const uint32_t bytes = bytes_of(view, ending->meta, ending->len);
    ending->data = bytes ? malloc(bytes) : NULL;
    if (bytes && !ending->data)
        return false;
    if (bytes)
        memcpy(ending->data, gq_slot_out(view, seq), bytes);
    return true;
}
