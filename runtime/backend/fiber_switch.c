#include "backend/fiber_switch.h"
#include "base/assert.h"
#include <stdint.h>

#if defined(GQ_FIBER_ASAN)
void __asan_unpoison_memory_region(void const volatile *address, size_t size);
void __sanitizer_start_switch_fiber(void **fake_stack_save, const void *bottom, size_t size);
void __sanitizer_finish_switch_fiber(void *fake_stack_save, const void **bottom_old, size_t *size_old);
#endif
#if defined(GQ_FIBER_TSAN)
void *__tsan_get_current_fiber(void);
void *__tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void *fiber);
void __tsan_switch_to_fiber(void *fiber, unsigned flags);
#endif

/* Which stack was left last on this OS thread: the one entered completes the switch on its behalf. */
static _Thread_local struct gq_stack *left;

#if !defined(GQ_FIBER_UCONTEXT)
/* gq_stack_swap(save, load): pushes what the ABI lets a callee keep, stores the stack pointer in *save, takes `load`
 * and pops. Floating-point control words are not saved: device code has no way to change them. gq_stack_start: where a
 * new stack begins; the entry and its argument wait in two of the popped registers. */
void gq_stack_swap(void **save, void *load);
void gq_stack_start(void);

#if defined(__x86_64__)
/* System V ABI: rbx, rbp, r12-r15 are the callee's to keep. */
__asm__(".text\n"
        ".globl gq_stack_swap\n.hidden gq_stack_swap\n.type gq_stack_swap, @function\n"
        "gq_stack_swap:\n"
        "  push %rbp\n  push %rbx\n  push %r12\n  push %r13\n  push %r14\n  push %r15\n"
        "  mov %rsp, (%rdi)\n"
        "  mov %rsi, %rsp\n"
        "  pop %r15\n  pop %r14\n  pop %r13\n  pop %r12\n  pop %rbx\n  pop %rbp\n"
        "  ret\n"
        ".size gq_stack_swap, . - gq_stack_swap\n"
        ".globl gq_stack_start\n.hidden gq_stack_start\n.type gq_stack_start, @function\n"
        "gq_stack_start:\n"
        "  .cfi_startproc\n  .cfi_undefined rip\n" /* debuggers stop here */
        "  mov %rbx, %rdi\n"
        "  call *%r12\n"
        "  ud2\n"
        "  .cfi_endproc\n"
        ".size gq_stack_start, . - gq_stack_start\n");
enum { FRAME_WORDS = 9, FRAME_ENTRY = 3, FRAME_ARG = 4, FRAME_START = 6 };
#else
/* AAPCS64: x19-x30 and the lower halves of v8-v15 are the callee's to keep. */
__asm__(".text\n"
        ".globl gq_stack_swap\n.hidden gq_stack_swap\n.type gq_stack_swap, %function\n"
        "gq_stack_swap:\n"
        "  sub sp, sp, #160\n"
        "  stp x19, x20, [sp, #0]\n  stp x21, x22, [sp, #16]\n  stp x23, x24, [sp, #32]\n"
        "  stp x25, x26, [sp, #48]\n  stp x27, x28, [sp, #64]\n  stp x29, x30, [sp, #80]\n"
        "  stp d8, d9, [sp, #96]\n  stp d10, d11, [sp, #112]\n  stp d12, d13, [sp, #128]\n  stp d14, d15, [sp, #144]\n"
        "  mov x9, sp\n  str x9, [x0]\n  mov sp, x1\n"
        "  ldp x19, x20, [sp, #0]\n  ldp x21, x22, [sp, #16]\n  ldp x23, x24, [sp, #32]\n"
        "  ldp x25, x26, [sp, #48]\n  ldp x27, x28, [sp, #64]\n  ldp x29, x30, [sp, #80]\n"
        "  ldp d8, d9, [sp, #96]\n  ldp d10, d11, [sp, #112]\n  ldp d12, d13, [sp, #128]\n  ldp d14, d15, [sp, #144]\n"
        "  add sp, sp, #160\n"
        "  ret\n"
        ".size gq_stack_swap, . - gq_stack_swap\n"
        ".globl gq_stack_start\n.hidden gq_stack_start\n.type gq_stack_start, %function\n"
        "gq_stack_start:\n"
        "  .cfi_startproc\n  .cfi_undefined x30\n"
        "  mov x0, x19\n"
        "  blr x20\n"
        "  brk #0\n"
        "  .cfi_endproc\n"
        ".size gq_stack_start, . - gq_stack_start\n");
