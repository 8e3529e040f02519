/* Any bytes as a life: a queue that is shut down while two threads use it, and says so from then on; a pipeline's calls
 * in any order, with changes of its code between them. What fails says why. */
#include "fuzz.h"
#include <gpuqueue/swap.h>
#include "actor.h"

static void expect_shut(GpuQueue *q)
{
    uint64_t id = 1;
    size_t n = 1;
    uint8_t byte;
    QResult result = {0};
    QueueStats stats;
    expect(q_enqueue(q, "x", 1, &id, 10), Q_ERR_SHUTDOWN);
    expect(q_try_dequeue_result(q, 1, &byte, &n), Q_ERR_SHUTDOWN);
    expect(q_poll_completions(q, &id, 1, &n), Q_ERR_SHUTDOWN);
    expect(q_wait_completions(q, 10), Q_ERR_SHUTDOWN);
    expect(q_peek_any(q, &result, 1, &n, 10), Q_ERR_SHUTDOWN);
    expect(q_release(q, &result, 1), Q_ERR_SHUTDOWN);
    expect(q_stats(q, &stats), Q_ERR_SHUTDOWN);
}

static void run_until_shut(struct input *in)
{
    GpuQueue *q = open_queue();
    const size_t half = (size_t)(in->end - in->at) / 2;
    struct actor here = {.q = q, .in = {in->at, in->at + half}, .may_end = true};
    struct actor there = {.q = q, .in = {in->at + half, in->end}, .may_end = true};
    pthread_t thread;
    begin_keys();
    const int failed = pthread_create(&thread, NULL, act_on, &there);
    gq_assert(!failed);
    act_on(&here);
    q_shutdown(q);
    expect_shut(q);
    pthread_join(thread, NULL);
    q_shutdown(q);
    expect_shut(q);
}

static const char *some_pipeline(struct input *in)
{
    static const char *const texts[] = {
        text_of_queue,
        "version: 1\nsource: { generate: { count: 100, bytes: 16 } }\nstages: [{ name: echo, plugin: 'builtin:echo' "
        "}]\n"
        "sink: { null: {} }\n",
        "version: 1\nstages: [{ name: echo, plugin: '/nowhere/there_is_no_such.cu' }]\n",
        "version: 1\nqueue: { capacity: 3 }\n",
    };
    return texts[input_choice(in, sizeof texts / sizeof *texts)];
}

static void change(gq_pipeline *p, struct input *in)
{
    static gq_swap_result result;
    gq_version_info info[4];
    size_t count = 0;
    const uint32_t call = input_byte(in);
    const char *stage = call & 8 ? "echo" : "nobody";
    const gq_swap_opts opts = {.size = sizeof opts, .plugin = call & 16 ? "builtin:echo" : "/nowhere/none.cu"};
    gq_status status = GQ_OK;
    result.size = sizeof result;
    switch (call % 6) {
    case 0:
        status = gq_swap(p, stage, &opts, &result);
        break;
    case 1:
        status = gq_rollback(p, stage, &result);
        break;
    case 2:
        status = gq_use(p, stage, input_byte(in), &result);
        break;
    case 3:
        status = gq_discard(p, stage, input_byte(in));
        break;
    case 4:
        status = gq_reload(p, NULL, &result);
        break;
    default:
        status = gq_versions(p, info, 4, &count);
        gq_assert(count <= 4);
    }
    gq_assert(status == GQ_OK || *gq_last_error());
}

static void use_queue(gq_pipeline *p, struct input *in)
{
    GpuQueue *q = gq_queue(p);
    struct actor a = {.q = q, .may_end = true};
    if (q)
        act(&a, in);
    else
        expect(q_enqueue(q, "x", 1, NULL, 0), Q_ERR_INVALID_ARG);
}

static void run_life(struct input *in)
{
    gq_pipeline *p = NULL;
    gq_stats stats;
    const gq_open_opts opts = {.size = sizeof opts, .path = "fuzz.yaml", .text = some_pipeline(in), .backend = "cpu"};
    gq_status status = gq_open(&opts, &p);
    gq_assert((status == GQ_OK) == (p != NULL) && (status == GQ_OK || *gq_last_error()));
    for (uint32_t i = 0; p && i < 24 && !input_ended(in); i++) {
        const uint32_t call = input_choice(in, 10);
        if (call == 0)
            status = gq_prepare(p);
        else if (call == 1)
            status = gq_start(p);
        else if (call == 2)
            status = gq_wait(p, input_choice(in, 4));
        else if (call == 3)
            gq_interrupt(p);
        else if (call == 4)
            status = gq_stop(p, 1 + input_byte(in));
        else if (call == 5)
            change(p, in);
        else
            use_queue(p, in);
        gq_assert(call > 4 || call == 3 || status == GQ_OK || *gq_last_error());
        stats.size = sizeof stats;
        status = gq_get_stats(p, &stats);
        gq_assert(status != GQ_OK || stats.messages_out + stats.dropped + stats.failed <= stats.messages_in);
    }
    gq_close(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct input in = {bytes, bytes + len};
    const bool shut = input_byte(&in) & 1;
    folder_make();
    begin_keys();
    if (shut)
        run_until_shut(&in);
    else
        run_life(&in);
    return 0;
}
