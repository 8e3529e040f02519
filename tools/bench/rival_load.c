/* What a swap asks of the driver, and nothing else: no message, no grid that has to leave. Code that was live before is
 * unloaded, other code is brought to the device, and launched. It is gpuqueue's own, of builtin:echo: the driver takes
 * longer for larger code. */
#include "base/clock.h"
#include "device/grid.h"
#include "rivals.h"
#include <stdlib.h>
#include <unistd.h>

#define KEPT 4u          /* images that are loaded at a time, as a stage keeps them */
#define REST_US 3000u    /* between two, as swaps come in gpuq bench: a processor that has slept is slower */
#define FIRST 8u         /* that are not counted: memory is mapped for them */
#define BLOCK_THREADS 32 /* they return at once */

struct images {
    gq_cu_library library[KEPT];
    gq_cu_stream stream;
    uint64_t count;
};

/* A launch that is to take over state, and has none, returns at once. */
static gq_status launch(const struct rival *r, const struct images *i, gq_cu_function function)
{
    struct gq_grid grid = {.old_state = &grid};
    void *params[] = {&grid};
    gq_status status = rival_launch(r, function, 1, BLOCK_THREADS, i->stream, params);
    return status == GQ_OK ? rival_wait(r, i->stream) : status;
}

static gq_status change(const struct rival *r, gq_cu_library *place, gq_cu_library next, const struct images *i)
{
    gq_cu_kernel kernel = NULL;
    gq_cu_function function = NULL;
    gq_status status = *place ? rival_check(r, r->cu.library_unload(*place), "cuLibraryUnload") : GQ_OK;
    *place = next;
    if (status == GQ_OK)
        status = rival_check(r, r->cu.library_kernel(&kernel, next, "gq_grid_main"), "cuLibraryGetKernel");
    if (status == GQ_OK)
        status = rival_check(r, r->cu.kernel_function(&function, kernel), "cuKernelGetFunction");
    return status == GQ_OK ? launch(r, i, function) : status;
}

/* The driver reads the code before, as it does beside running grids. */
static gq_status change_once(const struct rival *r, struct images *i, const void *cubin, struct bench_times *times)
{
    gq_cu_library next = NULL;
    gq_status status =
        rival_check(r, r->cu.library_load(&next, cubin, NULL, NULL, 0, NULL, NULL, 0), "cuLibraryLoadData");
    if (status != GQ_OK)
        return status;
    usleep(REST_US);
    const uint64_t start = gq_clock_ns();
    status = change(r, &i->library[i->count % KEPT], next, i);
    if (i->count++ >= FIRST)
        bench_times_add(times, gq_clock_ns() - start, 1);
    return status;
}

static gq_status change_often(const struct rival *r, struct images *i, const void *cubin, struct bench_times *times)
{
    const uint64_t end = gq_clock_ns() + (uint64_t)(r->seconds * 1e9);
    gq_status status = rival_check(r, r->cu.stream_create(&i->stream, GQ_CU_STREAM_NON_BLOCKING), "cuStreamCreate");
    while (status == GQ_OK && (times->total == 0 || gq_clock_ns() < end))
        status = change_once(r, i, cubin, times);
    return status;
}

gq_status rival_load(struct rival *r)
{
    static struct bench_times times;
    struct images i = {0};
    void *cubin = NULL;
    gq_status status = rival_compile_ours(r->arch, &cubin);
    if (status == GQ_OK)
        status = change_often(r, &i, cubin, &times);
    if (status == GQ_OK)
        rival_row("gap in service, 64 B at 50 M/s", "unload, load, launch: the driver alone", 0, &times, 0,
                  "no grid has to leave, no messages");
    for (uint32_t n = 0; n < KEPT; n++)
        if (i.library[n])
            r->cu.library_unload(i.library[n]);
    if (i.stream)
        r->cu.stream_destroy(i.stream);
    free(cubin);
    return status;
}
