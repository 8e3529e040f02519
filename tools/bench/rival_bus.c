/* What the bus gives without messages: the copy engine, and kernels that read and write the host's memory themselves.
 */
#include "base/clock.h"
#include "rivals.h"
#include <stdio.h>

#define BYTES (256u << 20) /* far more than the device's cache holds */
#define PIECE (32u << 20)  /* of the copy engine */
#define THREADS 512u
#define LIMIT_NS 2000000000ull
#define SHOWN 4096u /* rates are shown as of messages of 4 KiB */

/* A buffer on either side for each direction, and a stream for each. */
struct bus {
    const struct rival *r;
    struct rival_pages in, out;
    gq_cu_ptr device_in, device_out;
    gq_cu_stream stream[2];
};

static gq_status take_bus(struct rival *r, struct bus *b)
{
    *b = (struct bus){.r = r};
    gq_status status = rival_pages_take(r, BYTES, &b->in);
    if (status == GQ_OK)
        status = rival_pages_take(r, BYTES, &b->out);
    if (status == GQ_OK)
        status = rival_check(r, r->cu.mem_alloc(&b->device_in, PIECE), "cuMemAlloc");
    if (status == GQ_OK)
        status = rival_check(r, r->cu.mem_alloc(&b->device_out, PIECE), "cuMemAlloc");
    for (int i = 0; i < 2 && status == GQ_OK; i++)
        status = rival_check(r, r->cu.stream_create(&b->stream[i], GQ_CU_STREAM_NON_BLOCKING), "cuStreamCreate");
    return status;
}

static void give_bus(struct bus *b)
{
    const struct rival *r = b->r;
    for (int i = 0; i < 2; i++)
        if (b->stream[i])
            r->cu.stream_destroy(b->stream[i]);
    if (b->device_out)
        r->cu.mem_free(b->device_out);
    if (b->device_in)
        r->cu.mem_free(b->device_in);
    rival_pages_give(r, &b->out);
    rival_pages_give(r, &b->in);
}

/* --- two ways of moving BYTES once, in one direction or both ------------------------------------------------------ */

typedef gq_status move(struct bus *b, bool in, bool out);

static gq_status by_copies(struct bus *b, bool in, bool out)
{
    const struct rival *r = b->r;
    gq_status status = GQ_OK;
    for (size_t at = 0; at < BYTES && status == GQ_OK; at += PIECE) {
        if (in)
            status = rival_check(r, r->cu.copy_to_device(b->device_in, (uint8_t *)b->in.host + at, PIECE, b->stream[0]),
                                 "cuMemcpyHtoDAsync");
        if (out && status == GQ_OK)
            status =
                rival_check(r, r->cu.copy_from_device((uint8_t *)b->out.host + at, b->device_out, PIECE, b->stream[1]),
                            "cuMemcpyDtoHAsync");
    }
    return status;
}

static gq_status by_kernel(struct bus *b, bool in, bool out)
{
    uint64_t words = BYTES / 16, limit_ns = LIMIT_NS;
    uint32_t read = in, write = out;
    void *params[] = {&b->in.device, &b->out.device, &words, &read, &write, &limit_ns};
    return rival_launch(b->r, b->r->touch, (uint32_t)b->r->processors, THREADS, b->stream[0], params);
}

static gq_status wait_both(struct bus *b)
{
    gq_status status = rival_wait(b->r, b->stream[0]);
    return status == GQ_OK ? rival_wait(b->r, b->stream[1]) : status;
}

/* Bytes a second, each way; one move more is under way while one is waited for, so that the bus never rests. */
static gq_status bytes_a_second(struct bus *b, move *mover, bool in, bool out, double *rate)
{
    gq_status status = mover(b, in, out);
    if (status == GQ_OK)
        status = wait_both(b); /* the first one pays for what the driver puts off */
    uint64_t start = gq_clock_ns(), end = start + (uint64_t)(b->r->seconds * 1e9 / 2), moved = 0;
    while (status == GQ_OK && (moved == 0 || gq_clock_ns() < end)) {
        for (int i = 0; i < 4 && status == GQ_OK; i++, moved += BYTES)
            status = mover(b, in, out);
        if (status == GQ_OK)
            status = wait_both(b);
    }
    uint64_t took_ns = gq_clock_ns() - start;
    *rate = (double)moved * 1e9 / (double)took_ns;
    if (status == GQ_OK && took_ns > moved / BYTES * LIMIT_NS) /* the kernel gave up before its work was done */
        status =
            gq_error_set(GQ_ERR_TIMEOUT, "moving %u MiB took more than %llu s", BYTES >> 20, LIMIT_NS / 1000000000);
    return status;
}

/* --- rows --------------------------------------------------------------------------------------------------------- */

static void row(const char *test, const char *what, double bytes_a_s, uint32_t message)
{
    char note[64];
    snprintf(note, sizeof note, "95 %%: %.1f GB/s", bytes_a_s * 0.95 / 1e9);
    rival_row(test, what, bytes_a_s / message, NULL, message, note);
}

static gq_status three_rows(struct rival *r, move *mover, const char *const names[3])
{
    static const struct {
        bool in, out;
    } ways[] = {{true, false}, {false, true}, {true, true}};
    struct bus b;
    double rate;
    gq_status status = take_bus(r, &b);
    for (int i = 0; i < 3 && status == GQ_OK; i++) {
        status = bytes_a_second(&b, mover, ways[i].in, ways[i].out, &rate);
        if (status == GQ_OK)
            row("bus", names[i], rate, SHOWN);
    }
    give_bus(&b);
    return status;
}

gq_status rival_copy_engine(struct rival *r)
{
    static const char *const names[] = {"copy engine, in", "copy engine, out", "copy engine, both ways"};
    return three_rows(r, by_copies, names);
}

gq_status rival_zero_copy(struct rival *r)
{
    static const char *const names[] = {"kernel reads host memory", "kernel writes host memory",
                                        "kernel copies host memory, both ways"};
    return three_rows(r, by_kernel, names);
}

static gq_status zero_copy_rate(struct rival *r, bool out, double *rate)
{
    struct bus b;
    gq_status status = take_bus(r, &b);
    if (status == GQ_OK)
        status = bytes_a_second(&b, by_kernel, true, out, rate);
    give_bus(&b);
    return status;
}

gq_status rival_zero_copy_read(struct rival *r)
{
    double rate;
    gq_status status = zero_copy_rate(r, false, &rate);
    if (status == GQ_OK)
        row("one way in, 4 KiB", "kernel reads host memory", rate, 4096);
    return status;
}

gq_status rival_zero_copy_both(struct rival *r)
{
    static const struct {
        const char *test;
        uint32_t bytes;
    } sizes[] = {{"echo 256 B", 256}, {"echo 1 KiB", 1024}, {"echo 4 KiB", 4096}};
    double rate;
    gq_status status = zero_copy_rate(r, true, &rate);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes && status == GQ_OK; i++)
        row(sizes[i].test, "kernel copies host memory, both ways", rate, sizes[i].bytes);
    return status;
}
