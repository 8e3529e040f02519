/* config_support.h - reading a text in a test, and seeing what was said about it. */
#ifndef GQ_TESTS_CONFIG_SUPPORT_H
#define GQ_TESTS_CONFIG_SUPPORT_H

#include <stdlib.h>
#include <string.h>
#include "config/conf.h"
#include "config/problem.h"
#include "unit.h"

/* A file that is there on every machine, to stand for a plugin: nothing compiles it here. */
#define PLUGIN "/bin/sh"
#define STAGES "stages:\n  - plugin: " PLUGIN "\n"

/* What is wrong with a pipeline file, one error a line; "" when nothing is. The caller frees. */
static inline char *errors_of(const char *text)
{
    struct gq_text errors = {0};
    struct gq_conf *conf = NULL;
    size_t count = 0;
    gq_status status = gq_conf_parse("t.yaml", text, strlen(text), &errors, &count, &conf);
    ck_assert_int_eq(status, count ? GQ_ERR_CONFIG : GQ_OK);
    ck_assert((conf == NULL) == (count > 0));
    gq_conf_destroy(conf);
    gq_text_add(&errors, "", 0);
    return errors.data;
}

static inline struct gq_conf *parse_good(const char *path, const char *text)
{
    struct gq_text errors = {0};
    struct gq_conf *conf = NULL;
    size_t count;
    gq_conf_parse(path, text, strlen(text), &errors, &count, &conf);
    ck_assert_str_eq(gq_text_str(&errors), "");
    ck_assert_ptr_nonnull(conf);
    gq_text_finish(&errors);
    return conf;
}

#define RUN_CASES(name, tests) unit_run(name, tests, sizeof tests / sizeof *tests, NULL, NULL)

#endif
