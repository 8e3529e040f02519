/* An application with a journal is killed at any moment, again and again, while threads enqueue and take results; each
 * time another one goes on. Every message that q_enqueue accepted yields its result, with its bytes, at least once, one
 * whose taking was recorded never comes again, and in the end the journal is empty.
 *
 *   journal_killed [ROUNDS [SEED]]     prints its seed
 */
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include "support.h"

#define LANES 256u
#define MOST 65536u /* messages of a lane */
#define PRODUCERS 3u
#define TAKERS 2u
#define ROUND_S 60u

enum { ACCEPTED = 1, SEEN = 2, RECORDED = 4 };

/* What the application knows; it outlives its processes. */
struct ledger {
    uint32_t opened; /* queues so far */
    uint64_t recovered;
    uint8_t flags[LANES][MOST];
    uint64_t bytes[LANES][MOST]; /* of messages that were accepted */
};

static struct ledger *app;
static char path[128];
static uint32_t finishing, finished; /* nothing more should be enqueued; nothing more is */

static uint64_t seq_of(uint64_t id) { return (id & 0x00ffffffffffffffull) - 1; }
static uint8_t *flags_of(uint64_t id)
{
    REQUIRE(seq_of(id) < MOST, "message %" PRIx64, id);
    return &app->flags[id >> 56][seq_of(id)];
}
static void set(uint64_t id, uint8_t flag) { __atomic_fetch_or(flags_of(id), flag, __ATOMIC_SEQ_CST); }

/* --- the application ---------------------------------------------------------------------------------------------- */

struct thread {
    GpuQueue *q;
    uint64_t dice;
};

static void see(uint64_t id, const void *data, size_t len)
{
    const uint8_t before = __atomic_load_n(flags_of(id), __ATOMIC_SEQ_CST);
    REQUIRE(!(before & RECORDED), "message %" PRIx64 " comes again, and its taking was recorded", id);
    REQUIRE(len == sizeof(uint64_t), "message %" PRIx64 " has %zu bytes", id, len);
    if (before & ACCEPTED) /* else the process that enqueued it was killed before it could write that down */
        REQUIRE(memcmp(data, &app->bytes[id >> 56][seq_of(id)], len) == 0, "message %" PRIx64 " has other bytes", id);
    set(id, SEEN);
}

/* By peeking and releasing. */
static void take_in_place(struct thread *t)
{
    QResult results[16];
    size_t count = 0;
    if (q_peek_any(t->q, results, 1 + payload_dice(&t->dice) % 16, &count, 10) != Q_OK)
        return;
    for (size_t i = 0; i < count; i++)
        see(results[i].msg_id, results[i].data, results[i].len);
    REQUIRE(q_release(t->q, results, count) == Q_OK, "q_release");
    for (size_t i = 0; i < count; i++)
        set(results[i].msg_id, RECORDED);
}

/* By id, in any order: a result is taken for good when the thread comes back. */
static void take_by_id(struct thread *t)
{
    uint64_t ids[16], bytes;
    size_t count = 0;
    if (q_poll_completions(t->q, ids, 16, &count) != Q_OK)
        return;
    for (size_t left = count, len; left > 0; left--) {
        const size_t at = payload_dice(&t->dice) % left;
        const uint64_t id = ids[at];
        ids[at] = ids[left - 1];
        len = sizeof bytes;
        REQUIRE(q_try_dequeue_result(t->q, id, &bytes, &len) == Q_OK, "message %" PRIx64, id);
        see(id, &bytes, len);
        QueueStats stats;
        if (payload_dice(&t->dice) % 2) { /* any call will do */
            REQUIRE(q_stats(t->q, &stats) == Q_OK, "q_stats");
            set(id, RECORDED);
        }
    }
}

static void *take(void *arg)
{
    struct thread *t = arg;
    uint64_t left = 1;
    while (left > 0) {
        const bool last = __atomic_load_n(&finished, __ATOMIC_ACQUIRE);
        QueueStats stats;
        if (payload_dice(&t->dice) % 2)
            take_in_place(t);
        else
            take_by_id(t);
        REQUIRE(q_stats(t->q, &stats) == Q_OK, "q_stats");
        left = last ? stats.queue_depth : 1;
    }
    return NULL;
}

static void *produce(void *arg)
{
    struct thread *t = arg;
    while (!__atomic_load_n(&finishing, __ATOMIC_ACQUIRE)) {
        uint64_t bytes = payload_dice(&t->dice), id;
        const QueueStatus status = q_enqueue(t->q, &bytes, sizeof bytes, &id, 10);
        if (status == Q_ERR_TIMEOUT)
            continue;
        REQUIRE(status == Q_OK, "q_enqueue: %d", status);
        app->bytes[id >> 56][seq_of(id)] = bytes;
        REQUIRE(!(__atomic_load_n(flags_of(id), __ATOMIC_SEQ_CST) & ACCEPTED),
                "message %" PRIx64 " has the id of another", id);
        set(id, ACCEPTED);
        if (seq_of(id) > MOST - 2000)
            break;
    }
    return NULL;
}

