/* gpuq plugin check, build, inspect: a plugin's image, without running it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/channel.h"
#include "base/file.h"
#include "build/machine.h"
#include "plugin_target.h"
#include "plugin_text.h"
#include "plugin_verbs.h"
#include "refuse.h"

#define IMAGE_BYTES_MAX (256u << 20)

struct built {
    struct gq_image image;
    enum gq_image_kind kind;
    uint32_t arch;        /* 0: for the CPU backend */
    struct gq_conf *conf; /* gives the parameters their types */
};

/* The parameters go the way of every pipeline file, so a value has the type that it has there. */
static gq_status read_params(const struct plugin_args *args, struct built *b)
{
    struct gq_text text = {0}, errors = {0};
    size_t count = 0;
    const struct plugin_text plugin = {.file = args->file,
                                       .kind = b->kind,
                                       .params = args->params,
                                       .param_count = args->param_count,
                                       .slot_bytes = 1024,
                                       .capacity = 2,
                                       .count = 1};
    gq_status status = plugin_text_write(&plugin, &text);
    if (status == GQ_OK)
        status = gq_conf_parse(PLUGIN_TEXT_NAME, gq_text_str(&text), text.len, &errors, &count, &b->conf);
    if (status == GQ_ERR_CONFIG)
        gq_error_set(status, "%s", gq_text_str(&errors));
    gq_text_finish(&errors);
    gq_text_finish(&text);
    return status;
}

/* An error is reported when it is found: the compiler's own text is the sentence, and it may be long. */
static gq_status complain_with_log(const struct plugin_args *args, gq_status status, const struct built *b, int *code)
{
    *code = gq_status_exit_code(status);
    if (b->image.log.len && args->json)
        gpuq_report_json(stdout, "{", status);
    if (b->image.log.len)
        fprintf(stderr, "%s%s", b->image.log.data, b->image.log.data[b->image.log.len - 1] == '\n' ? "" : "\n");
    else
        *code = plugin_complain(args, status);
    return status;
}

static gq_status build_image(const struct plugin_args *args, struct built *b)
{
    struct gq_builder *builder = NULL;
    const struct gq_builder_opts opts = {.no_cache = args->no_cache};
    const bool source = b->kind == GQ_IMAGE_SOURCE;
    const struct gq_build_request request = {
        .path = args->file,
        .kind = b->kind,
        .params = source ? b->conf->source.params : b->conf->stages[0].params,
        .param_count = source ? b->conf->source.param_count : b->conf->stages[0].param_count,
        .arch = b->arch,
    };
    gq_status status = gq_builder_create(&opts, &builder);
    if (status == GQ_OK)
        status = gq_build(builder, &request, &b->image);
    gq_builder_destroy(builder);
    return status;
}

/* On failure the error is printed and *code is the exit code. */
static gq_status make(const struct plugin_args *args, struct built *b, int *code)
{
    *b = (struct built){.image = {.fd = -1}};
    gq_status status = plugin_target_choose(args, &b->arch);
    if (status == GQ_OK)
        status = plugin_text_kind(args->file, &b->kind);
    if (status == GQ_OK)
        status = read_params(args, b);
    if (status != GQ_OK) {
        *code = plugin_complain(args, status);
        return status;
    }
    status = build_image(args, b);
    return status == GQ_OK ? GQ_OK : complain_with_log(args, status, b, code);
}

static void finish(struct built *b)
{
    gq_image_finish(&b->image);
    gq_conf_destroy(b->conf);
}

int plugin_check(const struct plugin_args *args)
{
    struct built b;
    int code = 0;
    if (make(args, &b, &code) == GQ_OK)
        printf("ok    %s\n", args->file);
    finish(&b);
    return code;
}

static long long image_bytes(const struct gq_image *image)
{
    struct stat st;
    return fstat(image->fd, &st) == 0 ? (long long)st.st_size : -1;
}

