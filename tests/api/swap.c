/* The promises of gpuqueue/swap.h: exactness under load, ways back, state, and several stages. */
#include <pthread.h>
#include <stdatomic.h>
#include "base/clock.h"
#include "pipeline/pipeline.h"
#include "ring/page.h"
#include "swap_support.h"
#include "unit/unit.h"

#define SWAPS 12
#define PRODUCERS 2

static atomic_char tag_of[SWAPS + 3]; /* by generation; written before the swap that makes it */
static atomic_bool enough;

/* Sends and takes on a lane of its own. Every result is that of the version whose generation it carries, in order. */
static void *send_and_check(void *pipeline)
{
    GpuQueue *q = gq_queue(pipeline);
    uint64_t sent = 0, taken = 0;
    uint32_t generation = 1;
    QResult r[16];
    while (!enough || taken < sent) {
        uint64_t text[1] = {sent};
        size_t count = 0;
        if (!enough && q_enqueue(q, text, sizeof text, NULL, 0) == Q_OK)
            sent++;
        q_peek(q, r, 16, &count, 0);
        for (size_t i = 0; i < count; i++) {
            uint64_t number;
            ck_assert_uint_eq(r[i].status, Q_RESULT_OK);
            ck_assert_uint_eq(r[i].len, sizeof number + 1);
            memcpy(&number, r[i].data, sizeof number);
            ck_assert_uint_eq(number, taken++); /* none lost, none twice, none out of order */
            ck_assert_uint_ge(r[i].generation, generation);
            generation = r[i].generation;
            ck_assert_uint_le(generation, SWAPS + 1);
            ck_assert_int_eq(((const char *)r[i].data)[sizeof number], tag_of[generation]);
        }
        if (count)
            ck_assert_int_eq(q_release(q, r, count), Q_OK);
    }
    uint64_t *total = malloc(sizeof *total);
    *total = taken;
    return total;
}

/* Messages that each version served, by the list of versions; forgotten ones are not in it. */
static uint64_t messages_served(gq_pipeline *p)
{
    gq_version_info all[64];
    size_t count;
    uint64_t sum = 0;
    ck_assert_int_eq(gq_versions(p, all, 64, &count), GQ_OK);
    for (size_t i = 0; i < count; i++)
        sum += all[i].messages;
    return sum;
}

START_TEST(every_message_is_answered_by_the_version_that_its_generation_names)
{
    pthread_t thread[PRODUCERS];
    uint64_t taken = 0;
    write_tagger("v1.cu", 'a');
    write_tagger("v2.cu", 'b');
    write_tagger("v3.cu", 'c');
    gq_pipeline *p = started("");
    tag_of[1] = 'a';
    for (int i = 0; i < PRODUCERS; i++)
        pthread_create(&thread[i], NULL, send_and_check, p);
    for (uint32_t i = 0; i < SWAPS; i++) {
        tag_of[i + 2] = (char)('a' + (i + 1) % 3);
        must(swap_to(p, "s", in_folder(i % 3 == 0 ? "v2.cu" : i % 3 == 1 ? "v3.cu" : "v1.cu")));
        ck_assert_uint_eq(result.generation, i + 2);
        ck_assert_uint_eq(result.live, i % 3 == 0 ? 2 : i % 3 == 1 ? 3 : 1); /* kept ones are used again */
        usleep(2000);
    }
    enough = true;
    for (int i = 0; i < PRODUCERS; i++) {
        void *count;
        pthread_join(thread[i], &count);
        taken += *(uint64_t *)count;
        free(count);
    }
    ck_assert_uint_eq(messages_served(p), taken);
    finish(p);
}
END_TEST

