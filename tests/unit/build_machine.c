/* PTX and cubins as plugins: what is accepted, and the one sentence that each refusal is. The files in plugins/ are
 * taken as they are, and changed in one place each. No device and no CUDA library is needed. */
#include "build_support.h"
#include "build/machine.h"
#include "build/source.h"
#include <elf.h>
#include <stddef.h>

#define PTX GPUQ_PLUGINS "/rot13.ptx"
#define CUBIN GPUQ_PLUGINS "/hex.cubin"

static struct gq_text read_file(const char *path)
{
    struct gq_text bytes = {0};
    ck_assert_msg(gq_file_read(path, 1 << 20, &bytes) == GQ_OK, "%s", gq_error_text());
    return bytes;
}

/* Every `from` becomes `to`; there is at least one. */
static struct gq_text replaced(const struct gq_text *text, const char *from, size_t from_len, const char *to,
                               size_t to_len)
{
    struct gq_text out = {0};
    const char *at = text->data, *end = text->data + text->len;
    unsigned count = 0;
    for (const char *hit; (hit = memmem(at, (size_t)(end - at), from, from_len)) != NULL; count++) {
        gq_text_add(&out, at, (size_t)(hit - at));
        gq_text_add(&out, to, to_len);
        at = hit + from_len;
    }
    gq_text_add(&out, at, (size_t)(end - at));
    ck_assert_uint_gt(count, 0);
    return out;
}

static gq_status judge(enum gq_origin origin, const struct gq_text *bytes, enum gq_image_kind kind, uint32_t arch,
                       struct gq_machine *machine)
{
    gq_status status = gq_machine_read("p", origin, bytes, machine);
    return status == GQ_OK ? gq_machine_check("p", machine, kind, arch) : status;
}

struct row {
    const char *from, *to; /* NULL: the file as it is */
    size_t len;            /* of both, in cubins; 0: text */
    uint32_t arch;
    enum gq_image_kind kind;
    const char *sentence; /* NULL: accepted */
};

static void check_row(enum gq_origin origin, const struct gq_text *whole, const struct row *row)
{
    struct gq_machine machine;
    struct gq_text changed = {0};
    const size_t from_len = !row->from ? 0 : row->len ? row->len : strlen(row->from);
    if (row->from)
        changed = replaced(whole, row->from, from_len, row->to, row->len ? row->len : strlen(row->to));
    gq_status status = judge(origin, row->from ? &changed : whole, row->kind, row->arch, &machine);
    if (row->sentence) {
        ck_assert_msg(status == GQ_ERR_PLUGIN, "accepted; expected: %s", row->sentence);
        ck_assert_str_eq(gq_error_text(), row->sentence);
    } else {
        ck_assert_msg(status == GQ_OK, "%s", gq_error_text());
    }
    gq_text_finish(&changed);
}

#define STAGE GQ_IMAGE_STAGE
#define SOURCE GQ_IMAGE_SOURCE
#define SYMBOL "_Z15process_messageRK7MsgViewP10ResultView"
#define SENSELESS                                                                                                      \
    "plugin p carries a mark (gq_plugin_mark, gq_plugin_scope or gq_plugin_state) that makes no sense; make the file " \
    "again with <gpuqueue/plugin.h>"
#define OTHER_ABI \
    "plugin p was made for plugin ABI 7 and this release has 1; make it again with this release's <gpuqueue/plugin.h>"

