/* A soak with faults: lanes at full rate, swaps, and every now and then a message that ends its worker, one that never
 * ends, or a worker that is killed. No message is lost, doubled, reordered or torn, each is answered by code that was
 * live, only the guilty ones are given up, and memory, files and processes are what they were after the first recovery.
 * How long each fault held the application up is printed in the end.
 *
 *   soak [--seconds S] [--recoveries N] [--producers N] [--swap-ms N] [--fault-ms N] [--kinds trap,kill,hang,address]
 *        [--spare on|off] [--timeout-ms N] [--retries N] [--slow-ms N] [--late-ms N] [--seed N]
 *
 * --seconds     how long, without the start and the end; --recoveries ends after so many, if that comes first (0: no
 *               bound; without both: 30 seconds)
 * --producers   lanes, each with a thread of its own (4)
 * --swap-ms     from one swap to the next (100; 0: none)
 * --fault-ms    from one fault to the next, if the one before is over (2,000)
 * --kinds       of faults, in turn
 * --spare       the key of the pipeline file (on)
 * --timeout-ms  of the stage (200); --retries of a message (1)
 * --slow-ms     a fault that holds a lane up for longer has printed what happened (0: none)
 * --late-ms     a GPU's worker that the host gives up is killed so much later, to see what the kill does (0: at once)
 * --seed        of everything that is random; printed
 *
 * $GPUQ_BACKEND names the backend, cpu without it. Each wait has a deadline, and each fault one of its own.
 */
#include "soak.h"
#include <getopt.h>
#include <math.h>
#include "pipeline/reserve.h"
#include "pipeline/suspects.h"
#include "stress/footprint.h"
#include "stress/options.h"
#include "stress/place.h"

#define FAULT_S 90u
#define FAULTS_MAX 65536u
#define STEADY_SAMPLES 5u
#define SKIP 77

struct options {
    uint64_t seconds, recoveries, producers, swap_ms, fault_ms, timeout_ms, retries, slow_ms, late_ms, seed;
    enum soak_kind kinds[SOAK_KINDS];
    uint32_t kind_count;
    const char *spare;
};

/* Milliseconds, one for each fault. `own`: from the guilty message to the result behind it; `others`: from the fault to
 * the end of the longest pause, in the last of the lanes that are not its own; `pause`: the longest pause of all. */
struct times {
    double *own, *others, *pause;
    uint32_t count;
};

static struct {
    struct options o;
    char folder[256];
    const struct gq_cu_api *cu;
    uint64_t start_ns, base_restarts;
    uint32_t faults, earlier_faults, last_lane;
    struct times times[SOAK_KINDS];
    bool calm; /* atomic: no more swaps */
} run = {.o = {.producers = 4, .swap_ms = 100, .fault_ms = 2000, .timeout_ms = 200, .retries = 1}};

static struct soak soak;

static const char *const kind_name[SOAK_KINDS] = {"trap", "kill", "hang", "address"};
static const enum poison poison_of[SOAK_KINDS] = {
    [SOAK_TRAP] = POISON_ABORT, [SOAK_HANG] = POISON_HANG, [SOAK_ADDRESS] = POISON_SEGV};

/* --- one fault ------------------------------------------------------------------------------------------------------
 */

/* Returns when it happened; 0: when the guilty message is sent, of which its lane tells. */
static uint64_t make_fault(enum soak_kind kind)
{
    __atomic_store_n(&soak.fault, run.faults, __ATOMIC_RELEASE);
    if (kind != SOAK_KILL) {
        run.last_lane = (run.last_lane + 1) % soak.lanes;
        __atomic_store_n(&soak.lane[run.last_lane].order, poison_of[kind], __ATOMIC_RELEASE);
        return 0;
    }
    const pid_t worker = fault_find("worker", 0);
    const uint64_t now = gq_clock_ns();
    REQUIRE(worker > 0 && kill(worker, SIGKILL) == 0, "there is no worker to kill");
    return now;
}

/* Another worker serves, and the guilty message has its result. */
static bool is_settled(uint64_t before, bool guilty)
{
    const struct soak_lane *l = &soak.lane[run.last_lane];
    const uint64_t sent = __atomic_load_n(&l->guilty, __ATOMIC_ACQUIRE);
    if (guilty && (__atomic_load_n(&l->order, __ATOMIC_ACQUIRE) != POISON_NONE ||
                   __atomic_load_n(&l->given_up, __ATOMIC_ACQUIRE) != sent))
        return false;
    return fault_restarts(soak.p) > before;
}

