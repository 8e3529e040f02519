/* A canary: a new version serves a share of the messages beside the live one, both are watched, and then one of the two
 * serves them all. */
#include "base/assert.h"
#include "base/clock.h"
#include "pipeline/canary_cost.h"
#include "pipeline/change.h"
#include "pipeline/remote_ask.h"
#include "ring/page.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOOK_US 10000u
#define GLANCE_US (GQ_GLANCE_NS / 1000u)
#define CANARY_MS 10000u    /* unless the caller says how long */
#define FAILURES_PPM 1000u  /* and how many more may fail */
#define P99_PERCENT 150u    /* and how much slower they may be */
#define FAILURES_FROM 1000u /* of its results, before the end of the watch: fewer could be bad luck */
#define P99_FROM 1000u      /* of both: a 99th percentile of fewer is the slowest of ten */
#define PARTS 20u           /* of a watch, of which each is looked at for a canary that is slow beyond doubt: */
#define SLOW_PARTS 5u       /* so many in a row in which most of its messages were */
#define MILLION 1000000u

/* What a version has served while both were watched. */
struct served {
    uint64_t results, failed;
    struct gq_histogram *latency; /* NULL: not measured */
    uint64_t p99_ns;
    uint64_t unseen; /* results that it had before anybody looked what they cost */
};

struct watch {
    struct gq_change *change;
    gq_swap_opts limits; /* with the defaults filled in */
    uint64_t deadline_ns;
    struct served live, canary;
    struct gq_canary_cost cost;
    struct gq_histogram *before; /* the live version's latencies when it began; NULL: not measured */
    struct gq_histogram *seen;   /* the canary's, when its last part ended; NULL: not measured */
    uint32_t part, slow_parts;   /* and how many of the last ones were too slow */
    uint64_t before_p99_ns;      /* the live version's, before this; 0: not known */
    uint64_t before_takes_ns;    /* and what a message took a thread at the most; 0: not known */
    uint32_t deaths;             /* of workers, before it was launched */
    const char *after;           /* it was rolled back by itself, after this; NULL: it was not */
};

/* --- which canary is on ---------------------------------------------------------------------------------------------
 */

static void set_canary(const struct gq_change *c, bool on)
{
    pthread_mutex_lock(&c->p->versions->lock);
    c->p->canary = (struct gq_canary){.on = on, .stage = c->stage, .version = c->code->number};
    pthread_mutex_unlock(&c->p->versions->lock);
}

static bool is_called_off(struct gq_pipeline *p)
{
    pthread_mutex_lock(&p->versions->lock);
    const bool off = p->canary.called_off;
    pthread_mutex_unlock(&p->versions->lock);
    return off;
}

bool gq_canary_call_off(struct gq_pipeline *p, const char *stage, uint32_t *version)
{
    if (__atomic_load_n(&p->phase, __ATOMIC_ACQUIRE) != GQ_PHASE_STARTED)
        return false;
    pthread_mutex_lock(&p->versions->lock);
    const struct gq_stage_code *s = &p->versions->stage[p->canary.stage];
    const bool is_its = p->canary.on && strcmp(s->name, stage) == 0;
    if (is_its) {
        p->canary.called_off = true;
        *version = p->canary.version;
    }
    pthread_mutex_unlock(&p->versions->lock);
    return is_its;
}

bool gq_canary_before(struct gq_pipeline *p, const char *stage, uint64_t *results, uint64_t *failed)
{
    pthread_mutex_lock(&p->versions->lock);
    const bool is_its = p->canary.on && strcmp(p->versions->stage[p->canary.stage].name, stage) == 0;
    *results = p->canary.results_before;
    *failed = p->canary.failed_before;
    pthread_mutex_unlock(&p->versions->lock);
    return is_its;
}

/* --- what both have served ------------------------------------------------------------------------------------------
 */