START_TEST(ptx_is_accepted_or_refused_in_a_sentence)
{
    static const struct row rows[] = {
        {NULL, NULL, 0, 80, STAGE, NULL},
        {NULL, NULL, 0, 90, STAGE, NULL},
        {NULL, NULL, 0, 120, STAGE, NULL},
        {".target sm_80", ".target sm_90a", 0, 90, STAGE, NULL},
        {"gq_plugin_mark", "no_mark", 0, 90, STAGE, NULL},
        {NULL, NULL, 0, 75, STAGE,
         "plugin p is PTX for sm_80 and the device is sm_75; make it with nvcc -rdc=true -ptx -arch=sm_75"},
        {".target sm_80", ".target sm_90a", 0, 100, STAGE,
         "plugin p is PTX for sm_90a and the device is sm_100; make it with nvcc -rdc=true -ptx -arch=sm_100"},
        {".target sm_80", "", 0, 90, STAGE,
         "plugin p is PTX without a .target sm_NN, so it was cut or was never whole"},
        {SYMBOL, "process_message", 0, 90, STAGE,
         "plugin p defines process_message and not " SYMBOL
         "; include <gpuqueue/plugin.h> and define process_message as it declares it, without extern \"C\""},
        {SYMBOL, "_Z15process_message7MsgViewP10ResultView", 0, 90, STAGE,
         "plugin p defines _Z15process_message7MsgViewP10ResultView and not " SYMBOL
         "; include <gpuqueue/plugin.h> and define process_message as it declares it, without extern \"C\""},
        {".visible .func", ".visible .entry", 0, 90, STAGE,
         "plugin p defines " SYMBOL " as a kernel (__global__), which nothing can call for a message; define "
         "process_message as a __device__ function, as <gpuqueue/plugin.h> declares it"},
        {".visible .func", ".func", 0, 90, STAGE,
         "plugin p has no function " SYMBOL ": without -rdc=true a compiler leaves out what no kernel calls; make it "
         "with nvcc -rdc=true -ptx"},
        {".visible .func", ".extern .func", 0, 90, STAGE,
         "plugin p has no function " SYMBOL ": without -rdc=true a compiler leaves out what no kernel calls; make it "
         "with nvcc -rdc=true -ptx"},
        {NULL, NULL, 0, 90, SOURCE,
         "plugin p defines process_message and not generate_message (_Z16generate_messagemP10ResultView); it is a "
         "stage's plugin: name it under stages"},
        {SYMBOL, "_Z16generate_messagemP10ResultView", 0, 90, SOURCE, NULL},
        {SYMBOL, "_Z16generate_messageyP10ResultView", 0, 90, SOURCE, NULL},
        {SYMBOL, "_Z16generate_messagemP10ResultView", 0, 90, STAGE,
         "plugin p defines generate_message and not process_message (" SYMBOL
         "); it is a source plugin: name it as source.plugin"},
        {"{71, 81, 77, 75, 1,", "{71, 81, 77, 75, 7,", 0, 90, STAGE, OTHER_ABI},
        {"{71, 81, 77, 75, 1,", "{71, 81, 77, 75, 1, 0, 0, 0, 16,", 0, 90, STAGE,
         "plugin p was made with a MsgView of 16 bytes and a ResultView of 24, and they have 24 and 24; make it "
         "again with this release's <gpuqueue/plugin.h>"},
        {"{71, 81, 77, 75, 1,", "{71, 81, 77, 76, 1,", 0, 90, STAGE, SENSELESS},
        {"{71, 81,", "{", 0, 90, STAGE, SENSELESS}};
    struct gq_text whole = read_file(PTX);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        check_row(GQ_ORIGIN_PTX, &whole, &rows[i]);
    gq_text_finish(&whole);
}
END_TEST

START_TEST(a_cubin_is_accepted_or_refused_in_a_sentence)
{
    static const struct row rows[] = {
        {NULL, NULL, 0, 90, STAGE, NULL},
        {NULL, NULL, 0, 100, STAGE,
         "plugin p is a cubin for sm_90 and the device is sm_100; make it with nvcc -rdc=true -cubin -arch=sm_100, or "
         "give PTX or the .cu"},
        {NULL, NULL, 0, 80, STAGE,
         "plugin p is a cubin for sm_90 and the device is sm_80; make it with nvcc -rdc=true -cubin -arch=sm_80, or "
         "give PTX or the .cu"},
        {"\x04\x5a\x00\x06", "\x04\x50\x00\x06", 4, 86, STAGE, NULL},
        {"\001\000\276\000", "\002\000\276\000", 4, 90, STAGE,
         "plugin p is a cubin that is not relocatable, so nothing can be linked with it; make it with nvcc -rdc=true "
         "-cubin -arch=sm_90"},
        {"\022\000\017\000\0\0\0\0\0\0\0\0\000\007", "\022\020\017\000\0\0\0\0\0\0\0\0\000\007", 14, 90, STAGE,
         "plugin p defines " SYMBOL " as a kernel (__global__), which nothing can call for a message; define "
         "process_message as a __device__ function, as <gpuqueue/plugin.h> declares it"},
        {SYMBOL, "_Z15process_messagcRK7MsgViewP10ResultView", sizeof SYMBOL, 90, STAGE,
         "plugin p has no function " SYMBOL ": without -rdc=true a compiler leaves out what no kernel calls; make it "
         "with nvcc -rdc=true -cubin"},
        {"GQMK\001\0\0\0\030", "GQMK\007\0\0\0\030", 9, 90, STAGE, OTHER_ABI},
        {"GQMK\001\0\0\0 ", "GQMK\041\0\0\0 ", 9, 90, STAGE, SENSELESS},
        {NULL, NULL, 0, 90, SOURCE,
         "plugin p defines process_message and not generate_message (_Z16generate_messagemP10ResultView); it is a "
         "stage's plugin: name it under stages"}};
    struct gq_text whole = read_file(CUBIN);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        check_row(GQ_ORIGIN_CUBIN, &whole, &rows[i]);
    gq_text_finish(&whole);
}
END_TEST

START_TEST(a_cubin_says_its_scope)
{
    struct gq_machine machine;
    struct gq_text whole = read_file(CUBIN);
    ck_assert_int_eq(judge(GQ_ORIGIN_CUBIN, &whole, STAGE, 90, &machine), GQ_OK);
    ck_assert(machine.marked[GQ_MARK_ABI] && machine.marked[GQ_MARK_SCOPE] && !machine.marked[GQ_MARK_STATE]);
    ck_assert_uint_eq(machine.mark[GQ_MARK_SCOPE][1], 1);
    ck_assert_uint_eq(machine.mark[GQ_MARK_SCOPE][2], 32);
    gq_text_finish(&whole);
}
END_TEST

