// The template as plugins of thread scope are linked with it where a source plugin makes the messages.
#define GQ_IMAGE_KIND 0
#define GQ_PACKS 1
#define GQ_LINKED
#define GQ_ENTRY <device/entry_cuda.h>
#include <gpuqueue/plugin.h>
GQ_SCOPE(thread);
#include <device/kernel.cu>
