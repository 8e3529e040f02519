/* A canary: its share, who answered what, and every way in which it ends. */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include "base/clock.h"
#include "swap_support.h"
#include "unit/unit.h"

#define PRODUCERS 2
#define BURST 512 /* several of the runs that a canary gets, or not, lie in one */
#define GENERATIONS 8
#define SHARE_PPM 250000u

/* --- load -----------------------------------------------------------------------------------------------------------
 */

static struct {
    pthread_t thread[PRODUCERS];
    gq_pipeline *p;
    atomic_bool enough;
    atomic_ulong sent;
    atomic_char letter[GENERATIONS]; /* of results, by generation */
    atomic_ulong results[GENERATIONS], failed[GENERATIONS];
} load;

static void count_result(const QResult *r, uint64_t expected)
{
    uint64_t number;
    ck_assert_uint_ge(r->generation, 1);
    ck_assert_uint_lt(r->generation, GENERATIONS);
    load.results[r->generation]++;
    if (r->status == Q_RESULT_FAILED) {
        load.failed[r->generation]++;
        return;
    }
    ck_assert_uint_eq(r->status, Q_RESULT_OK);
    ck_assert_uint_eq(r->len, sizeof number + 1);
    memcpy(&number, r->data, sizeof number);
    ck_assert_uint_eq(number, expected);
    ck_assert_int_eq(((const char *)r->data)[sizeof number], load.letter[r->generation]);
}

/* Nothing is lost, doubled or reordered, whoever answers. */
static void *send_and_check(void *unused)
{
    GpuQueue *q = gq_queue(load.p);
    uint64_t sent = 0, taken = 0;
    QResult r[BURST];
    (void)unused;
    while (!load.enough || taken < sent) {
        size_t count = 0;
        for (int i = 0; i < BURST && !load.enough && q_enqueue(q, &sent, sizeof sent, NULL, 0) == Q_OK; i++)
            sent++;
        q_peek(q, r, BURST, &count, 0);
        for (size_t i = 0; i < count; i++)
            count_result(&r[i], taken++);
        if (count)
            ck_assert_int_eq(q_release(q, r, count), Q_OK);
    }
    load.sent += sent;
    return NULL;
}

/* `letters`: of each generation. A thread may have a result before this returns. */
static void start_load_of(gq_pipeline *p, const char letters[GENERATIONS + 1])
{
    memset((void *)&load, 0, sizeof load);
    load.p = p;
    for (int i = 0; i < GENERATIONS; i++)
        load.letter[i] = letters[i];
    for (int i = 0; i < PRODUCERS; i++)
        ck_assert_int_eq(pthread_create(&load.thread[i], NULL, send_and_check, NULL), 0);
}

static void start_load(gq_pipeline *p) { start_load_of(p, "?abbbbbb"); }

static void wait_for_results(uint32_t generation)
{
    const uint64_t deadline = gq_clock_deadline(20000);
    while (load.results[generation] == 0 && !gq_clock_past(deadline))
        usleep(1000);
    ck_assert_uint_gt(load.results[generation], 0);
}

static uint64_t end_load(void)
{
    load.enough = true;
    for (int i = 0; i < PRODUCERS; i++)
        pthread_join(load.thread[i], NULL);
    return load.sent;
}

/* The list of versions counts what the callers were handed. */
static void expect_counts(gq_pipeline *p, uint32_t version, uint64_t results, uint64_t failed)
{
    const gq_version_info info = info_of(p, "s", version);
    ck_assert_uint_eq(info.messages, results);
    ck_assert_uint_eq(info.failed, failed);
}

/* --- swaps ----------------------------------------------------------------------------------------------------------
 */

static gq_swap_opts canary_of(const char *plugin)
{
    return (gq_swap_opts){.size = sizeof(gq_swap_opts),
                          .plugin = in_folder(plugin),
                          .canary_ppm = SHARE_PPM,
                          .canary_ms = 30000,
                          .canary_p99 = 100000}; /* one pause of a busy machine is not what these tests are about */
}

static gq_status swap_with(gq_pipeline *p, const gq_swap_opts *opts)
{
    memset(&result, 0x5a, sizeof result);
    result.size = sizeof result;
    return gq_swap(p, "s", opts, &result);
}

