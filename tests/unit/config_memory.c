/* Memory may run out at any allocation: the answer is a status, nothing leaks, and a half-read file is no
 * configuration. */
#include <stdbool.h>
#include <stddef.h>
#include "config_support.h"

/* The linker sends the library's calls here (--wrap); the n-th of them fails once. */
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t len);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t len);

static long left = -1; /* allocations until the one that fails; below 0: none fails */

static bool fails(void) { return left >= 0 && left-- == 0; }

void *__wrap_malloc(size_t size) { return fails() ? NULL : __real_malloc(size); }
void *__wrap_calloc(size_t count, size_t size) { return fails() ? NULL : __real_calloc(count, size); }
void *__wrap_realloc(void *old, size_t size) { return fails() ? NULL : __real_realloc(old, size); }
char *__wrap_strdup(const char *text) { return fails() ? NULL : __real_strdup(text); }
char *__wrap_strndup(const char *text, size_t len) { return fails() ? NULL : __real_strndup(text, len); }

/* Fails each allocation in turn until one run needs no more of them; returns how many there were. */
static long starve(const char *text, gq_status otherwise)
{
    for (long n = 0;; n++) {
        struct gq_problems problems = {0};
        struct gq_conf *conf = NULL;
        left = n;
        gq_status status = gq_conf_parse_list("t.yaml", text, strlen(text), &problems, &conf);
        bool enough = left >= 0;
        left = -1;
        ck_assert_msg(status == otherwise || (status == GQ_ERR_NO_MEMORY && !enough), "allocation %ld: %s", n,
                      gq_status_name(status));
        ck_assert((conf != NULL) == (status == GQ_OK));
        gq_problems_finish(&problems);
        gq_conf_destroy(conf);
        if (enough)
            return n;
    }
}

START_TEST(a_good_file_survives_every_failed_allocation)
{
    long n = starve("version: 1\nname: x\nsource: { plugin: { path: " PLUGIN ", count: 1, params: { a: 1 } } }\n" STAGES
                    "    params: { a: '${GQ_T:x}', b: 1.5 }\nsink: { file: { path: t.out } }\n",
                    GQ_OK);
    ck_assert_int_gt(n, 50);
}
END_TEST

START_TEST(a_bad_file_survives_every_failed_allocation)
{
    long n = starve("version: 2\nbackend: gpu\nnam: x\nqueue: { capacity: 3, capacity: 4 }\nstages:\n  - plugin: "
                    "missing.cu\n    name: [1]\n"
                    "source: { file: { path: missing }, stdin: }\nname: &a x\n",
                    GQ_ERR_CONFIG);
    ck_assert_int_gt(n, 50);
}
END_TEST

START_TEST(a_file_that_breaks_off_survives_every_failed_allocation)
{
    starve("version: 1\nname: x\nstages:\n  - plugin: { a: [\n", GQ_ERR_CONFIG);
}
END_TEST

START_TEST(what_is_printed_may_fail_and_says_so)
{
    struct gq_conf *conf = parse_good("t.yaml", "version: 1\nsink: { null: }\n" STAGES "    params: { a: x y }\n");
    bool enough = false;
    for (long n = 0; !enough; n++) {
        struct gq_text out = {0};
        left = n;
        gq_conf_print(conf, &out);
        enough = left >= 0;
        left = -1;
        ck_assert_int_eq(out.failed, !enough);
        gq_text_finish(&out);
    }
    gq_conf_destroy(conf);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_good_file_survives_every_failed_allocation, a_bad_file_survives_every_failed_allocation,
        a_file_that_breaks_off_survives_every_failed_allocation, what_is_printed_may_fail_and_says_so};
    return RUN_CASES("config_memory", tests);
}
