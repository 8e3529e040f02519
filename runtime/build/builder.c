/* The builder process. It compiles for one host, one request at a time, and ends when the host's side of the channel
 * closes. */
#include "base/channel.h"
#include "base/clock.h"
#include "base/file.h"
#include "build/build.h"
#include "build/compiler.h"
#include "build/depends.h"
#include "build/jail.h"
#include "build/jitlink.h"
#include "build/nvrtc.h"
#include "build/run.h"
#include "build/unit.h"
#include "build/wire.h"
#include "build/workshop.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHANNEL 3

struct builder {
    struct gq_workshop workshop;
    bool open, jailed;
    char compiler[PATH_MAX]; /* the last one asked, whether it is a clang, and whether it has compiled anything */
    bool clang, proven;
};

struct job {
    const struct gq_wire_request *request;
    uint64_t deadline_ns;
    struct gq_text unit, machine, log, depends, object;
    bool compiled;
};

/* --- running the compiler ----------------------------------------------------------------------------------------- */

static gq_status run(struct builder *b, const struct job *job, const char *const *args, int *wait_status)
{
    const struct gq_wire_request *request = job->request;
    const struct gq_run r = {.args = args,
                             .jail = {.program = request->program,
                                      .plugin = request->folder,
                                      .alone = request->pinned,
                                      .scratch = b->workshop.scratch.folder},
                             .log = b->workshop.log,
                             .deadline_ns = job->deadline_ns,
                             .timeout_ms = request->timeout_ms,
                             .watch = CHANNEL};
    return gq_run_compiler(&r, wait_status);
}

/* A log of any length; what is beyond the bound is left out. */
static void read_log(const char *path, struct gq_text *out)
{
    static char bytes[GQ_RAW_LOG_BYTES_MAX];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, bytes, sizeof bytes) : -1;
    if (fd >= 0)
        close(fd);
    gq_text_clear(out);
    for (ssize_t i = 0; i < n; i++)
        gq_text_add(out, bytes[i] ? &bytes[i] : "?", 1);
}

static bool by_cxx(const struct job *job) { return job->request->work == GQ_WIRE_CXX; }
static bool is_link(const struct gq_wire_request *r) { return r->work == GQ_WIRE_CUBINS || r->work == GQ_WIRE_PTX; }

/* Asks a compiler what it is, once. */
static gq_status meet_compiler(struct builder *b, const struct job *job)
{
    if (strcmp(b->compiler, job->request->program) == 0)
        return GQ_OK;
    const char *args[] = {job->request->program, "--version", NULL};
    int wait_status;
    gq_status status = run(b, job, args, &wait_status);
    if (status != GQ_OK)
        return status;
    struct gq_text said = {0};
    read_log(b->workshop.log, &said);
    if (!WIFEXITED(wait_status) || WEXITSTATUS(wait_status) != 0)
        status = gq_error_set(GQ_ERR_UNAVAILABLE, "%s --version failed, so it cannot compile plugins: %.200s",
                              job->request->program, gq_text_str(&said));
    b->clang = strstr(gq_text_str(&said), "clang") != NULL;
    b->proven = false;
    gq_text_finish(&said);
    if (status == GQ_OK)
        snprintf(b->compiler, sizeof b->compiler, "%s", job->request->program);
    return status;
}

/* A plugin is not to blame for a program that compiles nothing at all. */
static gq_status prove_compiler(struct builder *b, const struct job *job)
{
    const char *args[] = {job->request->program, "-x", "c++", "-fsyntax-only", "/dev/null", NULL};
    int wait_status = 0;
    gq_status status = b->proven ? GQ_OK : run(b, job, args, &wait_status);
    if (status != GQ_OK)
        return status;
    b->proven = WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0;
    if (b->proven)
        return GQ_OK;
    struct gq_text said = {0};
    read_log(b->workshop.log, &said);
    status = gq_error_set(GQ_ERR_UNAVAILABLE,
                          "%s compiles no C++, not even an empty file; GPUQ_CXX names the C++ compiler, without "
                          "options: %.200s",
                          job->request->program, gq_text_str(&said));
    gq_text_finish(&said);
    return status;
}