/* A tagger that fails one message of `one_of`. */
static void write_failing(const char *name, char tag, uint32_t one_of)
{
    char text[640];
    snprintf(text, sizeof text,
             "#include <gpuqueue/plugin.h>\n"
             "__device__ void process_message(const MsgView &in, ResultView *out)\n"
             "{\n"
             "    if (in.msg_id %% %u == 0)\n"
             "        return gq_fail(out, 7);\n"
             "    for (uint32_t i = 0; i < in.len; i++)\n"
             "        out->out[i] = in.payload[i];\n"
             "    out->out[in.len] = '%c';\n"
             "    *out->out_len = in.len + 1;\n"
             "}\n",
             one_of, tag);
    write_text(name, text);
}

static gq_pipeline *started_deep(void)
{
    gq_pipeline *p = opened("version: 1\nbackend: cpu\nqueue: { capacity: 1024, slot_bytes: 64 }\n"
                            "cpu: { threads: 2 }\nstages: [{ name: s, plugin: v1.cu }]\n",
                            false);
    ck_assert_msg(gq_start(p) == GQ_OK, "%s", gq_last_error());
    return p;
}

static gq_pipeline *two_versions(void)
{
    write_tagger("v1.cu", 'a');
    write_tagger("v2.cu", 'b');
    return started_deep();
}

/* --- it proves itself -----------------------------------------------------------------------------------------------
 */

START_TEST(a_canary_gets_its_share_and_then_all)
{
    gq_pipeline *p = two_versions();
    gq_swap_opts opts = canary_of("v2.cu");
    opts.canary_messages = 20000;
    start_load(p);
    must(swap_with(p, &opts));
    ck_assert_int_eq(result.step, GQ_STEP_DONE);
    ck_assert_uint_eq(result.version, 2);
    ck_assert_uint_eq(result.live, 2);
    ck_assert_uint_eq(result.generation, 3);
    ck_assert_uint_eq(result.canary_ppm, SHARE_PPM);
    ck_assert_uint_ge(result.canary_messages, 20000);
    ck_assert_uint_eq(result.canary_failed + result.live_failed, 0);
    const double share = (double)result.canary_messages / (double)(result.canary_messages + result.live_messages);
    ck_assert_msg(share > 0.2 && share < 0.3, "the canary got %.3f of the messages", share);
    wait_for_results(3);
    const uint64_t sent = end_load();
    expect_counts(p, 1, load.results[1], 0);
    expect_counts(p, 2, load.results[2] + load.results[3], 0);
    ck_assert_uint_ge(load.results[2], result.canary_messages);
    ck_assert_uint_eq(load.results[1] + load.results[2] + load.results[3], sent);
    expect_state(p, "s", 1, GQ_VERSION_WARM);
    expect_state(p, "s", 2, GQ_VERSION_LIVE);
    must(gq_rollback(p, "s", &result));
    expect_answer(p, "xa", 4);
    finish(p);
}
END_TEST

START_TEST(a_canary_of_what_is_live_is_no_change)
{
    gq_pipeline *p = two_versions();
    const gq_swap_opts opts = canary_of("v1.cu");
    must(swap_with(p, &opts));
    ck_assert_int_eq(result.step, GQ_STEP_DONE);
    ck_assert_uint_eq(result.generation, 0);
    ck_assert_uint_eq(result.canary_ppm, 0);
    expect_answer(p, "xa", 1);
    finish(p);
}
END_TEST

