/* The promises of gpuqueue/control.h to a program that lets others change its pipeline. */
#include <check.h>
#include <gpuqueue/control.h>
#include <gpuqueue/swap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "control/files.h"
#include "unit/unit.h"

/* Of the lists of files to watch, the one that there is no memory for; 0: none, or no more. */
static uint32_t list_that_fails;

gq_status __real_gq_files_set(struct gq_files *files, const struct gq_text *paths);
gq_status __wrap_gq_files_set(struct gq_files *files, const struct gq_text *paths);

gq_status __wrap_gq_files_set(struct gq_files *files, const struct gq_text *paths)
{
    const uint32_t left = __atomic_load_n(&list_that_fails, __ATOMIC_RELAXED);
    if (left)
        __atomic_store_n(&list_that_fails, left - 1, __ATOMIC_RELAXED);
    return left == 1 ? gq_error_set(GQ_ERR_NO_MEMORY, "out of memory") : __real_gq_files_set(files, paths);
}

static gq_pipeline *prepared(void)
{
    gq_pipeline *p = NULL;
    const char *text = "version: 1\nname: controlled\nbackend: cpu\nsource: { api: {} }\nsink: { api: {} }\n"
                       "queue: { capacity: 64, slot_bytes: 64 }\nstages: [{ plugin: builtin:echo }]\n"
                       "cpu: { threads: 1 }\n";
    gq_open_opts opts = {.size = sizeof opts, .path = "controlled.yaml", .text = text};
    ck_assert_msg(gq_open(&opts, &p) == GQ_OK, "%s", gq_last_error());
    ck_assert_msg(gq_prepare(p) == GQ_OK, "%s", gq_last_error());
    return p;
}

static gq_pipeline *started(void)
{
    gq_pipeline *p = prepared();
    ck_assert_msg(gq_start(p) == GQ_OK, "%s", gq_last_error());
    return p;
}

static gq_status control(gq_pipeline *p, const char *socket, gq_control **out)
{
    const gq_control_opts opts = {.size = sizeof opts, .socket = socket};
    return gq_control_start(p, &opts, out);
}

/* There is no worker to ask, and no version that is live. */
START_TEST(a_pipeline_that_did_not_start_has_no_control_and_is_not_waited_for)
{
    char worker[4096];
    snprintf(worker, sizeof worker, "%s", getenv("GPUQ_WORKER"));
    gq_pipeline *p = prepared();
    setenv("GPUQ_WORKER", "/none", 1);
    ck_assert_int_eq(gq_start(p), GQ_ERR_UNAVAILABLE);
    setenv("GPUQ_WORKER", worker, 1);
    ck_assert_int_eq(gq_wait(p, 10000), GQ_ERR_UNAVAILABLE);
    ck_assert_str_eq(gq_last_error(), "GPUQ_WORKER=/none cannot be executed: No such file or directory");
    const gq_control_opts opts = {.size = sizeof opts, .socket = "off", .watch = 1};
    gq_control *c;
    ck_assert_int_eq(gq_control_start(p, &opts, &c), GQ_ERR_INVALID_ARG);
    ck_assert_str_eq(gq_last_error(), "gq_control_start comes between gq_start and gq_stop");
    gq_close(p);
}
END_TEST

START_TEST(a_socket_is_not_made_where_there_is_no_folder)
{
    char folder[] = "/tmp/gpuq-control-XXXXXX", missing[64], path[80], expected[256];
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(missing, sizeof missing, "%s/none", folder);
    snprintf(path, sizeof path, "%s/x", missing);
    snprintf(expected, sizeof expected,
             "the control socket %s cannot be made: its folder %s cannot be opened: No such file or directory", path,
             missing);
    gq_pipeline *p = started();
    gq_control *c;
    ck_assert_int_eq(control(p, path, &c), GQ_ERR_UNAVAILABLE);
    ck_assert_ptr_null(c);
    ck_assert_str_eq(gq_last_error(), expected);
    ck_assert_int_ne(access(missing, F_OK), 0);
    ck_assert_int_eq(mkdir(missing, 0700), 0);
    ck_assert_msg(control(p, path, &c) == GQ_OK, "%s", gq_last_error());
    ck_assert_str_eq(gq_control_socket(c), path);
    gq_control_stop(c);
    gq_close(p);
    ck_assert_int_eq(rmdir(missing), 0); /* the socket is gone, too */
    rmdir(folder);
}
END_TEST