static gq_status begin_watch(struct watch *w, struct gq_change *c, const gq_swap_opts *opts)
{
    *w = (struct watch){.change = c, .limits = *opts};
    w->limits.canary_ms = opts->canary_ms ? opts->canary_ms : CANARY_MS;
    w->limits.canary_failures = opts->canary_failures ? opts->canary_failures : FAILURES_PPM;
    w->limits.canary_p99 = opts->canary_p99 ? opts->canary_p99 : P99_PERCENT;
    if (!c->code->latency)
        return GQ_OK;
    w->before = calloc(1, sizeof *w->before);
    w->live.latency = calloc(1, sizeof *w->live.latency);
    w->canary.latency = calloc(1, sizeof *w->canary.latency);
    w->seen = calloc(1, sizeof *w->seen);
    return w->before && w->live.latency && w->canary.latency && w->seen
               ? GQ_OK
               : gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for the counters of a canary");
}

static void end_watch(struct watch *w)
{
    free(w->before);
    free(w->live.latency);
    free(w->canary.latency);
    free(w->seen);
}

static void keep_lowest(uint64_t *lowest, uint64_t ns)
{
    if (ns && (*lowest == 0 || ns < *lowest))
        *lowest = ns;
}

/* What the latencies of a version are that no canary has slowed down. A canary that was too slow has spoilt what its
 * next one would be compared with, so of what is known the lowest counts. A message takes a thread no longer than its
 * latency, and all together take no more than the time that the threads had; its p99 says less, for a pause of the
 * machine is in it. */
static void note_calm(struct gq_code *live, uint32_t threads)
{
    const uint64_t results = live->results - live->results_then;
    if (live->results < P99_FROM)
        return;
    keep_lowest(&live->calm_p99_ns, gq_histogram_quantile(live->latency, 0.99));
    keep_lowest(&live->calm_takes_ns, gq_histogram_mean(live->latency));
    if (results)
        keep_lowest(&live->calm_takes_ns, (gq_clock_ns() - live->live_since_ns) * threads / results);
}

/* What the live version has served before counts for nothing, but for what its p99 was. */
static void take_stock(struct watch *w)
{
    struct gq_pipeline *p = w->change->p;
    struct gq_code *live = p->versions->stage[w->change->stage].live;
    gq_change_tell_lanes(p);
    pthread_mutex_lock(&p->versions->lock);
    p->canary.results_before = live->results;
    p->canary.failed_before = live->failed;
    if (w->before) {
        *w->before = *live->latency;
        note_calm(live, gq_page_threads(p->remote->link.worker));
        w->before_p99_ns = live->calm_p99_ns;
        w->before_takes_ns = live->calm_takes_ns;
    }
    pthread_mutex_unlock(&p->versions->lock);
    w->deadline_ns = gq_clock_deadline(w->limits.canary_ms);
}

/* On a GPU nobody says what its threads hold. */
static void glance(struct watch *w)
{
    const struct gq_worker_page *page = w->change->p->remote->link.worker;
    const uint32_t threads = gq_page_threads(page);
    for (uint32_t i = 0; i < threads; i++) {
        const struct gq_crumb c = gq_page_crumb(page, i);
        gq_canary_cost_note(&w->cost, i, &c, w->change->code->generation);
    }
}

static void glance_for(struct watch *w, uint32_t us)
{
    for (uint32_t passed = 0; passed < us; passed += GLANCE_US) {
        usleep(GLANCE_US);
        glance(w);
    }
}

/* Both wait in the same lanes for the same threads, so a canary that takes them for itself makes the live version as
 * slow as it is. Then only what was before says how fast it would be. When both are slow and the canary takes no longer
 * than the live version, it is not its doing. */
static bool is_costly(const struct watch *w)
{
    return w->before_p99_ns && w->change->result->canary_cost > w->limits.canary_p99;
}

static void count_p99(struct served *s, uint64_t from)
{
    s->p99_ns = s->latency && s->results >= from ? gq_histogram_quantile(s->latency, 0.99) : 0;
}

/* With which p99 the canary's is compared, the lower one if there are two. */
static void choose_p99(const struct watch *w)
{
    const uint64_t beside = w->live.p99_ns;
    const bool before = is_costly(w) && (beside == 0 || w->before_p99_ns < beside);
    w->change->result->canary_against = w->canary.p99_ns == 0 ? GQ_P99_NONE
                                        : before              ? GQ_P99_BEFORE
                                        : beside              ? GQ_P99_BESIDE
                                                              : GQ_P99_NONE;
}

