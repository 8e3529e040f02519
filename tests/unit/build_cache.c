/* The cache: a hit is what was compiled; anything that reached the compiler and changed is a miss, and so is damage. */
#include "build_support.h"
#include "build/cache.h"
#include "build/library.h"
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

#define PLUGIN_BODY                  \
    "#include <gpuqueue/plugin.h>\n" \
    "__device__ void process_message(const MsgView &, ResultView *out) { *out->out_len = SIZE; }\n"
#define PLUGIN "#include \"size.h\"\n" PLUGIN_BODY

static struct gq_builder *builder;

/* Headers younger than the compile are not trusted, so those of a test get an age. */
static const char *write_old(const char *name, const char *text)
{
    const char *path = write_file(name, text);
    struct timespec old[2] = {{.tv_sec = time(NULL) - 60}, {.tv_sec = time(NULL) - 60}};
    ck_assert_int_eq(utimensat(AT_FDCWD, path, old, 0), 0);
    return path;
}

static void set_up(void)
{
    make_test_folder();
    write_old("size.h", "#define SIZE 3\n");
    write_file("p.cu", PLUGIN);
    builder = test_builder(in_folder("cache"));
}

static void tear_down(void)
{
    gq_builder_destroy(builder);
    remove_test_folder();
}

/* Builds p.cu: the digest, and whether it came from the cache. The image gives SIZE. */
static const char *built(bool *cached, uint32_t size)
{
    static char digest[2][GQ_DIGEST_HEX];
    static unsigned turn;
    static _Alignas(16) uint8_t in[16], out[OUT_CAP];
    struct gq_cpu_msg msg;
    struct gq_image image;
    void *object;
    ck_assert_msg(build_stage(builder, in_folder("p.cu"), &image) == GQ_OK, "%s", gq_error_text());
    run_messages(load_image(&image, &object), &msg, 1, in, 1, out, 0);
    ck_assert_uint_eq(msg.out_len, size);
    *cached = image.cached;
    char *result = digest[turn++ % 2];
    memcpy(result, image.digest, GQ_DIGEST_HEX);
    gq_dl_close(object);
    gq_image_finish(&image);
    return result;
}

START_TEST(the_second_build_is_a_hit_with_the_same_digest)
{
    bool cached;
    const char *first = built(&cached, 3);
    ck_assert(!cached);
    const char *second = built(&cached, 3);
    ck_assert(cached);
    ck_assert_str_eq(first, second);
}
END_TEST

static bool names(const struct gq_image *image, const char *path)
{
    for (size_t at = 0; at < image->headers.len; at += strlen(image->headers.data + at) + 1)
        if (strcmp(image->headers.data + at, path) == 0)
            return true;
    return false;
}

/* Those of the user's, and those that the compiler alone found. */
START_TEST(an_image_names_its_headers_wherever_it_comes_from)
{
    struct gq_image first, second;
    ck_assert_int_eq(build_stage(builder, in_folder("p.cu"), &first), GQ_OK);
    ck_assert_int_eq(build_stage(builder, in_folder("p.cu"), &second), GQ_OK);
    ck_assert(!first.cached && second.cached);
    ck_assert(names(&first, in_folder("size.h")));
    ck_assert_uint_gt(first.headers.len, 2 * strlen(in_folder("size.h")));
    ck_assert_uint_eq(first.headers.len, second.headers.len);
    ck_assert_mem_eq(first.headers.data, second.headers.data, first.headers.len);
    gq_image_finish(&first);
    gq_image_finish(&second);
}
END_TEST

START_TEST(a_changed_header_is_a_miss)
{
    bool cached;
    const char *first = built(&cached, 3);
    write_old("size.h", "#define SIZE 4\n");
    const char *second = built(&cached, 4);
    ck_assert(!cached);
    ck_assert_str_ne(first, second);
    built(&cached, 4);
    ck_assert(cached);
}
END_TEST

