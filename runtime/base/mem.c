#include "base/mem.h"
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

void *gq_mem_lines(size_t bytes)
{
    size_t whole = (bytes + GQ_MEM_LINE - 1) & ~(size_t)(GQ_MEM_LINE - 1);
    void *p = aligned_alloc(GQ_MEM_LINE, whole);
    return p ? memset(p, 0, whole) : NULL;
}

/* By the system call itself: ThreadSanitizer takes the function mmap() for a write to every byte, which other threads
 * may be reading. The kernel changes the mapping under its lock, at once. An offset of the type int would bring 32 bits
 * of whatever lay on the stack with it, for syscall() is variadic: the mapping then lies beyond the file's end. */
bool gq_mem_replace(void *at, size_t bytes, int fd)
{
    const off_t offset = 0;
    return syscall(SYS_mmap, at, bytes, (long)PROT_READ, (long)(MAP_SHARED | MAP_FIXED), (long)fd, offset) != -1;
}
