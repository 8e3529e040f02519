/* What /proc and the driver tell of this process and its children. */
#include "footprint.h"

#define HOST_GROWTH 8.0   /* MiB that host and worker may grow by: allocator noise */
#define DEVICE_GROWTH 2.0 /* one allocation granule of the driver */
#define FILES_GROWTH 4u
#define MAPPINGS_GROWTH 64u /* of an allocator */

static uint32_t entries(const char *pid, const char *what)
{
    char path[300];
    uint32_t count = 0;
    snprintf(path, sizeof path, "/proc/%s/%s", pid, what);
    DIR *folder = opendir(path);
    for (struct dirent *e; folder && (e = readdir(folder));)
        count += e->d_name[0] != '.';
    if (folder)
        closedir(folder);
    return count;
}

static uint32_t lines(const char *pid, const char *what)
{
    char path[300];
    uint32_t count = 0;
    snprintf(path, sizeof path, "/proc/%s/%s", pid, what);
    FILE *file = fopen(path, "r");
    for (int c; file && (c = getc(file)) != EOF;)
        count += c == '\n';
    if (file)
        fclose(file);
    return count;
}

struct footprint_left footprint_left_now(void)
{
    struct footprint_left left = {entries("self", "fd") - 1, lines("self", "maps"), 0}; /* one is the folder's own */
    DIR *folder = opendir("/proc");
    for (struct dirent *e; folder && (e = readdir(folder));) {
        if (!isdigit((unsigned char)e->d_name[0]) || memory_parent(e->d_name) != getpid())
            continue;
        left.children++;
        left.files += entries(e->d_name, "fd");
        left.mappings += lines(e->d_name, "maps");
    }
    if (folder)
        closedir(folder);
    return left;
}

struct footprint footprint_now(const struct gq_cu_api *cu)
{
    return (struct footprint){memory_now(cu), footprint_left_now()};
}

void footprint_print(const char *when, const struct footprint *f)
{
    printf("%-12s host %.1f MiB, workers %.1f MiB, device %.1f MiB, %u files, %u mappings, %u processes\n", when,
           f->memory.host, f->memory.worker, f->memory.device, f->left.files, f->left.mappings, f->left.children);
}

static bool grew(FILE *say, const char *what, double from, double to, double allowed)
{
    const bool more = to - from > allowed;
    if (more && say)
        fprintf(say, "%s grew from %.1f to %.1f, by more than %.0f\n", what, from, to, allowed);
    return more;
}

/* A sanitizer's own memory is no fact about ours. */
bool footprint_grew(const struct footprint *base, const struct footprint *end, FILE *say)
{
    const struct memory_sample *b = &base->memory, *e = &end->memory;
    bool more = !SANITIZED && grew(say, "MiB of the host process", b->host, e->host, HOST_GROWTH);
    more |= !SANITIZED && grew(say, "MiB of the worker processes", b->worker, e->worker, HOST_GROWTH);
    more |= grew(say, "MiB of the device", b->device, e->device, DEVICE_GROWTH);
    more |= grew(say, "open files", base->left.files, end->left.files, FILES_GROWTH);
    more |= !SANITIZED && grew(say, "mappings", base->left.mappings, end->left.mappings, MAPPINGS_GROWTH);
    more |= grew(say, "child processes", base->left.children, end->left.children, 0);
    return more;
}
