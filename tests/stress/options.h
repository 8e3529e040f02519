/* options.h - the words of a command line of a test that is run by hand, too. */
#ifndef TESTS_STRESS_OPTIONS_H
#define TESTS_STRESS_OPTIONS_H

#include <errno.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* Anything else ends the program with a sentence. */
static inline uint64_t options_number(const char *text, uint64_t least, uint64_t most)
{
    char *end;
    const uint64_t n = strtoull(text, &end, 10);
    if (*end || end == text || n < least || n > most) {
        fprintf(stderr, "%s: '%s' is no number from %" PRIu64 " to %" PRIu64 "\n", program_invocation_short_name, text,
                least, most);
        exit(64);
    }
    return n;
}

#endif