static void look(struct watch *w)
{
    struct gq_change *c = w->change;
    const struct gq_code *live = c->p->versions->stage[c->stage].live;
    gq_change_tell_lanes(c->p);
    pthread_mutex_lock(&c->p->versions->lock);
    w->canary.results = c->code->results;
    w->canary.failed = c->code->failed;
    w->live.results = live->results - c->p->canary.results_before;
    w->live.failed = live->failed - c->p->canary.failed_before;
    if (w->before) {
        *w->canary.latency = *c->code->latency;
        *w->live.latency = *live->latency;
        gq_histogram_subtract(w->live.latency, w->before);
    }
    pthread_mutex_unlock(&c->p->versions->lock);
    c->result->canary_cost = gq_canary_cost_percent(&w->cost, w->canary.results - w->canary.unseen,
                                                    w->live.results - w->live.unseen, w->before_takes_ns);
    count_p99(&w->canary, is_costly(w) ? 1 : P99_FROM);
    count_p99(&w->live, P99_FROM);
    choose_p99(w);
    c->result->canary_messages = w->canary.results;
    c->result->canary_failed = w->canary.failed;
    c->result->live_messages = w->live.results;
    c->result->live_failed = w->live.failed;
    c->result->canary_p99_ns = w->canary.p99_ns;
    c->result->live_p99_ns = w->live.p99_ns;
    c->result->before_p99_ns = w->before_p99_ns;
}

/* --- the verdict ----------------------------------------------------------------------------------------------------
 */

static double percent(const struct served *s)
{
    return s->results ? 100.0 * (double)s->failed / (double)s->results : 0.0;
}

static bool fails_more(const struct watch *w)
{
    return percent(&w->canary) > percent(&w->live) + 100.0 * w->limits.canary_failures / MILLION;
}

static double limit_ns(const struct watch *w)
{
    const bool before = w->change->result->canary_against == GQ_P99_BEFORE;
    return (double)(before ? w->before_p99_ns : w->live.p99_ns) * w->limits.canary_p99 / 100.0;
}

static bool is_slower(const struct watch *w)
{
    return w->change->result->canary_against != GQ_P99_NONE && (double)w->canary.p99_ns > limit_ns(w);
}

/* How much of the watch is over, from 0 to 1. */
static double gone(const struct watch *w)
{
    const uint64_t now = gq_clock_ns(), left = w->deadline_ns > now ? w->deadline_ns - now : 0;
    const double time = 1.0 - (double)left / 1e6 / w->limits.canary_ms;
    const double messages =
        w->limits.canary_messages ? (double)w->canary.results / (double)w->limits.canary_messages : 0.0;
    return time > messages ? time : messages;
}

/* What it costs may be measured a little wrong, and decides what it is compared with. */
static bool is_clearly_compared(const struct watch *w)
{
    const gq_swap_result *r = w->change->result;
    return r->canary_against != GQ_P99_BEFORE || r->canary_cost > 2.0 * w->limits.canary_p99;
}

/* Most of its messages, each of which may take as long as one in a hundred of the live version's, take longer, and did
 * so part after part. Then its p99 is too high at the end, too, unless many times as many come that are fast. A pause
 * of the machine, or a beginning that is slow, is over in fewer parts. */
static bool is_slow_beyond_doubt(struct watch *w)
{
    const uint32_t part = (uint32_t)(gone(w) * PARTS);
    if (!w->seen || part == w->part || w->canary.latency->total < w->seen->total + P99_FROM)
        return false;
    const uint64_t limit = (uint64_t)limit_ns(w), came = w->canary.latency->total - w->seen->total;
    const uint64_t slow = gq_histogram_above(w->canary.latency, limit) - gq_histogram_above(w->seen, limit);
    const bool is = w->live.results >= P99_FROM && is_slower(w) && is_clearly_compared(w) && 2 * slow > came;
    w->slow_parts = is ? w->slow_parts + 1 : 0;
    w->part = part;
    *w->seen = *w->canary.latency;
    return w->slow_parts >= SLOW_PARTS;
}

