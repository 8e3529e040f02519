/* What a program writes to its control socket is the same in every locale. */
#include "comma_locale.h"
#include "control/record.h"
#include "unit.h"

static void expect(double value, const char *line)
{
    struct gq_text out = {0};
    gq_record_real(&out, "seconds", value);
    ck_assert_str_eq(gq_text_str(&out), line);
    gq_text_finish(&out);
}

static void check_reals(void)
{
    expect(0, " seconds=0.000000");
    expect(0.05, " seconds=0.050000");
    expect(1.5, " seconds=1.500000");
    expect(86400.1234567, " seconds=86400.123457");
    expect(2.9999999, " seconds=3.000000");
}

START_TEST(a_number_has_a_dot_in_every_locale)
{
    check_reals();
    if (comma_locale_enter())
        check_reals();
    comma_locale_leave();
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {a_number_has_a_dot_in_every_locale};
    return unit_run("record", tests, sizeof tests / sizeof *tests, NULL, NULL);
}
