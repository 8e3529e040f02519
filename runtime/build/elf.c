/* Formats: System V gABI, chapters "Object Files" and "Dynamic Linking"; 64-bit, of this machine's byte order. Of a
 * cubin's own sections (.nv.info) there is no public description: attribute numbers as ptxas of CUDA 12 and 13 writes
 * them, checked by a test against what it prints. */
#include "build/elf.h"
#include "build/machine.h"
#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
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
           f->head.e_ident[EI_CLASS] == ELFCLASS64 && f->head.e_shentsize == sizeof(Elf64_Shdr);
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

/* The first symbol table of a type, and the section with its names. */
struct symbols {
    Elf64_Shdr table, names;
    uint64_t count;
};

static bool open_symbols(const struct file *f, uint32_t type, struct symbols *out)
{
    if (!find_section(f, type, &out->table) || !take_section(f, out->table.sh_link, &out->names) ||
        out->table.sh_offset > f->len)
        return false;
    out->count = out->table.sh_size / sizeof(Elf64_Sym);
    return true;
}

static bool take_symbol(const struct file *f, const struct symbols *s, uint64_t index, Elf64_Sym *out)
{
    return index < s->count && take(f, s->table.sh_offset + index * sizeof *out, out, sizeof *out);
}

/* *index is the symbol's number in its table. */
static bool find_symbol(const struct file *f, uint32_t type, const char *name, Elf64_Sym *out, uint64_t *index)
{
    struct symbols s;
    if (!open_symbols(f, type, &s))
        return false;
    for (*index = 0; take_symbol(f, &s, *index, out); ++*index)
        if (out->st_shndx != SHN_UNDEF && name_is(f, &s.names, out->st_name, name))
            return true;
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

static gq_status check_abi(const struct gq_cpu_image *info)
{
    if (info->plugin_abi == GQ_PLUGIN_ABI)
        return GQ_OK;
    return gq_error_set(GQ_ERR_PLUGIN, "the compiled plugin has ABI %u and this release needs %d; build it again",
                        info->plugin_abi, GQ_PLUGIN_ABI);
}

gq_status gq_elf_cpu_image(const void *bytes, size_t len, struct gq_cpu_image *out)
{
    struct file f = {.bytes = bytes, .len = len};
    Elf64_Sym symbol;
    uint64_t index;
    memset(out, 0, sizeof *out);
    if (!take_head(&f) || f.head.e_type != ET_DYN ||
        !find_symbol(&f, SHT_DYNSYM, GQ_CPU_IMAGE_SYMBOL, &symbol, &index) ||
        !take_address(&f, symbol.st_value, out, sizeof *out) || out->magic != GQ_CPU_IMAGE_MAGIC)
        return gq_error_set(GQ_ERR_PLUGIN, "the compiled plugin does not export %s", GQ_CPU_IMAGE_SYMBOL);
    out->run = NULL;
    out->migrate = NULL;
    return check_abi(out);
}

/* --- cubins ---------------------------------------------------------------------------------------------------------
 */

#define MACHINE_CUDA 190  /* EM_CUDA */
#define OTHER_KERNEL 0x10 /* STO_CUDA_ENTRY: a bit of st_other */
#define KERNEL "gq_grid_main"

static bool take_cubin(struct file *f) { return take_head(f) && f->head.e_machine == MACHINE_CUDA; }

static bool find_named(const struct file *f, const char *name, Elf64_Shdr *out)
{
    Elf64_Shdr names;
    if (!take_section(f, f->head.e_shstrndx, &names))
        return false;
    for (uint32_t i = 0; i < f->head.e_shnum; i++)
        if (take_section(f, i, out) && name_is(f, &names, out->sh_name, name))
            return true;
    return false;
}

/* Is there such a symbol, defined or not? */
static bool names_symbol(const struct file *f, const char *name)
{
    struct symbols s;
    Elf64_Sym symbol;
    if (!open_symbols(f, SHT_SYMTAB, &s))
        return false;
    for (uint64_t i = 0; take_symbol(f, &s, i, &symbol); i++)
        if (name_is(f, &s.names, symbol.st_name, name))
            return true;
    return false;
}

/* The bytes of a variable. Values of symbols count from their section's start. */
static bool take_variable(const struct file *f, const Elf64_Sym *symbol, void *out, size_t size)
{
    Elf64_Shdr section;
    return symbol->st_size == size && take_section(f, symbol->st_shndx, &section) && section.sh_type != SHT_NOBITS &&
           section.sh_offset <= f->len && symbol->st_value <= f->len &&
           take(f, section.sh_offset + symbol->st_value, out, size);
}

gq_status gq_elf_cuda_image(const void *bytes, size_t len, struct gq_cpu_image *out)
{
    struct file f = {.bytes = bytes, .len = len};
    Elf64_Sym symbol;
    uint64_t index;
    const size_t size = offsetof(struct gq_cpu_image, migrates) + sizeof(uint32_t);
    memset(out, 0, sizeof *out);
    if (!take_cubin(&f) || !find_symbol(&f, SHT_SYMTAB, GQ_CUDA_IMAGE_SYMBOL, &symbol, &index) ||
        !take_variable(&f, &symbol, out, size) || out->magic != GQ_CPU_IMAGE_MAGIC) {
        memset(out, 0, sizeof *out);
        return gq_error_set(GQ_ERR_PLUGIN, "the compiled plugin does not export %s", GQ_CUDA_IMAGE_SYMBOL);
    }
    return check_abi(out);
}

/* One record of .nv.info: format, attribute, size; then, when the format is 4, that many bytes: here a symbol's number
 * and its value. */
enum { INFO_SIZED = 4, INFO_FRAME_BYTES = 0x11, INFO_STACK_BYTES = 0x12, INFO_REGISTERS = 0x2f };

static void take_info(const struct file *f, const Elf64_Shdr *info, uint64_t kernel, struct gq_cuda_usage *out)
{
    struct {
        uint8_t format, attribute;
        uint16_t size;
    } record;
    uint32_t pair[2];
    for (uint64_t at = 0; at + sizeof record <= info->sh_size && take(f, info->sh_offset + at, &record, sizeof record);
         at += sizeof record + (record.format == INFO_SIZED ? record.size : 0u)) {
        if (record.format != INFO_SIZED || record.size != sizeof pair ||
            !take(f, info->sh_offset + at + sizeof record, pair, sizeof pair) || pair[0] != kernel)
            continue;
        if (record.attribute == INFO_REGISTERS)
            out->registers = pair[1];
        /* With what it calls; and without, where that is not known. */
        if (record.attribute == INFO_STACK_BYTES || (record.attribute == INFO_FRAME_BYTES && out->stack_bytes == 0))
            out->stack_bytes = pair[1];
    }
}

gq_status gq_elf_cuda_usage(const void *bytes, size_t len, struct gq_cuda_usage *out)
{
    struct file f = {.bytes = bytes, .len = len};
    Elf64_Sym symbol;
    Elf64_Shdr info, shared;
    uint64_t kernel;
    *out = (struct gq_cuda_usage){0};
    if (take_cubin(&f) && find_symbol(&f, SHT_SYMTAB, KERNEL, &symbol, &kernel) && find_named(&f, ".nv.info", &info) &&
        info.sh_offset <= len)
        take_info(&f, &info, kernel, out);
    if (out->registers == 0)
        return gq_error_set(GQ_ERR_PLUGIN, "the cubin does not say what %s takes", KERNEL);
    if (find_named(&f, ".nv.shared." KERNEL, &shared))
        out->shared_bytes = (uint32_t)shared.sh_size;
    /* From sm_90 on the section begins with what the driver keeps for itself. */
    if (out->shared_bytes >= GQ_CUDA_RESERVED_BYTES && names_symbol(&f, ".nv.reservedSmem.offset0"))
        out->shared_bytes -= GQ_CUDA_RESERVED_BYTES;
    return GQ_OK;
}

/* --- cubins to be linked ------------------------------------------------------------------------------------------ */

/* Where a cubin keeps its architecture: in the lowest byte of its flags, and from the newer form on in the second. */
static uint32_t cubin_arch(const struct file *f)
{
    const bool newer = f->head.e_ident[EI_ABIVERSION] >= 8;
    return (f->head.e_flags >> (newer ? 8 : 0)) & 0xff;
}

/* As much of a name as there is and as there is room for. */
static size_t take_name(const struct file *f, const struct symbols *s, const Elf64_Sym *symbol, char *out, size_t size)
{
    size_t len = 0;
    while (len + 1 < size && symbol->st_name + len < s->names.sh_size && s->names.sh_offset <= f->len &&
           take(f, s->names.sh_offset + symbol->st_name + len, &out[len], 1) && out[len])
        len++;
    out[len] = '\0';
    return len;
}

static bool take_mark(const struct file *f, const Elf64_Sym *symbol, const char *name, struct gq_machine *out)
{
    for (int i = 0; i < GQ_MARK_KINDS; i++)
        if (strcmp(name, gq_mark_names[i]) == 0) {
            out->marked[i] = true;
            return take_variable(f, symbol, out->mark[i], gq_mark_words[i] * sizeof(uint32_t));
        }
    return true;
}

static void take_function(const Elf64_Sym *symbol, const char *name, size_t len, struct gq_machine *out)
{
    if (symbol->st_other & OTHER_KERNEL)
        gq_machine_kernel(out, name, len);
    else
        gq_machine_function(out, name, len);
}

static bool take_definitions(const struct file *f, struct gq_machine *out)
{
    struct symbols s;
    Elf64_Sym symbol;
    uint64_t i = 0;
    if (!open_symbols(f, SHT_SYMTAB, &s))
        return false;
    for (; take_symbol(f, &s, i, &symbol); i++) {
        char name[256];
        if (symbol.st_shndx == SHN_UNDEF)
            continue;
        size_t len = take_name(f, &s, &symbol, name, sizeof name);
        if (ELF64_ST_TYPE(symbol.st_info) == STT_FUNC && ELF64_ST_BIND(symbol.st_info) != STB_LOCAL)
            take_function(&symbol, name, len, out);
        else if (!take_mark(f, &symbol, name, out))
            return false;
    }
    return i == s.count;
}

/* SHT_NOBITS, and what a relocatable cubin has in its place: .nv.global, .nv.local, .nv.shared. */
static bool has_bytes(uint32_t type)
{
    return type != SHT_NULL && type != SHT_NOBITS && type != SHT_LOPROC + 0x7 && type != SHT_LOPROC + 0x9 &&
           type != SHT_LOPROC + 0xa;
}

/* The linker is to see no file that was cut. */
static bool is_whole(const struct file *f)
{
    Elf64_Shdr section;
    for (uint32_t i = 0; i < f->head.e_shnum; i++)
        if (!take_section(f, i, &section) ||
            (has_bytes(section.sh_type) &&
             (section.sh_offset > f->len || section.sh_size > f->len - section.sh_offset)))
            return false;
    return f->head.e_shnum > 1;
}

bool gq_elf_machine(const void *bytes, size_t len, struct gq_machine *out)
{
    struct file f = {.bytes = bytes, .len = len};
    if (!take_cubin(&f))
        return false;
    out->arch = cubin_arch(&f);
    out->relocatable = f.head.e_type == ET_REL;
    return is_whole(&f) && take_definitions(&f, out);
}
