/* The host side: look, ask the builder, keep. */
#include "build/build.h"
#include "base/assert.h"
#include "base/channel.h"
#include "base/clock.h"
#include "base/file.h"
#include "build/cache.h"
#include "build/client.h"
#include "build/compiler.h"
#include "build/elf.h"
#include "build/jitlink.h"
#include "build/link.h"
#include "build/log.h"
#include "build/nvrtc.h"
#include "build/pin.h"
#include "build/unit.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TICK_MS 20u /* at most, of the clock that file systems stamp with */

/* One gq_build() on its way. */
struct job {
    struct gq_builder *builder;
    const struct gq_build_request *request;
    struct gq_image *image;
    struct gq_scan scan;
    char compiler[PATH_MAX], folder[PATH_MAX];
    char linker[PATH_MAX]; /* empty: nothing is linked */
    struct gq_text unit, depends, object, digests, unsettled;
    uint32_t header_count;
    struct timespec started;
    char key[GQ_DIGEST_HEX];
};

static bool is_source(const struct job *job) { return job->scan.origin == GQ_ORIGIN_SOURCE; }

/* --- what the image is made of ------------------------------------------------------------------------------------ */

static void make_key(struct job *job)
{
    struct gq_digest d;
    char real[PATH_MAX];
    const struct gq_text *machine = &job->scan.file[0].text;
    const char *folder = realpath(job->folder, real) ? real : job->folder;
    gq_cache_key_start(&d, job->compiler, job->request->arch);
    gq_digest_part(&d, "unit", gq_text_str(&job->unit), job->unit.len);
    gq_digest_part(&d, "folder", folder, strlen(folder));
    for (size_t i = 1; i < job->scan.file_count; i++) /* a new file may hide the one that was found before */
        gq_digest_part(&d, "header", job->scan.file[i].path, strlen(job->scan.file[i].path));
    if (!is_source(job))
        gq_digest_part(&d, "machine code", gq_text_str(machine), machine->len);
    if (*job->linker)
        gq_compiler_digest(job->linker, &d);
    if (*job->linker && job->request->packs) /* in no unit of the plugin's */
        gq_digest_part(&d, "packs", "", 0);
    gq_digest_part(&d, "kind", &job->request->kind, sizeof job->request->kind);
    gq_digest_finish(&d, job->key);
}

/* Key and headers: everything that reached the compiler. Where a header was written meanwhile nobody knows which bytes
 * did, and its time keeps this image apart from the one that is built of what lies there now. */
static void make_image_digest(const struct job *job, char digest[GQ_DIGEST_HEX])
{
    struct gq_digest d;
    gq_digest_start(&d);
    gq_digest_part(&d, "key", job->key, strlen(job->key));
    gq_digest_part(&d, "headers", gq_text_str(&job->depends), job->depends.len);
    gq_digest_part(&d, "header digests", gq_text_str(&job->digests), job->digests.len);
    gq_digest_part(&d, "unsettled", gq_text_str(&job->unsettled), job->unsettled.len);
    gq_digest_finish(&d, digest);
}

/* From here on the bytes that were checked are those that are compiled: the plugin's text goes to the compiler as it
 * was read, and its headers lie in a folder of ours, beside which no file of the user's can be included. */
static gq_status check_pins(struct job *job)
{
    const struct gq_scratch *headers = &job->builder->headers;
    gq_status status = gq_pins_check(job->builder->pins, &job->scan);
    if (status == GQ_OK)
        status = gq_pins_copy_headers(&job->scan, job->folder, headers);
    job->scan.open_ended = true; /* what is kept of other builds was not checked */
    snprintf(job->folder, sizeof job->folder, "%s", headers->folder);
    return status;
}

