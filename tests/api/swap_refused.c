/* A swap that is refused, at whatever step and for whatever reason, leaves the live version as it was. */
#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include "swap_support.h"
#include "unit/unit.h"

#define BUDGET "swap: { budget: 500ms }\n"

/* What the plugin `name` of `text` is refused with. The live version answers as before, and the next swap works. */
static void refused(const char *more, const char *text, gq_swap_step step, const char *said)
{
    write_tagger("v1.cu", 'a');
    gq_pipeline *p = started(more);
    expect_answer(p, "xa", 1);
    const gq_status status = swap_to(p, "s", text ? write_text("bad.cu", text) : in_folder("bad.cu"));
    ck_assert_msg(status == GQ_ERR_PLUGIN, "status %d: %s", (int)status, gq_last_error());
    ck_assert_msg(result.step == step, "%s: %s", gq_swap_step_name(result.step), gq_last_error());
    ck_assert_msg(strstr(gq_last_error(), said) || strstr(result.log, said), "%s\n%s", gq_last_error(), result.log);
    ck_assert_uint_eq(result.generation, 0);
    ck_assert_uint_eq(result.live, 1);
    expect_answer(p, "xa", 1);
    ck_assert_uint_eq(info_of(p, "s", 1).messages, 2);
    ck_assert_int_eq(info_of(p, "s", 1).state, GQ_VERSION_LIVE);
    if (step != GQ_STEP_RESOLVE) {
        ck_assert_uint_eq(result.version, 2);
        expect_state(p, "s", 2, GQ_VERSION_FAILED);
    }
    write_tagger("good.cu", 'b');
    must(swap_to(p, "s", in_folder("good.cu")));
    expect_answer(p, "xb", 2);
    finish(p);
}

#define PLUGIN(body)                 \
    "#include <gpuqueue/plugin.h>\n" \
    "__device__ void process_message(const MsgView &in, ResultView *out)\n{\n" body "    *out->out_len = in.len;\n}\n"

/* The result depends on it: a device would go on after a store. */
#define WILD_READ "    out->out[0] = *(volatile uint8_t *)8;\n"

/* The tests run on a GPU too, where that is said by the environment. */
static bool on_gpu(void)
{
    const char *backend = getenv("GPUQ_BACKEND");
    return backend && strcmp(backend, "cuda") == 0;
}

START_TEST(a_file_that_is_not_there) { refused("", NULL, GQ_STEP_RESOLVE, "bad.cu"); }
END_TEST

START_TEST(a_path_that_is_empty)
{
    write_tagger("v1.cu", 'a');
    gq_pipeline *p = started("");
    ck_assert_int_eq(swap_to(p, "s", ""), GQ_ERR_PLUGIN);
    ck_assert_msg(strstr(gq_last_error(), "the plugin's path is empty"), "%s", gq_last_error());
    expect_answer(p, "xa", 1);
    finish(p);
}
END_TEST

START_TEST(a_file_that_is_no_plugin)
{
    refused("",
            "\x7f"
            "ELF",
            GQ_STEP_RESOLVE, "bad.cu");
}
END_TEST

START_TEST(a_plugin_that_does_not_compile)
{
    refused("", PLUGIN("    int three = four;\n"), GQ_STEP_BUILD, "bad.cu:4:17: error: ");
}
END_TEST

START_TEST(a_source_in_the_place_of_a_stage)
{
    refused("", "#include <gpuqueue/plugin.h>\n__device__ void generate_message(uint64_t, ResultView *) {}\n",
            GQ_STEP_BUILD, "process_message");
}
END_TEST

START_TEST(a_golden_vector_that_differs)
{
    write_text("bad.golden.yaml",
               "- { name: good, in: \"\", out: \"\" }\n- { name: shout, in: \"ab\", out: \"AB\" }\n");
    refused(
        "", PLUGIN("    out->out[0] = 'A';\n    out->out[1] = 'b';\n"), GQ_STEP_REHEARSE,
        "bad.golden.yaml:2: golden vector 'shout' differs\n  expected 2 bytes, \"AB\"\n  got      2 bytes, \"Ab\"\n");
    ck_assert_uint_eq(result.vectors, 0); /* of the good plugin, which has none */
}
END_TEST

START_TEST(a_golden_file_with_errors)
{
    write_text("bad.golden.yaml", "- { name: good, inn: \"\" }\n");
    refused("", PLUGIN(""), GQ_STEP_REHEARSE, "bad.golden.yaml:1:");
}
END_TEST

