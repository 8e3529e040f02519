// A source plugin that a test plays on a CPU as a GPU would run it.
#define GQ_IMAGE_KIND 1
#define GQ_PACKS 1
#include "played/warp.h"
#include "played/played.h"
#include <gpuqueue/plugin.h>

__device__ void generate_message(uint64_t index, ResultView *out)
{
    const uint32_t len = played_len(played_by, index);
    for (uint32_t i = 0; i < len / 8; i++)
        ((uint64_t *)out->out)[i] = index * 0x9e3779b97f4a7c15u + i;
    *out->out_len = len;
    if (played_fails_early(played_by, index))
        gq_fail(out, PLAYED_CODE_SOURCE);
}

#define GQ_ENTRY "played/entry.h"
#include <device/kernel.cu>