static double ms_between(uint64_t from, uint64_t to) { return to > from ? (double)(to - from) * 1e-6 : 0; }

/* What the lanes saw of it. A hang costs its stage's timeout in any case. */
static void keep_times(enum soak_kind kind, uint64_t at_ns)
{
    struct times *t = &run.times[kind];
    const struct soak_sight *own = &soak.lane[run.last_lane].told;
    const double allowed = kind == SOAK_HANG ? (double)run.o.timeout_ms : 0;
    const uint64_t from = at_ns ? at_ns : own->sent_ns;
    double others = 0, pause = 0;
    for (uint32_t i = 0; i < soak.lanes; i++) {
        const struct soak_sight *sight = &soak.lane[i].told;
        if (at_ns || sight != own || soak.lanes == 1)
            others = fmax(others, ms_between(from, sight->resumed_ns));
        pause = fmax(pause, ms_between(0, sight->pause_ns));
    }
    REQUIRE(at_ns || (own->sent_ns && own->behind_ns), "the lane has not seen its guilty message");
    t->own[t->count] = fmax(0, ms_between(from, own->behind_ns) - allowed);
    t->others[t->count] = fmax(0, others - allowed);
    t->pause[t->count++] = pause;
    if (run.o.slow_ms && pause > (double)run.o.slow_ms)
        soak_log_print(&soak);
}

static void strike(enum soak_kind kind)
{
    const uint64_t before = fault_restarts(soak.p), deadline = gq_clock_deadline(SOAK_PATIENCE_MS);
    REQUIRE(run.faults + 1 < FAULTS_MAX, "that were %u faults", run.faults);
    alarm(FAULT_S + (uint32_t)(run.o.fault_ms / 1000)); /* a call that hangs ends in SIGALRM */
    run.faults++;
    soak_tell("fault %u: %s", run.faults, kind_name[kind]);
    const uint64_t at_ns = make_fault(kind);
    while (!is_settled(before, at_ns == 0)) {
        REQUIRE(!gq_clock_past(deadline), "fault %u (%s): nobody took over", run.faults, kind_name[kind]);
        usleep(500);
    }
    __atomic_store_n(&soak.settled, run.faults, __ATOMIC_RELEASE);
    soak_tell("fault %u is settled", run.faults);
    for (uint32_t i = 0; i < soak.lanes; i++)
        while (__atomic_load_n(&soak.lane[i].over, __ATOMIC_ACQUIRE) != run.faults) {
            REQUIRE(!gq_clock_past(deadline), "fault %u (%s): lane %u stands still", run.faults, kind_name[kind], i);
            usleep(500);
        }
    keep_times(kind, at_ns);
}

/* --- the run --------------------------------------------------------------------------------------------------------
 */

static void *swap_on(void *unused)
{
    uint64_t next = gq_clock_ns();
    while (!__atomic_load_n(&run.calm, __ATOMIC_ACQUIRE)) {
        soak_change_something(&soak, run.folder);
        next += run.o.swap_ms * 1000000;
        for (uint64_t now; (now = gq_clock_ns()) < next && !__atomic_load_n(&run.calm, __ATOMIC_ACQUIRE);)
            usleep((useconds_t)(next - now > 20000000 ? 20000 : (next - now) / 1000 + 1));
        if (next < gq_clock_ns())
            next = gq_clock_ns(); /* what a fault held up is not made up for */
    }
    return unused;
}

static bool is_over(void)
{
    if (run.o.recoveries && run.faults - run.earlier_faults >= run.o.recoveries)
        return true;
    return run.o.seconds && gq_clock_ns() - run.start_ns >= run.o.seconds * 1000000000;
}

static void make_faults(void)
{
    pthread_t swapper;
    __atomic_store_n(&run.calm, false, __ATOMIC_RELEASE);
    if (run.o.swap_ms)
        REQUIRE(pthread_create(&swapper, NULL, swap_on, NULL) == 0, "no thread");
    for (uint64_t next = 0; !is_over();) {
        if (!gq_clock_past(next)) {
            usleep(1000);
            continue;
        }
        next = gq_clock_deadline((uint32_t)run.o.fault_ms);
        strike(run.o.kinds[run.faults % run.o.kind_count]);
    }
    __atomic_store_n(&run.calm, true, __ATOMIC_RELEASE);
    if (run.o.swap_ms)
        pthread_join(swapper, NULL);
}