/* They were written to be passed: code whose vectors cannot be read has passed none. */
START_TEST(a_golden_file_that_is_there_and_cannot_be_read)
{
    char path[256];
    snprintf(path, sizeof path, "%s", in_folder("v2.golden.yaml"));
    write_tagger("v1.cu", 'a');
    write_tagger("v2.cu", 'b');
    gq_pipeline *p = started("");
    for (int kind = 0; kind < 3; kind++) {
        const int made = kind == 0 ? mkdir(path, 0700) : kind == 1 ? mkfifo(path, 0600) : symlink("nowhere", path);
        ck_assert_int_eq(made, 0);
        ck_assert_int_eq(swap_to(p, "s", in_folder("v2.cu")), GQ_ERR_PLUGIN);
        ck_assert_int_eq(result.step, GQ_STEP_REHEARSE);
        ck_assert_msg(strstr(gq_last_error(), path), "%s", gq_last_error());
        expect_answer(p, "xa", 1);
        ck_assert_int_eq(remove(path), 0);
    }
    must(swap_to(p, "s", in_folder("v2.cu"))); /* none at all is another matter */
    expect_answer(p, "xb", 2);
    finish(p);
}
END_TEST

START_TEST(a_golden_vector_that_never_ends)
{
    write_text("bad.golden.yaml", "- { name: for ever, in: \"x\", out: \"x\" }\n");
    refused(BUDGET, PLUGIN("    while (*(const volatile uint8_t *)in.payload == 'x')\n        continue;\n"),
            GQ_STEP_REHEARSE,
            "bad.golden.yaml:1: golden vector 'for ever': it did not end within 500 ms (swap.budget)");
}
END_TEST

START_TEST(a_golden_vector_that_crashes)
{
    write_text("bad.golden.yaml", "- { name: boom, in: \"x\", out: \"x\" }\n");
    refused("", PLUGIN(WILD_READ), GQ_STEP_REHEARSE,
            on_gpu() ? "golden vector 'boom': " : "golden vector 'boom': the worker was killed by SIGSEGV");
}
END_TEST

START_TEST(a_golden_vector_that_traps)
{
    write_text("bad.golden.yaml", "- { name: trap, in: \"x\", out: \"x\" }\n");
    refused("", PLUGIN("    __trap();\n"), GQ_STEP_REHEARSE, "golden vector 'trap': ");
}
END_TEST

/* --- golden vectors that pass ----------------------------------------------------------------------------------------
 */

/* Parameters of a vector are its own; those of the stage are compared on the code that goes live. */
START_TEST(vectors_run_with_the_parameters_that_they_name)
{
    write_tagger("v1.cu", 'a');
    write_tagger("v2.cu", 'b');
    write_text("v2.golden.yaml", "- { name: default, in: \"x\", out: \"xb\" }\n"
                                 "- { name: another, params: { tag: 122 }, in: \"x\", out: \"xz\" }\n"
                                 "- { name: the stage's, params: { tag: 113 }, in: \"x\", out: \"xq\" }\n"
                                 "- { name: wide, slot_bytes: 4096, in: \"x\", out: \"xb\" }\n");
    gq_pipeline *p = opened(HEAD "stages: [{ name: s, plugin: v1.cu, params: { tag: 113 } }]\n", false);
    must(gq_start(p));
    must(swap_to(p, "s", in_folder("v2.cu")));
    ck_assert_uint_eq(result.vectors, 3);
    ck_assert_msg(strstr(result.log, "1 of 4 vectors need a slot of another size"), "%s", result.log);
    expect_answer(p, "xq", 2);
    finish(p);
}
END_TEST

START_TEST(vectors_in_a_row_share_a_state_that_is_fresh)
{
    const char *counter = "#include <gpuqueue/plugin.h>\nGQ_STATE(4, 1);\n"
                          "__device__ void process_message(const MsgView &, ResultView *out)\n"
                          "{\n"
                          "    out->out[0] = GQ_PARAM(base, '%c') + atomicAdd((uint32_t *)gq_state(4), 1u);\n"
                          "    *out->out_len = 1;\n"
                          "}\n";
    char text[512];
    snprintf(text, sizeof text, counter, '0');
    write_text("v1.cu", text);
    snprintf(text, sizeof text, counter, 'A');
    write_text("v2.cu", text);
    write_text("v2.golden.yaml", "- { name: first, in: \"\", out: \"A\" }\n"
                                 "- { name: second, in: \"\", out: \"B\" }\n"
                                 "- { name: other, params: { base: 97 }, in: \"\", out: \"a\" }\n"
                                 "- { name: again, in: \"\", out: \"A\" }\n");
    gq_pipeline *p = started("");
    expect_answer(p, "0", 1);
    must(swap_to(p, "s", in_folder("v2.cu")));
    ck_assert_uint_eq(result.vectors, 4);
    expect_answer(p, "B", 2); /* the live state is untouched by the rehearsal */
    finish(p);
}
END_TEST

