#include "build/client.h"
#include "base/channel.h"
#include "build/cache.h"
#include "build/pin.h"
#include "build/workshop.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define TIMEOUT_MS 60000u
#define GRACE_MS 2000u /* the builder kills its compiler and says so; past this it is killed itself */

/* What a pinned plugin includes is compiled from a folder of ours, to which the bytes that were checked are written. */
static gq_status make_pinned(struct gq_builder *b, const char *pins)
{
    if (!pins)
        return GQ_OK;
    b->pins = strdup(pins);
    if (!b->pins)
        return gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for a builder");
    return gq_scratch_make("pinned", &b->headers);
}

gq_status gq_builder_create(const struct gq_builder_opts *opts, struct gq_builder **out)
{
    struct gq_builder *b = calloc(1, sizeof *b);
    *out = NULL;
    if (!b)
        return gq_error_set(GQ_ERR_NO_MEMORY, "out of memory for a builder");
    b->process.channel = -1;
    b->timeout_ms = opts && opts->timeout_ms ? opts->timeout_ms : TIMEOUT_MS;
    const char *chosen = opts ? opts->cache_folder : NULL, *named = getenv("GPUQ_CACHE");
    if (!opts || !opts->no_cache)
        gq_cache_locate(chosen, &b->cache);
    gq_status status = b->cache.len ? gq_cache_prepare(b->cache.data) : GQ_OK;
    if (status == GQ_ERR_IO && !chosen && !(named && *named)) {
        gq_text_clear(&b->cache); /* nobody asked for one: a home that cannot be written is no error */
        status = GQ_OK;
    }
    if (status == GQ_OK)
        status = make_pinned(b, opts ? opts->pins : NULL);
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
    gq_scratch_remove_left(GQ_WORKSHOP_KIND); /* it may have been killed */
    gq_text_finish(&b->cache);
    gq_scratch_remove(&b->headers);
    free(b->pins);
    for (unsigned i = 0; i < GQ_TEMPLATES_KEPT; i++)
        gq_text_finish(&b->kept[i].cubin);
    free(b);
}