START_TEST(a_new_header_that_hides_another_is_a_miss)
{
    bool cached;
    ck_assert_int_eq(mkdir(in_folder("sub"), 0700), 0);
    write_old("sub/inner.h", "#include \"size.h\"\n");
    write_file("p.cu", "#include \"sub/inner.h\"\n" PLUGIN_BODY);
    built(&cached, 3);
    built(&cached, 3);
    ck_assert(cached);
    write_old("sub/size.h", "#define SIZE 5\n");
    built(&cached, 5);
    ck_assert(!cached);
}
END_TEST

START_TEST(a_plugin_that_asks_which_headers_there_are_is_built_every_time)
{
    bool cached;
    write_file("p.cu",
               "#if __has_include(\"more.h\")\n#include \"more.h\"\n#else\n#define SIZE 3\n#endif\n" PLUGIN_BODY);
    built(&cached, 3);
    write_old("more.h", "#define SIZE 6\n");
    built(&cached, 6);
    ck_assert(!cached);
}
END_TEST

static bool count_items(const struct gq_cache_item *item, void *context)
{
    ck_assert_ptr_nonnull(strstr(item->plugin, "p.cu"));
    ++*(unsigned *)context;
    return true;
}

static bool damage(const struct gq_cache_item *item, void *context)
{
    struct gq_text path = {0}, bytes = {0};
    size_t at = *(size_t *)context;
    gq_text_printf(&path, "%s/%s.gpuq", in_folder("cache"), item->key);
    ck_assert_int_eq(gq_file_read(path.data, 1 << 28, &bytes), GQ_OK);
    if (at < bytes.len)
        bytes.data[at] ^= 1;
    size_t len = at < bytes.len ? bytes.len : bytes.len / 2;
    ck_assert_int_eq(gq_file_write_atomic(path.data, bytes.data, len, 0600), GQ_OK);
    gq_text_finish(&path);
    gq_text_finish(&bytes);
    return false;
}

/* A builder whose compiler is a file of the test's, which calls one that this machine has with one option more. */
static void use_compiler(const char *option)
{
    char text[128];
    snprintf(text, sizeof text, "#!/bin/sh\nexec %s %s \"$@\"\n", have_compiler("g++") ? "g++" : "clang++", option);
    const char *compiler = write_file("c++", text);
    ck_assert_int_eq(chmod(compiler, 0700), 0);
    setenv("GPUQ_CXX", compiler, 1);
    gq_builder_destroy(builder);
    builder = test_builder(in_folder("cache"));
}

START_TEST(another_compiler_of_the_same_name_is_a_miss)
{
    static const char *const options[] = {"-DONE", "-DANOTHER"};
    bool cached;
    for (size_t i = 0; i < 2; i++) {
        use_compiler(options[i]);
        built(&cached, 3);
        ck_assert(!cached);
        built(&cached, 3);
        ck_assert(cached);
    }
}
END_TEST

START_TEST(a_damaged_entry_is_built_again)
{
    size_t places[] = {0, 20, 100, 200, 1000, 5000, SIZE_MAX};
    bool cached;
    built(&cached, 3);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        ck_assert_int_eq(gq_cache_list(in_folder("cache"), damage, &places[i]), GQ_OK);
        built(&cached, 3);
        ck_assert(!cached);
        built(&cached, 3);
        ck_assert(cached);
    }
}
END_TEST

START_TEST(entries_are_listed_and_cleared)
{
    bool cached;
    unsigned count = 0;
    uint32_t entries;
    uint64_t bytes;
    built(&cached, 3);
    write_file("cache/notes.txt", "not ours");
    ck_assert_int_eq(gq_cache_list(in_folder("cache"), count_items, &count), GQ_OK);
    ck_assert_uint_eq(count, 1);
    ck_assert_int_eq(gq_cache_clear(in_folder("cache"), &entries, &bytes), GQ_OK);
    ck_assert_uint_eq(entries, 1);
    ck_assert_uint_gt(bytes, 1000);
    ck_assert(gq_file_exists(in_folder("cache/notes.txt")));
    built(&cached, 3);
    ck_assert(!cached);
    ck_assert_int_eq(gq_cache_clear(in_folder("no such folder"), &entries, &bytes), GQ_OK);
}
END_TEST

