/* fiber_support.h - running a block of CUDA threads in a test, and catching the sentence with which one ends. */
#ifndef GQ_TESTS_FIBER_SUPPORT_H
#define GQ_TESTS_FIBER_SUPPORT_H

#include "backend/fiber.h"
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define FULL 0xffffffffu
#define S (&gq_fiber_services)

static inline unsigned rank(void) { return S->self()->thread_idx.x; }

static int die_pipe = -1;

static void die_into_pipe(const char *sentence)
{
    if (write(die_pipe, sentence, strlen(sentence)) < 0)
        _exit(2);
    _exit(1);
}

/* Runs the block in a child and returns the sentence with which it died; "" if it did not. */
static inline const char *death_of(void (*entry)(void *), void *arg, unsigned threads)
{
    static char sentence[2048];
    int ends[2], status;
    ck_assert_int_eq(pipe(ends), 0);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        die_pipe = ends[1];
        gq_fiber_set_die(die_into_pipe);
        S->run_block(entry, arg, threads);
        _exit(0);
    }
    close(ends[1]);
    ssize_t n = read(ends[0], sentence, sizeof sentence - 1);
    sentence[n > 0 ? n : 0] = '\0';
    close(ends[0]);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == (n > 0), "the child ended with wait status %d", status);
    return sentence;
}

static inline int run_suite(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}

#endif
