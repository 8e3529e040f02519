/* place.h - a folder of a test's own whose name comes again: the key of the cache has a plugin's path in it, so what
 * one test, run or variant compiled there the next one finds. */
#ifndef GQ_TESTS_PLACE_H
#define GQ_TESTS_PLACE_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define PLACES_MAX 1000u /* tests at a time, and those that were killed and left theirs */

/* Makes $TMPDIR/NAME-I for the first I that nobody has; it is empty. */
static inline bool place_make(char *path, size_t size, const char *name)
{
    const char *parent = getenv("TMPDIR");
    int err = EEXIST;
    for (unsigned i = 0; i < PLACES_MAX && err == EEXIST; i++) {
        if (snprintf(path, size, "%s/%s-%u", parent ? parent : "/tmp", name, i) >= (int)size)
            return false;
        err = mkdir(path, 0700) == 0 ? 0 : errno;
    }
    return err == 0;
}

/* With all that is in it. */
static inline bool place_remove(const char *path)
{
    char command[600];
    return snprintf(command, sizeof command, "rm -rf '%s'", path) < (int)sizeof command && system(command) == 0;
}

#endif
