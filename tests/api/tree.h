/* tree.h - files of the source tree, which may lie elsewhere than when the tests were built: $GPUQ_TEST_TREE says
 * where. */
#ifndef TESTS_API_TREE_H
#define TESTS_API_TREE_H

#include <stdio.h>
#include <stdlib.h>

/* The plugin whose messages say what becomes of them. Valid until the next call. */
static inline const char *tree_fate(void)
{
    static char path[512];
    const char *tree = getenv("GPUQ_TEST_TREE");
    snprintf(path, sizeof path, "%s/tests/api/fate.cu", tree ? tree : GPUQ_TEST_TREE);
    return path;
}

#endif