START_TEST(dropped_and_failed_are_results_too)
{
    write_tagger("v1.cu", 'a');
    write_text("v2.cu", "#include <gpuqueue/plugin.h>\n"
                        "__device__ void process_message(const MsgView &in, ResultView *out)\n"
                        "{\n"
                        "    if (in.len == 0)\n"
                        "        return gq_drop(out);\n"
                        "    if (in.payload[0] == 'f')\n"
                        "        return gq_fail(out, 7);\n"
                        "    *out->out_len = out->cap + 1;\n"
                        "}\n");
    write_text("v2.golden.yaml", "- { name: drop, in: \"\", dropped: true }\n- { name: fail, in: \"f\", failed: 7 }\n"
                                 "- { name: drop again, in: \"\", dropped: true }\n"
                                 "- { name: too much, in: \"x\", overflow: true }\n");
    gq_pipeline *p = started("");
    must(swap_to(p, "s", in_folder("v2.cu")));
    ck_assert_uint_eq(result.vectors, 4);
    finish(p);
}
END_TEST

/* --- processes -------------------------------------------------------------------------------------------------------
 */

/* Children of this process, and what they were called with. */
static int children(const char *kind, pid_t *one)
{
    char path[64], line[256] = "";
    int count = 0;
    DIR *proc = opendir("/proc");
    for (struct dirent *e; (e = readdir(proc));) {
        const pid_t pid = (pid_t)atoi(e->d_name);
        snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
        FILE *file = pid > 0 ? fopen(path, "r") : NULL;
        int parent = 0;
        if (file && fgets(line, sizeof line, file))
            sscanf(strrchr(line, ')') + 2, "%*c %d", &parent);
        if (file)
            fclose(file);
        if (parent != (int)getpid())
            continue;
        char words[256] = "";
        snprintf(path, sizeof path, "/proc/%d/cmdline", (int)pid);
        file = fopen(path, "r");
        size_t len = file ? fread(words, 1, sizeof words - 1, file) : 0;
        if (file)
            fclose(file);
        const char *argument = memchr(words, '\0', len) ? words + strlen(words) + 1 : "";
        if (strcmp(argument, kind) == 0) {
            count++;
            *one = *one < pid ? pid : *one; /* the newest */
        }
    }
    closedir(proc);
    return count;
}

/* How many files are open, with the folder that is read for it, and a line each of what they are. */
static int open_files(char *text, size_t room)
{
    char to[256];
    int count = 0;
    DIR *fds = opendir("/proc/self/fd");
    for (const struct dirent *e; (e = readdir(fds)) != NULL;) {
        const ssize_t n = readlinkat(dirfd(fds), e->d_name, to, sizeof to);
        const int used = n < 0 ? 0 : snprintf(text, room, "%s %.*s\n", e->d_name, (int)n, to);
        const size_t kept = (size_t)used < room ? (size_t)used : 0;
        text += kept;
        room -= kept;
        count += n >= 0;
    }
    closedir(fds);
    return count;
}

START_TEST(without_rehearsals_there_is_no_spare)
{
    pid_t pid = 0;
    write_tagger("v1.cu", 'a');
    write_tagger("v2.cu", 'b');
    write_text("v2.golden.yaml", "- { name: not run, in: \"x\", out: \"?\" }\n");
    gq_pipeline *p = started("swap: { rehearse: off }\n");
    must(swap_to(p, "s", in_folder("v2.cu")));
    ck_assert_uint_eq(result.vectors, 0);
    ck_assert_int_eq(children("worker", &pid), 1);
    const gq_swap_opts opts = {.size = sizeof opts, .plugin = in_folder("v1.cu"), .rehearse = 1};
    must(gq_discard(p, "s", 1));
    must(gq_swap(p, "s", &opts, NULL)); /* this one was asked for */
    ck_assert_int_eq(children("worker", &pid), 2);
    finish(p);
    ck_assert_int_eq(children("worker", &pid), 0);
}
END_TEST

