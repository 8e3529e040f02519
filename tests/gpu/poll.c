/* gpu_poll BACKEND MODE SECONDS - one message every millisecond into a queue that is idle between them, waiting as
 * queue.poll: MODE says. Prints the mode, p50 and p99 from q_enqueue to the result in us, and how much of a processor
 * this process and its worker took in percent. Exit 1: a message did not come back as it went. */
#include <gpuqueue/runtime.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define PERIOD_NS 1000000
#define MESSAGES_MAX 600000 /* ten minutes */

static double now_s(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static gq_pipeline *open_queue(const char *backend, const char *mode)
{
    char text[512];
    gq_pipeline *p = NULL;
    snprintf(text, sizeof text,
             "version: 1\nname: poll\nqueue: { capacity: 1024, slot_bytes: 64, poll: %.32s }\n"
             "stages: [{ plugin: \"builtin:echo\" }]\n",
             mode);
    gq_open_opts opts = {.size = sizeof opts, .path = "poll.yaml", .text = text, .backend = backend};
    if (gq_open(&opts, &p) == GQ_OK && gq_prepare(p) == GQ_OK && gq_start(p) == GQ_OK)
        return p;
    fprintf(stderr, "gpu_poll: %s\n", gq_last_error());
    exit(1);
}

/* Seconds of a processor that the worker, the only child of this process, has taken. */
static double worker_s(void)
{
    char path[64], text[1024] = "";
    unsigned long user = 0, kernel = 0;
    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    FILE *file = fopen(path, "r");
    if (!file || !fgets(text, sizeof text, file))
        return 0;
    fclose(file);
    snprintf(path, sizeof path, "/proc/%ld/stat", strtol(text, NULL, 10));
    file = fopen(path, "r");
    size_t len = file ? fread(text, 1, sizeof text - 1, file) : 0;
    if (file)
        fclose(file);
    text[len] = '\0';
    const char *name_end = strrchr(text, ')');
    if (!name_end || sscanf(name_end + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &kernel) != 2)
        return 0;
    return (double)(user + kernel) / (double)sysconf(_SC_CLK_TCK);
}

/* In us; negative: it did not come back as it went. */
static double round_trip(GpuQueue *q, uint64_t number)
{
    QResult result;
    size_t count = 0;
    const double start = now_s(CLOCK_MONOTONIC);
    if (q_enqueue(q, &number, sizeof number, NULL, 5000) != Q_OK || q_peek(q, &result, 1, &count, 5000) != Q_OK)
        return -1;
    const double took = 1e6 * (now_s(CLOCK_MONOTONIC) - start);
    const int same = result.len == sizeof number && memcmp(result.data, &number, sizeof number) == 0;
    return q_release(q, &result, 1) == Q_OK && same ? took : -1;
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Fills `took`, one message a period; returns how many came back, or -1. */
static long send_all(GpuQueue *q, double *took, long count)
{
    struct timespec next;
    clock_gettime(CLOCK_MONOTONIC, &next);
    for (long i = 0; i < count; i++) {
        next.tv_nsec += PERIOD_NS;
        if (next.tv_nsec >= 1000000000) {
            next.tv_nsec -= 1000000000;
            next.tv_sec++;
        }
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
        if ((took[i] = round_trip(q, (uint64_t)i)) < 0)
            return -1;
    }
    return count;
}

int main(int argc, char **argv)
{
    const double seconds = argc == 4 ? strtod(argv[3], NULL) : 0;
    const long count = (long)(seconds * 1e9 / PERIOD_NS);
    if (count < 1 || count > MESSAGES_MAX) {
        fputs("usage: gpu_poll auto|cuda|cpu spin|adaptive|sleep SECONDS (up to 600)\n", stderr);
        return 64;
    }
    double *took = calloc((size_t)count, sizeof *took);
    gq_pipeline *p = open_queue(argv[1], argv[2]);
    if (!took || round_trip(gq_queue(p), 0) < 0)
        return 1;
    const double wall = now_s(CLOCK_MONOTONIC), host = now_s(CLOCK_PROCESS_CPUTIME_ID), worker = worker_s();
    const long back = send_all(gq_queue(p), took, count);
    const double span = now_s(CLOCK_MONOTONIC) - wall;
    const double host_share = (now_s(CLOCK_PROCESS_CPUTIME_ID) - host) / span,
                 worker_share = (worker_s() - worker) / span;
    if (back != count) {
        fprintf(stderr, "gpu_poll: a message did not come back: %s\n", q_last_error());
        return 1;
    }
    qsort(took, (size_t)count, sizeof *took, by_size);
    printf("%-9s %9.1f %9.1f %9.1f %9.1f\n", argv[2], took[count / 2], took[count * 99 / 100], 100 * host_share,
           100 * worker_share);
    free(took);
    gq_stop(p, 5000);
    gq_close(p);
    return 0;
}
