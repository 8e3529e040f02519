/* Any bytes as a plugin's file: source with a header beside it, PTX, a cubin, a shared object. Whatever is refused is
 * refused in words, and what was read is within what there is.
 */
#include "fuzz.h"
#include <string.h>
#include "build/elf.h"
#include "build/scan.h"
#include "folder.h"

#define MARK "\n//////\n" /* what is behind it is header.h */

static void scan_source(enum gq_scan_target target)
{
    static struct gq_scan scan;
    const char *path = folder_path("plugin.cu");
    gq_error_clear();
    const gq_status status = gq_scan_plugin(path, target, &scan);
    gq_assert((status == GQ_OK) == (*gq_error_text() == '\0') && (status == GQ_OK || status == GQ_ERR_PLUGIN));
    gq_assert(scan.problem_count == 0 || (status == GQ_ERR_PLUGIN && scan.problems.len > 0));
    gq_assert(scan.file_count <= GQ_SCAN_FILES_MAX && scan.missing_count <= GQ_SCAN_FILES_MAX);
    for (size_t i = 0; i < scan.file_count; i++)
        gq_assert(gq_scan_text(&scan, scan.file[i].path, strlen(scan.file[i].path)) != NULL);
    for (size_t i = 0; i < scan.param_count; i++) {
        const struct gq_plugin_param *p = &scan.params[i];
        gq_assert(p->name[0] && p->default_text[0] && p->line > 0 && p->column > 0);
        for (size_t j = 0; j < i; j++)
            gq_assert(strcmp(p->name, scan.params[j].name) != 0);
    }
    gq_scan_finish(&scan);
}

/* An architecture, a kind: both sides of every question that is asked of them. */
static void judge(const struct gq_machine *machine)
{
    for (unsigned kind = 0; kind < 2; kind++)
        for (uint32_t arch = 70; arch <= 90; arch += 20) {
            gq_error_clear();
            const gq_status status = gq_machine_check("plugin", machine, kind ? GQ_IMAGE_SOURCE : GQ_IMAGE_STAGE, arch);
            gq_assert((status == GQ_OK) == (*gq_error_text() == '\0'));
        }
    gq_assert(memchr(machine->similar, '\0', sizeof machine->similar) != NULL);
}

static void read_machine(enum gq_origin origin, const uint8_t *bytes, size_t len)
{
    struct gq_text text = {0};
    struct gq_machine machine;
    gq_text_add(&text, bytes, len);
    if (gq_machine_read("plugin", origin, &text, &machine) == GQ_OK)
        judge(&machine);
    gq_text_finish(&text);
}

static void read_image(const uint8_t *bytes, size_t len)
{
    struct gq_cpu_image image;
    struct gq_cuda_usage usage;
    if (gq_elf_cpu_image(bytes, len, &image) == GQ_OK)
        gq_assert(!image.run && !image.migrate && image.plugin_abi == GQ_PLUGIN_ABI);
    if (gq_elf_cuda_image(bytes, len, &image) == GQ_OK)
        gq_assert(!image.run && !image.migrate && image.plugin_abi == GQ_PLUGIN_ABI);
    if (gq_elf_cuda_usage(bytes, len, &usage) == GQ_OK)
        gq_assert(usage.registers > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    const uint8_t *mark = len ? memmem(bytes, len, MARK, sizeof MARK - 1) : NULL;
    const size_t first = mark ? (size_t)(mark - bytes) : len, rest = mark ? first + sizeof MARK - 1 : len;
    read_machine(GQ_ORIGIN_PTX, bytes, len);
    read_machine(GQ_ORIGIN_CUBIN, bytes, len);
    read_image(bytes, len);
    folder_make();
    folder_write("plugin.cu", bytes, first);
    if (rest < len)
        folder_write("header.h", bytes + rest, len - rest);
    scan_source(GQ_SCAN_CPU);
    scan_source(GQ_SCAN_CUDA);
    if (rest < len)
        unlink(folder_path("header.h"));
    return 0;
}
