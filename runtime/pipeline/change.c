#include "pipeline/change.h"
#include "base/assert.h"
#include "base/clock.h"
#include "build/source.h"
#include "pipeline/rehearse.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- the result ------------------------------------------------------------------------------------------------------
 */

static void set_log(gq_swap_result *result, const char *text)
{
    size_t len = strlen(text);
    if (len >= sizeof result->log) { /* cut at a line's end, if there is one */
        len = sizeof result->log - 1;
        for (size_t at = len; at > 0; at--)
            if (text[at - 1] == '\n') {
                len = at;
                break;
            }
    }
    memcpy(result->log, text, len);
    result->log[len] = '\0';
}

static void note_code(struct gq_change *c)
{
    c->result->version = c->code->number;
    snprintf(c->result->digest, sizeof c->result->digest, "%.*s", (int)sizeof c->result->digest - 1,
             c->code->image.digest);
}

gq_status gq_change_init(struct gq_change *c, struct gq_pipeline *p, uint32_t stage, const char *plugin,
                         gq_swap_result *result)
{
    const struct gq_conf *conf = p->accepted ? p->accepted : p->conf;
    *result = (gq_swap_result){.size = sizeof *result, .total_ns = gq_clock_ns()}; /* a difference in the end */
    snprintf(result->stage, sizeof result->stage, "%s", conf->stages[stage].name);
    *c = (struct gq_change){.p = p,
                            .stage = stage,
                            .conf = &conf->stages[stage],
                            .conf_file = conf->file,
                            .rehearse = conf->swap.rehearse != 0,
                            .plugin = strdup(plugin ? plugin : p->versions->stage[stage].live->plugin),
                            .result = result};
    return c->plugin ? GQ_OK : gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for a change");
}

/* The sentence that was left stays the one that the caller reads. */
void gq_change_give_up(struct gq_change *c, gq_version_state to)
{
    char sentence[GQ_ERROR_TEXT_MAX];
    const gq_status status = gq_error_status();
    snprintf(sentence, sizeof sentence, "%s", gq_error_text());
    gq_status given = gq_versions_give_up(c->p->versions, c->stage, c->code, to, 0);
    gq_assert(given == GQ_OK);
    if (status != GQ_OK)
        gq_error_set(status, "%s", sentence);
}

void gq_change_finish(struct gq_change *c)
{
    if (c->code && gq_code_state(c->code) == GQ_VERSION_COLD)
        gq_change_give_up(c, GQ_VERSION_DISCARDED);
    c->result->total_ns = gq_clock_ns() - c->result->total_ns;
    c->result->live = c->p->versions->stage[c->stage].live->number;
    free(c->plugin);
}

/* --- resolve and build
 * ------------------------------------------------------------------------------------------------
 */

static gq_status resolve(struct gq_change *c)
{
    struct gq_text text = {0};
    enum gq_origin origin;
    c->result->step = GQ_STEP_RESOLVE;
    if (gq_builtin_name(c->plugin))
        return GQ_OK;
    gq_status status = gq_source_read(c->plugin, &text, &origin);
    gq_text_finish(&text);
    return status;
}

static struct gq_build_request request_of(const struct gq_change *c)
{
    return gq_pipeline_request(c->p, GQ_IMAGE_STAGE, c->plugin, c->conf->params, c->conf->param_count, c->conf_file);
}

static gq_status ask_builder(struct gq_change *c, struct gq_image *image)
{
    const struct gq_build_request request = request_of(c);
    return gq_build(c->p->builder, &request, image);
}

/* A version of its own, also for what could not be built: a list of versions shows what was tried. A canary is always
 * a new one, with counters that begin with it, unless there is nothing to try. */
static gq_status add_version(struct gq_change *c, struct gq_image *image)
{
    struct gq_code *known = image->fd >= 0 ? gq_versions_find_image(c->p->versions, c->stage, image->digest) : NULL;
    if (known && c->share && gq_code_state(known) != GQ_VERSION_LIVE)
        known = NULL;
    c->loaded = known != NULL;
    c->code = known;
    return known ? GQ_OK : gq_versions_add(c->p->versions, c->stage, c->plugin, image, &c->code);
}

