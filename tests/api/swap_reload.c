/* gq_reload: the pipeline file says what runs, as far as that can change. */
#include "swap_support.h"
#include "unit/unit.h"

#define TWO                                                                 \
    HEAD "stages:\n  - { name: one, plugin: v1.cu, params: { tag: %d } }\n" \
         "  - { name: two, plugin: %s }\n%s"

static void write_pipeline(int tag, const char *second, const char *more)
{
    char text[1024];
    snprintf(text, sizeof text, TWO, tag, second, more);
    write_text("swap.yaml", text);
}

static gq_pipeline *started_two(void)
{
    char text[1024];
    write_tagger("v1.cu", 'a');
    write_tagger("v2.cu", 'b');
    snprintf(text, sizeof text, TWO, 'k', "v2.cu", "");
    gq_pipeline *p = opened(text, true);
    must(gq_start(p));
    expect_answer(p, "xkb", 1);
    return p;
}

static gq_status reload(gq_pipeline *p, uint32_t expected)
{
    uint32_t changed = 99;
    memset(&result, 0x5a, sizeof result);
    result.size = sizeof result;
    const gq_status status = gq_reload(p, &changed, &result);
    ck_assert_msg(changed == expected, "%u were changed: %s", changed, gq_last_error());
    return status;
}

START_TEST(a_changed_parameter_is_a_swap_of_its_stage)
{
    gq_pipeline *p = started_two();
    write_pipeline('m', "v2.cu", "");
    must(reload(p, 1));
    ck_assert_int_eq(result.step, GQ_STEP_DONE);
    ck_assert_uint_eq(result.version, 2);
    ck_assert_str_eq(result.stage, "one");
    expect_answer(p, "xmb", 2);
    must(swap_to(p, "one", in_folder("v2.cu"))); /* the parameters are those of the file as it is now */
    expect_answer(p, "xmb", 3);
    finish(p);
}
END_TEST

START_TEST(a_changed_plugin_is_a_swap_of_its_stage)
{
    gq_pipeline *p = started_two();
    write_tagger("v3.cu", 'c');
    write_pipeline('k', "v3.cu", "");
    must(reload(p, 1));
    expect_answer(p, "xkc", 2);
    write_tagger("v3.cu", 'd'); /* the same name, and other code */
    must(reload(p, 1));
    expect_answer(p, "xkd", 3);
    finish(p);
}
END_TEST

START_TEST(a_file_that_says_the_same_changes_nothing)
{
    gq_pipeline *p = started_two();
    must(reload(p, 0));
    ck_assert_int_eq(result.step, GQ_STEP_DONE);
    ck_assert_uint_eq(result.generation, 0);
    ck_assert_str_eq(result.stage, "");
    must(swap_to(p, "two", "builtin:echo"));
    must(reload(p, 0)); /* what somebody swapped by hand stays */
    expect_answer(p, "xk", 2);
    finish(p);
}
END_TEST

START_TEST(both_stages_change_or_none)
{
    gq_pipeline *p = started_two();
    write_text("bad.cu", "#include <gpuqueue/plugin.h>\n?\n");
    write_pipeline('m', "bad.cu", "");
    ck_assert_int_eq(reload(p, 0), GQ_ERR_PLUGIN);
    ck_assert_int_eq(result.step, GQ_STEP_BUILD);
    ck_assert_str_eq(result.stage, "two");
    ck_assert_msg(strstr(result.log, "bad.cu:2:1: error: "), "%s", result.log);
    expect_answer(p, "xkb", 1);
    expect_state(p, "one", 2, GQ_VERSION_DISCARDED);
    expect_state(p, "two", 2, GQ_VERSION_FAILED);
    write_tagger("bad.cu", 'g');
    must(reload(p, 2));
    expect_answer(p, "xmg", 3);
    finish(p);
}
END_TEST

static void cannot_change(const char *text, const char *section)
{
    gq_pipeline *p = started_two();
    write_text("swap.yaml", text);
    ck_assert_int_eq(reload(p, 0), GQ_ERR_CONFIG);
    ck_assert_msg(strstr(gq_last_error(), section) && strstr(gq_last_error(), "restart to change it"), "%s",
                  gq_last_error());
    expect_answer(p, "xkb", 1);
    finish(p);
}

#define STAGES "stages: [{ name: one, plugin: v1.cu, params: { tag: 107 } }, { name: two, plugin: v2.cu }]\n"

START_TEST(what_messages_are_laid_out_for_cannot_change)
{
    cannot_change(HEAD STAGES "sink: { null: {} }\n", ": sink");
    cannot_change(HEAD STAGES "source: { generate: { count: 1, bytes: 1 } }\n", ": source");
    cannot_change(HEAD STAGES "on_error: { retries: 1 }\nname: other\n", "name, on_error");
    cannot_change("version: 1\nqueue: { capacity: 128, slot_bytes: 64 }\ncpu: { threads: 2 }\n" STAGES,
                  "backend, queue");
    cannot_change(HEAD "stages: [{ name: one, plugin: v1.cu }]\n", "stages");
    cannot_change(HEAD "stages: [{ name: one, plugin: v1.cu }, { name: three, plugin: v2.cu }]\n", "stages");
}
END_TEST

