/* A fault signal is noted and ends the process as it would have without us. */
#include "backend/cpu.h"
#include "unit.h"
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static struct gq_crumb *crumb; /* shared with the child that dies */

static void set_up(void)
{
    crumb = mmap(NULL, sizeof *crumb, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert(crumb != MAP_FAILED);
}

static void tear_down(void) { munmap(crumb, sizeof *crumb); }

static _Noreturn void fault_in_child(int number)
{
    void *stack;
    if (gq_cpu_fault_install() != GQ_OK || gq_cpu_fault_thread(crumb, &stack) != GQ_OK)
        _exit(1);
#if defined(__x86_64__)
    if (number == SIGTRAP) /* its address is behind the instruction: returning would run on */
        __asm__ volatile("int3");
    else
#endif
        raise(number);
    _exit(2);
}

START_TEST(every_fault_signal_ends_the_process_and_leaves_its_name)
{
    const int faults[] = {SIGABRT, SIGTRAP, SIGSYS, SIGILL};
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        int status;
        crumb->signal = 0;
        pid_t child = fork();
        if (child == 0)
            fault_in_child(faults[i]);
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == faults[i], "signal %d: status %#x", faults[i],
                      (unsigned)status);
        ck_assert_int_eq((int)crumb->signal, faults[i]);
    }
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {every_fault_signal_ends_the_process_and_leaves_its_name};
    return unit_run("cpu fault", tests, 1, set_up, tear_down);
}