START_TEST(both_share_the_state_of_their_stage)
{
    static const char counting[] = "#include <gpuqueue/plugin.h>\n"
                                   "GQ_STATE(4, 1);\n"
                                   "__device__ void process_message(const MsgView &in, ResultView *out)\n"
                                   "{\n"
                                   "    atomicAdd((uint32_t *)gq_state(4), 1u);\n"
                                   "    for (uint32_t i = 0; i < in.len; i++)\n"
                                   "        out->out[i] = in.payload[i];\n"
                                   "    out->out[in.len] = '%c';\n"
                                   "    *out->out_len = in.len + 1;\n"
                                   "}\n";
    char text[640];
    snprintf(text, sizeof text, counting, 'a');
    write_text("v1.cu", text);
    snprintf(text, sizeof text, counting, 'b');
    write_text("v2.cu", text);
    write_text("total.cu", "#include <gpuqueue/plugin.h>\n"
                           "GQ_STATE(4, 1);\n"
                           "__device__ void process_message(const MsgView &in, ResultView *out)\n"
                           "{\n"
                           "    const uint32_t n = *(uint32_t *)gq_state(4);\n"
                           "    (void)in;\n"
                           "    for (uint32_t i = 0; i < 8; i++)\n"
                           "        out->out[i] = '0' + (n >> 4 * (7 - i) & 15);\n"
                           "    *out->out_len = 8;\n"
                           "}\n");
    gq_pipeline *p = started_deep();
    gq_swap_opts opts = canary_of("v2.cu");
    opts.canary_messages = 500;
    start_load(p);
    must(swap_with(p, &opts));
    const uint64_t sent = end_load();
    ck_assert_uint_gt(load.results[1], 0);
    must(swap_to(p, "s", in_folder("total.cu")));
    char expected[9];
    for (int i = 0; i < 8; i++)
        expected[i] = (char)('0' + (sent >> 4 * (7 - i) & 15));
    expected[8] = '\0';
    expect_answer(p, expected, 4);
    finish(p);
}
END_TEST

/* --- it does not ----------------------------------------------------------------------------------------------------
 */

START_TEST(one_that_fails_messages_is_rolled_back_before_its_time)
{
    char sentence[256];
    gq_pipeline *p = two_versions();
    write_failing("v2.cu", 'b', 10);
    const gq_swap_opts opts = canary_of("v2.cu");
    start_load(p);
    load.letter[3] = 'a';
    ck_assert_int_eq(swap_with(p, &opts), GQ_ERR_PLUGIN);
    snprintf(sentence, sizeof sentence,
             "the canary of stage 's', version 2, was rolled back: %lu of its %lu results failed, ",
             (unsigned long)result.canary_failed, (unsigned long)result.canary_messages);
    ck_assert_msg(strstr(gq_last_error(), sentence) == gq_last_error(), "%s", gq_last_error());
    ck_assert_ptr_nonnull(strstr(gq_last_error(), "; canary_failures allows 0.1 % more"));
    ck_assert_int_eq(result.step, GQ_STEP_CANARY);
    ck_assert_uint_eq(result.version, 2);
    ck_assert_uint_eq(result.live, 1);
    ck_assert_uint_eq(result.generation, 3);
    ck_assert_uint_ge(result.canary_messages, 1000);
    ck_assert_uint_lt(result.total_ns, 25000000000u); /* of thirty seconds */
    wait_for_results(3);
    const uint64_t sent = end_load();
    ck_assert_uint_eq(load.results[1] + load.results[2] + load.results[3], sent);
    ck_assert_uint_eq(load.failed[1] + load.failed[3], 0);
    expect_counts(p, 1, load.results[1] + load.results[3], 0);
    expect_counts(p, 2, load.results[2], load.failed[2]);
    expect_state(p, "s", 1, GQ_VERSION_LIVE);
    expect_state(p, "s", 2, GQ_VERSION_WARM);
    must(gq_use(p, "s", 2, &result)); /* it is kept, for who wants it all the same */
    ck_assert_uint_eq(result.generation, 4);
    finish(p);
}
END_TEST

START_TEST(as_many_failures_as_are_allowed_are_no_reason)
{
    gq_pipeline *p = two_versions();
    write_failing("v2.cu", 'b', 10);
    gq_swap_opts opts = canary_of("v2.cu");
    opts.canary_messages = 2000;
    opts.canary_failures = 200000;
    start_load(p);
    must(swap_with(p, &opts));
    ck_assert_uint_gt(result.canary_failed, 0);
    ck_assert_uint_eq(result.live, 2);
    (void)end_load();
    finish(p);
}
END_TEST

START_TEST(the_live_version_s_own_failures_count_for_nothing)
{
    write_failing("v1.cu", 'a', 10);
    write_failing("v2.cu", 'b', 9); /* 11.1 % and not 10 % */
    gq_pipeline *p = started_deep();
    gq_swap_opts opts = canary_of("v2.cu");
    opts.canary_messages = 5000;
    opts.canary_failures = 50000;
    start_load(p);
    must(swap_with(p, &opts));
    ck_assert_uint_gt(result.live_failed, 0);
    (void)end_load();
    finish(p);
}
END_TEST

