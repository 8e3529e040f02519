#include "build/source.h"
#include "base/file.h"
#include "build/embedded.h"
#include "build/scan.h"
#include "config/conf.h"
#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define MACHINE_BYTES_MAX (64u << 20) /* of PTX or a cubin */

/* *machine: 0 in a file that ends before it says. */
static bool is_elf(const struct gq_text *t, uint16_t *machine)
{
    *machine = 0;
    if (t->len < SELFMAG || memcmp(t->data, ELFMAG, SELFMAG) != 0)
        return false;
    if (t->len >= offsetof(Elf64_Ehdr, e_machine) + sizeof *machine)
        memcpy(machine, t->data + offsetof(Elf64_Ehdr, e_machine), sizeof *machine);
    return true;
}

/* What the bytes are that no backend takes; NULL if they may be source, PTX or a cubin. */
static const char *other_kind(const struct gq_text *t)
{
    static const unsigned char fat_binary[] = {0x50, 0xed, 0x55, 0xba};
    uint16_t machine;
    if (t->len == 0)
        return "empty; a plugin is CUDA C++ source, PTX or a cubin";
    if (is_elf(t, &machine) && machine == 0)
        return "an ELF file that was cut; make it again";
    if (is_elf(t, &machine))
        return machine == EM_CUDA ? NULL
                                  : "a program or an object file for this machine; a plugin is CUDA C++ source, PTX or "
                                    "a cubin";
    if (t->len >= 4 && memcmp(t->data, fat_binary, 4) == 0)
        return "a fat binary; give one cubin, made with nvcc -rdc=true -cubin -arch=sm_NN, or PTX";
    return memchr(t->data, '\0', t->len) ? "not text; a plugin is CUDA C++ source, PTX or a cubin" : NULL;
}

/* PTX begins, after comments, with .version and then .target (PTX ISA, directives of a module). */
static bool is_ptx(const struct gq_text *t)
{
    struct gq_lexer lexer;
    gq_lex_start(&lexer, t->data, t->len);
    struct gq_token dot = gq_lex_next(&lexer), word = gq_lex_next(&lexer);
    return gq_token_is(&dot, ".") && gq_token_is(&word, "version");
}

static gq_status no_builtin(const char *path)
{
    struct gq_text names = {0};
    for (size_t i = 0; i < gq_embedded_count; i++)
        if (strncmp(gq_embedded[i].name, "builtin/", 8) == 0)
            gq_text_printf(&names, "%s%.*s", names.len ? ", " : "", (int)strcspn(gq_embedded[i].name + 8, "."),
                           gq_embedded[i].name + 8);
    gq_status status =
        gq_error_set(GQ_ERR_PLUGIN, "plugin %s: there is no such builtin; there are: %s", path, gq_text_str(&names));
    gq_text_finish(&names);
    return status;
}

/* "builtin:echo" is the embedded file builtin/echo.cu. */
static gq_status read_builtin(const char *path, const char *name, struct gq_text *out)
{
    char file[64];
    snprintf(file, sizeof file, "builtin/%s.cu", name);
    for (size_t i = 0; i < gq_embedded_count; i++)
        if (strcmp(gq_embedded[i].name, file) == 0) {
            gq_text_add(out, gq_embedded[i].bytes, gq_embedded[i].len);
            return out->failed ? gq_error_set(GQ_ERR_NO_MEMORY, "%s: out of memory", path) : GQ_OK;
        }
    return no_builtin(path);
}

void gq_source_skip_mark(struct gq_text *text)
{
    if (text->len < 3 || memcmp(text->data, "\xef\xbb\xbf", 3) != 0)
        return;
    text->len -= 3;
    memmove(text->data, text->data + 3, text->len + 1);
}

/* Files written by a machine may be long; the rest is read whole by people, or is no plugin. */
static gq_status read_plugin(const char *path, struct gq_text *out, enum gq_origin *origin)
{
    uint16_t machine;
    gq_status status = gq_file_read(path, MACHINE_BYTES_MAX, out);
    if (status != GQ_OK)
        return status;
    if (is_elf(out, &machine) && machine == EM_CUDA) {
        *origin = GQ_ORIGIN_CUBIN;
        return GQ_OK;
    }
    gq_source_skip_mark(out);
    *origin = is_ptx(out) ? GQ_ORIGIN_PTX : GQ_ORIGIN_SOURCE;
    if (*origin == GQ_ORIGIN_SOURCE && out->len > GQ_SOURCE_BYTES_MAX)
        return gq_error_set(GQ_ERR_IO, "%s: is %zu bytes, at most %u are allowed", path, out->len, GQ_SOURCE_BYTES_MAX);
    return GQ_OK;
}

gq_status gq_source_read(const char *path, struct gq_text *out, enum gq_origin *origin)
{
    const char *builtin = gq_builtin_name(path);
    *origin = GQ_ORIGIN_SOURCE;
    if (builtin)
        return read_builtin(path, builtin, out);
    if (*path == '\0')
        return gq_error_set(GQ_ERR_PLUGIN, "the plugin's path is empty");
    gq_status status = read_plugin(path, out, origin);
    if (status == GQ_ERR_IO)
        return gq_error_prefix(GQ_ERR_PLUGIN, "plugin ");
    if (status != GQ_OK)
        return status;
    const char *kind = other_kind(out);
    return kind ? gq_error_set(GQ_ERR_PLUGIN, "plugin %s is %s", path, kind) : GQ_OK;
}
