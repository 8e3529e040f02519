/* gpu_standstill [SECONDS [beside|takeovers|patient [THREADS [grid]]]] - what an illegal address in one process costs
 * the others of its device, with nothing of gpuqueue's data path in it: bare processes that take the driver's calls
 * (docs/benchmarks/h200.md).
 *
 * beside: a process's grid spins, and so do two others', which leave by themselves or are killed as they spin, 120 ms
 * apart, or are not there at all; new processes begin beside that, or not. 100 ms later a thread of the first stores to
 * an illegal address.
 * takeovers: one process's grid spins, and others have a context and no grid. The first is replaced by one of these,
 * twice, and leaves or is killed then, or is not replaced at all; the one that is left stores to an illegal address, is
 * replaced 120 ms later and killed. Who was taken is replaced before all that, or beside the fault.
 * patient: the same, but whoever takes over then begins its grid when all who were killed before have ended.
 *
 * Grids have 132 blocks of THREADS, 64 unless told. A bystander makes a driver call every 2 ms all the time; with
 * `grid` another one has a grid of one warp that counts. Each cycle is a line; the table last has for each kind of
 * cycle how often anything took over 3 s, and what took longest.
 *
 * Every grid ends itself after 40 s. Exit 0: measured; 1: a process could not begin, or standing still went on for 35
 * s; 64: a wrong command line; 77: there is no driver or device. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "backend/cuda_api.h"
#include "base/clock.h"

#define BLOCKS 132 /* one for each SM of an H200 */
#define GRID_LIMIT_NS 40000000000ull
#define CYCLE_LIMIT_MS 35000.0
#define NO_DEVICE 100 /* CUDA_ERROR_NO_DEVICE */
#define SLOW_MS 3000.0

/* What a process and its grid share with this one, a page each. */
struct desk {
    volatile uint32_t order; /* to the grid */
    volatile uint32_t beat;  /* from the grid */
    volatile uint32_t ready; /* the context is there; the rest is of the process */
    volatile uint32_t go;    /* to the process: launch */
    volatile uint32_t error; /* what the stream said when the grid had ended; 1 if it had ended well */
    volatile uint32_t calls; /* a bystander's */
    volatile double longest_ms;
};
enum { SPIN, LEAVE, FAULT };

/* Each thread looks at its order in the host's memory and adds to a word of the device's. Thread 5 of block 17 is the
 * one that faults; thread 0 of block 0 counts. */
static const char ptx[] =
    ".version 7.0\n.target sm_70\n.address_size 64\n"
    ".visible .entry spin(.param .u64 desk, .param .u64 limit, .param .u64 memory)\n{\n"
    "  .reg .pred %p<6>; .reg .b32 %r<10>; .reg .b64 %d<10>;\n"
    "  ld.param.u64 %d1, [desk]; ld.param.u64 %d2, [limit]; mov.u64 %d3, %globaltimer;\n"
    "  mov.u32 %r1, %tid.x; mov.u32 %r2, %ctaid.x;\n"
    "  shl.b32 %r3, %r2, 16; or.b32 %r3, %r3, %r1;\n"
    "  setp.eq.u32 %p1, %r3, 0; setp.eq.u32 %p2, %r3, 1114117;\n"
    "  mov.u32 %r4, 0; mov.u64 %d5, 0xdead00000000;\n"
    "  mov.u32 %r6, %ntid.x; mad.lo.u32 %r6, %r2, %r6, %r1;\n"
    "  ld.param.u64 %d6, [memory]; mad.wide.u32 %d6, %r6, 4, %d6;\n"
    "again:\n"
    "  ld.volatile.global.u32 %r5, [%d1];\n"
    "  setp.eq.u32 %p3, %r5, 1; @%p3 bra done;\n"
    "  setp.eq.and.u32 %p4, %r5, 2, %p2; @%p4 st.volatile.global.u32 [%d5], %r4;\n"
    "  add.u32 %r4, %r4, 1; @%p1 st.volatile.global.u32 [%d1+4], %r4;\n"
    "  ld.volatile.global.u32 %r7, [%d6]; add.u32 %r7, %r7, %r4; st.volatile.global.u32 [%d6], %r7;\n"
    "  nanosleep.u32 500;\n"
    "  mov.u64 %d4, %globaltimer; sub.u64 %d4, %d4, %d3; setp.lt.u64 %p5, %d4, %d2; @%p5 bra again;\n"
    "done:\n  ret;\n}\n";

struct process {
    pid_t pid;
    struct desk *desk;
    uint32_t blocks, threads;
    double killed_at, ended_at; /* in ms; 0: not yet */
};

