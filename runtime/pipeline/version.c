#include "pipeline/version.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/text.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *gq_swap_step_name(gq_swap_step step)
{
#define WORD(name, word, text) [name] = word,
    static const char *const words[] = {GQ_SWAP_STEPS(WORD)};
    return (size_t)step < sizeof words / sizeof *words ? words[step] : "?";
}

const char *gq_version_state_name(gq_version_state state)
{
    static const char *const words[] = {GQ_VERSION_STATES(WORD)};
    return (size_t)state < sizeof words / sizeof *words ? words[state] : "?";
}

const char *gq_p99_against_name(gq_p99_against against)
{
    static const char *const words[] = {GQ_P99_AGAINST(WORD)};
#undef WORD
    return (size_t)against < sizeof words / sizeof *words ? words[against] : "?";
}

/* --- states ------------------------------------------------------------------------------------------------------- */

#define TO(state) (1u << (state))
static const unsigned moves[] = {
    [GQ_VERSION_COLD] = TO(GQ_VERSION_CANARY) | TO(GQ_VERSION_LIVE) | TO(GQ_VERSION_FAILED) | TO(GQ_VERSION_DISCARDED),
    [GQ_VERSION_WARM] = TO(GQ_VERSION_LIVE) | TO(GQ_VERSION_DISCARDED),
    [GQ_VERSION_CANARY] = TO(GQ_VERSION_LIVE) | TO(GQ_VERSION_DRAINING),
    [GQ_VERSION_LIVE] = TO(GQ_VERSION_DRAINING),
    [GQ_VERSION_DRAINING] = TO(GQ_VERSION_LIVE) | TO(GQ_VERSION_WARM),
    [GQ_VERSION_DISCARDED] = 0,
    [GQ_VERSION_FAILED] = 0,
};

/* Who holds a version in its state, and what would let it go. */
static void say_holder(gq_version_state state, uint64_t in_flight, struct gq_text *out)
{
    static const char *const holders[] = {
        [GQ_VERSION_COLD] = "it is not loaded yet",
        [GQ_VERSION_WARM] = "it is loaded and serves no message; it can be used or discarded",
        [GQ_VERSION_CANARY] = "it is being watched while it serves a share of the messages; a rollback ends that",
        [GQ_VERSION_LIVE] = "it is live and serves messages; make another one live first",
        [GQ_VERSION_DISCARDED] = "it was given up; swap its plugin in again",
        [GQ_VERSION_FAILED] = "it was refused and never served; swap in a mended plugin",
    };
    if (state == GQ_VERSION_DRAINING)
        gq_text_printf(out, "%" PRIu64 " messages that came before its successor may still be with it", in_flight);
    else
        gq_text_puts(out, holders[state]);
}

gq_status gq_version_move(struct gq_code *code, gq_version_state to, const char *stage, uint64_t in_flight)
{
    gq_assert(code->state <= GQ_VERSION_FAILED && to <= GQ_VERSION_FAILED);
    const bool held = code->state == GQ_VERSION_DRAINING && to == GQ_VERSION_WARM && in_flight > 0;
    if ((moves[code->state] & TO(to)) && !held) {
        __atomic_store_n(&code->state, to, __ATOMIC_RELAXED);
        return GQ_OK;
    }
    struct gq_text holder = {0};
    say_holder(code->state, in_flight, &holder);
    gq_error_set(GQ_ERR_INVALID_ARG, "version %u of stage '%s' is %s and cannot become %s: %s", code->number, stage,
                 gq_version_state_name(code->state), gq_version_state_name(to), gq_text_str(&holder));
    gq_text_finish(&holder);
    return GQ_ERR_INVALID_ARG;
}

/* For moves that follow from what the worker has done: one that is refused is our own bug. */
static void move(struct gq_code *code, gq_version_state to, const char *stage)
{
    gq_status status = gq_version_move(code, to, stage, 0);
    gq_assert(status == GQ_OK);
}

/* --- lists -------------------------------------------------------------------------------------------------------- */

static void destroy_code(struct gq_code *code)
{
    if (!code)
        return;
    gq_image_finish(&code->image);
    free(code->latency);
    free(code->plugin);
    free(code);
}

