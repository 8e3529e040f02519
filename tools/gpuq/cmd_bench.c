/* gpuq bench: what this machine does, beside what else it could do. */
#include "bench.h"
#include "commands.h"
#include "refuse.h"
#include <getopt.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name, *text;
    gq_status (*run)(struct bench *b);
} cases[] = {
#define ROW(name, text) {#name, text, bench_##name},
    BENCH_CASES(ROW)
#undef ROW
};
#define CASE_COUNT (sizeof cases / sizeof *cases)

static uint32_t processors(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? (uint32_t)CPU_COUNT(&set) : 1;
}

static bool known(const char *name)
{
    for (size_t i = 0; i < CASE_COUNT; i++)
        if (strcmp(cases[i].name, name) == 0)
            return true;
    fprintf(stderr, "gpuq bench: there is no case '%s'; there are:\n", name);
    for (size_t i = 0; i < CASE_COUNT; i++)
        fprintf(stderr, "  %-10s %s\n", cases[i].name, cases[i].text);
    return false;
}

static bool chosen(const char *name, int argc, char **argv)
{
    for (int i = optind; i < argc; i++)
        if (strcmp(argv[i], name) == 0)
            return true;
    return optind == argc;
}

static bool parse(int argc, char **argv, struct bench *b, bool *json)
{
    static const struct option options[] = {{"json", no_argument, NULL, 'j'},
                                            {"backend", required_argument, NULL, 'b'},
                                            {"seconds", required_argument, NULL, 's'},
                                            {"threads", required_argument, NULL, 't'},
                                            {0}};
    char *end = "";
    int c;
    optind = 1;
    opterr = 0;
    while ((c = getopt_long(argc, argv, "jb:s:t:", options, NULL)) != -1) {
        if (c == 'j')
            *json = true;
        else if (c == 'b')
            b->backend = optarg;
        else if (c == 's')
            b->seconds = strtod(optarg, &end);
        else if (c == 't')
            b->threads = (uint32_t)strtoul(optarg, &end, 10);
        if (c == '?') {
            gpuq_report("bench", gpuq_refuse_option("bench", argv));
            return false;
        }
        if (*end || b->seconds < 0.01 || b->seconds > 3600 || b->threads < 1 || b->threads > 1024) {
            fputs("gpuq bench: --seconds takes 0.01 to 3600, --threads 1 to 1024; try `gpuq help bench`\n", stderr);
            return false;
        }
    }
    for (int i = optind; i < argc; i++)
        if (!known(argv[i]))
            return false;
    return true;
}

/* Runs the cases chosen; one that fails leaves a row that says so, and the others are measured all the same. */
static gq_status run_cases(struct bench *b, int argc, char **argv)
{
    gq_status first = GQ_OK;
    for (size_t i = 0; i < CASE_COUNT; i++) {
        if (!chosen(cases[i].name, argc, argv))
            continue;
        fprintf(stderr, "%s: %s\n", cases[i].name, cases[i].text);
        gq_status status = cases[i].run(b);
        if (status == GQ_OK)
            continue;
        fprintf(stderr, "gpuq bench: %s: %s\n", cases[i].name, gq_error_text());
        bench_add_skipped(b, cases[i].name, "the case failed", false, gq_error_text());
        first = first == GQ_OK ? status : first;
    }
    return first;
}

int cmd_bench(int argc, char **argv)
{
    static struct bench b;
    bool json = false;
    b = (struct bench){.seconds = 1, .threads = processors(), .processors = processors()};
    if (!parse(argc, argv, &b, &json))
        return gq_status_exit_code(GQ_ERR_INVALID_ARG);
    gq_status status = bench_choose(&b);
    if (status != GQ_OK && json)
        gpuq_report_json(stdout, "{", status);
    if (status != GQ_OK)
        return gpuq_report("bench", status);
    status = run_cases(&b, argc, argv);
    bench_sort(&b);
    if (json)
        bench_print_json(&b);
    else
        bench_print_table(&b);
    return gq_status_exit_code(status);
}