static gq_status scan(struct job *job)
{
    const struct gq_build_request *r = job->request;
    gq_status status = gq_scan_plugin(r->path, r->arch ? GQ_SCAN_CUDA : GQ_SCAN_CPU, &job->scan);
    job->image->origin = job->scan.origin;
    job->image->unmarked = !is_source(job) && !job->scan.machine.marked[GQ_MARK_ABI];
    if (status == GQ_OK && !is_source(job))
        status = gq_machine_check(r->path, &job->scan.machine, r->kind, r->arch);
    if (status != GQ_OK) {
        gq_text_puts(&job->image->log, gq_text_str(&job->scan.problems));
        return status;
    }
    char *folder = gq_path_folder(r->path);
    if (!folder)
        return gq_error_set(GQ_ERR_NO_MEMORY, "plugin %s: out of memory for its folder's name", r->path);
    bool fits =
        strlen(r->path) < PATH_MAX && snprintf(job->folder, sizeof job->folder, "%s", folder) < (int)sizeof job->folder;
    free(folder);
    if (!fits)
        return gq_error_set(GQ_ERR_PLUGIN, "the plugin's path is longer than a path can be");
    return job->builder->pins ? check_pins(job) : GQ_OK;
}

/* Which compiler, and whether its work is linked with the template. Machine code always is. */
static gq_status choose_tools(struct job *job, enum gq_unit_kind *kind)
{
    bool linked = true;
    *kind = GQ_UNIT_CPU;
    if (!job->request->arch)
        return gq_compiler_find(job->compiler);
    gq_nvrtc_find(job->compiler);
    gq_jitlink_find(job->linker);
    gq_status status = is_source(job) ? gq_link_wanted(job->compiler, job->linker, &linked) : gq_jitlink_check();
    if (!linked)
        job->linker[0] = '\0';
    *kind = linked ? GQ_UNIT_APART : GQ_UNIT_WHOLE;
    return status;
}

/* Machine code takes no parameters: its unit holds nothing else, so that those given are refused as always. */
static gq_status write_unit(struct job *job, enum gq_unit_kind kind)
{
    if (is_source(job))
        return gq_unit_write(job->request, &job->scan, kind, &job->unit);
    return gq_params_define(job->request, &job->scan, &job->unit);
}

static gq_status prepare(struct job *job)
{
    enum gq_unit_kind kind;
    gq_status status = scan(job);
    if (status == GQ_OK)
        status = choose_tools(job, &kind);
    if (status == GQ_OK)
        status = write_unit(job, kind);
    if (status == GQ_OK)
        make_key(job);
    return status;
}

/* --- the cache ---------------------------------------------------------------------------------------------------- */

static bool look_in_cache(struct job *job)
{
    struct gq_text bytes = {0};
    struct gq_entry entry;
    struct gq_image *image = job->image;
    const char *folder = gq_text_str(&job->builder->cache);
    bool found = *folder && !job->scan.open_ended && gq_cache_get(folder, job->key, &bytes, &entry) &&
                 gq_memfd_from("gpuqueue image", entry.object, entry.object_len, &image->fd) == GQ_OK;
    if (found) {
        image->info = entry.info;
        image->cached = true;
        memcpy(image->digest, entry.digest, sizeof image->digest);
        gq_text_puts(&image->log, entry.log);
        gq_text_add(&image->headers, entry.headers, entry.headers_len);
    }
    gq_text_finish(&bytes);
    return found;
}

/* A cache that cannot be written costs time, not the build. */
static void keep(const struct job *job)
{
    const char *folder = gq_text_str(&job->builder->cache);
    struct gq_entry entry = {.plugin = job->request->path,
                             .info = job->image->info,
                             .log = gq_text_str(&job->image->log),
                             .object = gq_text_str(&job->object),
                             .object_len = job->object.len,
                             .headers = gq_text_str(&job->depends),
                             .headers_len = job->depends.len,
                             .header_digests = (const uint8_t *)gq_text_str(&job->digests),
                             .header_count = job->header_count};
    memcpy(entry.digest, job->image->digest, sizeof entry.digest);
    if (*folder && !job->scan.open_ended)
        (void)gq_cache_put(folder, job->key, &entry);
}

