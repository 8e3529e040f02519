/* compile_all ROOT ARCH FILE... - each file through NVRTC for sm_ARCH; a plugin together with the template. In the PTX,
 * the ring's accesses must be ordered over the whole system, and no read may go past the coherent caches. */
#include "nvrtc.h"
#include "base/error.h"
#include "base/file.h"
#include "base/text.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool fine_cubin(const char *bytes, size_t len) { return len > 4 && memcmp(bytes, "\177ELF", 4) == 0; }

/* The last line before `at` that writes register `name`: what follows the register, or NULL. */
static const char *definition(const char *ptx, const char *at, const char *name, size_t name_len)
{
    const char *found = NULL;
    for (const char *p = ptx; (p = strchr(p, '%')) && p < at; p++)
        if (p > ptx && (p[-1] == '\t' || p[-1] == ' ') && strncmp(p, name, name_len) == 0 && p[name_len] == ',') {
            const char *line = p;
            while (line > ptx && line[-1] != '\n')
                line--;
            /* The first operand of an instruction is what it writes. */
            if (!memchr(line, ',', (size_t)(p - line)))
                found = p + name_len;
        }
    return found;
}

/* True when the address in register `name` was computed from a variable of the module (`mov.u64 %rd1, tables;`), which
 * no release publishes, and not from a pointer. */
static bool of_module(const char *ptx, const char *at, const char *name, unsigned depth)
{
    size_t name_len = 1 + strspn(name + 1, "abcdefghijklmnopqrstuvwxyz0123456789");
    const char *operand = depth < 16 ? definition(ptx, at, name, name_len) : NULL;
    const char *end = operand ? strchr(operand, ';') : NULL;
    bool constant = false;
    for (; end && operand < end && !constant; operand += 1 + strcspn(operand + 1, ",;")) {
        const char *word = operand + 1 + strspn(operand + 1, " ");
        constant = *word == '%' ? of_module(ptx, operand, word, depth + 1)
                                : strchr("_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", *word) != NULL;
    }
    return constant;
}

static bool fine_ptx(const char *ptx)
{
    bool fine = true;
    if (!strstr(ptx, "ld.acquire.sys.global.u64") || !strstr(ptx, "st.release.sys.global."))
        fine = false, printf("an edge of the ring is gone: no ld.acquire.sys or no st.release.sys\n");
    for (const char *at = ptx; (at = strstr(at, "ld.global.nc")); at++) {
        const char *address = strchr(at, '[');
        if (!address || !of_module(ptx, at, address + 1, 0))
            fine = false,
            printf("%.*s: a read that the acquire before it does not order\n", (int)strcspn(at, "\n"), at);
    }
    return fine;
}

/* The translation unit: the file as it is, or a plugin between what the template wants to know and the template. */
static bool read_unit(const char *path, struct gq_text *unit)
{
    struct gq_text text = {0};
    if (gq_file_read(path, 1 << 20, &text) != GQ_OK)
        return printf("%s\n", gq_error_text()), false;
    bool source = strstr(text.data, "generate_message"), stage = strstr(text.data, "process_message");
    if (source || stage)
        gq_text_printf(unit,
                       "#define GQ_IMAGE_KIND %d\n#define GQ_ENTRY <device/entry_cuda.h>\n#line 1 \"%s\"\n%s\n"
                       "#include <device/kernel.cu>\n",
                       source, path, text.data);
    else
        gq_text_puts(unit, text.data);
    gq_text_finish(&text);
    return !unit->failed;
}

static bool compiles(const char *root, int arch, const char *path, size_t *out_len)
{
    struct gq_text unit = {0};
    size_t len = 0;
    char *ptx = NULL;
    char *cubin = read_unit(path, &unit) ? nvrtc_compile_both(root, path, unit.data, arch, &len, &ptx) : NULL;
    const bool fine = cubin && fine_cubin(cubin, len) && ptx && fine_ptx(ptx);
    printf("%-4s sm_%d %s, %zu bytes\n", fine ? "ok" : "FAIL", arch, path, len);
    free(cubin);
    free(ptx);
    gq_text_finish(&unit);
    *out_len = len;
    return fine;
}

static bool is_named(const char *path, const char *name)
{
    const size_t len = strlen(path), name_len = strlen(name);
    return len > name_len && strcmp(path + len - name_len, name) == 0;
}

/* What only messages of a source plugin meet is a quarter of the template's code. Among what a host's messages meet it
 * took a tenth of the rate of four stages. */
static bool is_lean(size_t without, size_t with)
{
    const bool lean = !without || !with || without < with * 4 / 5;
    if (!lean)
        printf("FAIL the template is %zu bytes where no source plugin makes the messages, and %zu where one does\n",
               without, with);
    return lean;
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
    size_t thread = 0, packs = 0;
    for (int i = 3; i < argc; i++) {
        size_t len = 0;
        failed += !compiles(argv[1], arch, argv[i], &len);
        thread = is_named(argv[i], "/linked_thread.cu") ? len : thread;
        packs = is_named(argv[i], "/linked_packs.cu") ? len : packs;
    }
    return failed || !is_lean(thread, packs);
}
