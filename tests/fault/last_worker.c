/* The last worker of a queue with a journal dies while somebody waits in a full lane. Nothing is accepted in the place
 * of what that worker leaves, however the caller waits; the next queue runs all of it.
 */
#include <pthread.h>
#include <sys/wait.h>
#include "support.h"

#define CAPACITY 4u

static char folder[] = "/tmp/gpuq-last-XXXXXX", journal[64];

static GpuQueue *open_queue(void)
{
    const QueueConfig cfg = {.capacity = CAPACITY, .slot_bytes = 64};
    GpuQueue *q = q_init(&cfg);
    REQUIRE(q, "%s", q_last_error());
    return q;
}

static void take(GpuQueue *q, uint64_t id)
{
    QResult r;
    size_t count;
    REQUIRE(q_peek_any(q, &r, 1, &count, 20000) == Q_OK, "message %" PRIu64 ": %s", id, q_last_error());
    REQUIRE(r.msg_id == id && r.len == sizeof id && memcmp(r.data, &id, sizeof id) == 0, "%" PRIu64 ", not %" PRIu64,
            r.msg_id, id);
    REQUIRE(q_release(q, &r, 1) == Q_OK, "%s", q_last_error());
}

static QueueStatus wait_alone(GpuQueue *q) { return q_enqueue(q, "one too many", 12, NULL, Q_FOREVER); }

static QueueStatus wait_with_batch(GpuQueue *q)
{
    const EnqueueItem items[] = {{"one", 3}, {"more", 4}};
    size_t done;
    const QueueStatus status = q_enqueue_batch(q, items, 2, NULL, &done, Q_FOREVER);
    REQUIRE(done == 0, "%zu were accepted", done);
    return status;
}

static QueueStatus wait_with_claim(GpuQueue *q)
{
    QClaim claim;
    size_t claimed;
    const QueueStatus status = q_claim(q, &claim, 1, &claimed, Q_FOREVER);
    REQUIRE(claimed == 0, "%zu were claimed", claimed);
    return status;
}

static void *kill_soon(void *worker)
{
    usleep(100000);
    REQUIRE(kill(*(const pid_t *)worker, SIGKILL) == 0, "kill");
    return NULL;
}

static void one_round(QueueStatus (*wait_full)(GpuQueue *q))
{
    const char *program = strdup(getenv("GPUQ_WORKER"));
    uint64_t id = 1;
    pthread_t killer;
    GpuQueue *q = open_queue();
    REQUIRE(q_enqueue(q, &id, sizeof id, &id, 0) == Q_OK && id == 1, "%s", q_last_error());
    take(q, id);
    pid_t worker = fault_find("worker", 0);
    fault_stop(worker);
    setenv("GPUQ_WORKER", "/nonexistent", 1); /* so that there is no other */
    for (id = 2; id < 2 + CAPACITY; id++)
        REQUIRE(q_enqueue(q, &id, sizeof id, NULL, 0) == Q_OK, "%s", q_last_error());
    pthread_create(&killer, NULL, kill_soon, &worker);
    REQUIRE(wait_full(q) == Q_ERR_CUDA, "%s", q_last_error());
    pthread_join(killer, NULL);
    q_shutdown(q);
    setenv("GPUQ_WORKER", program, 1);
    q = open_queue();
    for (id = 2; id < 2 + CAPACITY; id++)
        take(q, id);
    q_shutdown(q);
    unlink(journal);
    free((void *)(uintptr_t)program);
}

/* Each in a process of its own: another worker is looked for for ten seconds. */
static pid_t begin_round(QueueStatus (*wait_full)(GpuQueue *q))
{
    const pid_t child = fork();
    if (child != 0)
        return child;
    alarm(100);
    snprintf(journal, sizeof journal, "%s/%d.journal", folder, (int)getpid());
    setenv("GPUQ_JOURNAL", journal, 1);
    one_round(wait_full);
    exit(fault_find_child() == 0 ? 0 : 1);
}

int main(void)
{
    static QueueStatus (*const waits[])(GpuQueue * q) = {wait_alone, wait_with_batch, wait_with_claim};
    int wait_status, good = 1;
    REQUIRE(mkdtemp(folder), "a folder");
    setenv("GPUQ_DURABILITY", "memory", 1);
    unsetenv("GPUQ_PLUGIN");
    for (size_t i = 0; i < sizeof waits / sizeof *waits; i++)
        REQUIRE(begin_round(waits[i]) > 0, "fork");
    while (wait(&wait_status) > 0)
        good &= WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0;
    return good && rmdir(folder) == 0 ? 0 : 1;
}
