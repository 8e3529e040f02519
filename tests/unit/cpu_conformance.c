/* Every construct that docs/reference/cpu-backend.md calls supported gives the value it has on a GPU, with each
 * compiler. */
#include "build_support.h"

#define PLUGINS GPUQ_TEST_PLUGINS "/conformance/"

static void check_plugin(struct gq_builder *builder, const char *path, uint32_t least)
{
    static _Alignas(16) uint8_t in[64] = "0123456789", out[8 * OUT_CAP];
    struct gq_cpu_msg msgs[8];
    struct gq_image image;
    void *object;
    ck_assert_msg(build_stage(builder, path, &image) == GQ_OK, "%s", gq_error_text());
    ck_assert_msg(image.log.len == 0, "%s", gq_text_str(&image.log));
    run_messages(load_image(&image, &object), msgs, 8, in, 64, out, 0);
    for (uint32_t i = 0; i < 8; i++) {
        const uint32_t *words = (const uint32_t *)(const void *)msgs[i].out;
        ck_assert_uint_eq(msgs[i].status, GQ_RESULT_OK);
        ck_assert_uint_ge(words[0], least);
        ck_assert_msg(msgs[i].out_len == 4, "%s:%u: wrong (message %u)", path, words[1], i);
    }
    gq_dl_close(object);
    gq_image_finish(&image);
}

static void check_with_each_compiler(const char *path, uint32_t least)
{
    unsigned tried = 0;
    for (size_t i = 0; i < sizeof compilers / sizeof *compilers; i++) {
        if (!have_compiler(compilers[i]))
            continue;
        setenv("GPUQ_CXX", compilers[i], 1);
        struct gq_builder *builder = test_builder(NULL);
        check_plugin(builder, path, least);
        gq_builder_destroy(builder);
        tried++;
    }
    ck_assert_uint_ge(tried, 1);
}

START_TEST(intrinsics_have_cudas_values) { check_with_each_compiler(PLUGINS "arithmetic.cu", 45); }
END_TEST
START_TEST(the_language_is_there) { check_with_each_compiler(PLUGINS "language.cu", 29); }
END_TEST
START_TEST(a_block_shares_memory_and_meets) { check_with_each_compiler(PLUGINS "block.cu", 1); }
END_TEST
START_TEST(a_warp_shuffles_votes_and_reduces) { check_with_each_compiler(PLUGINS "warp.cu", 5); }
END_TEST

int main(void)
{
    Suite *suite = suite_create("cpu_conformance");
    TCase *tests = tcase_create("all");
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, intrinsics_have_cudas_values);
    tcase_add_test(tests, the_language_is_there);
    tcase_add_test(tests, a_block_shares_memory_and_meets);
    tcase_add_test(tests, a_warp_shuffles_votes_and_reduces);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
