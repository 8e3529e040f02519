#include "build/machine.h"
#include <gpuqueue/version.h>
#include <stdio.h>
#include <string.h>

const char *const gq_mark_names[GQ_MARK_KINDS] = {"gq_plugin_mark", "gq_plugin_scope", "gq_plugin_state"};
const uint32_t gq_mark_words[GQ_MARK_KINDS] = {4, 3, 3};

const char *gq_origin_name(enum gq_origin origin)
{
    static const char *const names[] = {"source", "PTX", "cubin"};
    return names[origin];
}

static bool is(const char *name, size_t len, const char *what)
{
    return len == strlen(what) && memcmp(name, what, len) == 0;
}

/* A function that has no name has no text either. */
static bool is_similar(const char *name, size_t len)
{
    return len && (memmem(name, len, "process_message", 15) || memmem(name, len, "generate_message", 16));
}

static void keep_similar(struct gq_machine *m, const char *name, size_t len)
{
    snprintf(m->similar, sizeof m->similar, "%.*s", (int)(len < 127 ? len : 127), name);
}

void gq_machine_kernel(struct gq_machine *m, const char *name, size_t len)
{
    if (m->similar[0] || !is_similar(name, len))
        return;
    keep_similar(m, name, len);
    m->kernel = true;
}

void gq_machine_function(struct gq_machine *m, const char *name, size_t len)
{
    bool as_long = is(name, len, GQ_GENERATE_LONG_SYMBOL);
    if (is(name, len, GQ_PROCESS_SYMBOL)) {
        m->process = true;
    } else if (as_long || is(name, len, GQ_GENERATE_SYMBOL)) {
        m->generate = true;
        m->index_long = as_long;
    } else if (!m->similar[0] && is_similar(name, len)) {
        keep_similar(m, name, len);
    }
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

static bool scope_holds(const uint32_t scope[GQ_MARK_WORDS])
{
    const uint32_t threads = scope[2];
    return (scope[1] == 0 && threads == 1) || (scope[1] == 1 && threads == 32) ||
           (scope[1] == 2 && threads >= 32 && threads <= 1024 && threads % 32 == 0);
}

static bool marks_hold(const struct gq_machine *m)
{
    for (int i = 0; i < GQ_MARK_KINDS; i++)
        if (m->marked[i] && m->mark[i][0] != GQ_MARK_MAGIC)
            return false;
    return !m->marked[GQ_MARK_SCOPE] || scope_holds(m->mark[GQ_MARK_SCOPE]);
}

gq_status gq_machine_read(const char *path, enum gq_origin origin, const struct gq_text *bytes, struct gq_machine *out)
{
    *out = (struct gq_machine){.origin = origin, .mark[GQ_MARK_SCOPE] = {GQ_MARK_MAGIC, 0, 1}};
    bool whole = true;
    if (origin == GQ_ORIGIN_PTX)
        gq_ptx_machine(bytes, out);
    else
        whole = gq_elf_machine(gq_text_str(bytes), bytes->len, out);
    if (!whole)
        return gq_error_set(GQ_ERR_PLUGIN, "plugin %s is a cubin that is cut or damaged; make it again", path);
    if (!marks_hold(out))
        return gq_error_set(
            GQ_ERR_PLUGIN,
            "plugin %s carries a mark (gq_plugin_mark, gq_plugin_scope or gq_plugin_state) that makes no "
            "sense; make the file again with <gpuqueue/plugin.h>",
            path);
    return GQ_OK;
}

/* --- judging ------------------------------------------------------------------------------------------------------ */

#define NVCC "nvcc -rdc=true"

static const char *nvcc_option(const struct gq_machine *m) { return m->origin == GQ_ORIGIN_PTX ? "-ptx" : "-cubin"; }

static gq_status refuse_missing(const char *path, const struct gq_machine *m, bool source)
{
    const char *name = source ? "generate_message" : "process_message";
    const char *symbol = source ? GQ_GENERATE_LONG_SYMBOL : GQ_PROCESS_SYMBOL;
    if (source ? m->process : m->generate)
        return gq_error_set(GQ_ERR_PLUGIN, "plugin %s defines %s and not %s (%s); %s", path,
                            source ? "process_message" : "generate_message", name, symbol,
                            source ? "it is a stage's plugin: name it under stages"
                                   : "it is a source plugin: name it as source.plugin");
    if (m->kernel)
        return gq_error_set(
            GQ_ERR_PLUGIN,
            "plugin %s defines %s as a kernel (__global__), which nothing can call for a message; define "
            "%s as a __device__ function, as <gpuqueue/plugin.h> declares it",
            path, m->similar, name);
    if (m->similar[0])
        return gq_error_set(GQ_ERR_PLUGIN,
                            "plugin %s defines %s and not %s; include <gpuqueue/plugin.h> and define %s as it declares "
                            "it, without extern \"C\"",
                            path, m->similar, symbol, name);
    return gq_error_set(GQ_ERR_PLUGIN,
                        "plugin %s has no function %s: without -rdc=true a compiler leaves out what no kernel calls; "
                        "make it with " NVCC " %s",
                        path, symbol, nvcc_option(m));
}

static gq_status refuse_abi(const char *path, const struct gq_machine *m)
{
    const uint32_t *mark = m->mark[GQ_MARK_ABI];
    if (!m->marked[GQ_MARK_ABI] || (mark[1] == GQ_PLUGIN_ABI && mark[2] == 24 && mark[3] == 24))
        return GQ_OK;
    if (mark[1] == GQ_PLUGIN_ABI)
        return gq_error_set(
            GQ_ERR_PLUGIN,
            "plugin %s was made with a MsgView of %u bytes and a ResultView of %u, and they have 24 and "
            "24; make it again with this release's <gpuqueue/plugin.h>",
            path, mark[2], mark[3]);
    return gq_error_set(
        GQ_ERR_PLUGIN,
        "plugin %s was made for plugin ABI %u and this release has %d; make it again with this release's "
        "<gpuqueue/plugin.h>",
        path, mark[1], GQ_PLUGIN_ABI);
}

/* A cubin runs on its own architecture and on later ones of the same generation; PTX on every later one, or on exactly
 * one if its name ends with a letter. */
static bool arch_fits(const struct gq_machine *m, uint32_t arch)
{
    if (m->suffix == 'a')
        return m->arch == arch;
    return m->arch <= arch && (m->origin == GQ_ORIGIN_PTX || m->arch / 10 == arch / 10);
}

static gq_status refuse_arch(const char *path, const struct gq_machine *m, uint32_t arch)
{
    const char suffix[2] = {(char)m->suffix, '\0'};
    if (m->arch == 0)
        return gq_error_set(GQ_ERR_PLUGIN, "plugin %s is PTX without a .target sm_NN, so it was cut or was never whole",
                            path);
    if (arch_fits(m, arch))
        return GQ_OK;
    return gq_error_set(GQ_ERR_PLUGIN,
                        "plugin %s is %s for sm_%u%s and the device is sm_%u; make it with " NVCC " %s -arch=sm_%u%s",
                        path, m->origin == GQ_ORIGIN_PTX ? "PTX" : "a cubin", m->arch, suffix, arch, nvcc_option(m),
                        arch, m->origin == GQ_ORIGIN_PTX ? "" : ", or give PTX or the .cu");
}

gq_status gq_machine_check(const char *path, const struct gq_machine *m, enum gq_image_kind kind, uint32_t arch)
{
    if (!m->relocatable)
        return gq_error_set(GQ_ERR_PLUGIN,
                            "plugin %s is a cubin that is not relocatable, so nothing can be linked with it; make it "
                            "with " NVCC " -cubin -arch=sm_%u",
                            path, arch);
    gq_status status = refuse_arch(path, m, arch);
    if (status == GQ_OK && !(kind == GQ_IMAGE_SOURCE ? m->generate : m->process))
        status = refuse_missing(path, m, kind == GQ_IMAGE_SOURCE);
    return status == GQ_OK ? refuse_abi(path, m) : status;
}
