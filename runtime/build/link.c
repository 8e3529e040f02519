#include "build/link.h"
#include "base/assert.h"
#include "build/cache.h"
#include "build/jitlink.h"
#include "build/unit.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What a thread of the template may take. By itself it would take more, since a call by the ABI leaves registers empty
 * around it, and half as many warps would fit on a multiprocessor. A plugin that takes more itself gets a template
 * without a bound: the linker wants no kernel to call a function that breaks it. */
#define REGISTERS_MAX 128u
#define REGISTERS_OF_BLOCK 65536u

/* --- which way ---------------------------------------------------------------------------------------------------- */

/* The 13 of libnvrtc.so.13. */
static const char *release_of(const char *library)
{
    const char *at = strstr(library, ".so.");
    return at ? at + 4 : "";
}

gq_status gq_link_wanted(const char *nvrtc, const char *linker, bool *wanted)
{
    const char *chosen = getenv("GPUQ_LINK");
    *wanted = true;
    if (!chosen || !*chosen)
        *wanted = access(linker, R_OK) == 0 && strncmp(release_of(nvrtc), release_of(linker), 2) == 0;
    else if (strcmp(chosen, "whole") == 0)
        *wanted = false;
    else if (strcmp(chosen, "linked") != 0)
        return gq_error_set(GQ_ERR_INVALID_ARG, "GPUQ_LINK is '%s'; expected linked or whole", chosen);
    return GQ_OK;
}

/* --- the template ------------------------------------------------------------------------------------------------- */

static const struct gq_text *find_kept(const struct gq_builder *b, const char *key)
{
    for (unsigned i = 0; i < GQ_TEMPLATES_KEPT; i++)
        if (strcmp(b->kept[i].key, key) == 0)
            return &b->kept[i].cubin;
    return NULL;
}

/* In the place of the one that was kept first. Takes the bytes of `cubin`. */
static const struct gq_text *keep(struct gq_builder *b, const char *key, struct gq_text *cubin)
{
    struct gq_template *t = &b->kept[b->next_kept++ % GQ_TEMPLATES_KEPT];
    gq_text_finish(&t->cubin);
    snprintf(t->key, sizeof t->key, "%s", key);
    t->cubin = *cubin;
    *cubin = (struct gq_text){0};
    return &t->cubin;
}

static void make_key(const struct gq_link *link, const struct gq_text *unit, uint32_t registers,
                     char key[GQ_DIGEST_HEX])
{
    struct gq_digest d;
    gq_cache_key_start(&d, link->nvrtc, link->arch);
    gq_digest_part(&d, "template", gq_text_str(unit), unit->len);
    gq_digest_part(&d, "registers", &registers, sizeof registers);
    gq_digest_finish(&d, key);
}

static const struct gq_text *look_in_cache(struct gq_builder *b, const char *key)
{
    struct gq_text bytes = {0}, cubin = {0};
    struct gq_entry entry;
    const char *folder = gq_text_str(&b->cache);
    const struct gq_text *found = NULL;
    if (*folder && gq_cache_get(folder, key, &bytes, &entry)) {
        gq_text_add(&cubin, entry.object, entry.object_len);
        found = cubin.failed ? NULL : keep(b, key, &cubin);
    }
    gq_text_finish(&bytes);
    gq_text_finish(&cubin);
    return found;
}

/* A cache that cannot be written costs time, not the build. */
static void write_to_cache(const struct gq_builder *b, const struct gq_link *link, const char *key,
                           const struct gq_text *cubin)
{
    static const char *const scopes[] = {"thread", "warp", "block"};
    char name[64];
    const char *folder = gq_text_str(&b->cache);
    snprintf(name, sizeof name, "(template, sm_%u, %s scope)", link->arch, scopes[link->info->scope % 3]);
    struct gq_entry entry = {.plugin = name,
                             .info = *link->info,
                             .log = "",
                             .object = cubin->data,
                             .object_len = cubin->len,
                             .headers = "",
                             .header_digests = (const uint8_t *)""};
    memcpy(entry.digest, key, sizeof entry.digest);
    if (*folder)
        (void)gq_cache_put(folder, key, &entry);
}

