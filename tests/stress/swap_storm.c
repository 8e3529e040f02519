/* A storm of swaps: the code of a pipeline changes again and again, in every way there is, while messages flow on
 * several lanes. Every result is checked against the generation that it carries and that must have made it; nothing may
 * be lost, doubled, reordered or torn, no count of a stage's memory may be missing, a change that is refused may change
 * nothing, and neither memory nor files, mappings or processes may grow.
 *
 *   swap_storm [--swaps N] [--seconds S] [--rate N] [--producers N] [--stages N] [--rehearse N] [--seed N]
 *
 * --swaps      ends after so many (1,000); --seconds ends after so long, if that comes first (0: no bound)
 * --rate       swaps a second at most (0: one after the other)
 * --producers  lanes, each with a thread of its own (2)
 * --stages     1 to 3 (1)
 * --rehearse   one of so many swaps is rehearsed (20)
 * --seed       of everything that is random; printed
 *
 * $GPUQ_BACKEND names the backend, cpu without it.
 */
#include <getopt.h>
#include <inttypes.h>
#include "base/clock.h"
#include "footprint.h"
#include "options.h"
#include "payload.h"
#include "require.h"
#include "storm.h"

#define VERSIONS_MAX (1u << 17)
#define LIST_MAX (STORM_STAGES_MAX * 64)
#define KEPT_VERSIONS 3u

struct options {
    uint64_t swaps, seconds, rate, producers, stages, rehearse, seed;
};

/* What this test believes of a stage. */
struct stage {
    char name[8];
    uint32_t live, before;     /* versions */
    uint8_t tag[VERSIONS_MAX]; /* by version, with one added; 0: it never was live */
};

struct weather {
    struct options o;
    gq_pipeline *p;
    struct storm *s;
    struct storm_lane *lanes;
    const struct gq_cu_api *cu;
    char folder[256];
    uint64_t dice, start_ns;
    struct stage stage[STORM_STAGES_MAX];
    gq_version_info list[LIST_MAX]; /* as look() found it */
    size_t listed;
    uint64_t swaps, uses, rollbacks, discards, rehearsed, refused[STORM_FLAWS];
    struct gq_histogram park, load, launch, again;
};

static gq_swap_result result;

static uint32_t roll(struct weather *w, uint32_t sides) { return (uint32_t)(payload_dice(&w->dice) >> 33) % sides; }

/* --- what is known before a change, and after ------------------------------------------------------------------------
 */

/* Results may carry the next generation from here on. */
static void announce(struct weather *w, uint32_t stage, uint32_t tag)
{
    const uint32_t next = w->s->done + 1;
    REQUIRE(next < STORM_GENERATIONS, "that were %u generations", next);
    w->s->generation[next] = w->s->generation[next - 1];
    w->s->generation[next].stage = (uint8_t)stage;
    w->s->generation[next].tag[stage] = (uint8_t)tag;
    __atomic_store_n(&w->s->begun, next, __ATOMIC_RELEASE);
}

static void went_live(struct weather *w, uint32_t stage, uint32_t tag)
{
    struct stage *s = &w->stage[stage];
    REQUIRE(result.step == GQ_STEP_DONE && result.generation == w->s->done + 1 && result.live == result.version,
            "step %s, generation %u after %u, version %u, live %u", gq_swap_step_name(result.step), result.generation,
            w->s->done, result.version, result.live);
    REQUIRE(result.version < VERSIONS_MAX, "version %u", result.version);
    REQUIRE(!s->tag[result.version] || s->tag[result.version] == tag + 1, "version %u changed", result.version);
    s->tag[result.version] = (uint8_t)(tag + 1);
    s->before = s->live;
    s->live = result.version;
    __atomic_store_n(&w->s->done, result.generation, __ATOMIC_RELEASE);
}

/* One version of each stage is live, the one that this test believes to be. */
static void look(struct weather *w)
{
    uint32_t live = 0;
    REQUIRE(gq_versions(w->p, w->list, LIST_MAX, &w->listed) == GQ_OK, "versions");
    for (size_t i = 0; i < w->listed; i++) {
        const gq_version_info *v = &w->list[i];
        const uint32_t expected = w->stage[v->stage[1] - '0'].live;
        live += v->state == GQ_VERSION_LIVE;
        REQUIRE((v->state == GQ_VERSION_LIVE) == (v->version == expected), "stage %s: version %u is %s, %u is live",
                v->stage, v->version, gq_version_state_name(v->state), expected);
    }
    REQUIRE(live == w->o.stages, "%u versions are live", live);
}