START_TEST(one_without_a_result_has_proved_nothing)
{
    gq_pipeline *p = two_versions();
    gq_swap_opts opts = canary_of("v2.cu");
    opts.canary_ms = 50;
    ck_assert_int_eq(swap_with(p, &opts), GQ_ERR_PLUGIN);
    ck_assert_str_eq(gq_last_error(), "the canary of stage 's', version 2, was rolled back: it had no result within 50 "
                                      "ms; watch it for longer");
    expect_answer(p, "xa", 3);
    opts.canary_ms = 30000; /* tried again it is a version of its own, with counters of its own */
    opts.canary_messages = 100;
    start_load_of(p, "?ababbbb"); /* the third is the first version again, which serves already */
    must(swap_with(p, &opts));
    ck_assert_uint_eq(result.version, 3);
    ck_assert_uint_eq(result.generation, 5);
    (void)end_load();
    finish(p);
}
END_TEST

START_TEST(another_state_is_refused_before_anything_changes)
{
    gq_pipeline *p = two_versions();
    write_text("v2.cu", "#include <gpuqueue/plugin.h>\n"
                        "GQ_STATE(64, 1);\n"
                        "__device__ void process_message(const MsgView &, ResultView *out) { *out->out_len = 0; }\n");
    const gq_swap_opts opts = canary_of("v2.cu");
    ck_assert_int_eq(swap_with(p, &opts), GQ_ERR_PLUGIN);
    ck_assert_int_eq(result.step, GQ_STEP_INSPECT);
    ck_assert_ptr_nonnull(
        strstr(gq_last_error(), "a canary of stage 's' shares its state of 0 bytes, version 0, and "));
    ck_assert_ptr_nonnull(strstr(gq_last_error(), "declares 64 bytes, version 1: swap it without a canary"));
    expect_answer(p, "xa", 1);
    finish(p);
}
END_TEST

/* --- somebody ends it -----------------------------------------------------------------------------------------------
 */

static uint32_t watch_ms; /* 0: long */
static gq_status canary_status;
static char canary_sentence[256];

static void *swap_in_a_thread(void *plugin)
{
    static gq_swap_result own;
    gq_swap_opts opts = canary_of(plugin);
    opts.canary_ms = watch_ms ? watch_ms : opts.canary_ms;
    own.size = sizeof own;
    canary_status = gq_swap(load.p, "s", &opts, &own);
    snprintf(canary_sentence, sizeof canary_sentence, "%s", gq_last_error());
    return NULL;
}

static pthread_t start_canary(const char *plugin)
{
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, swap_in_a_thread, (void *)plugin), 0);
    for (int i = 0; i < 2000; i++) {
        gq_version_info all[8];
        size_t count;
        ck_assert_int_eq(gq_versions(load.p, all, 8, &count), GQ_OK);
        if (all[count - 1].state == GQ_VERSION_CANARY && all[count - 1].messages > 100)
            return thread;
        usleep(10000);
    }
    ck_abort_msg("no canary came");
    return thread;
}

START_TEST(a_rollback_ends_it)
{
    gq_pipeline *p = two_versions();
    start_load(p);
    pthread_t canary = start_canary("v2.cu");
    ck_assert_uint_eq(info_of(p, "s", 2).generation, 2);
    expect_state(p, "s", 1, GQ_VERSION_LIVE);
    load.letter[3] = 'a';
    result.size = sizeof result;
    must(gq_rollback(p, "s", &result));
    ck_assert_uint_eq(result.live, 1);
    ck_assert_uint_eq(result.version, 1);
    ck_assert_uint_eq(result.generation, 3);
    ck_assert_int_eq(pthread_join(canary, NULL), 0);
    ck_assert_int_eq(canary_status, GQ_ERR_PLUGIN);
    ck_assert_str_eq(canary_sentence, "the canary of stage 's', version 2, was rolled back: somebody asked for it");
    wait_for_results(3);
    const uint64_t sent = end_load();
    ck_assert_uint_eq(load.results[1] + load.results[2] + load.results[3], sent);
    ck_assert_int_eq(gq_rollback(p, "s", &result), GQ_ERR_NOT_FOUND); /* there was no other one before */
    finish(p);
}
END_TEST

