/* The storm: a million messages, some of which end their worker in every way there is, while code is swapped, workers,
 * spare and builder are killed and stopped, and the system gives no more descriptors or room. None is lost, doubled,
 * out of order in its lane or torn; each is answered by code that was live; and of the messages only those that are to
 * blame are given up.
 *
 *   storm [MESSAGES [FAULTS [SEED]]]     at least so many of both; prints its seed, and a table of what was done
 *
 * The process that uses the library is killed in tests/scenario/storm.py.
 */
#include "storm.h"
#include "stress/place.h"
#include <signal.h>

#define ROUND_S 220u
#define RETRIES 2

static void note(void *context, const char *sentence)
{
    struct storm *s = context;
    if (strstr(sentence, "another worker takes over"))
        __atomic_fetch_add(&s->told_dead, 1, __ATOMIC_RELAXED);
    if (strstr(sentence, "is given up"))
        __atomic_fetch_add(&s->told_given_up, 1, __ATOMIC_RELAXED);
    if (strstr(sentence, "is rolled back"))
        __atomic_fetch_add(&s->told_rolled_back, 1, __ATOMIC_RELEASE);
}

static void open_pipeline(struct storm *s)
{
    char text[1024], path[256];
    snprintf(text, sizeof text,
             "version: 1\nbackend: cpu\nqueue: { capacity: %u, slot_bytes: %u }\ncpu: { threads: 3 }\n"
             "stages: [{ name: s, plugin: '%s', timeout: %ums }]\non_error: { retries: %d }\n"
             "swap: { keep_versions: 3 }\n",
             STORM_CAPACITY, POISON_SLOT_BYTES, storm_plugin(s, "tag0", path), STORM_TIMEOUT_MS, RETRIES);
    const gq_open_opts opts = {
        .size = sizeof opts, .path = "storm", .text = text, .cache_folder = s->folder, .note = note, .note_context = s};
    REQUIRE(gq_open(&opts, &s->p) == GQ_OK && gq_prepare(s->p) == GQ_OK && gq_start(s->p) == GQ_OK, "%s",
            gq_last_error());
    s->q = gq_queue(s->p);
}

static uint64_t count_faults(const struct storm *s)
{
    uint64_t sum = storm_poisons(s);
    for (uint32_t i = 0; i < STORM_STRIKES; i++)
        sum += storm_load(&s->struck[i]);
    return sum;
}

/* So many messages and faults, and each kind of both strikes and changes that go live. */
static bool is_enough(const struct storm *s)
{
    static const enum storm_kind wanted[] = {STORM_SWAP, STORM_CANARY, STORM_USE, STORM_ROLLBACK, STORM_BAD_CODE};
    bool enough = storm_load(&s->checked) >= s->messages && count_faults(s) >= s->faults;
    for (uint32_t i = 0; i < STORM_STRIKES; i++)
        enough = enough && storm_load(&s->struck[i]) > 0;
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        enough = enough && storm_load(&s->live[wanted[i]]) > 0;
    return enough;
}

static void blow(struct storm *s)
{
    pthread_t taker[STORM_TAKERS], changer, striker;
    storm_start_takers(s, taker);
    storm_start_lanes(s);
    storm_build_all(s);
    REQUIRE(pthread_create(&changer, NULL, storm_change_code, s) == 0, "no thread");
    REQUIRE(pthread_create(&striker, NULL, storm_strike, s) == 0, "no thread");
    while (!is_enough(s))
        usleep(10000);
    __atomic_store_n(&s->over, true, __ATOMIC_RELEASE);
    pthread_join(striker, NULL);
    pthread_join(changer, NULL);
    __atomic_store_n(&s->enough, true, __ATOMIC_RELEASE);
    storm_join_lanes(s);
    for (uint32_t i = 0; i < STORM_TAKERS; i++)
        pthread_join(taker[i], NULL);
}

/* --- the end --------------------------------------------------------------------------------------------------------
 */

