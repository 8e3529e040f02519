/* compile_all ROOT ARCH FILE... - each file through NVRTC to a cubin for sm_ARCH. */
#include "nvrtc.h"
#include "base/error.h"
#include "base/file.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool compiles(const char *root, const char *path, int arch)
{
    struct gq_text source = {0};
    if (gq_file_read(path, 1 << 20, &source) != GQ_OK) {
        printf("%s\n", gq_error_text());
        return false;
    }
    size_t len = 0;
    char *cubin = nvrtc_compile(root, path, source.data, arch, NVRTC_CUBIN, &len);
    bool elf = cubin && len > 4 && memcmp(cubin, "\177ELF", 4) == 0;
    printf("%-4s sm_%d %s, %zu bytes\n", elf ? "ok" : "FAIL", arch, path, len);
    free(cubin);
    gq_text_finish(&source);
    return elf;
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "usage: compile_all ROOT ARCH FILE...\n");
        return 64;
    }
    int arch = (int)strtol(argv[2], NULL, 10);
    if (!nvrtc_open())
        return NVRTC_SKIP;
    if (!nvrtc_knows(arch)) {
        printf("this NVRTC makes no code for sm_%d\n", arch);
        return NVRTC_SKIP;
    }
    int failed = 0;
    for (int i = 3; i < argc; i++)
        failed += !compiles(argv[1], argv[i], arch);
    return failed != 0;
}
