#include "backend/cpu.h"
#include "backend/fiber.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SIGNAL_STACK_BYTES 65536 /* a signal frame with AVX-512 and AMX state takes 11 KiB of it */

static _Thread_local struct gq_crumb *own_crumb;

static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS};

/* A signal that was sent has no address, nor has a pointer that is no address at all (x86-64: not canonical): there the
 * kernel says SI_KERNEL and 0, which would be read as a null pointer. */
static bool has_address(const siginfo_t *info) { return info->si_code > 0 && info->si_code != SI_KERNEL; }

/* Stores only, then the default action: returning runs the faulting instruction again, now without a handler; a signal
 * that was sent (abort), or that came after its instruction (a breakpoint, a refused system call), has to be raised
 * again. */
static void on_fault(int signal_number, siginfo_t *info, void *context)
{
    (void)context;
    if (own_crumb) {
        own_crumb->address = has_address(info) ? (uint64_t)(uintptr_t)info->si_addr : GQ_ADDRESS_UNKNOWN;
        own_crumb->overflow = has_address(info) && gq_fiber_overflowed(info->si_addr);
        __atomic_store_n(&own_crumb->signal, (uint32_t)signal_number, __ATOMIC_RELEASE);
    }
    signal(signal_number, SIG_DFL);
    if (info->si_code <= 0 || signal_number == SIGTRAP || signal_number == SIGSYS)
        raise(signal_number);
}

gq_status gq_cpu_fault_install(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        if (sigaction(faults[i], &action, NULL) != 0)
            return gq_error_errno(GQ_ERR_INTERNAL, errno, "sigaction");
    return GQ_OK;
}

gq_status gq_cpu_fault_thread(struct gq_crumb *crumb, void **stack)
{
    *stack = malloc(SIGNAL_STACK_BYTES);
    if (!*stack)
        return gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for a signal stack");
    stack_t alternate = {.ss_sp = *stack, .ss_size = SIGNAL_STACK_BYTES};
    sigaltstack(&alternate, NULL);
    own_crumb = crumb;
    return GQ_OK;
}

static void (*end_process)(const char *sentence);

void gq_cpu_fault_set_die(void (*die)(const char *sentence)) { end_process = die; }

void gq_cpu_die(const char *sentence)
{
    if (own_crumb)
        __atomic_store_n(&own_crumb->signal, (uint32_t)SIGABRT, __ATOMIC_RELEASE);
    end_process(sentence);
}

void gq_cpu_fault_thread_end(void *stack)
{
    stack_t none = {.ss_flags = SS_DISABLE};
    own_crumb = NULL;
    sigaltstack(&none, NULL);
    free(stack);
}