static gq_status refuse_slow(const struct watch *w, const char *head)
{
    const gq_swap_result *r = w->change->result;
    const uint32_t live = w->change->p->versions->stage[w->change->stage].live->number;
    const double ours = (double)w->canary.p99_ns / 1e3;
    if (r->canary_against == GQ_P99_BESIDE)
        return gq_error_set(GQ_ERR_PLUGIN,
                            "%s: its p99 is %.1f us, and that of version %u beside it %.1f us; canary_p99 allows %u %%",
                            head, ours, live, (double)w->live.p99_ns / 1e3, w->limits.canary_p99);
    return gq_error_set(GQ_ERR_PLUGIN,
                        "%s: its p99 is %.1f us, and that of version %u before it %.1f us; canary_p99 allows %u %%; "
                        "what is beside it waits for its messages, each of which takes the worker %.1f times as long",
                        head, ours, live, (double)w->before_p99_ns / 1e3, w->limits.canary_p99, r->canary_cost / 100.0);
}

/* GQ_ERR_PLUGIN: what speaks against it. */
static gq_status judge(struct watch *w)
{
    const struct gq_change *c = w->change;
    const struct gq_stage_code *s = &c->p->versions->stage[c->stage];
    struct gq_text rolled_back = {0};
    gq_text_printf(&rolled_back, "the canary of stage '%s', version %u, was rolled back", s->name, c->code->number);
    const char *head = gq_text_str(&rolled_back);
    gq_status status = GQ_OK;
    if (w->canary.results == 0)
        status = gq_error_set(GQ_ERR_PLUGIN, "%s: it had no result within %u ms; watch it for longer", head,
                              w->limits.canary_ms);
    else if (fails_more(w))
        status = gq_error_set(GQ_ERR_PLUGIN,
                              "%s: %" PRIu64 " of its %" PRIu64 " results failed, %.4g %%, and of version %u's %" PRIu64
                              " of %" PRIu64 ", %.4g %%; canary_failures allows %.4g %% more",
                              head, w->canary.failed, w->canary.results, percent(&w->canary), s->live->number,
                              w->live.failed, w->live.results, percent(&w->live),
                              100.0 * w->limits.canary_failures / MILLION);
    else if (is_slower(w))
        status = refuse_slow(w, head);
    gq_text_finish(&rolled_back);
    w->after = status == GQ_OK ? NULL : "it had not proved itself as a canary";
    return status;
}

static gq_status call_off(const struct watch *w, gq_status status, const char *why)
{
    const struct gq_change *c = w->change;
    return gq_error_set(status, "the canary of stage '%s', version %u, was rolled back: %s",
                        c->p->versions->stage[c->stage].name, c->code->number, why);
}

/* Another worker serves by now, with the live version alone. */
static gq_status call_off_dead(struct watch *w)
{
    char why[GQ_ERROR_TEXT_MAX];
    w->after = "the worker had ended while it was a canary";
    snprintf(why, sizeof why, "%s", gq_error_text());
    return call_off(w, GQ_ERR_PLUGIN, why);
}

/* GQ_OK: it has proved itself. */
static gq_status watch(struct watch *w)
{
    struct gq_pipeline *p = w->change->p;
    const uint32_t enough = w->limits.canary_messages;
    look(w);
    w->live.unseen = w->live.results;
    w->canary.unseen = w->canary.results;
    for (;;) {
        const bool over = gq_clock_past(w->deadline_ns);
        look(w);
        if (gq_remote_check(p->remote) != GQ_OK)
            return gq_error_status();
        if (gq_remote_check_since(p->remote, w->deaths) != GQ_OK)
            return call_off_dead(w);
        if (__atomic_load_n(&p->interrupted, __ATOMIC_ACQUIRE))
            return call_off(w, GQ_ERR_SHUTDOWN, "the pipeline is being stopped");
        if (is_called_off(p))
            return call_off(w, GQ_ERR_PLUGIN, "somebody asked for it");
        if (over || (enough && w->canary.results >= enough))
            return judge(w);
        if ((w->canary.results >= FAILURES_FROM && fails_more(w)) || is_slow_beyond_doubt(w))
            return judge(w);
        glance_for(w, LOOK_US);
    }
}

