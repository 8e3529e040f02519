/* fiber_room.h - one OS thread's block of CUDA threads, shared by fiber.c (who runs), fiber_warp.c (what lanes
 * exchange) and fiber_stuck.c (why nobody can go on). */
#ifndef GQ_BACKEND_FIBER_ROOM_H
#define GQ_BACKEND_FIBER_ROOM_H

#include "backend/fiber.h"
#include "backend/fiber_switch.h"

#define GQ_FIBER_LANES 32u
#define GQ_FIBER_WARPS_MAX (GQ_FIBER_THREADS_MAX / GQ_FIBER_LANES)

enum gq_fiber_state { GQ_FIBER_RUNS, GQ_FIBER_AT_BARRIER, GQ_FIBER_AT_WARP_OP, GQ_FIBER_READY, GQ_FIBER_DONE };

/* One CUDA thread. Valid from its start on: threads from room->next on have not started. */
struct gq_fiber {
    struct gq_cpu_thread cuda;
    struct gq_stack *stack;
    enum gq_fiber_state state;
    /* what it waits for */
    const char *file;
    int line;
    int pred; /* MATCH_ALL */
    enum gq_cpu_block_op block_op;
    enum gq_cpu_warp_op warp_op;
    uint32_t mask, arg, width;
    uint64_t value;
    uint64_t result;
};

struct gq_fiber_warp {
    uint32_t waiting; /* lanes at a warp operation */
    uint32_t done;    /* lanes that returned */
};

struct gq_fiber_room {
    struct gq_fiber thread[GQ_FIBER_THREADS_MAX];
    struct gq_fiber_warp warp[GQ_FIBER_WARPS_MAX];
    uint32_t count, next, done; /* threads of the block; first that has not started; those that returned */
    struct gq_fiber *current;
    void (*entry)(void *arg);
    void *arg;
    /* threads that may go on, in the order in which they became ready; each thread is in it once at most */
    uint16_t ready[GQ_FIBER_THREADS_MAX];
    uint32_t ready_head, ready_tail;
    /* the block-wide barrier */
    struct gq_fiber *first; /* thread that arrived first, NULL: nobody */
    uint32_t arrived, agreeing;
    /* stacks */
    struct gq_stack own; /* the caller's */
    struct gq_stack *free;
    struct gq_stack *stack[GQ_FIBER_THREADS_MAX];
    uint32_t stack_count;
    uint64_t switches;
};

static inline uint32_t gq_fiber_index(const struct gq_fiber_room *r, const struct gq_fiber *t)
{
    return (uint32_t)(t - r->thread);
}

/* fiber.c */
_Noreturn void gq_fiber_die(const char *format, ...) __attribute__((format(printf, 1, 2)));
void gq_fiber_ready(struct gq_fiber_room *r, struct gq_fiber *t);
/* The current thread, whose state says what it waits for, gives way until somebody makes it ready. */
void gq_fiber_wait(struct gq_fiber_room *r);

/* fiber_warp.c */
uint64_t gq_fiber_warp_op(struct gq_fiber_room *r, enum gq_cpu_warp_op op, uint32_t mask, uint64_t value, uint32_t arg,
                          uint32_t width, int *pred, const char *file, int line);

/* fiber_stuck.c: every thread of the block has returned or waits. */
_Noreturn void gq_fiber_stuck(const struct gq_fiber_room *r);
_Noreturn void gq_fiber_diverged(const struct gq_fiber_room *r, const struct gq_fiber *one,
                                 const struct gq_fiber *other);

#endif
