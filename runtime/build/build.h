/* build.h - from a plugin file to an image that a worker can load.
 *
 * For a GPU the plugin's unit and the template are compiled apart and linked, so that the template is compiled once;
 * GPUQ_LINK=whole compiles them as one, which takes longer to build and may run faster.
 *
 * gq_build() reads the plugin once, looks in the cache under the digest of everything that reaches the compiler
 * (source, every included header, options, parameters, compiler, template, ABI), and otherwise asks the builder
 * process, which is killed past its limits. The log belongs to the image: kept, shown on failure, silent on success.
 */
#ifndef GQ_BUILD_BUILD_H
#define GQ_BUILD_BUILD_H

#include <stdbool.h>
#include "base/digest.h"
#include "base/error.h"
#include "base/text.h"
#include "config/conf.h"
#include "device/image.h"

struct gq_builder; /* the client side of one builder process, started when first needed; one caller at a time */

struct gq_builder_opts {
    bool no_cache;            /* neither read nor write the cache */
    const char *cache_folder; /* NULL: $XDG_CACHE_HOME/gpuqueue, or ~/.cache/gpuqueue */
    const char *pins;         /* file that pins every plugin, pin.h; NULL: plugins are not pinned */
    uint32_t timeout_ms;      /* 0: 60 s for one compile; then the builder is killed */
};

gq_status gq_builder_create(const struct gq_builder_opts *opts, struct gq_builder **out);
void gq_builder_destroy(struct gq_builder *builder);
/* In a forked child: lets go of the process, which is the parent's. */
void gq_builder_forget(const struct gq_builder *builder);

struct gq_build_request {
    const char
        *path; /* CUDA source, or, with `arch`, PTX or a relocatable cubin; as the user wrote it: diagnostics show it */
    enum gq_image_kind kind;
    const struct gq_conf_param *params;
    size_t param_count;
    const char *conf_file; /* for sentences about params; may be NULL */
    uint32_t arch;         /* 90: a cubin for sm_90, by NVRTC; 0: a shared object for the CPU backend */
    bool packs;            /* a source plugin makes the messages: device/grid.h, GQ_PACK; with `arch` alone */
};

enum gq_origin { GQ_ORIGIN_SOURCE, GQ_ORIGIN_PTX, GQ_ORIGIN_CUBIN };

struct gq_image {
    enum gq_origin origin; /* what the plugin's file holds */
    bool unmarked;         /* PTX or a cubin that does not say what it was made for: taken as of this release's ABI */
    int fd;                /* sealed memfd with the shared object or the cubin; -1: none */
    char digest[GQ_DIGEST_HEX]; /* of everything that reached the compiler */
    struct gq_cpu_image info;   /* as the image exports it; `run` is NULL on this side */
    struct gq_text log;         /* the compiler's messages, at the user's file and line */
    struct gq_text headers;     /* paths of the headers that were read, a NUL after each; some come twice */
    bool cached;
    double build_ms;
};

/* GQ_ERR_PLUGIN: the plugin is at fault and the error text is the compiler's messages or a sentence with
 * file:line:column. GQ_ERR_UNAVAILABLE: no compiler. On failure `out->log` still holds what the compiler said. */
gq_status gq_build(struct gq_builder *builder, const struct gq_build_request *request, struct gq_image *out);
void gq_image_finish(struct gq_image *image);

/* Parameters that a plugin names with GQ_PARAM(name, default), from its text: in order of appearance, once each; those
 * of its CPU version alone come last. */
struct gq_plugin_param {
    char *name, *default_text;
    unsigned line, column;
};
gq_status gq_plugin_params(const char *path, struct gq_plugin_param **out, size_t *count);
/* Appends, as gq_build() says it, that the plugin has no parameter of this name. False, and nothing, if it has. */
bool gq_plugin_lacks(const char *path, const struct gq_plugin_param *known, size_t count, const char *name,
                     struct gq_text *sentence);
void gq_plugin_params_destroy(struct gq_plugin_param *params, size_t count);

/* Appends the paths of the files that a build of this plugin reads, a NUL after each: the plugin itself, the headers of
 * the user's that it includes, and places where a header that it includes would be read from if it were there. For
 * those who watch files; a plugin that cannot be read is one path. Without memory `out` has failed. */
void gq_plugin_files(const char *path, uint32_t arch, struct gq_text *out);

/* The builder process: serves requests on descriptor 3 until it closes. gpuq-worker calls it. Returns an exit code. */
int gq_builder_main(void);

#endif