/* --- its life -------------------------------------------------------------------------------------------------------
 */

static gq_status launch(struct gq_change *c, uint32_t deaths)
{
    struct gq_pipeline *p = c->p;
    struct gq_swap_times times;
    uint32_t *newest = &p->remote->link.canary;
    const uint32_t before = __atomic_load_n(newest, __ATOMIC_RELAXED);
    const uint32_t generation = gq_versions_begin(p->versions, c->stage, c->code);
    const struct gq_remote_change change = gq_change_for_remote(c, generation);
    __atomic_store_n(newest, generation, __ATOMIC_RELAXED);
    gq_status status = gq_remote_canary(p->remote, &c->code->image, &change, &times);
    gq_change_note_times(c, &times);
    if (status != GQ_OK) {
        __atomic_store_n(newest, before, __ATOMIC_RELAXED);
        gq_change_undo(c, deaths);
        return status;
    }
    c->result->canary_ppm = times.share;
    c->result->step = GQ_STEP_CANARY;
    gq_versions_canary(p->versions, c->stage, c->code);
    return GQ_OK;
}

/* The live version serves all messages again, with a generation of its own: that of the canary stays its. */
static gq_status roll_back(struct gq_change *c)
{
    struct gq_pipeline *p = c->p;
    struct gq_swap_times times;
    struct gq_code *live = p->versions->stage[c->stage].live;
    uint64_t until[GQ_LANES_MAX];
    const uint32_t generation = gq_versions_begin(p->versions, c->stage, live);
    struct gq_remote_change change = gq_change_for_remote(c, generation);
    change.version = live->number;
    const uint32_t deaths = gq_remote_deaths(p->remote);
    gq_status status = gq_remote_use(p->remote, &live->image, &change, &times);
    if (status == GQ_ERR_DEVICE && gq_remote_was_replaced(p->remote, deaths))
        status = GQ_OK; /* it died, and the next one has the live version alone */
    if (status != GQ_OK)
        gq_versions_undo(p->versions);
    const uint32_t now = status == GQ_OK ? generation : 0; /* it lives, and has ended the canary all the same */
    const uint32_t lanes = gq_change_note_switch(c, now, until);
    gq_versions_canary_over(p->versions, c->stage, c->code, now, until, lanes);
    return status;
}

/* The sentence of the verdict is the caller's to read, whatever happened since. */
static gq_status end(struct gq_change *c, gq_status verdict)
{
    char sentence[GQ_ERROR_TEXT_MAX];
    if (verdict == GQ_OK) {
        gq_status status = gq_change_switch(c);
        if (status == GQ_OK || gq_code_state(c->code) != GQ_VERSION_CANARY)
            return status;
        verdict = status; /* the worker is gone, or holds on to what it has: it is asked for that */
    }
    memcpy(sentence, gq_error_text(), strlen(gq_error_text()) + 1);
    gq_status status = roll_back(c);
    c->result->step = GQ_STEP_CANARY;
    if (status != GQ_OK)
        return status;
    gq_change_prune(c->p, c->stage);
    return gq_error_set(verdict, "%s", sentence);
}

gq_status gq_change_canary(struct gq_change *c, const gq_swap_opts *opts)
{
    struct watch w;
    gq_assert(c->share && !c->loaded && !gq_change_is_none(c));
    gq_status status = begin_watch(&w, c, opts);
    if (status == GQ_OK) {
        set_canary(c, true);
        take_stock(&w);
        w.deaths = gq_remote_deaths(c->p->remote);
        status = launch(c, w.deaths);
    }
    if (status == GQ_OK) {
        w.deadline_ns = gq_clock_deadline(w.limits.canary_ms);
        c->loaded = true;
        status = watch(&w);
        set_canary(c, false);
        status = end(c, status);
        if (w.after && gq_code_state(c->code) != GQ_VERSION_LIVE)
            gq_versions_note_unfit(c->p->versions, c->stage, c->code, w.after);
    } else {
        set_canary(c, false);
        gq_change_give_up(c, GQ_VERSION_FAILED);
    }
    end_watch(&w);
    return status;
}
