/* gpuq bench: what this machine does, beside what else it could do. */
#include "bench.h"
#include "commands.h"
#include "refuse.h"
#include <getopt.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/text.h"

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

static gq_status check_name(const char *name)
{
    struct gq_text names = {0};
    for (size_t i = 0; i < CASE_COUNT; i++) {
        if (strcmp(cases[i].name, name) == 0) {
            gq_text_finish(&names);
            return GQ_OK;
        }
        gq_text_printf(&names, "\n  %-10s %s", cases[i].name, cases[i].text);
    }
    gq_status status =
        gq_error_set(GQ_ERR_INVALID_ARG, "there is no case '%s'; there are:%s", name, gq_text_str(&names));
    gq_text_finish(&names);
    return status;
}

static bool chosen(const char *name, int argc, char **argv)
{
    for (int i = optind; i < argc; i++)
        if (strcmp(argv[i], name) == 0)
            return true;
    return optind == argc;
}

static gq_status take_option(int option, char **argv, struct bench *b)
{
    char *end = "";
    bool counted = true;
    if (option == 'b')
        b->backend = optarg;
    else if (option == 's')
        b->seconds = strtod(optarg, &end);
    else if (option == 't')
        counted = gpuq_read_threads(optarg, &b->threads);
    else
        return gpuq_refuse_option("bench", argv);
    if (*end || !(b->seconds >= 0.01 && b->seconds <= 3600) || !counted)
        return gq_error_set(GQ_ERR_INVALID_ARG,
                            "--seconds takes 0.01 to 3600, --threads 1 to 1024; try `gpuq help bench`");
    return GQ_OK;
}

/* --json counts behind an option that is refused, too: it says how. */
static gq_status parse(int argc, char **argv, struct bench *b, bool *json)
{
    static const struct option options[] = {{"json", no_argument, NULL, 'j'},
                                            {"backend", required_argument, NULL, 'b'},
                                            {"seconds", required_argument, NULL, 's'},
                                            {"threads", required_argument, NULL, 't'},
                                            {0}};
    gq_status status = GQ_OK;
    optind = 1;
    opterr = 0;
    for (int c; (c = getopt_long(argc, argv, "jb:s:t:", options, NULL)) != -1;) {
        if (c == 'j')
            *json = true;
        else if (status == GQ_OK)
            status = take_option(c, argv, b);
    }
    for (int i = optind; i < argc && status == GQ_OK; i++)
        status = check_name(argv[i]);
    return status;
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
    gq_status status = parse(argc, argv, &b, &json);
    if (status == GQ_OK)
        status = bench_choose(&b);
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
