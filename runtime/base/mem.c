#include "base/mem.h"
#include <stdlib.h>
#include <string.h>

void *gq_mem_lines(size_t bytes)
{
    size_t whole = (bytes + GQ_MEM_LINE - 1) & ~(size_t)(GQ_MEM_LINE - 1);
    void *p = aligned_alloc(GQ_MEM_LINE, whole);
    return p ? memset(p, 0, whole) : NULL;
}