gq_status gq_versions_create(uint32_t stage_count, bool timed, struct gq_versions **out)
{
    gq_assert(stage_count <= GQ_STAGES_MAX);
    struct gq_versions *v = calloc(1, sizeof *v);
    struct gq_histogram *latency = timed ? calloc(1, sizeof *latency) : NULL;
    *out = NULL;
    if (!v || (timed && !latency)) {
        free(v);
        free(latency);
        return gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for the versions of a pipeline");
    }
    pthread_mutex_init(&v->lock, NULL);
    v->stage_count = stage_count;
    v->generation = 1;
    v->latency = latency;
    for (uint32_t i = 0; i < stage_count; i++)
        v->before[i] = 1;
    *out = v;
    return GQ_OK;
}

void gq_versions_destroy(struct gq_versions *v)
{
    if (!v)
        return;
    for (uint32_t s = 0; s < v->stage_count; s++)
        for (uint32_t i = 0; i < v->stage[s].count; i++)
            destroy_code(v->stage[s].code[i]);
    free(v->latency);
    pthread_mutex_destroy(&v->lock);
    free(v);
}

static bool is_gone(const struct gq_code *code)
{
    return code->state == GQ_VERSION_DISCARDED || code->state == GQ_VERSION_FAILED;
}

static void remove_at(struct gq_stage_code *s, uint32_t at)
{
    destroy_code(s->code[at]);
    for (s->count--; at < s->count; at++)
        s->code[at] = s->code[at + 1];
}

/* Of those that are gone the newest are remembered, fewer if there is no room for one more. */
static void forget(struct gq_stage_code *s)
{
    uint32_t gone = 0;
    for (uint32_t i = 0; i < s->count; i++)
        gone += is_gone(s->code[i]);
    for (uint32_t i = 0; i < s->count && (gone > GQ_VERSIONS_GONE_MAX || (gone && s->count == GQ_VERSIONS_MAX));)
        if (is_gone(s->code[i])) {
            remove_at(s, i);
            gone--;
        } else {
            i++;
        }
}

static struct gq_code *new_code(const char *plugin, bool timed)
{
    struct gq_code *code = calloc(1, sizeof *code);
    if (!code)
        return NULL;
    code->image.fd = -1;
    code->plugin = strdup(plugin);
    code->latency = timed ? calloc(1, sizeof *code->latency) : NULL;
    if (code->plugin && (code->latency || !timed))
        return code;
    destroy_code(code);
    return NULL;
}

gq_status gq_versions_add(struct gq_versions *v, uint32_t stage, const char *plugin, struct gq_image *image,
                          struct gq_code **out)
{
    struct gq_stage_code *s = &v->stage[stage];
    *out = NULL;
    struct gq_code *code = new_code(plugin, v->latency != NULL);
    if (!code)
        return gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for a version of stage '%s'", s->name);
    pthread_mutex_lock(&v->lock);
    forget(s);
    const bool full = s->count == GQ_VERSIONS_MAX;
    if (!full) {
        code->number = ++s->last;
        code->image = *image;
        *image = (struct gq_image){.fd = -1};
        s->code[s->count++] = code;
    }
    pthread_mutex_unlock(&v->lock);
    if (full) {
        destroy_code(code);
        return gq_error_set(GQ_ERR_FULL, "stage '%s' has %u versions with messages in flight: let some of them end",
                            s->name, GQ_VERSIONS_MAX);
    }
    *out = code;
    return GQ_OK;
}

struct gq_code *gq_versions_find(struct gq_versions *v, uint32_t stage, uint32_t number)
{
    for (uint32_t i = 0; i < v->stage[stage].count; i++)
        if (v->stage[stage].code[i]->number == number)
            return v->stage[stage].code[i];
    return NULL;
}

struct gq_code *gq_versions_find_image(struct gq_versions *v, uint32_t stage, const char *digest)
{
    for (uint32_t i = v->stage[stage].count; i-- > 0;) {
        struct gq_code *code = v->stage[stage].code[i];
        if (!is_gone(code) && code->state != GQ_VERSION_COLD && strcmp(code->image.digest, digest) == 0)
            return code;
    }
    return NULL;
}

/* --- changes ------------------------------------------------------------------------------------------------------ */

static struct gq_version_change *change_of(struct gq_versions *v, uint32_t generation)
{
    return &v->change[generation % GQ_VERSIONS_CHANGES];
}

static uint32_t oldest_change(const struct gq_versions *v)
{
    return v->generation <= GQ_VERSIONS_CHANGES + 1 ? 2 : v->generation - GQ_VERSIONS_CHANGES + 1;
}

uint32_t gq_versions_begin(struct gq_versions *v, uint32_t stage, const struct gq_code *code)
{
    pthread_mutex_lock(&v->lock);
    const uint32_t generation = ++v->generation;
    struct gq_version_change *change = change_of(v, generation);
    if (generation > GQ_VERSIONS_CHANGES + 1) /* its place is that of the oldest one */
        v->before[change->stage] = change->version;
    *change = (struct gq_version_change){stage, code->number};
    pthread_mutex_unlock(&v->lock);
    return generation;
}

