/* ring_ptx ROOT FILE - the PTX of the ring protocol orders its accesses over the whole system, and reads no ring memory
 * past the caches' coherence. */
#include "nvrtc.h"
#include "base/error.h"
#include "base/file.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int check(const char *ptx)
{
    static const char *const needed[] = {"ld.acquire.sys.global.u64", "st.release.sys.global.u64"};
    static const char *const forbidden[] = {"ld.global.nc", "ld.const", "ld.volatile"};
    int failed = 0;
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
        if (!strstr(ptx, needed[i]))
            failed = 1, printf("the PTX has no %s: an edge of the ring is gone\n", needed[i]);
    for (size_t i = 0; i < sizeof forbidden / sizeof *forbidden; i++)
        if (strstr(ptx, forbidden[i]))
            failed = 1, printf("the PTX has %s: a read that is not ordered by the acquire before it\n", forbidden[i]);
    return failed;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: ring_ptx ROOT FILE\n");
        return 64;
    }
    if (!nvrtc_open())
        return NVRTC_SKIP;
    struct gq_text source = {0};
    if (gq_file_read(argv[2], 1 << 20, &source) != GQ_OK) {
        printf("%s\n", gq_error_text());
        return 1;
    }
    size_t len;
    char *ptx = nvrtc_compile(argv[1], argv[2], source.data, 90, NVRTC_PTX, &len);
    int failed = ptx ? check(ptx) : 1;
    free(ptx);
    gq_text_finish(&source);
    return failed;
}