START_TEST(a_swap_tells_what_it_did)
{
    write_tagger("v1.cu", 'a');
    write_text("v1.golden.yaml",
               "- { name: a letter, in: \"q\", out: \"qb\" }\n- { name: none, in: \"\", out: \"b\" }\n");
    gq_pipeline *p = started("");
    expect_answer(p, "xa", 1);
    write_tagger("v1.cu", 'b');
    must(swap_to(p, "s", NULL));
    ck_assert_uint_eq(result.size, sizeof result);
    ck_assert_int_eq(result.step, GQ_STEP_DONE);
    ck_assert_uint_eq(result.version, 2);
    ck_assert_uint_eq(result.live, 2);
    ck_assert_uint_eq(result.generation, 2);
    ck_assert_uint_eq(result.vectors, 2);
    ck_assert_uint_eq(strlen(result.digest), GQ_SHORT_DIGEST - 1);
    ck_assert_str_eq(result.log, "");
    ck_assert_uint_gt(result.build_ns, 0);
    ck_assert_uint_gt(result.rehearse_ns, 0);
    ck_assert_uint_ge(result.total_ns, result.build_ns + result.rehearse_ns + result.load_ns + result.launch_ns);
    expect_answer(p, "xb", 2);
    const gq_version_info first = info_of(p, "s", 1), second = info_of(p, "s", 2);
    ck_assert_int_eq(first.state, GQ_VERSION_WARM);
    ck_assert_uint_eq(first.messages, 1);
    ck_assert_int_eq(second.state, GQ_VERSION_LIVE);
    ck_assert_uint_eq(second.messages, 1);
    ck_assert_uint_eq(second.in_flight, 0);
    ck_assert_uint_eq(second.rehearsed, 2);
    ck_assert_uint_eq(second.generation, 2);
    ck_assert_uint_ge(second.loaded_at_ns, first.loaded_at_ns);
    ck_assert_str_eq(second.digest, result.digest);
    ck_assert_str_eq(strrchr(second.plugin, '/'), "/v1.cu");
    finish(p);
}
END_TEST

START_TEST(the_same_code_is_no_change)
{
    write_tagger("v1.cu", 'a');
    gq_pipeline *p = started("");
    must(swap_to(p, "s", NULL));
    ck_assert_int_eq(result.step, GQ_STEP_DONE);
    ck_assert_uint_eq(result.generation, 0);
    ck_assert_uint_eq(result.version, 1);
    ck_assert_uint_eq(result.live, 1);
    expect_answer(p, "xa", 1);
    finish(p);
}
END_TEST

START_TEST(a_rollback_goes_back_and_forth)
{
    write_tagger("v1.cu", 'a');
    write_tagger("v2.cu", 'b');
    gq_pipeline *p = started("");
    result.size = sizeof result;
    ck_assert_int_eq(gq_rollback(p, "s", &result), GQ_ERR_NOT_FOUND);
    ck_assert_uint_eq(result.live, 1);
    must(swap_to(p, "s", in_folder("v2.cu")));
    expect_answer(p, "xb", 2);
    must(gq_rollback(p, "s", &result));
    ck_assert_uint_eq(result.version, 1);
    ck_assert_uint_eq(result.generation, 3);
    ck_assert_uint_eq(result.build_ns, 0);
    expect_answer(p, "xa", 3);
    must(gq_rollback(p, "s", NULL));
    expect_answer(p, "xb", 4);
    finish(p);
}
END_TEST

START_TEST(kept_versions_can_be_used_and_discarded)
{
    write_tagger("v1.cu", 'a');
    write_tagger("v2.cu", 'b');
    gq_pipeline *p = started("");
    must(swap_to(p, "s", in_folder("v2.cu")));
    ck_assert_int_eq(gq_discard(p, "s", 2), GQ_ERR_INVALID_ARG);
    ck_assert_msg(strstr(gq_last_error(), "it is live"), "%s", gq_last_error());
    ck_assert_int_eq(gq_discard(p, "s", 3), GQ_ERR_NOT_FOUND);
    must(gq_use(p, "s", 1, &result));
    expect_answer(p, "xa", 3);
    must(gq_use(p, "s", 1, &result)); /* it is live: no change */
    ck_assert_uint_eq(result.generation, 0);
    must(gq_discard(p, "s", 2));
    expect_state(p, "s", 2, GQ_VERSION_DISCARDED);
    ck_assert_int_eq(gq_use(p, "s", 2, &result), GQ_ERR_NOT_FOUND);
    ck_assert_int_eq(gq_discard(p, "s", 2), GQ_ERR_NOT_FOUND);
    ck_assert_int_eq(gq_rollback(p, "s", &result), GQ_ERR_NOT_FOUND);
    expect_answer(p, "xa", 3);
    must(swap_to(p, "s", in_folder("v2.cu"))); /* loaded again, as another version */
    ck_assert_uint_eq(result.version, 3);
    expect_answer(p, "xb", 4);
    finish(p);
}
END_TEST