static void check_counts(const struct storm *s, const gq_stats *stats)
{
    uint64_t sent = 0, given_up = 0, guilty = 0;
    for (uint32_t i = 0; i < STORM_LANES; i++) {
        const struct storm_lane *l = &s->lane[i];
        REQUIRE(l->checked == l->sent, "lane %u: %" PRIu64 " of %" PRIu64, i, l->checked, l->sent);
        sent += l->sent;
        given_up += l->given_up;
        for (uint32_t kind = 0; kind < POISON_KINDS; kind++)
            guilty += poison_is_guilty((enum poison)kind) ? l->count[kind] : 0;
    }
    REQUIRE(given_up == guilty, "%" PRIu64 " of %" PRIu64 " guilty ones are given up", given_up, guilty);
    REQUIRE(stats->messages_in == sent && stats->failed == given_up && stats->in_flight == 0,
            "%" PRIu64 " in, %" PRIu64 " failed, %" PRIu64 " in flight", stats->messages_in, stats->failed,
            stats->in_flight);
    REQUIRE(s->told_given_up == given_up && s->told_dead >= stats->restarts,
            "notes of %u given up, and of %u deaths; %" PRIu64 " workers took over", s->told_given_up, s->told_dead,
            stats->restarts);
}

static void print_table(const struct storm *s, const gq_stats *stats)
{
    uint64_t poisons[POISON_KINDS] = {0};
    for (uint32_t i = 0; i < STORM_LANES; i++)
        for (uint32_t kind = 0; kind < POISON_KINDS; kind++)
            poisons[kind] += s->lane[i].count[kind];
    printf("%-32s %10" PRIu64 "\n", "messages", stats->messages_in);
    for (uint32_t kind = POISON_NONE + 1; kind < POISON_KINDS; kind++)
        printf("  that did: %-20s %10" PRIu64 "\n", poison_name[kind], poisons[kind]);
    printf("%-32s %10" PRIu64 "\n", "given up", stats->failed);
    for (uint32_t i = 0; i < STORM_STRIKES; i++)
        printf("struck: %-24s %10" PRIu64 "\n", storm_strike_name[i], s->struck[i]);
    for (uint32_t i = 0; i < STORM_KINDS; i++)
        printf("%-32s %10" PRIu64 " live, %" PRIu64 " refused\n", storm_kind_name[i], s->live[i], s->refused[i]);
    printf("%-32s %10" PRIu64 "\n%-32s %10" PRIu64 "\n", "faults", count_faults(s), "epochs", stats->restarts + 1);
    printf("%-32s %10.0f ms\n%-32s %10.1f s\n", "the longest pause", (double)s->pause_ns * 1e-6, "seconds",
           stats->seconds);
}

int main(int argc, char **argv)
{
    static struct storm s = {.take_lock = PTHREAD_MUTEX_INITIALIZER};
    s.messages = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
    s.faults = argc > 2 ? strtoull(argv[2], NULL, 10) : 300;
    s.seed = argc > 3 ? strtoull(argv[3], NULL, 10) : gq_clock_ns();
    printf("seed %" PRIu64 "\n", s.seed);
    fflush(stdout);
    snprintf(s.folder, sizeof s.folder, "/tmp/gpuq-faults-XXXXXX");
    REQUIRE(mkdtemp(s.folder), "mkdtemp");
    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error, as where a disk is full */
    storm_write_plugins(&s);
    const int files = fault_count_open_files();
    alarm(ROUND_S);
    open_pipeline(&s);
    blow(&s);
    gq_stats stats = {.size = sizeof stats};
    REQUIRE(gq_stop(s.p, 20000) == GQ_OK && gq_get_stats(s.p, &stats) == GQ_OK, "%s", gq_last_error());
    print_table(&s, &stats);
    check_counts(&s, &stats);
    gq_close(s.p);
    REQUIRE(place_remove(s.folder) && fault_find_child() == 0, "a process is left");
    REQUIRE(fault_count_open_files() == files, "%d files are open, and %d were", fault_count_open_files(), files);
    return 0;
}
