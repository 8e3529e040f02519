/* plan.h - which call fails. Programs of this folder are gpuqueue's own, linked so that each call of the allocator and
 * of the system that gpuqueue's code makes comes to calls.c first, which asks here.
 *
 * A plan is a file that the processes of one scenario share: $GPUQ_FAILING names it, failing.py and library.c write it.
 * It says whose calls count (the host's, the worker's or the builder's) and which of them fails, and is told which one
 * that was. */
#ifndef TESTS_FAILING_PLAN_H
#define TESTS_FAILING_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#define FAILING_ROLE_BYTES 16
#define FAILING_CALL_BYTES 48
#define FAILING_PROGRAM_BYTES 256

/* failing.py packs the same fields in the same order. */
struct failing_plan {
    char role[FAILING_ROLE_BYTES]; /* "host", "worker" or "builder" */
    uint32_t interrupted;          /* 1: calls that wait are interrupted (EINTR), and no other call fails */
    uint32_t planted;              /* 1: the call came, and failed */
    uint64_t at;                   /* the call that fails, from 1; 0: none, they are only counted */
    uint64_t count;                /* calls so far, of all processes in the role */
    uint64_t place;                /* of the failed call in its program: where it returns to */
    char call[FAILING_CALL_BYTES]; /* its name and errno */
    char program[FAILING_PROGRAM_BYTES];
};

/* The plan of this process, for a program that changes it between rounds; ends the program where there is none. */
struct failing_plan *failing_plan(void);

/* Does this call fail? Then errno is set. `err` 0: it has no error that matters; `waits`: a signal can interrupt it. */
bool failing_here(const char *call, int err, bool waits, const void *from);

/* How much the code has allocated and not freed since the last failing_forget_allocations(), but for what `stays`;
 * `what`: the place of one of them. */
uint32_t failing_allocations(bool (*stays)(const void *p), char *what, uint32_t size);
void failing_forget_allocations(void);
void *failing_allocated(void *p, const void *from);
void failing_freed(const void *p);

#endif
