/* memory.h - what a run takes: resident bytes of this process and of its children, and bytes in use on the device. */
#ifndef TESTS_STRESS_MEMORY_H
#define TESTS_STRESS_MEMORY_H

#include "backend/cuda_api.h"
#include <ctype.h>
#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct memory_sample {
    double host, worker, device; /* MiB */
};

static inline double memory_mib(double bytes) { return bytes / (1 << 20); }

/* Resident MiB of a process, 0 when it is gone. */
static inline double memory_resident(const char *pid)
{
    char path[300];
    double size, resident = 0;
    snprintf(path, sizeof path, "/proc/%s/statm", pid);
    FILE *file = fopen(path, "r");
    if (file) {
        if (fscanf(file, "%lf %lf", &size, &resident) != 2)
            resident = 0;
        fclose(file);
    }
    return memory_mib(resident * (double)sysconf(_SC_PAGESIZE));
}

static inline int memory_parent(const char *pid)
{
    char path[300], text[512] = "";
    int parent = 0;
    snprintf(path, sizeof path, "/proc/%s/stat", pid);
    FILE *file = fopen(path, "r");
    if (!file)
        return 0;
    size_t n = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    const char *name_end = n ? strrchr(text, ')') : NULL;
    return name_end && sscanf(name_end + 1, " %*c %d", &parent) == 1 ? parent : 0;
}

static inline double memory_of_children(void)
{
    double sum = 0;
    DIR *folder = opendir("/proc");
    for (struct dirent *e; folder && (e = readdir(folder));)
        if (isdigit((unsigned char)e->d_name[0]) && memory_parent(e->d_name) == getpid())
            sum += memory_resident(e->d_name);
    if (folder)
        closedir(folder);
    return sum;
}

/* A context of our own beside the worker's: the driver tells of memory only to those who have one. False with a
 * sentence in gq_error_text(). */
static inline bool memory_open_device(const struct gq_cu_api **cu)
{
    gq_cu_context context;
    int device;
    return gq_cu_open(cu) == GQ_OK && gq_cu_check(*cu, (*cu)->init(0), "cuInit") == GQ_OK &&
           gq_cu_check(*cu, (*cu)->device_get(&device, 0), "cuDeviceGet") == GQ_OK &&
           gq_cu_check(*cu, (*cu)->primary_retain(&context, device), "cuDevicePrimaryCtxRetain") == GQ_OK &&
           gq_cu_check(*cu, (*cu)->set_current(context), "cuCtxSetCurrent") == GQ_OK;
}

/* `cu` NULL: there is no device to ask. */
static inline struct memory_sample memory_now(const struct gq_cu_api *cu)
{
    size_t unused = 0, all = 0;
    if (cu && gq_cu_check(cu, cu->mem_info(&unused, &all), "cuMemGetInfo") != GQ_OK) {
        fprintf(stderr, "%s\n", gq_error_text());
        exit(1);
    }
    return (struct memory_sample){memory_resident("self"), memory_of_children(), memory_mib((double)(all - unused))};
}

#endif