#define FILED HEAD STAGES "source: { generate: { count: 1, bytes: 1 } }\nsink: { null: {} }\n"

/* Dead letters go to NAME.dlq where the file does not say where, and then the name is all that was changed. */
START_TEST(a_default_that_follows_from_a_change_is_none)
{
    static const struct {
        const char *more, *changed;
    } rows[] = {{"name: other\n", ": name; restart"},
                {"name: other\non_error: { retries: 1 }\n", ": name, on_error; restart"},
                {"on_error: { dead_letter: { file: { path: o.dlq } } }\n", ": on_error; restart"}};
    write_tagger("v1.cu", 'a');
    write_tagger("v2.cu", 'b');
    gq_pipeline *p = opened(FILED, true);
    must(gq_start(p));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[1024];
        snprintf(text, sizeof text, FILED "%s", rows[i].more);
        write_text("swap.yaml", text);
        ck_assert_int_eq(reload(p, 0), GQ_ERR_CONFIG);
        ck_assert_msg(strstr(gq_last_error(), rows[i].changed) != NULL, "%s", gq_last_error());
    }
    finish(p);
}
END_TEST

START_TEST(a_file_with_errors_changes_nothing)
{
    gq_pipeline *p = started_two();
    write_text("swap.yaml", "version: 1\nstagges: []\n");
    ck_assert_int_eq(reload(p, 0), GQ_ERR_CONFIG);
    ck_assert_msg(strstr(result.log, "swap.yaml:2:1: error: stagges: unknown key, did you mean 'stages'?"), "%s",
                  result.log);
    ck_assert_int_eq(unlink(in_folder("swap.yaml")), 0);
    ck_assert_int_eq(reload(p, 0), GQ_ERR_IO);
    expect_answer(p, "xkb", 1);
    write_pipeline('m', "v2.cu", "");
    must(reload(p, 1));
    expect_answer(p, "xmb", 2);
    finish(p);
}
END_TEST

START_TEST(how_swaps_are_done_may_change)
{
    gq_pipeline *p = started_two();
    write_text("v1.golden.yaml", "- { name: wrong, in: \"x\", out: \"?\" }\n");
    write_pipeline('m', "v2.cu", "");
    ck_assert_int_eq(reload(p, 0), GQ_ERR_PLUGIN);
    write_pipeline('m', "v2.cu", "swap: { rehearse: off }\n");
    must(reload(p, 1));
    expect_answer(p, "xmb", 2);
    finish(p);
}
END_TEST

START_TEST(how_many_versions_are_kept_may_change)
{
    gq_pipeline *p = started_two();
    must(swap_to(p, "two", in_folder("v1.cu")));
    write_pipeline('k', "v2.cu", "swap: { keep_versions: 1 }\n");
    must(reload(p, 0));
    must(swap_to(p, "two", "builtin:echo"));
    expect_state(p, "two", 1, GQ_VERSION_WARM); /* the only one that has served a message */
    expect_state(p, "two", 2, GQ_VERSION_WARM);
    expect_answer(p, "xk", 3);
    must(swap_to(p, "two", write_tagger("v3.cu", 'c')));
    expect_state(p, "two", 1, GQ_VERSION_DISCARDED);
    expect_state(p, "two", 2, GQ_VERSION_DISCARDED);
    expect_state(p, "two", 3, GQ_VERSION_WARM);
    finish(p);
}
END_TEST

START_TEST(what_is_being_stopped_takes_no_new_code)
{
    gq_pipeline *p = started_two();
    must(swap_to(p, "two", "builtin:echo"));
    gq_interrupt(p);
    ck_assert_int_eq(swap_to(p, "one", in_folder("v2.cu")), GQ_ERR_SHUTDOWN);
    write_pipeline('m', "v2.cu", "");
    ck_assert_int_eq(reload(p, 0), GQ_ERR_SHUTDOWN);
    must(gq_rollback(p, "two", &result)); /* nothing is built for it */
    finish(p);
}
END_TEST

START_TEST(a_pipeline_that_was_given_as_text_has_no_file)
{
    write_tagger("v1.cu", 'a');
    gq_pipeline *p = started("");
    ck_assert_int_eq(reload(p, 0), GQ_ERR_INVALID_ARG);
    finish(p);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_changed_parameter_is_a_swap_of_its_stage,   a_changed_plugin_is_a_swap_of_its_stage,
        a_file_that_says_the_same_changes_nothing,    both_stages_change_or_none,
        what_messages_are_laid_out_for_cannot_change, a_default_that_follows_from_a_change_is_none,
        a_file_with_errors_changes_nothing,           how_swaps_are_done_may_change,
        how_many_versions_are_kept_may_change,        what_is_being_stopped_takes_no_new_code,
        a_pipeline_that_was_given_as_text_has_no_file};
    return unit_run("reload", tests, sizeof tests / sizeof *tests, make_folder, remove_folder);
}
