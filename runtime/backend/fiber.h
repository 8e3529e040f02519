/* fiber.h - one block of CUDA threads on one OS thread: the services of device/image.h.
 *
 * The threads of a block run one after another on the caller's stack. When one waits (a barrier, a shuffle), its frames
 * stay where they are, and the rest of the block goes on on a stack taken from the OS thread's pool. So a plugin that
 * never waits costs no stack switch, and one that does costs a switch a wait.
 *
 *     caller's stack   thread 0 ... waits            <- resumed, returns, runs nothing more
 *     pooled stack 1       thread 1 ... waits        <- resumed in turn
 *     pooled stack 2           thread 2, 3, 4 ...       (those never wait)
 *
 * A block in which nobody can go on is the plugin's error: the sentence names who waits where, and what the missing
 * threads did instead.
 *
 * Everything here is per OS thread; nothing is locked. Pooled stacks are GQ_FIBER_STACK_BYTES each with a guard page
 * below, at most 1023 of them, kept until the OS thread ends.
 */
#ifndef GQ_BACKEND_FIBER_H
#define GQ_BACKEND_FIBER_H

#include <stdbool.h>
#include <stdint.h>
#include "device/image.h"

#define GQ_FIBER_STACK_BYTES 65536u
#define GQ_FIBER_THREADS_MAX 1024u

extern const struct gq_cpu_services gq_fiber_services;

/* What services->die, and an error of this file, calls with one whole sentence. It must not return. Set once, before
 * the first block runs; without it the process aborts. */
void gq_fiber_set_die(void (*die)(const char *sentence));

/* Stack switches of this OS thread so far, and pooled stacks it holds. */
uint64_t gq_fiber_switches(void);
unsigned gq_fiber_stacks(void);

/* Is this the guard page below one of this OS thread's pooled stacks? For the handler of SIGSEGV: safe to call there.
 */
bool gq_fiber_overflowed(const void *address);

#endif
