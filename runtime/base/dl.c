#include "base/dl.h"
#include "base/assert.h"
#include <dlfcn.h>
#include <stdio.h>

gq_status gq_dl_open(const char *path, void **out)
{
    gq_assert(path && out);
    *out = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    return *out ? GQ_OK : gq_error_set(GQ_ERR_UNAVAILABLE, "%s", dlerror());
}

gq_status gq_dl_open_fd(int fd, void **out)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
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

int gq_dl_self(char *path, size_t size)
{
    static const char here;
    Dl_info info;
    if (!dladdr(&here, &info) || !info.dli_fname)
        return 0;
    return snprintf(path, size, "%s", info.dli_fname) < (int)size;
}