START_TEST(only_so_many_versions_are_kept)
{
    write_tagger("v1.cu", 'a');
    gq_pipeline *p = started("swap: { keep_versions: 2, rehearse: off }\n");
    for (char tag = 'b'; tag <= 'f'; tag++) {
        write_tagger("v1.cu", tag);
        must(swap_to(p, "s", NULL));
    }
    expect_state(p, "s", 6, GQ_VERSION_LIVE);
    expect_state(p, "s", 5, GQ_VERSION_WARM);
    expect_state(p, "s", 4, GQ_VERSION_WARM);
    expect_state(p, "s", 3, GQ_VERSION_DISCARDED);
    expect_state(p, "s", 1, GQ_VERSION_DISCARDED);
    must(gq_use(p, "s", 4, &result));
    expect_answer(p, "xd", 7);
    finish(p);
}
END_TEST

/* A thread says so by its crumb, a device's team by its run. */
static bool is_inside(const struct gq_worker_page *page)
{
    uint64_t data;
    for (uint32_t i = 0; i < gq_page_threads(page); i++)
        if (gq_page_crumb(page, i).current)
            return true;
    for (uint32_t i = 0; i < gq_page_runs(page); i++)
        if (gq_page_run(page, i, &data))
            return true;
    return false;
}

static void wait_until_inside(gq_pipeline *p)
{
    const uint64_t deadline = gq_clock_deadline(20000);
    while (!is_inside(p->remote->link.worker))
        ck_assert(!gq_clock_past(deadline) && usleep(1000) == 0);
}

static void write_slow(const char *name)
{
    write_text(name, "#include <gpuqueue/plugin.h>\n"
                     "__device__ void process_message(const MsgView &in, ResultView *out)\n"
                     "{\n"
                     "    for (long long end = clock64() + 600000000; clock64() < end;)\n"
                     "        continue;\n"
                     "    *out->out_len = 0;\n"
                     "}\n");
}

START_TEST(a_version_drains_until_its_messages_have_ended)
{
    write_slow("v1.cu");
    write_tagger("v2.cu", 'b');
    gq_pipeline *p = started("");
    ck_assert_int_eq(q_enqueue(gq_queue(p), "x", 1, NULL, 0), Q_OK);
    wait_until_inside(p);
    ck_assert_uint_eq(info_of(p, "s", 1).in_flight, 1);
    must(swap_to(p, "s", in_folder("v2.cu")));
    if (info_of(p, "s", 1).state == GQ_VERSION_DRAINING) { /* the build may have taken longer than the message */
        ck_assert_uint_eq(info_of(p, "s", 1).in_flight, 1);
        ck_assert_uint_eq(info_of(p, "s", 2).in_flight, 0);
        ck_assert_int_eq(gq_discard(p, "s", 1), GQ_ERR_INVALID_ARG);
        ck_assert_msg(strstr(gq_last_error(), "1 messages that came before"), "%s", gq_last_error());
    }
    QResult r;
    size_t count;
    ck_assert_int_eq(q_peek(gq_queue(p), &r, 1, &count, 20000), Q_OK);
    ck_assert_uint_eq(r.generation, 1);
    q_release(gq_queue(p), &r, 1);
    expect_state(p, "s", 1, GQ_VERSION_WARM);
    must(gq_discard(p, "s", 1));
    finish(p);
}
END_TEST

/* False: the message had ended before the swap beside it had. On a device it always has: grids leave before code is
 * loaded. */
