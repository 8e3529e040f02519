/* cuda_run_support.h - lanes of a device that the test plays: its memory is the test's own, and so is what its teams
 * leave there. Lane 0 is the one that most tests are about.
 */
#ifndef GQ_TESTS_CUDA_RUN_SUPPORT_H
#define GQ_TESTS_CUDA_RUN_SUPPORT_H

#include "backend/cuda.h"
#include "lane_support.h"
#include <string.h>

#define LANES 2u
#define STEPS 3u
#define CAPACITY 1024u
#define LINE_BYTES 2176u /* of the largest express line */
#define SHIFT GQ_BLOCK_SHIFT_MAX
#define GENERATION 70u /* of step 0; one more for each step, and 100 more for its canary */

static struct gq_link link_;
static struct gq_lane *lanes[LANES];
static struct gq_cuda cuda;
static _Alignas(GQ_LINE_BYTES) struct gq_worker_page page;
static _Alignas(GQ_LINE_BYTES) struct gq_grid_lane grid[LANES];
static struct gq_out_desc hop[LANES][STEPS][CAPACITY];
static _Alignas(16) struct gq_unit packs[LANES][STEPS][CAPACITY / GQ_PACK];
static _Alignas(GQ_LINE_BYTES) uint8_t lines[LANES][STEPS][GQ_EXPRESS_LINES * LINE_BYTES];

/* --- the driver -------------------------------------------------------------------------------------------------- */

static uint32_t calls, fail_call; /* the one that fails, from 1; 0: none */
static bool fail_on;              /* and all behind it */

static void (*meanwhile)(void); /* once, after the next copies: what the device does while somebody looks */

static int call(void)
{
    calls++;
    return fail_call && (calls == fail_call || (fail_on && calls > fail_call)) ? GQ_CU_STICKY_FIRST : GQ_CU_OK;
}

static struct {
    void *to;
    gq_cu_ptr from;
    size_t bytes;
} copy[4]; /* begun, and not waited for */
static uint32_t copies;

/* Ends those that were begun. What one that failed leaves may be anything. */
static int end_copies(int error)
{
    for (uint32_t i = 0; i < copies; i++)
        if (error == GQ_CU_OK)
            memcpy(copy[i].to, (const void *)(uintptr_t)copy[i].from, copy[i].bytes);
        else
            memset(copy[i].to, 0xff, copy[i].bytes);
    copies = 0;
    return error;
}

static int copy_from_device(void *to, gq_cu_ptr from, size_t bytes, gq_cu_stream stream)
{
    ck_assert_ptr_eq(stream, cuda.look);
    ck_assert_uint_lt(copies, sizeof copy / sizeof *copy);
    copy[copies].to = to;
    copy[copies].from = from;
    copy[copies++].bytes = bytes;
    const int error = call();
    return error == GQ_CU_OK ? error : end_copies(error);
}

static int stream_wait(gq_cu_stream stream)
{
    ck_assert_ptr_eq(stream, cuda.look);
    const int error = end_copies(call());
    void (*const now)(void) = meanwhile;
    meanwhile = NULL;
    if (now)
        now();
    return error;
}

/* Nobody needs to look twice: copies end while they are waited for. */
static int stream_query(gq_cu_stream stream)
{
    ck_assert_ptr_eq(stream, cuda.look);
    return GQ_CU_OK;
}

static const struct gq_cu_api driver = {
    .copy_from_device = copy_from_device, .stream_query = stream_query, .stream_wait = stream_wait};

/* --- lanes ------------------------------------------------------------------------------------------------------- */

static void begin_lane(uint32_t i, const struct gq_lane_opts *opts)
{
    gq_lane_destroy(lanes[i]);
    ck_assert_int_eq(gq_lane_create(opts, NULL, &lanes[i]), GQ_OK);
    writable(lanes[i]->view.out_head, lanes[i]->out_bytes);
    ck_assert_uint_le(lanes[i]->view.express_stride, LINE_BYTES);
    for (uint32_t step = 0; step < STEPS; step++) {
        for (uint32_t n = 0; n < GQ_SHARES; n++)
            grid[i].cursor[step].share[n].next =
                gq_share_first(gq_block_shift(lanes[i]->view.stride), n, opts->first_seq);
        grid[i].cursor[step].ready = opts->first_seq;
        grid[i].cursor[step].scout = 0;
    }
    cuda.seen[i] = (struct gq_cuda_seen){.view = lanes[i]->view,
                                         .hop = (gq_cu_ptr)(uintptr_t)hop[i],
                                         .express = (gq_cu_ptr)(uintptr_t)lines[i],
                                         .packs = opts->generated ? (gq_cu_ptr)(uintptr_t)packs[i] : 0,
                                         .head = {.seq = opts->first_seq}};
}

static void begin(uint32_t capacity, uint32_t slot_bytes, uint64_t first)
{
    cuda.setup.slot_bytes = slot_bytes;
    begin_lane(0,
               &(struct gq_lane_opts){.lane = 9, .capacity = capacity, .slot_bytes = slot_bytes, .first_seq = first});
}