void gq_builder_forget(const struct gq_builder *b)
{
    if (b->process.channel >= 0)
        close(b->process.channel);
    if (b->headers.folder[0])
        close(b->headers.lock);
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

/* The builder finds what a relative path names where it was started, and this process may have gone elsewhere since:
 * headers of the same names may lie there. */
static void leave_place(struct gq_builder *b)
{
    char here[PATH_MAX];
    if (!getcwd(here, sizeof here))
        here[0] = '\0';
    if (strcmp(b->place, here) != 0)
        gq_process_end(&b->process, GRACE_MS);
    memcpy(b->place, here, strlen(here) + 1);
}

/* NVRTC shuts the builder into the folder of the plugin that it compiles. What needs another folder, or none, needs
 * another builder; the template and the linker do with any. */
static void leave_jail(struct gq_builder *b, const struct gq_work *work)
{
    char real[PATH_MAX] = "";
    const bool by_nvrtc = work->kind == GQ_WIRE_WHOLE || work->kind == GQ_WIRE_APART;
    if (!(by_nvrtc && *work->folder) && work->kind != GQ_WIRE_CXX)
        return;
    if (by_nvrtc && !realpath(work->folder, real))
        snprintf(real, sizeof real, "%s", work->folder);
    if (b->jailed[0] && strcmp(b->jailed, real) != 0)
        gq_process_end(&b->process, GRACE_MS);
    snprintf(b->jailed, sizeof b->jailed, "%s", real);
}

static void write_request(const struct gq_builder *b, const struct gq_work *work, struct gq_wire_request *out)
{
    memset(out, 0, sizeof *out);
    out->version = GQ_WIRE_VERSION;
    out->timeout_ms = b->timeout_ms;
    out->work = work->kind;
    out->arch = work->arch;
    out->suffix = work->suffix;
    out->registers = work->registers;
    out->pinned = b->pins != NULL;
    snprintf(out->program, sizeof out->program, "%s", work->program);
    snprintf(out->folder, sizeof out->folder, "%s", work->folder);
}

/* *sent: whether it was tried; before that the builder knows of nothing. */
static gq_status send_request(const struct gq_builder *b, const struct gq_work *work, bool *sent)
{
    static _Thread_local struct gq_wire_request request;
    int fds[2];
    size_t count = 0;
    gq_status status = GQ_OK;
    write_request(b, work, &request);
    for (; count < 2 && work->part[count] && status == GQ_OK; count += status == GQ_OK)
        status = gq_memfd_from("gpuqueue unit", gq_text_str(work->part[count]), work->part[count]->len, &fds[count]);
    *sent = status == GQ_OK;
    if (status == GQ_OK)
        status = gq_channel_send(b->process.channel, &request, sizeof request, fds, count);
    while (count > 0)
        close(fds[--count]);
    return status;
}

/* Not a compiler's own crash, which would come again. */
static bool is_somebodys(int signal) { return signal == SIGKILL || signal == SIGTERM; }

/* The builder is gone, or does not answer: it is ended, and the next build starts another. */
static gq_status lost_builder(struct gq_builder *b, gq_status status)
{
    struct gq_text how = {0};
    int wait_status;
    if (status == GQ_ERR_TIMEOUT) {
        gq_text_printf(&how, "did not answer within %u ms and was killed", b->timeout_ms + GRACE_MS);
        gq_process_doubt(&how);
    } else if (b->process.pid > 0 && gq_process_wait(&b->process, 100, &wait_status)) {
        b->was_killed = WIFSIGNALED(wait_status) && is_somebodys(WTERMSIG(wait_status));
        gq_process_describe(wait_status, &how);
        if (WIFEXITED(wait_status))
            gq_process_doubt(&how);
    } else {
        gq_text_printf(&how, "does not answer%s%s", status == GQ_OK ? "" : ": ",
                       status == GQ_OK ? "" : gq_error_text());
    }
    gq_process_end(&b->process, GRACE_MS); /* for it to take its folder away */
    status = gq_error_set(status == GQ_ERR_TIMEOUT ? GQ_ERR_PLUGIN : GQ_ERR_INTERNAL, "the builder process %s",
                          gq_text_str(&how));
    gq_text_finish(&how);
    return status;
}

static gq_status take_parts(struct gq_made *made, const struct gq_wire_reply *reply, const int *fds, size_t fd_count)
{
    if (fd_count != (reply->compiled ? 3u : 2u))
        return gq_error_set(GQ_ERR_INTERNAL, "the builder's answer has %zu parts", fd_count);
    made->status = (gq_status)reply->status;
    made->compiled = reply->compiled;
    snprintf(made->error, sizeof made->error, "%.*s", (int)sizeof reply->error - 1, reply->error);
    gq_status status = gq_memfd_read(fds[0], GQ_RAW_LOG_BYTES_MAX * 2, &made->raw_log);
    if (status == GQ_OK)
        status = gq_memfd_read(fds[1], GQ_DEPENDS_BYTES_MAX, &made->depends);
    if (status == GQ_OK && reply->compiled)
        status = gq_memfd_read(fds[2], GQ_OBJECT_BYTES_MAX, &made->object);
    return status;
}

static gq_status receive_reply(struct gq_builder *b, struct gq_made *made)
{
    struct gq_wire_reply reply = {0};
    int fds[GQ_CHANNEL_FDS_MAX];
    size_t len, fd_count;
    gq_status status =
        gq_channel_receive(b->process.channel, &reply, sizeof reply, &len, fds, &fd_count, b->timeout_ms + GRACE_MS);
    if (status != GQ_OK || len != sizeof reply || reply.version != GQ_WIRE_VERSION)
        status = lost_builder(b, status);
    else
        status = take_parts(made, &reply, fds, fd_count);
    while (fd_count > 0)
        close(fds[--fd_count]);
    return status;
}

/* What a process of ours inherits bounds the compiler too, which would put it down to the plugin. */
static gq_status check_bounds(void)
{
    static const struct {
        int resource;
        rlim_t least;
        const char *words, *unit;
    } bounds[] = {{RLIMIT_FSIZE, 1u << 20, "files of 1 MiB, and RLIMIT_FSIZE, see `ulimit -f`,", " bytes"},
                  {RLIMIT_NOFILE, 16, "16 descriptors, and RLIMIT_NOFILE, see `ulimit -n`,", ""}};
    for (size_t i = 0; i < sizeof bounds / sizeof *bounds; i++) {
        struct rlimit l;
        if (getrlimit((__rlimit_resource_t)bounds[i].resource, &l) == 0 && l.rlim_cur < bounds[i].least)
            return gq_error_set(GQ_ERR_NO_MEMORY, "a compiler needs %s allows %llu%s", bounds[i].words,
                                (unsigned long long)l.rlim_cur, bounds[i].unit);
    }
    return GQ_OK;
}

static gq_status ask(struct gq_builder *b, const struct gq_work *work, struct gq_made *out)
{
    *out = (struct gq_made){0};
    leave_place(b);
    leave_jail(b, work);
    gq_status status = check_bounds();
    if (status == GQ_OK)
        status = start_process(b);
    if (status != GQ_OK)
        return status;
    bool sent;
    status = send_request(b, work, &sent);
    if (status != GQ_OK)
        return sent ? lost_builder(b, status) : status;
    return receive_reply(b, out);
}

void gq_made_finish(struct gq_made *made)
{
    gq_text_finish(&made->raw_log);
    gq_text_finish(&made->depends);
    gq_text_finish(&made->object);
}

/* One that somebody killed is no reason to refuse a plugin: the next one is asked once more. */
gq_status gq_client_ask(struct gq_builder *b, const struct gq_work *work, struct gq_made *out)
{
    b->was_killed = false;
    gq_status status = ask(b, work, out);
    if (status == GQ_OK || !b->was_killed)
        return status;
    gq_made_finish(out);
    return ask(b, work, out);
}
