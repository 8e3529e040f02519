/* nearest.h - the known name that a mistyped one most likely means. */
#ifndef GPUQ_NEAREST_H
#define GPUQ_NEAREST_H

#include <stddef.h>

/* The name of fewest edits from `word`, NULL when none is within a third of its length (at least 1, at most 3 edits).
 */
const char *gpuq_nearest(const char *word, const char *const *names, size_t count);

#endif