/* A device, a FIFO or a link is written to: in its place a file would lie, and /dev/null be gone. */
static gq_status write_through(const char *path, const struct gq_text *bytes)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0777);
    if (fd < 0)
        return gq_error_errno(GQ_ERR_IO, errno, "%s", path);
    gq_status status = gq_file_write_all(fd, gq_text_str(bytes), bytes->len);
    if (status != GQ_OK)
        gq_error_prefix(status, "%s: ", path);
    if (close(fd) != 0 && status == GQ_OK)
        status = gq_error_errno(GQ_ERR_IO, errno, "%s", path);
    return status;
}

static gq_status write_image(const struct gq_image *image, const char *path)
{
    struct gq_text bytes = {0};
    struct stat there;
    gq_status status = gq_memfd_read(image->fd, IMAGE_BYTES_MAX, &bytes);
    if (status == GQ_OK && lstat(path, &there) == 0 && !S_ISREG(there.st_mode))
        status = write_through(path, &bytes);
    else if (status == GQ_OK)
        status = gq_file_write_atomic(path, gq_text_str(&bytes), bytes.len, 0755);
    gq_text_finish(&bytes);
    return status;
}

static void print_image(const struct plugin_args *args, const struct built *b)
{
    struct gq_text target = {0};
    plugin_target_name(b->arch, &target);
    printf("plugin  %s\nbackend %s\ndigest  %s\nbytes   %lld\n", args->file, gq_text_str(&target), b->image.digest,
           image_bytes(&b->image));
    gq_text_finish(&target);
}

int plugin_build(const struct plugin_args *args)
{
    struct built b;
    int code = 0;
    gq_status status = make(args, &b, &code);
    if (status == GQ_OK && args->out && (status = write_image(&b.image, args->out)) != GQ_OK)
        code = plugin_complain(args, status);
    if (status == GQ_OK) {
        print_image(args, &b);
        printf(b.image.cached ? "time    0 ms (cached)\n" : "time    %.0f ms\n", b.image.build_ms);
        if (args->out)
            printf("written %s\n", args->out);
    }
    finish(&b);
    return code;
}

static const char *kind_name(const struct gq_cpu_image *info)
{
    return info->kind == GQ_IMAGE_SOURCE ? "source" : "stage";
}

static const char *scope_name(const struct gq_cpu_image *info)
{
    static const char *const names[] = {"thread", "warp", "block"};
    return info->scope < 3 ? names[info->scope] : "unknown";
}

static void print_origin(const struct gq_image *image)
{
    printf("origin  %s%s\n", gq_origin_name(image->origin),
           image->unmarked ? ", without the mark of <gpuqueue/plugin.h>: taken as of this ABI" : "");
}

static void print_usage(const struct plugin_usage *usage)
{
    char stack[32];
    snprintf(stack, sizeof stack, "%u", usage->cuda.stack_bytes);
    printf("takes   %u registers and %s bytes of stack a thread, %u bytes of shared memory a block\n",
           usage->cuda.registers, usage->cuda.stack_bytes == GQ_CUDA_STACK_UNKNOWN ? "unknown" : stack,
           usage->cuda.shared_bytes);
    if (usage->spill_stores + usage->spill_loads)
        printf("spills  %u bytes stored, %u bytes loaded a thread\n", usage->spill_stores, usage->spill_loads);
    else
        printf("spills  none\n");
}

static void print_facts(const struct plugin_args *args, const struct built *b, const struct plugin_usage *usage)
{
    const struct gq_image *image = &b->image;
    const struct gq_cpu_image *info = &image->info;
    struct gq_text target = {0};
    plugin_target_name(b->arch, &target);
    printf("plugin  %s\nkind    %s\n", args->file, kind_name(info));
    printf("scope   %s (%u thread%s serve%s a message)\n", scope_name(info), info->threads,
           info->threads == 1 ? "" : "s", info->threads == 1 ? "s" : "");
    if (info->state_bytes)
        printf("state   %u bytes, version %u\n", info->state_bytes, info->state_version);
    else
        printf("state   none\n");
    printf("ABI     %u\nbackend %s\ndigest  %s\nbytes   %lld\n", info->plugin_abi, gq_text_str(&target), image->digest,
           image_bytes(image));
    if (b->arch) {
        print_origin(image);
        print_usage(usage);
    }
    gq_text_finish(&target);
}