START_TEST(a_folder_that_others_can_write_is_refused)
{
    const char *folder = in_folder("shared");
    struct gq_builder *other;
    const struct gq_builder_opts opts = {.cache_folder = folder};
    ck_assert_int_eq(mkdir(folder, 0777), 0);
    ck_assert_int_eq(chmod(folder, 0777), 0);
    ck_assert_int_eq(gq_builder_create(&opts, &other), GQ_ERR_UNAVAILABLE);
    ck_assert_ptr_null(other);
    ck_assert_ptr_nonnull(strstr(gq_error_text(), "can be written by others"));
}
END_TEST

START_TEST(the_environment_says_where_it_is_or_that_there_is_none)
{
    static const struct {
        const char *own, *xdg, *home, *folder;
    } rows[] = {{"off", "/x", "/h", ""},
                {"/own", "/x", "/h", "/own"},
                {"", "/x", "/h", "/x/gpuqueue"},
                {"", "", "/h", "/h/.cache/gpuqueue"}};
    struct gq_text folder = {0};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        setenv("GPUQ_CACHE", rows[i].own, 1);
        setenv("XDG_CACHE_HOME", rows[i].xdg, 1);
        setenv("HOME", rows[i].home, 1);
        gq_cache_locate(NULL, &folder);
        ck_assert_str_eq(gq_text_str(&folder), rows[i].folder);
    }
    gq_text_finish(&folder);
}
END_TEST

START_TEST(a_folder_that_is_made_is_the_users_alone)
{
    struct stat info;
    const mode_t old = umask(0);
    struct gq_builder *other = test_builder(in_folder("new/cache"));
    umask(old);
    gq_builder_destroy(other);
    ck_assert_int_eq(stat(in_folder("new/cache"), &info), 0);
    ck_assert_uint_eq(info.st_mode & 07777, 0700);
}
END_TEST

START_TEST(a_library_that_only_the_loader_finds_is_known_by_its_file)
{
    char path[PATH_MAX];
    gq_library_find("GPUQ_TEST_LIBRARY", "libnone.so.9", "libc.so.6", path);
    ck_assert_msg(path[0] == '/' && gq_file_exists(path), "%s", path);
    setenv("GPUQ_TEST_LIBRARY", "libm.so.6", 1);
    gq_library_find("GPUQ_TEST_LIBRARY", "libnone.so.9", "libc.so.6", path);
    ck_assert_msg(path[0] == '/' && strstr(path, "libm") && gq_file_exists(path), "%s", path);
    setenv("GPUQ_TEST_LIBRARY", "libnone.so.8", 1);
    gq_library_find("GPUQ_TEST_LIBRARY", "libnone.so.9", "libc.so.6", path);
    ck_assert_str_eq(path, "libnone.so.8");
    unsetenv("GPUQ_TEST_LIBRARY");
    gq_library_find("GPUQ_TEST_LIBRARY", "libnone.so.9", "libnone.so.7", path);
    ck_assert_str_eq(path, "libnone.so.9");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("build_cache");
    TCase *tests = tcase_create("all");
    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, the_second_build_is_a_hit_with_the_same_digest);
    tcase_add_test(tests, an_image_names_its_headers_wherever_it_comes_from);
    tcase_add_test(tests, a_changed_header_is_a_miss);
    tcase_add_test(tests, a_new_header_that_hides_another_is_a_miss);
    tcase_add_test(tests, a_plugin_that_asks_which_headers_there_are_is_built_every_time);
    tcase_add_test(tests, another_compiler_of_the_same_name_is_a_miss);
    tcase_add_test(tests, a_damaged_entry_is_built_again);
    tcase_add_test(tests, entries_are_listed_and_cleared);
    tcase_add_test(tests, a_folder_that_others_can_write_is_refused);
    tcase_add_test(tests, the_environment_says_where_it_is_or_that_there_is_none);
    tcase_add_test(tests, a_folder_that_is_made_is_the_users_alone);
    tcase_add_test(tests, a_library_that_only_the_loader_finds_is_known_by_its_file);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
