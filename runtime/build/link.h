/* link.h - a plugin's machine code and the template, joined. The template is compiled once for each kind and scope, and
 * kept: in the builder, and in the cache. */
#ifndef GQ_BUILD_LINK_H
#define GQ_BUILD_LINK_H

#include "build/client.h"
#include "build/machine.h"

struct gq_link {
    const char *nvrtc, *linker; /* libraries */
    const char *path;           /* the plugin's, as diagnostics name it */
    uint32_t arch;
    bool packs;                       /* of the build's request */
    const struct gq_cpu_image *info;  /* kind and scope; of machine code also its state */
    const struct gq_machine *machine; /* NULL: the plugin's unit, which was compiled apart */
    const struct gq_text *plugin;     /* relocatable cubin, or PTX */
};

/* Is CUDA source to be compiled apart and linked? As $GPUQ_LINK says: "linked" or "whole"; else if the linker is there
 * and as new as NVRTC. GQ_ERR_INVALID_ARG for another word. */
gq_status gq_link_wanted(const char *nvrtc, const char *linker, bool *wanted);

/* GQ_OK: the linker ran to its end, or said in *out why it could not. GQ_ERR_INTERNAL: the template does not compile.
 * gq_made_finish() in every case. */
gq_status gq_link_plugin(struct gq_builder *builder, const struct gq_link *link, struct gq_made *out);

#endif