/* --- hostile bytes ------------------------------------------------------------------------------------------------ */

/* In memory of exactly its size, so that a sanitizer sees a read past it. */
static gq_status judge_exactly(const struct gq_text *whole, size_t len)
{
    struct gq_machine machine;
    struct gq_text cut = {.data = malloc(len + 1), .len = len};
    ck_assert_ptr_nonnull(cut.data);
    memcpy(cut.data, whole->data, len);
    cut.data[len] = '\0';
    gq_status status = judge(GQ_ORIGIN_CUBIN, &cut, STAGE, 90, &machine);
    free(cut.data);
    return status;
}

START_TEST(a_cut_cubin_is_refused)
{
    struct gq_text whole = read_file(CUBIN);
    for (size_t len = 0; len < whole.len; len += 16) {
        ck_assert_int_eq(judge_exactly(&whole, len), GQ_ERR_PLUGIN);
        ck_assert_str_eq(gq_error_text(), "plugin p is a cubin that is cut or damaged; make it again");
    }
    ck_assert_int_eq(judge_exactly(&whole, whole.len), GQ_OK);
    gq_text_finish(&whole);
}
END_TEST

START_TEST(no_changed_byte_is_followed_out_of_the_file)
{
    struct gq_text whole = read_file(CUBIN);
    unsigned refused = 0;
    for (size_t at = 0; at < whole.len; at++) {
        const char kept = whole.data[at];
        whole.data[at] = (char)~kept;
        gq_status status = judge_exactly(&whole, whole.len);
        ck_assert(status == GQ_OK || status == GQ_ERR_PLUGIN);
        refused += status != GQ_OK;
        whole.data[at] = kept;
    }
    ck_assert_uint_gt(refused, 100);
    gq_text_finish(&whole);
}
END_TEST

START_TEST(cut_ptx_is_never_more_than_it_was)
{
    struct gq_text whole = read_file(PTX);
    const char *body = strstr(whole.data, ".visible .func");
    ck_assert_ptr_nonnull(body);
    for (size_t len = 0; len < whole.len; len += 7) {
        struct gq_machine machine;
        struct gq_text cut = {0};
        gq_text_add(&cut, whole.data, len);
        gq_text_add(&cut, "", 0);
        gq_status status = judge(GQ_ORIGIN_PTX, &cut, STAGE, 90, &machine);
        ck_assert(status == GQ_ERR_PLUGIN || len > (size_t)(body - whole.data));
        gq_text_finish(&cut);
    }
    gq_text_finish(&whole);
}
END_TEST

/* --- what is no plugin -------------------------------------------------------------------------------------------- */

static void expect_no_plugin(const char *name, const char *bytes, size_t len, const char *what)
{
    struct gq_text text = {0};
    enum gq_origin origin;
    char sentence[600];
    const char *path = in_folder(name);
    ck_assert_int_eq(gq_file_write_atomic(path, bytes, len, 0644), GQ_OK);
    ck_assert_int_eq(gq_source_read(path, &text, &origin), GQ_ERR_PLUGIN);
    snprintf(sentence, sizeof sentence, "plugin %s is %s", path, what);
    ck_assert_str_eq(gq_error_text(), sentence);
    gq_text_finish(&text);
}

START_TEST(other_files_are_named)
{
    char host[64] = ELFMAG "\002\001\001";
    host[offsetof(Elf64_Ehdr, e_machine)] = EM_X86_64;
    expect_no_plugin("host.o", host, sizeof host,
                     "a program or an object file for this machine; a plugin is CUDA C++ source, PTX or a cubin");
    expect_no_plugin("empty.cu", "", 0, "empty; a plugin is CUDA C++ source, PTX or a cubin");
    expect_no_plugin("short.cubin", host, 10, "an ELF file that was cut; make it again");
    expect_no_plugin("a.fatbin", "\x50\xed\x55\xba\1\0\x10\0", 8,
                     "a fat binary; give one cubin, made with nvcc -rdc=true -cubin -arch=sm_NN, or PTX");
    expect_no_plugin("a.bin", "abc\0def", 7, "not text; a plugin is CUDA C++ source, PTX or a cubin");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("build_machine");
    TCase *tests = tcase_create("all");
    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, make_test_folder, remove_test_folder);
    tcase_add_test(tests, ptx_is_accepted_or_refused_in_a_sentence);
    tcase_add_test(tests, a_cubin_is_accepted_or_refused_in_a_sentence);
    tcase_add_test(tests, a_cubin_says_its_scope);
    tcase_add_test(tests, a_cut_cubin_is_refused);
    tcase_add_test(tests, no_changed_byte_is_followed_out_of_the_file);
    tcase_add_test(tests, cut_ptx_is_never_more_than_it_was);
    tcase_add_test(tests, other_files_are_named);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