static double now_ms(void) { return (double)gq_clock_ns() / 1e6; }

static void nap_ms(double ms)
{
    const struct timespec t = {.tv_sec = (time_t)(ms / 1e3),
                               .tv_nsec = (long)((ms - 1e3 * (double)(time_t)(ms / 1e3)) * 1e6)};
    nanosleep(&t, NULL);
}

/* --- in a process of its own -----------------------------------------------------------------------------------------
 */

/* A failed step ends the process; `error` of its desk says with what. */
static void must(struct desk *desk, int error)
{
    if (error) {
        desk->error = (uint32_t)error;
        _exit(1);
    }
}

static void grid_life(const struct gq_cu_api *cu, const struct process *self)
{
    struct desk *desk = self->desk;
    gq_cu_module module;
    gq_cu_function spin;
    gq_cu_stream stream;
    gq_cu_ptr there, memory;
    uint64_t limit = GRID_LIMIT_NS;
    void *params[] = {&there, &limit, &memory};
    int error;
    must(desk, cu->module_load(&module, ptx));
    must(desk, cu->module_function(&spin, module, "spin"));
    must(desk, cu->host_register(desk, sizeof *desk, GQ_CU_HOST_DEVICEMAP));
    must(desk, cu->host_pointer(&there, desk, 0));
    must(desk, cu->stream_create(&stream, GQ_CU_STREAM_NON_BLOCKING));
    must(desk, cu->mem_alloc(&memory, (size_t)4 * self->blocks * self->threads));
    desk->ready = 1;
    while (!desk->go)
        nap_ms(0.2);
    must(desk, cu->launch(spin, self->blocks, 1, 1, self->threads, 1, 1, 0, stream, params, NULL));
    while ((error = cu->stream_query(stream)) == GQ_CU_NOT_READY)
        nap_ms(2);
    desk->error = error ? (uint32_t)error : 1;
    _exit(0);
}

static void call_life(const struct gq_cu_api *cu, struct desk *desk)
{
    desk->ready = 1;
    for (;;) {
        gq_cu_ptr memory;
        const double began = now_ms();
        must(desk, cu->mem_alloc(&memory, 4096));
        must(desk, cu->mem_free(memory));
        const double took = now_ms() - began;
        if (took > desk->longest_ms)
            desk->longest_ms = took;
        desk->calls++;
        nap_ms(2);
    }
}

/* A process with a context; with a grid of `blocks`, or with calls if that is 0. */
static void begin(struct process *p, uint32_t blocks, uint32_t threads)
{
    *p = (struct process){.blocks = blocks, .threads = threads};
    p->desk = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (p->desk == MAP_FAILED || (p->pid = fork()) < 0) {
        perror("gpu_standstill");
        exit(1);
    }
    if (p->pid)
        return;
    const struct gq_cu_api *cu;
    gq_cu_context context;
    int device;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (gq_cu_open(&cu))
        _exit(1); /* no error of the driver: must_live() says that there is none */
    must(p->desk, cu->init(0));
    must(p->desk, cu->device_get(&device, 0));
    must(p->desk, cu->primary_retain(&context, device));
    must(p->desk, cu->set_current(context));
    if (blocks)
        grid_life(cu, p);
    call_life(cu, p->desk);
}

/* --- what this process sees ------------------------------------------------------------------------------------------
 */

/* Reaps it if it has ended. */
static bool ended(struct process *p)
{
    int status;
    if (p->pid && p->ended_at == 0 && waitpid(p->pid, &status, WNOHANG) == p->pid)
        p->ended_at = now_ms();
    return !p->pid || p->ended_at > 0;
}

static void must_live(struct process *p)
{
    const uint32_t error = p->desk->error;
    if (!ended(p) && !error)
        return;
    if (!error)
        fprintf(stderr, "gpu_standstill: there is no NVIDIA driver here\n");
    else
        fprintf(stderr, "gpu_standstill: a process could not take the device: error %u of the driver\n", error);
    exit(error && error != NO_DEVICE ? 1 : 77);
}

static void await_ready(struct process *p)
{
    const double until = now_ms() + CYCLE_LIMIT_MS;
    while (!p->desk->ready && now_ms() < until) {
        must_live(p);
        nap_ms(0.2);
    }
}

static void launch(struct process *p)
{
    const double until = now_ms() + CYCLE_LIMIT_MS;
    await_ready(p);
    p->desk->go = 1;
    while (!p->desk->beat && now_ms() < until) {
        must_live(p);
        nap_ms(0.2);
    }
}

