#include "base/assert.h"
#include <stdio.h>
#include <stdlib.h>

_Noreturn void gq_assert_failed(const char *condition, const char *file, int line, const char *function)
{
    fprintf(stderr, "gpuqueue: a fault of gpuqueue itself: %s:%d: %s: %s does not hold\n", file, line, function,
            condition);
    abort();
}