static void print_params(const struct gq_plugin_param *params, size_t count)
{
    for (size_t i = 0; i < count; i++)
        printf("param   %s, by default %s (line %u)\n", params[i].name, params[i].default_text, params[i].line);
    if (count == 0)
        printf("param   none\n");
}

static void add_string(struct gq_text *out, const char *key, const char *value)
{
    gq_text_printf(out, "\"%s\": ", key);
    gq_text_json(out, value, strlen(value));
}

static void add_usage(struct gq_text *out, const struct built *b, const struct plugin_usage *usage)
{
    if (!b->arch)
        return;
    gq_text_printf(out, ", \"arch\": %u, \"origin\": \"%s\", \"marked\": %s", b->arch, gq_origin_name(b->image.origin),
                   b->image.unmarked ? "false" : "true");
    gq_text_printf(out, ", \"registers\": %u, \"stack_bytes\": ", usage->cuda.registers);
    if (usage->cuda.stack_bytes == GQ_CUDA_STACK_UNKNOWN)
        gq_text_puts(out, "null");
    else
        gq_text_printf(out, "%u", usage->cuda.stack_bytes);
    gq_text_printf(out, ", \"shared_bytes\": %u", usage->cuda.shared_bytes);
    gq_text_printf(out, ", \"spill_store_bytes\": %u, \"spill_load_bytes\": %u", usage->spill_stores,
                   usage->spill_loads);
}

static void add_params(struct gq_text *out, const struct gq_plugin_param *params, size_t count)
{
    gq_text_puts(out, ", \"params\": [");
    for (size_t i = 0; i < count; i++) {
        gq_text_puts(out, i ? ", {" : "{");
        add_string(out, "name", params[i].name);
        gq_text_puts(out, ", ");
        add_string(out, "default", params[i].default_text);
        gq_text_printf(out, ", \"line\": %u, \"column\": %u}", params[i].line, params[i].column);
    }
    gq_text_puts(out, "]");
}

static void print_json(const struct plugin_args *args, const struct built *b, const struct plugin_usage *usage,
                       const struct gq_plugin_param *params, size_t count)
{
    const struct gq_image *image = &b->image;
    const struct gq_cpu_image *info = &image->info;
    struct gq_text out = {0};
    gq_text_puts(&out, "{");
    add_string(&out, "plugin", args->file);
    gq_text_printf(&out, ", \"kind\": \"%s\", \"scope\": \"%s\", \"threads\": %u", kind_name(info), scope_name(info),
                   info->threads);
    gq_text_printf(&out, ", \"state_bytes\": %u, \"state_version\": %u, \"abi\": %u", info->state_bytes,
                   info->state_version, info->plugin_abi);
    gq_text_printf(&out, ", \"backend\": \"%s\", \"digest\": \"%s\", \"bytes\": %lld", b->arch ? "cuda" : "cpu",
                   image->digest, image_bytes(image));
    add_usage(&out, b, usage);
    add_params(&out, params, count);
    gq_text_puts(&out, "}");
    printf("%s\n", gq_text_str(&out));
    gq_text_finish(&out);
}

static int show(const struct plugin_args *args, const struct built *b)
{
    struct gq_plugin_param *params = NULL;
    struct plugin_usage usage = {0};
    size_t count = 0;
    gq_status status = b->arch ? plugin_target_usage(&b->image, &usage) : GQ_OK;
    if (status == GQ_OK)
        status = gq_plugin_params(args->file, &params, &count);
    if (status != GQ_OK)
        return plugin_complain(args, status);
    if (args->json) {
        print_json(args, b, &usage, params, count);
    } else {
        print_facts(args, b, &usage);
        print_params(params, count);
    }
    gq_plugin_params_destroy(params, count);
    return 0;
}

int plugin_inspect(const struct plugin_args *args)
{
    struct built b;
    int code = 0;
    if (make(args, &b, &code) == GQ_OK)
        code = show(args, &b);
    finish(&b);
    return code;
}