void gq_versions_undo(struct gq_versions *v)
{
    pthread_mutex_lock(&v->lock);
    /* Its place may have been taken from the oldest change, which `before` has by now: it stands for it twice. */
    struct gq_version_change *change = change_of(v, v->generation);
    *change = (struct gq_version_change){change->stage, v->before[change->stage]};
    v->generation--;
    pthread_mutex_unlock(&v->lock);
}

uint32_t gq_versions_burn(struct gq_versions *v, uint32_t stage)
{
    struct gq_code *live = v->stage[stage].live;
    const uint32_t generation = gq_versions_begin(v, stage, live);
    pthread_mutex_lock(&v->lock);
    live->generation = generation;
    pthread_mutex_unlock(&v->lock);
    return generation;
}

static void note_state(struct gq_stage_code *s, const struct gq_code *code)
{
    if (code->image.info.state_bytes == 0)
        return; /* what is there stays for the next one that has some */
    s->state_bytes = code->image.info.state_bytes;
    s->state_version = code->image.info.state_version;
}

/* The messages below `until` may be with it, and later ones are not. */
static void drain(struct gq_code *code, const uint64_t *until, uint32_t lanes, const char *stage)
{
    gq_assert(lanes <= GQ_LANES_MAX);
    move(code, GQ_VERSION_DRAINING, stage);
    code->lanes = lanes;
    for (uint32_t i = 0; i < lanes; i++)
        code->until[i] = until[i];
}

void gq_versions_canary(struct gq_versions *v, uint32_t stage, struct gq_code *code)
{
    pthread_mutex_lock(&v->lock);
    move(code, GQ_VERSION_CANARY, v->stage[stage].name);
    code->generation = v->generation;
    code->loaded_at_ns = gq_clock_unix_ns();
    pthread_mutex_unlock(&v->lock);
}

void gq_versions_canary_over(struct gq_versions *v, uint32_t stage, struct gq_code *code, uint32_t generation,
                             const uint64_t *until, uint32_t lanes)
{
    pthread_mutex_lock(&v->lock);
    drain(code, until, lanes, v->stage[stage].name);
    if (generation)
        v->stage[stage].live->generation = generation;
    pthread_mutex_unlock(&v->lock);
}

static void make_live(struct gq_versions *v, struct gq_stage_code *s, struct gq_code *code, const uint64_t *until,
                      uint32_t lanes)
{
    gq_assert(code != s->live);
    if (s->live)
        drain(s->live, until, lanes, s->name);
    move(code, GQ_VERSION_LIVE, s->name);
    code->generation = v->generation;
    code->loaded_at_ns = gq_clock_unix_ns();
    code->live_since_ns = gq_clock_ns();
    code->results_then = code->results;
    s->live = code;
    note_state(s, code);
}

void gq_versions_went_live(struct gq_versions *v, uint32_t stage, struct gq_code *code, const uint64_t *until,
                           uint32_t lanes)
{
    struct gq_stage_code *s = &v->stage[stage];
    pthread_mutex_lock(&v->lock);
    code->before = s->live ? s->live->number : 0;
    code->unfit = false; /* somebody wants it, whatever it did */
    s->rolled_back = (struct gq_rolled_back){0};
    make_live(v, s, code, until, lanes);
    pthread_mutex_unlock(&v->lock);
}

void gq_versions_fell_back(struct gq_versions *v, uint32_t stage, struct gq_code *code, const uint64_t *until,
                           uint32_t lanes)
{
    pthread_mutex_lock(&v->lock);
    make_live(v, &v->stage[stage], code, until, lanes);
    pthread_mutex_unlock(&v->lock);
}

void gq_versions_note_unfit(struct gq_versions *v, uint32_t stage, struct gq_code *code, const char *after)
{
    struct gq_stage_code *s = &v->stage[stage];
    gq_assert(code != s->live);
    pthread_mutex_lock(&v->lock);
    code->unfit = true;
    s->rolled_back = (struct gq_rolled_back){.version = code->number};
    snprintf(s->rolled_back.after, sizeof s->rolled_back.after, "%s", after);
    pthread_mutex_unlock(&v->lock);
}

