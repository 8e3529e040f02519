// The template as source plugins are linked with it.
#define GQ_IMAGE_KIND 1
#define GQ_PACKS 1
#define GQ_LINKED
#define GQ_ENTRY <device/entry_cuda.h>
#include <gpuqueue/plugin.h>
GQ_SCOPE(thread);
#include <device/kernel.cu>
