#include "backend/cuda_api.h"
#include "base/dl.h"
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct gq_cu_api table;
static bool opened;

static gq_status look_up(void *object, struct gq_cu_api *out)
{
    gq_status status = GQ_OK;
#define LOOK_UP(member, symbol, arguments) GQ_DL_FUNCTION(status, object, #symbol, out->member)
    GQ_CU_FUNCTIONS(LOOK_UP)
#undef LOOK_UP
    return status == GQ_OK
               ? GQ_OK
               : gq_error_prefix(GQ_ERR_UNAVAILABLE, "the NVIDIA driver is too old (CUDA 12.0 or newer is needed): ");
}

gq_status gq_cu_open(const struct gq_cu_api **out)
{
    void *object = NULL;
    struct gq_cu_api found = {0};
    gq_status status = GQ_OK;
    pthread_mutex_lock(&lock);
    if (!opened) {
        status = gq_dl_open(gq_dl_driver_name(), &object);
        if (status != GQ_OK)
            gq_error_prefix(status, "no NVIDIA driver: ");
        else
            status = look_up(object, &found);
        opened = status == GQ_OK;
        if (opened)
            table = found;
        else
            gq_dl_close(object);
    }
    pthread_mutex_unlock(&lock);
    *out = status == GQ_OK ? &table : NULL;
    return status;
}

/* The driver's name for what `call` calls: cuMemAlloc of "mem_alloc(&c->lanes, lanes)"; other words stay. */
static const char *name_of(const char *call)
{
    static const char *const names[][2] = {
#define NAME(member, symbol, arguments) {#member "(", #symbol},
        GQ_CU_FUNCTIONS(NAME)
#undef NAME
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strncmp(call, names[i][0], strlen(names[i][0])) == 0)
            return names[i][1];
    return call;
}

/* Without the version that cuda.h adds behind everybody's back. */
static int name_len(const char *name)
{
    const char *version = strstr(name, "_v2");
    return (int)(version ? (size_t)(version - name) : strlen(name));
}

gq_status gq_cu_check(const struct gq_cu_api *cu, int error, const char *call)
{
    const char *name = NULL, *text = NULL;
    if (error == GQ_CU_OK)
        return GQ_OK;
    cu->error_name(error, &name);
    cu->error_text(error, &text);
    const char *function = name_of(call);
    const gq_status status = error == GQ_CU_OUT_OF_MEMORY ? GQ_ERR_NO_MEMORY : GQ_ERR_DEVICE;
    if (!name)
        return gq_error_set(status, "%.*s: error %d", name_len(function), function, error);
    return gq_error_set(status, "%.*s: %s (%s)", name_len(function), function, name,
                        text ? text : "the driver says no more");
}