static gq_status compile_by_cxx(struct builder *b, struct job *job, bool syntax_only)
{
    const struct gq_workshop *w = &b->workshop;
    const struct gq_compile c = {.compiler = job->request->program,
                                 .clang = b->clang,
                                 .syntax_only = syntax_only,
                                 .plugin_folder = job->request->folder,
                                 .shim = w->shim,
                                 .headers = w->scratch.folder,
                                 .unit = w->unit,
                                 .object = w->object,
                                 .depends = w->depends};
    const char *args[GQ_COMPILER_ARGS_MAX];
    int wait_status = 0;
    gq_compiler_arguments(&c, args);
    gq_status status = gq_file_write_atomic(w->unit, gq_text_str(&job->unit), job->unit.len, 0600);
    if (status == GQ_OK)
        status = run(b, job, args, &wait_status);
    if (status != GQ_OK)
        return status;
    job->compiled = WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0;
    read_log(w->log, &job->log);
    if (WIFSIGNALED(wait_status))
        gq_text_printf(&job->log, "the compiler %s was killed by signal %d\n", job->request->program,
                       WTERMSIG(wait_status));
    b->proven |= job->compiled;
    return job->compiled ? GQ_OK : prove_compiler(b, job);
}

/* NVRTC reads files from within this process, which therefore goes into the jail of the first plugin's folder, for
 * good: a child for each compile costs 10 ms more. client.c starts another builder for another folder. The linker is
 * opened in the jail as well. The template names no folder, and is ours. */
static gq_status enter_jail(struct builder *b, const struct gq_wire_request *r)
{
    char linker[PATH_MAX];
    int rules;
    if (b->jailed || !*r->folder)
        return GQ_OK;
    gq_jitlink_find(linker);
    const struct gq_jail jail = {.program = r->program, .linker = linker, .plugin = r->folder, .alone = r->pinned};
    gq_status status = gq_jail_open(&jail, &rules);
    if (status != GQ_OK)
        return status;
    gq_jail_limit(RLIMIT_AS, gq_jail_own_memory() + GQ_JAIL_MEMORY_MAX);
    b->jailed = gq_jail_enter(rules);
    if (!b->jailed)
        status = gq_error_errno(GQ_ERR_UNAVAILABLE, errno, "the builder cannot enter its jail");
    if (rules >= 0)
        close(rules);
    return status;
}

static gq_status compile_by_nvrtc(struct builder *b, struct job *job)
{
    const struct gq_wire_request *r = job->request;
    const struct gq_nvrtc_unit unit = {.library = r->program,
                                       .folder = *r->folder ? r->folder : "/nonexistent",
                                       .text = &job->unit,
                                       .arch = r->arch,
                                       .registers = r->registers,
                                       .relocatable = r->work == GQ_WIRE_APART};
    gq_status status = enter_jail(b, r);
    return status == GQ_OK ? gq_nvrtc_compile(&unit, &job->compiled, &job->log, &job->object) : status;
}

static gq_status link_parts(struct job *job)
{
    const struct gq_wire_request *r = job->request;
    const struct gq_jitlink link = {.library = r->program,
                                    .name = r->folder,
                                    .template_cubin = &job->unit,
                                    .plugin = &job->machine,
                                    .plugin_is_ptx = r->work == GQ_WIRE_PTX,
                                    .arch = r->arch,
                                    .suffix = r->suffix};
    return gq_jitlink_link(&link, &job->compiled, &job->log, &job->object);
}

static gq_status compile(struct builder *b, struct job *job, bool syntax_only)
{
    if (is_link(job->request))
        return link_parts(job);
    return by_cxx(job) ? compile_by_cxx(b, job, syntax_only) : compile_by_nvrtc(b, job);
}

/* --- the log ------------------------------------------------------------------------------------------------------ */

