#include "config/golden_value.h"
#include "config/value.h"
#include <ctype.h>
#include <errno.h>
#include <gpuqueue/layout.h>
#include <stdlib.h>
#include <string.h>

/* A scalar that is not empty by mistake: `in:` with nothing behind it is more often forgotten than meant. */
static bool is_value(const struct gq_yaml *node, struct gq_problems *problems, const char *expected)
{
    if (node->bad)
        return false;
    if (node->kind != GQ_YAML_SCALAR)
        gq_yaml_problem(problems, node, false, "expected %s, got %s", expected, gq_yaml_kind_name(node->kind));
    else if (gq_yaml_is_null(node))
        gq_yaml_problem(problems, node, false, "expected %s, got nothing; write \"\" for no bytes", expected);
    else
        return true;
    return false;
}

/* In place of what an earlier key gave, if a file has both. */
static void put_bytes(struct gq_golden_bytes *out, uint8_t *data, size_t len)
{
    free(out->data);
    *out = (struct gq_golden_bytes){.data = data, .len = len};
}

void gq_golden_read_text(const struct gq_yaml *node, struct gq_problems *problems, struct gq_golden_bytes *out)
{
    if (!is_value(node, problems, "text") || node->len == 0)
        return;
    uint8_t *copy = malloc(node->len);
    if (copy) {
        memcpy(copy, node->text, node->len);
        put_bytes(out, copy, node->len);
    } else {
        problems->failed = true;
    }
}

static int hex_digit(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = c ? strchr(digits, tolower((unsigned char)c)) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* Digits into `out`, spaces between them skipped; how many digits, or -1 at the first that is none. */
static long read_digits(const struct gq_yaml *node, struct gq_problems *problems, uint8_t *out)
{
    long digits = 0;
    for (size_t i = 0; i < node->len; i++) {
        if (node->text[i] == ' ')
            continue;
        int value = hex_digit(node->text[i]);
        if (value < 0) {
            gq_yaml_problem(problems, node, false, "expected hex digits, but character %zu is none", i + 1);
            return -1;
        }
        out[digits / 2] = (uint8_t)(out[digits / 2] << 4 | value);
        digits++;
    }
    return digits;
}

void gq_golden_read_hex(const struct gq_yaml *node, struct gq_problems *problems, struct gq_golden_bytes *out)
{
    if (!is_value(node, problems, "hex digits"))
        return;
    uint8_t *bytes = calloc(node->len / 2 + 1, 1);
    if (!bytes) {
        problems->failed = true;
        return;
    }
    long digits = read_digits(node, problems, bytes);
    if (digits > 0 && digits % 2 == 1)
        gq_yaml_problem(problems, node, false, "expected two hex digits for each byte, got %ld digits", digits);
    if (digits > 0 && digits % 2 == 0)
        put_bytes(out, bytes, (size_t)digits / 2);
    else
        free(bytes);
}

bool gq_golden_read_number(const struct gq_yaml *node, struct gq_problems *problems, uint64_t min, uint64_t max,
                           uint64_t *out)
{
    if (!is_value(node, problems, "a whole number"))
        return false;
    char *end = NULL;
    errno = 0;
    unsigned long long value = strtoull(node->text, &end, 10);
    bool number = !node->quoted && isdigit((unsigned char)node->text[0]) && end == node->text + node->len;
    if (!number || errno || value < min || value > max) {
        gq_yaml_problem(problems, node, false, "expected a whole number from %llu to %llu", (unsigned long long)min,
                        (unsigned long long)max);
        return false;
    }
    *out = value;
    return true;
}

void gq_golden_read_true(const struct gq_yaml *node, struct gq_problems *problems)
{
    bool yes = node->kind == GQ_YAML_SCALAR && !node->quoted && strcmp(node->text, "true") == 0;
    if (!yes && !node->bad)
        gq_yaml_problem(problems, node, false, "expected true; leave the key out where the message does not end so");
}

static bool is_identifier(const char *name)
{
    if (!isalpha((unsigned char)*name) && *name != '_')
        return false;
    while (isalnum((unsigned char)*name) || *name == '_')
        name++;
    return *name == 0;
}

static void check_param(const struct gq_yaml *node, struct gq_problems *problems)
{
    struct gq_conf_param value;
    struct gq_text why = {0};
    if (!node->quoted && !gq_value_param(node->text, &value, &why))
        gq_yaml_problem(problems, node, false, "'%s' is not a parameter: %s", node->text, gq_text_str(&why));
    problems->failed |= why.failed;
    gq_text_finish(&why);
}

static void read_param(const struct gq_yaml *node, struct gq_problems *problems, struct gq_golden_param *out)
{
    if (!is_identifier(node->key))
        gq_yaml_problem(problems, node, true, "a parameter's name is letters, digits and _, and starts with no digit");
    if (!is_value(node, problems, "true, false, a number or a string"))
        return;
    if (memchr(node->text, 0, node->len))
        gq_yaml_problem(problems, node, false, "a parameter's value cannot hold a zero byte");
    check_param(node, problems);
    *out = (struct gq_golden_param){.quoted = node->quoted, .mark = node->mark};
    out->name = strdup(node->key);
    out->text = strdup(node->text);
    if (!out->name || !out->text)
        problems->failed = true;
}

void gq_golden_read_params(const struct gq_yaml *node, struct gq_problems *problems, struct gq_golden_vector *vector)
{
    if (!node->bad && node->kind != GQ_YAML_MAPPING && !gq_yaml_is_null(node))
        gq_yaml_problem(problems, node, false, "expected a mapping of names to values, got %s",
                        gq_yaml_kind_name(node->kind));
    if (node->kind != GQ_YAML_MAPPING || node->count == 0)
        return;
    vector->params = calloc(node->count, sizeof *vector->params);
    if (!vector->params) {
        problems->failed = true;
        return;
    }
    vector->param_count = node->count;
    for (size_t i = 0; i < node->count; i++)
        read_param(node->items[i], problems, &vector->params[i]);
}

void gq_golden_repeat(struct gq_golden_bytes *bytes, uint64_t times, const struct gq_yaml *node,
                      struct gq_problems *problems)
{
    size_t piece = bytes->len, len = piece * (size_t)times; /* no overflow: both are below 2^25 */
    if (len > GQ_SLOT_BYTES_MAX)
        gq_yaml_problem(problems, node, false, "%zu bytes are more than a message may have, %u", len,
                        GQ_SLOT_BYTES_MAX);
    if (len <= piece || len > GQ_SLOT_BYTES_MAX)
        return;
    uint8_t *all = realloc(bytes->data, len);
    if (!all) {
        problems->failed = true;
        return;
    }
    for (size_t at = piece, more; at < len; at += more) { /* what is there already, as often as it fits */
        more = at < len - at ? at : len - at;
        memcpy(all + at, all, more);
    }
    *bytes = (struct gq_golden_bytes){.data = all, .len = len};
}