static void begin_counted(uint32_t capacity, uint64_t count)
{
    begin_lane(
        0, &(struct gq_lane_opts){
               .lane = 9, .capacity = capacity, .slot_bytes = 64, .generated = true, .counted = true, .count = count});
}

static void serve(uint32_t scope)
{
    for (uint32_t side = 0; side < 2; side++)
        for (uint32_t step = 0; step < STEPS; step++)
            cuda.serves[side][step] = GQ_CUDA_SERVES(GENERATION + step + 100 * side, scope);
}

static void set_up(void)
{
    link_.worker = &page;
    cuda.cu = &driver;
    cuda.look = (gq_cu_stream)(uintptr_t)&cuda;
    cuda.setup.link = &link_;
    cuda.lanes = (gq_cu_ptr)(uintptr_t)grid;
    cuda.lane_count = 1;
    cuda.steps = 1;
    for (uint32_t i = 0; i < STEPS; i++)
        cuda.step[i].stage = i + 4;
    serve(0);
    begin(CAPACITY, 64, 0);
}

static void tear_down(void)
{
    for (uint32_t i = 0; i < LANES; i++)
        gq_lane_destroy(lanes[i]);
}

/* The host puts messages in. */
static void put(uint32_t i, uint32_t count)
{
    const uint32_t len = 0;
    uint64_t seq;
    while (count-- > 0) {
        ck_assert_uint_eq(gq_lane_claim(lanes[i], 1, 0, &seq), 1);
        gq_lane_publish(lanes[i], &len, 1, 0);
    }
}

/* They end, and leave the lane. */
static void end(uint32_t i, uint64_t from, uint64_t to)
{
    struct gq_lane_result r;
    for (uint64_t seq = from; seq < to; seq++) {
        gq_slot_finish(&lanes[i]->view, seq, 0, gq_meta(1, 0, GQ_RESULT_OK, 0));
        ck_assert_uint_eq(gq_lane_take(lanes[i], true, &r, 1), 1);
        ck_assert_int_eq(gq_lane_release(lanes[i], &r.seq, 1), GQ_OK);
    }
}

/* --- grids ------------------------------------------------------------------------------------------------------- */

static struct gq_grid_cursor *cursor(uint32_t step) { return &grid[0].cursor[step]; }

/* The share of message seq has claimed up to `to`; what scouts found is told up to there. */
static void claim(uint32_t step, uint64_t seq, uint64_t to)
{
    const uint32_t shift = gq_block_shift(lanes[0]->view.stride);
    cursor(step)->share[(seq >> shift) % GQ_SHARES].next = gq_share_after(shift, to);
    cursor(step)->ready = to > cursor(step)->ready ? to : cursor(step)->ready;
}

static struct gq_out_desc *hop_of(uint32_t step, uint64_t seq)
{
    const struct gq_lane_view *v = &lanes[0]->view;
    return &hop[0][0][0] + step * ((uint64_t)v->mask + 1) + gq_slot_index(v, seq);
}

static void hand_on(uint32_t step, uint64_t seq) { hop_of(step, seq)->state = (uint64_t)gq_slot_stamp(seq) << 32; }

static void hand_on_all(uint32_t step, uint64_t from, uint64_t to)
{
    for (uint64_t seq = from; seq < to; seq++)
        hand_on(step, seq);
}

/* The pack that begins with message seq. */
static void hand_on_pack(uint32_t step, uint64_t seq)
{
    const uint32_t mask = lanes[0]->view.mask;
    gq_store_unit(&packs[0][0][0] + step * ((mask + 1) / GQ_PACK) + gq_pack_index(mask, seq), gq_pack_stamp(seq), 0);
}

static void hand_on_by_express(uint32_t step, uint64_t seq)
{
    const struct gq_lane_view *v = &lanes[0]->view;
    uint8_t *of_step = &lines[0][0][0] + (uint64_t)step * GQ_EXPRESS_LINES * v->express_stride;
    gq_store_unit(gq_express_line(v, of_step, seq), seq + 1, 0);
}

/* --- what is shown ----------------------------------------------------------------------------------------------- */

static void show(void)
{
    gq_cuda_show_runs(&cuda);
    gq_cuda_show_runs(&cuda);
    gq_cuda_show_runs(&cuda); /* the first may find that the lane has moved, and the second where to */
}

static void ck_nothing(uint32_t i)
{
    ck_assert_uint_eq(page.run[i].stamp, 0);
    ck_assert_uint_eq(page.run[i].data, 0);
}

/* Message seq of lane 0, with so many, in a step and of a generation. */
static void ck_run_of(uint64_t seq, uint32_t count, uint32_t step, uint32_t generation)
{
    ck_assert_uint_eq(page.run[0].stamp, gq_slot_id(9, seq));
    ck_assert_uint_eq(GQ_RUN_COUNT(page.run[0].data), count);
    ck_assert_uint_eq(GQ_RUN_STAGE(page.run[0].data), step + 4);
    ck_assert_uint_eq(GQ_RUN_GENERATION(page.run[0].data), generation);
}

static void ck_run(uint64_t seq, uint32_t count, uint32_t step) { ck_run_of(seq, count, step, GENERATION + step); }

#endif