static bool is_kept(const struct weather *w, uint32_t stage, const gq_version_info *v)
{
    return (uint32_t)(v->stage[1] - '0') == stage && (v->state == GQ_VERSION_WARM || v->state == GQ_VERSION_DRAINING) &&
           w->stage[stage].tag[v->version] != 0;
}

/* A version that was live once and is loaded still; 0: none. */
static uint32_t any_kept(struct weather *w, uint32_t stage)
{
    uint32_t kept[LIST_MAX], count = 0;
    look(w);
    for (size_t i = 0; i < w->listed; i++)
        if (is_kept(w, stage, &w->list[i]))
            kept[count++] = w->list[i].version;
    return count ? kept[roll(w, count)] : 0;
}

static bool has_version(struct weather *w, uint32_t stage, uint32_t version)
{
    look(w);
    for (size_t i = 0; i < w->listed; i++)
        if (is_kept(w, stage, &w->list[i]) && w->list[i].version == version)
            return true;
    return false;
}

/* A version that may have messages in flight is refused, one that has none is not. */
static void discard(struct weather *w, uint32_t stage)
{
    const uint32_t version = any_kept(w, stage);
    if (!version)
        return;
    const gq_status status = gq_discard(w->p, w->stage[stage].name, version);
    REQUIRE(status == GQ_OK || status == GQ_ERR_INVALID_ARG, "discard of version %u gave %d", version, (int)status);
    REQUIRE(has_version(w, stage, version) == (status != GQ_OK), "version %u after its discard", version);
    w->discards += status == GQ_OK;
    REQUIRE(gq_discard(w->p, w->stage[stage].name, w->stage[stage].live) == GQ_ERR_INVALID_ARG, "of the live one");
}

static uint32_t mark_loaded(struct weather *w, uint32_t stage, bool loaded[STORM_TAGS])
{
    uint32_t count = 1;
    look(w);
    memset(loaded, 0, STORM_TAGS);
    loaded[w->stage[stage].tag[w->stage[stage].live] - 1] = true;
    for (size_t i = 0; i < w->listed; i++) {
        if (!is_kept(w, stage, &w->list[i]))
            continue;
        bool *at = &loaded[w->stage[stage].tag[w->list[i].version] - 1];
        count += !*at;
        *at = true;
    }
    return count;
}

/* Code that the worker does not have. It may have all, where swaps come faster than messages end: versions that drain
 * are not given up. */
static uint32_t any_cold_tag(struct weather *w, uint32_t stage)
{
    bool loaded[STORM_TAGS];
    uint32_t tag;
    while (mark_loaded(w, stage, loaded) == STORM_TAGS) {
        usleep(1000);
        discard(w, stage);
    }
    do
        tag = roll(w, STORM_TAGS);
    while (loaded[tag]);
    return tag;
}

/* --- changes ---------------------------------------------------------------------------------------------------------
 */

static gq_status ask_swap(struct weather *w, uint32_t stage, const char *plugin, bool rehearse)
{
    const gq_swap_opts opts = {.size = sizeof opts, .plugin = plugin, .rehearse = rehearse ? 1 : 2};
    result = (gq_swap_result){.size = sizeof result};
    return gq_swap(w->p, w->stage[stage].name, &opts, &result);
}

static void swap(struct weather *w, uint32_t stage, bool rehearse)
{
    const uint32_t tag = any_cold_tag(w, stage);
    announce(w, stage, tag);
    REQUIRE(ask_swap(w, stage, storm_plugin(w->folder, tag), rehearse) == GQ_OK, "swap to tag %u: %s\n%s", tag,
            gq_swap_step_name(result.step), result.log);
    REQUIRE(result.vectors == (rehearse ? 2 : 0), "%u vectors passed", result.vectors);
    went_live(w, stage, tag);
    w->swaps++;
    w->rehearsed += rehearse;
    gq_histogram_add(&w->load, result.load_ns, 1);
    gq_histogram_add(&w->park, result.park_ns, 1);
    gq_histogram_add(&w->launch, result.launch_ns, 1);
}