/* --- building ----------------------------------------------------------------------------------------------------- */

static gq_status judge(const struct job *job, const struct gq_made *made, const char *program)
{
    if (made->status == GQ_ERR_TIMEOUT)
        return gq_error_set(GQ_ERR_PLUGIN, "plugin %s: %s", job->request->path, made->error);
    if (made->status != GQ_OK)
        return gq_error_set(made->status, "building %s: %s", job->request->path, made->error);
    if (!made->compiled && job->image->log.len == 0)
        return gq_error_set(GQ_ERR_PLUGIN, "plugin %s: the compiler %s failed without a word", job->request->path,
                            program);
    return made->compiled ? GQ_OK : gq_error_set(GQ_ERR_PLUGIN, "%s", gq_text_str(&job->image->log));
}

/* What the builder made becomes the job's; `status` is whether it answered. */
static gq_status take(struct job *job, gq_status status, struct gq_made *made, const char *program)
{
    if (status != GQ_OK) {
        status = gq_error_prefix(status, "building %s: ", job->request->path);
    } else {
        if (!made->compiled) /* warnings of the step before do not explain it */
            gq_text_clear(&job->image->log);
        gq_log_clean(gq_text_str(&made->raw_log), job->request->path, job->request->kind, &job->scan, &job->image->log);
        status = judge(job, made, program);
    }
    if (status == GQ_OK) {
        gq_text_finish(&job->object);
        job->object = made->object;
        made->object = (struct gq_text){0};
        gq_text_add(&job->depends, gq_text_str(&made->depends), made->depends.len);
    }
    gq_made_finish(made);
    return status;
}

static enum gq_wire_work work_of(const struct job *job)
{
    return !job->request->arch ? GQ_WIRE_CXX : *job->linker ? GQ_WIRE_APART : GQ_WIRE_WHOLE;
}

static gq_status compile_unit(struct job *job)
{
    struct gq_made made;
    const struct gq_work work = {.kind = work_of(job),
                                 .program = job->compiler,
                                 .folder = job->folder,
                                 .arch = job->request->arch,
                                 .part = {&job->unit}};
    gq_status status = gq_client_ask(job->builder, &work, &made);
    return take(job, status, &made, job->compiler);
}

/* What the template must be to fit: as the plugin's unit exports it, or as the mark of machine code says. */
static gq_status describe_plugin(const struct job *job, struct gq_cpu_image *info)
{
    const struct gq_machine *m = &job->scan.machine;
    if (is_source(job))
        return gq_elf_cuda_image(gq_text_str(&job->object), job->object.len, info);
    *info = (struct gq_cpu_image){.kind = (uint32_t)job->request->kind,
                                  .scope = m->mark[GQ_MARK_SCOPE][1],
                                  .threads = m->mark[GQ_MARK_SCOPE][2],
                                  .state_bytes = m->mark[GQ_MARK_STATE][1],
                                  .state_version = m->mark[GQ_MARK_STATE][2]};
    return GQ_OK;
}

static gq_status link_plugin(struct job *job)
{
    struct gq_cpu_image info;
    struct gq_made made;
    gq_status status = describe_plugin(job, &info);
    if (status != GQ_OK)
        return status;
    const struct gq_link link = {.nvrtc = job->compiler,
                                 .linker = job->linker,
                                 .path = job->request->path,
                                 .arch = job->request->arch,
                                 .packs = job->request->packs,
                                 .info = &info,
                                 .machine = is_source(job) ? NULL : &job->scan.machine,
                                 .plugin = is_source(job) ? &job->object : &job->scan.file[0].text};
    return take(job, gq_link_plugin(job->builder, &link, &made), &made, job->linker);
}

