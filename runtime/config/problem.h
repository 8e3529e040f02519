/* problem.h - everything that is wrong with a file of ours, each with its place: all are collected, then shown at once.
 */
#ifndef GQ_CONFIG_PROBLEM_H
#define GQ_CONFIG_PROBLEM_H

#include <stdbool.h>
#include <stddef.h>
#include "base/text.h"

#define GQ_PROBLEMS_MAX 100 /* kept; what comes after them is counted only */

/* A place in a file; line and column (in characters) count from 1, 0 means unknown. */
struct gq_mark {
    unsigned line, column;
};

struct gq_problem {
    struct gq_mark mark;
    char *path; /* of the key: "stages[0].params"; "" for the file as a whole */
    char *message;
};

/* {0} is an empty list. */
struct gq_problems {
    struct gq_problem list[GQ_PROBLEMS_MAX];
    size_t kept, count; /* count >= kept */
    bool failed;        /* memory ran out: the list is not complete */
};

void gq_problem_add(struct gq_problems *p, struct gq_mark mark, const char *path, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* In the order of the file. */
void gq_problems_sort(struct gq_problems *p);
/* One `file:line:column: error: path: message` a line. */
void gq_problems_print(const struct gq_problems *p, const char *file, struct gq_text *out);
void gq_problems_finish(struct gq_problems *p);

/* Appends text of a file as a sentence may show it: shortened, without control characters. */
void gq_problem_show(struct gq_text *out, const char *text, size_t len);

#endif
