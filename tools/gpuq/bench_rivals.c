/* Other ways of using the GPU, measured by gpuq-rivals: a program of its own, for this process holds no CUDA state, and
 * our persistent grid would stand in their way. It prints a line a row:
 *
 *   test <TAB> what <TAB> messages/s <TAB> p50 ns <TAB> p99 ns <TAB> bytes <TAB> note
 *
 * A number that was not measured is empty. */
#include "base/clock.h"
#include "base/process.h"
#include "base/text.h"
#include "bench.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define WHAT "other ways of using the GPU (gpuq-rivals)"
#define TIMEOUT_MS 90000u
#define OUTPUT_MAX 65536u

extern char **environ;

/* --- the process -------------------------------------------------------------------------------------------------- */

static gq_status start(struct bench *b, const char *path, const char *name, pid_t *pid, int *from)
{
    char seconds[32], producers[16];
    int ends[2];
    posix_spawn_file_actions_t actions;
    snprintf(seconds, sizeof seconds, "%g", b->seconds);
    snprintf(producers, sizeof producers, "%u", bench_most_producers(b));
    char *argv[] = {(char *)(uintptr_t)path, seconds, producers, (char *)(uintptr_t)name, NULL};
    if (pipe(ends) != 0)
        return gq_error_errno(GQ_ERR_NO_MEMORY, errno, "pipe");
    int error = posix_spawn_file_actions_init(&actions);
    if (error == 0) {
        posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
        posix_spawn_file_actions_addclose(&actions, ends[0]);
        error = posix_spawn(pid, path, &actions, NULL, argv, environ);
        posix_spawn_file_actions_destroy(&actions);
    }
    close(ends[1]);
    *from = ends[0];
    if (error != 0)
        close(ends[0]);
    return error == 0 ? GQ_OK : gq_error_errno(GQ_ERR_UNAVAILABLE, error, "%s", path);
}

/* All that it prints, until it ends or its time is over. */
static bool read_all(int from, struct gq_text *out)
{
    uint64_t deadline = gq_clock_deadline(TIMEOUT_MS);
    struct pollfd p = {.fd = from, .events = POLLIN};
    while (!gq_clock_past(deadline) && out->len < OUTPUT_MAX) {
        char bytes[4096];
        if (poll(&p, 1, 100) <= 0)
            continue;
        ssize_t n = read(from, bytes, sizeof bytes);
        if (n <= 0)
            return n == 0;
        gq_text_add(out, bytes, (size_t)n);
    }
    return false;
}

static gq_status run(struct bench *b, const char *path, const char *name, struct gq_text *out)
{
    pid_t pid = 0;
    int from = -1, wait_status = 0;
    gq_status status = start(b, path, name, &pid, &from);
    if (status != GQ_OK)
        return status;
    bool ended = read_all(from, out);
    if (!ended)
        kill(pid, SIGKILL);
    close(from);
    while (waitpid(pid, &wait_status, 0) < 0 && errno == EINTR)
        continue;
    if (!ended)
        return gq_error_set(GQ_ERR_TIMEOUT, "gpuq-rivals did not end in %u s", TIMEOUT_MS / 1000);
    if (wait_status == 0)
        return GQ_OK;
    struct gq_text how = {0};
    gq_process_describe(wait_status, &how);
    gq_error_set(GQ_ERR_UNAVAILABLE, "gpuq-rivals %s and said why on standard error", gq_text_str(&how));
    gq_text_finish(&how);
    return GQ_ERR_UNAVAILABLE;
}

/* --- its lines ---------------------------------------------------------------------------------------------------- */

#define FIELDS 7

static double number(const char *field)
{
    double value = strtod(field, NULL);
    return value > 0 ? value : 0; /* an empty field, and "nan" */
}

static void add_line(struct bench *b, char *line)
{
    char *field[FIELDS], *rest = line;
    for (unsigned i = 0; i < FIELDS; i++) {
        field[i] = strsep(&rest, "\t");
        if (!field[i])
            return;
    }
    struct bench_row row = {.competitor = true,
                            .rate_per_s = number(field[2]),
                            .p50_ns = (uint64_t)number(field[3]),
                            .p99_ns = (uint64_t)number(field[4]),
                            .bytes = (uint32_t)number(field[5])};
    snprintf(row.test, sizeof row.test, "%s", field[0]);
    snprintf(row.what, sizeof row.what, "%s", field[1]);
    snprintf(row.note, sizeof row.note, "%s", field[6]);
    bench_add(b, row);
}

static void add_lines(struct bench *b, char *text)
{
    for (char *line; (line = strsep(&text, "\n"));)
        add_line(b, line);
}

void bench_rivals(struct bench *b, const char *name, const char *test)
{
    struct gq_text path = {0}, out = {0};
    if (!b->cuda) {
        bench_add_skipped(b, test, WHAT, true, "the backend is cpu");
        return;
    }
    gq_status status = gq_process_find("gpuq-rivals", &path);
    if (status == GQ_OK)
        status = run(b, gq_text_str(&path), name, &out);
    if (out.len)
        add_lines(b, out.data);
    if (status != GQ_OK)
        bench_add_skipped(b, test, WHAT, true, gq_error_text());
    gq_text_finish(&out);
    gq_text_finish(&path);
}
