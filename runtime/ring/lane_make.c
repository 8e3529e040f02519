/* A lane is made, and unmade. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/assert.h"
#include "base/mem.h"
#include "ring/lane.h"

static gq_status map_files(struct gq_lane *lane, const struct gq_lane_opts *opts)
{
    uint8_t *in =
        gq_lane_make_file("gpuq-ingress", lane->in_bytes, PROT_READ | PROT_WRITE, F_SEAL_FUTURE_WRITE, &lane->in_fd);
    if (!in)
        return gq_error_errno(GQ_ERR_NO_MEMORY, errno, "making a lane's ingress of %zu bytes", lane->in_bytes);
    lane->view.in_head = (struct gq_in_head *)in; /* from here on gq_lane_destroy() unmaps it */
    uint8_t *out = gq_lane_make_file("gpuq-egress", lane->out_bytes, PROT_READ, 0, &lane->out_fd);
    if (!out)
        return gq_error_errno(GQ_ERR_NO_MEMORY, errno, "making a lane's egress of %zu bytes", lane->out_bytes);
    gq_lane_view_fill(&lane->view, in, out, opts->capacity, opts->slot_bytes);
    lane->view.lane = opts->lane;
    return GQ_OK;
}

static void write_head(const struct gq_lane *lane, const struct gq_lane_opts *opts)
{
    struct gq_in_head *head = lane->view.in_head;
    head->magic = GQ_LAYOUT_MAGIC;
    head->version = GQ_LAYOUT_VERSION;
    head->lane = opts->lane;
    head->capacity = opts->capacity;
    head->slot_bytes = opts->slot_bytes;
    head->stride = lane->view.stride;
    head->generated = opts->generated;
    head->first_index = opts->first_index;
    head->index_step = opts->index_step;
    head->counted = opts->counted;
}

gq_status gq_lane_start_egress(const struct gq_lane_view *view, int fd)
{
    const struct gq_out_desc other = {.state = GQ_NOBODYS_STATE};
    const uint8_t *at = (const uint8_t *)&view->out_desc[view->mask];
    if (pwrite(fd, &other, sizeof other, at - (const uint8_t *)view->out_head) == (ssize_t)sizeof other)
        return GQ_OK;
    return gq_error_errno(GQ_ERR_NO_MEMORY, errno, "starting a lane's descriptors");
}

static gq_status start_stamps(const struct gq_lane *lane)
{
    lane->view.in_desc[lane->view.mask] = GQ_NOBODYS_STATE;
    return gq_lane_start_egress(&lane->view, lane->out_fd);
}

static gq_status make_private(struct gq_lane *lane, const struct gq_lane_opts *opts)
{
    lane->state = calloc(opts->capacity, 1);
    if (opts->timed) {
        lane->sent_ns = calloc(opts->capacity, sizeof *lane->sent_ns);
        lane->tally[0].latency = calloc(1, sizeof *lane->tally[0].latency);
        lane->tally[1].latency = calloc(1, sizeof *lane->tally[1].latency);
    }
    if (lane->link && lane->link->express && !opts->generated && gq_units_are_single())
        lane->express = gq_express_make(opts->slot_bytes); /* without it messages go the other way */
    bool whole = lane->state && (!opts->timed || (lane->sent_ns && lane->tally[0].latency && lane->tally[1].latency));
    return whole ? GQ_OK : gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for a lane of %u slots", opts->capacity);
}

gq_status gq_lane_create(const struct gq_lane_opts *opts, struct gq_link *link, struct gq_lane **out)
{
    gq_assert(opts->capacity >= GQ_CAPACITY_MIN && opts->capacity <= GQ_CAPACITY_MAX);
    gq_assert((opts->capacity & (opts->capacity - 1)) == 0 && opts->lane < GQ_LANES_MAX);
    gq_assert(opts->slot_bytes >= GQ_SLOT_BYTES_MIN && opts->slot_bytes <= GQ_SLOT_BYTES_MAX);
    *out = NULL;
    struct gq_lane *lane = gq_mem_lines(sizeof *lane);
    if (!lane)
        return gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for a lane");
    pthread_mutex_init(&lane->lock, NULL);
    lane->in_fd = lane->out_fd = -1;
    lane->link = link;
    lane->generated = opts->generated;
    lane->fetch_ahead = link && link->express;
    lane->counted = opts->counted;
    lane->tell = opts->tell;
    lane->tell_arg = opts->tell_arg;
    lane->generate_count = opts->count;
    lane->in_bytes = gq_lane_in_bytes(opts->capacity, opts->slot_bytes);
    lane->out_bytes = gq_lane_out_bytes(opts->capacity, opts->slot_bytes);
    lane->first_seq = lane->claimed = lane->submitted = lane->seen = lane->released = opts->first_seq;
    lane->room_end = opts->first_seq + opts->capacity;
    lane->keeper = opts->keeper;
    gq_status status = map_files(lane, opts);
    if (status == GQ_OK)
        status = start_stamps(lane);
    if (status == GQ_OK)
        status = make_private(lane, opts);
    if (status != GQ_OK) {
        gq_lane_destroy(lane);
        return status;
    }
    write_head(lane, opts);
    if (lane->generated)
        gq_lane_grant(lane);
    *out = lane;
    return GQ_OK;
}

void gq_lane_destroy(struct gq_lane *lane)
{
    if (!lane)
        return;
    if (lane->view.in_head)
        munmap(lane->view.in_head, lane->in_bytes);
    if (lane->view.out_head)
        munmap(lane->view.out_head, lane->out_bytes);
    if (lane->in_fd >= 0)
        close(lane->in_fd);
    if (lane->out_fd >= 0)
        close(lane->out_fd);
    pthread_mutex_destroy(&lane->lock);
    free(lane->express);
    free(lane->state);
    free(lane->put);
    free(lane->sent_ns);
    free(lane->tally[0].latency);
    free(lane->tally[1].latency);
    free(lane);
}
