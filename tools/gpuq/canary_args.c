#include "canary_args.h"
#include "base/assert.h"
#include "config/value.h"
#include "control/record.h"

#define PPM_OF_PERCENT 10000u

enum unit { SHARE, TIME, COUNT, PERCENT };

static const struct row {
    const char *field, *option;
    enum unit unit;
    uint32_t min, max;
} rows[GPUQ_CANARY_COUNT] = {
#define ROW(field, option, unit, least, most) {#field, option, unit, least, most},
    GQ_CANARY_FIELDS(ROW)
#undef ROW
};

/* What a pipeline file would make of it. */
static struct gq_schema_row like_a_key(const struct row *row)
{
    return (struct gq_schema_row){
        .type = row->unit == TIME ? GQ_SCHEMA_DURATION : GQ_SCHEMA_COUNT, .min = row->min, .max = row->max};
}

static bool is_percentage(const struct row *row) { return row->unit == SHARE || row->unit == PERCENT; }

/* Millionths of a share, hundredths of a factor. */
static uint64_t ppm_of_one(const struct row *row) { return row->unit == PERCENT ? PPM_OF_PERCENT : 1; }

static bool read_percentage(const struct row *row, const char *text, uint64_t *out)
{
    uint64_t ppm;
    if (!gq_value_percent(text, &ppm) || ppm % ppm_of_one(row) != 0)
        return false;
    *out = ppm / ppm_of_one(row);
    return *out >= row->min && *out <= row->max;
}

static void say_expected(const struct row *row, struct gq_text *out)
{
    const struct gq_schema_row key = like_a_key(row);
    if (!is_percentage(row)) {
        gq_schema_expected(&key, out);
        return;
    }
    gq_text_printf(out, "a %spercentage%s from ", row->unit == PERCENT ? "whole " : "",
                   row->unit == PERCENT ? "" : ", with at most four digits after the dot,");
    gq_value_print_percent(row->min * ppm_of_one(row), out);
    gq_text_puts(out, " to ");
    gq_value_print_percent(row->max * ppm_of_one(row), out);
}

gq_status canary_args_take(struct canary_args *args, int option, const char *text)
{
    gq_assert(option >= CANARY_OPTION && option < CANARY_OPTION + GPUQ_CANARY_COUNT);
    const struct row *row = &rows[option - CANARY_OPTION];
    const struct gq_schema_row key = like_a_key(row);
    struct gq_text expected = {0}, why = {0};
    uint64_t number;
    gq_status status = GQ_OK;
    if (is_percentage(row) ? read_percentage(row, text, &number) : gq_value_number(&key, text, &number, &why)) {
        args->number[option - CANARY_OPTION] = (uint32_t)number;
    } else {
        say_expected(row, &expected);
        status = gq_error_set(GQ_ERR_INVALID_ARG, "--%s takes %s, not '%s'%s%s", row->option, gq_text_str(&expected),
                              text, why.len ? "; " : "", gq_text_str(&why));
    }
    gq_text_finish(&expected);
    gq_text_finish(&why);
    return status;
}

gq_status canary_args_check(const struct canary_args *args)
{
    for (size_t i = 0; i < GPUQ_CANARY_COUNT && !args->number[GPUQ_CANARY_canary_ppm]; i++)
        if (args->number[i])
            return gq_error_set(GQ_ERR_INVALID_ARG, "--%s is about a canary: it goes with --%s, such as --%s 5%%",
                                rows[i].option, rows[0].option, rows[0].option);
    return GQ_OK;
}

void canary_args_write(const struct canary_args *args, struct gq_text *request)
{
    for (size_t i = 0; i < GPUQ_CANARY_COUNT; i++)
        if (args->number[i])
            gq_record_number(request, rows[i].field, args->number[i]);
}