/* With as many versions loaded as are kept, and when a worker in reserve has taken what it takes. */
static struct footprint take_footprint(void)
{
    const uint64_t deadline = gq_clock_deadline(20000);
    soak_swap_in_turn(&soak, run.folder, SOAK_KEPT + 1);
    struct footprint now = footprint_now(run.cu);
    for (uint32_t same = 0; same < STEADY_SAMPLES && !gq_clock_past(deadline); same++) {
        const struct footprint before = now;
        usleep(run.cu ? 500000 : 50000);
        now = footprint_now(run.cu);
        if (footprint_grew(&before, &now, NULL) || footprint_grew(&now, &before, NULL))
            same = 0;
    }
    return now;
}

/* The workers are others than those of `base`: nothing of theirs grew. */
static bool is_as_before(const struct footprint *base)
{
    const uint64_t deadline = gq_clock_deadline(20000);
    struct footprint end = take_footprint();
    for (;; usleep(100000), end = footprint_now(run.cu)) {
        const double workers = end.memory.worker;
        const bool late = gq_clock_past(deadline);
        end.memory.worker = base->memory.worker;
        const bool grew = footprint_grew(base, &end, late ? stderr : NULL);
        end.memory.worker = workers;
        if (late || !grew) {
            footprint_print("at the start", base);
            footprint_print("at the end", &end);
            return !grew;
        }
    }
}

static size_t reserved(void)
{
    pid_t found[GQ_RESERVE_MOST];
    return fault_list("reserve", found, GQ_RESERVE_MOST);
}

/* From the first fault on that met a message more workers wait in reserve: what is compared begins behind it. */
static bool soak_through(void)
{
    size_t reserve;
    struct footprint base;
    alarm(FAULT_S);
    soak_swap_in_turn(&soak, run.folder, SOAK_TAGS); /* a compiler takes far longer than all the rest of a swap */
    strike(run.o.kinds[0]);
    for (bool more = true; more; more = reserved() > reserve, run.earlier_faults = run.faults) {
        base = take_footprint();
        reserve = reserved();
        run.start_ns = gq_clock_ns();
        make_faults();
        alarm(FAULT_S);
    }
    const bool good = is_as_before(&base);
    soak_join_lanes(&soak);
    soak_require_right(&soak, true);
    return good;
}

static void remove_folder(void) { REQUIRE(place_remove(run.folder), "%s cannot be removed", run.folder); }

static void note(void *context, const char *sentence)
{
    (void)context;
    soak_tell("%s", sentence);
    if (strstr(sentence, "is rolled back"))
        __atomic_fetch_add(&soak.told_rolled_back, 1, __ATOMIC_RELAXED);
}

static bool open_pipeline(void)
{
    char text[2048], path[512];
    const char *backend = getenv("GPUQ_BACKEND");
    snprintf(text, sizeof text,
             "version: 1\nspare: %s\nqueue: { capacity: %u, slot_bytes: %u }\ncpu: { threads: 3 }\n"
             "stages: [{ name: s, plugin: '%s', timeout: %" PRIu64 "ms }]\non_error: { retries: %" PRIu64 " }\n"
             "swap: { rehearse: off, keep_versions: %u }\n",
             run.o.spare, SOAK_CAPACITY, POISON_SLOT_BYTES, soak_plugin(run.folder, 0, path), run.o.timeout_ms,
             run.o.retries, SOAK_KEPT);
    const gq_open_opts opts = {
        .size = sizeof opts, .path = "soak", .text = text, .backend = backend ? backend : "cpu", .note = note};
    if (gq_open(&opts, &soak.p) != GQ_OK || gq_prepare(soak.p) != GQ_OK || gq_start(soak.p) != GQ_OK) {
        fprintf(stderr, "%s\n", gq_last_error());
        remove_folder();
        exit(strstr(gq_last_error(), "NVRTC") ? SKIP : 1);
    }
    printf("backend %s: %s\n", gq_backend(soak.p), gq_backend_reason(soak.p));
    soak.q = gq_queue(soak.p);
    return strcmp(gq_backend(soak.p), "cpu") == 0;
}

/* --- the end --------------------------------------------------------------------------------------------------------
 */

