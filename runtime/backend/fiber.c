#include "backend/fiber.h"
#include "backend/fiber_room.h"
#include "base/assert.h"
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SENTENCE_MAX 1024

static void (*die_hook)(const char *sentence);
static _Thread_local struct gq_fiber_room *room;
static pthread_key_t room_key;
static bool room_keyed;
static pthread_once_t room_key_once = PTHREAD_ONCE_INIT;

/* --- the end ---------------------------------------------------------------------------------------------------------
 */

void gq_fiber_set_die(void (*die)(const char *sentence)) { die_hook = die; }

void gq_fiber_die(const char *format, ...)
{
    char sentence[SENTENCE_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);
    if (die_hook)
        die_hook(sentence);
    gq_assert_failed("the die hook does not return", __FILE__, __LINE__, __func__);
}

static void service_die(const char *what, const char *file, int line) { gq_fiber_die("%s:%d: %s", file, line, what); }

/* --- stacks ----------------------------------------------------------------------------------------------------------
 */

static size_t page_bytes(void) { return (size_t)sysconf(_SC_PAGESIZE); }

static struct gq_stack *map_stack(void)
{
    struct gq_stack *stack = calloc(1, sizeof *stack);
    size_t page = page_bytes(), bytes = GQ_FIBER_STACK_BYTES;
    void *memory = mmap(NULL, page + bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (!stack || memory == MAP_FAILED || mprotect(memory, page, PROT_NONE) != 0)
        gq_fiber_die(
            "the system has no memory for the stack of one more CUDA thread that waits (%u bytes); use a smaller "
            "GQ_SCOPE(block, N) or fewer cpu.threads",
            GQ_FIBER_STACK_BYTES);
    stack->base = (char *)memory + page;
    stack->bytes = bytes;
    return stack;
}

static struct gq_stack *take_stack(struct gq_fiber_room *r)
{
    struct gq_stack *stack = r->free;
    if (stack) {
        r->free = stack->next;
        return stack;
    }
    gq_assert(r->stack_count < GQ_FIBER_THREADS_MAX);
    stack = map_stack();
    r->stack[r->stack_count++] = stack;
    return stack;
}

static void give_stack(struct gq_fiber_room *r, struct gq_stack *stack)
{
    gq_assert(stack != &r->own);
    stack->next = r->free;
    r->free = stack;
}

/* --- the room of an OS thread ----------------------------------------------------------------------------------------
 */

static void destroy_room(void *p)
{
    struct gq_fiber_room *r = p;
    for (uint32_t i = 0; i < r->stack_count; i++) {
        gq_stack_release(r->stack[i]);
        munmap((char *)r->stack[i]->base - page_bytes(), page_bytes() + r->stack[i]->bytes);
        free(r->stack[i]);
    }
    free(r);
    room = NULL;
}

static void make_key(void) { room_keyed = pthread_key_create(&room_key, destroy_room) == 0; }

static struct gq_fiber_room *create_room(void)
{
    struct gq_fiber_room *r = calloc(1, sizeof *r);
    pthread_once(&room_key_once, make_key);
    if (!r || !room_keyed || pthread_setspecific(room_key, r) != 0)
        gq_fiber_die("the system has no memory for a block of CUDA threads");
    room = r;
    return r;
}

static void shape_threads(struct gq_fiber_room *r, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        r->thread[i].cuda = (struct gq_cpu_thread){{i, 0, 0}, {0, 0, 0}, {count, 1, 1}, {1, 1, 1}};
    r->count = count;
}

static void begin_block(struct gq_fiber_room *r, void (*entry)(void *arg), void *arg, uint32_t count)
{
    if (r->count != count)
        shape_threads(r, count);
    memset(r->warp, 0, (count + GQ_FIBER_LANES - 1) / GQ_FIBER_LANES * sizeof *r->warp);
    r->entry = entry;
    r->arg = arg;
    r->next = r->done = 0;
    r->ready_head = r->ready_tail = 0;
    r->first = NULL;
    r->arrived = r->agreeing = 0;
}

/* --- who runs --------------------------------------------------------------------------------------------------------
 */

void gq_fiber_ready(struct gq_fiber_room *r, struct gq_fiber *t)
{
    gq_assert(t->state == GQ_FIBER_AT_BARRIER || t->state == GQ_FIBER_AT_WARP_OP);
    t->state = GQ_FIBER_READY;
    r->ready[r->ready_tail++ % GQ_FIBER_THREADS_MAX] = (uint16_t)gq_fiber_index(r, t);
}

static void finish_thread(struct gq_fiber_room *r)
{
    uint32_t index = gq_fiber_index(r, r->current);
    r->current->state = GQ_FIBER_DONE;
    r->warp[index / GQ_FIBER_LANES].done |= 1u << index % GQ_FIBER_LANES;
    r->done++;
    r->current = NULL;
}

/* Runs threads that have not started, one after another, on the stack that runs now. One of them may wait; the call
 * then returns when that one was resumed and nobody is left to start. */
static void run_unstarted(struct gq_fiber_room *r, struct gq_stack *stack)
{
    while (r->next < r->count) {
        struct gq_fiber *t = &r->thread[r->next++];
        t->stack = stack;
        t->state = GQ_FIBER_RUNS;
        r->current = t;
        r->entry(r->arg);
        finish_thread(r);
    }
}

static void switch_stacks(struct gq_fiber_room *r, struct gq_stack *from, struct gq_stack *to, int from_is_done)
{
    r->switches++;
    gq_stack_switch(from, to, from_is_done);
}

/* The stack on which a thread that became ready goes on. */
static struct gq_stack *next_ready(struct gq_fiber_room *r)
{
    if (r->ready_head == r->ready_tail)
        gq_fiber_stuck(r);
    struct gq_fiber *t = &r->thread[r->ready[r->ready_head++ % GQ_FIBER_THREADS_MAX]];
    gq_assert(t->state == GQ_FIBER_READY);
    t->state = GQ_FIBER_RUNS;
    r->current = t;
    return t->stack;
}

/* What runs on a pooled stack. Its last act makes it free: nobody writes on it before the switch has left it. */
static void pooled_main(struct gq_stack *self)
{
    struct gq_fiber_room *r = room;
    run_unstarted(r, self);
    struct gq_stack *to = r->done == r->count ? &r->own : next_ready(r);
    give_stack(r, self);
    switch_stacks(r, self, to, 1);
}

void gq_fiber_wait(struct gq_fiber_room *r)
{
    struct gq_stack *self = r->current->stack, *to;
    if (r->next < r->count) {
        to = take_stack(r);
        gq_stack_prepare(to, pooled_main);
    } else {
        to = next_ready(r);
    }
    switch_stacks(r, self, to, 0);
}

static void run_block(void (*entry)(void *arg), void *arg, unsigned threads)
{
    struct gq_fiber_room *r = room ? room : create_room();
    gq_assert(threads >= 1 && threads <= GQ_FIBER_THREADS_MAX);
    gq_assert(r->current == NULL);
    begin_block(r, entry, arg, threads);
    run_unstarted(r, &r->own);
    if (r->done < r->count)
        switch_stacks(r, &r->own, next_ready(r), 0); /* back when all have returned */
    gq_assert(r->done == r->count && r->ready_head == r->ready_tail);
    r->current = NULL;
}

/* --- barriers --------------------------------------------------------------------------------------------------------
 */

static uint64_t barrier_result(const struct gq_fiber_room *r, enum gq_cpu_block_op op)
{
    if (op == GQ_CPU_SYNC_COUNT)
        return r->agreeing;
    if (op == GQ_CPU_SYNC_AND)
        return r->agreeing == r->count;
    return op == GQ_CPU_SYNC_OR && r->agreeing != 0;
}

static void open_barrier(struct gq_fiber_room *r, struct gq_fiber *last)
{
    last->result = barrier_result(r, last->block_op);
    for (uint32_t i = 0; i < r->count; i++) {
        struct gq_fiber *t = &r->thread[i];
        t->result = last->result;
        if (t != last)
            gq_fiber_ready(r, t);
    }
    r->first = NULL;
    r->arrived = r->agreeing = 0;
    last->state = GQ_FIBER_RUNS;
}

static bool same_place(const struct gq_fiber *a, const struct gq_fiber *b)
{
    return a->line == b->line && a->block_op == b->block_op && (a->file == b->file || strcmp(a->file, b->file) == 0);
}

static uint64_t block_op(enum gq_cpu_block_op op, uint64_t value, const char *file, int line)
{
    struct gq_fiber_room *r = room;
    gq_assert(r && r->current);
    struct gq_fiber *t = r->current;
    t->block_op = op;
    t->file = file;
    t->line = line;
    t->state = GQ_FIBER_AT_BARRIER;
    if (!r->first)
        r->first = t;
    else if (!same_place(r->first, t))
        gq_fiber_diverged(r, t, r->first);
    r->agreeing += value != 0;
    if (++r->arrived == r->count)
        open_barrier(r, t);
    else
        gq_fiber_wait(r);
    return t->result;
}

/* --- the rest of the services ----------------------------------------------------------------------------------------
 */

static struct gq_cpu_thread *self(void)
{
    gq_assert(room && room->current);
    return &room->current->cuda;
}

static uint64_t warp_op(enum gq_cpu_warp_op op, uint32_t mask, uint64_t value, uint32_t arg, uint32_t width, int *pred,
                        const char *file, int line)
{
    gq_assert(room && room->current);
    return gq_fiber_warp_op(room, op, mask, value, arg, width, pred, file, line);
}

static uint32_t active_mask(void)
{
    if (!room || !room->current)
        return 1;
    uint32_t warp = gq_fiber_index(room, room->current) / GQ_FIBER_LANES;
    uint32_t lanes = room->count - warp * GQ_FIBER_LANES;
    uint32_t all = lanes >= GQ_FIBER_LANES ? UINT32_MAX : (1u << lanes) - 1;
    return all & ~room->warp[warp].done;
}

const struct gq_cpu_services gq_fiber_services = {
    .run_block = run_block,
    .self = self,
    .block_op = block_op,
    .warp_op = warp_op,
    .active_mask = active_mask,
    .die = service_die,
};

uint64_t gq_fiber_switches(void) { return room ? room->switches : 0; }
unsigned gq_fiber_stacks(void) { return room ? room->stack_count : 0; }

bool gq_fiber_overflowed(const void *address)
{
    uintptr_t at = (uintptr_t)address;
    for (uint32_t i = 0; room && i < room->stack_count; i++) {
        uintptr_t base = (uintptr_t)room->stack[i]->base;
        if (at < base && base - at <= page_bytes())
            return true;
    }
    return false;
}
