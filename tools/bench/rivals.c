#include "rivals.h"
#include "base/error.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What each case of gpuq bench is shown beside. */
static const struct {
    const char *name;
    bool lazy; /* struct rival */
    gq_status (*run[3])(struct rival *r);
} cases[] = {
    {"echo", false, {rival_batches}},
    {"latency", false, {rival_flags, rival_per_message}},
    {"sizes", false, {rival_many_graphs, rival_zero_copy_both}},
    {"oneway", false, {rival_zero_copy_read}},
    {"sha256", false, {rival_hash}},
    {"swap", true, {rival_load}},
    {"bus", false, {rival_copy_engine, rival_zero_copy}},
};
#define CASES (sizeof cases / sizeof *cases)

static void print_or_nothing(uint64_t ns)
{
    if (ns)
        printf("%" PRIu64, ns);
    putchar('\t');
}

void rival_row(const char *test, const char *what, double rate, const struct bench_times *times, uint32_t bytes,
               const char *note)
{
    printf("%s\t%s\t%.0f\t", test, what, rate);
    print_or_nothing(times ? bench_times_quantile(times, 0.5) : 0);
    print_or_nothing(times ? bench_times_quantile(times, 0.99) : 0);
    printf("%" PRIu32 "\t%s\n", bytes, note);
    fflush(stdout);
}

static int fail(gq_status status)
{
    fprintf(stderr, "gpuq-rivals: %s\n", gq_error_text());
    return gq_status_exit_code(status);
}

static int measure(struct rival *r, size_t at)
{
    r->lazy = cases[at].lazy;
    gq_status status = rival_open(r);
    for (size_t i = 0; i < sizeof cases[at].run / sizeof *cases[at].run && cases[at].run[i] && status == GQ_OK; i++)
        status = cases[at].run[i](r);
    int code = status == GQ_OK ? 0 : fail(status);
    rival_close(r);
    return code;
}

static int usage(void)
{
    fputs("usage: gpuq-rivals SECONDS PRODUCERS CASE, or gpuq-rivals --compile ARCH; gpuq bench starts it\n", stderr);
    return gq_status_exit_code(GQ_ERR_INVALID_ARG);
}

static int compile_only(const char *arch)
{
    void *cubin = NULL;
    gq_status status = rival_compile((uint32_t)strtoul(arch, NULL, 10), &cubin);
    free(cubin);
    return status == GQ_OK ? 0 : fail(status);
}

int main(int argc, char **argv)
{
    char *end[2] = {NULL, NULL};
    if (argc == 3 && strcmp(argv[1], "--compile") == 0)
        return compile_only(argv[2]);
    if (argc != 4)
        return usage();
    struct rival r = {.seconds = strtod(argv[1], &end[0]), .producers = (uint32_t)strtoul(argv[2], &end[1], 10)};
    if (*end[0] || *end[1] || !(r.seconds >= 0.01 && r.seconds <= 3600) || r.producers < 1 || r.producers > 64)
        return usage();
    for (size_t i = 0; i < CASES; i++)
        if (strcmp(cases[i].name, argv[3]) == 0)
            return measure(&r, i);
    return usage();
}
