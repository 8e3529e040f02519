/* layout ROOT FIELDS DEVICE-SOURCE - gpuqueue/layout.h means the same bytes to C11 (two compilers), C++17 and NVRTC.
 * Exits 77 when all host compilers agree and one that belongs to the comparison is not on this machine. */
#include "layout_rows.h"
#include "nvrtc.h"
#include "base/error.h"
#include "base/file.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int differs(const struct layout_row *a, const char *compiler, unsigned offset, unsigned size)
{
    if (a->offset == offset && a->size == size)
        return 0;
    printf("%s: offset %u and size %u for %s, but %u and %u for %s\n", a->name, a->offset, a->size,
           layout_main.compiler, offset, size, compiler);
    return 1;
}

static int compare(const struct layout_table *other)
{
    if (other->count != layout_main.count)
        return printf("%s: %u rows, not %u\n", other->compiler, other->count, layout_main.count), 1;
    int failed = 0;
    for (unsigned i = 0; i < other->count; i++)
        failed |= differs(&layout_main.rows[i], other->compiler, other->rows[i].offset, other->rows[i].size);
    printf("%s: %u rows compared\n", other->compiler, other->count);
    return failed;
}

/* Members follow each other without a gap and fill their struct: all padding is written out, and no member is unlisted.
 */
static int check_gaps(void)
{
    int failed = layout_main.count < 8;
    for (unsigned i = 0; i < layout_main.count;) {
        const struct layout_row *whole = &layout_main.rows[i++];
        unsigned end = 0;
        for (; i < layout_main.count && strchr(layout_main.rows[i].name, '.'); i++) {
            const struct layout_row *row = &layout_main.rows[i];
            if (row->offset != end)
                failed = 1, printf("%s: offset %u, but the member before it ends at %u\n", row->name, row->offset, end);
            end = row->offset + row->size;
        }
        if (end != whole->size)
            failed = 1, printf("%s: members end at %u, the struct at %u\n", whole->name, end, whole->size);
    }
    return failed;
}

/* The next number of `.b8 layout_values[] = {8, 0, 0, 0, ...}`: four bytes, the lowest first. The PTX ends an
 * initializer where only zeros follow. */
static unsigned next_number(const char **at)
{
    unsigned value = 0;
    for (unsigned shift = 0; shift < 32 && **at != '}'; shift += 8) {
        char *end;
        value |= (unsigned)strtoul(*at + 1, &end, 10) << shift;
        *at = end;
    }
    return value;
}

static int compare_device(const char *ptx)
{
    const char *at = strstr(ptx, ".b8 layout_values[");
    at = at ? strchr(at, '{') : NULL;
    if (!at)
        return printf("NVRTC: the PTX has no bytes named layout_values\n"), 1;
    int failed = 0;
    for (unsigned i = 0; i < layout_main.count; i++) {
        unsigned offset = next_number(&at);
        unsigned size = next_number(&at);
        failed |= differs(&layout_main.rows[i], "NVRTC", offset, size);
    }
    printf("NVRTC: %u rows compared\n", layout_main.count);
    return failed;
}

static int run_device(const char *root, const char *fields, const char *device_source)
{
    struct gq_text source = {0}, list = {0};
    if (gq_file_read(device_source, 1 << 20, &source) != GQ_OK || gq_file_read(fields, 1 << 20, &list) != GQ_OK)
        return printf("%s\n", gq_error_text()), 1;
    gq_text_puts(&source, list.data);
    gq_text_puts(&source, "};\n");
    size_t len;
    char *ptx = nvrtc_compile(root, "layout.cu", source.data, 90, NVRTC_PTX, &len);
    int failed = ptx ? compare_device(ptx) : 1;
    free(ptx);
    gq_text_finish(&source);
    gq_text_finish(&list);
    return failed;
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: layout ROOT FIELDS DEVICE-SOURCE\n");
        return 64;
    }
    bool skipped = false;
    int failed = check_gaps() | compare(&layout_cxx);
#ifdef OTHER_COMPILER
    failed |= compare(&layout_other);
#else
    skipped = true;
    printf("only one of gcc and clang is installed\n");
#endif
    if (nvrtc_open())
        failed |= run_device(argv[1], argv[2], argv[3]);
    else
        skipped = true;
    return failed ? 1 : skipped ? NVRTC_SKIP : 0;
}
