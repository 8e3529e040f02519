#include "backend/cuda_api.h"
#include "base/dl.h"
#include <pthread.h>
#include <stdbool.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct gq_cu_api table;
static bool opened;

static gq_status look_up(void *object, struct gq_cu_api *out)
{
    gq_status status = GQ_OK;
#define LOOK_UP(member, symbol, arguments)                                     \
    if (status == GQ_OK) {                                                     \
        void *found = NULL;                                                    \
        status = gq_dl_symbol(object, #symbol, &found);                        \
        __extension__ out->member = (__typeof__(out->member))(uintptr_t)found; \
    }
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

gq_status gq_cu_check(const struct gq_cu_api *cu, int error, const char *call)
{
    const char *name = NULL, *text = NULL;
    if (error == GQ_CU_OK)
        return GQ_OK;
    cu->error_name(error, &name);
    cu->error_text(error, &text);
    return gq_error_set(GQ_ERR_DEVICE, "%s: %s (%s)", call, name ? name : "unknown error",
                        text ? text : "no description");
}
