/* Any bytes as a pipeline file: errors have their places, and what a good file amounts to reads back as the same. */
#include "fuzz.h"
#include <string.h>
#include "base/assert.h"
#include "config/conf.h"
#include "config/yaml.h"

static void check_errors(const struct gq_problems *problems, gq_status status)
{
    gq_assert((status == GQ_OK) == (problems->count == 0));
    gq_assert(status == GQ_OK || status == GQ_ERR_CONFIG);
    for (size_t i = 0; i < problems->kept; i++) {
        gq_assert(problems->list[i].message[0] != '\0');
        gq_assert(!strpbrk(problems->list[i].message, "\n\r\x1b") && !strpbrk(problems->list[i].path, "\n\r\x1b"));
        gq_assert(i == 0 || problems->list[i].mark.line >= problems->list[i - 1].mark.line);
    }
}

static void check_round_trip(const struct gq_conf *conf)
{
    struct gq_text first = {0}, second = {0}, errors = {0};
    struct gq_conf *again = NULL;
    size_t count;
    gq_conf_print(conf, &first);
    if (first.len <= GQ_YAML_BYTES_MAX) { /* escapes make a text longer */
        gq_assert(gq_conf_parse(conf->file, first.data, first.len, &errors, &count, &again) == GQ_OK);
        gq_conf_print(again, &second);
        gq_assert(strcmp(first.data, second.data) == 0);
    }
    gq_conf_destroy(again);
    gq_text_finish(&first);
    gq_text_finish(&second);
    gq_text_finish(&errors);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct gq_problems problems = {0};
    struct gq_conf *conf = NULL;
    gq_status status = gq_conf_parse_list("fuzz.yaml", (const char *)bytes, len, &problems, &conf);
    check_errors(&problems, status);
    if (conf)
        check_round_trip(conf);
    gq_problems_finish(&problems);
    gq_conf_destroy(conf);
    return 0;
}
