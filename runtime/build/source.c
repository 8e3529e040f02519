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

#define MACHINE_CODE "machine code for a GPU; this release takes plugins as source: give the .cu"

/* What the bytes are instead of source; NULL if they may be source. */
static const char *other_kind(const struct gq_text *t)
{
    static const unsigned char fat_binary[] = {0x50, 0xed, 0x55, 0xba};
    bool elf = t->len >= 20 && memcmp(t->data, ELFMAG, SELFMAG) == 0;
    if (elf) {
        uint16_t machine = 0;
        memcpy(&machine, t->data + offsetof(Elf64_Ehdr, e_machine), sizeof machine);
        return machine == EM_CUDA ? MACHINE_CODE : "a compiled program; a plugin is CUDA C++ source";
    }
    if (t->len >= 4 && memcmp(t->data, fat_binary, 4) == 0)
        return MACHINE_CODE;
    return memchr(t->data, '\0', t->len) ? "not text; a plugin is CUDA C++ source" : NULL;
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

gq_status gq_source_read(const char *path, struct gq_text *out)
{
    const size_t prefix = sizeof GQ_BUILTIN_PREFIX - 1;
    if (strncmp(path, GQ_BUILTIN_PREFIX, prefix) == 0)
        return read_builtin(path, path + prefix, out);
    gq_status status = gq_file_read(path, GQ_SOURCE_BYTES_MAX, out);
    if (status == GQ_ERR_IO)
        return gq_error_prefix(GQ_ERR_PLUGIN, "plugin ");
    if (status != GQ_OK)
        return status;
    gq_source_skip_mark(out);
    const char *kind = other_kind(out);
    if (!kind && is_ptx(out))
        kind = MACHINE_CODE;
    return kind ? gq_error_set(GQ_ERR_PLUGIN, "plugin %s is %s", path, kind) : GQ_OK;
}