static gq_status other_status;
static pid_t other_thread; /* atomic */

static void *swap_another(void *plugin)
{
    const gq_swap_opts opts = {.size = sizeof opts, .plugin = plugin};
    __atomic_store_n(&other_thread, (pid_t)syscall(SYS_gettid), __ATOMIC_RELEASE);
    other_status = gq_swap(load.p, "s", &opts, NULL);
    return NULL;
}

static char state_of_another(void)
{
    char path[64], state = '?';
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)__atomic_load_n(&other_thread, __ATOMIC_ACQUIRE));
    FILE *file = fopen(path, "r");
    if (file && fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
        state = '?';
    if (file)
        fclose(file);
    return state;
}

/* A swap to v3.cu that waits for the canary, asleep. */
static pthread_t start_another(void)
{
    pthread_t another;
    const char *plugin = write_tagger("v3.cu", 'c');
    ck_assert_int_eq(pthread_create(&another, NULL, swap_another, (void *)(uintptr_t)plugin), 0);
    const uint64_t deadline = gq_clock_deadline(20000);
    while (state_of_another() != 'S') {
        ck_assert(!gq_clock_past(deadline));
        usleep(1000);
    }
    return another;
}

/* Whichever of the two comes first when the canary has ended. */
START_TEST(a_rollback_ends_it_and_not_the_swap_behind_it)
{
    gq_pipeline *p = two_versions();
    start_load(p);
    load.letter[3] = 'a';
    load.letter[4] = 'c';
    pthread_t canary = start_canary("v2.cu"), another = start_another();
    result.size = sizeof result;
    must(gq_rollback(p, "s", &result));
    ck_assert_int_eq(pthread_join(canary, NULL), 0);
    ck_assert_int_eq(pthread_join(another, NULL), 0);
    ck_assert_int_eq(canary_status, GQ_ERR_PLUGIN);
    ck_assert_int_eq(other_status, GQ_OK);
    expect_state(p, "s", 3, GQ_VERSION_LIVE);
    (void)end_load();
    finish(p);
}
END_TEST

/* Who wants to end a canary that has just ended by itself does not lose the good version beside it. */
START_TEST(a_rollback_behind_a_canary_that_was_rolled_back_takes_nothing_away_unasked)
{
    write_tagger("v1.cu", 'a');
    write_tagger("v2.cu", 'b');
    gq_pipeline *p = started("");
    must(swap_to(p, "s", in_folder("v2.cu")));
    const gq_swap_opts opts = {.size = sizeof opts,
                               .plugin = write_tagger("v3.cu", 'c'),
                               .canary_ppm = 500000,
                               .canary_ms = 50}; /* without a message it has proved nothing */
    ck_assert_int_eq(gq_swap(p, "s", &opts, &result), GQ_ERR_PLUGIN);
    ck_assert_int_eq(gq_rollback(p, "s", &result), GQ_ERR_NOT_FOUND);
    ck_assert_str_eq(gq_last_error(),
                     "version 3 of stage 's' was rolled back already, after it had not proved itself as "
                     "a canary; version 2 is live, and ask once more to go to version 1, which was live "
                     "before it");
    ck_assert_uint_eq(result.live, 2);
    expect_answer(p, "xb", 4);
    must(gq_rollback(p, "s", &result));
    expect_answer(p, "xa", 5);
    finish(p);
}
END_TEST

START_TEST(an_interrupt_ends_it)
{
    gq_pipeline *p = two_versions();
    start_load(p);
    pthread_t canary = start_canary("v2.cu");
    load.letter[3] = 'a';
    load.enough = true;
    gq_interrupt(p);
    ck_assert_int_eq(pthread_join(canary, NULL), 0);
    ck_assert_int_eq(canary_status, GQ_ERR_SHUTDOWN);
    ck_assert_str_eq(canary_sentence,
                     "the canary of stage 's', version 2, was rolled back: the pipeline is being stopped");
    (void)end_load();
    finish(p);
}
END_TEST

/* A build may take a minute, and those who stop a run should wait for one at most. What is loaded is switched at once.
 */