static GpuQueue *open_queue(void)
{
    const QueueConfig cfg = {.capacity = 64, .slot_bytes = 64};
    GpuQueue *q = q_init(&cfg);
    uint64_t recovered;
    REQUIRE(q && q_recovered(q, &recovered) == Q_OK, "q_init");
    app->recovered += recovered;
    __atomic_fetch_add(&app->opened, 1, __ATOMIC_RELEASE);
    return q;
}

/* Until it is killed, or for some time, and then to the last result. */
static void live(uint64_t seed, useconds_t for_us)
{
    struct thread thread[PRODUCERS + TAKERS];
    pthread_t handle[PRODUCERS + TAKERS];
    GpuQueue *q = open_queue();
    for (uint32_t i = 0; i < PRODUCERS + TAKERS; i++) {
        thread[i] = (struct thread){q, (seed ^ (i * 0x9e3779b97f4a7c15ull)) | 1};
        pthread_create(&handle[i], NULL, i < PRODUCERS ? produce : take, &thread[i]);
    }
    usleep(for_us);
    __atomic_store_n(&finishing, 1, __ATOMIC_RELEASE);
    for (uint32_t i = 0; i < PRODUCERS + TAKERS; i++) {
        pthread_join(handle[i], NULL);
        if (i + 1 == PRODUCERS)
            __atomic_store_n(&finished, 1, __ATOMIC_RELEASE);
    }
    q_shutdown(q);
    REQUIRE(!*q_last_error(), "q_shutdown");
}

/* --- its life and death ---------------------------------------------------------------------------------------------
 */

static void wait_opened(uint32_t before)
{
    for (uint32_t ms = 0; __atomic_load_n(&app->opened, __ATOMIC_ACQUIRE) == before; ms++) {
        REQUIRE(ms < 40000, "no queue was opened within 40 s");
        usleep(1000);
    }
}

static void one_life(uint64_t *dice)
{
    int wait_status;
    const uint32_t before = app->opened;
    const uint64_t seed = payload_dice(dice);
    const bool early = payload_dice(dice) % 8 == 0;
    setenv("GPUQ_DURABILITY", payload_dice(dice) % 2 ? "memory" : "fdatasync", 1);
    const pid_t child = fork();
    if (child == 0) {
        alarm(ROUND_S);
        live(seed, 50000000);
        _exit(1); /* nobody killed it */
    }
    if (!early)
        wait_opened(before);
    usleep((useconds_t)(payload_dice(dice) % 40000));
    kill(child, SIGKILL);
    REQUIRE(waitpid(child, &wait_status, 0) == child && WIFSIGNALED(wait_status) && WTERMSIG(wait_status) == SIGKILL,
            "the application ended by itself: %x", wait_status);
}

static uint64_t check_all_seen(void)
{
    uint64_t count = 0;
    for (uint64_t lane = 0; lane < LANES; lane++)
        for (uint64_t seq = 0; seq < MOST; seq++) {
            const uint8_t flags = app->flags[lane][seq];
            count += (flags & ACCEPTED) != 0;
            REQUIRE(!(flags & ACCEPTED) || flags & SEEN,
                    "message %" PRIu64 " of lane %" PRIu64 " was accepted, and its result never came", seq, lane);
        }
    return count;
}

int main(int argc, char **argv)
{
    const uint64_t rounds = argc > 1 ? strtoull(argv[1], NULL, 10) : 40;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : gq_clock_ns(), dice = seed | 1;
    printf("seed %" PRIu64 "\n", seed);
    fflush(stdout);
    snprintf(path, sizeof path, "/tmp/gpuq-fault-%d.journal", (int)getpid());
    setenv("GPUQ_JOURNAL", path, 1);
    setenv("GPUQ_BACKEND", "cpu", 1);
    app = mmap(NULL, sizeof *app, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    REQUIRE(app != MAP_FAILED, "mmap");
    for (uint64_t i = 0; i < rounds; i++)
        one_life(&dice);
    const uint64_t recovered = app->recovered;
    alarm(ROUND_S);
    live(payload_dice(&dice), 100000);
    const uint64_t accepted = check_all_seen();
    app->recovered = 0;
    q_shutdown(open_queue());
    REQUIRE(app->recovered == 0, "%" PRIu64 " messages are left after a clean run", app->recovered);
    printf("%" PRIu64 " messages accepted, %" PRIu64 " run again\n", accepted, recovered);
    REQUIRE(accepted > 0 && recovered > 0, "no kill came while messages were in flight");
    unlink(path);
    strcat(path, ".new");
    unlink(path);
    return 0;
}