static gq_status refuse_build(struct gq_change *c, gq_status status, struct gq_image *image)
{
    char sentence[GQ_ERROR_TEXT_MAX];
    snprintf(sentence, sizeof sentence, "%s", gq_error_text());
    if (add_version(c, image) == GQ_OK) {
        note_code(c);
        gq_change_give_up(c, GQ_VERSION_FAILED);
        c->code = NULL;
    }
    return gq_error_set(status, "%s", sentence);
}

static gq_status build(struct gq_change *c)
{
    struct gq_image image = {.fd = -1};
    const uint64_t start = gq_clock_ns();
    c->result->step = GQ_STEP_BUILD;
    gq_status status = ask_builder(c, &image);
    c->result->build_ns = gq_clock_ns() - start;
    c->result->cached = image.cached;
    set_log(c->result, gq_text_str(&image.log));
    gq_text_clear(&image.log); /* the result has it */
    if (status == GQ_OK) {
        status = gq_pipeline_check_reads(c->p, c->plugin, &image);
        if (status != GQ_OK)
            gq_image_finish(&image); /* no version that is known already is given up for it */
    }
    status = status == GQ_OK ? add_version(c, &image) : refuse_build(c, status, &image);
    gq_image_finish(&image);
    if (status == GQ_OK)
        note_code(c);
    return status;
}

/* --- inspect and rehearse --------------------------------------------------------------------------------------------
 */

static bool has_same_state(const struct gq_change *c)
{
    const struct gq_stage_code *s = &c->p->versions->stage[c->stage];
    const struct gq_cpu_image *info = &c->code->image.info;
    return info->state_bytes == s->state_bytes && info->state_version == s->state_version;
}

static gq_status check_state(const struct gq_change *c)
{
    const struct gq_stage_code *s = &c->p->versions->stage[c->stage];
    const struct gq_cpu_image *info = &c->code->image.info;
    if (info->state_bytes == 0 || has_same_state(c))
        return GQ_OK;
    if (c->share)
        return gq_error_set(
            GQ_ERR_PLUGIN,
            "a canary of stage '%s' shares its state of %u bytes, version %u, and %s declares %u bytes, "
            "version %u: swap it without a canary",
            s->name, s->state_bytes, s->state_version, c->code->plugin, info->state_bytes, info->state_version);
    if (s->state_bytes == 0 || info->migrates)
        return GQ_OK;
    return gq_error_set(GQ_ERR_PLUGIN,
                        "stage '%s' has state of %u bytes, version %u, and %s declares %u bytes, version %u, without a "
                        "gq_migrate() to take it over: define one (gpuqueue/plugin.h), or declare what there is",
                        s->name, s->state_bytes, s->state_version, c->code->plugin, info->state_bytes,
                        info->state_version);
}

/* As at the start of the run: pipeline.c. */
static gq_status check_delivery(const struct gq_change *c)
{
    const struct gq_cpu_image *info = &c->code->image.info;
    if (!c->p->delivery.checkpoint || info->state_bytes == 0)
        return GQ_OK;
    return gq_error_set(GQ_ERR_PLUGIN,
                        "%s declares state of %u bytes, and delivery: exactly_once is for plugins without",
                        c->code->plugin, info->state_bytes);
}

static gq_status inspect(struct gq_change *c)
{
    const struct gq_cpu_image *info = &c->code->image.info;
    c->result->step = GQ_STEP_INSPECT;
    if (info->kind != GQ_IMAGE_STAGE)
        return gq_error_set(GQ_ERR_PLUGIN, "%s makes messages: it is a source plugin, and '%s' is a stage",
                            c->code->plugin, c->conf->name);
    if (info->plugin_abi != GQ_PLUGIN_ABI)
        return gq_error_set(GQ_ERR_PLUGIN, "%s was made for plugin ABI %u, and this release has %d: build it again",
                            c->code->plugin, info->plugin_abi, GQ_PLUGIN_ABI);
    gq_status status = check_delivery(c);
    return status == GQ_OK ? check_state(c) : status;
}