/* The compiler names our headers by the workshop's path, which nobody needs to see. */
static void rename_ours(struct gq_text *log, const char *folder)
{
    struct gq_text renamed = {0};
    size_t n = strlen(folder);
    for (const char *s = gq_text_str(log); *s;) {
        const char *at = strstr(s, folder);
        gq_text_add(&renamed, s, at ? (size_t)(at - s) : strlen(s));
        if (!at)
            break;
        gq_text_puts(&renamed, GQ_UNIT_OURS);
        s = at + n + (at[n] == '/');
    }
    gq_text_finish(log);
    *log = renamed;
}

/* Where the plugin's own text ends; NULL in a unit that has no such place. */
static char *find_tail(const struct gq_text *unit)
{
    char *found = NULL;
    for (char *at = unit->data; at && (at = strstr(at, GQ_UNIT_TAIL)) != NULL; at++)
        found = at;
    return found;
}

/* An unclosed brace of the plugin's makes the template fail. Without the template, the compiler names the brace. */
static gq_status compile_alone(struct builder *b, struct job *job)
{
    char *tail = find_tail(&job->unit);
    if (!tail)
        return GQ_OK;
    struct gq_text first = job->log;
    job->log = (struct gq_text){0};
    job->unit.len = (size_t)(tail - job->unit.data);
    *tail = '\0';
    gq_status status = compile(b, job, true);
    bool refused = status == GQ_OK && !job->compiled;
    job->compiled = false;
    gq_text_clear(&job->object);
    if (refused) {
        gq_text_finish(&first);
        if (b->open)
            rename_ours(&job->log, b->workshop.scratch.folder);
        return GQ_OK;
    }
    gq_text_finish(&job->log);
    job->log = first;
    return status;
}

static bool template_failed(const struct gq_text *log)
{
    return strstr(gq_text_str(log), GQ_UNIT_OURS "device/kernel.cu:") ||
           strstr(gq_text_str(log), GQ_UNIT_OURS "device/entry_") ||
           strstr(gq_text_str(log), GQ_UNIT_OURS "device/plugin_unit.h:") ||
           strstr(gq_text_str(log), GQ_UNIT_OURS "device/seam.h:") ||
           strstr(gq_text_str(log), GQ_UNIT_OURS "device/port.h:");
}

/* --- one request -------------------------------------------------------------------------------------------------- */

static gq_status collect(struct builder *b, struct job *job)
{
    struct gq_text rule = {0};
    if (access(b->workshop.object, F_OK) != 0 && errno == ENOENT)
        return gq_error_set(GQ_ERR_UNAVAILABLE,
                            "the compiler %s ended without an error and made no file; GPUQ_CXX names the C++ compiler, "
                            "without options",
                            job->request->program);
    gq_status status = gq_file_read(b->workshop.object, GQ_OBJECT_BYTES_MAX, &job->object);
    if (status == GQ_OK)
        status = gq_file_read(b->workshop.depends, GQ_DEPENDS_BYTES_MAX, &rule);
    if (status == GQ_OK)
        gq_depends_parse(gq_text_str(&rule), b->workshop.scratch.folder, &job->depends);
    gq_text_finish(&rule);
    return status;
}

static gq_status take_parts(struct job *job, const int *fds)
{
    const bool link = is_link(job->request);
    gq_status status = gq_memfd_read(fds[0], link ? GQ_OBJECT_BYTES_MAX : GQ_UNIT_BYTES_MAX, &job->unit);
    return status == GQ_OK && link ? gq_memfd_read(fds[1], GQ_OBJECT_BYTES_MAX, &job->machine) : status;
}

