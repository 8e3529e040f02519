/* Files, mappings and processes, as /proc tells of them. */
#include "memory.h"
#include "storm.h"

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

struct storm_left storm_left_now(void)
{
    struct storm_left left = {entries("self", "fd") - 1, lines("self", "maps"), 0}; /* one is the folder's own */
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