static bool swap_beside_a_message(bool *device)
{
    gq_pipeline *p = started("swap: { keep_versions: 1, rehearse: off }\n");
    must(swap_to(p, "s", in_folder("slow.cu")));
    expect_state(p, "s", 1, GQ_VERSION_WARM);
    ck_assert_int_eq(q_enqueue(gq_queue(p), "x", 1, NULL, 0), Q_OK);
    wait_until_inside(p);
    must(swap_to(p, "s", in_folder("v3.cu")));
    const gq_version_state first = info_of(p, "s", 1).state;
    const bool drains = info_of(p, "s", 2).state == GQ_VERSION_DRAINING;
    if (drains)
        ck_assert_int_eq(first, GQ_VERSION_DISCARDED);
    QResult r;
    size_t count;
    ck_assert_int_eq(q_peek(gq_queue(p), &r, 1, &count, 20000), Q_OK);
    q_release(gq_queue(p), &r, 1);
    *device = p->backend == GQ_BACKEND_CUDA;
    finish(p);
    return drains;
}

START_TEST(a_version_that_drains_is_one_of_those_that_are_kept)
{
    bool seen = false, device = false;
    write_tagger("v1.cu", 'a');
    write_slow("slow.cu");
    write_tagger("v3.cu", 'c');
    for (int i = 0; i < 10 && !seen && !device; i++) /* the first one builds, which may take as long as the message */
        seen = swap_beside_a_message(&device);
    ck_assert(seen || device);
}
END_TEST

/* --- state
 * ------------------------------------------------------------------------------------------------------------
 */

/* A plugin that counts its messages and answers with the count and a letter. */
static const char *write_counter(const char *name, char tag, const char *state, const char *more)
{
    char text[1024];
    snprintf(text, sizeof text,
             "#include <gpuqueue/plugin.h>\n%s\n%s\n"
             "__device__ void process_message(const MsgView &, ResultView *out)\n"
             "{\n"
             "    uint32_t *n = (uint32_t *)gq_state(4);\n"
             "    out->out[0] = '0' + atomicAdd(n, 1u);\n"
             "    out->out[1] = '%c';\n"
             "    *out->out_len = 2;\n"
             "}\n",
             state, more, tag);
    return write_text(name, text);
}

START_TEST(state_survives_a_swap_and_is_migrated_by_those_who_can)
{
    write_counter("v1.cu", 'a', "GQ_STATE(4, 1);", "");
    write_counter("v2.cu", 'b', "GQ_STATE(4, 1);", "");
    write_counter("v3.cu", 'c', "GQ_STATE(8, 2);", "");
    write_counter("v4.cu", 'd', "GQ_STATE(8, 2);",
                  "__device__ void gq_migrate(const void *old_state, uint32_t, uint32_t old_version, void *state)\n"
                  "{\n"
                  "    *(uint32_t *)state = *(const uint32_t *)old_state + old_version;\n"
                  "}\n");
    gq_pipeline *p = started("");
    expect_answer(p, "0a", 1);
    expect_answer(p, "1a", 1);
    must(swap_to(p, "s", in_folder("v2.cu")));
    expect_answer(p, "2b", 2);
    ck_assert_int_eq(swap_to(p, "s", in_folder("v3.cu")), GQ_ERR_PLUGIN);
    ck_assert_int_eq(result.step, GQ_STEP_INSPECT);
    ck_assert_msg(strstr(gq_last_error(), "4 bytes, version 1") && strstr(gq_last_error(), "8 bytes, version 2") &&
                      strstr(gq_last_error(), "gq_migrate"),
                  "%s", gq_last_error());
    expect_state(p, "s", 3, GQ_VERSION_FAILED);
    expect_answer(p, "3b", 2);
    must(swap_to(p, "s", in_folder("v4.cu")));
    expect_answer(p, "5d", 3);
    ck_assert_int_eq(gq_rollback(p, "s", &result), GQ_ERR_PLUGIN); /* version 2 cannot take the new state over */
    ck_assert_int_eq(result.step, GQ_STEP_INSPECT);
    ck_assert_uint_eq(result.live, 4);
    expect_answer(p, "6d", 3);
    finish(p);
}
END_TEST

