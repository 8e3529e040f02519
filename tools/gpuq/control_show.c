#include "control_show.h"
#include <gpuqueue/swap.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "config/value.h"

/* --- fields ------------------------------------------------------------------------------------------------------- */

static const char *text(const struct gq_record *r, const char *name)
{
    const char *value = gq_record_value(r, name);
    return value ? value : "";
}

static uint64_t number(const struct gq_record *r, const char *name) { return strtoull(text(r, name), NULL, 10); }

static bool is_true(const struct gq_record *r, const char *name) { return strcmp(text(r, name), "true") == 0; }

static const char *duration(uint64_t ns, char out[32])
{
    if (ns < 10000)
        snprintf(out, 32, "%" PRIu64 " ns", ns);
    else if (ns < 10000000)
        snprintf(out, 32, "%.1f us", (double)ns / 1e3);
    else
        snprintf(out, 32, "%.1f ms", (double)ns / 1e6);
    return out;
}

/* --- canaries ----------------------------------------------------------------------------------------------------- */

static void add_served(uint64_t messages, uint64_t failed, uint64_t p99_ns, struct gq_text *out)
{
    char p99[32];
    gq_text_printf(out, "%" PRIu64 " messages, %" PRIu64 " failed", messages, failed);
    if (failed && messages)
        gq_text_printf(out, " (%.3g%%)", 100.0 * (double)failed / (double)messages);
    if (p99_ns)
        gq_text_printf(out, ", p99 %s", duration(p99_ns, p99));
}

/* Who sees two times that are alike is told why they do not count. */
static void add_before(const struct gq_record *r, struct gq_text *out)
{
    char p99[32];
    if (strcmp(text(r, "canary_against"), gq_p99_against_name(GQ_P99_BEFORE)) == 0)
        gq_text_printf(
            out,
            "\n  before it: p99 %s, which was compared: a message of the canary's takes the worker %.1f times as long",
            duration(number(r, "before_p99_ns"), p99), (double)number(r, "canary_cost") / 100.0);
}

/* What was compared: two lines, or three, if there was a canary. */
static void show_canary(const struct gq_record *r, FILE *to)
{
    struct gq_text lines = {0};
    if (number(r, "canary_ppm") == 0)
        return;
    gq_text_puts(&lines, "  canary, with a share of ");
    gq_value_print_percent(number(r, "canary_ppm"), &lines);
    gq_text_puts(&lines, ": ");
    add_served(number(r, "canary_messages"), number(r, "canary_failed"), number(r, "canary_p99_ns"), &lines);
    gq_text_puts(&lines, "\n  beside it: ");
    add_served(number(r, "live_messages"), number(r, "live_failed"), number(r, "live_p99_ns"), &lines);
    add_before(r, &lines);
    fprintf(to, "%s\n", gq_text_str(&lines));
    gq_text_finish(&lines);
}

/* --- changes ------------------------------------------------------------------------------------------------------ */

/* A refused build's sentence is its log: it is said once. */
void control_show_refusal(const char *command, const struct gq_answer *a)
{
    const struct gq_record *r = &a->done;
    const char *error = text(r, "error"), *log = text(r, "log"), *step = text(r, "step");
    uint64_t live = number(r, "live");
    size_t len = strlen(log);
    if (gq_answer_status(a) == GQ_ERR_DEVICE && *step) /* a worker is gone, which may be the one that served */
        fprintf(stderr, "gpuq %s: failed at step %s: %s\n", command, step, error);
    else if (*step && live && strcmp(command, "discard") != 0) /* which is about a version that does not serve */
        fprintf(stderr, "gpuq %s: refused at step %s; version %" PRIu64 " of %s serves on\n%s\n", command, step, live,
                text(r, "stage"), error);
    else if (*step)
        fprintf(stderr, "gpuq %s: refused at step %s: %s\n", command, step, error);
    else
        fprintf(stderr, "gpuq %s: %s\n", command, error);
    if (len && strncmp(error, log, strlen(error)) != 0)
        fprintf(stderr, "%s%s", log, log[len - 1] == '\n' ? "" : "\n");
    show_canary(r, stderr);
}

static void show_times(const struct gq_record *r)
{
    char build[32], rehearse[32], park[32], load[32], launch[32], total[32];
    uint64_t vectors = number(r, "vectors");
    printf("  build %s%s", duration(number(r, "build_ns"), build), is_true(r, "cached") ? " (from the cache)" : "");
    if (is_true(r, "rehearse"))
        printf(", rehearse %s (%" PRIu64 " golden vector%s)", duration(number(r, "rehearse_ns"), rehearse), vectors,
               vectors == 1 ? "" : "s");
    else
        printf(", rehearse off");
    printf(", park %s, load %s, launch %s; %s in all\n", duration(number(r, "park_ns"), park),
           duration(number(r, "load_ns"), load), duration(number(r, "launch_ns"), launch),
           duration(number(r, "total_ns"), total));
}

static void show_reload(const struct gq_record *r)
{
    uint64_t changed = number(r, "changed");
    const bool settings = is_true(r, "settings");
    if (changed)
        printf("%" PRIu64 " stage%s swapped (generation %" PRIu64 ")\n", changed, changed == 1 ? "" : "s",
               number(r, "generation"));
    else if (!settings)
        printf("nothing differs from what runs\n");
    if (settings)
        printf("the settings of `swap` changed: the next change has them\n");
}

