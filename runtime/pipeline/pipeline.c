#include "pipeline/pipeline.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/thread.h"
#include "pipeline/handle.h"
#include "pipeline/swap.h"
#include "pipeline/trial.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* --- open --------------------------------------------------------------------------------------------------------- */

static gq_status read_conf(const gq_open_opts *opts, struct gq_conf **out)
{
    struct gq_text errors = {0};
    size_t count = 0;
    gq_status status = opts->text ? gq_conf_parse(opts->path ? opts->path : "<text>", opts->text, strlen(opts->text),
                                                  &errors, &count, out)
                                  : gq_conf_load(opts->path, &errors, &count, out);
    if (status == GQ_ERR_CONFIG) {
        while (errors.len && errors.data[errors.len - 1] == '\n')
            errors.data[--errors.len] = '\0';
        gq_error_set(status, "%s", gq_text_str(&errors));
    }
    gq_text_finish(&errors);
    return status;
}

gq_status gq_pipeline_open(const gq_open_opts *opts, struct gq_pipeline **out)
{
    *out = NULL;
    struct gq_pipeline *p = calloc(1, sizeof *p);
    if (!p)
        return gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for a pipeline");
    p->pid = getpid();
    pthread_mutex_init(&p->failure_lock, NULL);
    p->interrupt_fd = p->abandon_fd = -1;
    p->dead_file.fd = -1;
    p->source_image.fd = -1;
    p->probed.channel = -1;
    p->from_text = opts->text != NULL;
    p->note = opts->note;
    p->note_context = opts->note_context;
    pthread_mutex_init(&p->change_lock, NULL);
    p->cpu_threads = opts->cpu_threads;
    p->builder_opts = (struct gq_builder_opts){.no_cache = opts->no_cache != 0};
    gq_status status = read_conf(opts, &p->conf);
    if (status == GQ_OK) {
        p->builder_opts.pins = p->conf->plugin_pins;
        p->rehearses = p->conf->swap.rehearse != 0;
    }
    if (status == GQ_OK && opts->cache_folder && !(p->builder_opts.cache_folder = strdup(opts->cache_folder)))
        status = gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for a pipeline");
    if (status == GQ_OK)
        status = gq_pipeline_choose(p, opts->backend);
    if (status == GQ_OK && ((p->interrupt_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0 ||
                            (p->abandon_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0))
        status = gq_error_errno(GQ_ERR_NO_MEMORY, errno, "eventfd");
    if (status != GQ_OK) {
        gq_pipeline_close(p);
        return status;
    }
    *out = p;
    return GQ_OK;
}

/* --- prepare ------------------------------------------------------------------------------------------------------ */

/* What a plugin remembers ends with the run, so one that goes on would answer otherwise. */
static gq_status check_delivery(const struct gq_pipeline *p, const struct gq_conf_stage *s,
                                const struct gq_image *image)
{
    if (p->conf->delivery != GQ_DELIVERY_EXACTLY_ONCE || image->info.state_bytes == 0)
        return GQ_OK;
    return gq_error_set(GQ_ERR_PLUGIN,
                        "stage '%s' has state of %u bytes, which a run that goes on after another one does not have; "
                        "delivery: exactly_once is for plugins without",
                        s->name, image->info.state_bytes);
}

struct gq_build_request gq_pipeline_request(const struct gq_pipeline *p, enum gq_image_kind kind, const char *plugin,
                                            const struct gq_conf_param *params, size_t param_count,
                                            const char *conf_file)
{
    return (struct gq_build_request){.path = plugin,
                                     .kind = kind,
                                     .params = params,
                                     .param_count = param_count,
                                     .conf_file = conf_file,
                                     .arch = p->arch,
                                     .packs = p->arch && p->conf->source.kind == GQ_SOURCE_PLUGIN};
}

gq_status gq_pipeline_check_reads(const struct gq_pipeline *p, const char *plugin, struct gq_image *image)
{
    struct gq_problems problems = {0};
    struct gq_text text = {0};
    const struct gq_text *headers = &image->headers;
    const bool of_ours = gq_builtin_name(plugin) != NULL;
    char *golden = of_ours ? NULL : gq_golden_path(plugin);
    gq_status status = GQ_OK;
    if (!of_ours)
        gq_conf_check_read(p->conf, plugin, "a plugin", &problems);
    if (golden)
        gq_conf_check_read(p->conf, golden, "a plugin's golden file", &problems);
    problems.failed |= !of_ours && !golden;
    free(golden);
    for (size_t at = 0; at < headers->len && problems.count == 0; at += strlen(headers->data + at) + 1)
        gq_conf_check_read(p->conf, headers->data + at, "a header of a plugin", &problems);
    if (problems.kept) {
        gq_problems_print(&problems, p->conf->file, &text);
        status = gq_error_set(GQ_ERR_CONFIG, "%.*s", (int)strcspn(gq_text_str(&text), "\n"), gq_text_str(&text));
    } else if (headers->failed || problems.failed) {
        status = gq_error_set(GQ_ERR_NO_MEMORY, "plugin %s: out of memory for what it reads", plugin);
    }
    gq_problems_finish(&problems);
    gq_text_finish(&text);
    gq_text_finish(&image->headers); /* nobody asks again */
    return status;
}

static gq_status build_stage(struct gq_pipeline *p, uint32_t i)
{
    const struct gq_conf_stage *s = &p->conf->stages[i];
    const struct gq_build_request request =
        gq_pipeline_request(p, GQ_IMAGE_STAGE, s->plugin, s->params, s->param_count, p->conf->file);
    struct gq_image image;
    struct gq_code *first;
    p->versions->stage[i].name = s->name;
    gq_status status = gq_build(p->builder, &request, &image);
    if (status == GQ_OK)
        status = gq_pipeline_check_reads(p, s->plugin, &image);
    if (status == GQ_OK)
        status = check_delivery(p, s, &image);
    if (status == GQ_OK)
        status = gq_versions_add(p->versions, i, s->plugin, &image, &first);
    gq_image_finish(&image);
    return status;
}

static gq_status build_all(struct gq_pipeline *p)
{
    const struct gq_conf *conf = p->conf;
    gq_status status = GQ_OK;
    if (conf->source.kind == GQ_SOURCE_PLUGIN) {
        const struct gq_build_request source = gq_pipeline_request(
            p, GQ_IMAGE_SOURCE, conf->source.path, conf->source.params, conf->source.param_count, conf->file);
        status = gq_build(p->builder, &source, &p->source_image);
        if (status == GQ_OK)
            status = gq_pipeline_check_reads(p, conf->source.path, &p->source_image);
    }
    for (uint32_t i = 0; i < conf->stage_count && status == GQ_OK; i++)
        status = build_stage(p, i);
    return status;
}

/* Starts the worker, which loads the images and says whether they can run together. */
static gq_status load_images(struct gq_pipeline *p)
{
    struct gq_epoch_code code = {.generation = 1};
    for (uint32_t i = 0; i < p->versions->stage_count; i++)
        code.stage[i] = p->versions->stage[i].code[0];
    gq_supervisor_init(&p->supervisor, p);
    const uint32_t threads = p->backend == GQ_BACKEND_CUDA ? 0 : p->cpu_threads;
    gq_status status =
        gq_remote_create(p->conf, p->backend, threads, p->versions, &p->supervisor.keeper, &p->probed, &p->remote);
    return status == GQ_OK ? gq_epoch_load(p, p->remote, &code) : status;
}

/* What belongs to a phase is there before it is entered: gq_get_stats() may ask from any thread. */
static void enter(struct gq_pipeline *p, enum gq_phase phase) { __atomic_store_n(&p->phase, phase, __ATOMIC_RELEASE); }

gq_status gq_pipeline_prepare(struct gq_pipeline *p)
{
    if (p->phase != GQ_PHASE_OPEN)
        return gq_error_set(GQ_ERR_INVALID_ARG, "gq_prepare comes once, after gq_open");
    const bool timed = p->conf->sink.kind != GQ_SINK_API;
    gq_status status = gq_versions_create((uint32_t)p->conf->stage_count, timed, &p->versions);
    if (status == GQ_OK)
        status = gq_builder_create(&p->builder_opts, &p->builder);
    if (status == GQ_OK)
        status = build_all(p);
    if (status == GQ_OK && p->backend == GQ_BACKEND_CUDA)
        status = load_images(p);
    if (status == GQ_OK) {
        gq_spare_init(&p->spare, p->conf, p->backend);
        enter(p, GQ_PHASE_PREPARED);
        return GQ_OK;
    }
    gq_remote_destroy(p->remote);
    p->remote = NULL;
    gq_builder_destroy(p->builder);
    p->builder = NULL;
    gq_versions_destroy(p->versions);
    p->versions = NULL;
    return status;
}

/* --- start -------------------------------------------------------------------------------------------------------- */

/* The pipeline ends with its journal: what it may have accepted is run when it starts again. */
static gq_status keep(void *pipeline, const struct gq_lane *lane, uint64_t first, const uint32_t *len, uint32_t count)
{
    struct gq_pipeline *p = pipeline;
    gq_status status = gq_journal_accept(p->journal, &lane->view, first, len, count);
    return status == GQ_ERR_IO ? gq_pipeline_fail(p, status) : status;
}

static void note_done(void *pipeline, uint32_t lane, uint64_t first, uint64_t count)
{
    const struct gq_pipeline *p = pipeline;
    gq_journal_take(p->journal, lane, first, count);
}

static void tell_torn(const struct gq_pipeline *p)
{
    char text[GQ_ERROR_TEXT_MAX];
    if (p->journal->torn_bytes == 0 || !p->note)
        return;
    snprintf(text, sizeof text, "%s: the last %" PRIu64 " bytes were torn when an earlier run ended, and are cut",
             p->conf->journal, p->journal->torn_bytes);
    p->note(p->note_context, text);
}

static gq_status open_journal(struct gq_pipeline *p)
{
    const struct gq_journal_opts opts = {p->conf->journal, p->conf->durability, p->conf->capacity, p->conf->slot_bytes,
                                         0};
    if (opts.durability == GQ_DURABILITY_NONE)
        return GQ_OK;
    gq_status status = gq_journal_open(&opts, &p->journal);
    if (status != GQ_OK)
        return status;
    tell_torn(p);
    p->keeper = (struct gq_lane_keeper){p, keep, note_done};
    return gq_queue_recover(p->queue, p->journal, &p->keeper, &p->recovered);
}

/* The lane of a source of our own is there before the worker runs: a device takes memory more cheaply then. */
static gq_status add_first_lane(struct gq_pipeline *p)
{
    const struct gq_conf_source *source = &p->conf->source;
    struct gq_lane *lane;
    /* A device that makes messages which nobody reads need not send them across the bus. */
    p->counted = source->kind == GQ_SOURCE_PLUGIN && p->conf->sink.kind == GQ_SINK_NULL &&
                 p->backend == GQ_BACKEND_CUDA && gq_units_are_single();
    if (p->counted)
        return gq_queue_add_counted(p->queue, source->first, source->count);
    if (source->kind == GQ_SOURCE_PLUGIN)
        return gq_queue_add_generated(p->queue, source->first, source->count);
    if (source->kind == GQ_SOURCE_API)
        return GQ_OK;
    gq_status status = gq_queue_own_lane(p->queue, &lane);
    if (status == GQ_OK)
        gq_queue_disown_lane(p->queue, lane); /* the source's thread will own it */
    return status;
}

/* A file that somebody named was looked at when the pipeline was read. Of this one nobody knows, and most runs never
 * need it. */
static gq_status open_letters(struct gq_pipeline *p)
{
    char text[GQ_ERROR_TEXT_MAX];
    const gq_status status = gq_dead_explain(p->dead_file.path, gq_dead_open(&p->dead_file));
    if (status != GQ_OK || p->conf->own_letters || !p->note || gq_dead_check(p->dead_file.path) == GQ_OK)
        return status;
    snprintf(text, sizeof text, "%s; the first message that fails ends the run", gq_error_text());
    p->note(p->note_context, text);
    return GQ_OK;
}

static gq_status open_connectors(struct gq_pipeline *p)
{
    const struct gq_source_ops *source = gq_source_find(p->conf->source.kind);
    const struct gq_sink_ops *sink = gq_sink_find(p->conf->sink.kind);
    const struct gq_sink_run run = {p->interrupt_fd, p->abandon_fd, p->note, p->note_context};
    struct gq_checkpoint_mark from;
    gq_status status = gq_delivery_open(&p->delivery, p->conf, &from);
    p->dead_file.path = p->conf->dead_letter;
    p->dead_file.max_bytes = p->conf->dead_bytes;
    p->dead_file.life = p->delivery.life;
    p->dead_file.position = p->delivery.resumed;
    if (status == GQ_OK && sink && p->dead_file.path)
        status = open_letters(p);
    if (status == GQ_OK && source)
        status = source->open(p->conf, p->interrupt_fd, &p->source);
    if (status == GQ_OK && sink)
        status = sink->open(p->conf, &run, &p->sink);
    if (status == GQ_OK)
        status = gq_delivery_begin(&p->delivery, &from, p->source, p->sink, &p->dead_file, p->queue->capacity);
    return status;
}

/* A sink that the run waited for in vain takes nothing, so nothing may be made. Sources that read have read nothing. */
static void heed_early_interrupt(struct gq_pipeline *p)
{
    if (__atomic_load_n(&p->interrupted, __ATOMIC_ACQUIRE))
        gq_queue_withdraw_generation(p->queue);
}

static gq_status start_threads(struct gq_pipeline *p)
{
    gq_status status = GQ_OK;
    p->start_ns = gq_clock_ns();
    if (p->sink) {
        status = gq_thread_start(&p->sink_thread, gq_pump_sink, p, "the sink");
        p->sink_runs = status == GQ_OK;
    }
    if (p->source && status == GQ_OK) {
        status = gq_thread_start(&p->source_thread, gq_pump_source, p, "the source");
        p->source_runs = status == GQ_OK;
    }
    return status;
}

/* The code that the pipeline starts with is its first generation. */
static void set_live(struct gq_pipeline *p)
{
    for (uint32_t i = 0; i < p->versions->stage_count; i++)
        gq_versions_went_live(p->versions, i, p->versions->stage[i].code[0], NULL, 0);
}

gq_status gq_pipeline_start(struct gq_pipeline *p)
{
    const struct gq_conf *conf = p->conf;
    if (p->phase != GQ_PHASE_PREPARED)
        return gq_error_set(GQ_ERR_INVALID_ARG, "gq_start comes once, after gq_prepare");
    gq_status status = p->backend == GQ_BACKEND_CUDA ? gq_remote_check(p->remote) : load_images(p);
    if (status == GQ_OK)
        status = gq_queue_create(p->remote, conf->sink.kind != GQ_SINK_API, &p->queue);
    if (status == GQ_OK)
        status = open_journal(p);
    if (status == GQ_OK)
        status = add_first_lane(p);
    if (status == GQ_OK)
        status = open_connectors(p);
    if (status == GQ_OK)
        status = gq_handle_create(p, &p->handle); /* also where nobody is given it: it knows of forks */
    if (status == GQ_OK) {
        heed_early_interrupt(p);
        set_live(p);
        gq_supervisor_arm(&p->supervisor);
        status = gq_remote_run(p->remote);
    }
    if (status == GQ_OK)
        status = start_threads(p);
    enter(p, GQ_PHASE_STARTED); /* a start that failed half-way is undone by stop and close */
    if (status != GQ_OK)
        gq_pipeline_fail(p, status);
    return status;
}

/* --- running ------------------------------------------------------------------------------------------------------ */

gq_status gq_pipeline_fail(struct gq_pipeline *p, gq_status status)
{
    gq_assert(status != GQ_OK);
    pthread_mutex_lock(&p->failure_lock);
    if (p->failure == GQ_OK) {
        snprintf(p->failure_text, sizeof p->failure_text, "%s", gq_error_text());
        p->failure = status == GQ_ERR_DEVICE && p->remote ? gq_remote_cause(p->remote) : status;
    }
    pthread_mutex_unlock(&p->failure_lock);
    return status;
}

static gq_status outcome(struct gq_pipeline *p)
{
    pthread_mutex_lock(&p->failure_lock);
    gq_status status = p->failure;
    pthread_mutex_unlock(&p->failure_lock);
    return status == GQ_OK ? GQ_OK : gq_error_set(status, "%s", p->failure_text);
}

static bool done(struct gq_pipeline *p)
{
    if (p->sink_runs)
        return __atomic_load_n(&p->sink_ended, __ATOMIC_ACQUIRE) != 0;
    if (outcome(p) != GQ_OK) /* a journal that broke, or a start that failed: then there may be no worker to look at */
        return true;
    if (gq_link_dead(&p->remote->link)) {
        gq_pipeline_fail(p, gq_remote_check(p->remote));
        return true;
    }
    gq_pump_heed_interrupt(p);
    bool ended = __atomic_load_n(&p->source_ended, __ATOMIC_ACQUIRE) || p->conf->source.kind == GQ_SOURCE_PLUGIN;
    return ended && gq_queue_idle(p->queue);
}

gq_status gq_pipeline_wait(struct gq_pipeline *p, uint32_t timeout_ms)
{
    if (p->phase != GQ_PHASE_STARTED)
        return gq_error_set(GQ_ERR_INVALID_ARG, "gq_wait comes between gq_start and gq_stop");
    uint64_t deadline = gq_clock_deadline(timeout_ms);
    while (!done(p)) {
        if (gq_clock_past(deadline))
            return gq_error_set(GQ_ERR_TIMEOUT, "the pipeline still runs after %" PRIu32 " ms", timeout_ms);
        struct timespec nap = {.tv_nsec = 1000000};
        nanosleep(&nap, NULL);
    }
    return outcome(p);
}

void gq_pipeline_interrupt(struct gq_pipeline *p)
{
    uint64_t one = 1;
    int saved = errno; /* signal handlers may call this */
    __atomic_store_n(&p->interrupted, 1, __ATOMIC_SEQ_CST);
    if (write(p->interrupt_fd, &one, sizeof one) < 0)
        errno = saved; /* full: it is readable already */
    errno = saved;
}

/* --- stop --------------------------------------------------------------------------------------------------------- */

/* Everything accepted is finished and, where there is a sink, delivered; or the drain's time is over. */
static gq_status drain(struct gq_pipeline *p, uint64_t deadline_ns)
{
    uint64_t left = gq_queue_drain(p->queue, deadline_ns);
    while (left == 0 && p->sink_runs && !__atomic_load_n(&p->sink_ended, __ATOMIC_ACQUIRE) &&
           !gq_clock_past(deadline_ns)) {
        struct timespec nap = {.tv_nsec = 200000};
        nanosleep(&nap, NULL);
    }
    if (left == 0 && (!p->sink_runs || __atomic_load_n(&p->sink_ended, __ATOMIC_ACQUIRE)))
        return GQ_OK;
    if (gq_link_dead(&p->remote->link))
        return gq_remote_check(p->remote);
    if (left == 0)
        return gq_error_set(GQ_ERR_TIMEOUT, "the drain ran out of time: the sink did not take every result");
    return gq_error_set(GQ_ERR_TIMEOUT, "the drain ran out of time: %" PRIu64 " messages in flight were not finished",
                        left);
}

static gq_status close_sink(struct gq_pipeline *p)
{
    gq_status status = p->sink ? p->sink->ops->close(p->sink) : GQ_OK;
    p->sink = NULL;
    gq_status dead = gq_dead_close(&p->dead_file);
    return status == GQ_OK ? dead : status;
}

/* Nobody is inside a call any more, so nothing is taken after this. */
static gq_status close_journal(struct gq_pipeline *p)
{
    gq_status status = gq_journal_close(p->journal);
    p->journal = NULL;
    return status;
}

/* The sink waits for results that will not come, or for a reader that stands still. */
static void abandon_sink(struct gq_pipeline *p)
{
    ssize_t written = write(p->abandon_fd, &(uint64_t){1}, sizeof(uint64_t));
    gq_assert(written == sizeof(uint64_t));
    gq_remote_stop(p->remote, 0);
}

static void end_threads(struct gq_pipeline *p)
{
    __atomic_store_n(&p->remote->link.closing, 1, __ATOMIC_RELEASE);
    gq_link_kick(&p->remote->link);
    if (p->source_runs)
        pthread_join(p->source_thread, NULL);
    if (p->sink_runs && !__atomic_load_n(&p->sink_ended, __ATOMIC_ACQUIRE))
        abandon_sink(p);
    if (p->sink_runs)
        pthread_join(p->sink_thread, NULL);
    p->source_runs = p->sink_runs = false;
}

gq_status gq_pipeline_stop(struct gq_pipeline *p, uint32_t drain_ms)
{
    if (p->phase != GQ_PHASE_STARTED)
        return gq_error_set(GQ_ERR_INVALID_ARG, "gq_stop comes once, after gq_start");
    gq_status status = GQ_OK;
    const uint64_t deadline = gq_clock_deadline(drain_ms ? drain_ms : (uint32_t)p->conf->drain_ms);
    gq_pipeline_interrupt(p);
    if (p->remote)
        gq_remote_end_by(p->remote, deadline); /* a thread's first message waits for an answer */
    gq_handle_close(p->handle);                /* no new messages; waits until no thread is inside */
    if (p->queue && outcome(p) == GQ_OK)
        status = drain(p, deadline);
    if (status != GQ_OK)
        gq_pipeline_fail(p, status);
    if (p->remote)
        gq_remote_expect_end(p->remote); /* a change may be waiting for another worker, and that for a trial */
    gq_pipeline_end_changes(p);
    if (p->remote)
        end_threads(p);
    if (close_sink(p) != GQ_OK || close_journal(p) != GQ_OK)
        gq_pipeline_fail(p, gq_error_status());
    p->end_ns = gq_clock_ns();
    p->last.size = sizeof p->last;
    gq_pipeline_stats(p, &p->last);
    if (p->remote && gq_remote_stop(p->remote, 1000) != GQ_OK)
        gq_pipeline_fail(p, gq_error_status());
    gq_supervisor_finish(&p->supervisor);
    enter(p, GQ_PHASE_STOPPED);
    return outcome(p);
}

void gq_pipeline_close(struct gq_pipeline *p)
{
    if (!p)
        return;
    if (p->phase == GQ_PHASE_STARTED)
        gq_pipeline_stop(p, 0);
    if (p->source)
        p->source->ops->close(p->source);
    gq_delivery_close(&p->delivery);
    gq_queue_destroy(p->queue);
    gq_remote_destroy(p->remote);
    gq_supervisor_finish(&p->supervisor);
    gq_process_end(&p->probed, 100);
    gq_builder_destroy(p->builder);
    gq_versions_destroy(p->versions);
    gq_image_finish(&p->source_image);
    if (p->interrupt_fd >= 0)
        close(p->interrupt_fd);
    if (p->abandon_fd >= 0)
        close(p->abandon_fd);
    pthread_mutex_destroy(&p->failure_lock);
    pthread_mutex_destroy(&p->change_lock);
    gq_conf_destroy(p->accepted);
    free((char *)(uintptr_t)p->builder_opts.cache_folder);
    gq_conf_destroy(p->conf);
    free(p);
}

void gq_pipeline_forget_children(const struct gq_pipeline *p)
{
    gq_journal_forget(p->journal);
    close(p->remote->process.channel);
    if (p->spare.remote)
        close(p->spare.remote->process.channel);
    gq_reserve_forget(&p->supervisor.reserve);
    if (p->builder)
        gq_builder_forget(p->builder);
}

/* --- statistics --------------------------------------------------------------------------------------------------- */

/* From the start of the threads: 0 when a start failed before them. */
static double seconds_run(const struct gq_pipeline *p)
{
    return p->start_ns ? (double)((p->end_ns ? p->end_ns : gq_clock_ns()) - p->start_ns) * 1e-9 : 0;
}

/* Results that an application took. One that failed is counted when it is seen, which is before it is taken. */
static uint64_t taken_well(const struct gq_lane_counts *c)
{
    uint64_t without = c->dropped + c->failed + c->lost;
    return c->taken > without ? c->taken - without : 0;
}

void gq_pipeline_stats(const struct gq_pipeline *p, struct gq_stats *out)
{
    struct gq_lane_counts counts = {0};
    struct gq_histogram *latency = calloc(1, sizeof *latency);
    size_t size = out->size;
    enum gq_phase phase = __atomic_load_n(&p->phase, __ATOMIC_ACQUIRE);
    if (phase == GQ_PHASE_STOPPED) {
        *out = p->last;
    } else if (phase == GQ_PHASE_STARTED && p->queue) {
        gq_queue_get_counts(p->queue, &counts, latency);
        if (latency)
            gq_versions_latency(p->versions, latency);
        *out = (struct gq_stats){
            .messages_out = p->conf->sink.kind == GQ_SINK_API ? taken_well(&counts)
                                                              : __atomic_load_n(&p->messages_out, __ATOMIC_RELAXED),
            .dropped = counts.dropped,
            .failed = counts.failed,
            .dead = __atomic_load_n(&p->dead_file.written, __ATOMIC_RELAXED),
            .bytes_in = __atomic_load_n(&p->bytes_in, __ATOMIC_RELAXED),
            .bytes_out = __atomic_load_n(&p->bytes_out, __ATOMIC_RELAXED),
            .seconds = seconds_run(p),
            .p50_ns = latency ? gq_histogram_quantile(latency, 0.5) : 0,
            .p99_ns = latency ? gq_histogram_quantile(latency, 0.99) : 0,
            .max_ns = latency ? latency->max : 0,
            .resumed = p->delivery.resumed,
        };
        out->restarts = gq_remote_restarts(p->remote);
        out->recovered = p->recovered;
        /* Read after what was submitted: what is done by now was accepted by now. */
        const uint64_t done = out->messages_out + out->dropped + out->failed;
        out->messages_in = counts.submitted > done ? counts.submitted : done;
        out->in_flight = out->messages_in - done;
    } else {
        *out = (struct gq_stats){0};
    }
    out->size = size;
    free(latency);
}