static void put_away(struct process *p)
{
    if (!p->pid)
        return;
    if (!ended(p))
        kill(p->pid, SIGKILL);
    while (!ended(p))
        nap_ms(1);
    munmap(p->desk, 4096);
    p->pid = 0;
}

/* --- a cycle ---------------------------------------------------------------------------------------------------------
 */

enum before { NOTHING, LEFT, KILLED, BEFORE_COUNT };
static const char *const before_names[BEFORE_COUNT] = {"nothing", "two leave", "two killed"};

/* Who is there besides those that a cycle is about. */
static struct {
    struct process caller, grid; /* no pid: there is none */
    uint32_t threads;
} others = {.threads = 64};

/* The longest of a kind of cycle, in ms. */
static struct kind {
    uint32_t cycles, slow;
    double told, call, still, serves, pause, all;
} kinds[BEFORE_COUNT][2];
static bool endless, patient;

/* Of one cycle, in ms behind the fault, or as long as. */
struct seen {
    double told, call, still; /* still: the grid beside it */
    double serves, pause;     /* the next one's first count, and its longest time without one since */
    double all;
};

static void keep_longest(double *longest, double ms) { *longest = ms > *longest ? ms : *longest; }

/* A grid that counts, looked at again and again. */
struct counting {
    uint32_t beat;
    double at; /* 0: it has not counted yet */
};

static void watch_grid(const struct process *p, struct counting *c, double *longest_still)
{
    if (!p->pid)
        return;
    if (p->desk->beat != c->beat)
        *c = (struct counting){.beat = p->desk->beat, .at = now_ms()};
    else if (c->at > 0)
        keep_longest(longest_still, now_ms() - c->at);
}

/* p[0] faults now, and is killed `kill_ms` later, 0: it is not. Looks until all of `p` have ended, the bystander's call
 * has returned and `next`, unless it is NULL, has a grid that counts. */
static struct seen fault(struct process *p, size_t many, struct process *next, double kill_ms)
{
    struct seen s = {0};
    const uint32_t calls = others.caller.desk->calls;
    struct counting grid = {.at = now_ms()}, served = {0};
    bool done = false, killed = false, gone = false;
    others.caller.desk->longest_ms = 0;
    p[0].desk->order = FAULT;
    const double from = now_ms();
    while (!done && now_ms() - from < CYCLE_LIMIT_MS) {
        nap_ms(0.2);
        if (p[0].desk->error && s.told == 0)
            s.told = now_ms() - from;
        if (kill_ms > 0 && !killed && now_ms() - from >= kill_ms) {
            killed = true;
            kill(p[0].pid, SIGKILL);
        }
        if (next && next->desk->ready && now_ms() - from >= kill_ms && (gone || !patient))
            next->desk->go = 1;
        if (next && next->desk->beat && s.serves == 0)
            s.serves = now_ms() - from;
        watch_grid(&others.grid, &grid, &s.still);
        if (next)
            watch_grid(next, &served, &s.pause);
        gone = true;
        for (size_t i = 0; i < many; i++)
            gone = ended(&p[i]) && gone;
        done = gone && others.caller.desk->calls > calls + 1 && (!next || s.serves > 0);
    }
    endless = endless || !done;
    s.all = now_ms() - from;
    s.call = others.caller.desk->longest_ms;
    return s;
}

static void report(uint32_t number, enum before before, bool fresh, const struct process *culprit, const struct seen *s)
{
    struct kind *k = &kinds[before][fresh];
    const bool slow = s->all > SLOW_MS;
    k->cycles++;
    k->slow += slow;
    keep_longest(&k->told, s->told);
    keep_longest(&k->call, s->call);
    keep_longest(&k->still, s->still);
    keep_longest(&k->serves, s->serves);
    keep_longest(&k->pause, s->pause);
    keep_longest(&k->all, s->all);
    printf("%s %3u %-10s %-3s error %3u after %5.0f ms, a bystander's call %5.0f, its grid stood still %5.0f, next "
           "serves after %5.0f and pauses %5.0f, "
           "all ended after %5.0f\n",
           slow ? "SLOW" : "    ", number, before_names[before], fresh ? "new" : "", culprit->desk->error, s->told,
           s->call, s->still, s->serves, s->pause, s->all);
    fflush(stdout);
}