static gq_status run_rehearsal(struct gq_change *c, struct gq_text *log)
{
    struct gq_pipeline *p = c->p;
    const struct gq_build_request request = request_of(c);
    const struct gq_conf *conf = p->accepted ? p->accepted : p->conf;
    const struct gq_rehearsal rehearsal = {.spare = &p->spare,
                                           .builder = p->builder,
                                           .request = &request,
                                           .image = &c->code->image,
                                           .stage_name = p->versions->stage[c->stage].name,
                                           .budget_ms = conf->swap.budget_ms};
    gq_status status = gq_spare_warm(&p->spare, &p->versions->stage[0].live->image);
    if (status != GQ_OK)
        return status;
    return gq_rehearse(&rehearsal, &c->result->vectors, log);
}

static gq_status rehearse(struct gq_change *c)
{
    struct gq_text log = {0};
    const uint64_t start = gq_clock_ns();
    c->result->step = GQ_STEP_REHEARSE;
    gq_status status = run_rehearsal(c, &log);
    c->result->rehearse_ns = gq_clock_ns() - start;
    pthread_mutex_lock(&c->p->versions->lock); /* somebody may be looking */
    c->code->rehearsed = c->result->vectors;
    pthread_mutex_unlock(&c->p->versions->lock);
    if (log.len)
        set_log(c->result, gq_text_str(&log));
    gq_text_finish(&log);
    return status;
}

gq_status gq_change_prepare(struct gq_change *c)
{
    gq_status status = gq_remote_check(c->p->remote);
    if (status == GQ_OK)
        status = resolve(c);
    if (status == GQ_OK)
        status = build(c);
    if (status != GQ_OK || gq_change_is_none(c))
        return status;
    status = inspect(c);
    if (status == GQ_OK && c->rehearse && !c->loaded)
        status = rehearse(c);
    if (status != GQ_OK && !c->loaded)
        gq_change_give_up(c, GQ_VERSION_FAILED);
    return status;
}

gq_status gq_change_prepare_use(struct gq_change *c, struct gq_code *code)
{
    c->code = code;
    c->loaded = true;
    note_code(c);
    gq_status status = gq_remote_check(c->p->remote);
    return status != GQ_OK || gq_change_is_none(c) ? status : inspect(c);
}

/* --- the switch ------------------------------------------------------------------------------------------------------
 */

uint64_t gq_change_held(void *pipeline, const struct gq_code *code)
{
    const struct gq_pipeline *p = pipeline;
    uint64_t held = 0;
    for (uint32_t i = 0; i < code->lanes; i++)
        held += gq_lane_unfinished_below(p->queue->lane[i], code->until[i]);
    return held;
}

void gq_change_tell_lanes(struct gq_pipeline *p)
{
    for (uint32_t i = 0; i < gq_queue_lanes(p->queue); i++)
        gq_lane_tell(p->queue->lane[i]);
}

/* The one to fall back to as long as the live one has served nothing, and nobody knows whether it can; NULL: none. */
static const struct gq_code *proven(struct gq_versions *v, uint32_t stage)
{
    pthread_mutex_lock(&v->lock);
    const struct gq_code *live = v->stage[stage].live;
    const bool has_served = live && live->results > live->failed;
    pthread_mutex_unlock(&v->lock);
    return has_served ? NULL : gq_versions_served(v, stage);
}

/* Which count, and the oldest that can be let go. The proven one is not, and does not count if it is older than these.
 */
static uint32_t count_kept(const struct gq_stage_code *s, const struct gq_code *good, struct gq_code **oldest)
{
    uint32_t kept = 0;
    *oldest = NULL;
    for (uint32_t i = 0; i < s->count; i++) {
        struct gq_code *code = s->code[i];
        const gq_version_state state = gq_code_state(code);
        kept += state == GQ_VERSION_WARM || state == GQ_VERSION_DRAINING;
        if (code != good && state == GQ_VERSION_WARM && (!*oldest || code->generation < (*oldest)->generation))
            *oldest = code;
    }
    return kept - (good && *oldest && good->generation < (*oldest)->generation);
}

void gq_change_prune(struct gq_pipeline *p, uint32_t stage)
{
    const uint32_t keep = (p->accepted ? p->accepted : p->conf)->swap.keep_versions;
    struct gq_code *oldest;
    gq_versions_settle(p->versions, gq_change_held, p);
    gq_change_tell_lanes(p);
    const struct gq_code *good = proven(p->versions, stage);
    while (count_kept(&p->versions->stage[stage], good, &oldest) > keep && oldest) {
        if (gq_remote_discard(p->remote, stage, oldest->number) != GQ_OK)
            return; /* the worker is gone: who serves messages will hear of it */
        gq_status status = gq_versions_give_up(p->versions, stage, oldest, GQ_VERSION_DISCARDED, 0);
        gq_assert(status == GQ_OK);
    }
}