START_TEST(an_interrupt_refuses_the_swaps_behind_it)
{
    gq_pipeline *p = two_versions();
    start_load(p);
    load.letter[3] = 'a';
    pthread_t canary = start_canary("v2.cu"), another = start_another();
    load.enough = true;
    gq_interrupt(p);
    ck_assert_int_eq(pthread_join(canary, NULL), 0);
    ck_assert_int_eq(pthread_join(another, NULL), 0);
    ck_assert_int_eq(canary_status, GQ_ERR_SHUTDOWN);
    ck_assert_int_eq(other_status, GQ_ERR_SHUTDOWN);
    ck_assert_int_eq(gq_reload(p, NULL, NULL), GQ_ERR_SHUTDOWN);
    must(gq_use(p, "s", 2, NULL));
    expect_state(p, "s", 2, GQ_VERSION_LIVE);
    (void)end_load();
    finish(p);
}
END_TEST

START_TEST(a_stop_does_not_wait_for_it)
{
    gq_pipeline *p = two_versions();
    start_load(p);
    pthread_t canary = start_canary("v2.cu");
    load.letter[3] = 'a';
    (void)end_load();
    ck_assert_int_eq(gq_stop(p, 20000), GQ_OK);
    ck_assert_int_eq(pthread_join(canary, NULL), 0);
    ck_assert_int_eq(canary_status, GQ_ERR_SHUTDOWN);
    gq_close(p);
}
END_TEST

START_TEST(other_changes_wait_for_it)
{
    gq_pipeline *p = two_versions();
    write_tagger("v3.cu", 'c');
    start_load(p);
    load.letter[4] = 'c';
    watch_ms = 1000;
    pthread_t canary = start_canary("v2.cu");
    must(swap_to(p, "s", in_folder("v3.cu")));
    ck_assert_uint_eq(result.generation, 4); /* after the two of the canary */
    ck_assert_int_eq(pthread_join(canary, NULL), 0);
    ck_assert_msg(canary_status == GQ_OK, "%s", canary_sentence);
    const uint64_t sent = end_load();
    ck_assert_uint_eq(load.results[1] + load.results[2] + load.results[3] + load.results[4], sent);
    expect_state(p, "s", 3, GQ_VERSION_LIVE);
    finish(p);
}
END_TEST

/* --- refused at once ------------------------------------------------------------------------------------------------
 */

static void refused(gq_pipeline *p, gq_swap_opts opts, const char *sentence)
{
    ck_assert_int_eq(swap_with(p, &opts), GQ_ERR_INVALID_ARG);
    ck_assert_msg(strstr(gq_last_error(), sentence), "%s", gq_last_error());
}

START_TEST(options_have_bounds)
{
    gq_pipeline *p = two_versions();
    gq_swap_opts opts = {.size = sizeof opts, .plugin = in_folder("v2.cu"), .canary_ppm = 500001};
    refused(p, opts, "opts.canary_ppm is 500001; a canary has at most 500000 of a million");
    opts.canary_ppm = 1;
    opts.canary_ms = 86400001;
    refused(p, opts, "opts.canary_ms is 86400001; ");
    opts.canary_ms = 0;
    opts.canary_failures = 1000001;
    refused(p, opts, "opts.canary_failures is 1000001; ");
    opts.canary_failures = 1;
    opts.canary_ppm = 0; /* better nothing than all of the messages */
    refused(p, opts, "opts.canary_ppm is 0, so there is no canary");
    expect_answer(p, "xa", 1);
    finish(p);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {a_canary_gets_its_share_and_then_all,
                                  a_canary_of_what_is_live_is_no_change,
                                  both_share_the_state_of_their_stage,
                                  one_that_fails_messages_is_rolled_back_before_its_time,
                                  as_many_failures_as_are_allowed_are_no_reason,
                                  the_live_version_s_own_failures_count_for_nothing,
                                  one_without_a_result_has_proved_nothing,
                                  another_state_is_refused_before_anything_changes,
                                  a_rollback_ends_it,
                                  a_rollback_ends_it_and_not_the_swap_behind_it,
                                  a_rollback_behind_a_canary_that_was_rolled_back_takes_nothing_away_unasked,
                                  an_interrupt_ends_it,
                                  an_interrupt_refuses_the_swaps_behind_it,
                                  a_stop_does_not_wait_for_it,
                                  other_changes_wait_for_it,
                                  options_have_bounds};
    return unit_run("canary", tests, sizeof tests / sizeof *tests, make_folder, remove_folder);
}