static uint64_t check_counts(const gq_stats *stats)
{
    uint64_t sent = 0, guilty = 0;
    for (uint32_t i = 0; i < soak.lanes; i++) {
        const struct soak_lane *l = &soak.lane[i];
        REQUIRE(l->checked == l->sent && l->given_up == l->guilty,
                "lane %u: %" PRIu64 " of %" PRIu64 " came, %" PRIu64 " of %" PRIu64 " were given up", i, l->checked,
                l->sent, l->given_up, l->guilty);
        sent += l->sent;
        guilty += l->guilty;
    }
    REQUIRE(stats->messages_in == sent && stats->failed == guilty && stats->in_flight == 0,
            "%" PRIu64 " in, %" PRIu64 " sent, %" PRIu64 " failed, %" PRIu64 " guilty, %" PRIu64 " in flight",
            stats->messages_in, sent, stats->failed, guilty, stats->in_flight);
    uint64_t poisoned = 0;
    for (uint32_t i = 0; i < SOAK_KINDS; i++)
        poisoned += poison_of[i] == POISON_NONE ? 0 : run.times[i].count;
    REQUIRE(guilty == poisoned && soak.told_rolled_back == 0,
            "%" PRIu64 " were given up, and code was rolled back %u times", guilty, soak.told_rolled_back);
    return sent;
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_times(const char *kind, const char *what, double *ms, uint32_t count)
{
    if (count == 0)
        return;
    qsort(ms, count, sizeof *ms, compare);
    printf("%-7s %-42s %6u %9.1f %9.1f %9.1f\n", kind, what, count, ms[(count + 1) / 2 - 1],
           ms[(count * 99 + 99) / 100 - 1], ms[count - 1]);
}

/* Of the first one of the run, which found less in reserve than the others did: of a hundred it would be the p99. */
static void print_first(void)
{
    struct times *t = &run.times[run.o.kinds[0]];
    if (poison_of[run.o.kinds[0]] != POISON_NONE)
        printf("%-7s the result behind the first of the run%s, %.1f ms\n", kind_name[run.o.kinds[0]],
               run.o.kinds[0] == SOAK_HANG ? ", less its timeout" : "", t->own[0]);
    else
        printf("%-7s the last lane, the first of the run, %.1f ms\n", kind_name[run.o.kinds[0]], t->others[0]);
    t->own++;
    t->others++;
    t->pause++;
    t->count--;
}

static void print_table(void)
{
    struct times *t = run.times;
    char behind[64], others[64];
    print_first();
    snprintf(behind, sizeof behind, "the result behind it, less %" PRIu64 " ms", run.o.timeout_ms);
    snprintf(others, sizeof others, "the last other lane, less %" PRIu64 " ms", run.o.timeout_ms);
    printf("%-50s %6s %9s %9s %9s ms\n", "recovery", "n", "p50", "p99", "max");
    print_times("kill", "the last lane", t[SOAK_KILL].others, t[SOAK_KILL].count);
    for (uint32_t i = 0; i < SOAK_KINDS; i++)
        if (poison_of[i] != POISON_NONE && i != SOAK_HANG) {
            print_times(kind_name[i], "the result behind it", t[i].own, t[i].count);
            print_times(kind_name[i], "the last other lane", t[i].others, t[i].count);
        }
    print_times("hang", behind, t[SOAK_HANG].own, t[SOAK_HANG].count);
    print_times("hang", others, t[SOAK_HANG].others, t[SOAK_HANG].count);
    for (uint32_t i = 0; i < SOAK_KINDS; i++)
        print_times(kind_name[i], "the longest pause of any lane", t[i].pause, t[i].count);
    printf("spare %s; a message is given up when it has ended %u workers, or not ended in them\n", run.o.spare,
           gq_deaths_of((uint32_t)run.o.retries));
}

static void finish(void)
{
    gq_stats stats = {.size = sizeof stats};
    REQUIRE(gq_stop(soak.p, 20000) == GQ_OK && gq_get_stats(soak.p, &stats) == GQ_OK, "%s", gq_last_error());
    const uint64_t sent = check_counts(&stats);
    print_table();
    printf("%" PRIu64 " swaps, %" PRIu64 " uses, %" PRIu64 " rollbacks, %" PRIu64 " refused beside a fault\n",
           soak.swaps, soak.uses, soak.rollbacks, soak.refused);
    printf("%u faults, %" PRIu64 " workers took over, %" PRIu64 " messages given up\n", run.faults, stats.restarts,
           stats.failed);
    printf("%" PRIu64 " messages in %.0f s: 0 lost, 0 doubled, 0 out of order, every byte and every generation as they "
           "must be\n",
           sent, stats.seconds);
    gq_close(soak.p);
    remove_folder();
}

/* --- the command line -----------------------------------------------------------------------------------------------
 */

_Noreturn static void refuse(const char *option, const char *word, const char *expected)
{
    fprintf(stderr, "%s: %s: '%s' is not %s\n", program_invocation_short_name, option, word, expected);
    exit(64);
}

static void read_kinds(char *list)
{
    run.o.kind_count = 0;
    for (char *rest = list, *word; (word = strtok_r(rest, ",", &rest));) {
        uint32_t kind = 0;
        while (kind < SOAK_KINDS && strcmp(word, kind_name[kind]) != 0)
            kind++;
        if (kind == SOAK_KINDS || run.o.kind_count == SOAK_KINDS)
            refuse("--kinds", word, "one of trap, kill, hang and address, each once");
        run.o.kinds[run.o.kind_count++] = (enum soak_kind)kind;
    }
    if (run.o.kind_count == 0)
        refuse("--kinds", list, "a list of trap, kill, hang and address");
}

static void read_options(int argc, char **argv)
{
    static char every_kind[] = "trap,kill,hang,address";
    static const struct option names[] = {{"seconds", required_argument, NULL, 's'},
                                          {"recoveries", required_argument, NULL, 'n'},
                                          {"producers", required_argument, NULL, 'p'},
                                          {"swap-ms", required_argument, NULL, 'w'},
                                          {"fault-ms", required_argument, NULL, 'f'},
                                          {"timeout-ms", required_argument, NULL, 't'},
                                          {"retries", required_argument, NULL, 'r'},
                                          {"slow-ms", required_argument, NULL, 'l'},
                                          {"seed", required_argument, NULL, 'd'},
                                          {"kinds", required_argument, NULL, 'k'},
                                          {"spare", required_argument, NULL, 'a'},
                                          {"late-ms", required_argument, NULL, 'e'},
                                          {NULL, 0, NULL, 0}};
    static const struct {
        int letter;
        uint64_t *to, least, most;
    } numbers[] = {{'s', &run.o.seconds, 0, 1000000},
                   {'n', &run.o.recoveries, 0, FAULTS_MAX / 2},
                   {'p', &run.o.producers, 1, SOAK_LANES_MAX},
                   {'w', &run.o.swap_ms, 0, 1000000},
                   {'f', &run.o.fault_ms, 0, 1000000},
                   {'t', &run.o.timeout_ms, 10, 60000},
                   {'r', &run.o.retries, 0, 1000},
                   {'l', &run.o.slow_ms, 0, 1000000},
                   {'e', &run.o.late_ms, 0, 10000},
                   {'d', &run.o.seed, 0, UINT64_MAX}};
    run.o.seed = gq_clock_ns();
    run.o.spare = "on";
    read_kinds(every_kind);
    for (int c; (c = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
            if (numbers[i].letter == c)
                *numbers[i].to = options_number(optarg, numbers[i].least, numbers[i].most);
        if (c == 'k')
            read_kinds(optarg);
        if (c == 'a')
            run.o.spare = optarg;
        if (c == '?')
            exit(64);
    }
    soak_kill_late((uint32_t)run.o.late_ms);
    if (!run.o.seconds && !run.o.recoveries)
        run.o.seconds = 30;
    if (strcmp(run.o.spare, "on") != 0 && strcmp(run.o.spare, "off") != 0)
        refuse("--spare", run.o.spare, "on or off");
}

int main(int argc, char **argv)
{
    static double ms[SOAK_KINDS][3][FAULTS_MAX];
    read_options(argc, argv);
    printf("seed %" PRIu64 "\n", run.o.seed);
    fflush(stdout);
    for (uint32_t i = 0; i < SOAK_KINDS; i++)
        run.times[i] = (struct times){.own = ms[i][0], .others = ms[i][1], .pause = ms[i][2]};
    soak.seed = payload_mix(run.o.seed);
    soak.begun = soak.done = 0;
    soak.least = soak.most = 1;
    soak_log_failure(&soak);
    const struct footprint_left before = footprint_left_now();
    soak_write_plugins(run.folder, sizeof run.folder);
    const bool on_cpu = open_pipeline();
    REQUIRE(on_cpu || memory_open_device(&run.cu), "the device's memory: %s", gq_error_text());
    for (uint32_t i = 0; i < run.o.producers; i++)
        soak_start_lane(&soak, i);
    const bool good = soak_through();
    finish();
    const struct footprint_left after = footprint_left_now(); /* a driver in this process has files of its own */
    REQUIRE(after.children == 0 && (!on_cpu || after.files == before.files),
            "%u files were open, and %u, with %u processes, are left", before.files, after.files, after.children);
    return good ? 0 : 1;
}