START_TEST(a_rehearsal_can_be_left_out_once)
{
    write_tagger("v1.cu", 'a');
    write_tagger("v2.cu", 'b');
    write_text("v2.golden.yaml", "- { name: not run, in: \"x\", out: \"?\" }\n");
    gq_pipeline *p = started("");
    const gq_swap_opts opts = {.size = sizeof opts, .plugin = in_folder("v2.cu"), .rehearse = 2};
    must(gq_swap(p, "s", &opts, NULL));
    expect_answer(p, "xb", 2);
    finish(p);
}
END_TEST

START_TEST(a_killed_builder_is_replaced)
{
    pid_t pid = 0;
    setenv("GPUQ_CACHE", "off", 1); /* from which no builder would be needed */
    write_tagger("v1.cu", 'a');
    gq_pipeline *p = started("");
    write_tagger("v1.cu", 'b');
    must(swap_to(p, "s", NULL));
    ck_assert_int_eq(children("builder", &pid), 1);
    ck_assert_int_eq(kill(pid, SIGKILL), 0);
    write_tagger("v1.cu", 'c');
    must(swap_to(p, "s", NULL));
    expect_answer(p, "xc", 3);
    pid = 0;
    finish(p);
    ck_assert_int_eq(children("builder", &pid), 0);
}
END_TEST

START_TEST(a_killed_spare_is_replaced)
{
    pid_t live = 0, spare = 0, next = 0;
    write_tagger("v1.cu", 'a');
    gq_pipeline *p = started("");
    ck_assert_int_eq(children("worker", &live), 1);
    write_tagger("v1.cu", 'b');
    must(swap_to(p, "s", NULL));
    ck_assert_int_eq(children("worker", &spare), 2);
    ck_assert_int_ne(spare, live);
    ck_assert_int_eq(kill(spare, SIGKILL), 0);
    usleep(50000);
    write_tagger("v1.cu", 'c');
    must(swap_to(p, "s", NULL));
    ck_assert_int_eq(children("worker", &next), 2);
    expect_answer(p, "xc", 3);
    finish(p);
    ck_assert_int_eq(children("worker", &next), 0);
}
END_TEST

START_TEST(what_breaks_a_spare_leaves_neither_processes_nor_files)
{
    pid_t pid = 0;
    write_tagger("v1.cu", 'a');
    write_text("bad.golden.yaml", "- { name: boom, in: \"x\", out: \"x\" }\n");
    write_text("bad.cu", PLUGIN(WILD_READ));
    gq_pipeline *p = started("");
    ck_assert_int_eq(swap_to(p, "s", in_folder("bad.cu")), GQ_ERR_PLUGIN);
    char files[4096], others[4096];
    const int before = open_files(files, sizeof files);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(swap_to(p, "s", in_folder("bad.cu")), GQ_ERR_PLUGIN);
        ck_assert_int_eq(result.step, GQ_STEP_REHEARSE);
    }
    const int now = open_files(others, sizeof others);
    ck_assert_msg(now == before, "%d, and before %d:\n%sbefore:\n%s", now, before, others, files);
    ck_assert_int_eq(children("worker", &pid), 1);
    finish(p);
}
END_TEST

START_TEST(a_swap_that_meets_a_dead_worker_is_the_next_ones)
{
    pid_t pid = 0;
    uint32_t generation;
    write_tagger("v1.cu", 'a');
    gq_pipeline *p = started("");
    ck_assert_int_eq(children("worker", &pid), 1);
    ck_assert_int_eq(kill(pid, SIGKILL), 0);
    usleep(50000);
    write_tagger("v1.cu", 'b');
    must(swap_to(p, "s", NULL));
    ck_assert_str_eq(answer(p, &generation), "xb");
    finish(p);
}
END_TEST

static uint32_t live_version(gq_pipeline *p)
{
    gq_version_info list[8];
    size_t count;
    ck_assert_int_eq(gq_versions(p, list, 8, &count), GQ_OK);
    for (size_t i = 0; i < count; i++)
        if (list[i].state == GQ_VERSION_LIVE)
            return list[i].version;
    return 0;
}

static char notes[4096];

static void keep_note(void *context, const char *sentence)
{
    (void)context;
    strncat(notes, sentence, sizeof notes - strlen(notes) - 1);
}

