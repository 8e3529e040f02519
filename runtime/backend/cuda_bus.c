/* How fast bytes move between host and device: by the copy engines, and by the SMs in the host's own memory. For
 * `gpuq doctor`, in a process that serves nobody. */
#include "backend/cuda.h"
#include "base/clock.h"
#include <errno.h>
#include <sys/mman.h>

#define BYTES ((size_t)64 << 20)
#define SPAN_NS 100000000u /* of each measurement; the first round does not count */
#define BLOCKS_AN_SM_OF_BUS 2u
#define THREADS 512u

/* PTX, for the driver to compile: this process has no compiler of its own. Each thread takes 16 bytes after 16 bytes, a
 * grid's width apart. gq_bus_read sums them up and stores a sum that is 1, so that no load is for nothing; gq_bus_write
 * stores the thread's number. */
/* clang-format off */
#define KERNEL(name, in_the_loop, at_the_end)                           \
    ".visible .entry " name "(.param .u64 from, .param .u64 length)\n"  \
    "{\n"                                                               \
    "  .reg .pred over, one;\n"                                         \
    "  .reg .u32 me, width, block, w, x, y, z, sum;\n"                  \
    "  .reg .u64 base, at, end, step;\n"                                \
    "  ld.param.u64 base, [from];\n"                                    \
    "  ld.param.u64 end, [length];\n"                                   \
    "  cvta.to.global.u64 base, base;\n"                                \
    "  add.u64 end, end, base;\n"                                       \
    "  mov.u32 me, %tid.x;\n"                                           \
    "  mov.u32 width, %ntid.x;\n"                                       \
    "  mov.u32 block, %ctaid.x;\n"                                      \
    "  mad.lo.u32 me, block, width, me;\n"                              \
    "  mov.u32 block, %nctaid.x;\n"                                     \
    "  mul.lo.u32 width, block, width;\n"                               \
    "  mul.wide.u32 step, width, 16;\n"                                 \
    "  mul.wide.u32 at, me, 16;\n"                                      \
    "  add.u64 at, at, base;\n"                                         \
    "  mov.u32 sum, 0;\n"                                               \
    "NEXT:\n"                                                           \
    "  setp.ge.u64 over, at, end;\n"                                    \
    "  @over bra DONE;\n"                                               \
    in_the_loop                                                         \
    "  add.u64 at, at, step;\n"                                         \
    "  bra NEXT;\n"                                                     \
    "DONE:\n"                                                           \
    at_the_end                                                          \
    "  ret;\n"                                                          \
    "}\n"

static const char kernels[] =
    ".version 7.4\n"
    ".target sm_70\n"
    ".address_size 64\n"
    KERNEL("gq_bus_read",
           "  ld.global.L1::no_allocate.v4.u32 {w, x, y, z}, [at];\n"
           "  add.u32 w, w, x;\n"
           "  add.u32 y, y, z;\n"
           "  add.u32 sum, sum, w;\n"
           "  add.u32 sum, sum, y;\n",
           "  setp.eq.u32 one, sum, 1;\n"
           "  @one st.global.u32 [base], sum;\n")
    KERNEL("gq_bus_write",
           "  st.global.v4.u32 [at], {me, me, me, me};\n", "");
/* clang-format on */

struct bus {
    struct gq_cuda cuda;
    void *host;
    gq_cu_ptr mapped, device;
    gq_cu_module module;
    gq_cu_function read, write;
};

static gq_status make(struct bus *b)
{
    struct gq_cuda *c = &b->cuda;
    b->host = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (b->host == MAP_FAILED)
        return gq_error_errno(GQ_ERR_NO_MEMORY, errno, "%zu bytes to measure the bus with", BYTES);
    gq_status status = gq_cuda_map(c, b->host, BYTES, false, &b->mapped);
    if (status == GQ_OK)
        status = GQ_CU(c, stream_create(&c->copy, GQ_CU_STREAM_NON_BLOCKING));
    if (status == GQ_OK)
        status = GQ_CU(c, mem_alloc(&b->device, BYTES));
    if (status == GQ_OK)
        status = GQ_CU(c, module_load(&b->module, kernels));
    if (status == GQ_OK)
        status = GQ_CU(c, module_function(&b->read, b->module, "gq_bus_read"));
    if (status == GQ_OK)
        status = GQ_CU(c, module_function(&b->write, b->module, "gq_bus_write"));
    return status;
}

static gq_status copy_in(struct bus *b)
{
    struct gq_cuda *c = &b->cuda;
    return GQ_CU(c, copy_to_device(b->device, b->host, BYTES, c->copy));
}

static gq_status copy_out(struct bus *b)
{
    struct gq_cuda *c = &b->cuda;
    return GQ_CU(c, copy_from_device(b->host, b->device, BYTES, c->copy));
}

static gq_status launch(struct bus *b, gq_cu_function function)
{
    struct gq_cuda *c = &b->cuda;
    gq_cu_ptr at = b->mapped;
    uint64_t bytes = BYTES;
    void *params[] = {&at, &bytes};
    return GQ_CU(c, launch(function, BLOCKS_AN_SM_OF_BUS * (unsigned)c->room.sms, 1, 1, THREADS, 1, 1, 0, c->copy,
                           params, NULL));
}

static gq_status sm_read(struct bus *b) { return launch(b, b->read); }

static gq_status sm_write(struct bus *b) { return launch(b, b->write); }

/* GB/s of BYTES moved again and again. */
static gq_status measure(struct bus *b, gq_status (*move)(struct bus *b), double *rate)
{
    struct gq_cuda *c = &b->cuda;
    uint64_t start = 0, now = 0, rounds = 0;
    gq_status status = GQ_OK;
    for (; status == GQ_OK && (rounds < 2 || now - start < SPAN_NS); rounds++) {
        status = move(b);
        if (status == GQ_OK)
            status = GQ_CU(c, stream_wait(c->copy));
        now = gq_clock_ns();
        start = rounds == 0 ? now : start;
    }
    if (status == GQ_OK)
        *rate = (double)(rounds - 1) * (double)BYTES / (double)(now - start);
    return status;
}

/* The process ends after its answer: the driver takes everything back. */
gq_status gq_cuda_bus(uint32_t device, struct gq_bus *out)
{
    struct bus b = {.cuda.setup.device = device};
    *out = (struct gq_bus){0};
    gq_status status = gq_cu_open(&b.cuda.cu);
    if (status == GQ_OK)
        status = gq_cuda_take_device(&b.cuda);
    if (status == GQ_OK)
        status = make(&b);
    if (status == GQ_OK)
        status = measure(&b, copy_in, &out->copied_in);
    if (status == GQ_OK)
        status = measure(&b, copy_out, &out->copied_out);
    if (status == GQ_OK)
        status = measure(&b, sm_write, &out->written);
    if (status == GQ_OK)
        status = measure(&b, sm_read, &out->read);
    return status;
}
