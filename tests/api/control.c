/* The promises of gpuqueue/control.h to a program that lets others change its pipeline. */
#include <check.h>
#include <gpuqueue/control.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "unit/unit.h"

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

int main(void)
{
    const TTest *const tests[] = {a_pipeline_that_did_not_start_has_no_control_and_is_not_waited_for,
                                  a_socket_is_not_made_where_there_is_no_folder, a_pipeline_has_one_control_at_a_time,
                                  a_control_that_could_not_be_started_is_none};
    return unit_run("control", tests, sizeof tests / sizeof *tests, NULL, NULL);
}
