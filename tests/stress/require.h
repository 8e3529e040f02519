/* require.h - what must hold in a test that runs for long: the first that does not ends it, with place, values and the
 * last error. Tests that go on and count their failures have a REQUIRE of their own. */
#ifndef GQ_TESTS_REQUIRE_H
#define GQ_TESTS_REQUIRE_H

#include <gpuqueue.h>
#include <stdio.h>
#include <stdlib.h>

#define REQUIRE(condition, ...)                                             \
    do {                                                                    \
        if (!(condition)) {                                                 \
            fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #condition); \
            fprintf(stderr, __VA_ARGS__);                                   \
            fprintf(stderr, " (%s)\n", q_last_error());                     \
            exit(1);                                                        \
        }                                                                   \
    } while (0)

#endif