enum { FRAME_WORDS = 20, FRAME_ENTRY = 1, FRAME_ARG = 0, FRAME_START = 11 };
#endif
#endif

/* First act on every stack that is entered. */
static void arrive(struct gq_stack *self)
{
#if defined(GQ_FIBER_ASAN)
    const void *bottom;
    size_t bytes;
    __sanitizer_finish_switch_fiber(self->asan_fake, &bottom, &bytes);
    if (left && !left->base) { /* the OS thread's own stack: only the sanitizer knows where it lies */
        left->asan_bottom = bottom;
        left->asan_bytes = bytes;
    }
#else
    (void)self;
#endif
}

static void depart(struct gq_stack *from, struct gq_stack *to, int from_is_done)
{
    left = from;
#if defined(GQ_FIBER_ASAN)
    __sanitizer_start_switch_fiber(from_is_done ? NULL : &from->asan_fake, to->base ? to->base : to->asan_bottom,
                                   to->base ? to->bytes : to->asan_bytes);
#else
    (void)to, (void)from_is_done;
#endif
#if defined(GQ_FIBER_TSAN)
    if (!from->tsan_fiber)
        from->tsan_fiber = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(to->tsan_fiber, 0);
#endif
}

static void first_entry(struct gq_stack *self)
{
    arrive(self);
    self->entry(self);
    __builtin_trap(); /* an entry does not return */
}

#if defined(GQ_FIBER_UCONTEXT)
static void context_entry(unsigned high, unsigned low)
{
    first_entry((struct gq_stack *)(uintptr_t)((uint64_t)high << 32 | low));
}
#endif

void gq_stack_prepare(struct gq_stack *stack, void (*entry)(struct gq_stack *))
{
    gq_assert(stack->base && stack->bytes >= 4096);
    stack->entry = entry;
#if defined(GQ_FIBER_ASAN)
    /* The frames that were here never returned, so their red zones are still marked. */
    __asan_unpoison_memory_region(stack->base, stack->bytes);
    stack->asan_fake = NULL;
#endif
#if defined(GQ_FIBER_TSAN)
    if (!stack->tsan_fiber)
        stack->tsan_fiber = __tsan_create_fiber(0);
#endif
#if defined(GQ_FIBER_UCONTEXT)
    gq_assert(getcontext(&stack->context) == 0);
    stack->context.uc_stack.ss_sp = stack->base;
    stack->context.uc_stack.ss_size = stack->bytes;
    uint64_t self = (uintptr_t)stack;
    makecontext(&stack->context, (void (*)(void))context_entry, 2, (unsigned)(self >> 32), (unsigned)self);
#else
    /* Popped by the first swap, which leaves the stack 16-byte aligned, as the ABI wants it before a call. */
    uintptr_t top = ((uintptr_t)stack->base + stack->bytes) & ~(uintptr_t)15;
    uintptr_t *frame = (uintptr_t *)top - FRAME_WORDS;
    for (int i = 0; i < FRAME_WORDS; i++)
        frame[i] = 0;
    frame[FRAME_ENTRY] = (uintptr_t)first_entry;
    frame[FRAME_ARG] = (uintptr_t)stack;
    frame[FRAME_START] = (uintptr_t)gq_stack_start;
    stack->pointer = frame;
#endif
}

void gq_stack_switch(struct gq_stack *from, struct gq_stack *to, int from_is_done)
{
    gq_assert(from != to);
    depart(from, to, from_is_done);
#if defined(GQ_FIBER_UCONTEXT)
    gq_assert(swapcontext(&from->context, &to->context) == 0);
#else
    gq_stack_swap(&from->pointer, to->pointer);
#endif
    arrive(from);
}

void gq_stack_release(struct gq_stack *stack)
{
#if defined(GQ_FIBER_TSAN)
    if (stack->tsan_fiber && stack->base)
        __tsan_destroy_fiber(stack->tsan_fiber);
#endif
    stack->tsan_fiber = NULL;
}