static gq_status work(struct builder *b, struct job *job, const int *fds)
{
    gq_status status = GQ_OK;
    /* Cleaners of /tmp remove what is old, and leave the rest. */
    if (by_cxx(job) && (!b->open || access(b->workshop.shim, R_OK) != 0)) {
        gq_workshop_close(&b->workshop);
        status = gq_workshop_open(&b->workshop);
        b->open = status == GQ_OK;
    }
    if (status == GQ_OK)
        status = take_parts(job, fds);
    if (status == GQ_OK && by_cxx(job))
        status = meet_compiler(b, job);
    if (status == GQ_OK)
        status = compile(b, job, false);
    if (status != GQ_OK)
        return status;
    if (b->open)
        rename_ours(&job->log, b->workshop.scratch.folder);
    if (!job->compiled && template_failed(&job->log) && !strstr(gq_text_str(&job->log), "required from"))
        return compile_alone(b, job);
    return job->compiled && by_cxx(job) ? collect(b, job) : GQ_OK;
}

static gq_status send_parts(const struct job *job, gq_status status)
{
    struct gq_wire_reply reply = {.version = GQ_WIRE_VERSION, .status = status, .compiled = job->compiled};
    const struct gq_text *parts[3] = {&job->log, &job->depends, &job->object};
    int fds[3];
    size_t count = 0, wanted = job->compiled ? 3 : 2;
    if (status != GQ_OK)
        snprintf(reply.error, sizeof reply.error, "%s", gq_error_text());
    gq_status sent = GQ_OK;
    for (; count < wanted && sent == GQ_OK; count += sent == GQ_OK)
        sent = gq_memfd_from("gpuqueue image", gq_text_str(parts[count]), parts[count]->len, &fds[count]);
    if (sent == GQ_OK)
        sent = gq_channel_send(CHANNEL, &reply, sizeof reply, fds, count);
    while (count > 0)
        close(fds[--count]);
    return sent;
}

/* What cannot be handed over was not made, and the host hears why. */
static gq_status send_reply(struct job *job, gq_status status)
{
    gq_status sent = send_parts(job, status);
    if (sent == GQ_OK || status != GQ_OK)
        return sent;
    job->compiled = false;
    gq_text_clear(&job->log);
    gq_text_clear(&job->depends);
    return send_parts(job, sent);
}

static gq_status serve(struct builder *b, struct gq_wire_request *request, size_t len, const int *fds, size_t fd_count)
{
    if (len != sizeof *request || request->version != GQ_WIRE_VERSION || fd_count != (is_link(request) ? 2u : 1u))
        return gq_error_set(GQ_ERR_INTERNAL, "the builder and its host are of different releases");
    request->program[sizeof request->program - 1] = '\0';
    request->folder[sizeof request->folder - 1] = '\0';
    struct job job = {.request = request, .deadline_ns = gq_clock_deadline(request->timeout_ms)};
    gq_status status = work(b, &job, fds);
    if (status != GQ_OK)
        job.compiled = false;
    gq_status sent = send_reply(&job, status);
    if (b->open)
        gq_workshop_clear(&b->workshop);
    gq_text_finish(&job.unit);
    gq_text_finish(&job.machine);
    gq_text_finish(&job.log);
    gq_text_finish(&job.depends);
    gq_text_finish(&job.object);
    return sent;
}

int gq_builder_main(void)
{
    static struct builder b;
    static struct gq_wire_request request;
    gq_status status = GQ_OK;
    fcntl(CHANNEL, F_SETFD, FD_CLOEXEC);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);      /* a compiler says better what it could not write than its end does */
    gq_jail_limit(RLIMIT_CORE, 0); /* its children's, too */
    gq_jail_limit(RLIMIT_FSIZE, GQ_JAIL_FILE_MAX);
    while (status == GQ_OK) {
        int fds[GQ_CHANNEL_FDS_MAX];
        size_t len, fd_count;
        status = gq_channel_receive(CHANNEL, &request, sizeof request, &len, fds, &fd_count, GQ_MS_FOREVER);
        if (status == GQ_OK && len == 0)
            break;
        if (status == GQ_OK)
            status = serve(&b, &request, len, fds, fd_count);
        while (fd_count > 0)
            close(fds[--fd_count]);
    }
    gq_workshop_close(&b.workshop);
    return gq_status_exit_code(status);
}