/* Code that served no message and ends every worker makes room for the code before it, which serves the message. */
START_TEST(code_that_ends_every_worker_is_rolled_back)
{
    uint32_t generation;
    write_tagger("v1.cu", 'a');
    write_text("bad.cu", PLUGIN(WILD_READ));
    notes[0] = '\0';
    note_to = keep_note;
    gq_pipeline *p = started("");
    note_to = NULL;
    must(swap_to(p, "s", in_folder("bad.cu")));
    ck_assert_str_eq(answer(p, &generation), "xa");
    ck_assert_uint_eq(generation, 3);
    if (!on_gpu()) /* a device does not say what it was inside of */
        ck_assert_msg(strstr(notes, "in stage 's' (version 2, /tmp/") && strstr(notes, "/bad.cu)"), "%s", notes);
    ck_assert_msg(strstr(notes, "stage 's' is rolled back to version 1"), "%s", notes);
    ck_assert_uint_eq(live_version(p), 1);
    gq_stats stats = {.size = sizeof stats};
    ck_assert_int_eq(gq_get_stats(p, &stats), GQ_OK);
    ck_assert(stats.restarts == 1 && stats.failed == 0);
    must(swap_to(p, "s", write_tagger("v3.cu", 'c'))); /* and changes go on */
    ck_assert_str_eq(answer(p, &generation), "xc");
    finish(p);
}
END_TEST

static void expect_refused_rollback(gq_pipeline *p, const char *after)
{
    char sentence[512];
    snprintf(sentence, sizeof sentence, "version %s", after);
    memset(&result, 0, sizeof result);
    result.size = sizeof result;
    ck_assert_int_eq(gq_rollback(p, "s", &result), GQ_ERR_NOT_FOUND);
    ck_assert_msg(strstr(gq_last_error(), sentence) == gq_last_error(), "%s", gq_last_error());
    ck_assert_uint_eq(result.generation, 0);
    ck_assert_uint_eq(result.live, live_version(p));
}

static void swap_to_bad(gq_pipeline *p)
{
    const uint32_t live = live_version(p);
    must(swap_to(p, "s", in_folder("bad.cu")));
    (void)answer(p, NULL);
    ck_assert_uint_eq(live_version(p), live);
}

/* Who sees the crash and asks for a rollback is told that it was made, and does not get the bad code again. */
START_TEST(a_rollback_does_not_go_to_code_that_was_rolled_back_by_itself)
{
    write_tagger("v1.cu", 'a');
    write_text("bad.cu", PLUGIN(WILD_READ));
    gq_pipeline *p = started("");
    swap_to_bad(p);
    for (int i = 0; i < 2; i++) /* there is nothing to go to, however often one asks */
        expect_refused_rollback(p,
                                "2 of stage 's' was rolled back already, after it had served no message and ended the "
                                "worker with message ");
    ck_assert_ptr_nonnull(strstr(gq_last_error(), "; version 1 is live, and no other version was live before it"));
    ck_assert_str_eq(answer(p, NULL), "xa");
    must(swap_to(p, "s", write_tagger("v3.cu", 'c')));
    must(swap_to(p, "s", write_tagger("v4.cu", 'd')));
    must(gq_rollback(p, "s", &result)); /* to version 3, and 4 was live before it */
    must(gq_use(p, "s", 2, &result));   /* somebody insists, and 3 was live before it */
    (void)answer(p, NULL);
    ck_assert_uint_eq(live_version(p), 3);
    expect_refused_rollback(p, "2 of stage 's' was rolled back already, after ");
    ck_assert_ptr_nonnull(strstr(gq_last_error(),
                                 "; version 3 is live, and ask once more to go to version 4, which was "
                                 "live before it"));
    must(gq_rollback(p, "s", &result));
    ck_assert_str_eq(answer(p, NULL), "xd");
    must(gq_rollback(p, "s", &result)); /* and back, as ever */
    ck_assert_str_eq(answer(p, NULL), "xc");
    finish(p);
}
END_TEST

/* Crashes with an x. */
static const char *write_weak(const char *name, char tag)
{
    char text[1024];
    snprintf(text, sizeof text, PLUGIN("    if (in.payload[0] == 'x')\n    " WILD_READ "    out->out[0] = %d;\n"), tag);
    return write_text(name, text);
}

static uint16_t status_of(gq_pipeline *p, const char *message)
{
    QResult r;
    size_t count;
    ck_assert_int_eq(q_enqueue(gq_queue(p), message, 1, NULL, 0), Q_OK);
    ck_assert_msg(q_peek(gq_queue(p), &r, 1, &count, 20000) == Q_OK, "%s", q_last_error());
    ck_assert_int_eq(q_release(gq_queue(p), &r, 1), Q_OK);
    return r.status;
}

