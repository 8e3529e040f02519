#include "build/compiler.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/file.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Options of every compile; part of the cache's key.
 * -march=native: an image lives in this machine's cache only, and the key names the processor.
 * -ffp-contract=off: the same float results on every processor, with or without a fused multiply-add.
 * -fno-strict-aliasing: CUDA code reads payloads through casted pointers.
 * -fstack-clash-protection: a large frame meets the guard page, not the next stack. */
static const char *const common[] = {
    "-x",
    "c++",
    "-std=c++17",
    "-O3",
    "-g",
#if defined(__aarch64__)
    "-mcpu=native",
#else
    "-march=native",
#endif
    "-fPIC",
    "-fvisibility=hidden",
    "-fno-exceptions",
    "-fno-rtti",
    "-fno-threadsafe-statics",
    "-fno-strict-aliasing",
    "-ffp-contract=off",
    "-fstack-clash-protection",
    "-Wall",
    "-Wno-attributes",
    "-Wno-unknown-pragmas",
    "-ftabstop=1",
    "-fdiagnostics-color=never",
    "-fno-diagnostics-show-option",
};
/* gcc marks variables of templates as unique in the process, and an object that has one is never unloaded. Its
 * if-conversion of several values at once takes the condition of the last one from flags that are spoilt by then (gcc
 * 12 with -mtune of recent Xeons: a dropped message became an empty result). */
static const char *const gcc_only[] = {"-fno-gnu-unique", "-fno-if-conversion", "-fno-diagnostics-show-caret",
                                       "-fmax-errors=20", "-ftrack-macro-expansion=0"};
static const char *const clang_only[] = {"-fno-caret-diagnostics", "-ferror-limit=20",
                                         "-Wno-unused-command-line-argument"};
static const char *const linking[] = {"-shared", "-Wl,-z,defs", "-Wl,-z,noexecstack", "-Wl,--as-needed"};

#define COUNT(list) (sizeof(list) / sizeof *(list))

/* --- finding ------------------------------------------------------------------------------------------------------ */

static bool is_program(const char *path)
{
    struct stat info;
    if (access(path, X_OK) != 0 || stat(path, &info) != 0)
        return false;
    errno = EACCES; /* where it is none */
    return S_ISREG(info.st_mode);
}

static bool find_in_path(const char *name, char out[PATH_MAX])
{
    const char *list = getenv("PATH");
    for (const char *s = list ? list : "/usr/bin:/bin"; *s;) {
        const char *end = strchrnul(s, ':');
        int n = snprintf(out, PATH_MAX, "%.*s/%s", (int)(end - s), s, name);
        if (end > s && n < PATH_MAX && is_program(out))
            return true;
        s = *end ? end + 1 : end;
    }
    return false;
}

static bool find_program(const char *name, char out[PATH_MAX])
{
    if (!strchr(name, '/'))
        return find_in_path(name, out);
    return snprintf(out, PATH_MAX, "%s", name) < PATH_MAX && is_program(out);
}

gq_status gq_compiler_find(char path[PATH_MAX])
{
    const char *chosen = secure_getenv("GPUQ_CXX");
    if (chosen && *chosen) {
        if (find_program(chosen, path))
            return GQ_OK;
        return gq_error_errno(GQ_ERR_UNAVAILABLE, errno,
                              "GPUQ_CXX=%s is no program that can be run; it names a C++ compiler, without options",
                              chosen);
    }
    if (find_in_path("c++", path) || find_in_path("g++", path) || find_in_path("clang++", path))
        return GQ_OK;
    return gq_error_set(GQ_ERR_UNAVAILABLE,
                        "the CPU backend compiles plugins with a C++ compiler, and there is none in PATH (c++, "
                        "g++, clang++); install one (apt-get install g++) or set GPUQ_CXX");
}

/* --- identity ----------------------------------------------------------------------------------------------------- */

static void digest_list(struct gq_digest *d, const char *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        gq_digest_part(d, "option", list[i], strlen(list[i]));
}

/* What nobody could look at is like nothing that was built before or will be: another compiler's image, or another
 * processor's, is not taken for it. */
static void digest_unknown(struct gq_digest *d)
{
    const uint64_t now_ns = gq_clock_ns();
    gq_digest_part(d, "unknown", &now_ns, sizeof now_ns);
}

static void digest_program(struct gq_digest *d, const char *path)
{
    char real[PATH_MAX], text[128];
    struct stat info;
    const char *resolved = realpath(path, real) ? real : path;
    gq_digest_part(d, "compiler", resolved, strlen(resolved));
    if (stat(path, &info) != 0) {
        if (errno != ENOENT) /* a library that the loader finds by its name */
            digest_unknown(d);
        return;
    }
    int n = snprintf(text, sizeof text, "%lld %lld.%09ld", (long long)info.st_size, (long long)info.st_mtim.tv_sec,
                     info.st_mtim.tv_nsec);
    gq_digest_part(d, "compiler file", text, (size_t)n);
}

/* Lines of /proc/cpuinfo that say what the first processor can do. */
static void digest_processor(struct gq_digest *d)
{
    static const char *const keys[] = {"vendor_id", "cpu family", "model\t",  "model name",
                                       "flags",     "Features",   "CPU part", "CPU implementer"};
    FILE *file = fopen("/proc/cpuinfo", "re");
    char *line = NULL;
    size_t cap = 0;
    if (!file)
        digest_unknown(d);
    while (file && getline(&line, &cap, file) > 1)
        for (size_t i = 0; i < COUNT(keys); i++)
            if (strncmp(line, keys[i], strlen(keys[i])) == 0)
                gq_digest_part(d, "processor", line, strlen(line));
    free(line);
    if (file)
        fclose(file);
}

void gq_compiler_digest(const char *path, struct gq_digest *d)
{
    digest_program(d, path);
    digest_list(d, common, COUNT(common));
    digest_list(d, gcc_only, COUNT(gcc_only));
    digest_list(d, clang_only, COUNT(clang_only));
    digest_list(d, linking, COUNT(linking));
    digest_processor(d);
}

/* --- the command line --------------------------------------------------------------------------------------------- */

struct list {
    const char **args;
    size_t count;
};

static void add(struct list *l, const char *arg)
{
    gq_assert(l->count + 1 < GQ_COMPILER_ARGS_MAX);
    l->args[l->count++] = arg;
    l->args[l->count] = NULL;
}

static void add_all(struct list *l, const char *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        add(l, list[i]);
}

static void add_pair(struct list *l, const char *option, const char *value)
{
    add(l, option);
    add(l, value);
}

void gq_compiler_arguments(const struct gq_compile *c, const char *args[GQ_COMPILER_ARGS_MAX])
{
    struct list l = {args, 0};
    add(&l, c->compiler);
    add_all(&l, common, COUNT(common));
    if (c->clang)
        add_all(&l, clang_only, COUNT(clang_only));
    else
        add_all(&l, gcc_only, COUNT(gcc_only));
    add_pair(&l, "-iquote", c->plugin_folder);
    add_pair(&l, "-isystem", c->headers);
    add_pair(&l, "-include", c->shim);
    add(&l, c->unit);
    if (c->syntax_only) {
        add(&l, "-fsyntax-only");
        return;
    }
    add(&l, "-MD");
    add_pair(&l, "-MF", c->depends);
    add_all(&l, linking, COUNT(linking));
    add_pair(&l, "-o", c->object);
}
