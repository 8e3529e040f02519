/* scrawled faults|answered|behind - what nobody was handed of a GPU's worker that faulted is made again by the next
 * one.
 *
 * faults:   message BEFORE faults, and the device writes over the results that lie there. Nobody is handed those.
 * answered: message BEFORE faults when it has its result, which nobody takes in time. It is made again by a trial, so
 *           that it does not end each worker that makes it.
 * behind:   the same, and another message stands behind it, in the trial too.
 *
 * On the imaginary GPU, whose script says so.
 */
#include "pipeline/pipeline.h"
#include "support.h"

#define ROUND_S 60u
#define CAPACITY 16u
#define BEFORE 10u /* messages that have ended before the one that faults, as the script has it */
#define TAKEN 4u   /* of these */

static bool is_given_up;

static void send(GpuQueue *q, uint8_t number)
{
    uint8_t message[16];
    memset(message, number, sizeof message);
    REQUIRE(q_enqueue(q, message, sizeof message, NULL, 0) == Q_OK, "enqueue");
}

static void await_ends(const gq_pipeline *p)
{
    const uint64_t deadline = gq_clock_deadline(30000);
    while (gq_lane_unfinished(p->queue->lane[0]) > 0)
        REQUIRE(!gq_clock_past(deadline) && usleep(1000) == 0, "a message does not end");
}

static void await_another_worker(gq_pipeline *p)
{
    const uint64_t deadline = gq_clock_deadline(30000);
    while (fault_restarts(p) == 0)
        REQUIRE(!gq_clock_past(deadline) && usleep(1000) == 0, "no other worker takes over");
    await_ends(p);
}

static void take(GpuQueue *q, uint8_t number)
{
    QResult r;
    size_t count;
    REQUIRE(q_peek(q, &r, 1, &count, 30000) == Q_OK, "result %u: %s", number, q_last_error());
    REQUIRE(r.status == (number == BEFORE && is_given_up ? Q_RESULT_FAULTED : Q_RESULT_OK), "message %u: %u", number,
            r.status);
    const uint8_t *bytes = r.data;
    for (uint32_t i = 0; i < r.len; i++)
        REQUIRE(bytes[i] == number, "message %u has a byte %02x", number, bytes[i]);
    REQUIRE(q_release(q, &r, 1) == Q_OK, "release");
}

int main(int argc, char **argv)
{
    REQUIRE(argc == 2, "faults, answered or behind");
    is_given_up = strcmp(argv[1], "faults") == 0;
    const bool behind = strcmp(argv[1], "behind") == 0;
    char text[256];
    alarm(ROUND_S);
    snprintf(text, sizeof text,
             "version: 1\nbackend: cuda\non_error: { retries: 0 }\nqueue: { capacity: %u, slot_bytes: 64 }\n"
             "stages: [{ plugin: 'builtin:echo' }]\n",
             CAPACITY);
    const gq_open_opts opts = {.size = sizeof opts, .path = "scrawled", .text = text};
    gq_pipeline *p = fault_start(&opts);
    GpuQueue *q = gq_queue(p);
    for (uint8_t i = 0; i < BEFORE; i++)
        send(q, i);
    await_ends(p);
    for (uint8_t i = 0; i < TAKEN; i++)
        take(q, i);
    REQUIRE(fault_restarts(p) == 0, "a worker ended early");
    send(q, BEFORE);
    if (behind)
        send(q, BEFORE + 1);
    await_another_worker(p);
    usleep(100000); /* for the one that took over to end, if it does */
    if (!behind)
        send(q, BEFORE + 1);
    await_ends(p);
    for (uint8_t i = TAKEN; i <= BEFORE + 1; i++)
        take(q, i);
    REQUIRE(fault_restarts(p) == 1, "%" PRIu64 " workers took over", fault_restarts(p));
    REQUIRE(gq_stop(p, 20000) == GQ_OK, "%s", gq_last_error());
    gq_close(p);
    puts("no result that was written over was handed out");
    return 0;
}