/* Code that has served a message keeps its place, and so does code whose predecessor fails with the message too. */
START_TEST(a_message_is_given_up_where_the_code_is_not_at_fault)
{
    if (on_gpu())
        return;
    for (int serves = 0; serves < 2; serves++) {
        if (serves)
            write_tagger("v1.cu", 'a');
        else
            write_weak("v1.cu", 'a');
        gq_pipeline *p = started("on_error: { retries: 1 }\n");
        must(swap_to(p, "s", write_weak("v2.cu", 'b')));
        if (serves)
            ck_assert_uint_eq(status_of(p, "y"), Q_RESULT_OK);
        ck_assert_uint_eq(status_of(p, "x"), Q_RESULT_FAULTED);
        ck_assert_uint_eq(live_version(p), 2);
        ck_assert_uint_eq(status_of(p, "y"), Q_RESULT_OK);
        finish(p);
    }
}
END_TEST

static void *swap_in_bad(void *pipeline)
{
    const gq_status status = swap_to(pipeline, "s", in_folder("bad.cu"));
    ck_assert_int_eq(status, GQ_ERR_PLUGIN);
    return NULL;
}

/* The rehearsal takes 3 s; who asks meanwhile sees that the version is there, and has the live one's figures. */
START_TEST(versions_are_listed_while_one_rehearses)
{
    pthread_t swapper;
    gq_version_info list[8];
    size_t count = 0;
    write_tagger("v1.cu", 'a');
    write_text("bad.golden.yaml", "- { name: for ever, in: \"x\", out: \"x\" }\n");
    write_text("bad.cu", PLUGIN("    while (*(const volatile uint8_t *)in.payload == 'x')\n        continue;\n"));
    gq_pipeline *p = started("swap: { budget: 3s }\n");
    expect_answer(p, "xa", 1);
    ck_assert_int_eq(pthread_create(&swapper, NULL, swap_in_bad, p), 0);
    for (unsigned i = 0; i < 2000 && count < 2; i++) {
        usleep(10000);
        ck_assert_int_eq(gq_versions(p, list, 8, &count), GQ_OK);
    }
    ck_assert_uint_eq(count, 2);
    ck_assert_uint_eq(list[0].messages, 1);
    ck_assert_int_eq(list[0].state, GQ_VERSION_LIVE);
    ck_assert_int_eq(list[1].state, GQ_VERSION_COLD); /* had the call waited for the change, it would be failed */
    ck_assert_int_eq(pthread_join(swapper, NULL), 0);
    expect_state(p, "s", 2, GQ_VERSION_FAILED);
    finish(p);
}
END_TEST

START_TEST(a_forked_child_cannot_swap)
{
    int status;
    write_tagger("v1.cu", 'a');
    gq_pipeline *p = started("");
    const pid_t child = fork();
    if (child == 0)
        _exit(gq_swap(p, "s", NULL, NULL) == GQ_ERR_INVALID_ARG ? 0 : 1);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    expect_answer(p, "xa", 1);
    finish(p);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {a_file_that_is_not_there,
                                  a_path_that_is_empty,
                                  a_file_that_is_no_plugin,
                                  a_plugin_that_does_not_compile,
                                  a_source_in_the_place_of_a_stage,
                                  a_golden_vector_that_differs,
                                  a_golden_file_with_errors,
                                  a_golden_file_that_is_there_and_cannot_be_read,
                                  a_golden_vector_that_never_ends,
                                  a_golden_vector_that_crashes,
                                  a_golden_vector_that_traps,
                                  vectors_run_with_the_parameters_that_they_name,
                                  vectors_in_a_row_share_a_state_that_is_fresh,
                                  dropped_and_failed_are_results_too,
                                  without_rehearsals_there_is_no_spare,
                                  a_rehearsal_can_be_left_out_once,
                                  a_killed_builder_is_replaced,
                                  a_killed_spare_is_replaced,
                                  what_breaks_a_spare_leaves_neither_processes_nor_files,
                                  a_swap_that_meets_a_dead_worker_is_the_next_ones,
                                  code_that_ends_every_worker_is_rolled_back,
                                  a_rollback_does_not_go_to_code_that_was_rolled_back_by_itself,
                                  a_message_is_given_up_where_the_code_is_not_at_fault,
                                  versions_are_listed_while_one_rehearses,
                                  a_forked_child_cannot_swap};
    return unit_run("refused", tests, sizeof tests / sizeof *tests, make_folder, remove_folder);
}
