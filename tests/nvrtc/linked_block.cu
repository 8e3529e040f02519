// The template as plugins of block scope are linked with it.
#define GQ_IMAGE_KIND 0
#define GQ_LINKED
#define GQ_ENTRY <device/entry_cuda.h>
#include <gpuqueue/plugin.h>
GQ_SCOPE(block, 128);
#include <device/kernel.cu>
