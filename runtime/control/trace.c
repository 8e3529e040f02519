#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "base/clock.h"
#include "control/control.h"

#define AUDIT "audit"
#define WHY_BYTES 240u /* of a refusal's sentence: the log has the rest */

void gq_trace_time(uint64_t ns, char out[32])
{
    time_t seconds = (time_t)(ns / 1000000000);
    struct tm utc;
    out[0] = '\0';
    if (ns == 0 || !gmtime_r(&seconds, &utc))
        return;
    size_t n = strftime(out, 32, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(out + n, 32 - n, ".%03uZ", (unsigned)(ns / 1000000 % 1000));
}

static void start_line(const struct gq_who *who, const char *command, struct gq_text *line)
{
    char when[32];
    gq_trace_time(gq_clock_unix_ns(), when);
    gq_text_puts(line, AUDIT);
    gq_record_string(line, "time", when);
    gq_record_string(line, "by", who->by);
    gq_record_number(line, "uid", who->uid);
    gq_record_number(line, "pid", (uint64_t)who->pid);
    gq_record_string(line, "command", command);
}

void gq_trace_canary(const gq_swap_result *r, struct gq_text *out)
{
    gq_record_number(out, "canary_ppm", r->canary_ppm);
    gq_record_number(out, "canary_messages", r->canary_messages);
    gq_record_number(out, "canary_failed", r->canary_failed);
    gq_record_number(out, "live_messages", r->live_messages);
    gq_record_number(out, "live_failed", r->live_failed);
    gq_record_string(out, "canary_against", gq_p99_against_name(r->canary_against));
}

static const char *outcome(const struct gq_order *order, gq_status status)
{
    if (status != GQ_OK)
        return "refused";
    if (strcmp(order->command, "discard") == 0)
        return "discarded";
    return order->result.generation ? "live" : "unchanged";
}

/* The first line, or as much as an audit line has room for. */
static void add_why(const char *sentence, struct gq_text *line)
{
    char why[WHY_BYTES + 1];
    snprintf(why, sizeof why, "%.*s", (int)strcspn(sentence, "\n"), sentence);
    gq_record_string(line, "error", why);
}

static void tell(struct gq_control *c, const struct gq_text *line, const char *details)
{
    if (!c->opts.audit || line->failed)
        return;
    pthread_mutex_lock(&c->audit_lock);
    c->opts.audit(c->opts.context, gq_text_str(line), details);
    pthread_mutex_unlock(&c->audit_lock);
}

/* A compiler prints what a plugin's #line names the file, and that may be a line of its own: none begins as an audit
 * line does. */
static void add_lines(const char *text, struct gq_text *out)
{
    for (const char *end; *text; text = end) {
        end = strchrnul(text, '\n');
        end += *end != '\0';
        gq_text_puts(out, strncmp(text, AUDIT, sizeof AUDIT - 1) == 0 ? " " : "");
        gq_text_add(out, text, (size_t)(end - text));
    }
}

/* For those who read it on the log: nobody waits for an answer. */
static void add_details(const struct gq_order *order, const char *sentence, struct gq_text *out)
{
    const char *log = order->result.log;
    gq_text_printf(out, "refused at step %s: ", gq_swap_step_name(order->result.step));
    add_lines(sentence, out);
    if (*log && !strstr(sentence, log) && strncmp(sentence, log, strlen(sentence)) != 0) {
        gq_text_puts(out, "\n");
        add_lines(log, out);
    }
    while (out->len && out->data[out->len - 1] == '\n')
        out->data[--out->len] = '\0';
}

void gq_trace_order(struct gq_control *c, const struct gq_order *order, gq_status status)
{
    struct gq_text line = {0}, details = {0};
    const gq_swap_result *r = &order->result;
    uint32_t version = r->version ? r->version : order->version;
    if (status == GQ_OK && !r->generation && !r->settings && strcmp(order->who.by, "watch") == 0)
        return; /* a file was saved that makes no other code */
    start_line(&order->who, order->command, &line);
    gq_record_string(&line, "stage", gq_order_stage(order));
    if (order->file)
        gq_record_string(&line, "file", order->file);
    gq_record_number(&line, "version", version);
    gq_record_string(&line, "digest", r->digest);
    gq_record_string(&line, "outcome", outcome(order, status));
    gq_record_string(&line, "step", gq_swap_step_name(r->step));
    gq_record_number(&line, "generation", r->generation);
    if (r->settings)
        gq_record_bool(&line, "settings", true);
    if (order->how.canary_ppm)
        gq_trace_canary(r, &line);
    gq_record_string(&line, "status", gq_status_name(status));
    if (status != GQ_OK)
        add_why(gq_error_text(), &line);
    if (status != GQ_OK && strcmp(order->who.by, "socket") != 0)
        add_details(order, gq_error_text(), &details);
    tell(c, &line, gq_text_str(&details));
    gq_text_finish(&line);
    gq_text_finish(&details);
}

void gq_trace_note(struct gq_control *c, const char *sentence)
{
    struct gq_text line = {0};
    struct gq_who who = gq_order_by("watch");
    start_line(&who, "watch", &line);
    gq_record_string(&line, "outcome", "failed");
    add_why(sentence, &line);
    tell(c, &line, "");
    gq_text_finish(&line);
}
