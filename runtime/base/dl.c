#include "base/dl.h"
#include "base/assert.h"
#include <dlfcn.h>
#include <link.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/file.h"

gq_status gq_dl_open(const char *path, void **out)
{
    gq_assert(path && out);
    *out = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    return *out ? GQ_OK : gq_error_set(GQ_ERR_UNAVAILABLE, "%s", dlerror());
}

/* dlopen() first looks whether an object of the same *name* is loaded, and a descriptor's number is soon used again:
 * the second image of a pipeline would be the first one. So each open spells the folder in its own way, with one "/" or
 * "/." for each bit of a counter. */
gq_status gq_dl_open_fd(int fd, void **out)
{
    static uint32_t opened;
    char path[128] = "/proc/self/fd";
    size_t len = strlen(path);
    for (uint32_t bits = __atomic_fetch_add(&opened, 1, __ATOMIC_RELAXED), i = 0; i < 32; i++, bits >>= 1)
        len += (size_t)snprintf(path + len, sizeof path - len, "%s", bits & 1 ? "/." : "/");
    snprintf(path + len, sizeof path - len, "/%d", fd);
    return gq_dl_open(path, out);
}

gq_status gq_dl_symbol(void *object, const char *name, void **out)
{
    *out = dlsym(object, name);
    return *out ? GQ_OK : gq_error_set(GQ_ERR_NOT_FOUND, "symbol %s: %s", name, dlerror());
}

void gq_dl_close(void *object)
{
    if (object)
        dlclose(object);
}

int gq_dl_find(const char *name, char *path, size_t size)
{
    struct link_map *map = NULL;
    void *object = dlopen(name, RTLD_LAZY | RTLD_LOCAL);
    const int found = object && dlinfo(object, RTLD_DI_LINKMAP, &map) == 0 && map->l_name[0] == '/' &&
                      snprintf(path, size, "%s", map->l_name) < (int)size;
    gq_dl_close(object);
    return found;
}

static const char *chosen_or(const char *variable, const char *usual)
{
    const char *chosen = secure_getenv(variable);
    return chosen && *chosen ? chosen : usual;
}

const char *gq_dl_driver_name(void) { return chosen_or("GPUQ_LIBCUDA", "libcuda.so.1"); }

const char *gq_dl_nvml_name(void) { return chosen_or("GPUQ_LIBNVML", "libnvidia-ml.so.1"); }

/* The loader knows a library by the path that it was found by, which may be relative, and the program may go to another
 * folder: it is asked once. */
int gq_dl_self(char *path, size_t size)
{
    static const char here;
    static char *known; /* atomic */
    char *before = __atomic_load_n(&known, __ATOMIC_ACQUIRE), *made = NULL;
    Dl_info info = {0};
    if (!before) {
        if (!dladdr(&here, &info) || !info.dli_fname)
            return 0;
        made = gq_path_absolute(info.dli_fname);
        if (made && !__atomic_compare_exchange_n(&known, &before, made, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
            free(made);
        else
            before = made;
    }
    return snprintf(path, size, "%s", before ? before : info.dli_fname) < (int)size;
}
