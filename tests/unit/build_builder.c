/* The builder process: bounded, killed past its limits, started again when it died; and what is said without a
 * compiler. */
#include "build/client.h"
#include "build_support.h"
#include <dirent.h>
#include <fcntl.h>
#include <glob.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include "base/clock.h"

#define P(name) GPUQ_TEST_PLUGINS "/" name

static gq_status build_within(uint32_t timeout_ms, const char *path)
{
    struct gq_builder *builder;
    struct gq_image image;
    const struct gq_builder_opts opts = {.no_cache = true, .timeout_ms = timeout_ms};
    ck_assert_int_eq(gq_builder_create(&opts, &builder), GQ_OK);
    gq_status status = build_stage(builder, path, &image);
    gq_image_finish(&image);
    gq_builder_destroy(builder);
    return status;
}

START_TEST(a_compile_without_end_is_killed)
{
    ck_assert_int_eq(build_within(1500, P("endless_compile.cu")), GQ_ERR_PLUGIN);
    ck_assert_ptr_nonnull(
        strstr(gq_error_text(), "endless_compile.cu: the compiler did not finish within 1500 ms and was killed"));
}
END_TEST

/* Is there a process with this argument? */
static bool somebody_has(const char *argument)
{
    bool found = false;
    DIR *all = opendir("/proc");
    ck_assert_ptr_nonnull(all);
    for (struct dirent *d; (d = readdir(all)) != NULL;) {
        char path[300], words[4096] = "";
        snprintf(path, sizeof path, "/proc/%s/cmdline", d->d_name);
        const int fd = d->d_name[0] >= '0' && d->d_name[0] <= '9' ? open(path, O_RDONLY | O_CLOEXEC) : -1;
        const ssize_t n = fd < 0 ? 0 : read(fd, words, sizeof words);
        found |= n > 0 && memmem(words, (size_t)n, argument, strlen(argument));
        if (fd >= 0)
            close(fd);
    }
    closedir(all);
    return found;
}

START_TEST(what_a_compiler_started_is_killed_with_it)
{
    char text[200], seconds[32];
    make_test_folder();
    snprintf(seconds, sizeof seconds, "20.%07d", (int)getpid());
    snprintf(text, sizeof text, "#!/bin/sh\n[ $# = 1 ] && exec echo one 1\nsleep %s &\nwait\n", seconds);
    const char *compiler = write_file("c++", text);
    ck_assert_int_eq(chmod(compiler, 0700), 0);
    setenv("GPUQ_CXX", compiler, 1);
    ck_assert_int_eq(build_within(1000, P("warns.cu")), GQ_ERR_PLUGIN);
    ck_assert_msg(strstr(gq_error_text(), "did not finish within 1000 ms"), "%s", gq_error_text());
    const uint64_t deadline = gq_clock_deadline(5000);
    while (somebody_has(seconds) && !gq_clock_past(deadline))
        usleep(10000);
    ck_assert(!somebody_has(seconds));
    remove_test_folder();
}
END_TEST

static void *build_in_vain(void *builder)
{
    struct gq_image image;
    const gq_status status = build_stage(builder, P("warns.cu"), &image);
    gq_image_finish(&image);
    return status == GQ_OK ? NULL : builder;
}

/* A compiler that takes its time the first time. What it started would go on beside nobody. */
START_TEST(a_builder_that_is_killed_takes_its_compiler_along_and_is_replaced)
{
    char text[400], seconds[32];
    struct gq_builder *builder = test_builder(NULL);
    pthread_t thread;
    void *failed;
    make_test_folder();
    snprintf(seconds, sizeof seconds, "30.%07d", (int)getpid());
    snprintf(text, sizeof text,
             "#!/bin/sh\n[ $# = 1 ] && exec echo one 1\n[ -e %s ] && exec c++ \"$@\"\nsleep %s &\nwait\n",
             in_folder("go"), seconds);
    const char *compiler = write_file("c++", text);
    ck_assert_int_eq(chmod(compiler, 0700), 0);
    setenv("GPUQ_CXX", compiler, 1);
    const uint64_t deadline = gq_clock_deadline(20000);
    ck_assert_int_eq(pthread_create(&thread, NULL, build_in_vain, builder), 0);
    while (!somebody_has(seconds) && !gq_clock_past(deadline))
        usleep(10000);
    ck_assert(somebody_has(seconds));
    write_file("go", "");
    ck_assert_int_eq(kill(builder->process.pid, SIGKILL), 0);
    while (somebody_has(seconds) && !gq_clock_past(deadline))
        usleep(10000);
    ck_assert(!somebody_has(seconds));
    ck_assert_int_eq(pthread_join(thread, &failed), 0);
    ck_assert_msg(!failed, "the build that met it was not made by the next");
    gq_builder_destroy(builder);
    remove_test_folder();
}
END_TEST