static gq_status describe(struct job *job)
{
    struct gq_cpu_image *info = &job->image->info;
    if (!job->request->arch)
        return gq_elf_cpu_image(gq_text_str(&job->object), job->object.len, info);
    char real[PATH_MAX];
    for (size_t i = 1; i < job->scan.file_count; i++) { /* NVRTC does not say what it read; the scan does */
        const char *path = realpath(job->scan.file[i].path, real) ? real : job->scan.file[i].path;
        gq_text_add(&job->depends, path, strlen(path) + 1);
    }
    return gq_elf_cuda_image(gq_text_str(&job->object), job->object.len, info);
}

static bool headers_settled(const struct job *job)
{
    struct gq_text stamps = {0};
    bool settled = true;
    for (size_t i = 1; i < job->scan.file_count && settled; i++)
        settled = gq_cache_headers_settled(job->scan.file[i].path, strlen(job->scan.file[i].path) + 1, &job->started,
                                           &stamps);
    gq_text_finish(&stamps);
    return settled;
}

/* The clock of file systems has ticks of some milliseconds: within that of its last write a header could be written
 * again and look the same. */
static void wait_for_tick(struct job *job)
{
    const uint64_t deadline = gq_clock_deadline(TICK_MS);
    clock_gettime(CLOCK_REALTIME_COARSE, &job->started);
    while (!headers_settled(job) && !gq_clock_past(deadline)) {
        usleep(1000);
        clock_gettime(CLOCK_REALTIME_COARSE, &job->started);
    }
}

static gq_status make_object(struct job *job)
{
    wait_for_tick(job);
    gq_status status = is_source(job) ? compile_unit(job) : GQ_OK;
    if (status == GQ_OK && *job->linker)
        status = link_plugin(job);
    return status == GQ_OK ? describe(job) : status;
}

static gq_status compile(struct job *job)
{
    struct gq_image *image = job->image;
    gq_status status = make_object(job);
    if (status == GQ_OK)
        status = gq_memfd_from("gpuqueue image", gq_text_str(&job->object), job->object.len, &image->fd);
    if (status != GQ_OK)
        return status;
    const char *headers = gq_text_str(&job->depends);
    const bool read = gq_cache_digest_headers(headers, job->depends.len, &job->digests, &job->header_count);
    const bool settled = gq_cache_headers_settled(headers, job->depends.len, &job->started, &job->unsettled);
    make_image_digest(job, image->digest);
    gq_text_add(&image->headers, headers, job->depends.len);
    if (read && settled)
        keep(job);
    return GQ_OK;
}

static void finish_job(struct job *job)
{
    gq_scan_finish(&job->scan);
    gq_text_finish(&job->unit);
    gq_text_finish(&job->depends);
    gq_text_finish(&job->object);
    gq_text_finish(&job->digests);
    gq_text_finish(&job->unsettled);
    free(job);
}

gq_status gq_build(struct gq_builder *builder, const struct gq_build_request *request, struct gq_image *out)
{
    gq_assert(builder && request && request->path && out);
    uint64_t start = gq_clock_ns();
    *out = (struct gq_image){.fd = -1};
    struct job *job = calloc(1, sizeof *job);
    if (!job)
        return gq_error_set(GQ_ERR_NO_MEMORY, "building %s: out of memory", request->path);
    job->builder = builder;
    job->request = request;
    job->image = out;
    gq_status status = prepare(job);
    if (status == GQ_OK && !look_in_cache(job))
        status = compile(job);
    for (size_t i = 1; i < job->scan.file_count; i++) /* a compiler that is given pinned headers reads copies */
        gq_text_add(&out->headers, job->scan.file[i].path, strlen(job->scan.file[i].path) + 1);
    finish_job(job);
    out->build_ms = (double)(gq_clock_ns() - start) / 1e6;
    return status;
}

void gq_image_finish(struct gq_image *image)
{
    if (image->fd >= 0)
        close(image->fd);
    gq_text_finish(&image->log);
    gq_text_finish(&image->headers);
    *image = (struct gq_image){.fd = -1};
}
