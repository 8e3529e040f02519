#include "build/unit.h"

/* `#line 1 "path"`, where the path may hold anything. */
static void add_line(struct gq_text *out, const char *path)
{
    gq_text_puts(out, "#line 1 \"");
    for (const char *s = path; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c < 0x20 || c == '"' || c == '\\' || c == 0x7f)
            gq_text_printf(out, "\\%03o", c);
        else
            gq_text_add(out, s, 1);
    }
    gq_text_puts(out, "\"\n");
}

/* Ahead of the plugin's text. Compiled apart, its function has one caller, in the same unit: declared static, it leaves
 * no second copy for others to call. */
static void add_head(const struct gq_build_request *request, enum gq_unit_kind unit, struct gq_text *out)
{
    gq_text_printf(out, "#define GQ_IMAGE_KIND %d\n", (int)request->kind);
    if (unit == GQ_UNIT_WHOLE)
        gq_text_printf(out, "#define GQ_PACKS %d\n", request->packs);
    if (unit != GQ_UNIT_APART)
        gq_text_printf(out, "#define GQ_ENTRY <%s>\n",
                       unit == GQ_UNIT_CPU ? "device/entry_cpu.h" : "device/entry_cuda.h");
    else if (request->kind == GQ_IMAGE_SOURCE)
        gq_text_puts(out, "#include <stdint.h>\nstruct ResultView;\n"
                          "static __device__ void generate_message(uint64_t, ResultView *);\n");
    else
        gq_text_puts(out, "struct MsgView;\nstruct ResultView;\n"
                          "static __device__ void process_message(const MsgView &, ResultView *);\n");
}

gq_status gq_unit_write(const struct gq_build_request *request, const struct gq_scan *scan, enum gq_unit_kind kind,
                        struct gq_text *out)
{
    const struct gq_text *text = &scan->file[0].text;
    add_head(request, kind, out);
    add_line(out, "the pipeline file's params");
    gq_status status = gq_params_define(request, scan, out);
    if (status != GQ_OK)
        return status;
    add_line(out, request->path);
    gq_text_add(out, gq_text_str(text), text->len);
    gq_text_printf(out, GQ_UNIT_TAIL "#include <%s>\n",
                   kind == GQ_UNIT_APART ? "device/plugin_unit.h" : "device/kernel.cu");
    return out->failed ? gq_error_set(GQ_ERR_NO_MEMORY, "%s: out of memory", request->path) : GQ_OK;
}

static void add_scope(const struct gq_cpu_image *info, struct gq_text *out)
{
    static const char *const names[] = {"thread", "warp"};
    if (info->scope < 2)
        gq_text_printf(out, "GQ_SCOPE(%s);\n", names[info->scope]);
    else
        gq_text_printf(out, "GQ_SCOPE(block, %u);\n", info->threads);
}

void gq_unit_write_template(const struct gq_cpu_image *info, const struct gq_machine *machine, bool packs,
                            struct gq_text *out)
{
    gq_text_printf(out, "#define GQ_IMAGE_KIND %u\n#define GQ_PACKS %d\n#define GQ_ENTRY <device/entry_cuda.h>\n%s",
                   info->kind, packs, machine ? "" : "#define GQ_LINKED\n");
    gq_text_puts(out, "#include <gpuqueue/plugin.h>\n");
    add_scope(info, out);
    if (machine && info->state_bytes)
        gq_text_printf(out, "GQ_STATE(%u, %u);\n", info->state_bytes, info->state_version);
    if (machine && machine->index_long) /* which is another function to C++ than the template's */
        gq_text_puts(out, "__device__ void generate_message(unsigned long index, ResultView *out);\n"
                          "__device__ __forceinline__ void generate_message(uint64_t index, ResultView *out)\n"
                          "{ generate_message((unsigned long)index, out); }\n");
    gq_text_puts(out, GQ_UNIT_TAIL "#include <device/kernel.cu>\n");
}
