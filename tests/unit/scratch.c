/* Folders in $TMPDIR: no two are one, and what a killed process has left is gone when the next one is made. */
#include "base/scratch.h"
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "stress/place.h"
#include "unit.h"

#define MAKERS 8
#define ROUNDS 300

static char place[64];

static void make_place(void)
{
    ck_assert(place_make(place, sizeof place, "gpuq-scratch"));
    setenv("TMPDIR", place, 1);
}

static void remove_place(void) { ck_assert(place_remove(place)); }

static const char *named(const char *name)
{
    static char path[8][256];
    static unsigned next;
    snprintf(path[next % 8], sizeof path[0], "%s/%s", place, name);
    return path[next++ % 8];
}

static bool there(const char *path)
{
    struct stat info;
    return lstat(path, &info) == 0;
}

static void fill(const char *folder)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/deep", folder);
    if (mkdir(path, 0700) != 0)
        abort();
    snprintf(path, sizeof path, "%s/deep/file", folder);
    FILE *file = fopen(path, "w");
    if (!file || fclose(file) != 0)
        abort();
}

static int left(void)
{
    int count = 0;
    DIR *all = opendir(place);
    for (const struct dirent *e; (e = readdir(all)) != NULL;)
        count += e->d_name[0] != '.';
    closedir(all);
    return count;
}

/* A process that makes one, tells its name, and waits to be killed. */
static pid_t holder(const char *kind, char name[PATH_MAX])
{
    int pipes[2];
    ck_assert_int_eq(pipe(pipes), 0);
    const pid_t pid = fork();
    if (pid == 0) {
        struct gq_scratch s;
        if (gq_scratch_make(kind, &s) != GQ_OK)
            _exit(1);
        fill(s.folder);
        if (write(pipes[1], s.folder, sizeof s.folder) != (ssize_t)sizeof s.folder)
            _exit(1);
        alarm(60);
        pause();
    }
    struct gq_scratch s;
    ck_assert_int_eq(read(pipes[0], s.folder, sizeof s.folder), sizeof s.folder);
    snprintf(name, PATH_MAX, "%s", s.folder);
    close(pipes[0]);
    close(pipes[1]);
    return pid;
}

static void end(pid_t pid)
{
    ck_assert_int_eq(kill(pid, SIGKILL), 0);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}

START_TEST(it_is_this_users_alone_and_gone_when_it_is_removed)
{
    struct gq_scratch s;
    struct stat info;
    ck_assert_int_eq(gq_scratch_make("build", &s), GQ_OK);
    ck_assert(strncmp(s.folder, named("gpuqueue-build-"), strlen(named("gpuqueue-build-"))) == 0);
    ck_assert_int_eq(stat(s.folder, &info), 0);
    ck_assert_int_eq(info.st_mode & 07777, 0700);
    fill(s.folder);
    gq_scratch_empty(&s);
    ck_assert(there(s.folder));
    ck_assert_int_eq(rmdir(s.folder), 0);
    ck_assert_int_eq(mkdir(s.folder, 0700), 0);
    fill(s.folder);
    gq_scratch_remove(&s);
    ck_assert_int_eq(left(), 0);
    gq_scratch_remove(&s); /* there is none */
    gq_scratch_empty(&s);
}
END_TEST

START_TEST(what_a_killed_process_left_is_removed_and_what_is_held_is_not)
{
    char killed[PATH_MAX], held[PATH_MAX], other[PATH_MAX];
    const pid_t first = holder("build", killed), second = holder("build", held), third = holder("pinned", other);
    end(first);
    end(third);
    ck_assert(there(killed) && there(held) && there(other));
    struct gq_scratch s;
    ck_assert_int_eq(gq_scratch_make("build", &s), GQ_OK);
    ck_assert(!there(killed));
    ck_assert(there(held));
    ck_assert(there(other)); /* of another kind */
    ck_assert(there(s.folder));
    end(second);
    gq_scratch_remove(&s);
    ck_assert_int_eq(gq_scratch_make("pinned", &s), GQ_OK);
    ck_assert(!there(other));
    gq_scratch_remove(&s);
    ck_assert(there(held)); /* until one of its kind is made */
}
END_TEST

/* Names of ours that nobody of us made. */
START_TEST(nothing_else_is_removed)
{
    const char *link = named("gpuqueue-build-linked"), *open = named("gpuqueue-build-opened");
    ck_assert_int_eq(mkdir(named("target"), 0700), 0);
    fill(named("target"));
    ck_assert_int_eq(symlink(named("target"), link), 0);
    ck_assert_int_eq(mkdir(open, 0700), 0);
    ck_assert_int_eq(chmod(open, 0777), 0);
    ck_assert_int_eq(mkdir(named("gpuqueue-build-seventh"), 0700), 0);
    FILE *file = fopen(named("gpuqueue-build-afile_"), "w");
    ck_assert(file && fclose(file) == 0);
    struct gq_scratch s;
    ck_assert_int_eq(gq_scratch_make("build", &s), GQ_OK);
    gq_scratch_remove(&s);
    ck_assert_int_eq(left(), 5);
    ck_assert(there(named("target/deep/file")));
}
END_TEST

START_TEST(who_makes_one_at_the_same_moment_has_one_of_its_own)
{
    pid_t pids[MAKERS];
    for (int i = 0; i < MAKERS; i++) {
        pids[i] = fork();
        if (pids[i] != 0)
            continue;
        for (int round = 0; round < ROUNDS; round++) {
            struct gq_scratch s;
            if (gq_scratch_make("build", &s) != GQ_OK)
                _exit(1);
            fill(s.folder);
            char path[PATH_MAX];
            snprintf(path, sizeof path, "%s/deep/file", s.folder);
            if (!there(path))
                _exit(2);
            gq_scratch_remove(&s);
        }
        _exit(0);
    }
    for (int i = 0; i < MAKERS; i++) {
        int status;
        ck_assert_int_eq(waitpid(pids[i], &status, 0), pids[i]);
        ck_assert_int_eq(status, 0);
    }
    ck_assert_int_eq(left(), 0);
}
END_TEST

START_TEST(a_place_that_cannot_be_written_is_named)
{
    struct gq_scratch s;
    setenv("TMPDIR", named("nowhere"), 1);
    ck_assert_int_eq(gq_scratch_make("build", &s), GQ_ERR_UNAVAILABLE);
    ck_assert_msg(strstr(gq_error_text(), "nowhere/gpuqueue-build-") && strstr(gq_error_text(), "TMPDIR"), "%s",
                  gq_error_text());
    ck_assert_int_eq(s.folder[0], '\0');
    char long_path[PATH_MAX];
    memset(long_path, 'x', sizeof long_path);
    long_path[0] = '/';
    long_path[PATH_MAX / 2] = '\0';
    setenv("TMPDIR", long_path, 1);
    ck_assert_int_eq(gq_scratch_make("build", &s), GQ_ERR_UNAVAILABLE);
    ck_assert_msg(strstr(gq_error_text(), "too long"), "%s", gq_error_text());
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {it_is_this_users_alone_and_gone_when_it_is_removed,
                                  what_a_killed_process_left_is_removed_and_what_is_held_is_not,
                                  nothing_else_is_removed, who_makes_one_at_the_same_moment_has_one_of_its_own,
                                  a_place_that_cannot_be_written_is_named};
    return unit_run("scratch", tests, sizeof tests / sizeof *tests, make_place, remove_place);
}
