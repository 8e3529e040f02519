/* One request to one answer: the table of commands.h, and a function for each row. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "base/assert.h"
#include "control/commands.h"
#include "control/control.h"
#include "pipeline/change.h"

#define VERSIONS_MAX 512u
#define CHANGES_MAX 12u /* of as many as there may be connections: the others look on, and roll back */

/* A request on its way. */
struct call {
    struct gq_control *c;
    const struct gq_record *request;
    struct gq_order order;
    struct gq_text *answer;
};

/* --- answers ------------------------------------------------------------------------------------------------------ */

static void answer_status(struct call *call, gq_status status)
{
    gq_text_puts(call->answer, "done");
    gq_record_string(call->answer, "status", gq_status_name(status));
    gq_record_number(call->answer, "exit_code", (uint64_t)gq_status_exit_code(status));
    gq_record_string(call->answer, "error", status == GQ_OK ? "" : gq_error_text());
}

void gq_serve_refusal(gq_status status, struct gq_text *answer)
{
    gq_assert(status != GQ_OK);
    struct call call = {.answer = answer};
    answer_status(&call, status);
    gq_text_puts(answer, "\n\n");
}

/* The fields of a gq_swap_result. */
static void answer_change(struct call *call, gq_status status)
{
    const gq_swap_result *r = &call->order.result;
    struct gq_text *t = call->answer;
    answer_status(call, status);
    gq_record_string(t, "stage", gq_order_stage(&call->order));
    gq_record_string(t, "step", gq_swap_step_name(r->step));
    gq_record_number(t, "version", r->version ? r->version : call->order.version);
    gq_record_number(t, "live", r->live);
    gq_record_number(t, "generation", r->generation);
    gq_record_string(t, "digest", r->digest);
    gq_record_number(t, "vectors", r->vectors);
    gq_record_bool(t, "cached", r->cached != 0);
    gq_record_number(t, "build_ns", r->build_ns);
    gq_record_number(t, "rehearse_ns", r->rehearse_ns);
    gq_record_number(t, "park_ns", r->park_ns);
    gq_record_number(t, "load_ns", r->load_ns);
    gq_record_number(t, "launch_ns", r->launch_ns);
    gq_record_number(t, "total_ns", r->total_ns);
    gq_trace_canary(r, t);
    gq_record_number(t, "canary_p99_ns", r->canary_p99_ns);
    gq_record_number(t, "live_p99_ns", r->live_p99_ns);
    gq_record_number(t, "before_p99_ns", r->before_p99_ns);
    gq_record_number(t, "canary_cost", r->canary_cost);
    gq_record_string(t, "log", r->log);
}

/* --- commands ----------------------------------------------------------------------------------------------------- */

static bool rehearses(const struct call *call)
{
    const uint32_t rehearse = call->order.how.rehearse;
    return rehearse ? rehearse == 1 : __atomic_load_n(&call->c->p->rehearses, __ATOMIC_RELAXED) != 0;
}

static void serve_swap(struct call *call)
{
    answer_change(call, gq_order_swap(call->c, &call->order));
    gq_record_bool(call->answer, "rehearse", rehearses(call));
}

static void serve_rollback(struct call *call) { answer_change(call, gq_order_rollback(call->c, &call->order)); }

static void serve_use(struct call *call) { answer_change(call, gq_order_use(call->c, &call->order)); }

static void serve_discard(struct call *call) { answer_change(call, gq_order_discard(call->c, &call->order)); }

static void serve_reload(struct call *call)
{
    answer_change(call, gq_order_reload(call->c, &call->order));
    gq_record_number(call->answer, "changed", call->order.changed);
    gq_record_bool(call->answer, "settings", call->order.result.settings != 0);
}

static uint64_t less(uint64_t all, uint64_t before) { return all > before ? all - before : 0; }

/* What a live version has served beside a canary is what that is compared with. Another one may have begun since. */
static void answer_beside(struct gq_pipeline *p, const gq_version_info *v, struct gq_text *t)
{
    uint64_t messages, failed;
    if (v->state != GQ_VERSION_LIVE || !gq_canary_before(p, v->stage, &messages, &failed))
        return;
    gq_record_number(t, "beside_messages", less(v->messages, messages));
    gq_record_number(t, "beside_failed", less(v->failed, failed));
}

