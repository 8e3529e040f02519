/* What a GPU makes of the plugins that gpuqueue brings along, and how fast the way to it is. */
#include "doctor.h"
#include <stdio.h>
#include <string.h>
#include "base/error.h"
#include "build/build.h"
#include "build/embedded.h"
#include "pipeline/remote.h"
#include "plugin_target.h"
#include "plugin_text.h"

#define BUILTIN_FOLDER "builtin/"

/* Why there is nothing to look at; NULL when there is. */
static const char *nothing_to_do(const struct doctor *d, bool compiles)
{
    if (d->gpus == 0)
        return "there is no GPU that a run could use";
    return compiles && !d->nvrtc ? "there is no NVRTC to compile with" : NULL;
}

/* The name that pipeline files know, "builtin:echo"; false if the embedded file is no plugin. */
static bool name_builtin(const struct gq_embedded *file, char *name, size_t size)
{
    const size_t folder = sizeof BUILTIN_FOLDER - 1;
    if (strncmp(file->name, BUILTIN_FOLDER, folder) != 0)
        return false;
    snprintf(name, size, GQ_BUILTIN_PREFIX "%.*s", (int)strcspn(file->name + folder, "."), file->name + folder);
    return true;
}

static void add_usage(struct doctor *d, const char *name, const struct plugin_usage *u)
{
    const bool spills = u->spill_stores || u->spill_loads;
    doctor_add(d, spills ? DOCTOR_NOTE : DOCTOR_OK, "plugin",
               spills ? "what finds no register goes through memory; the plugin is slower than it could be" : NULL,
               "%s: %u registers and %u bytes of stack a thread, %u bytes of shared memory a block, spills: %u bytes "
               "stored, %u loaded",
               name, u->cuda.registers, u->cuda.stack_bytes, u->cuda.shared_bytes, u->spill_stores, u->spill_loads);
}

static void check_plugin(struct doctor *d, struct gq_builder *builder, const char *name)
{
    struct gq_build_request request = {.path = name, .arch = d->arch};
    struct gq_image image = {.fd = -1};
    struct plugin_usage usage;
    gq_status status = plugin_text_kind(name, &request.kind);
    if (status == GQ_OK)
        status = gq_build(builder, &request, &image);
    if (status == GQ_OK)
        status = plugin_target_usage(&image, &usage);
    if (status == GQ_OK)
        add_usage(d, name, &usage);
    else
        doctor_add(d, DOCTOR_NOTE, "plugin", "plugins do not compile for this GPU; look at NVRTC's version", "%s: %.*s",
                   name, (int)strcspn(gq_error_text(), "\n"), gq_error_text());
    gq_image_finish(&image);
}

void doctor_check_plugins(struct doctor *d)
{
    const char *why = nothing_to_do(d, true);
    struct gq_builder *builder = NULL;
    char name[64];
    if (why || gq_builder_create(&(struct gq_builder_opts){0}, &builder) != GQ_OK) {
        doctor_add(d, DOCTOR_NOTE, "plugin", NULL, "nothing was compiled for a GPU: %s", why ? why : gq_error_text());
        return;
    }
    for (size_t i = 0; i < gq_embedded_count; i++)
        if (name_builtin(&gq_embedded[i], name, sizeof name))
            check_plugin(d, builder, name);
    gq_builder_destroy(builder);
}

void doctor_check_bus(struct doctor *d)
{
    const char *why = nothing_to_do(d, false);
    struct gq_bus bus;
    if (why)
        doctor_add(d, DOCTOR_NOTE, "bus", NULL, "not measured: %s", why);
    else if (gq_remote_measure_bus(d->device, &bus) != GQ_OK)
        doctor_add(d, DOCTOR_NOTE, "bus", "runs may fail in the same way", "not measured: %s", gq_error_text());
    else
        doctor_add(
            d, DOCTOR_OK, "bus", NULL,
            "device %u: copied in %.1f GB/s, out %.1f GB/s; host memory read by SMs %.1f GB/s, written %.1f GB/s",
            d->device, bus.copied_in, bus.copied_out, bus.read, bus.written);
}