START_TEST(a_version_without_state_leaves_it_to_the_next)
{
    write_counter("v1.cu", 'a', "GQ_STATE(4, 1);", "");
    write_tagger("v2.cu", 'b');
    write_counter("v3.cu", 'c', "GQ_STATE(8, 2);", "");
    gq_pipeline *p = started("swap: { rehearse: off }\n");
    expect_answer(p, "0a", 1);
    must(swap_to(p, "s", in_folder("v2.cu")));
    expect_answer(p, "xb", 2);
    ck_assert_int_eq(swap_to(p, "s", in_folder("v3.cu")), GQ_ERR_PLUGIN);
    must(gq_rollback(p, "s", &result));
    expect_answer(p, "1a", 3);
    finish(p);
}
END_TEST

START_TEST(a_swap_of_one_stage_keeps_the_others)
{
    write_tagger("v1.cu", 'a');
    write_tagger("v2.cu", 'z');
    write_text("count.cu", "#include <gpuqueue/plugin.h>\nGQ_STATE(4, 1);\n"
                           "__device__ void process_message(const MsgView &in, ResultView *out)\n"
                           "{\n"
                           "    for (uint32_t i = 0; i < in.len; i++)\n"
                           "        out->out[i] = in.payload[i];\n"
                           "    out->out[in.len] = '0' + atomicAdd((uint32_t *)gq_state(4), 1u);\n"
                           "    *out->out_len = in.len + 1;\n"
                           "}\n");
    gq_pipeline *p =
        opened(HEAD "stages: [{ name: first, plugin: v1.cu }, { name: second, plugin: count.cu }]\n", false);
    must(gq_start(p));
    expect_answer(p, "xa0", 1);
    must(swap_to(p, "first", in_folder("v2.cu")));
    expect_answer(p, "xz1", 2);
    must(swap_to(p, "second", in_folder("v1.cu")));
    expect_answer(p, "xza", 3);
    must(gq_rollback(p, "first", &result));
    expect_answer(p, "xaa", 4);
    must(gq_rollback(p, "second", &result));
    expect_answer(p, "xa2", 5);
    ck_assert_uint_eq(info_of(p, "first", 1).messages, 3);
    ck_assert_uint_eq(info_of(p, "first", 2).messages, 2);
    ck_assert_uint_eq(info_of(p, "second", 1).messages, 3);
    ck_assert_int_eq(swap_to(p, "third", in_folder("v2.cu")), GQ_ERR_INVALID_ARG);
    ck_assert_msg(strstr(gq_last_error(), "it has first, second"), "%s", gq_last_error());
    finish(p);
}
END_TEST

/* On a device such code needs memory that is made at its first launch, which must not wait for grids of other stages.
 */
static const char *write_deep(const char *name, char tag, uint32_t words)
{
    char text[1024];
    snprintf(text, sizeof text,
             "#include <gpuqueue/plugin.h>\n#include <assert.h>\n"
             "__device__ void process_message(const MsgView &in, ResultView *out)\n"
             "{\n"
             "    volatile uint8_t copy[4 * %u];\n"
             "    assert(in.len < sizeof copy);\n"
             "    for (uint32_t i = 0; i < in.len; i++)\n"
             "        copy[(i * 97 + in.len) %% sizeof copy] = in.payload[i];\n"
             "    for (uint32_t i = 0; i < in.len; i++)\n"
             "        out->out[i] = copy[(i * 97 + in.len) %% sizeof copy];\n"
             "    out->out[in.len] = '%c';\n"
             "    *out->out_len = in.len + 1;\n"
             "}\n",
             words, tag);
    return write_text(name, text);
}

START_TEST(code_that_needs_a_deep_stack_goes_live_beside_other_stages)
{
    write_tagger("v1.cu", 'a');
    write_deep("d1.cu", 'b', 512);
    write_deep("d2.cu", 'c', 4096);
    gq_pipeline *p = opened(HEAD "stages: [{ name: first, plugin: v1.cu }, { name: second, plugin: d1.cu }, "
                                 "{ name: third, plugin: v1.cu }]\n",
                            false);
    must(gq_start(p));
    expect_answer(p, "xaba", 1);
    must(swap_to(p, "third", in_folder("d2.cu")));
    expect_answer(p, "xabc", 2);
    must(swap_to(p, "first", in_folder("d2.cu")));
    expect_answer(p, "xcbc", 3);
    must(gq_rollback(p, "third", &result));
    expect_answer(p, "xcba", 4);
    finish(p);
}
END_TEST

