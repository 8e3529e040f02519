/* The ring's edges as litmus tests, with and without planted faults; litmus.h says how.
 *
 *   litmus [MS]            all rows on device 0, MS milliseconds each (500); 69 when there is no device or no NVRTC
 *   litmus host [MS]       the rows that host threads can play among themselves
 *   litmus compile ARCH    every row compiles for sm_ARCH, and each planted fault makes other code; 77 without NVRTC
 *
 * Exits 1 when a row without a fault saw a wrong word or next to no messages, or when a fault that must be caught was
 * not. $GPUQ_TEST_TREE is where the source tree lies, if it was moved.
 */
#include "backend/cuda_api.h"
#include "base/clock.h"
#include "litmus/host.h"
#include "nvrtc.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEVICE_MIN 1000u /* a row that passed fewer messages says nothing */
#define HOST_PATIENCE_MS 30000u
#define HOST_MIN 10u /* the same on a machine whose processors are busy with something else */
#define SKIP 77
#define UNAVAILABLE 69

struct row {
    enum litmus_plant plant;
    const char *name, *kernel, *what;
    bool real, must;
};

#define IS_REAL(plant)                                                           \
    (LITMUS_##plant == LITMUS_RING_REAL || LITMUS_##plant == LITMUS_LOOK_REAL || \
     LITMUS_##plant == LITMUS_SHARE_REAL || LITMUS_##plant == LITMUS_HOP_REAL || LITMUS_##plant == LITMUS_UNIT_REAL)
#define ROW(plant, kernel, must, what) {LITMUS_##plant, #plant, #kernel, what, IS_REAL(plant), must},
static const struct row rows[] = {LITMUS_ROWS(ROW)};
#undef ROW

static bool on_units(const struct row *r) { return strcmp(r->kernel, "unit") == 0; }
static bool with_host(const struct row *r)
{
    return on_units(r) || strcmp(r->kernel, "ring") == 0 || strcmp(r->kernel, "look") == 0;
}

/* --- judging --------------------------------------------------------------------------------------------------------
 */

/* Prints the row's line; false when it says that the product or this test is wrong. */
static bool judge(const struct row *r, struct litmus_count c, uint64_t messages_min)
{
    const bool idle = r->real && c.messages < messages_min;
    const bool stopped = !r->real && c.messages == 0 && !c.wrong; /* its flag is never seen: caught as well */
    const bool fired = r->real && c.wrong, missed = r->must && !c.wrong && !stopped;
    const char *verdict = idle      ? "FAIL: next to nothing was passed"
                          : fired   ? "FAIL: the product's code fired"
                          : missed  ? "FAIL: it must be caught"
                          : c.wrong ? "caught"
                          : stopped ? "never arrives"
                          : r->real ? "clean"
                                    : "not shown here";
    printf("%-5s  %-72s %11llu messages %11llu wrong  %s\n", r->kernel, r->what, (unsigned long long)c.messages,
           (unsigned long long)c.wrong, verdict);
    fflush(stdout);
    return !idle && !fired && !missed;
}

/* --- memory shared with the device ----------------------------------------------------------------------------------
 */

#define LANE_BYTES (2 * GQ_HEAD_BYTES + LITMUS_CAPACITY * (8u + 16u + 2 * LITMUS_SLOT_BYTES) + 2 * LITMUS_WORDS * 16u)
#define AREA_BYTES (LITMUS_LANES * ((LANE_BYTES + GQ_HEAD_BYTES - 1) / GQ_HEAD_BYTES * GQ_HEAD_BYTES))

/* Takes `bytes` from *at. */
static void *take(uint8_t **at, size_t bytes)
{
    void *part = *at;
    *at += bytes;
    return part;
}

/* Where the parts of all lanes are when the area begins at `base`, in either address space. */
static void lay_out(uint8_t *base, struct gq_lane_view *lane, struct gq_unit **to_device, struct gq_unit **to_host)
{
    for (uint32_t n = 0; n < LITMUS_LANES; n++) {
        uint8_t *at = base + n * (AREA_BYTES / LITMUS_LANES);
        struct gq_lane_view *v = &lane[n];
        *v = (struct gq_lane_view){
            .mask = LITMUS_CAPACITY - 1, .stride = LITMUS_SLOT_BYTES, .slot_bytes = LITMUS_SLOT_BYTES, .lane = n};
        v->in_head = take(&at, GQ_HEAD_BYTES);
        v->out_head = take(&at, GQ_HEAD_BYTES);
        v->out_desc = take(&at, LITMUS_CAPACITY * sizeof(struct gq_out_desc));
        v->in_payload = take(&at, (size_t)LITMUS_CAPACITY * LITMUS_SLOT_BYTES);
        v->out_payload = take(&at, (size_t)LITMUS_CAPACITY * LITMUS_SLOT_BYTES);
        to_device[n] = take(&at, LITMUS_WORDS * sizeof(struct gq_unit));
        to_host[n] = take(&at, LITMUS_WORDS * sizeof(struct gq_unit));
        v->in_desc = take(&at, LITMUS_CAPACITY * sizeof(uint64_t));
    }
}

/* --- on a device ----------------------------------------------------------------------------------------------------
 */

struct bench {
    const struct gq_cu_api *cu;
    gq_cu_stream stream;
    int arch;
    uint8_t *area; /* of the host, registered */
    struct litmus_host host;
    struct litmus args;
};

#define TRY(call)                                              \
    do {                                                       \
        if (gq_cu_check(b->cu, b->cu->call, #call) != GQ_OK) { \
            fprintf(stderr, "litmus: %s\n", gq_error_text());  \
            exit(1);                                           \
        }                                                      \
    } while (0)

static void make_area(struct bench *b)
{
    gq_cu_ptr device, pairs, count;
    b->area = aligned_alloc(GQ_HEAD_BYTES, AREA_BYTES);
    TRY(host_register(b->area, AREA_BYTES, GQ_CU_HOST_DEVICEMAP | GQ_CU_HOST_PORTABLE));
    TRY(host_pointer(&device, b->area, 0));
    TRY(mem_alloc(&pairs, LITMUS_PAIRS * sizeof(struct litmus_pair)));
    TRY(mem_alloc(&count, sizeof(struct litmus_count)));
    lay_out(b->area, b->host.lane, b->host.to_device, b->host.to_host);
    lay_out((uint8_t *)(uintptr_t)device, b->args.lane, b->args.to_device, b->args.to_host);
    b->args.pair = (struct litmus_pair *)(uintptr_t)pairs;
    b->args.count = (struct litmus_count *)(uintptr_t)count;
}

static bool open_device(struct bench *b)
{
    gq_cu_context context;
    int device = 0, count = 0, major = 0, minor = 0;
    if (gq_cu_open(&b->cu) != GQ_OK || gq_cu_check(b->cu, b->cu->init(0), "cuInit") != GQ_OK ||
        gq_cu_check(b->cu, b->cu->device_count(&count), "cuDeviceGetCount") != GQ_OK || count == 0) {
        fprintf(stderr, "litmus: %s\n", count ? gq_error_text() : "there is no device");
        return false;
    }
    TRY(device_get(&device, 0));
    TRY(device_attribute(&major, GQ_CU_ATTR_CC_MAJOR, device));
    TRY(device_attribute(&minor, GQ_CU_ATTR_CC_MINOR, device));
    TRY(primary_retain(&context, device));
    TRY(set_current(context));
    TRY(stream_create(&b->stream, GQ_CU_STREAM_NON_BLOCKING));
    b->arch = major * 10 + minor;
    make_area(b);
    return true;
}

static void clear(struct bench *b)
{
    static const uint8_t zeros[LITMUS_PAIRS * sizeof(struct litmus_pair)];
    memset(b->area, 0, AREA_BYTES);
    TRY(copy_to_device((gq_cu_ptr)(uintptr_t)b->args.pair, zeros, sizeof zeros, b->stream));
    TRY(copy_to_device((gq_cu_ptr)(uintptr_t)b->args.count, zeros, sizeof(struct litmus_count), b->stream));
    TRY(stream_wait(b->stream));
}

/* The unit of one row: its number under a name, all names, and the kernels. NULL: it does not compile. */
static char *compile(const struct row *r, int arch, size_t *len)
{
    static char text[8192];
    const char *tree = getenv("GPUQ_TEST_TREE");
    int n =
        snprintf(text, sizeof text, "#define PLANT %d\n", (int)r->plant + 1); /* 0 is what an unknown name is worth */
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        n += snprintf(text + n, sizeof text - (size_t)n, "#define PLANT_%s %d\n", rows[i].name, (int)rows[i].plant + 1);
    snprintf(text + n, sizeof text - (size_t)n, "#include \"litmus/kernels.cu\"\n");
    return nvrtc_compile(tree ? tree : GPUQ_TEST_TREE, r->name, text, arch, NVRTC_PTX, len);
}

static struct litmus_count run_kernel(struct bench *b, const struct row *r, gq_cu_function function, uint64_t ns)
{
    struct litmus_count host = {0, 0}, device = {0, 0};
    void *params[] = {&b->args};
    b->args.limit_ns = ns;
    clear(b);
    TRY(launch(function, with_host(r) ? LITMUS_LANES : 2 * LITMUS_PAIRS, 1, 1, 32, 1, 1, 0, b->stream, params, NULL));
    if (with_host(r))
        host = litmus_host_run(&b->host, on_units(r), r->plant, ns, false);
    TRY(stream_wait(b->stream));
    TRY(copy_from_device(&device, (gq_cu_ptr)(uintptr_t)b->args.count, sizeof device, b->stream));
    TRY(stream_wait(b->stream));
    return (struct litmus_count){with_host(r) ? host.messages : device.messages, host.wrong + device.wrong};
}

static bool run_row(struct bench *b, const struct row *r, uint64_t ns)
{
    gq_cu_module module;
    gq_cu_function function;
    size_t len;
    char *ptx = compile(r, b->arch, &len);
    if (!ptx)
        return false;
    TRY(module_load(&module, ptx));
    TRY(module_function(&function, module, r->kernel));
    const bool good = judge(r, run_kernel(b, r, function, ns), DEVICE_MIN);
    TRY(module_unload(module));
    free(ptx);
    return good;
}

static int on_device(uint64_t ns)
{
    struct bench b = {0};
    bool good = true;
    if (!nvrtc_open() || !open_device(&b))
        return UNAVAILABLE;
    printf("sm_%d, %.1f s a row\n", b.arch, (double)ns * 1e-9);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        good = run_row(&b, &rows[i], ns) && good;
    return good ? 0 : 1;
}

/* --- without a device -----------------------------------------------------------------------------------------------
 */

/* What a thread of the host can play: no row that is about an instruction of the device. */
static bool host_plays(const struct row *r)
{
    return with_host(r) && (r->real || r->must) && r->plant != LITMUS_LOOK_REAL;
}

/* Where processors are busy, threads may not have met in that time: again, until they have. */
static struct litmus_count play(const struct row *r, uint8_t *area, const struct litmus_host *h, uint64_t ns)
{
    struct litmus_count all = {0, 0};
    const uint64_t deadline = gq_clock_deadline(HOST_PATIENCE_MS);
    do {
        memset(area, 0, AREA_BYTES);
        const struct litmus_count c = litmus_host_run(h, on_units(r), r->plant, ns, true);
        all = (struct litmus_count){all.messages + c.messages, all.wrong + c.wrong};
    } while ((all.messages < HOST_MIN || (r->must && !all.wrong)) && !gq_clock_past(deadline));
    return all;
}

static int on_host(uint64_t ns)
{
    struct litmus_host h;
    uint8_t *area = aligned_alloc(GQ_HEAD_BYTES, AREA_BYTES);
    bool good = true;
    lay_out(area, h.lane, h.to_device, h.to_host);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (!host_plays(&rows[i]) || (on_units(&rows[i]) && !gq_units_are_single()))
            continue;
        good = judge(&rows[i], play(&rows[i], area, &h, ns), HOST_MIN) && good;
    }
    free(area);
    return good ? 0 : 1;
}

/* A fault of the host's code leaves the device's code as it is. */
static bool is_of_host(const struct row *r)
{
    return r->plant == LITMUS_SUBMIT_EARLY || r->plant == LITMUS_UNIT_SPLIT_HOST;
}

static int compile_all(int arch)
{
    size_t len;
    bool good = true;
    if (!nvrtc_open() || !nvrtc_knows(arch))
        return SKIP;
    char *real = compile(&rows[0], arch, &len);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *ptx = compile(&rows[i], arch, &len);
        const bool same = ptx && real && strcmp(ptx, real) == 0, expected = rows[i].real || is_of_host(&rows[i]);
        if (!ptx || same != expected)
            printf("%s: %s\n", rows[i].what,
                   !ptx   ? "does not compile"
                   : same ? "nothing was planted"
                          : "is not the product's code");
        good = good && ptx && same == expected;
        free(ptx);
    }
    free(real);
    return good ? 0 : 1;
}

int main(int argc, char **argv)
{
    const bool host = argc > 1 && strcmp(argv[1], "host") == 0,
               only_compile = argc > 2 && strcmp(argv[1], "compile") == 0;
    const char *number = host || only_compile ? argv[2] : argv[1];
    if (only_compile)
        return compile_all((int)strtol(number, NULL, 10));
    const uint64_t ms = number ? strtoull(number, NULL, 10) : 500;
    return host ? on_host(ms * 1000000) : on_device(ms * 1000000);
}