/* Its own fault or ours, never the plugin's. */
static gq_status judge(const struct gq_made *made)
{
    if (made->status != GQ_OK)
        return gq_error_set(made->status, "%s", made->error);
    if (made->compiled)
        return GQ_OK;
    return gq_error_set(GQ_ERR_INTERNAL, "the template does not compile: %.500s", gq_text_str(&made->raw_log));
}

static gq_status compile_template(struct gq_builder *b, const struct gq_link *link, const struct gq_text *unit,
                                  uint32_t registers, struct gq_text *cubin)
{
    struct gq_made made;
    const struct gq_work work = {.kind = GQ_WIRE_APART,
                                 .program = link->nvrtc,
                                 .folder = "", /* the template includes nothing of the user's */
                                 .arch = link->arch,
                                 .registers = registers,
                                 .part = {unit}};
    gq_status status = gq_client_ask(b, &work, &made);
    if (status == GQ_OK)
        status = judge(&made);
    if (status == GQ_OK) {
        *cubin = made.object;
        made.object = (struct gq_text){0};
    }
    gq_made_finish(&made);
    return status;
}

/* All threads of a block must find registers at once. */
static uint32_t registers_of(const struct gq_cpu_image *info)
{
    gq_assert(info->threads > 0 && info->threads <= 1024);
    uint32_t share = info->scope == 2 ? REGISTERS_OF_BLOCK / info->threads : REGISTERS_MAX;
    return share < REGISTERS_MAX ? share / 8 * 8 : REGISTERS_MAX;
}

static gq_status find_template(struct gq_builder *b, const struct gq_link *link, uint32_t registers,
                               const struct gq_text **out)
{
    struct gq_text unit = {0}, cubin = {0};
    char key[GQ_DIGEST_HEX];
    gq_status status = GQ_OK;
    gq_unit_write_template(link->info, link->machine, link->packs, &unit);
    make_key(link, &unit, registers, key);
    *out = find_kept(b, key);
    if (!*out)
        *out = look_in_cache(b, key);
    if (!*out)
        status = compile_template(b, link, &unit, registers, &cubin);
    if (!*out && status == GQ_OK) {
        write_to_cache(b, link, key, &cubin);
        *out = keep(b, key, &cubin);
    }
    gq_text_finish(&unit);
    return status;
}

/* --- linking ------------------------------------------------------------------------------------------------------ */

/* nvJitLink follows some damaged files out of its memory. The builder died of it, and the next build has another. */
static gq_status blame_file(const struct gq_builder *b)
{
    return b->process.pid > 0 ? GQ_ERR_INTERNAL
                              : gq_error_prefix(GQ_ERR_PLUGIN, "the linker fell over this file; make it again: ");
}

static gq_status join(struct gq_builder *b, const struct gq_link *link, uint32_t registers, struct gq_made *out)
{
    const struct gq_text *template_cubin;
    const bool ptx = link->machine && link->machine->origin == GQ_ORIGIN_PTX;
    *out = (struct gq_made){0};
    gq_status status = find_template(b, link, registers, &template_cubin);
    if (status != GQ_OK)
        return status;
    const struct gq_work work = {.kind = ptx ? GQ_WIRE_PTX : GQ_WIRE_CUBINS,
                                 .program = link->linker,
                                 .folder = link->path,
                                 .arch = link->arch,
                                 .suffix = link->machine ? link->machine->suffix : 0,
                                 .part = {template_cubin, link->plugin}};
    status = gq_client_ask(b, &work, out);
    return status == GQ_ERR_INTERNAL && link->machine ? blame_file(b) : status;
}

gq_status gq_link_plugin(struct gq_builder *b, const struct gq_link *link, struct gq_made *out)
{
    gq_status status = join(b, link, registers_of(link->info), out);
    if (status != GQ_OK || out->compiled || !strstr(gq_text_str(&out->raw_log), "with max regcount of"))
        return status;
    gq_made_finish(out);
    return join(b, link, 0, out);
}
