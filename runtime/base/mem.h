/* mem.h - zeroed memory that starts on a line of its own, so that its owner shares none with a neighbour. */
#ifndef GQ_BASE_MEM_H
#define GQ_BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>

#define GQ_MEM_LINE 128u

void *gq_mem_lines(size_t bytes); /* NULL when memory ran out; free() frees it */

/* Puts a file, to be read, where another is mapped. Other threads see the one or the other at any time. False, with
 * errno set: nothing changed. */
bool gq_mem_replace(void *at, size_t bytes, int fd);

#endif
