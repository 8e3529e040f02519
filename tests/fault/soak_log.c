/* What happened in a soak, by the time, for who is to find out why an answer was wrong: the newest changes, faults and
 * sentences of the pipeline, and the wrong answers themselves. One alone says little: which lanes, for how long, and of
 * which generation others were at that time tells whose they were. */
#include "soak.h"
#include "base/clock.h"
#include <stdarg.h>

#define EVENTS 96u
#define WRONG_SHOWN 24u
#define WRONG_NS 300000000u /* how long wrong answers are counted, from the first one on */

static struct {
    pthread_mutex_t lock;
    uint32_t events;
    struct {
        uint64_t ns;
        char text[200];
    } event[EVENTS];
    uint64_t first_ns; /* atomic: of wrong answers; 0: there was none */
    uint64_t wrong;
    struct soak_answer answer[WRONG_SHOWN];
    int64_t ahead_ns; /* atomic: of the device's clock, so much is the host's ahead, at most; INT64_MAX: not known */
} told = {.lock = PTHREAD_MUTEX_INITIALIZER, .ahead_ns = INT64_MAX};

void soak_tell(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    pthread_mutex_lock(&told.lock);
    told.event[told.events % EVENTS].ns = gq_clock_ns();
    vsnprintf(told.event[told.events % EVENTS].text, sizeof told.event[0].text, format, args);
    told.events++;
    pthread_mutex_unlock(&told.lock);
    va_end(args);
}

static double ms_from(uint64_t zero_ns, uint64_t ns) { return ((double)ns - (double)zero_ns) * 1e-6; }

/* Of the device's clock. */
static double ms_of_device(uint64_t ns) { return ms_from(told.first_ns, ns + (uint64_t)told.ahead_ns); }

/* That answered with the generation, as far as is known. */
static uint32_t launch_of(const struct soak *s, uint32_t generation)
{
    return generation < 2 * SOAK_CHANGES ? __atomic_load_n(&s->launch[generation], __ATOMIC_RELAXED) : 0;
}

static void print_answer(const struct soak *s, const struct soak_answer *a)
{
    const struct soak_flight *f = &a->flight;
    fprintf(stderr,
            "%10.3f  lane %u, message %" PRIu64
            ": code %u with the data of code %u, generation %u, on SM %u, by launch "
            "%u, made at %.3f\n",
            ms_from(told.first_ns, a->ns), a->lane, a->number, a->tag, a->marks.tag, a->generation, a->marks.sm,
            a->marks.launch, ms_of_device(a->marks.ns));
    fprintf(stderr,
            "            it was sent after change %u, when code %u was live, and due from generation %u; launch %u is "
            "known by generation %u, launch %u by %u\n",
            f->change, s->change[f->change].live, f->generation, launch_of(s, f->generation), f->generation,
            launch_of(s, a->generation), a->generation);
}

static void print_wrong(const struct soak *s)
{
    fprintf(stderr, "wrong answers, the first of %" PRIu64 ":\n", told.wrong);
    for (uint32_t i = 0; i < told.wrong && i < WRONG_SHOWN; i++)
        print_answer(s, &told.answer[i]);
    for (uint32_t i = 0; i < s->lanes; i++)
        fprintf(stderr, "lane %u: %" PRIu64 " right answers since then; before it the last one was made at %.3f\n", i,
                __atomic_load_n(&s->lane[i].right, __ATOMIC_RELAXED), ms_of_device(s->lane[i].right_ns));
}

/* With the lock. */
static void print_all(const struct soak *s)
{
    const uint32_t from = told.events > EVENTS ? told.events - EVENTS : 0;
    const uint64_t zero_ns = told.first_ns ? told.first_ns : gq_clock_ns();
    fprintf(stderr, "what happened, in ms from %s on:\n", told.first_ns ? "the first wrong answer" : "now");
    for (uint32_t i = from; i < told.events; i++)
        fprintf(stderr, "%10.1f  %s\n", ms_from(zero_ns, told.event[i % EVENTS].ns), told.event[i % EVENTS].text);
    if (told.wrong)
        print_wrong(s);
}

void soak_answer_wrong(const struct soak_answer *a)
{
    pthread_mutex_lock(&told.lock);
    if (!told.first_ns)
        __atomic_store_n(&told.first_ns, a->ns, __ATOMIC_RELEASE);
    if (told.wrong < WRONG_SHOWN)
        told.answer[told.wrong] = *a;
    told.wrong++;
    pthread_mutex_unlock(&told.lock);
}

void soak_answer_right(struct soak_lane *l, const struct soak_answer *a)
{
    const int64_t ahead_ns = (int64_t)(a->ns - a->marks.ns);
    if (__atomic_load_n(&told.first_ns, __ATOMIC_ACQUIRE)) {
        __atomic_fetch_add(&l->right, 1, __ATOMIC_RELAXED);
        return;
    }
    l->right_ns = a->marks.ns;
    __atomic_store_n(&l->s->launch[a->generation], a->marks.launch, __ATOMIC_RELAXED);
    if (ahead_ns < __atomic_load_n(&told.ahead_ns, __ATOMIC_RELAXED))
        __atomic_store_n(&told.ahead_ns, ahead_ns, __ATOMIC_RELAXED);
}

void soak_require_right(const struct soak *s, bool last)
{
    static pthread_mutex_t first = PTHREAD_MUTEX_INITIALIZER;
    const uint64_t first_ns = __atomic_load_n(&told.first_ns, __ATOMIC_ACQUIRE);
    const bool wrong = first_ns && (last || gq_clock_ns() - first_ns > WRONG_NS);
    const bool back = __atomic_load_n(&s->told_rolled_back, __ATOMIC_RELAXED) > 0;
    if (!wrong && !back)
        return;
    pthread_mutex_lock(&first); /* for good: who comes to exit() as the second ends the process at once */
    REQUIRE(!wrong, "messages were answered by code that was not live");
    REQUIRE(!back, "code was rolled back, and none ends every worker");
}

void soak_log_print(const struct soak *s)
{
    pthread_mutex_lock(&told.lock);
    print_all(s);
    pthread_mutex_unlock(&told.lock);
}

static void print_failure(int status, void *soak)
{
    if (status == 1)
        soak_log_print(soak);
}

void soak_log_failure(struct soak *s) { on_exit(print_failure, s); }
