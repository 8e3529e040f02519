/* Formats: System V gABI, chapters "Object Files" and "Dynamic Linking"; 64-bit, of this machine's byte order. */
#include "build/elf.h"
#include <elf.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct file {
    const unsigned char *bytes;
    size_t len;
    Elf64_Ehdr head;
};

/* Copies `size` bytes at `offset`; false if the file ends before. */
static bool take(const struct file *f, uint64_t offset, void *out, size_t size)
{
    if (offset > f->len || size > f->len - offset)
        return false;
    memcpy(out, f->bytes + offset, size);
    return true;
}

static bool take_head(struct file *f)
{
    return take(f, 0, &f->head, sizeof f->head) && memcmp(f->head.e_ident, ELFMAG, SELFMAG) == 0 &&
           f->head.e_ident[EI_CLASS] == ELFCLASS64 && f->head.e_type == ET_DYN &&
           f->head.e_shentsize == sizeof(Elf64_Shdr);
}

static bool take_section(const struct file *f, uint32_t index, Elf64_Shdr *out)
{
    return index < f->head.e_shnum && f->head.e_shoff <= f->len &&
           take(f, f->head.e_shoff + (uint64_t)index * sizeof *out, out, sizeof *out);
}

static bool find_section(const struct file *f, uint32_t type, Elf64_Shdr *out)
{
    for (uint32_t i = 0; i < f->head.e_shnum; i++)
        if (take_section(f, i, out) && out->sh_type == type)
            return true;
    return false;
}

static bool name_is(const struct file *f, const Elf64_Shdr *names, uint32_t offset, const char *name)
{
    char found[64];
    size_t size = strlen(name) + 1;
    return offset < names->sh_size && names->sh_offset <= f->len && size <= sizeof found &&
           take(f, names->sh_offset + offset, found, size) && memcmp(found, name, size) == 0;
}

static bool find_symbol(const struct file *f, const char *name, Elf64_Sym *out)
{
    Elf64_Shdr symbols, names;
    if (!find_section(f, SHT_DYNSYM, &symbols) || !take_section(f, symbols.sh_link, &names) ||
        symbols.sh_offset > f->len)
        return false;
    uint64_t count = symbols.sh_size / sizeof *out;
    for (uint64_t i = 0; i < count; i++) {
        if (!take(f, symbols.sh_offset + i * sizeof *out, out, sizeof *out))
            return false;
        if (out->st_shndx != SHN_UNDEF && name_is(f, &names, out->st_name, name))
            return true;
    }
    return false;
}

/* Bytes that will lie at a virtual address, from the segment that holds it. */
static bool take_address(const struct file *f, uint64_t address, void *out, size_t size)
{
    for (uint32_t i = 0; i < f->head.e_phnum; i++) {
        Elf64_Phdr p;
        if (f->head.e_phoff > f->len || !take(f, f->head.e_phoff + i * sizeof p, &p, sizeof p))
            return false;
        if (p.p_type != PT_LOAD || address < p.p_vaddr || address - p.p_vaddr > p.p_filesz ||
            size > p.p_filesz - (address - p.p_vaddr) || p.p_offset > f->len)
            continue;
        return take(f, p.p_offset + (address - p.p_vaddr), out, size);
    }
    return false;
}

gq_status gq_elf_cpu_image(const void *bytes, size_t len, struct gq_cpu_image *out)
{
    struct file f = {.bytes = bytes, .len = len};
    Elf64_Sym symbol;
    memset(out, 0, sizeof *out);
    if (!take_head(&f) || !find_symbol(&f, GQ_CPU_IMAGE_SYMBOL, &symbol) ||
        !take_address(&f, symbol.st_value, out, sizeof *out) || out->magic != GQ_CPU_IMAGE_MAGIC)
        return gq_error_set(GQ_ERR_PLUGIN, "the compiled plugin does not export %s", GQ_CPU_IMAGE_SYMBOL);
    out->run = NULL;
    if (out->plugin_abi != GQ_PLUGIN_ABI)
        return gq_error_set(GQ_ERR_PLUGIN, "the compiled plugin has ABI %u and this release needs %d; build it again",
                            out->plugin_abi, GQ_PLUGIN_ABI);
    return GQ_OK;
}
