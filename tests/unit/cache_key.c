/* A cache's keys follow the headers that the library holds, which are the test's own here; the compiler; and what it
 * compiles for. Where one of them changes, nothing that was kept before counts. */
#include "build/cache.h"
#include "build/embedded.h"
#include "build_support.h"
#include "unit.h"

static unsigned char header[] = "#define ANSWER 42\n";
static unsigned char template_[] = "void gq_entry();\n";

const struct gq_embedded gq_embedded[] = {
    {"gpuqueue/plugin.h", header, sizeof header - 1},
    {"device/entry_cpu.h", template_, sizeof template_ - 1},
};
const size_t gq_embedded_count = sizeof gq_embedded / sizeof gq_embedded[0];

static const char compiler[] = "compiler";
static char first[GQ_DIGEST_HEX];

static void make_key(uint32_t arch, char key[static GQ_DIGEST_HEX])
{
    struct gq_digest d;
    gq_cache_key_start(&d, in_folder(compiler), arch);
    gq_digest_finish(&d, key);
}

static void set_up(void)
{
    make_test_folder();
    write_file(compiler, "one");
    make_key(90, first);
}

static void assert_other(uint32_t arch)
{
    char key[GQ_DIGEST_HEX];
    make_key(arch, key);
    ck_assert_str_ne(key, first);
}

START_TEST(nothing_changes)
{
    char key[GQ_DIGEST_HEX];
    make_key(90, key);
    ck_assert_str_eq(key, first);
}
END_TEST

START_TEST(a_header_changes)
{
    header[sizeof header - 3] = '3';
    assert_other(90);
}
END_TEST

START_TEST(the_template_changes)
{
    template_[0] = 'V';
    assert_other(90);
}
END_TEST

START_TEST(the_compiler_changes)
{
    write_file(compiler, "two, of another length");
    assert_other(90);
}
END_TEST

START_TEST(it_compiles_for_another_device) { assert_other(100); }
END_TEST

int main(void)
{
    const TTest *const tests[] = {nothing_changes, a_header_changes, the_template_changes, the_compiler_changes,
                                  it_compiles_for_another_device};
    return unit_run("cache_key", tests, sizeof tests / sizeof tests[0], set_up, remove_test_folder);
}