START_TEST(builtins_can_be_swapped_in)
{
    write_tagger("v1.cu", 'a');
    gq_pipeline *p = started("");
    must(swap_to(p, "s", "builtin:echo"));
    expect_answer(p, "x", 2);
    must(gq_rollback(p, "s", &result));
    expect_answer(p, "xa", 3);
    finish(p);
}
END_TEST

START_TEST(latencies_are_kept_for_each_version)
{
    write_tagger("v1.cu", 'a');
    write_tagger("v2.cu", 'b');
    gq_pipeline *p = started("sink: { null: {} }\n");
    gq_stats stats = {.size = sizeof stats};
    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(q_enqueue(gq_queue(p), "x", 1, NULL, 20000), Q_OK);
    while (gq_get_stats(p, &stats) == GQ_OK && stats.messages_out < 10)
        usleep(1000);
    must(swap_to(p, "s", in_folder("v2.cu")));
    ck_assert_int_eq(q_enqueue(gq_queue(p), "x", 1, NULL, 20000), Q_OK);
    while (gq_get_stats(p, &stats) == GQ_OK && stats.messages_out < 11)
        usleep(1000);
    ck_assert_uint_eq(info_of(p, "s", 1).messages, 10);
    ck_assert_uint_gt(info_of(p, "s", 1).p99_ns, 0);
    ck_assert_uint_eq(info_of(p, "s", 2).messages, 1);
    ck_assert_uint_gt(info_of(p, "s", 2).p99_ns, 0);
    ck_assert_int_eq(gq_get_stats(p, &stats), GQ_OK);
    ck_assert_uint_ge(stats.max_ns, info_of(p, "s", 1).p99_ns);
    finish(p);
}
END_TEST

/* --- calls -----------------------------------------------------------------------------------------------------------
 */

static void *swap_often(void *pipeline)
{
    char path[2][256];
    snprintf(path[0], sizeof path[0], "%s/v2.cu", folder);
    snprintf(path[1], sizeof path[1], "%s/v1.cu", folder);
    for (int i = 0; i < 5; i++) {
        gq_swap_result mine = {.size = sizeof mine};
        const gq_swap_opts opts = {.size = sizeof opts, .plugin = path[i % 2]};
        ck_assert_msg(gq_swap(pipeline, "s", &opts, &mine) == GQ_OK, "%s", gq_last_error());
    }
    return NULL;
}

START_TEST(two_threads_swap_one_after_the_other)
{
    pthread_t thread;
    uint32_t generation;
    write_tagger("v1.cu", 'a');
    write_tagger("v2.cu", 'b');
    write_tagger("v3.cu", 'c');
    gq_pipeline *p = started("");
    pthread_create(&thread, NULL, swap_often, p);
    for (int i = 0; i < 5; i++)
        must(swap_to(p, "s", i % 2 ? "builtin:echo" : in_folder("v3.cu")));
    pthread_join(thread, NULL);
    answer(p, &generation);
    ck_assert_uint_ge(generation, 6);
    finish(p);
}
END_TEST

START_TEST(calls_before_the_start_and_after_the_stop_are_refused)
{
    write_tagger("v1.cu", 'a');
    gq_pipeline *p = opened(HEAD "stages: [{ name: s, plugin: v1.cu }]\n", false);
    ck_assert_int_eq(swap_to(p, "s", NULL), GQ_ERR_INVALID_ARG);
    ck_assert_str_eq(gq_last_error(), "gq_swap comes between gq_start and gq_stop");
    must(gq_start(p));
    expect_answer(p, "xa", 1);
    must(gq_stop(p, 0));
    ck_assert_int_eq(swap_to(p, "s", NULL), GQ_ERR_INVALID_ARG);
    ck_assert_int_eq(gq_rollback(p, "s", NULL), GQ_ERR_INVALID_ARG);
    ck_assert_int_eq(gq_use(p, "s", 1, NULL), GQ_ERR_INVALID_ARG);
    ck_assert_int_eq(gq_discard(p, "s", 1), GQ_ERR_INVALID_ARG);
    ck_assert_int_eq(gq_reload(p, NULL, NULL), GQ_ERR_INVALID_ARG);
    ck_assert_uint_eq(info_of(p, "s", 1).messages, 1); /* the list stays readable */
    gq_close(p);
}
END_TEST

