/* The host side: look, ask the builder, keep. */
#include "build/build.h"
#include "base/assert.h"
#include "base/channel.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/process.h"
#include "build/cache.h"
#include "build/compiler.h"
#include "build/elf.h"
#include "build/embedded.h"
#include "build/log.h"
#include "build/nvrtc.h"
#include "build/unit.h"
#include "build/wire.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TIMEOUT_MS 60000u
#define GRACE_MS 2000u /* the builder kills its compiler and says so; past this it is killed itself */

struct gq_builder {
    struct gq_text cache; /* folder; empty: none */
    uint32_t timeout_ms;
    struct gq_process process;
};

/* One gq_build() on its way. */
struct job {
    struct gq_builder *builder;
    const struct gq_build_request *request;
    struct gq_image *image;
    struct gq_scan scan;
    char compiler[PATH_MAX], folder[PATH_MAX];
    struct gq_text unit, raw_log, depends, object, digests;
    uint32_t header_count;
    struct timespec started;
    char key[GQ_DIGEST_HEX];
};

/* --- the builder, from outside ------------------------------------------------------------------------------------ */

gq_status gq_builder_create(const struct gq_builder_opts *opts, struct gq_builder **out)
{
    struct gq_builder *b = calloc(1, sizeof *b);
    *out = NULL;
    if (!b)
        return gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for a builder");
    b->process.channel = -1;
    b->timeout_ms = opts && opts->timeout_ms ? opts->timeout_ms : TIMEOUT_MS;
    const char *chosen = opts ? opts->cache_folder : NULL;
    if (!opts || !opts->no_cache)
        gq_cache_locate(chosen, &b->cache);
    gq_status status = b->cache.len ? gq_cache_prepare(b->cache.data) : GQ_OK;
    if (status == GQ_ERR_IO && !chosen && !getenv("GPUQ_CACHE")) {
        gq_text_clear(&b->cache); /* nobody asked for one: a home that cannot be written is no error */
        status = GQ_OK;
    }
    if (status != GQ_OK) {
        gq_builder_destroy(b);
        return status;
    }
    *out = b;
    return GQ_OK;
}

void gq_builder_destroy(struct gq_builder *b)
{
    if (!b)
        return;
    gq_process_end(&b->process, GRACE_MS);
    gq_text_finish(&b->cache);
    free(b);
}

static gq_status start_process(struct gq_builder *b)
{
    int wait_status;
    if (b->process.pid > 0 && !gq_process_wait(&b->process, 0, &wait_status))
        return GQ_OK;
    gq_process_end(&b->process, 0);
    struct gq_text path = {0};
    char name[] = "gpuq-worker", argument[] = "builder";
    char *argv[] = {name, argument, NULL};
    gq_status status = gq_process_find(name, &path);
    if (status == GQ_OK)
        status = gq_process_start(gq_text_str(&path), argv, &b->process);
    gq_text_finish(&path);
    return status;
}

static gq_status send_request(struct job *job)
{
    static _Thread_local struct gq_wire_request request;
    memset(&request, 0, sizeof request);
    request.version = GQ_WIRE_VERSION;
    request.timeout_ms = job->builder->timeout_ms;
    request.arch = job->request->arch;
    snprintf(request.compiler, sizeof request.compiler, "%s", job->compiler);
    snprintf(request.folder, sizeof request.folder, "%s", job->folder);
    int fd;
    gq_status status = gq_memfd_from("gpuqueue unit", gq_text_str(&job->unit), job->unit.len, &fd);
    if (status != GQ_OK)
        return status;
    status = gq_channel_send(job->builder->process.channel, &request, sizeof request, &fd, 1);
    close(fd);
    return status;
}

/* The builder is gone, or does not answer: it is ended, and the next build starts another. */
static gq_status lost_builder(struct gq_builder *b, gq_status status)
{
    struct gq_text how = {0};
    int wait_status;
    if (status == GQ_ERR_TIMEOUT)
        gq_text_printf(&how, "did not answer within %u ms and was killed", b->timeout_ms + GRACE_MS);
    else if (b->process.pid > 0 && gq_process_wait(&b->process, 100, &wait_status))
        gq_process_describe(wait_status, &how);
    else
        gq_text_puts(&how, "does not answer");
    gq_process_end(&b->process, 0);
    status = gq_error_set(status == GQ_ERR_TIMEOUT ? GQ_ERR_PLUGIN : GQ_ERR_INTERNAL, "the builder process %s",
                          gq_text_str(&how));
    gq_text_finish(&how);
    return status;
}

static gq_status take_parts(struct job *job, const struct gq_wire_reply *reply, const int *fds, size_t fd_count)
{
    if (fd_count != (reply->compiled ? 3u : 2u))
        return gq_error_set(GQ_ERR_INTERNAL, "the builder's answer has %zu parts", fd_count);
    gq_status status = gq_memfd_read(fds[0], GQ_RAW_LOG_BYTES_MAX * 2, &job->raw_log);
    if (status == GQ_OK)
        status = gq_memfd_read(fds[1], GQ_DEPENDS_BYTES_MAX, &job->depends);
    if (status == GQ_OK && reply->compiled)
        status = gq_memfd_read(fds[2], GQ_OBJECT_BYTES_MAX, &job->object);
    return status;
}

static gq_status receive_reply(struct job *job, struct gq_wire_reply *reply)
{
    int fds[GQ_CHANNEL_FDS_MAX];
    size_t len, fd_count;
    struct gq_builder *b = job->builder;
    gq_status status =
        gq_channel_receive(b->process.channel, reply, sizeof *reply, &len, fds, &fd_count, b->timeout_ms + GRACE_MS);
    if (status != GQ_OK || len != sizeof *reply || reply->version != GQ_WIRE_VERSION)
        status = lost_builder(b, status);
    else
        status = take_parts(job, reply, fds, fd_count);
    while (fd_count > 0)
        close(fds[--fd_count]);
    return status;
}