static void answer_version(struct gq_pipeline *p, const gq_version_info *v, struct gq_text *t)
{
    char when[32];
    gq_trace_time(v->loaded_at_ns, when);
    gq_text_puts(t, "\nversion");
    gq_record_string(t, "stage", v->stage);
    gq_record_number(t, "version", v->version);
    gq_record_string(t, "digest", v->digest);
    gq_record_string(t, "state", gq_version_state_name(v->state));
    gq_record_string(t, "loaded_at", when);
    gq_record_number(t, "generation", v->generation);
    gq_record_number(t, "rehearsed", v->rehearsed);
    gq_record_number(t, "messages", v->messages);
    gq_record_number(t, "failed", v->failed);
    gq_record_number(t, "in_flight", v->in_flight);
    gq_record_number(t, "p99_ns", v->p99_ns);
    answer_beside(p, v, t);
    gq_record_string(t, "plugin", v->plugin);
}

static void answer_pipeline(struct call *call, gq_status status)
{
    answer_status(call, status);
    gq_record_string(call->answer, "pipeline", call->c->p->conf->name);
    gq_record_number(call->answer, "pid", (uint64_t)call->c->p->pid);
    gq_record_string(call->answer, "backend", gq_backend(call->c->p));
}

static void serve_plugins(struct call *call)
{
    size_t count = 0;
    gq_version_info *versions = calloc(VERSIONS_MAX, sizeof *versions);
    gq_status status = versions ? gq_versions(call->c->p, versions, VERSIONS_MAX, &count)
                                : gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for the list of versions");
    answer_pipeline(call, status);
    gq_record_bool(call->answer, "rehearse", rehearses(call));
    for (size_t i = 0; i < count && status == GQ_OK; i++)
        answer_version(call->c->p, &versions[i], call->answer);
    free(versions);
}

static void serve_stats(struct call *call)
{
    gq_stats s = {.size = sizeof s};
    struct gq_text *t = call->answer;
    answer_pipeline(call, gq_get_stats(call->c->p, &s));
    gq_record_number(t, "messages_in", s.messages_in);
    gq_record_number(t, "messages_out", s.messages_out);
    gq_record_number(t, "failed", s.failed);
    gq_record_number(t, "dropped", s.dropped);
    gq_record_number(t, "dead", s.dead);
    gq_record_number(t, "in_flight", s.in_flight);
    gq_record_number(t, "bytes_in", s.bytes_in);
    gq_record_number(t, "bytes_out", s.bytes_out);
    gq_record_real(t, "seconds", s.seconds);
    gq_record_number(t, "p50_ns", s.p50_ns);
    gq_record_number(t, "p99_ns", s.p99_ns);
    gq_record_number(t, "max_ns", s.max_ns);
    gq_record_number(t, "resumed", s.resumed);
    gq_record_number(t, "restarts", s.restarts);
    gq_record_number(t, "recovered", s.recovered);
}

/* --- dispatch ----------------------------------------------------------------------------------------------------- */

static const struct command {
    const char *name;
    unsigned takes;
    bool may_wait;
    void (*serve)(struct call *call);
} commands[] = {
#define ROW(name, arguments, sentence, takes, waits) {#name, takes, waits == GQ_MAY_WAIT, serve_##name},
    GQ_CONTROL_COMMANDS(ROW)
#undef ROW
};
#define COMMAND_COUNT (sizeof commands / sizeof *commands)

/* What each bit of `takes` is called in a request, and whether it may be left out. */
static const struct parameter {
    unsigned bit;
    const char *name;
    bool optional;
} parameters[] = {{GQ_TAKES_STAGE, "stage", false},
                  {GQ_TAKES_FILE, "file", true},
                  {GQ_TAKES_VERSION, "version", false},
                  {GQ_TAKES_REHEARSE, "rehearse", true},
#define ROW(field, ...) {GQ_TAKES_CANARY, #field, true},
                  GQ_CANARY_FIELDS(ROW)
#undef ROW
};
#define PARAMETER_COUNT (sizeof parameters / sizeof *parameters)

static gq_status find_command(const char *word, const struct command **out)
{
    struct gq_text names = {0};
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        gq_text_printf(&names, "%s%s", i ? ", " : "", commands[i].name);
        if (strcmp(commands[i].name, word) == 0)
            *out = &commands[i];
    }
    gq_status status = *out ? GQ_OK
                            : gq_error_set(GQ_ERR_INVALID_ARG, "there is no command '%.32s'; there are: %s", word,
                                           gq_text_str(&names));
    gq_text_finish(&names);
    return status;
}

