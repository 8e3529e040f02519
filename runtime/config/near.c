#include "config/near.h"
#include <string.h>

#define LENGTH_MAX 32

static size_t least(size_t a, size_t b, size_t c)
{
    size_t m = a < b ? a : b;
    return m < c ? m : c;
}

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c == '-' ? '_' : c; }

/* Optimal string alignment: insertions, deletions, changes and swaps of neighbours, one edit each. */
static size_t distance(const char *a, size_t n, const char *b, size_t m)
{
    size_t rows[3][LENGTH_MAX + 1];
    size_t *before = rows[0], *last = rows[1], *now = rows[2];
    for (size_t j = 0; j <= m; j++)
        last[j] = j;
    for (size_t i = 1; i <= n; i++) {
        now[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t change = last[j - 1] + (lower(a[i - 1]) != lower(b[j - 1]));
            now[j] = least(last[j] + 1, now[j - 1] + 1, change);
            if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) && lower(a[i - 2]) == lower(b[j - 1]) &&
                before[j - 2] + 1 < now[j])
                now[j] = before[j - 2] + 1;
        }
        size_t *free_row = before;
        before = last;
        last = now;
        now = free_row;
    }
    return last[m];
}

struct gq_near gq_near_start(const char *written)
{
    size_t len = strlen(written);
    return (struct gq_near){.written = written, .distance = len <= 3 ? 2 : len <= 7 ? 3 : 4};
}

void gq_near_offer(struct gq_near *near, const char *known)
{
    size_t n = strlen(near->written), m = strlen(known);
    if (n == 0 || n > LENGTH_MAX || m > LENGTH_MAX)
        return;
    if (n <= 3 && lower(near->written[0]) != lower(known[0]))
        return; /* `gpu` is no typing error for `cpu` */
    size_t d = distance(near->written, n, known, m);
    if (d < near->distance && d < m) {
        near->distance = d;
        near->best = known;
    }
}
