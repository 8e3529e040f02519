/* build_support.h - building plugins of tests/plugins in a test, and running their images. */
#ifndef GQ_TESTS_BUILD_SUPPORT_H
#define GQ_TESTS_BUILD_SUPPORT_H

#include "backend/fiber.h"
#include "base/dl.h"
#include "base/file.h"
#include "build/build.h"
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define OUT_CAP 512u

/* --- a folder of the test's own ----------------------------------------------------------------------------------- */

static char test_folder[128];

static inline void make_test_folder(void)
{
    snprintf(test_folder, sizeof test_folder, "/tmp/gpuqueue-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(test_folder));
}

static inline const char *in_folder(const char *name)
{
    static char path[4][512];
    static unsigned turn;
    char *out = path[turn++ % 4];
    snprintf(out, sizeof path[0], "%s/%s", test_folder, name);
    return out;
}

static inline const char *write_file(const char *name, const char *text)
{
    const char *path = in_folder(name);
    ck_assert_int_eq(gq_file_write_atomic(path, text, strlen(text), 0644), GQ_OK);
    return path;
}

static inline void remove_test_folder(void)
{
    char command[256];
    snprintf(command, sizeof command, "rm -rf %s", test_folder);
    ck_assert_int_eq(system(command), 0);
}

/* --- building ----------------------------------------------------------------------------------------------------- */

static inline struct gq_builder *test_builder(const char *cache)
{
    struct gq_builder *builder;
    const struct gq_builder_opts opts = {.no_cache = cache == NULL, .cache_folder = cache};
    ck_assert_msg(gq_builder_create(&opts, &builder) == GQ_OK, "%s", gq_error_text());
    return builder;
}

static inline gq_status build_stage(struct gq_builder *builder, const char *path, struct gq_image *image)
{
    const struct gq_build_request request = {.path = path};
    return gq_build(builder, &request, image);
}

static inline bool have_compiler(const char *name)
{
    char command[128];
    snprintf(command, sizeof command, "command -v %s > /dev/null", name);
    return system(command) == 0;
}

/* The compilers that this machine has, to be tried one after another through GPUQ_CXX. */
static const char *const compilers[] = {"g++", "clang++"};

/* --- running ------------------------------------------------------------------------------------------------------ */

static inline const struct gq_cpu_image *load_image(const struct gq_image *image, void **object)
{
    void *symbol;
    ck_assert_msg(gq_dl_open_fd(image->fd, object) == GQ_OK, "%s", gq_error_text());
    ck_assert_msg(gq_dl_symbol(*object, GQ_CPU_IMAGE_SYMBOL, &symbol) == GQ_OK, "%s", gq_error_text());
    return symbol;
}

/* Runs `count` messages, all with the same bytes and ids from 1; `out` has OUT_CAP bytes for each. */
static inline void run_messages(const struct gq_cpu_image *image, struct gq_cpu_msg *msgs, uint32_t count,
                                const void *in, uint32_t in_len, uint8_t *out, uint32_t retries)
{
    static _Alignas(16) uint8_t state[4096];
    struct gq_crumb crumb = {0};
    memset(state, 0, sizeof state);
    for (uint32_t i = 0; i < count; i++)
        msgs[i] = (struct gq_cpu_msg){.in = in, .out = out + (size_t)i * OUT_CAP, .id = i + 1, .in_len = in_len};
    const struct gq_cpu_run run = {.msgs = msgs,
                                   .count = count,
                                   .out_cap = OUT_CAP,
                                   .retries = retries,
                                   .blocks = 1,
                                   .crumb = &crumb,
                                   .state = image->state_bytes ? state : NULL,
                                   .services = &gq_fiber_services};
    image->run(&run);
    ck_assert_uint_eq(crumb.current, 0);
}

static inline int run_suite(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}

#endif
