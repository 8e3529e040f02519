#include "nearest.h"
#include <string.h>

#define WORD_MAX 32

static size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

/* Levenshtein distance by rows; `b` is at most WORD_MAX long. */
static size_t edits(const char *a, const char *b)
{
    size_t row[WORD_MAX + 1];
    size_t width = strlen(b);
    for (size_t j = 0; j <= width; j++)
        row[j] = j;
    for (size_t i = 0; a[i]; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < width; j++) {
            size_t above = row[j + 1];
            size_t replaced = diagonal + (a[i] != b[j]);
            row[j + 1] = smaller(replaced, smaller(above, row[j]) + 1);
            diagonal = above;
        }
    }
    return row[width];
}

static size_t allowed(size_t length)
{
    size_t third = length / 3;
    return third < 1 ? 1 : smaller(third, 3);
}

const char *gpuq_nearest(const char *word, const char *const *names, size_t count)
{
    size_t length = strlen(word);
    if (length > WORD_MAX)
        return NULL;
    const char *best = NULL;
    size_t fewest = allowed(length) + 1;
    for (size_t i = 0; i < count; i++) {
        size_t n = strlen(names[i]) <= WORD_MAX ? edits(word, names[i]) : fewest;
        if (n < fewest) {
            fewest = n;
            best = names[i];
        }
    }
    return best;
}