START_TEST(arguments_are_checked)
{
    size_t count;
    gq_version_info one;
    write_tagger("v1.cu", 'a');
    gq_pipeline *p = started("");
    ck_assert_int_eq(gq_swap(NULL, "s", NULL, NULL), GQ_ERR_INVALID_ARG);
    ck_assert_int_eq(gq_swap(p, NULL, NULL, NULL), GQ_ERR_INVALID_ARG);
    gq_swap_result unset = {0};
    ck_assert_int_eq(gq_swap(p, "s", NULL, &unset), GQ_ERR_INVALID_ARG);
    ck_assert_str_eq(gq_last_error(), "gq_swap: the result's size is not set");
    gq_swap_opts opts = {.size = sizeof opts, .rehearse = 3};
    ck_assert_int_eq(gq_swap(p, "s", &opts, NULL), GQ_ERR_INVALID_ARG);
    struct {
        gq_swap_opts opts;
        uint64_t more;
    } newer = {.opts.size = sizeof newer, .more = 1};
    ck_assert_int_eq(gq_swap(p, "s", &newer.opts, NULL), GQ_ERR_INVALID_ARG);
    newer.more = 0;
    ck_assert_int_eq(gq_swap(p, "s", &newer.opts, NULL), GQ_OK);
    struct {
        size_t size;
        gq_swap_step step;
        uint32_t version;
        uint8_t not_theirs[8];
    } older = {.size = offsetof(gq_swap_result, live)};
    ck_assert_int_eq(gq_swap(p, "s", NULL, (gq_swap_result *)&older), GQ_OK);
    ck_assert_uint_eq(older.version, 1);
    for (size_t i = 0; i < sizeof older.not_theirs; i++)
        ck_assert_uint_eq(older.not_theirs[i], 0);
    ck_assert_int_eq(gq_versions(p, NULL, 1, &count), GQ_ERR_INVALID_ARG);
    ck_assert_int_eq(gq_versions(p, &one, 1, NULL), GQ_ERR_INVALID_ARG);
    ck_assert_int_eq(gq_versions(p, NULL, 0, &count), GQ_OK);
    ck_assert_uint_eq(count, 0);
    ck_assert_str_eq(gq_swap_step_name(GQ_STEP_REHEARSE), "rehearse");
    ck_assert_str_eq(gq_swap_step_name((gq_swap_step)99), "?");
    ck_assert_str_eq(gq_version_state_name(GQ_VERSION_DRAINING), "draining");
    ck_assert_str_eq(gq_version_state_name((gq_version_state)99), "?");
    finish(p);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {every_message_is_answered_by_the_version_that_its_generation_names,
                                  a_swap_tells_what_it_did,
                                  the_same_code_is_no_change,
                                  a_rollback_goes_back_and_forth,
                                  kept_versions_can_be_used_and_discarded,
                                  only_so_many_versions_are_kept,
                                  a_version_drains_until_its_messages_have_ended,
                                  a_version_that_drains_is_one_of_those_that_are_kept,
                                  state_survives_a_swap_and_is_migrated_by_those_who_can,
                                  a_version_without_state_leaves_it_to_the_next,
                                  a_swap_of_one_stage_keeps_the_others,
                                  code_that_needs_a_deep_stack_goes_live_beside_other_stages,
                                  builtins_can_be_swapped_in,
                                  latencies_are_kept_for_each_version,
                                  two_threads_swap_one_after_the_other,
                                  calls_before_the_start_and_after_the_stop_are_refused,
                                  arguments_are_checked};
    return unit_run("swap", tests, sizeof tests / sizeof *tests, make_folder, remove_folder);
}