static void use(struct weather *w, uint32_t stage)
{
    const uint32_t version = any_kept(w, stage);
    if (!version)
        return;
    const uint32_t tag = w->stage[stage].tag[version] - 1u;
    announce(w, stage, tag);
    result = (gq_swap_result){.size = sizeof result};
    REQUIRE(gq_use(w->p, w->stage[stage].name, version, &result) == GQ_OK, "use of version %u", version);
    went_live(w, stage, tag);
    w->uses++;
    gq_histogram_add(&w->again, result.park_ns + result.launch_ns, 1);
}

static void roll_back(struct weather *w, uint32_t stage)
{
    const uint32_t before = w->stage[stage].before;
    const bool there = has_version(w, stage, before);
    const uint32_t tag = there ? w->stage[stage].tag[before] - 1u : 0;
    if (there)
        announce(w, stage, tag);
    result = (gq_swap_result){.size = sizeof result};
    const gq_status status = gq_rollback(w->p, w->stage[stage].name, &result);
    REQUIRE(status == (there ? GQ_OK : GQ_ERR_NOT_FOUND), "rollback to version %u gave %d", before, (int)status);
    if (there)
        went_live(w, stage, tag);
    w->rollbacks += there;
}

static void refuse(struct weather *w, uint32_t stage, enum storm_flaw flaw)
{
    const gq_status status = ask_swap(w, stage, storm_flawed(w->folder, flaw), true);
    REQUIRE(status == GQ_ERR_PLUGIN && result.step == storm_flaw_step[flaw],
            "a plugin that is flawed (%s): status %d, %s", storm_flaw_name[flaw], (int)status,
            gq_swap_step_name(result.step));
    REQUIRE(gq_last_error()[0] && result.generation == 0 && result.live == w->stage[stage].live,
            "a refused swap made generation %u, version %u is live", result.generation, result.live);
    look(w);
    w->refused[flaw]++;
}

/* Those that cost a spare are rarer. */
static void refuse_any(struct weather *w, uint32_t stage)
{
    const uint32_t die = roll(w, 32);
    refuse(w, stage, die == 0 ? STORM_ENDLESS : die < 4 ? STORM_CRASH : (enum storm_flaw)(die % STORM_CRASH));
}

static void change_something(struct weather *w)
{
    const uint32_t die = roll(w, 64), stage = roll(w, (uint32_t)w->o.stages);
    if (die < 5)
        use(w, stage);
    else if (die < 10)
        roll_back(w, stage);
    else if (die < 13)
        discard(w, stage);
    else if (die < 15)
        refuse_any(w, stage);
    else
        swap(w, stage, roll(w, (uint32_t)w->o.rehearse) == 0);
}

/* --- what it takes ---------------------------------------------------------------------------------------------------
 */

/* With as many versions as each stage keeps, which a discard may have taken; and with a spare that is there, which it
 * is not after a crash in a rehearsal, until the next. */
static struct footprint take_footprint(struct weather *w)
{
    for (uint32_t i = 0; i < KEPT_VERSIONS * w->o.stages; i++)
        swap(w, i % (uint32_t)w->o.stages, false);
    swap(w, 0, true);
    return footprint_now(w->cu);
}

/* --- the run ---------------------------------------------------------------------------------------------------------
 */

static uint64_t messages(const struct weather *w)
{
    uint64_t sum = 0;
    for (uint64_t i = 0; i < w->o.producers; i++)
        sum += __atomic_load_n(&w->lanes[i].checked, __ATOMIC_RELAXED);
    return sum;
}

static void print_progress(const struct weather *w)
{
    const double seconds = (double)(gq_clock_ns() - w->start_ns) * 1e-9;
    printf("%6.1f s  %6" PRIu64 " swaps  generation %6u  %12" PRIu64 " messages  %7.3f M/s\n", seconds, w->swaps,
           w->s->done, messages(w), (double)messages(w) / seconds * 1e-6);
    fflush(stdout);
}

static bool time_is_up(const struct weather *w)
{
    return w->o.seconds && gq_clock_ns() - w->start_ns > w->o.seconds * 1000000000u;
}

static void pace(const struct weather *w)
{
    while (w->o.rate && gq_clock_ns() - w->start_ns < w->swaps * 1000000000u / w->o.rate)
        usleep(200);
}