START_TEST(a_builder_that_died_is_started_again)
{
    char program[256];
    const char *worker = getenv("GPUQ_WORKER");
    ck_assert_ptr_nonnull(worker);
    snprintf(program, sizeof program, "%s", worker);
    struct gq_builder *builder = test_builder(NULL);
    struct gq_image image;
    make_test_folder();
    setenv("GPUQ_WORKER", "/bin/false", 1); /* a program that ends at once */
    ck_assert_int_eq(build_stage(builder, P("warns.cu"), &image), GQ_ERR_INTERNAL);
    ck_assert_msg(strstr(gq_error_text(),
                         "the builder process exited with code 1; GPUQ_WORKER=/bin/false was started for it, and "
                         "must be a gpuq-worker of this release") != NULL,
                  "%s", gq_error_text());
    gq_image_finish(&image);
    setenv("GPUQ_WORKER", program, 1);
    ck_assert_msg(build_stage(builder, P("warns.cu"), &image) == GQ_OK, "%s", gq_error_text());
    gq_image_finish(&image);
    gq_builder_destroy(builder);
    remove_test_folder();
}
END_TEST

#define LETTER                                              \
    "#include <gpuqueue/plugin.h>\n#include \"letter.h\"\n" \
    "__device__ void process_message(const MsgView &, ResultView *out) { *out->out_len = LETTER; }\n"

/* In the working folder `name`: how long a result of letter.cu is, as letter.h there says. */
static void letter_of(struct gq_builder *builder, const char *name, uint32_t expected)
{
    struct gq_image image;
    struct gq_cpu_msg msg;
    uint8_t out[OUT_CAP];
    void *object;
    ck_assert_int_eq(chdir(in_folder(name)), 0);
    ck_assert_msg(build_stage(builder, "letter.cu", &image) == GQ_OK, "%s", gq_error_text());
    run_messages(load_image(&image, &object), &msg, 1, "", 0, out, 0);
    ck_assert_uint_eq(msg.out_len, expected);
    gq_dl_close(object);
    gq_image_finish(&image);
}

START_TEST(a_builder_that_says_nothing_is_named)
{
    make_test_folder();
    const char *mute = write_file("mute", "#!/bin/sh\nexec sleep 100\n");
    ck_assert_int_eq(chmod(mute, 0700), 0);
    setenv("GPUQ_WORKER", mute, 1);
    ck_assert_int_eq(build_within(100, P("warns.cu")), GQ_ERR_PLUGIN);
    ck_assert_ptr_nonnull(strstr(gq_error_text(), "the builder process did not answer within 2100 ms and was killed; "
                                                  "GPUQ_WORKER="));
    remove_test_folder();
}
END_TEST

START_TEST(a_relative_path_is_the_callers)
{
    make_test_folder();
    ck_assert_int_eq(mkdir(in_folder("one"), 0700) | mkdir(in_folder("two"), 0700), 0);
    write_file("one/letter.cu", LETTER);
    write_file("two/letter.cu", LETTER);
    write_file("one/letter.h", "#define LETTER 1\n");
    write_file("two/letter.h", "#define LETTER 2\n");
    struct gq_builder *builder = test_builder(in_folder("cache"));
    letter_of(builder, "one", 1);
    letter_of(builder, "two", 2);
    letter_of(builder, "one", 1); /* from the cache, */
    letter_of(builder, "two", 2); /* which has both */
    gq_builder_destroy(builder);
    ck_assert_int_eq(chdir("/"), 0);
    remove_test_folder();
}
END_TEST

START_TEST(without_a_compiler_there_is_a_sentence)
{
    setenv("GPUQ_CXX", "/no/such/compiler", 1);
    ck_assert_int_eq(build_within(0, P("warns.cu")), GQ_ERR_UNAVAILABLE);
    ck_assert_str_eq(gq_error_text(), "GPUQ_CXX=/no/such/compiler is no program that can be run; it names a C++ "
                                      "compiler, without options: No such file or directory");
    unsetenv("GPUQ_CXX");
    setenv("PATH", "/nonexistent", 1);
    ck_assert_int_eq(build_within(0, P("warns.cu")), GQ_ERR_UNAVAILABLE);
    ck_assert_ptr_nonnull(strstr(gq_error_text(), "install one (apt-get install g++) or set GPUQ_CXX"));
}
END_TEST

START_TEST(a_compiler_that_is_none_is_named)
{
    setenv("GPUQ_CXX", "/bin/false", 1);
    ck_assert_int_eq(build_within(0, P("warns.cu")), GQ_ERR_UNAVAILABLE);
    ck_assert_ptr_nonnull(strstr(gq_error_text(), "/bin/false --version failed"));
}
END_TEST

/* It has a version, takes every option, and makes nothing. */
START_TEST(a_compiler_that_makes_no_file_is_named)
{
    setenv("GPUQ_CXX", "/bin/true", 1);
    ck_assert_int_eq(build_within(0, P("warns.cu")), GQ_ERR_UNAVAILABLE);
    ck_assert_str_eq(gq_error_text(),
                     "building " P("warns.cu") ": the compiler /bin/true ended without an error and made no file; "
                                               "GPUQ_CXX names the C++ compiler, without options");
}
END_TEST