static gq_status check_fields(const struct gq_record *request, const struct command *command)
{
    size_t known = 0;
    for (size_t i = 0; i < PARAMETER_COUNT; i++) {
        const struct parameter *p = &parameters[i];
        bool given = gq_record_value(request, p->name) != NULL;
        if ((command->takes & p->bit) && !p->optional && !given)
            return gq_error_set(GQ_ERR_INVALID_ARG, "%s needs the field '%s'", command->name, p->name);
        known += given && (command->takes & p->bit);
    }
    return known == request->count
               ? GQ_OK
               : gq_error_set(GQ_ERR_INVALID_ARG, "%s does not take all of the fields given", command->name);
}

static gq_status serve(struct call *call, const struct command *command)
{
    gq_status status = GQ_OK;
    if (!command->may_wait) {
        command->serve(call);
        return GQ_OK;
    }
    if (__atomic_fetch_add(&call->c->changes, 1, __ATOMIC_RELAXED) < CHANGES_MAX)
        command->serve(call);
    else
        status = gq_error_set(
            GQ_ERR_FULL, "%u changes are being made or wait for their turn; try again when one has ended", CHANGES_MAX);
    __atomic_fetch_sub(&call->c->changes, 1, __ATOMIC_RELAXED);
    return status;
}

static bool read_number(const char *text, uint32_t min, uint32_t max, uint32_t *out)
{
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end || errno || value < min || value > max)
        return false;
    *out = (uint32_t)value;
    return true;
}

static gq_status read_version(const char *text, uint32_t *out)
{
    return read_number(text, 1, UINT32_MAX, out)
               ? GQ_OK
               : gq_error_set(GQ_ERR_INVALID_ARG, "'%.32s' is no version; `gpuq plugins` lists them", text);
}

static gq_status read_rehearse(const char *text, uint32_t *out)
{
    *out = strcmp(text, "on") == 0 ? 1 : strcmp(text, "off") == 0 ? 2 : 0;
    return *out ? GQ_OK : gq_error_set(GQ_ERR_INVALID_ARG, "rehearse is on or off, not '%.32s'", text);
}

static gq_status read_canary(const struct gq_record *request, gq_swap_opts *how)
{
    const struct {
        const char *name;
        uint32_t *out, min, max;
    } fields[] = {
#define ROW(field, option, unit, least, most) {#field, &how->field, least, most},
        GQ_CANARY_FIELDS(ROW)
#undef ROW
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        const char *text = gq_record_value(request, fields[i].name);
        if (text && !read_number(text, fields[i].min, fields[i].max, fields[i].out))
            return gq_error_set(GQ_ERR_INVALID_ARG, "%s is a whole number from %u to %u, not '%.32s'", fields[i].name,
                                fields[i].min, fields[i].max, text);
    }
    return GQ_OK;
}

static gq_status read_fields(struct call *call)
{
    const struct gq_record *r = call->request;
    const char *version = gq_record_value(r, "version"), *rehearse = gq_record_value(r, "rehearse");
    gq_status status = version ? read_version(version, &call->order.version) : GQ_OK;
    if (status == GQ_OK && rehearse)
        status = read_rehearse(rehearse, &call->order.how.rehearse);
    return status == GQ_OK ? read_canary(r, &call->order.how) : status;
}

bool gq_serve(struct gq_control *c, const struct gq_who *who, char *line, size_t len, struct gq_text *answer)
{
    struct gq_record request;
    const struct command *command = NULL;
    gq_status status = gq_record_parse(line, len, &request);
    if (status != GQ_OK) {
        gq_serve_refusal(status, answer);
        return false;
    }
    const char *stage = gq_record_value(&request, "stage");
    struct call call = {.c = c, .request = &request, .answer = answer};
    call.order = (struct gq_order){
        .who = *who, .command = request.word, .stage = stage ? stage : "", .file = gq_record_value(&request, "file")};
    status = find_command(request.word, &command);
    if (status == GQ_OK)
        status = check_fields(&request, command);
    if (status == GQ_OK)
        status = read_fields(&call);
    if (status == GQ_OK)
        status = serve(&call, command);
    if (status != GQ_OK) {
        if (command && command->takes) /* what takes nothing asks for nothing that is wrong */
            (void)gq_order_refuse(c, &call.order, status);
        gq_serve_refusal(status, answer);
        return true;
    }
    gq_text_puts(answer, "\n\n");
    return true;
}
