/* comma_locale.h - a locale in which 1.5 is 1,5, as the application that opens a queue may have set one. */
#ifndef TESTS_UNIT_COMMA_LOCALE_H
#define TESTS_UNIT_COMMA_LOCALE_H

#include <check.h>
#include <locale.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* It is made for the test, in a folder that is gone again. False: this machine has no localedef. */
static inline bool comma_locale_enter(void)
{
    char folder[] = "/tmp/gpuqueue-locale-XXXXXX", command[512], number[8];
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(
        command, sizeof command,
        "cd %s && printf 'LC_NUMERIC\\ndecimal_point \",\"\\nthousands_sep \"\"\\ngrouping -1\\nEND LC_NUMERIC\\n' > "
        "source && localedef -c -i source -f ANSI_X3.4-1968 ./comma > log 2>&1",
        folder);
    (void)!system(command); /* its exit code counts the categories that are not there */
    setenv("LOCPATH", folder, 1);
    const bool made = setlocale(LC_NUMERIC, "comma") != NULL;
    snprintf(command, sizeof command, "rm -r %s", folder);
    ck_assert_int_eq(system(command), 0);
    snprintf(number, sizeof number, "%.1f", 1.5);
    ck_assert_str_eq(number, made ? "1,5" : "1.5");
    return made;
}

static inline void comma_locale_leave(void) { setlocale(LC_NUMERIC, "C"); }

#endif
