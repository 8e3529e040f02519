/* A child that is waited for: how long, and what is known when it ends. And where the programs of children are. */
#include "base/process.h"
#include "base/clock.h"
#include "base/dl.h"
#include "unit.h"
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SLICE_MS 5u
#define SLICES 40u

static struct gq_process child;

/* It ends when our end of the channel is closed, also by a test that failed. */
static void start(void)
{
    char *argv[] = {"sh", "-c", "read word <&3", NULL};
    ck_assert_int_eq(gq_process_start("/bin/sh", argv, &child), GQ_OK);
}

static void end(void) { gq_process_end(&child, 0); }

/* The machine may be busy, so of many waits the shortest counts. */
START_TEST(a_wait_takes_no_longer_than_it_may)
{
    uint64_t shortest = UINT64_MAX;
    int status;
    for (uint32_t i = 0; i < SLICES; i++) {
        const uint64_t before = gq_clock_ns();
        ck_assert(!gq_process_wait(&child, SLICE_MS, &status));
        const uint64_t took = gq_clock_ns() - before;
        ck_assert_uint_ge(took, SLICE_MS * 1000000u);
        shortest = took < shortest ? took : shortest;
    }
    ck_assert_uint_lt(shortest, 4 * SLICE_MS * 1000000u);
}
END_TEST

START_TEST(a_wait_ends_with_the_child)
{
    int status = 0;
    ck_assert_int_eq(kill(child.pid, SIGTERM), 0);
    ck_assert(gq_process_wait(&child, GQ_MS_FOREVER, &status));
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    ck_assert_int_eq(child.pid, 0);
}
END_TEST

/* The part of a program that was started by a relative path and goes elsewhere. */
static int ask_twice(void)
{
    char before[PATH_MAX], after[PATH_MAX];
    const bool asked = gq_dl_self(before, sizeof before) && chdir("/") == 0 && gq_dl_self(after, sizeof after);
    return asked && before[0] == '/' && strcmp(before, after) == 0 ? 0 : 1;
}

START_TEST(a_program_that_changes_its_folder_knows_where_its_code_is)
{
    char self[PATH_MAX] = "";
    int status;
    ck_assert_int_gt(readlink("/proc/self/exe", self, sizeof self - 1), 0);
    char *name = strrchr(self, '/');
    *name = '\0';
    const pid_t program = fork();
    if (program == 0) {
        char relative[PATH_MAX + 2];
        snprintf(relative, sizeof relative, "./%s", name + 1);
        if (chdir(self) == 0)
            execl(relative, relative, "ask", NULL);
        _exit(2);
    }
    ck_assert_int_eq(waitpid(program, &status, 0), program);
    ck_assert_int_eq(status, 0);
}
END_TEST

int main(int argc, char **argv)
{
    const TTest *const tests[] = {a_wait_takes_no_longer_than_it_may, a_wait_ends_with_the_child,
                                  a_program_that_changes_its_folder_knows_where_its_code_is};
    if (argc == 2 && strcmp(argv[1], "ask") == 0)
        return ask_twice();
    return unit_run("process", tests, sizeof tests / sizeof *tests, start, end);
}
