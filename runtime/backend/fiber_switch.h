/* fiber_switch.h - a stack that can be left and entered again. Assembly on x86-64 and aarch64, ucontext elsewhere; the
 * sanitizers are told of every switch, so that tests run under them. */
#ifndef GQ_BACKEND_FIBER_SWITCH_H
#define GQ_BACKEND_FIBER_SWITCH_H

#include <stddef.h>

#if defined(__SANITIZE_ADDRESS__)
#define GQ_FIBER_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define GQ_FIBER_ASAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define GQ_FIBER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define GQ_FIBER_TSAN 1
#endif
#endif

#if !defined(GQ_FIBER_UCONTEXT) && !defined(__x86_64__) && !defined(__aarch64__)
#define GQ_FIBER_UCONTEXT 1
#endif
#if defined(GQ_FIBER_UCONTEXT)
#include <ucontext.h>
#endif

/* One stack. The caller's own stack is one too, whose `base` is found when it is first left. */
struct gq_stack {
    void *base; /* lowest usable byte; NULL: the OS thread's own */
    size_t bytes;
    void *pointer; /* where it was left */
    void (*entry)(struct gq_stack *);
    struct gq_stack *next; /* in the pool */
#if defined(GQ_FIBER_UCONTEXT)
    ucontext_t context;
#endif
    void *asan_fake;
    const void *asan_bottom;
    size_t asan_bytes;
    void *tsan_fiber;
};

/* Makes `stack` start entry(stack) when it is entered; whatever it held is forgotten. entry never returns. */
void gq_stack_prepare(struct gq_stack *stack, void (*entry)(struct gq_stack *));
/* Leaves `from`, which is the stack that runs, and goes on in `to`. `from_is_done`: nobody will enter it as it is. */
void gq_stack_switch(struct gq_stack *from, struct gq_stack *to, int from_is_done);
/* Releases what a sanitizer keeps for it. The memory is the caller's. */
void gq_stack_release(struct gq_stack *stack);

#endif
