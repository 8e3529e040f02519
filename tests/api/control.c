/* The promises of gpuqueue/control.h to a program that lets others change its pipeline. */
#include <check.h>
#include <gpuqueue/control.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "unit/unit.h"

static gq_pipeline *started(void)
{
    gq_pipeline *p = NULL;
    const char *text = "version: 1\nname: controlled\nbackend: cpu\nsource: { api: {} }\nsink: { api: {} }\n"
                       "queue: { capacity: 64, slot_bytes: 64 }\nstages: [{ plugin: builtin:echo }]\n"
                       "cpu: { threads: 1 }\n";
    gq_open_opts opts = {.size = sizeof opts, .path = "controlled.yaml", .text = text};
    ck_assert_msg(gq_open(&opts, &p) == GQ_OK, "%s", gq_last_error());
    ck_assert_msg(gq_prepare(p) == GQ_OK, "%s", gq_last_error());
    ck_assert_msg(gq_start(p) == GQ_OK, "%s", gq_last_error());
    return p;
}

static gq_status control(gq_pipeline *p, const char *socket, gq_control **out)
{
    const gq_control_opts opts = {.size = sizeof opts, .socket = socket};
    return gq_control_start(p, &opts, out);
}

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

int main(void)
{
    const TTest *const tests[] = {a_socket_is_not_made_where_there_is_no_folder};
    return unit_run("control", tests, sizeof tests / sizeof *tests, NULL, NULL);
}