/* --- what the image is made of ------------------------------------------------------------------------------------ */

static void add_template(struct gq_digest *d)
{
    for (size_t i = 0; i < gq_embedded_count; i++)
        gq_digest_part(d, gq_embedded[i].name, gq_embedded[i].bytes, gq_embedded[i].len);
}

static void make_key(struct job *job)
{
    struct gq_digest d;
    char real[PATH_MAX];
    const char *folder = realpath(job->folder, real) ? real : job->folder;
    gq_digest_start(&d);
    gq_digest_part(&d, "release", GQ_VERSION, strlen(GQ_VERSION));
    gq_digest_part(&d, "unit", gq_text_str(&job->unit), job->unit.len);
    gq_digest_part(&d, "folder", folder, strlen(folder));
    gq_digest_part(&d, "arch", &job->request->arch, sizeof job->request->arch);
    for (size_t i = 1; i < job->scan.file_count; i++) /* a new file may hide the one that was found before */
        gq_digest_part(&d, "header", job->scan.file[i].path, strlen(job->scan.file[i].path));
    add_template(&d);
    gq_compiler_digest(job->compiler, &d);
    gq_digest_finish(&d, job->key);
}

/* Key and headers: everything that reached the compiler. */
static void make_image_digest(const struct job *job, char digest[GQ_DIGEST_HEX])
{
    struct gq_digest d;
    gq_digest_start(&d);
    gq_digest_part(&d, "key", job->key, strlen(job->key));
    gq_digest_part(&d, "headers", gq_text_str(&job->depends), job->depends.len);
    gq_digest_part(&d, "header digests", gq_text_str(&job->digests), job->digests.len);
    gq_digest_finish(&d, digest);
}

static gq_status prepare(struct job *job)
{
    const struct gq_build_request *r = job->request;
    gq_status status = gq_scan_plugin(r->path, r->arch ? GQ_SCAN_CUDA : GQ_SCAN_CPU, &job->scan);
    if (status != GQ_OK) {
        gq_text_puts(&job->image->log, gq_text_str(&job->scan.problems));
        return status;
    }
    char *folder = gq_path_folder(r->path);
    bool fits = folder && snprintf(job->folder, sizeof job->folder, "%s", folder) < (int)sizeof job->folder;
    free(folder);
    if (!fits)
        return gq_error_set(GQ_ERR_PLUGIN, "the plugin's path is longer than a path can be");
    status = gq_unit_write(r, &job->scan, r->arch ? "device/entry_cuda.h" : "device/entry_cpu.h", &job->unit);
    if (status == GQ_OK && r->arch)
        gq_nvrtc_find(job->compiler);
    else if (status == GQ_OK)
        status = gq_compiler_find(job->compiler);
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

static gq_status ask_builder(struct job *job, struct gq_wire_reply *reply)
{
    gq_status status = start_process(job->builder);
    if (status != GQ_OK)
        return status;
    clock_gettime(CLOCK_REALTIME_COARSE, &job->started);
    if (send_request(job) != GQ_OK)
        return lost_builder(job->builder, GQ_ERR_INTERNAL);
    return receive_reply(job, reply);
}

static gq_status judge(const struct job *job, const struct gq_wire_reply *reply)
{
    if (reply->status == GQ_ERR_TIMEOUT)
        return gq_error_set(GQ_ERR_PLUGIN, "plugin %s: %s", job->request->path, reply->error);
    if (reply->status != GQ_OK)
        return gq_error_set((gq_status)reply->status, "building %s: %s", job->request->path, reply->error);
    if (!reply->compiled && job->image->log.len == 0)
        return gq_error_set(GQ_ERR_PLUGIN, "plugin %s: the compiler %s failed without a word", job->request->path,
                            job->compiler);
    return reply->compiled ? GQ_OK : gq_error_set(GQ_ERR_PLUGIN, "%s", gq_text_str(&job->image->log));
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

static gq_status compile(struct job *job)
{
    struct gq_wire_reply reply = {0};
    struct gq_image *image = job->image;
    gq_status status = ask_builder(job, &reply);
    if (status != GQ_OK)
        return gq_error_prefix(status, "building %s: ", job->request->path);
    reply.error[sizeof reply.error - 1] = '\0';
    gq_log_clean(gq_text_str(&job->raw_log), job->request->path, job->request->kind, &job->scan, &image->log);
    status = judge(job, &reply);
    if (status == GQ_OK)
        status = describe(job);
    if (status == GQ_OK)
        status = gq_memfd_from("gpuqueue image", gq_text_str(&job->object), job->object.len, &image->fd);
    if (status != GQ_OK)
        return status;
    bool settled = gq_cache_digest_headers(gq_text_str(&job->depends), job->depends.len, &job->started, &job->digests,
                                           &job->header_count);
    make_image_digest(job, image->digest);
    if (settled)
        keep(job);
    return GQ_OK;
}

static void finish_job(struct job *job)
{
    gq_scan_finish(&job->scan);
    gq_text_finish(&job->unit);
    gq_text_finish(&job->raw_log);
    gq_text_finish(&job->depends);
    gq_text_finish(&job->object);
    gq_text_finish(&job->digests);
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
    finish_job(job);
    out->build_ms = (double)(gq_clock_ns() - start) / 1e6;
    return status;
}

void gq_image_finish(struct gq_image *image)
{
    if (image->fd >= 0)
        close(image->fd);
    gq_text_finish(&image->log);
    *image = (struct gq_image){.fd = -1};
}