/* Until `swaps` have been made, or the time is up. */
static void blow(struct weather *w, uint64_t swaps)
{
    const uint64_t step = w->o.swaps / 10 ? w->o.swaps / 10 : 1;
    uint64_t told = w->swaps / step;
    while (w->swaps < swaps && !time_is_up(w)) {
        pace(w);
        change_something(w);
        if (isatty(STDOUT_FILENO) && w->swaps / step != told)
            print_progress(w);
        told = w->swaps / step;
    }
}

static bool storm(struct weather *w)
{
    for (enum storm_flaw flaw = 0; flaw < STORM_FLAWS; flaw++) /* each at least once, whatever the dice say */
        refuse(w, roll(w, (uint32_t)w->o.stages), flaw);
    blow(w, w->o.swaps / 4);
    const struct footprint base = take_footprint(w);
    blow(w, w->o.swaps > 0 ? w->o.swaps - 1 : 0);
    const struct footprint end = take_footprint(w);
    footprint_print("after 1/4", &base);
    footprint_print("at the end", &end);
    return !footprint_grew(&base, &end, stderr);
}

static void note(void *context, const char *sentence)
{
    (void)context;
    fprintf(stderr, "%s\n", sentence);
}

/* No message reaches its stage's timeout for what else the machine does: with a worker goes the stages' memory. */
static void open_pipeline(struct weather *w)
{
    char text[2048];
    const char *backend = getenv("GPUQ_BACKEND");
    int len = snprintf(
        text, sizeof text,
        "version: 1\nqueue: { capacity: %u, slot_bytes: %u }\nswap: { rehearse: off, budget: 3s, keep_versions: %u }\n"
        "stages:\n",
        STORM_CAPACITY, STORM_SLOT_BYTES, KEPT_VERSIONS);
    for (uint32_t i = 0; i < w->o.stages; i++) {
        struct stage *s = &w->stage[i];
        snprintf(s->name, sizeof s->name, "s%u", i);
        s->live = s->tag[1] = 1;
        len += snprintf(text + len, sizeof text - (size_t)len, "- { name: s%u, timeout: 60s, plugin: '%s' }\n", i,
                        storm_plugin(w->folder, 0));
    }
    const gq_open_opts opts = {
        .size = sizeof opts, .path = "storm", .text = text, .backend = backend ? backend : "cpu", .note = note};
    if (gq_open(&opts, &w->p) != GQ_OK || gq_prepare(w->p) != GQ_OK || gq_start(w->p) != GQ_OK) {
        fprintf(stderr, "%s\n", gq_last_error());
        exit(1);
    }
    printf("backend %s: %s\n", gq_backend(w->p), gq_backend_reason(w->p));
}

static void print_times(const char *what, const struct gq_histogram *h)
{
    printf("%-32s p50 %9.1f us  p99 %9.1f us  max %9.1f us  n %" PRIu64 "\n", what,
           (double)gq_histogram_quantile(h, 0.5) * 1e-3, (double)gq_histogram_quantile(h, 0.99) * 1e-3,
           (double)h->max * 1e-3, h->total);
}

static void print_summary(const struct weather *w)
{
    struct gq_histogram gap = {0};
    uint64_t refused = 0;
    for (uint64_t i = 0; i < w->o.producers; i++)
        gq_histogram_merge(&gap, &w->lanes[i].gap);
    for (uint32_t i = 0; i < STORM_FLAWS; i++)
        refused += w->refused[i];
    print_times("gap in service, each lane", &gap);
    print_times("swap: park", &w->park);
    print_times("swap: load", &w->load);
    print_times("swap: launch", &w->launch);
    print_times("use: park and launch", &w->again);
    printf("%" PRIu64 " swaps (%" PRIu64 " rehearsed), %" PRIu64 " uses, %" PRIu64 " rollbacks, %" PRIu64
           " discards, %" PRIu64 " refused (",
           w->swaps, w->rehearsed, w->uses, w->rollbacks, w->discards, refused);
    for (uint32_t i = 0; i < STORM_FLAWS; i++)
        printf("%s%" PRIu64 " %s", i ? ", " : "", w->refused[i], storm_flaw_name[i]);
    printf(")\n%" PRIu64
           " messages: 0 lost, 0 doubled, 0 out of order, every byte and every generation as they must be\n",
           messages(w));
}