void control_show_change(const char *command, const struct gq_answer *a)
{
    const struct gq_record *r = &a->done;
    const char *stage = text(r, "stage");
    uint64_t version = number(r, "version"), generation = number(r, "generation");
    char total[32];
    if (strcmp(command, "reload") == 0) {
        show_reload(r);
    } else if (strcmp(command, "discard") == 0) {
        printf("%s: version %" PRIu64 " is discarded\n", stage, version);
    } else if (generation == 0) {
        printf("%s: version %" PRIu64 " is live already; nothing changed\n", stage, number(r, "live"));
    } else {
        printf("%s: version %" PRIu64 " is live (generation %" PRIu64 ", digest %s)", stage, version, generation,
               text(r, "digest"));
        if (strcmp(command, "swap") == 0)
            putchar('\n'), show_times(r), show_canary(r, stdout);
        else if (number(r, "total_ns"))
            printf(" after %s\n", duration(number(r, "total_ns"), total));
        else
            putchar('\n'); /* a canary was called off: it was live all the time */
    }
}

/* --- tables ------------------------------------------------------------------------------------------------------- */

enum { COLUMNS = 11, CELL_MAX = 300 };

static const struct {
    const char *title, *field;
    bool right;
} columns[COLUMNS] = {{"STAGE", "stage", false},      {"VERSION", "version", true},      {"DIGEST", "digest", false},
                      {"STATE", "state", false},      {"LOADED AT", "loaded_at", false}, {"MESSAGES", "messages", true},
                      {"FAILED", "failed", true},     {"IN FLIGHT", "in_flight", true},  {"P99", "p99_ns", true},
                      {"GOLDENS", "rehearsed", true}, {"PLUGIN", "plugin", false}};

/* A file may be called anything: a newline in its name is no end of the row, and an escape does nothing to a terminal.
 */
static void copy_safe(const char *value, char out[CELL_MAX])
{
    size_t len = 0;
    for (; *value && len + 5 < CELL_MAX; value++) {
        const size_t control = gq_text_control(value, 2); /* a NUL at least is behind it */
        value += control == 2;                            /* of which the second byte is the character */
        if (control)
            len += (size_t)snprintf(out + len, CELL_MAX - len, "\\x%02x", (unsigned char)*value);
        else
            out[len++] = *value;
    }
    out[len] = '\0';
}

/* A field as the table has it: "-" where there is nothing to say. */
static const char *cell(const struct gq_record *r, size_t column, char out[CELL_MAX])
{
    const char *value = text(r, columns[column].field);
    char time[32];
    if (strcmp(columns[column].field, "p99_ns") == 0)
        value = number(r, "p99_ns") ? duration(number(r, "p99_ns"), time) : "";
    copy_safe(*value ? value : "-", out);
    return out;
}

static void print_row(const char *const cells[COLUMNS], const size_t width[COLUMNS])
{
    for (size_t i = 0; i < COLUMNS; i++) {
        bool last = i + 1 == COLUMNS;
        printf(columns[i].right ? "%*s%s" : "%-*s%s", last ? 0 : (int)width[i], cells[i], last ? "\n" : "  ");
    }
}

void control_show_versions(const struct gq_answer *a)
{
    char buffer[COLUMNS][CELL_MAX];
    const char *cells[COLUMNS];
    size_t width[COLUMNS];
    for (size_t i = 0; i < COLUMNS; i++) {
        cells[i] = columns[i].title;
        width[i] = strlen(cells[i]);
        for (size_t row = 0; row < a->count; row++) {
            size_t len = strlen(cell(&a->row[row], i, buffer[i]));
            width[i] = len > width[i] ? len : width[i];
        }
    }
    print_row(cells, width);
    for (size_t row = 0; row < a->count; row++) {
        for (size_t i = 0; i < COLUMNS; i++)
            cells[i] = cell(&a->row[row], i, buffer[i]);
        print_row(cells, width);
    }
    if (!is_true(&a->done, "rehearse"))
        printf("rehearse: off, so new versions go live without their golden vectors\n");
}

void control_show_stats(const struct gq_answer *a)
{
    const struct gq_record *r = &a->done;
    char p50[32], p99[32], max[32];
    printf("pipeline  %s, process %s, backend %s, %.1f s\n", text(r, "pipeline"), text(r, "pid"), text(r, "backend"),
           strtod(text(r, "seconds"), NULL));
    printf("messages  %s in, %s out, %s failed, %s dropped, %s in the dead letters, %s in flight\n",
           text(r, "messages_in"), text(r, "messages_out"), text(r, "failed"), text(r, "dropped"), text(r, "dead"),
           text(r, "in_flight"));
    printf("bytes     %s in, %s out\n", text(r, "bytes_in"), text(r, "bytes_out"));
    printf("latency   p50 %s, p99 %s, max %s\n", duration(number(r, "p50_ns"), p50), duration(number(r, "p99_ns"), p99),
           duration(number(r, "max_ns"), max));
}
