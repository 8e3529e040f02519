/* fill.cu - a source of 64-byte messages that cost next to nothing to make: the index, eight times. */
#include <gpuqueue/plugin.h>

__device__ void generate_message(uint64_t index, ResultView *out)
{
    const uint4 twice = {(uint32_t)index, (uint32_t)(index >> 32), (uint32_t)index, (uint32_t)(index >> 32)};
    for (uint32_t i = 0; i < 4; i++)
        ((uint4 *)out->out)[i] = twice;
    *out->out_len = 64;
}
