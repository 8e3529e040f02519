/* gpuq bench: what this machine does, beside what else it could do. */
#include "bench.h"
#include "commands.h"
#include <gpuqueue/version.h>
#include <getopt.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

static const struct {
    const char *name, *text;
    gq_status (*run)(struct bench *b);
} cases[] = {
#define ROW(name, text) {#name, text, bench_##name},
    BENCH_CASES(ROW)
#undef ROW
};
#define CASE_COUNT (sizeof cases / sizeof *cases)

void bench_add(struct bench *b, struct bench_row row)
{
    if (b->row_count < sizeof b->rows / sizeof *b->rows)
        b->rows[b->row_count++] = row;
}

static uint32_t processors(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? (uint32_t)CPU_COUNT(&set) : 1;
}

/* The rate of a row over that of the competitor of the same test; 0: there is none. */
static double ratio(const struct bench *b, const struct bench_row *row)
{
    for (unsigned i = 0; i < b->row_count && !row->competitor; i++)
        if (b->rows[i].competitor && strcmp(b->rows[i].test, row->test) == 0 && b->rows[i].rate_per_s > 0)
            return row->rate_per_s / b->rows[i].rate_per_s;
    return 0;
}

static void print_table(const struct bench *b)
{
    printf("backend %s\n", b->ran_on);
    printf("%-26s %-28s %14s %10s %10s %8s\n", "test", "what", "messages/s", "p50 ns", "p99 ns", "ratio");
    for (unsigned i = 0; i < b->row_count; i++) {
        const struct bench_row *r = &b->rows[i];
        printf("%-26s %-28s %14.0f", r->test, r->what, r->rate_per_s);
        if (r->p50_ns)
            printf(" %10" PRIu64 " %10" PRIu64, r->p50_ns, r->p99_ns);
        else
            printf(" %10s %10s", "", "");
        if (ratio(b, r) > 0)
            printf(" %8.2f", ratio(b, r));
        if (r->bytes)
            printf(" %8s %6.1f GB/s each way", "", r->rate_per_s * r->bytes / 1e9);
        putchar('\n');
    }
}

static void json_string(const char *key, const char *value, const char *after)
{
    struct gq_text t = {0};
    gq_text_json(&t, value, strlen(value));
    printf("\"%s\": %s%s", key, gq_text_str(&t), after);
    gq_text_finish(&t);
}

static void print_json(const struct bench *b)
{
    struct utsname machine = {0};
    char date[32] = "";
    time_t now = time(NULL);
    struct tm utc;
    uname(&machine);
    if (gmtime_r(&now, &utc))
        strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", &utc);
    printf("{");
    json_string("version", GQ_VERSION, ", ");
    json_string("date", date, ", ");
    json_string("kernel", machine.release, ", ");
    json_string("backend", b->ran_on, ", ");
    printf("\"processors\": %u, \"threads\": %u, \"seconds\": %g, \"rows\": [", processors(), b->threads, b->seconds);
    for (unsigned i = 0; i < b->row_count; i++) {
        const struct bench_row *r = &b->rows[i];
        printf("%s\n  {", i ? "," : "");
        json_string("test", r->test, ", ");
        json_string("what", r->what, ", ");
        printf("\"competitor\": %s, \"rate_per_s\": %.0f, \"p50_ns\": %" PRIu64 ", \"p99_ns\": %" PRIu64
               ", \"ratio\": %.4f}",
               r->competitor ? "true" : "false", r->rate_per_s, r->p50_ns, r->p99_ns, ratio(b, r));
    }
    printf("\n]}\n");
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
    while ((c = getopt_long(argc, argv, "jb:s:t:", options, NULL)) != -1) {
        if (c == 'j')
            *json = true;
        else if (c == 'b')
            b->backend = optarg;
        else if (c == 's')
            b->seconds = strtod(optarg, &end);
        else if (c == 't')
            b->threads = (uint32_t)strtoul(optarg, &end, 10);
        if (c == '?' || *end || b->seconds < 0.01 || b->seconds > 3600 || b->threads < 1 || b->threads > 1024) {
            fputs("gpuq bench: --seconds takes 0.01 to 3600, --threads 1 to 1024; try `gpuq help bench`\n", stderr);
            return false;
        }
    }
    for (int i = optind; i < argc; i++)
        if (!known(argv[i]))
            return false;
    return true;
}

int cmd_bench(int argc, char **argv)
{
    struct bench b = {.seconds = 1, .threads = processors(), .processors = processors()};
    bool json = false;
    if (!parse(argc, argv, &b, &json))
        return gq_status_exit_code(GQ_ERR_INVALID_ARG);
    for (size_t i = 0; i < CASE_COUNT; i++) {
        if (!chosen(cases[i].name, argc, argv))
            continue;
        fprintf(stderr, "%s: %s\n", cases[i].name, cases[i].text);
        gq_status status = cases[i].run(&b);
        if (status != GQ_OK) {
            fprintf(stderr, "gpuq bench: %s: %s\n", cases[i].name, gq_error_text());
            return gq_status_exit_code(status);
        }
    }
    if (json)
        print_json(&b);
    else
        print_table(&b);
    return 0;
}