START_TEST(a_program_that_compiles_nothing_is_named)
{
    setenv("GPUQ_CXX", "/bin/cat", 1); /* it has a version, too */
    ck_assert_int_eq(build_within(0, P("warns.cu")), GQ_ERR_UNAVAILABLE);
    ck_assert_msg(strstr(gq_error_text(), "/bin/cat compiles no C++, not even an empty file; GPUQ_CXX names the C++ "
                                          "compiler, without options: ") != NULL,
                  "%s", gq_error_text());
}
END_TEST

static void bound(__rlimit_resource_t resource, rlim_t most)
{
    struct rlimit l;
    ck_assert_int_eq(getrlimit(resource, &l), 0);
    l.rlim_cur = most;
    ck_assert_int_eq(setrlimit(resource, &l), 0);
}

START_TEST(bounds_that_no_compiler_can_live_with_are_no_mistake_of_a_plugin)
{
    make_test_folder();
    bound(RLIMIT_FSIZE, 100000);
    ck_assert_int_eq(build_within(0, P("warns.cu")), GQ_ERR_NO_MEMORY);
    ck_assert_str_eq(gq_error_text(), "building " P("warns.cu") ": a compiler needs files of 1 MiB, and RLIMIT_FSIZE, "
                                                                "see `ulimit -f`, allows 100000 bytes");
    bound(RLIMIT_FSIZE, 2 << 20);
    ck_assert_msg(build_within(0, P("warns.cu")) == GQ_OK, "%s", gq_error_text());
    bound(RLIMIT_NOFILE, 15);
    ck_assert_int_eq(build_within(0, P("warns.cu")), GQ_ERR_NO_MEMORY);
    ck_assert_str_eq(gq_error_text(), "building " P("warns.cu") ": a compiler needs 16 descriptors, and RLIMIT_NOFILE, "
                                                                "see `ulimit -n`, allows 15");
}
END_TEST

START_TEST(nothing_is_left_behind)
{
    make_test_folder();
    setenv("TMPDIR", test_folder, 1);
    ck_assert_int_eq(build_within(0, P("warns.cu")), GQ_OK);
    ck_assert_int_eq(build_within(0, P("compile_error.cu")), GQ_ERR_PLUGIN);
    ck_assert_int_eq(rmdir(test_folder), 0); /* only an empty folder can be removed */
}
END_TEST

static void build_one(struct gq_builder *builder)
{
    struct gq_image image;
    ck_assert_msg(build_stage(builder, P("warns.cu"), &image) == GQ_OK, "%s", gq_error_text());
    gq_image_finish(&image);
}

START_TEST(nor_is_the_folder_of_a_builder_that_was_killed)
{
    struct gq_builder *builder;
    const struct gq_builder_opts opts = {.no_cache = true};
    make_test_folder();
    setenv("TMPDIR", test_folder, 1);
    ck_assert_int_eq(gq_builder_create(&opts, &builder), GQ_OK);
    build_one(builder);
    ck_assert_int_eq(kill(builder->process.pid, SIGKILL), 0);
    gq_builder_destroy(builder);
    ck_assert_int_eq(rmdir(test_folder), 0);
}
END_TEST

/* What removes old files of /tmp leaves the folder, and what is younger in it. */
START_TEST(nor_is_the_rest_of_a_folder_that_was_cleaned)
{
    struct gq_builder *builder;
    glob_t header;
    make_test_folder();
    setenv("TMPDIR", test_folder, 1);
    const struct gq_builder_opts opts = {.no_cache = true};
    char pattern[256];
    snprintf(pattern, sizeof pattern, "%s/*/device/cpu.h", test_folder);
    ck_assert_int_eq(gq_builder_create(&opts, &builder), GQ_OK);
    build_one(builder);
    ck_assert_int_eq(glob(pattern, 0, NULL, &header), 0);
    ck_assert_uint_eq(header.gl_pathc, 1);
    ck_assert_int_eq(unlink(header.gl_pathv[0]), 0);
    globfree(&header);
    build_one(builder);
    gq_builder_destroy(builder);
    ck_assert_int_eq(rmdir(test_folder), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("build_builder");
    TCase *tests = tcase_create("all");
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, a_compile_without_end_is_killed);
    tcase_add_test(tests, what_a_compiler_started_is_killed_with_it);
    tcase_add_test(tests, a_builder_that_is_killed_takes_its_compiler_along_and_is_replaced);
    tcase_add_test(tests, a_builder_that_died_is_started_again);
    tcase_add_test(tests, a_builder_that_says_nothing_is_named);
    tcase_add_test(tests, a_relative_path_is_the_callers);
    tcase_add_test(tests, without_a_compiler_there_is_a_sentence);
    tcase_add_test(tests, a_compiler_that_is_none_is_named);
    tcase_add_test(tests, a_compiler_that_makes_no_file_is_named);
    tcase_add_test(tests, a_program_that_compiles_nothing_is_named);
    tcase_add_test(tests, bounds_that_no_compiler_can_live_with_are_no_mistake_of_a_plugin);
    tcase_add_test(tests, nothing_is_left_behind);
    tcase_add_test(tests, nor_is_the_folder_of_a_builder_that_was_killed);
    tcase_add_test(tests, nor_is_the_rest_of_a_folder_that_was_cleaned);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