uint32_t gq_versions_before(struct gq_versions *v, uint32_t stage)
{
    const struct gq_stage_code *s = &v->stage[stage];
    uint32_t number = s->live->before;
    for (uint32_t i = 0; i < s->count && number != s->live->number; i++) {
        const struct gq_code *code = gq_versions_find(v, stage, number);
        if (!code || !code->unfit) /* one that has left the list is refused by name */
            return number;
        number = code->before;
    }
    return 0; /* there were none but those, and the live one */
}

struct gq_code *gq_versions_served(struct gq_versions *v, uint32_t stage)
{
    const struct gq_stage_code *s = &v->stage[stage];
    struct gq_code *best = NULL;
    pthread_mutex_lock(&v->lock);
    for (uint32_t i = 0; i < s->count; i++) {
        struct gq_code *code = s->code[i];
        if (code != s->live && code->image.fd >= 0 && !code->unfit && code->results > code->failed &&
            (!best || code->generation > best->generation))
            best = code;
    }
    pthread_mutex_unlock(&v->lock);
    return best;
}

void gq_versions_settle(struct gq_versions *v, uint64_t (*held)(void *arg, const struct gq_code *code), void *arg)
{
    pthread_mutex_lock(&v->lock);
    for (uint32_t i = 0; i < v->stage_count; i++)
        for (uint32_t k = 0; k < v->stage[i].count; k++) {
            struct gq_code *code = v->stage[i].code[k];
            if (code->state == GQ_VERSION_DRAINING && held(arg, code) == 0)
                move(code, GQ_VERSION_WARM, v->stage[i].name);
        }
    pthread_mutex_unlock(&v->lock);
}

gq_status gq_versions_give_up(struct gq_versions *v, uint32_t stage, struct gq_code *code, gq_version_state to,
                              uint64_t in_flight)
{
    gq_assert(to == GQ_VERSION_DISCARDED || to == GQ_VERSION_FAILED);
    pthread_mutex_lock(&v->lock);
    gq_status status = gq_version_move(code, to, v->stage[stage].name, in_flight);
    if (status == GQ_OK) {
        struct gq_image left = {.fd = -1, .info = code->image.info};
        memcpy(left.digest, code->image.digest, sizeof left.digest);
        gq_image_finish(&code->image);
        code->image = left;
        code->p99_ns = code->latency ? gq_histogram_quantile(code->latency, 0.99) : 0;
        free(code->latency);
        code->latency = NULL;
    }
    pthread_mutex_unlock(&v->lock);
    return status;
}

/* --- whose results ------------------------------------------------------------------------------------------------ */

/* The version of a stage that was live at a generation. */
static uint32_t version_at(const struct gq_versions *v, uint32_t stage, uint32_t generation)
{
    uint32_t g = generation < v->generation ? generation : v->generation;
    for (; g >= oldest_change(v); g--)
        if (v->change[g % GQ_VERSIONS_CHANGES].stage == stage)
            return v->change[g % GQ_VERSIONS_CHANGES].version;
    return v->before[stage];
}

void gq_versions_tally(void *versions, const struct gq_lane_tally *tally)
{
    struct gq_versions *v = versions;
    pthread_mutex_lock(&v->lock);
    for (uint32_t s = 0; s < v->stage_count; s++) {
        struct gq_code *code = gq_versions_find(v, s, version_at(v, s, tally->generation));
        if (!code)
            continue;
        code->results += tally->results;
        code->failed += tally->failed;
        if (code->latency && tally->latency)
            gq_histogram_merge(code->latency, tally->latency);
    }
    if (v->latency && tally->latency)
        gq_histogram_merge(v->latency, tally->latency);
    pthread_mutex_unlock(&v->lock);
}

void gq_versions_latency(struct gq_versions *v, struct gq_histogram *into)
{
    pthread_mutex_lock(&v->lock);
    if (v->latency)
        gq_histogram_merge(into, v->latency);
    pthread_mutex_unlock(&v->lock);
}

static void name_locked(struct gq_versions *v, uint32_t stage, uint32_t number, struct gq_version_name *out)
{
    const struct gq_code *code = gq_versions_find(v, stage, number);
    *out = (struct gq_version_name){0};
    if (!code)
        return;
    out->number = code->number;
    snprintf(out->plugin, sizeof out->plugin, "%s", code->plugin);
    memcpy(out->digest, code->image.digest, sizeof out->digest);
}

void gq_versions_name(struct gq_versions *v, uint32_t stage, uint32_t generation, struct gq_version_name *out)
{
    gq_assert(stage < v->stage_count);
    pthread_mutex_lock(&v->lock);
    name_locked(v, stage, version_at(v, stage, generation), out);
    pthread_mutex_unlock(&v->lock);
}