static void check_end(struct weather *w)
{
    QueueStats stats = {0};
    uint64_t sent = 0;
    for (uint64_t i = 0; i < w->o.producers; i++)
        sent += w->lanes[i].sent;
    REQUIRE(q_stats(w->s->q, &stats) == Q_OK, "stats");
    REQUIRE(stats.enq_count == sent && stats.deq_count == sent && stats.queue_depth == 0 && messages(w) == sent,
            "%" PRIu64 " sent, %" PRIu64 " in, %" PRIu64 " out", sent, stats.enq_count, stats.deq_count);
    storm_check_counts(w->s, w->lanes);
    for (uint64_t i = 0; i < w->o.producers; i++)
        REQUIRE(w->lanes[i].switches > 0, "lane %" PRIu64 " met no change", i);
}

static struct options read_options(int argc, char **argv)
{
    static const struct option names[] = {
        {"swaps", required_argument, NULL, 'n'},  {"seconds", required_argument, NULL, 't'},
        {"rate", required_argument, NULL, 'r'},   {"producers", required_argument, NULL, 'p'},
        {"stages", required_argument, NULL, 's'}, {"rehearse", required_argument, NULL, 'e'},
        {"seed", required_argument, NULL, 'd'},   {NULL, 0, NULL, 0}};
    struct options o = {.swaps = 1000, .producers = 2, .stages = 1, .rehearse = 20, .seed = gq_clock_ns()};
    for (int c; (c = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        switch (c) {
        case 'n':
            o.swaps = options_number(optarg, 8, STORM_GENERATIONS / 2);
            break;
        case 't':
            o.seconds = options_number(optarg, 0, 1000000);
            break;
        case 'r':
            o.rate = options_number(optarg, 0, 1000000);
            break;
        case 'p':
            o.producers = options_number(optarg, 1, STORM_PRODUCERS_MAX);
            break;
        case 's':
            o.stages = options_number(optarg, 1, STORM_STAGES_MAX);
            break;
        case 'e':
            o.rehearse = options_number(optarg, 1, 1000000);
            break;
        case 'd':
            o.seed = options_number(optarg, 0, UINT64_MAX);
            break;
        default:
            exit(64);
        }
    }
    return o;
}

static void start(struct weather *w, bool on_cpu)
{
    struct storm *s = w->s;
    s->q = gq_queue(w->p);
    s->seed = payload_mix(w->o.seed);
    s->stages = (uint32_t)w->o.stages;
    s->producers = (uint32_t)w->o.producers;
    s->whole = on_cpu;
    s->begun = s->done = 1;
    w->start_ns = gq_clock_ns();
    for (uint32_t i = 0; i < s->producers; i++)
        storm_start(&w->lanes[i], s, i);
}

static void finish(struct weather *w)
{
    __atomic_store_n(&w->s->end, true, __ATOMIC_RELAXED);
    for (uint32_t i = 0; i < w->s->producers; i++)
        storm_join(&w->lanes[i]);
    print_progress(w);
    check_end(w);
    print_summary(w);
    REQUIRE(gq_stop(w->p, 0) == GQ_OK, "stop: %s", gq_last_error());
    gq_close(w->p);
    storm_remove_plugins(w->folder);
}

int main(int argc, char **argv)
{
    static struct storm s;
    static struct storm_lane lanes[STORM_PRODUCERS_MAX];
    static struct weather w = {.s = &s, .lanes = lanes};
    w.o = read_options(argc, argv);
    w.dice = payload_mix(w.o.seed) | 1;
    printf("seed %" PRIu64 "\n", w.o.seed);
    fflush(stdout);
    const struct footprint_left before = footprint_left_now();
    storm_write_plugins(w.folder, sizeof w.folder);
    open_pipeline(&w);
    const bool on_cpu = strcmp(gq_backend(w.p), "cpu") == 0;
    REQUIRE(on_cpu || memory_open_device(&w.cu), "the device's memory: %s", gq_error_text());
    start(&w, on_cpu);
    const bool good = storm(&w);
    finish(&w);
    const struct footprint_left after = footprint_left_now(); /* a driver in this process has files of its own */
    REQUIRE(after.children == 0 && (!on_cpu || after.files == before.files),
            "%u files were open, and %u, with %u processes, are left", before.files, after.files, after.children);
    return good ? 0 : 1;
}