uint32_t gq_change_note_switch(struct gq_change *c, uint32_t generation, uint64_t until[GQ_LANES_MAX])
{
    struct gq_queue *queue = c->p->queue;
    const uint32_t lanes = gq_queue_lanes(queue);
    for (uint32_t i = 0; i < lanes; i++)
        until[i] = __atomic_load_n(&queue->lane[i]->submitted, __ATOMIC_ACQUIRE);
    if (generation == 0)
        return lanes;
    __atomic_store_n(&c->p->remote->link.generation, generation, __ATOMIC_RELAXED);
    c->result->generation = generation;
    return lanes;
}

struct gq_remote_change gq_change_for_remote(const struct gq_change *c, uint32_t generation)
{
    return (struct gq_remote_change){.stage_name = c->conf->name,
                                     .stage = c->stage,
                                     .version = c->code->number,
                                     .generation = generation,
                                     .share = c->share,
                                     .blocks = c->conf->blocks,
                                     .migrates = c->code->image.info.state_bytes > 0 && !has_same_state(c)};
}

/* A canary that proves itself is two changes for the worker. */
void gq_change_note_times(struct gq_change *c, const struct gq_swap_times *times)
{
    c->result->step = times->step;
    c->result->park_ns += times->park_ns;
    c->result->load_ns += times->load_ns;
    c->result->launch_ns += times->launch_ns;
}

void gq_change_undo(struct gq_change *c, uint32_t deaths)
{
    struct gq_link *link = &c->p->remote->link;
    if (gq_remote_deaths(c->p->remote) == deaths) {
        gq_versions_undo(c->p->versions);
        return;
    }
    /* What the next worker serves may carry the generation that was live before. */
    __atomic_store_n(&link->canary, gq_versions_burn(c->p->versions, c->stage), __ATOMIC_RELAXED);
}

/* A worker that died as soon as it had answered may have been replaced by one with the code before, which is asked once
 * more. One that refuses, and lives, is replaced; when one dies over it, the next one begins with what is live. */
static void make_sure(struct gq_change *c, const struct gq_remote_change *change)
{
    struct gq_remote *remote = c->p->remote;
    gq_status status = GQ_OK;
    uint32_t deaths = remote->change_deaths;
    struct gq_swap_times times;
    for (uint32_t now; status == GQ_OK && (now = gq_remote_deaths(remote)) != deaths; deaths = now)
        status = gq_remote_use(remote, &c->code->image, change, &times);
    if (status != GQ_OK && gq_remote_deaths(remote) == deaths && !gq_remote_expected(remote))
        gq_remote_replace(remote, "the worker did not take the code that is live");
}

/* Every message accepted from here on is the new version's. */
gq_status gq_change_switch(struct gq_change *c)
{
    struct gq_pipeline *p = c->p;
    struct gq_swap_times times;
    uint64_t until[GQ_LANES_MAX];
    gq_assert(!gq_change_is_none(c));
    c->was = p->versions->stage[c->stage].live;
    const uint32_t generation = gq_versions_begin(p->versions, c->stage, c->code);
    const uint32_t deaths = gq_remote_deaths(p->remote);
    const struct gq_remote_change change = gq_change_for_remote(c, generation);
    gq_status status = c->loaded ? gq_remote_use(p->remote, &c->code->image, &change, &times)
                                 : gq_remote_swap(p->remote, &c->code->image, &change, &times);
    gq_change_note_times(c, &times);
    if (status == GQ_OK) {
        const uint32_t lanes = gq_change_note_switch(c, generation, until);
        gq_versions_went_live(p->versions, c->stage, c->code, until, lanes);
        make_sure(c, &change); /* if not even this serves, whoever takes results hears of it */
        gq_queue_expect(p->queue, c->stage, generation);
        gq_change_prune(p, c->stage);
        return GQ_OK;
    }
    gq_change_undo(c, deaths);
    if (!c->loaded)
        gq_change_give_up(c, GQ_VERSION_FAILED);
    return status;
}
