/* The table, and the same as JSON. */
#include "base/text.h"
#include "bench.h"
#include <gpuqueue/version.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

void bench_add(struct bench *b, struct bench_row row)
{
    if (b->row_count < BENCH_ROWS_MAX)
        b->rows[b->row_count++] = row;
}

void bench_add_skipped(struct bench *b, const char *test, const char *what, bool competitor, const char *why)
{
    struct bench_row row = {.competitor = competitor};
    snprintf(row.test, sizeof row.test, "%s", test);
    snprintf(row.what, sizeof row.what, "%s", what);
    snprintf(row.skipped, sizeof row.skipped, "%s", why);
    bench_add(b, row);
}

void bench_row_times(struct bench_row *row, const struct bench_times *times)
{
    row->p50_ns = bench_times_quantile(times, 0.5);
    row->p99_ns = bench_times_quantile(times, 0.99);
    row->p999_ns = bench_times_quantile(times, 0.999);
}

static bool same_test(const struct bench_row *a, const struct bench_row *b) { return strcmp(a->test, b->test) == 0; }

/* Appends the rows of `like`'s test that are, or are not, competitors. */
static void gather(const struct bench *from, const struct bench_row *like, bool competitor, struct bench *to)
{
    for (unsigned i = 0; i < from->row_count; i++)
        if (same_test(&from->rows[i], like) && from->rows[i].competitor == competitor)
            bench_add(to, from->rows[i]);
}

static bool first_of_test(const struct bench *b, unsigned at)
{
    for (unsigned i = 0; i < at; i++)
        if (same_test(&b->rows[i], &b->rows[at]))
            return false;
    return true;
}

void bench_sort(struct bench *b)
{
    static struct bench sorted;
    sorted.row_count = 0;
    for (unsigned i = 0; i < b->row_count; i++)
        if (first_of_test(b, i)) {
            gather(b, &b->rows[i], false, &sorted);
            gather(b, &b->rows[i], true, &sorted);
        }
    memcpy(b->rows, sorted.rows, sizeof b->rows);
}

/* Our best rate of the same test over this competitor's; 0: one of them is missing. */
static double ratio(const struct bench *b, const struct bench_row *row)
{
    double ours = 0;
    for (unsigned i = 0; i < b->row_count; i++)
        if (!b->rows[i].competitor && same_test(&b->rows[i], row) && b->rows[i].rate_per_s > ours)
            ours = b->rows[i].rate_per_s;
    return row->competitor && row->rate_per_s > 0 ? ours / row->rate_per_s : 0;
}

/* --- the table ---------------------------------------------------------------------------------------------------- */

static void add_number(struct gq_text *line, int width, int digits, double value)
{
    if (value > 0)
        gq_text_printf(line, " %*.*f", width, digits, value);
    else
        gq_text_printf(line, " %*s", width, "");
}

static void add_numbers(const struct bench *b, const struct bench_row *r, struct gq_text *line)
{
    add_number(line, 12, 0, r->rate_per_s);
    add_number(line, 10, 0, (double)r->p50_ns);
    add_number(line, 10, 0, (double)r->p99_ns);
    add_number(line, 10, 0, (double)r->p999_ns);
    add_number(line, 7, 2, r->rate_per_s * r->bytes / 1e9);
    add_number(line, 8, 2, ratio(b, r));
    gq_text_printf(line, "  %s", r->note);
}

static void print_row(const struct bench *b, const struct bench_row *r)
{
    struct gq_text line = {0};
    gq_text_printf(&line, "  %-46s", r->what);
    if (r->skipped[0])
        gq_text_printf(&line, " skipped: %s", r->skipped);
    else
        add_numbers(b, r, &line);
    while (line.len && line.data[line.len - 1] == ' ')
        line.data[--line.len] = '\0';
    printf("%s\n", gq_text_str(&line));
    gq_text_finish(&line);
}

void bench_print_table(const struct bench *b)
{
    printf("backend %s\n", b->ran_on);
    printf("  %-46s %12s %10s %10s %10s %7s %8s\n", "", "messages/s", "p50 ns", "p99 ns", "p99.9 ns", "GB/s",
           "ours is");
    for (unsigned i = 0; i < b->row_count; i++) {
        if (i == 0 || !same_test(&b->rows[i], &b->rows[i - 1]))
            printf("%s\n", b->rows[i].test);
        print_row(b, &b->rows[i]);
    }
}

/* --- JSON --------------------------------------------------------------------------------------------------------- */

static void json_string(const char *key, const char *value, const char *after)
{
    struct gq_text t = {0};
    gq_text_json(&t, value, strlen(value));
    printf("\"%s\": %s%s", key, gq_text_str(&t), after);
    gq_text_finish(&t);
}

static void json_string_or_null(const char *key, const char *value, const char *after)
{
    if (*value)
        json_string(key, value, after);
    else
        printf("\"%s\": null%s", key, after);
}

static void json_number(const char *key, int digits, double value)
{
    if (value > 0)
        printf("\"%s\": %.*f, ", key, digits, value);
    else
        printf("\"%s\": null, ", key);
}

static void json_row(const struct bench *b, const struct bench_row *r)
{
    printf("{");
    json_string("test", r->test, ", ");
    json_string("what", r->what, ", ");
    printf("\"competitor\": %s, ", r->competitor ? "true" : "false");
    json_number("bytes", 0, r->bytes);
    json_number("rate_per_s", 0, r->rate_per_s);
    json_number("p50_ns", 0, (double)r->p50_ns);
    json_number("p99_ns", 0, (double)r->p99_ns);
    json_number("p999_ns", 0, (double)r->p999_ns);
    json_number("gb_per_s", 3, r->rate_per_s * r->bytes / 1e9);
    json_number("ratio", 4, ratio(b, r));
    json_string_or_null("note", r->note, ", ");
    json_string_or_null("skipped", r->skipped, "}");
}

void bench_print_json(const struct bench *b)
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
    printf("\"processors\": %u, \"threads\": %u, \"seconds\": %g, \"rows\": [", b->processors, b->threads, b->seconds);
    for (unsigned i = 0; i < b->row_count; i++) {
        printf("%s\n  ", i ? "," : "");
        json_row(b, &b->rows[i]);
    }
    printf("\n]}\n");
}