static void cycle_beside(uint32_t number)
{
    const enum before before = number % BEFORE_COUNT;
    const bool fresh = number / BEFORE_COUNT % 2;
    const size_t many = before == NOTHING ? 1 : 3;
    struct process p[3] = {{0}}, next[2] = {{0}};
    for (size_t i = 0; i < many; i++)
        begin(&p[i], BLOCKS, others.threads);
    for (size_t i = 0; i < many; i++)
        launch(&p[i]);
    for (size_t i = 1; i < many; i++) {
        nap_ms(120);
        if (before == KILLED)
            kill(p[i].pid, SIGKILL);
        p[i].desk->order = LEAVE;
        if (fresh)
            begin(&next[i - 1], BLOCKS, others.threads);
    }
    if (fresh && before == NOTHING)
        begin(&next[0], BLOCKS, others.threads);
    nap_ms(100);
    const struct seen s = fault(p, many, fresh ? &next[0] : NULL, 0);
    report(number, before, fresh, &p[0], &s);
    for (size_t i = 0; i < 3; i++)
        put_away(&p[i]);
    for (size_t i = 0; i < 2; i++)
        put_away(&next[i]);
    nap_ms(300);
}

/* --- takeovers -------------------------------------------------------------------------------------------------------
 */

#define POOL 3
static struct process live, pool[POOL]; /* the oldest first */
static size_t pooled;

static void fill_pool(void)
{
    while (pooled < POOL)
        begin(&pool[pooled++], BLOCKS, others.threads);
}

static struct process take(void)
{
    const struct process taken = pool[0];
    memmove(pool, pool + 1, --pooled * sizeof pool[0]);
    return taken;
}

/* Another one is live; who was ends. */
static struct process replace(enum before how)
{
    struct process old = live;
    live = take();
    launch(&live);
    old.desk->order = LEAVE;
    if (how == KILLED)
        kill(old.pid, SIGKILL);
    return old;
}

static void cycle_takeovers(uint32_t number)
{
    const enum before before = number % BEFORE_COUNT;
    const bool fresh = number / BEFORE_COUNT % 2; /* new ones begin beside the fault */
    const size_t many = before == NOTHING ? 1 : 3;
    struct process gone[3] = {{0}};
    fill_pool();
    if (!live.pid) {
        live = take();
        launch(&live);
        fill_pool();
    }
    nap_ms(900);
    for (size_t i = 1; i < many; i++) {
        nap_ms(120);
        gone[i] = replace(before);
    }
    if (fresh)
        fill_pool();
    nap_ms(20 + 40 * (number % 5));
    gone[0] = live;
    const struct seen s = fault(gone, many, &pool[0], 120);
    report(number, before, fresh, &gone[0], &s);
    live = take();
    for (size_t i = 0; i < 3; i++)
        put_away(&gone[i]);
    if (!live.desk->beat || live.desk->error) /* it did not come to serve, or its time was over */
        put_away(&live);
}

int main(int argc, char **argv)
{
    const double seconds = argc > 1 ? strtod(argv[1], NULL) : 60;
    const bool with_grid = argc > 4;
    patient = argc > 2 && !strcmp(argv[2], "patient");
    const bool takeovers = patient || (argc > 2 && !strcmp(argv[2], "takeovers"));
    if (argc > 3)
        others.threads = (uint32_t)strtoul(argv[3], NULL, 10);
    if (argc > 5 || seconds <= 0 || (argc > 2 && !takeovers && strcmp(argv[2], "beside") != 0) || others.threads < 6 ||
        others.threads > 1024 || (with_grid && strcmp(argv[4], "grid") != 0)) {
        fprintf(stderr,
                "usage: gpu_standstill [SECONDS [beside|takeovers|patient [THREADS [grid]]]], 6 to 1024 threads\n");
        return 64;
    }
    const double from = now_ms();
    begin(&others.caller, 0, 0);
    await_ready(&others.caller);
    for (uint32_t n = 0; now_ms() - from < 1e3 * seconds; n++) {
        if (with_grid) { /* anew each time: it would end itself */
            begin(&others.grid, 1, 32);
            launch(&others.grid);
        }
        takeovers ? cycle_takeovers(n) : cycle_beside(n);
        put_away(&others.grid);
    }
    put_away(&live);
    while (pooled)
        put_away(&pool[--pooled]);
    put_away(&others.caller);
    printf("%-12s %-4s %7s %9s %9s %9s %9s %9s %9s %9s\n", "before", "new", "cycles", "over 3 s", "told ms", "call ms",
           "still ms", "serves ms", "pause ms", "ended ms");
    for (uint32_t b = 0; b < BEFORE_COUNT; b++)
        for (uint32_t f = 0; f < 2; f++) {
            const struct kind *k = &kinds[b][f];
            printf("%-12s %-4s %7u %9u %9.0f %9.0f %9.0f %9.0f %9.0f %9.0f\n", before_names[b], f ? "yes" : "no",
                   k->cycles, k->slow, k->told, k->call, k->still, k->serves, k->pause, k->all);
        }
    return endless;
}