START_TEST(a_pipeline_has_one_control_at_a_time)
{
    gq_pipeline *p = started();
    gq_control *first, *second;
    ck_assert_msg(control(p, "off", &first) == GQ_OK, "%s", gq_last_error());
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(control(p, "off", &second), GQ_ERR_INVALID_ARG);
        ck_assert_str_eq(gq_last_error(),
                         "gq_control_start: the pipeline has a control, and one at a time; gq_control_stop ends it");
    }
    gq_control_stop(first);
    ck_assert_msg(control(p, "off", &second) == GQ_OK, "%s", gq_last_error());
    gq_control_stop(second);
    gq_close(p);
}
END_TEST

START_TEST(a_control_that_could_not_be_started_is_none)
{
    gq_pipeline *p = started();
    gq_control *c;
    ck_assert_int_eq(control(p, "/proc/none/x", &c), GQ_ERR_UNAVAILABLE);
    ck_assert_msg(control(p, "off", &c) == GQ_OK, "%s", gq_last_error());
    gq_control_stop(c);
    gq_close(p);
}
END_TEST

static void save(const char *folder, const char *name, int number)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s.cu", folder, name);
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_ge(
        fprintf(file,
                "#include <gpuqueue/plugin.h>\n__device__ void process_message(const MsgView& in, ResultView* "
                "out)\n{\n    out->out[0] = %d;\n    *out->out_len = 1;\n}\n",
                number),
        0);
    ck_assert_int_eq(fclose(file), 0);
}

static gq_pipeline *started_with_two_stages(const char *folder)
{
    char text[512];
    gq_pipeline *p = NULL;
    snprintf(text, sizeof text,
             "version: 1\nname: two\nbackend: cpu\nsource: { api: {} }\nsink: { api: {} }\ncpu: { threads: 1 }\n"
             "queue: { capacity: 64, slot_bytes: 64 }\nstages: [{ name: a, plugin: %s/a.cu }, { name: b, plugin: "
             "%s/b.cu }]\n",
             folder, folder);
    gq_open_opts opts = {.size = sizeof opts, .path = "two.yaml", .text = text, .no_cache = 1};
    ck_assert_msg(gq_open(&opts, &p) == GQ_OK, "%s", gq_last_error());
    ck_assert_msg(gq_prepare(p) == GQ_OK, "%s", gq_last_error());
    ck_assert_msg(gq_start(p) == GQ_OK, "%s", gq_last_error());
    return p;
}

static void await_version(gq_pipeline *p, size_t stage, uint32_t version)
{
    uint32_t live = 0;
    for (int i = 0; i < 2000 && live != version; i++, usleep(10000)) {
        gq_version_info versions[16];
        size_t count;
        ck_assert_int_eq(gq_versions(p, versions, 16, &count), GQ_OK);
        for (size_t k = 0; k < count && k < 16; k++)
            if (versions[k].state == GQ_VERSION_LIVE && strcmp(versions[k].stage, stage ? "b" : "a") == 0)
                live = versions[k].version;
    }
    ck_assert_uint_eq(live, version);
}

START_TEST(a_list_that_there_is_no_memory_for_costs_no_other_stage_its_save)
{
    char folder[] = "/tmp/gpuq-control-XXXXXX", path[64];
    ck_assert_ptr_nonnull(mkdtemp(folder));
    save(folder, "a", 1);
    save(folder, "b", 1);
    gq_pipeline *p = started_with_two_stages(folder);
    const gq_control_opts opts = {.size = sizeof opts, .socket = "off", .watch = 1};
    gq_control *c;
    ck_assert_msg(gq_control_start(p, &opts, &c) == GQ_OK, "%s", gq_last_error());
    __atomic_store_n(&list_that_fails, 2, __ATOMIC_RELAXED);
    save(folder, "a", 2);
    save(folder, "b", 2);
    await_version(p, 0, 2);
    await_version(p, 1, 2);
    for (int i = 0; i < 500 && __atomic_load_n(&list_that_fails, __ATOMIC_RELAXED) > 0; i++)
        usleep(10000);
    usleep(300000); /* what the watch does then */
    save(folder, "a", 3);
    await_version(p, 0, 3);
    gq_control_stop(c);
    gq_close(p);
    for (const char *name = "ab"; *name; name++) {
        snprintf(path, sizeof path, "%s/%c.cu", folder, *name);
        unlink(path);
    }
    rmdir(folder);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {a_pipeline_that_did_not_start_has_no_control_and_is_not_waited_for,
                                  a_socket_is_not_made_where_there_is_no_folder, a_pipeline_has_one_control_at_a_time,
                                  a_control_that_could_not_be_started_is_none,
                                  a_list_that_there_is_no_memory_for_costs_no_other_stage_its_save};
    return unit_run("control", tests, sizeof tests / sizeof *tests, NULL, NULL);
}
