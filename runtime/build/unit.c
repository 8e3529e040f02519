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

gq_status gq_unit_write(const struct gq_build_request *request, const struct gq_scan *scan, const char *entry_header,
                        struct gq_text *out)
{
    const struct gq_text *text = &scan->file[0].text;
    gq_text_printf(out, "#define GQ_IMAGE_KIND %d\n#define GQ_ENTRY <%s>\n", (int)request->kind, entry_header);
    add_line(out, "the pipeline file's params");
    gq_status status = gq_params_define(request, scan, out);
    if (status != GQ_OK)
        return status;
    add_line(out, request->path);
    gq_text_add(out, gq_text_str(text), text->len);
    gq_text_puts(out, GQ_UNIT_TAIL);
    return out->failed ? gq_error_set(GQ_ERR_NO_MEMORY, "%s: out of memory", request->path) : GQ_OK;
}
