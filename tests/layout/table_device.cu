// The same numbers as NVRTC sees them, in an array that the PTX spells out.
#include <gpuqueue/layout.h>
#define LAYOUT_STRUCT(type) 0, (unsigned)sizeof(struct type),
#define LAYOUT_FIELD(type, field) \
    (unsigned)__INTADDR__(&((struct type *)0)->field), (unsigned)sizeof(((struct type *)0)->field),
extern "C" __device__ unsigned layout_values[] = {
