/* untaken faults|killed|again - messages of a GPU are answered, and nobody takes their results.
 *
 * faults: each worker ends beside them. That ends no message, so the pipeline stops after a few, and does not go on for
 *         ever with the same results made again.
 * killed: each worker has answered more than the one before when somebody kills it. That is no reason to stop.
 * again:  each has answered the same ones when somebody kills it. That goes on no longer than the first.
 *
 * On the imaginary GPU, whose script says so.
 */
#include "pipeline/pipeline.h"
#include "support.h"

#define ROUND_S 60u
#define EACH 3u
#define KILLS 7u /* more than there may be in a row that end no message */

static void send_some(GpuQueue *q)
{
    const uint8_t message[16] = {0};
    for (uint32_t i = 0; i < EACH; i++)
        REQUIRE(q_enqueue(q, message, sizeof message, NULL, 0) == Q_OK, "enqueue: %s", q_last_error());
}

static void await_the_end(const gq_pipeline *p)
{
    const uint64_t deadline = gq_clock_deadline(20000);
    while (!gq_link_dead(&p->remote->link))
        REQUIRE(!gq_clock_past(deadline) && usleep(1000) == 0, "one worker after another is replaced");
}

/* Each worker, once it has answered; `more`: and has been sent messages of its own. Returns how many. */
static uint32_t kill_each(gq_pipeline *p, bool more)
{
    for (uint32_t i = 0; i < KILLS; i++) {
        const uint64_t deadline = gq_clock_deadline(20000), before = fault_restarts(p);
        if (more || i == 0)
            send_some(gq_queue(p));
        while (gq_lane_unfinished(p->queue->lane[0]) > 0)
            REQUIRE(!gq_clock_past(deadline) && usleep(1000) == 0, "a message does not end");
        usleep(50000); /* until it is inside of none: that would be another reason to go on */
        REQUIRE(kill(p->remote->process.pid, SIGKILL) == 0, "kill");
        while (fault_restarts(p) == before && !gq_link_dead(&p->remote->link))
            REQUIRE(!gq_clock_past(deadline) && usleep(1000) == 0, "nobody takes over from worker %u", i);
        if (gq_link_dead(&p->remote->link))
            return i + 1;
    }
    return KILLS;
}

static void take_all(GpuQueue *q, uint32_t count)
{
    QResult r[EACH * KILLS];
    for (uint32_t n = 0; n < count;) {
        size_t got;
        REQUIRE(q_peek(q, r, EACH * KILLS, &got, 30000) == Q_OK, "result %u: %s", n, q_last_error());
        for (size_t i = 0; i < got; i++)
            REQUIRE(r[i].status == Q_RESULT_OK, "message %u: %u", n, r[i].status);
        REQUIRE(q_release(q, r, got) == Q_OK, "release");
        n += (uint32_t)got;
    }
}

int main(int argc, char **argv)
{
    REQUIRE(argc == 2, "faults, killed or again");
    const gq_open_opts opts = {.size = sizeof opts,
                               .path = "untaken",
                               .text =
                                   "version: 1\nbackend: cuda\non_error: { retries: 0 }\n"
                                   "queue: { capacity: 64, slot_bytes: 64 }\nstages: [{ plugin: 'builtin:echo' }]\n"};
    alarm(ROUND_S);
    gq_pipeline *p = fault_start(&opts);
    if (strcmp(argv[1], "killed") == 0) {
        REQUIRE(kill_each(p, true) == KILLS && !gq_link_dead(&p->remote->link), "it stops: %s", p->remote->why);
        take_all(gq_queue(p), EACH * KILLS);
        REQUIRE(gq_stop(p, 20000) == GQ_OK, "%s", gq_last_error());
    } else {
        if (strcmp(argv[1], "faults") == 0) {
            send_some(gq_queue(p));
            await_the_end(p);
        } else
            REQUIRE(kill_each(p, false) < KILLS, "one worker after another is replaced");
        REQUIRE(gq_stop(p, 20000) != GQ_OK, "a pipeline that has ended stops well");
    }
    gq_close(p);
    puts("workers are replaced as long as messages end");
    return 0;
}
